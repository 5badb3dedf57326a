//! What `tidegate-agent serial` and `check` say of lines, without opening them.

use std::{path::Path, process::Command};

use crate::{board::Board, gateway::Names};

const SOURCES: [&str; 3] =
    ["pattern = \"BY-ID/usb-*\"", "pattern = \"BY-ID/acm-*\"", "path = \"BY-ID/usb-b\"\nbaud = 9600"];

fn told(arguments: &[&str], config: &Path) -> String {
    let program = env!("CARGO_BIN_EXE_tidegate-agent");
    let output = Command::new(program).args(arguments).arg("--config").arg(config).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn check_says_what_each_entry_finds() {
    let (a, b, names) = (Board::new("a"), Board::new("b"), Names::new());
    names.plug("usb-a", &a);
    names.plug("usb-b", &b);
    names.plug("usb-b-too", &b);
    let config = names.configuration(&SOURCES);
    let text = told(&["check"], &config);
    let (by_id, a, b) = (names.by_id(), a.path().display(), b.path().display());
    let by_id = by_id.display();
    let expected = format!(
        "source[0] pattern \"{by_id}/usb-*\": 1 line, 115200 baud\n  \
           {by_id}/usb-a is {a}\n  \
           {by_id}/usb-b is left to source[2] path \"{by_id}/usb-b\"\n  \
           {by_id}/usb-b-too is the same line as {by_id}/usb-b, which source[2] path \"{by_id}/usb-b\" takes\n\
         source[1] pattern \"{by_id}/acm-*\": nothing is there now\n\
         source[2] path \"{by_id}/usb-b\": 1 line, 9600 baud\n  \
           {by_id}/usb-b is {b}\n"
    );
    assert!(text.ends_with(&expected), "{text}\nshould end with\n{expected}");
}

#[tokio::test]
async fn serial_lists_lines_and_what_takes_them() {
    let (a, b, names) = (Board::new("a"), Board::new("b"), Names::new());
    names.plug("usb-a", &a);
    names.plug("usb-b", &b);
    let config = names.configuration(&SOURCES);
    let listing: serde_json::Value =
        serde_json::from_str(&told(&["serial", "--json"], &config)).expect("JSON");
    let line = |board: &Board| {
        let device = serde_json::Value::from(board.path().display().to_string());
        let lines = listing["lines"].as_array().into_iter().flatten();
        lines.into_iter().find(|line| line["device"] == device).expect("it is listed").clone()
    };
    assert_eq!(line(&a)["served_by"]["baud"], 115_200);
    assert_eq!(line(&b)["served_by"]["baud"], 9_600);
    assert_eq!(line(&b)["served_by"]["path"], names.by_id().join("usb-b").display().to_string());
    let absent = format!("source[1] pattern \"{}/acm-*\"", names.by_id().display());
    assert_eq!(listing["absent"], serde_json::json!([absent]));
    let text = told(&["serial"], &config);
    assert!(text.contains(&format!("{}\n  source[0] pattern", a.path().display())), "{text}");
    assert!(text.ends_with(&format!("{absent}: nothing is there\n")), "{text}");
}
