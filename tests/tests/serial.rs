//! Boards on serial lines that are pulled out, plugged in again, garbled and overrun, and an agent that is killed beside
//! them: every reading arrives once.

use std::time::Duration;

use tidegate_simulator::BoardHandle;
use tidegate_tests::{api::number, cable::Cable, chain::Chain, measured::Measured};
use toml::{Table, Value};

const BOARDS: u64 = 3;
const PERIOD_MS: u32 = 20;
const MANY: u64 = 500;

/// Waits until each board has readings acknowledged that it took after now.
async fn flow(boards: &[BoardHandle]) {
    for board in boards {
        let before = board.measured();
        let until = board.wait_until(|status| status.acknowledged > before);
        let flowing = tokio::time::timeout(Duration::from_secs(60), until).await;
        flowing.unwrap_or_else(|_| panic!("{}: nothing flows: {:?}", board.device(), board.status()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boards_that_are_unplugged_garbled_and_overrun_lose_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let by_id = folder.path().join("by-id");
    let mut chain = Chain::new("");
    let source = format!("type = \"board-serial\"\npattern = \"{}/usb-board-*\"", by_id.display());
    let source: Table = source.parse().expect("TOML");
    match chain.agent.settings.get_mut("source") {
        Some(Value::Array(sources)) => sources.push(source.into()),
        _ => panic!("the agent has sources"),
    }
    chain.start();
    let measured = Measured::default();
    let (mut cables, mut boards) = (Vec::new(), Vec::new());
    for board in 1..=BOARDS {
        let cable = Cable::new(by_id.join(format!("usb-board-{board}"))).await;
        boards.push(measured.board(board, PERIOD_MS, cable.board()));
        cables.push(cable);
    }
    let before = cables[0].plug(None);
    cables[1].plug(None);
    cables[2].plug(None);
    flow(&boards).await;

    // What the first measures meanwhile it keeps; the others do not notice.
    cables[0].unplug();
    let measured_then = boards[0].measured();
    boards[0].wait_until(|status| status.measured > measured_then + MANY).await;
    flow(&boards[1..]).await;
    assert_ne!(cables[0].plug(Some(&before)), before, "another device behind the same name");
    flow(&boards).await;

    cables[1].overrun(20);
    cables[2].noise(&[0x55; 3_000]);
    cables[2].noise(&[7, 0, 8, 0, 9]);
    flow(&boards).await;
    let garbled = |status: &serde_json::Value| {
        status["counters"]["bad_frames"].as_object().is_some_and(|kinds| !kinds.is_empty())
    };
    let status = chain.agent_status().get_when("bad frames", "/status", garbled).await;
    assert_eq!(status["serial"]["opened"], BOARDS + 1, "{}", status["serial"]);

    chain.agent.kill();
    chain.agent.start();
    flow(&boards).await;
    for board in boards {
        let finished = tokio::time::timeout(Duration::from_secs(60), board.finish()).await;
        let status = finished.expect("a board delivers what it holds");
        assert_eq!((status.acknowledged, status.lost), (status.measured, 0), "{status:?}");
    }
    let all = measured.count();
    let stored = |audit: &serde_json::Value| number(audit, "/totals/stored") >= all;
    let audit = chain.api().get_when("all readings stored", "/api/v1/audit", stored).await;
    assert_eq!(number(&audit, "/totals/stored"), all, "{audit}");
    for count in ["lost", "conflicts", "outstanding"] {
        assert_eq!(number(&audit, &format!("/totals/{count}")), 0, "{count}: {audit}");
    }
}
