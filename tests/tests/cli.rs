//! The command line against the real chain: what it prints is what was measured.

use serde_json::Value;
use tidegate_simulator::BoardHandle;
use tidegate_tests::{
    chain::{Chain, OBSERVER, PASSWORD, SITE},
    measured::{LIMIT, Measured, RULES},
    tidegate::{Following, tidegate},
};

/// What it prints, line by line, when it ends well.
fn lines_of(url: &str, arguments: &[&str]) -> Vec<String> {
    let output = tidegate(url, arguments).output().expect("tidegate starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

fn objects_of(url: &str, arguments: &[&str]) -> Vec<Value> {
    lines_of(url, arguments).iter().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
}

async fn chain_with_a_board() -> (Chain, Measured, BoardHandle) {
    let mut chain = Chain::new(RULES);
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    (chain, measured, board)
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_with_what_was_measured() {
    let (chain, measured, board) = chain_with_a_board().await;
    let api = chain.api();
    let cleared = |alarms: &Value| {
        alarms["alarms"].as_array().is_some_and(|a| a.iter().any(|a| a["cleared"].is_object()))
    };
    api.get_when("an alarm that came and went", "/api/v1/alarms?state=all", cleared).await;
    board.finish().await;
    let count = measured.count();
    api.get_when("all stored", "/api/v1/audit", |audit| audit["totals"]["stored"] == count).await;
    let url = api.url();

    let devices = lines_of(&url, &["devices"]);
    assert!(devices.len() == 2 && devices[1].starts_with(&format!("{SITE}  board-1")), "{devices:?}");
    let readings = objects_of(&url, &["readings", "board-1", "temperature", "--since", "1h", "--json"]);
    let values: Vec<(u64, f64)> =
        readings.iter().filter_map(|r| Some((r["seq"].as_u64()?, r["value"].as_f64()?))).collect();
    assert_eq!(values, measured.temperatures_of("board-1"));
    assert_eq!(lines_of(&url, &["readings", "board-1", "temperature"]).len(), values.len() + 1);

    let alarms = objects_of(&url, &["alarms", "--all", "--json"]);
    assert!(
        alarms.iter().all(|alarm| alarm["raised"]["value"].as_f64().is_some_and(|v| v < LIMIT)),
        "{alarms:?}"
    );
    assert_eq!(lines_of(&url, &["alarms", "--all"]).len(), alarms.len() + 1);
    let audit = lines_of(&url, &["audit", "--device", "board-1"]);
    let expected = format!("Complete: {count} measured, {count} stored, 0 declared lost, 0 outstanding.");
    assert_eq!(audit.last(), Some(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_misses_nothing_while_the_ingest_is_killed_and_restarted() {
    let (mut chain, _, board) = chain_with_a_board().await;
    let url = chain.api().url();
    let mut watch = Following::start(tidegate(&url, &["watch", "--committed", "--json"]));
    let mut seen = vec![watch.next_line()];
    chain.ingest.kill();
    chain.ingest.start();
    while seen.len() < 6 {
        seen.push(watch.next_line());
    }
    // From the first on, what the stream has from its beginning is what was seen.
    let mut all = Following::start(tidegate(&url, &["watch", "--from-beginning", "--committed", "--json"]));
    let mut next = all.next_line();
    while next["id"] != seen[0]["id"] {
        next = all.next_line();
    }
    for event in &seen {
        assert_eq!(next["id"], event["id"], "in the store, as watched");
        next = all.next_line();
    }
    board.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_raw_watch_decodes_blocks_on_their_way() {
    let (chain, _, board) = chain_with_a_board().await;
    let broker = chain.mqtt().to_string();
    let credentials = ["--user", OBSERVER, "--password", PASSWORD];
    let mut raw = tidegate("http://127.0.0.1:9", &["watch", "--raw", "--json", "--mqtt", &broker]);
    raw.args(credentials);
    let reading = Following::start(raw).next_line();
    assert_eq!((&reading["device"], &reading["site"]), (&"board-1".into(), &SITE.into()), "{reading}");
    assert!(reading["seq"].is_u64() && !reading["value"].is_null(), "{reading}");
    board.finish().await;

    let mut refused = tidegate("http://127.0.0.1:9", &["watch", "--raw", "--mqtt", &broker]);
    let output = refused.args(["--user", OBSERVER, "--password", "wrong"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("name a user that may read"), "{said}");
}
