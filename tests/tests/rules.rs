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

/// How many alarms are active on the spot by a rule, by the gateway's state file.
async fn active_there(file: &std::path::Path, rule: &str) {
    eventually(&format!("an alarm of {rule} in the state file"), || {
        let read = std::fs::read(file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let alarms = read.as_ref().and_then(|state| state["alarms"].as_array().cloned()).unwrap_or_default();
        let found = alarms.iter().any(|alarm| alarm["rule"] == rule);
        async move { if found { Ok(()) } else { Err(format!("{alarms:?}")) } }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_reach_a_gateway_and_hold_there_without_a_cloud_also_after_a_kill() {
    let mut chain = Chain::new(RULES);
    chain.ingest.settings.remove("rules");
    chain.agent.settings.remove("rules");
    let state_file = chain.ingest_data().with_file_name("alarms.json");
    let local = toml::toml! { state_file = "alarms.json" };
    chain.agent.settings.insert("local_alarms".to_owned(), local.into());
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    let none = chain.agent_status().get("/status").await;
    assert_eq!(none["rules"]["from"], "none");

    let (code, said) = put(&chain, &chain.rules_file());
    assert_eq!(code, Some(0), "{said}");
    let in_force = |gateways: &Value| {
        let rules = &gateways["gateways"][0]["rules"];
        rules["edition"] == 1 && rules["state"] == "in-force"
    };
    chain.api().get_when("rules in force at the gateway", "/api/v1/gateways", in_force).await;
    active_there(&state_file, "too-cold").await;
    let told = |verdicts: &Value| {
        let one = &verdicts["verdicts"][0];
        one["gateway"] == "gw-a" && one["at_gateway"]["revision"] == one["here"] && one["here"].is_string()
    };
    chain.api().get_when("the same verdict here and there", "/api/v1/verdicts", told).await;
    let output = tidegate(&chain.api().url(), &["gateways"]).output().expect("tidegate starts");
    let listed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(listed.contains("gw-a") && listed.contains("edition 1"), "{listed}");

    // Nobody is there to bring them again.
    chain.ingest.kill();
    chain.broker.kill();
    board.finish().await;
    chain.agent.kill();
    std::fs::remove_file(&state_file).expect("it was there");
    chain.agent.start();
    let status = chain.agent_status().get("/status").await;
    assert_eq!((&status["rules"]["from"], &status["rules"]["edition"]), (&"cloud".into(), &1.into()));
    let board = measured.board(2, 10, chain.board_link());
    active_there(&state_file, "too-cold").await;
    board.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_judges_by_its_own_rules_is_shown_where_it_differs_and_raises_nothing() {
    let mut chain = Chain::new(RULES);
    chain.agent.settings.insert("rules".to_owned(), "own.toml".into());
    let own = "[[rule]]\nid = \"too-cold\"\nselect = { channel = \"temperature\" }\nbelow = 1000.0\n";
    std::fs::write(chain.rules_file().with_file_name("own.toml"), own).expect("it writes");
    chain.start();
    let measured = Measured::default();
    let board = measured.board(1, 10, chain.board_link());
    let declined = |gateways: &Value| gateways["gateways"][0]["rules"]["state"] == "declined";
    chain.api().get_when("a gateway with rules of its own", "/api/v1/gateways", declined).await;
    // Under another revision while both are active, and alone when only the gateway is.
    for difference in ["revision", "gateway-only"] {
        let path = "/api/v1/verdicts?differing=true";
        let what = format!("the difference {difference}");
        let is_told = |verdicts: &Value| verdicts["verdicts"][0]["difference"] == difference;
        chain.api().get_when(&what, path, is_told).await;
    }
    let log = |log: &Value| {
        log["log"].as_array().is_some_and(|log| {
            log.iter().any(|line| line["action"] == "disagree" && line["operator"]["by"] == "gateway gw-a")
        })
    };
    chain.api().get_when("the difference in the alarm's log", "/api/v1/alarms/log", log).await;
    board.finish().await;
}
