//! Rules that change while the chain runs: by their file and SIGHUP, or over the API.

use serde_json::Value;
use tidegate_tests::{
    chain::Chain,
    eventually::eventually,
    measured::{Measured, RULES},
    tidegate::tidegate,
};

/// Beside the first: the boards' temperature goes back and forth over the limit of both.
const TOO_WARM: &str = r#"
[[rule]]
id = "too-warm"
select = { device = "board-*", channel = "temperature" }
above = 40.0
"#;

/// Waits for a line of the ingest's log.
async fn logs(chain: &mut Chain, said: &str) {
    let what = format!("a line of the log that says {said:?}");
    eventually(&what, || {
        let lines = chain.ingest.daemon().last_lines();
        let found = lines.iter().any(|line| line.contains(said));
        async move { if found { Ok(()) } else { Err(format!("none of the last {}", lines.len())) } }
    })
    .await;
}

/// Waits until the rule raised.
async fn raises(chain: &Chain, rule: &str) {
    let path = format!("/api/v1/alarms?state=all&rule={rule}");
    let raised = |alarms: &Value| {
        alarms["alarms"].as_array().is_some_and(|all| all.iter().any(|alarm| alarm["raised"].is_object()))
    };
    chain.api().get_when(&format!("a raise by {rule}"), &path, raised).await;
}

fn in_force(rules: &Value) -> Vec<&str> {
    let rules = rules["rules"].as_array().expect("a list of rules");
    let rules = rules.iter().filter(|rule| rule["state"] == "in-force");
    rules.filter_map(|rule| rule["id"].as_str()).collect()
}

/// Exit code, and all that it said.
fn put(chain: &Chain, file: &std::path::Path) -> (Option<i32>, String) {
    let file = file.to_str().expect("UTF-8");
    let arguments = ["rules", "put", file, "--as", "eva", "--reason", "tried"];
    let output = tidegate(&chain.api().url(), &arguments).output().expect("tidegate starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rules_file_is_read_again_on_sighup_and_a_wrong_one_changes_nothing() {
    let mut chain = Chain::new(RULES);
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    raises(&chain, "too-cold").await;
    let before = chain.api().get("/api/v1/rules").await;
    assert_eq!((in_force(&before), &before["owner"]), (vec!["too-cold"], &"file".into()));

    let wrong = "[[rule]]\nid = \"too-warm\"\nabove = 1\nbelow = 0\ndeadband = -1\n";
    std::fs::write(chain.rules_file(), wrong).expect("it writes");
    chain.ingest.daemon().signal(libc::SIGHUP);
    logs(&mut chain, "the rules stay as they are").await;
    for problem in ["rule[0].below", "rule[0].deadband"] {
        logs(&mut chain, problem).await;
    }
    assert_eq!(chain.api().get("/api/v1/rules").await, before);

    std::fs::write(chain.rules_file(), format!("{RULES}{TOO_WARM}")).expect("it writes");
    chain.ingest.daemon().signal(libc::SIGHUP);
    raises(&chain, "too-warm").await;
    let after = chain.api().get("/api/v1/rules").await;
    assert_eq!(in_force(&after), ["too-cold", "too-warm"]);
    let log = chain.api().get("/api/v1/rules/log").await;
    let newest = &log["log"][0];
    assert_eq!((&newest["operator"], &newest["added"][0]), (&"rules file".into(), &"too-warm".into()));
    assert_eq!(newest["edition"], after["edition"]);

    let (code, said) = put(&chain, &chain.rules_file());
    assert!(code == Some(1) && said.contains("rules.toml") && said.contains("SIGHUP"), "{said}");
    board.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_the_rules_are_what_the_api_was_given_also_after_a_kill() {
    let mut chain = Chain::new(RULES);
    chain.ingest.settings.remove("rules");
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    let (code, said) = put(&chain, &chain.rules_file());
    assert_eq!((code, said.as_str()), (Some(0), "Edition 1: added too-cold.\n"));
    raises(&chain, "too-cold").await;

    chain.ingest.kill();
    chain.ingest.start();
    let rules = chain.api().get("/api/v1/rules").await;
    assert_eq!((&rules["edition"], &rules["owner"]), (&1.into(), &"api".into()));
    assert_eq!(in_force(&rules), ["too-cold"]);
    chain.ingest.daemon().signal(libc::SIGHUP);
    logs(&mut chain, "there is nothing to read again").await;
    assert_eq!(chain.api().get("/api/v1/rules").await, rules);
    board.finish().await;
}
