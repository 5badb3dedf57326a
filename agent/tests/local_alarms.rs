//! A gateway whose broker is down: what its boards cross is told in the state file all the same, until they are back.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use tidegate_agent::{Config, Running, Settings};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, Quality, Reading, Seq, Tick, Value, ValueKind,
    frame::{ChannelList, Hello, MAX_FRAME, Readings, SamplePacker, Standing, Up, encode_up, encoded_len},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(20);
const BOOT: BootId = BootId(42);

const RULES: &str = r#"
[[rule]]
id = "hot"
select = { channel = "temperature" }
above = 50.0
priority = "high"
"#;

fn configuration(folder: &Path) -> PathBuf {
    let chip = folder.join("gpiochip9");
    let text = format!(
        "site = \"plant\"\ngateway = \"gw-a\"\ndata_dir = \"data\"\nrules = \"rules.toml\"\n[broker]\naddress = \"127.0.0.1:9\"\n\
         [status]\nlisten = \"127.0.0.1:0\"\n[[source]]\ntype = \"board-tcp\"\nlisten = \"127.0.0.1:0\"\n\
         [local_alarms]\nstate_file = \"run/alarms.json\"\n\
         [[local_alarms.output]]\nmin_priority = \"high\"\nline = {{ chip = \"{}\", offset = 17 }}\n",
        chip.display()
    );
    fs::write(folder.join("rules.toml"), RULES).unwrap();
    let file = folder.join("agent.toml");
    fs::write(&file, text).unwrap();
    file
}

async fn agent(folder: &Path) -> Running {
    let file = configuration(folder);
    let settings = tidegate_service::load::<Settings>(&file).expect("it parses");
    tidegate_agent::start(Config::validate(&file, settings).expect("it is good")).await.expect("it starts")
}

async fn say(line: &mut TcpStream, frame: &Up<'_>) {
    let mut buffer = [0; encoded_len(MAX_FRAME)];
    let len = encode_up(frame, &mut buffer).expect("it encodes");
    line.write_all(&buffer[..len]).await.expect("the agent takes it");
}

async fn hello(line: &mut TcpStream, next: u64) {
    let name = ChannelName::new("temperature").unwrap();
    let channels = [ChannelDecl { name, unit: "Cel", kind: ValueKind::F64, scale: 0 }];
    say(
        line,
        &Up::Hello(Hello {
            device: DeviceId::new("boiler-7").unwrap(),
            tag: "TT-1",
            firmware: "test",
            boot: Some(BOOT),
            standing: Standing::Present,
            floor: Seq(0),
            next: Seq(next),
            channels: ChannelList::new(&channels).unwrap(),
        }),
    )
    .await;
}

async fn measure(line: &mut TcpStream, seq: u64, value: f64) {
    let mut packed = [0; 64];
    let mut packer = SamplePacker::new(&mut packed, Tick(0));
    let (value, quality) = (Value::F64(value), Quality::Good);
    assert!(packer.push(&Reading {
        seq: Seq(seq),
        channel: ChannelIndex(0),
        tick: Tick(seq * 100),
        value,
        quality
    }));
    let (count, len) = (packer.count(), packer.len());
    say(
        line,
        &Up::Readings(Readings {
            boot: BOOT.tag(),
            first_seq: Seq(seq),
            floor: Seq(0),
            next: Seq(seq + 1),
            base_tick: Tick(0),
            count,
            samples: &packed[..len],
        }),
    )
    .await;
}

async fn until(folder: &Path, wanted: impl Fn(&Json) -> bool) -> Json {
    let since = Instant::now();
    loop {
        let text = fs::read(folder.join("run/alarms.json")).unwrap_or_default();
        if !text.is_empty() {
            let state: Json = serde_json::from_slice(&text).expect("a whole state");
            if wanted(&state) {
                return state;
            }
            assert!(since.elapsed() < PATIENCE, "{state}");
        }
        assert!(since.elapsed() < PATIENCE, "there is no state file");
        tokio::task::yield_now().await;
    }
}

async fn metrics(agent: &Running) -> String {
    let mut stream = TcpStream::connect(agent.status).await.expect("the page is served");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn with_the_broker_down_the_state_file_says_what_a_board_crosses_and_that_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = agent(folder.path()).await;
    let start = until(folder.path(), |_| true).await;
    assert_eq!((&start["active"], &start["running"]), (&0.into(), &true.into()));
    let mut line = TcpStream::connect(first.board_link.expect("boards may connect")).await.unwrap();
    hello(&mut line, 0).await;
    measure(&mut line, 0, 20.0).await;
    measure(&mut line, 1, 81.5).await;
    let raised = until(folder.path(), |state| state["active"] == 1).await;
    assert_eq!(raised["highest_priority"], "high");
    let alarm = &raised["alarms"][0];
    assert_eq!(
        (&alarm["device"], &alarm["rule"], &alarm["value"]),
        (&"boiler-7".into(), &"hot".into(), &81.5.into())
    );
    let told = metrics(&first).await;
    assert!(told.contains("tidegate_agent_local_alarms_active{priority=\"high\"} 1"), "{told}");
    // There is no such chip: that is counted, and holds nothing up.
    assert!(!told.contains("tidegate_agent_local_output_errors_total 0"), "{told}");
    assert!(told.contains("tidegate_agent_local_output_errors_total"), "{told}");
    measure(&mut line, 2, 20.0).await;
    let cleared = until(folder.path(), |state| state["active"] == 0).await;
    assert_eq!(cleared["highest_priority"], Json::Null);
    measure(&mut line, 3, 90.0).await;
    until(folder.path(), |state| state["active"] == 1).await;
    drop(line);
    first.drain(PATIENCE).await.expect("all is safe");
    let ended = until(folder.path(), |_| true).await;
    assert_eq!((&ended["running"], &ended["active"]), (&false.into(), &1.into()));

    let second = agent(folder.path()).await;
    let anew = until(folder.path(), |state| state["running"] == true).await;
    assert_eq!(anew["active"], 0, "nothing is known before the next readings");
    assert!(anew["since_start"].as_str() > ended["since_start"].as_str(), "and it says since when: {anew}");
    let mut line = TcpStream::connect(second.board_link.expect("boards may connect")).await.unwrap();
    hello(&mut line, 4).await;
    measure(&mut line, 4, 91.0).await;
    until(folder.path(), |state| state["alarms"][0]["value"] == 91.0).await;
    drop(line);
    second.drain(PATIENCE).await.expect("all is safe");
}
