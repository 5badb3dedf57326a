//! Boards that are not known are held and listed, and lose nothing; devices with a key are taken under it alone.

use serde_json::Value;
use tidegate_protocol::{DeviceId, frame::keyed::DeviceKey};
use tidegate_service::Shutdown;
use tidegate_simulator::{BoardHandle, BoardPlan, VirtualBoard};
use tidegate_tests::{
    api::number,
    chain::{Chain, Part},
    devices::{devices, give_key, held},
};

const RATE: f64 = 100.0;
const KEY: &str = "00112233445566778899aabbccddeeff";
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100";

fn start(chain: &Chain, name: &str, key: Option<&str>) -> BoardHandle {
    let device = DeviceId::new(name).expect("a slug");
    let key = key.map(|key| key.parse::<DeviceKey>().expect("a key"));
    let plan = BoardPlan { key, ..BoardPlan::typical(device, 1, 1, RATE) };
    VirtualBoard::spawn(plan, chain.board_link(), Shutdown::new()).expect("a board from a good plan")
}

fn refused(agent: &Part, arguments: &[&str]) -> String {
    let output = agent.command(&[&["devices"], arguments].concat());
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A chain that welcomes nobody who is not listed; the agent does not run yet.
fn chain() -> Chain {
    let mut chain = Chain::new("");
    chain.agent.settings.insert("devices".to_owned(), toml::toml! { admit = "none" }.into());
    chain.start_broker();
    chain.ingest.start();
    chain
}

async fn audited(chain: &Chain, name: &str, measured: u64) {
    let path = format!("/api/v1/audit?device={name}");
    let audit = chain
        .api()
        .get_when("a complete audit", &path, |audit| {
            audit["complete"] == true
                && audit.pointer("/totals/measured").and_then(Value::as_u64) == Some(measured)
        })
        .await;
    assert_eq!(number(&audit, "/totals/stored"), measured, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_board_is_held_and_once_allowed_all_it_measured_arrives() {
    let mut chain = chain();
    chain.agent.start();
    let board = start(&chain, "board-1", None);
    board.wait_until(|status| status.measured > 50).await;
    let shown = held(&chain, "board-1", "unknown").await;
    assert_eq!((&shown["from"], &shown["proved_key"]), (&"127.0.0.1".into(), &false.into()));
    assert!(shown["channels"].as_array().is_some_and(|channels| !channels.is_empty()), "{shown}");
    assert_eq!(board.acknowledged(), 0);

    let status = chain.agent.address("status").to_string();
    let listed = devices(&chain.agent, &["pending", "--status", &status]);
    assert!(listed.contains("board-1") && listed.contains("devices allow board-1"), "{listed}");
    let listed: Value =
        serde_json::from_str(&devices(&chain.agent, &["pending", "--json", "--status", &status]))
            .expect("JSON");
    assert_eq!(listed[0]["device"], "board-1");

    devices(&chain.agent, &["allow", "board-1"]);
    board.wait_until(|status| status.acknowledged > 0).await;
    // It survives a restart.
    assert!(chain.agent.terminate().success());
    chain.agent.start();
    board.wait_until(|status| status.welcomed && status.connections > 1).await;
    let end = board.finish().await;
    assert_eq!((end.settled, end.lost), (end.measured, 0));
    audited(&chain, "board-1", end.measured).await;
    assert_eq!(chain.agent_status().get("/status").await["pending"], Value::Array(Vec::new()));

    // Another, turned away while it is connected.
    devices(&chain.agent, &["allow", "board-2"]);
    let board = start(&chain, "board-2", None);
    board.wait_until(|status| status.acknowledged > 0).await;
    devices(&chain.agent, &["forbid", "board-2"]);
    board.wait_until(|status| !status.welcomed).await;
    let before = board.acknowledged();
    board.wait_until(|status| status.measured > before + 200).await;
    assert!(!board.status().welcomed);
    board.stop().await;
    let gone = refused(&chain.agent, &["remove", "nobody"]);
    assert!(gone.contains("nobody is not on the list"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_key_is_taken_under_it_alone() {
    let mut chain = chain();
    chain.agent.start();
    let said = give_key(&chain, "board-1", KEY, &[]);
    assert!(!said.contains(KEY), "a key that was given is not shown: {said}");
    give_key(&chain, "board-2", KEY, &[]);
    give_key(&chain, "board-3", KEY, &[]);

    let right = start(&chain, "board-1", Some(KEY));
    let wrong = start(&chain, "board-2", Some(OTHER_KEY));
    let clear = start(&chain, "board-3", None);
    let stranger = start(&chain, "board-4", Some(KEY));
    right.wait_until(|status| status.acknowledged > 100).await;
    held(&chain, "board-2", "key-unproved").await;
    held(&chain, "board-3", "in-clear").await;
    held(&chain, "board-4", "key-unknown").await;
    for board in [wrong, clear] {
        let end = board.stop().await;
        assert!(!end.welcomed && end.acknowledged == 0, "{end:?}");
    }
    // While the agent runs, a key comes for the one, and the other's is replaced: it is shut out.
    give_key(&chain, "board-4", KEY, &[]);
    stranger.wait_until(|status| status.acknowledged > 0).await;
    let end = stranger.finish().await;
    audited(&chain, "board-4", end.measured).await;

    let twice = refused(&chain.agent, &["key", "board-1"]);
    assert!(twice.contains("--replace"), "{twice}");
    let end = right.finish().await;
    assert_eq!((end.settled, end.lost, end.bad_frames), (end.measured, 0, 0));
    audited(&chain, "board-1", end.measured).await;
    let made = devices(&chain.agent, &["key", "board-1", "--replace"]);
    assert!(made.contains("DeviceKey::new([0x"), "{made}");
    let listed = devices(&chain.agent, &["list"]);
    assert!(listed.contains("board-1") && !listed.contains(KEY), "{listed}");
    let again = start(&chain, "board-1", Some(KEY));
    held(&chain, "board-1", "key-unproved").await;
    again.stop().await;
}
