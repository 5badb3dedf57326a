//! After an outage, what is measured now does not wait behind what was measured then.

use std::{path::Path, process::Command, sync::Arc};

use tidegate_protocol::{DeviceId, id::ChannelName};
use tidegate_service::Shutdown;
use tidegate_simulator::{BoardHandle, BoardPlan, Pace, Proxy, Recorded, Recording, Script, VirtualBoard};
use tidegate_tests::{
    api::number,
    chain::Chain,
    events::Events,
    measured::{Measured, RULES},
    programs::program,
};

const BACKLOG: u64 = 200_000;
/// So slow that the backlog takes many times as long as a live block's turn, however fast the machine is.
const LINK_BYTES_PER_S: u64 = 40_000;

/// The agent's link is cut, and its queue has a backlog.
struct Outage {
    chain: Chain,
    proxy: Proxy,
    recorder: BoardHandle,
}

async fn outage(environment: &[(&str, &str)]) -> Outage {
    let mut chain = Chain::new(RULES);
    chain.start_broker();
    let proxy = Proxy::start(chain.mqtt()).await.expect("a free port");
    chain.connect_agent(proxy.addr());
    chain.ingest.start();
    chain.agent.start_with(environment);
    proxy.cut();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let recorder = recorder(folder.path(), &chain);
    chain
        .agent_status()
        .get_when("the backlog in the queue", "/status", |status| {
            number(status, "/queue/readings") == BACKLOG
        })
        .await;
    Outage { chain, proxy, recorder }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_reading_and_an_alarm_overtake_the_backlog() {
    let Outage { chain, proxy, recorder } = outage(&[]).await;
    let api = chain.api();

    proxy.limit(LINK_BYTES_PER_S);
    let mut events = Events::open(&api).await;
    proxy.restore();
    // Measured after the link came back, while the backlog is on its way.
    let measured = Measured::default();
    let live = measured.board(1, 100, chain.board_link());
    events.next("a live alarm", |event| event["device"] == "board-1").await;
    let audit = api.get("/api/v1/audit?device=recorder").await;
    assert!(stored(&audit) < BACKLOG, "the alarm came after the backlog: {audit}");

    api.get_when("a live reading", "/api/v1/latest?device=board-1", |latest| {
        latest["readings"].as_array().is_some_and(|readings| !readings.is_empty())
    })
    .await;
    let audit = api.get("/api/v1/audit?device=recorder").await;
    assert!(stored(&audit) < BACKLOG, "the reading came after the backlog: {audit}");

    proxy.limit(0);
    api.get_when("the backlog stored", "/api/v1/audit?device=recorder", |audit| stored(audit) == BACKLOG)
        .await;
    live.finish().await;
    recorder.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crosses_a_threshold_in_an_outage_is_there_before_what_was_measured_earlier() {
    let rules = [("TIDEGATE_AGENT__RULES", "rules.toml")];
    let Outage { mut chain, proxy, recorder } = outage(&rules).await;
    let (api, agent) = (chain.api(), chain.agent_status());

    let measured = Measured::default();
    let live = measured.board(1, 100, chain.board_link());
    agent.get_when("a crossing", "/status", |status| number(status, "/counters/alarm_blocks") > 0).await;
    live.finish().await;
    agent
        .get_when("all of the board in the queue", "/status", |status| {
            number(status, "/queue/readings") > BACKLOG && number(status, "/ram/readings_waiting") == 0
        })
        .await;
    chain.agent.kill();
    chain.agent.start_with(&rules);

    proxy.limit(LINK_BYTES_PER_S);
    let mut events = Events::open(&api).await;
    proxy.restore();
    events.next("the alarm", |event| event["device"] == "board-1").await;
    let audit = api.get("/api/v1/audit?device=recorder").await;
    assert!(stored(&audit) < BACKLOG / 2, "the alarm came behind the backlog: {audit}");
    recorder.finish().await;
}

fn stored(audit: &serde_json::Value) -> u64 {
    audit.pointer("/totals/stored").and_then(serde_json::Value::as_u64).unwrap_or(0)
}

/// A board that replays a long recording as fast as the gateway takes it.
fn recorder(folder: &Path, chain: &Chain) -> BoardHandle {
    let file = folder.join("backlog.csv");
    let made = Command::new(program("tidegate-sim"))
        .args(["generate", "--seed", "3", "--rows", &BACKLOG.to_string()])
        .stdout(std::fs::File::create(&file).expect("a file in the temporary folder"))
        .status()
        .expect("tidegate-sim starts");
    assert!(made.success());
    let recorded = Recorded {
        recording: Arc::new(Recording::read(&file).expect("what the simulator wrote")),
        channel: ChannelName::new("temperature").expect("a name"),
        unit: "Cel".to_owned(),
        pace: Pace::Max,
    };
    let device = DeviceId::new("recorder").expect("a slug");
    let plan = BoardPlan::new(device, Script::Recording(recorded));
    VirtualBoard::spawn(plan, chain.board_link(), Shutdown::new()).expect("a good plan")
}
