//! What operators do with alarms, against the real chain: it outlives the ingest.

use serde_json::Value;
use tidegate_tests::{
    chain::{Chain, SITE},
    measured::{Measured, RULES},
    tidegate::tidegate,
};

/// One JSON object.
fn object_of(url: &str, arguments: &[&str]) -> Value {
    let output = tidegate(url, arguments).output().expect("tidegate starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_with_an_alarm_is_there_after_the_ingest_was_killed() {
    let mut chain = Chain::new(RULES);
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    let raised = |alarms: &Value| {
        alarms["alarms"].as_array().is_some_and(|all| all.iter().any(|a| a["raised"].is_object()))
    };
    let alarms = chain.api().get_when("an alarm", "/api/v1/alarms?state=all", raised).await;
    let alarm = &alarms["alarms"][0];
    let part = |name: &str| alarm[name].as_str().expect("a name").to_owned();
    let name = [part("site"), part("device"), part("channel"), part("rule")].join("/");
    assert!(name.starts_with(SITE), "{name}");

    let url = chain.api().url();
    let by_eva = |action: &str, more: &[&str]| {
        let arguments = [&["alarms", action, &name, "--as", "eva", "--json"], more].concat();
        object_of(&url, &arguments)
    };
    let out = by_eva("out-of-service", &[]);
    assert_eq!((&out["state"], &out["suppressed"]), (&"out-of-service".into(), &true.into()), "{out}");
    let comment = by_eva("comment", &["--comment", "the sensor is loose"]);
    let shelved = by_eva("shelve", &["--for", "1h"]);
    let until = &shelved["operator"]["until_unix_ms"];
    assert!(until.is_i64(), "{shelved}");

    chain.ingest.kill();
    chain.ingest.start();
    let url = chain.api().url();
    let shown = object_of(&url, &["alarms", "show", &name, "--json"]);
    assert_eq!(shown["state"], "out-of-service");
    assert_eq!(&shown["lifecycle"]["shelved_until_unix_ms"], until);
    let log: Vec<_> = shown["log"].as_array().expect("a log").iter().map(|line| &line["event"]).collect();
    assert_eq!(log, [&shelved["id"], &comment["id"], &out["id"]]);
    // It goes on from there: the core knows it too.
    let arguments = ["alarms", "in-service", &name, "--as", "eva", "--json"];
    let back = object_of(&url, &arguments);
    assert_eq!((&back["state"], &back["lifecycle"]["out_of_service"]), (&"shelved".into(), &false.into()));
    let again = tidegate(&url, &arguments).output().expect("it starts");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(1) && said.contains("it is in service"), "{said}");
    board.finish().await;
}
