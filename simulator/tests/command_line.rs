//! `tidegate-sim` as a person runs it: what it says when it is asked for something that cannot be.

use std::{
    path::Path,
    process::{Command, Output},
};

/// A port that nothing listens on: discard, on the loopback.
const NOBODY: &str = "127.0.0.1:9";

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate-sim")).args(arguments).output().expect("tidegate-sim starts")
}

fn refused(arguments: &[&str]) -> String {
    let output = sim(arguments);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("recording.csv");
    std::fs::write(&path, text).expect("a file in the temporary folder");
    path.display().to_string()
}

#[test]
fn a_refused_recording_is_named_with_its_line_and_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("absent.csv").display().to_string();
    let said = refused(&["replay", &missing]);
    assert_eq!(
        said,
        format!(
            "tidegate-sim: {missing}: No such file or directory (os error 2); name a readable CSV file\n"
        )
    );
    let bad = file(folder.path(), "timestamp,value\n2024-01-01 00:00:00,1\n2024-01-01 00:05:00,warm\n");
    assert_eq!(
        refused(&["replay", "--strict", &bad]),
        format!("tidegate-sim: {bad}, line 3: `warm` is no number\n")
    );
    let other = file(folder.path(), "when,celsius\n2024-01-01 00:00:00,1\n");
    assert_eq!(
        refused(&["replay", &other]),
        format!(
            "tidegate-sim: {other}: its first line must name the columns timestamp and value; it names when, celsius\n"
        )
    );
}

#[test]
fn wrong_arguments_are_told_what_right_ones_look_like() {
    for (arguments, remedy) in [
        (&["fleet", "--connect", "nowhere"][..], "write HOST:PORT"),
        (&["fleet", "--for", "soon"], "write it as 30s, 5m or 1h"),
        (&["fleet", "--boards", "0"], "a fleet has 1 to 10000 boards, not 0"),
        (&["fleet", "--rate", "0"], "a board gives more than 0"),
        (&["fleet", "--prefix", "Hall 1"], "use a-z, 0-9 and -"),
        (&["fleet", "--ring-bytes", "10"], "the ring needs at least 88 bytes"),
        (&["replay", "x.csv", "--speed", "fast"], "a speed is a number above 0"),
        (&["replay", "x.csv", "--device", "A B"], "a name may hold only a-z, 0-9 and -"),
        (&["replay", "x.csv", "--timezone", "Mars/Olympus"], "write it as Europe/Berlin"),
    ] {
        let said = refused(arguments);
        assert!(said.contains(remedy), "{arguments:?} said: {said}");
    }
}

#[test]
fn a_replay_that_nobody_hears_says_so_and_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let recording =
        file(folder.path(), "timestamp,value\n2024-01-01 00:00:00,1\nnever,2\n2024-01-01 00:05:00,3\n");
    let replay = ["replay", &recording, "--connect", NOBODY, "--speed", "max", "--patience", "200ms"];
    let output = sim(&replay);
    assert_eq!(output.status.code(), Some(1));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("2 of 2 rows measured"), "{out}");
    assert!(
        out.contains(&format!("2 readings were not acknowledged: is an agent listening on {NOBODY}?")),
        "{out}"
    );
    assert!(err.contains("1 rows left out, the first in line 3: `never` is no time"), "{err}");
    let json = sim(&[&replay[..], &["--json"]].concat());
    let summary: serde_json::Value =
        serde_json::from_slice(&json.stdout).expect("one JSON object and nothing else");
    assert_eq!((summary["measured"].as_u64(), summary["unsettled"].as_u64()), (Some(2), Some(2)));
    assert_eq!(summary["rows_left_out"].as_u64(), Some(1));
}

#[test]
fn the_same_seed_writes_the_same_recording() {
    let generate = |seed| sim(&["generate", "--seed", seed, "--rows", "300"]).stdout;
    assert_eq!(generate("4"), generate("4"));
    assert_ne!(generate("4"), generate("5"));
    assert_eq!(generate("4").iter().filter(|&&byte| byte == b'\n').count(), 301);
}
