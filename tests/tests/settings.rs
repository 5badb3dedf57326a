//! A configuration that cannot work is refused by the real program with one message that names the file, the key and
//! what to do. The messages are part of the product: a change shows up here.

use std::{fs, process::Command};

use tidegate_tests::programs::program;

/// Runs `check` on a folder of files; the first is the program's own. Returns what a person would see.
fn check(name: &str, files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (file, text) in files {
        fs::write(folder.path().join(file), text).expect("the temporary folder can be written");
    }
    let file = folder.path().join(files.first().map_or("absent.toml", |(file, _)| *file));
    let output = Command::new(program(name))
        .args(["check", "--config"])
        .arg(&file)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).replace(&folder.path().display().to_string(), "FOLDER");
    format!(
        "exit {}\n{}",
        output.status.code().map_or_else(|| "by a signal".to_owned(), |c| c.to_string()),
        said
    )
}

const BROKER: &str = r#"
listen = "127.0.0.1:1883"
[[users]]
name = "ingest"
password = "x"
role = "ingest"
"#;

const AGENT: &str = r#"
site = "plant"
gateway = "gw-a"
data_dir = "data"
[broker]
address = "127.0.0.1:1883"
user = "gw-a"
password = "x"
[[source]]
type = "board-tcp"
listen = "127.0.0.1:7780"
"#;

const INGEST: &str = r#"
data_dir = "data"
rules = "rules.toml"
[broker]
address = "127.0.0.1:1883"
user = "ingest"
password = "x"
"#;

const RULES: &str = r#"
[[rule]]
id = "too-cold"
select = { channel = "temperature" }
below = 40.0
unit = "Cel"
"#;

#[test]
fn good_files_pass() {
    insta::assert_snapshot!("broker-good", check("tidegate-broker", &[("broker.toml", BROKER)]));
    insta::assert_snapshot!("agent-good", check("tidegate-agent", &[("agent.toml", AGENT)]));
    insta::assert_snapshot!(
        "ingest-good",
        check("tidegate-ingest", &[("ingest.toml", INGEST), ("rules.toml", RULES)])
    );
}

#[test]
fn a_missing_file_is_named() {
    for name in ["broker", "agent", "ingest"] {
        insta::assert_snapshot!(format!("{name}-missing-file"), check(&format!("tidegate-{name}"), &[]));
    }
}

#[test]
fn an_unknown_key_is_named_with_its_neighbour() {
    let broker = BROKER.replace("listen", "lisen");
    insta::assert_snapshot!("broker-unknown-key", check("tidegate-broker", &[("broker.toml", &broker)]));
    let agent = format!("{AGENT}[queue]\nflush_intervall_ms = 1000\n");
    insta::assert_snapshot!("agent-unknown-key", check("tidegate-agent", &[("agent.toml", &agent)]));
    let ingest = format!("{INGEST}[http]\nlissten = \"127.0.0.1:0\"\n");
    let files = [("ingest.toml", ingest.as_str()), ("rules.toml", RULES)];
    insta::assert_snapshot!("ingest-unknown-key", check("tidegate-ingest", &files));
}

#[test]
fn a_value_in_the_wrong_unit_is_named() {
    let broker = format!("{BROKER}[limits]\nconnect_timeout_ms = \"5s\"\n");
    insta::assert_snapshot!("broker-wrong-unit", check("tidegate-broker", &[("broker.toml", &broker)]));
    let agent = format!("{AGENT}[queue]\nflush_interval_ms = \"1s\"\n");
    insta::assert_snapshot!("agent-wrong-unit", check("tidegate-agent", &[("agent.toml", &agent)]));
    let ingest = format!("{INGEST}[lake]\nroll_interval_ms = \"60s\"\n");
    let files = [("ingest.toml", ingest.as_str()), ("rules.toml", RULES)];
    insta::assert_snapshot!("ingest-wrong-unit", check("tidegate-ingest", &files));
}

#[test]
fn a_device_that_exists_twice_is_named() {
    let host = "[[source]]\ntype = \"host\"\ndevice = \"gw-a-host\"\n";
    let agent = format!("{AGENT}{host}{host}");
    insta::assert_snapshot!("agent-duplicate-device", check("tidegate-agent", &[("agent.toml", &agent)]));
}

#[test]
fn a_rules_file_that_is_missing_is_named() {
    insta::assert_snapshot!("ingest-missing-rules", check("tidegate-ingest", &[("ingest.toml", INGEST)]));
}

#[test]
fn a_rule_that_can_never_work_is_named() {
    let wrong = [
        ("no-condition", RULES.replace("below = 40.0", "")),
        ("two-conditions", RULES.replace("below = 40.0", "below = 40.0\nabove = 50.0")),
        ("empty-band", RULES.replace("below = 40.0", "outside = [50.0, 40.0]")),
        ("unknown-key", RULES.replace("unit", "unitt")),
        ("unknown-priority", format!("{RULES}priority = \"urgent\"\n")),
        ("duplicate-id", RULES.repeat(2)),
    ];
    for (what, rules) in wrong {
        let files = [("ingest.toml", INGEST), ("rules.toml", rules.as_str())];
        insta::assert_snapshot!(format!("ingest-rule-with-{what}"), check("tidegate-ingest", &files));
    }
}
