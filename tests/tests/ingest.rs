//! The ingest behind the broker, in one process over loop-back sockets, with a gateway made of a bare MQTT client:
//! blocks in, acknowledgements back, answers by HTTP, all of it still there after a restart.

#[path = "../support/gateway.rs"]
mod gateway;

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use gateway::Gateway;
use tidegate_broker::{Role, User};
use tidegate_ingest::{Config, Running, Settings};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, ClockQuality, DeviceId, GatewayId, Origin, Quality,
    Reading, Seq, SiteId, Tick, Value, ValueKind,
    ack::Outcome,
    block::{Block, Description, OriginReadings, Record},
    topic::GatewayPath,
};
use tidegate_tests::{
    eventually::eventually,
    lake,
    programs::{program, workspace},
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

const RULES: &str = r#"
[[rule]]
id = "hot"
select = { channel = "temperature" }
above = 60.0
"#;

async fn broker() -> tidegate_broker::Running {
    let path = gateway();
    let role = Role::Gateway(tidegate_broker::access::GatewayAccess::new(path));
    let users = vec![User::new("ingest", "secret", Role::Ingest), User::new("gw-a", "secret", role)];
    let config = tidegate_broker::Config::demo(([127, 0, 0, 1], 0).into(), users);
    tidegate_broker::start(config).await.expect("loop-back has free ports")
}

async fn ingest(folder: &Path, broker: SocketAddr) -> Running {
    std::fs::write(folder.join("rules.toml"), RULES).expect("it writes");
    let settings: Settings = toml::from_str(&format!(
        "data_dir = \"data\"\nrules = \"rules.toml\"\n\
         [broker]\naddress = \"{broker}\"\nuser = \"ingest\"\npassword = \"secret\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[journal]\nmap_size_bytes = 134217728\n\
         [lake]\nroll_interval_ms = 100\n"
    ))
    .expect("good settings");
    let config = Config::from_settings(&folder.join("ingest.toml"), settings).expect("good settings");
    tidegate_ingest::start(config).await.expect("it starts")
}

fn gateway() -> GatewayPath {
    GatewayPath::new(SiteId::new("plant").expect("a slug"), GatewayId::new("gw-a").expect("a slug"))
}

fn origin() -> Origin {
    Origin::new(DeviceId::new("board-a").expect("a slug"), BootId(1))
}

fn block(seqs: std::ops::Range<u64>) -> Block {
    let channel = ChannelDecl {
        name: ChannelName::new("temperature").expect("a name"),
        unit: "Cel".to_owned(),
        kind: ValueKind::F64,
        scale: 0,
    };
    let description = Description {
        origin: origin(),
        tag: "TT-1".to_owned(),
        firmware: "test".to_owned(),
        channels: vec![channel],
    };
    let reading = |seq| Reading {
        seq: Seq(seq),
        channel: ChannelIndex(0),
        tick: Tick(seq * 100),
        // Rises above the limit at 50.
        value: Value::F64(11.0 + seq as f64),
        quality: Quality::Good,
    };
    let readings = OriginReadings { origin: origin(), readings: seqs.map(reading).collect() };
    Block { records: vec![Record::Described(description)], origins: vec![readings] }
}

async fn get(ingest: &Running, path: &str) -> serde_json::Value {
    let answer = reqwest::get(format!("http://{}{path}", ingest.http)).await.expect("it answers");
    answer.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_acknowledged_once_durable_and_answered_for_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = broker().await;
    let running = ingest(folder.path(), broker.mqtt).await;
    let mut gateway = Gateway::connect(broker.mqtt, gateway(), "secret").await;
    connected(&running).await;

    let mut events = running.query().subscribe();
    let first = gateway.send(&block(0..40)).await;
    assert_eq!(gateway.outcome(first).await, Outcome::Durable);
    // Half of it again: a duplicate is acknowledged, and stored once.
    let second = gateway.send(&block(20..60)).await;
    assert_eq!(gateway.outcome(second).await, Outcome::Durable);

    let (provisional, committed) = (events.recv().await, events.recv().await);
    let (
        Ok(tidegate_ingest::events::Streamed::Provisional(early)),
        Ok(tidegate_ingest::events::Streamed::Committed(1, late)),
    ) = (&provisional, &committed)
    else {
        panic!("{provisional:?} {committed:?}");
    };
    assert_eq!((early.id, early.seq, early.rule.as_str()), (late.id, Seq(50), "hot"));
    running.drain(PATIENCE).await.expect("it drains");

    let running = ingest(folder.path(), broker.mqtt).await;
    let audit = get(&running, "/api/v1/audit").await;
    assert_eq!(audit["totals"]["stored"], 60);
    assert_eq!(audit["totals"]["duplicates"], 20);
    assert_eq!(audit["complete"], true);
    let latest = get(&running, "/api/v1/latest?device=board-a").await;
    assert_eq!(latest["readings"][0]["seq"], 59);
    assert_eq!(latest["readings"][0]["value"], 70.0);
    let page = get(&running, "/api/v1/readings?device=board-a&limit=50").await;
    assert_eq!(page["readings"].as_array().map(Vec::len), Some(50));
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = get(&running, &format!("/api/v1/readings?device=board-a&limit=50&cursor={cursor}")).await;
    assert_eq!(rest["readings"][0]["seq"], 50);
    assert_eq!(rest["readings"].as_array().map(Vec::len), Some(10));
    let history = get(&running, "/api/v1/alarms/history").await;
    assert_eq!(history["occurrences"][0]["onset"]["seq"], 50);
    assert_eq!(get(&running, "/api/v1/alarms?state=active").await["alarms"][0]["rule"], "hot");

    // A new process announces itself to the gateways it knows: what was in flight is sent again.
    let announced = timeout(PATIENCE, async {
        loop {
            let ack = gateway.acks.recv().await.expect("connected");
            if ack.outcomes.is_empty() {
                return ack.incarnation;
            }
        }
    });
    assert_ne!(announced.await.expect("announced in time"), 0);
    running.drain(PATIENCE).await.expect("it drains");
    broker.drain(PATIENCE).await.expect("it drains");
}

/// What `tidegate` prints, and whether it ended well.
fn tidegate(ingest: &Running, arguments: &[&str]) -> (bool, String) {
    let url = format!("http://{}", ingest.http);
    let mut command = Command::new(program("tidegate"));
    let output = command.args(["--url", &url]).args(arguments).output().expect("tidegate starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_closes_what_will_never_come_and_the_audit_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = broker().await;
    let running = ingest(folder.path(), broker.mqtt).await;
    let mut gateway = Gateway::connect(broker.mqtt, gateway(), "secret").await;
    connected(&running).await;
    // Ten were measured, four came, and nobody knows where the board ended.
    let mut first = block(0..4);
    first.records.push(Record::Measured { origin: origin(), next: 10 });
    let number = gateway.send(&first).await;
    assert_eq!(gateway.outcome(number).await, Outcome::Durable);
    let audit = ["audit", "--grace", "0s"];
    let (complete, said) = tidegate(&running, &audit);
    assert!(!complete && said.contains("6 of plant/board-a") && said.contains("seq 4..10"), "{said}");

    let retire = ["device", "retire", "board-a", "--reason", "fell into the sea", "--as", "eva"];
    let (done, said) = tidegate(&running, &retire);
    assert!(
        done && said.contains("6 written off: seq 4..10") && said.contains("Nothing was changed"),
        "{said}"
    );
    assert!(!tidegate(&running, &audit).0, "a look changes nothing");
    let confirmed = [&retire[..], &["--yes"]].concat();
    let (done, said) = tidegate(&running, &confirmed);
    assert!(done && said.contains("plant/board-a is retired; 6 readings are written off"), "{said}");
    let (complete, said) = tidegate(&running, &audit);
    assert!(complete && said.contains("at least 10") && said.contains("6 written-off"), "{said}");
    let (done, said) = tidegate(&running, &confirmed);
    assert!(done && said.starts_with("Nothing to do"), "{said}");
    let (done, said) = tidegate(&running, &["device", "retire", "nobody", "--reason", "x", "--as", "eva"]);
    assert!(!done && said.contains("no device `nobody`"), "{said}");

    // It is all still there after a restart; and what comes after all is stored.
    running.drain(PATIENCE).await.expect("it drains");
    let running = ingest(folder.path(), broker.mqtt).await;
    connected(&running).await;
    let log = get(&running, "/api/v1/operations").await;
    assert_eq!(log["operations"].as_array().map(Vec::len), Some(1), "{log}");
    let logged = &log["operations"][0];
    assert_eq!((&logged["operator"], &logged["reason"]), (&"eva".into(), &"fell into the sea".into()));
    assert_eq!((&logged["written_off"], &logged["boots"][0]["ranges"][0][0]), (&6.into(), &4.into()));
    let number = gateway.send(&block(4..6)).await;
    assert_eq!(gateway.outcome(number).await, Outcome::Durable);
    let audit = get(&running, "/api/v1/audit?device=board-a").await;
    let board = &audit["origins"][0];
    assert_eq!((&board["stored"], &board["recovered"]), (&6.into(), &2.into()), "{audit}");
    assert_eq!(board["lost"]["written-off"], 4, "{audit}");
    running.drain(PATIENCE).await.expect("it drains");
    broker.drain(PATIENCE).await.expect("it drains");
}

/// The query of docs/lake.md that joins the anchors, over this lake.
fn documented_join(data: &Path) -> String {
    let text = std::fs::read_to_string(workspace().join("docs/lake.md")).expect("the page is there");
    let mut queries = text.split("```sql\n").filter_map(|part| part.split("```").next());
    let query = queries.find(|query| query.contains("as corrected")).expect("the query is there");
    query.replace("'lake/", &format!("'{}/lake/", data.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_corrects_times_as_the_api_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let broker = broker().await;
    let running = ingest(folder.path(), broker.mqtt).await;
    let mut gateway = Gateway::connect(broker.mqtt, gateway(), "secret").await;
    connected(&running).await;
    // A gateway that woke up in 1970 and learns the time, ten readings later.
    let of_clocks = [
        (0, 5_000, u32::MAX, ClockQuality::Unsynced),
        (500_000, 1_800_000_000_000, 20, ClockQuality::Synced),
    ];
    for (stored, (tick, unix_ms, error_ms, quality)) in [10, 20].into_iter().zip(of_clocks) {
        let mut block = block(stored - 10..stored);
        block.records.push(Record::Anchor { origin: origin(), tick: Tick(tick), unix_ms, error_ms, quality });
        let number = gateway.send(&block).await;
        assert_eq!(gateway.outcome(number).await, Outcome::Durable);
        eventually("the readings and their anchor in the lake", async || {
            let rows = lake::try_query(
                &data,
                &format!("SELECT count(*), min(best_quality) FROM ({})", documented_join(&data)),
            )?;
            let wanted: [[serde_json::Value; 2]; 1] = [[stored.into(), quality.name().into()]];
            if rows == wanted { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
    }

    let joined = format!(
        "SELECT seq, epoch_ms(best_time), best_quality, best_error_ms, corrected FROM ({}) ORDER BY seq",
        documented_join(&data)
    );
    let by_duckdb = lake::query(&data, &joined);
    let page = get(&running, "/api/v1/readings?device=board-a").await;
    let by_api: Vec<Vec<serde_json::Value>> = (page["readings"].as_array().expect("readings").iter())
        .map(|reading| {
            let fields = ["seq", "time_unix_ms", "time_quality", "time_error_ms", "time_corrected"];
            fields.map(|field| reading[field].clone()).to_vec()
        })
        .collect();
    assert_eq!(by_duckdb, by_api);
    let corrected = by_api.iter().filter(|reading| reading[4] == true).count();
    assert_eq!((by_api.len(), corrected), (20, 10), "those of 1970, and no others");
    running.drain(PATIENCE).await.expect("it drains");
    broker.drain(PATIENCE).await.expect("it drains");
}

/// Until the ingest has subscribed: what is published before that goes nowhere, and a real agent would send it again.
async fn connected(running: &Running) {
    let connected = async {
        while !running.query().health().broker_connected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, connected).await.expect("connected in time");
}
