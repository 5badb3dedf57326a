//! `tidegate rules`.

mod kept;

use std::path::{Path, PathBuf};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    fake_ingest::{FakeIngest, Request},
    run, unused_address,
};

/// A folder with files in it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("it writes");
    }
    folder
}

fn arguments<'a>(words: &[&'a str], paths: &'a [PathBuf]) -> Vec<&'a str> {
    let paths = paths.iter().map(|path| path.to_str().expect("UTF-8"));
    words.iter().copied().chain(paths).collect()
}

fn check(text: &str) -> (Option<i32>, String) {
    let folder = folder(&[("rules.toml", text)]);
    let (code, out, err) = run("", &arguments(&["rules", "check"], &[folder.path().join("rules.toml")]));
    assert_eq!(err, "");
    (code, out.replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn a_check_lists_everything_with_its_line() {
    let (code, out) = check(
        "[[rule]]\nid = \"a\"\nabvoe = 1\n\n[[rule]]\nid = \"b\"\nabove = 1\nbelow = 2\ndeadband = -1\n\n\
         [[rule]]\nid = \"c\"\nabove = 1\nunit = \"degC\"\n",
    );
    assert_eq!(code, Some(1));
    let expected = "rules.toml:3: error: rule[0].abvoe: unknown key; did you mean \"above\"?\n\
         rules.toml:8: error: rule \"b\": below: the rule has two conditions, above and below; keep one and put the other \
         into a rule of its own\n\
         rules.toml:9: error: rule \"b\": deadband: -1 is not a deadband; give a finite number, 0 or more\n\
         3 problems\n";
    assert_eq!(out, expected);

    let (code, out) = check("[[rule]]\nid = \"c\"\nabove = 1\nunit = \"degC\"\n");
    assert_eq!(code, Some(0), "a warning is no error");
    assert!(out.starts_with("rules.toml:4: warning: rule \"c\": unit: \"degC\" is no SenML unit"), "{out}");
    assert!(out.ends_with("\n1 rule: good, 1 warning\n"), "{out}");

    let (code, _, err) = run("", &["rules", "check", "nowhere.toml"]);
    assert!(code == Some(1) && err.contains("nowhere.toml: there is no such file"), "{err}");
}

#[test]
fn the_rules_that_are_shipped_are_good() {
    for file in ["../deploy/rules.toml", "src/demo/rules.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let (code, out, _) = run("", &arguments(&["rules", "check"], &[path]));
        assert!(code == Some(0) && out.ends_with(": good\n"), "{file}: {out}");
    }
}

/// One value a minute from midnight.
fn csv(values: &[f64]) -> String {
    let rows = values
        .iter()
        .enumerate()
        .map(|(n, value)| format!("2026-11-27 {:02}:{:02}:00,{value}\n", n / 60, n % 60));
    format!("timestamp,value\n{}", rows.collect::<String>())
}

fn test(rules: &str, recording: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let folder = folder(&[("rules.toml", rules), ("recording.csv", recording)]);
    let rules = folder.path().join("rules.toml");
    let recording = folder.path().join("recording.csv");
    let paths = [rules, PathBuf::from("--against"), recording];
    run("", &[arguments(&["rules", "test"], &paths), more.to_vec()].concat())
}

const TWO_RULES: &str = "\
    [[rule]]\nid = \"hot\"\nabove = 30\non_delay = \"2m\"\npriority = \"high\"\nselect.channel = \"temperature\"\n\
    [[rule]]\nid = \"cold\"\nbelow = 0\n";

#[test]
fn a_test_shows_what_would_have_been_raised() {
    let recording = csv(&[20.0, 31.0, 20.0, 31.0, 32.5, 31.0, 31.0, 20.0, 31.0, 31.0, 31.0]);
    let (code, out, err) = test(TWO_RULES, &recording, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let cells = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect::<Vec<_>>()
    };
    let lines: Vec<Vec<String>> = out.lines().map(cells).collect();
    let heading = ["RULE", "PRIORITY", "DEVICE", "CHANNEL", "ONSET", "CLEAR", "DURATION", "PEAK"];
    assert_eq!(lines[0], heading);
    let (onset, clear) = ("2026-11-27 00:03:00.000", "2026-11-27 00:07:00.000");
    assert_eq!(lines[1], ["hot", "high", "recording", "value", onset, clear, "4 min", "32.5"], "{out}");
    let last = "2026-11-27 00:08:00.000";
    assert_eq!(lines[2], ["hot", "high", "recording", "value", last, "still up", "2 min", "31"], "{out}");
    assert_eq!(lines[5], ["cold", "1", "0", "-", "-", "-"], "{out}");
    assert_eq!(lines[6], ["hot", "1", "2", "6 min", "4 min", last], "{out}");
    assert!(out.ends_with("\n2 alarms over 11 readings.\n"), "{out}");

    // Once it is said what was recorded, rules watch what they select.
    let (_, out, _) = test(TWO_RULES, &recording, &["--channel", "humidity", "--json"]);
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!((&object["readings"], &object["occurrences"]), (&json!(11), &json!([])));
    assert_eq!(object["rules"][1]["channels"], 0, "{out}");
    let (_, out, _) = test(TWO_RULES, &recording, &["--channel", "temperature", "--json"]);
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    let midnight = 1_795_737_600_000_i64;
    let expected = json!({"rule": "hot", "priority": "high", "site": "recorded", "device": "recording",
        "channel": "temperature", "onset_unix_ms": midnight + 180_000, "raised_unix_ms": midnight + 300_000,
        "cleared_unix_ms": midnight + 420_000, "duration_ms": 240_000, "peak": 32.5});
    assert_eq!(object["occurrences"][0], expected);
    let expected =
        json!({"rule": "hot", "channels": 1, "occurrences": 2, "active_ms": 360_000, "longest_ms": 240_000});
    assert_eq!(object["rules"][1], expected);
}

#[test]
fn each_reading_is_judged_by_the_revision_of_its_time_and_gaps_are_silence() {
    let rules = "[[rule]]\nid = \"hot\"\nabove = 30\n\
        [[rule]]\nid = \"hot\"\nabove = 50\neffective_from = \"2026-11-27T00:03:00Z\"\n\
        [[rule]]\nid = \"silent\"\nstale = { after = 3 }\n";
    let mut recording = csv(&[20.0, 31.0, 31.0, 31.0, 51.0, 40.0]);
    recording.push_str("2026-11-27 00:15:00,20\n");
    let (_, out, _) = test(rules, &recording, &["--json"]);
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    let minutes = |at: &Value| at.as_i64().map(|at| (at - 1_795_737_600_000) / 60_000);
    let seen: Vec<_> = object["occurrences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|o| {
            let times = ["onset_unix_ms", "raised_unix_ms", "cleared_unix_ms"].map(|key| minutes(&o[key]));
            (o["rule"].as_str().expect("a rule"), times)
        })
        .collect();
    let expected = [
        ("hot", [Some(1), Some(1), Some(3)]),
        ("hot", [Some(4), Some(4), Some(5)]),
        // A reading a minute is usual.
        ("silent", [Some(5), Some(8), Some(15)]),
    ];
    assert_eq!(seen, expected, "{out}");
}

#[test]
fn a_wrong_rules_file_or_recording_is_one_line_that_says_so() {
    let (code, _, err) = test("[[rule]]\nid = \"a\"\n[[rule]]\nid = \"a\"\n", &csv(&[1.0]), &[]);
    assert!(code == Some(1) && err.contains("has 3 problems that `tidegate rules check` lists"), "{err}");
    let (code, _, err) = test(TWO_RULES, "time,value\n1,2\n", &[]);
    assert!(code == Some(1) && err.contains("must name the columns timestamp and value"), "{err}");
    let (code, _, err) = test(TWO_RULES, &csv(&[1.0]), &["--timezone", "Mars"]);
    assert!(code == Some(1) && err.contains("write it as Europe/Berlin"), "{err}");
    let (code, _, err) = test(TWO_RULES, &format!("{}nonsense,3\n", csv(&[1.0])), &[]);
    assert!(code == Some(0) && err.contains("1 row left out; the first is line 3"), "{err}");
    let (code, _, err) = run(&unused_address(), &["rules", "test", "x.toml"]);
    assert!(code == Some(2) && err.contains("--against"), "{err}");
}

#[test]
fn a_drawing_has_the_series_its_limits_and_its_alarms() {
    let rules = TWO_RULES.replace("select.channel = \"temperature\"\n", "");
    let recording = csv(&[20.0, 31.0, 31.0, 31.0, 20.0, -4.0, 20.0]);
    let out = tempfile::tempdir().expect("a folder");
    let file = out.path().join("out.svg");
    let path = file.to_str().expect("UTF-8");
    let (code, ..) = test(&rules, &recording, &["--svg", path, "--channel", "t", "--unit", "<&>"]);
    assert_eq!(code, Some(0));
    let svg = std::fs::read_to_string(&file).expect("it is there");
    let count = |what: &str| svg.matches(what).count();
    assert_eq!(
        [count("class=\"line\""), count("class=\"shade\""), count("class=\"bar\"")],
        [1, 2, 2],
        "{svg}"
    );
    assert_eq!([count("class=\"limit high\""), count("class=\"limit medium\"")], [1, 1], "{svg}");
    assert!(svg.contains("recording / t [&lt;&amp;&gt;]") && svg.contains("prefers-color-scheme"), "{svg}");
    assert_eq!(count("<g "), count("</g>"), "{svg}");
    assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"), "{svg}");
}

const MINUTE: i64 = 60_000;

fn reading(device: &str, boot: u64, seq: u64, minute: i64, value: Value) -> Value {
    json!({"site": "plant", "device": device, "channel": "t", "unit": "Cel", "boot": format!("{boot:016x}"), "seq": seq,
           "tick_ms": seq * 60_000, "time_unix_ms": minute * MINUTE, "time_quality": "synced", "value": value,
           "quality": "good"})
}

/// Two devices with a channel that rules watch, and one that has none. The newer boot comes first.
fn stored(request: &Request) -> Response {
    let device = |name: &str, channel: &str| json!({"site": "plant", "device": name, "tag": "TT-1", "channels": [{"name": channel, "unit": "Cel"}]});
    if request.line.ends_with("/devices") {
        let devices = [device("b1", "t"), device("b2", "t"), device("b3", "door")];
        return Json(json!({ "devices": devices })).into_response();
    }
    let page = match (request.query("device"), request.query("cursor")) {
        (Some("b1"), None) => {
            json!({"readings": [reading("b1", 2, 0, 3, json!(20.5)), reading("b1", 2, 1, 4, json!(20))],
                                      "next_cursor": "p2"})
        }
        (Some("b1"), Some("p2")) => {
            json!({"readings": [reading("b1", 1, 0, 1, json!(31)), reading("b1", 1, 1, 2, json!(35))],
                                            "next_cursor": null})
        }
        (Some("b2"), None) => {
            json!({"readings": [reading("b2", 9, 0, 0, json!(20)), reading("b2", 9, 1, 2, json!(40)),
                                                  reading("b2", 9, 2, 5, json!(null))], "next_cursor": null})
        }
        other => panic!("nobody watches {other:?}"),
    };
    Json(page).into_response()
}

#[test]
fn stored_readings_are_fetched_for_the_channels_that_rules_watch() {
    let rules = "[[rule]]\nid = \"hot\"\nabove = 30\nselect = { channel = \"t\", tag = \"TT-*\" }\n\
        [[rule]]\nid = \"all-hot\"\nabove = 30\nselect = { channel = \"t\" }\ngroup = { fraction = 1.0 }\n";
    let folder = folder(&[("rules.toml", rules)]);
    let paths = [folder.path().join("rules.toml")];
    let ingest = FakeIngest::start(stored);
    let command = [arguments(&["rules", "test"], &paths), vec!["--since", "7d", "--json"]].concat();
    let (code, out, err) = run(ingest.url(), &command);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    let seen: Vec<_> = object["occurrences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|o| {
            (
                o["rule"].as_str(),
                o["device"].as_str(),
                o["onset_unix_ms"].as_i64(),
                o["cleared_unix_ms"].as_i64(),
            )
        })
        .collect();
    // Of b1, the alarm goes on from its first boot into the second; at b2 it is up to the end.
    let expected = [
        (Some("hot"), Some("b1"), Some(MINUTE), Some(3 * MINUTE)),
        (Some("all-hot"), None, Some(2 * MINUTE), Some(3 * MINUTE)),
        (Some("hot"), Some("b2"), Some(2 * MINUTE), None),
    ];
    assert_eq!(seen, expected, "{out}");
    let asked = ingest.requests();
    assert!(asked[1].query("since").is_some_and(|since| since.parse::<i64>().is_ok()));
    assert_eq!((asked[1].query("site"), asked[1].query("channel")), (Some("plant"), Some("t")));

    let command = [command, vec!["--device", "b3"]].concat();
    let (code, _, err) = run(ingest.url(), &command);
    assert!(code == Some(1) && err.contains("no readings of any channel that these rules watch"), "{err}");
}

#[test]
fn a_published_recording_gives_what_a_plain_count_gives() {
    let name = "machine_temperature_system_failure.csv";
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder_of_recordings = std::env::var_os("TIDEGATE_RECORDINGS").map_or_else(beside, PathBuf::from);
    let recording = folder_of_recordings.join(name);
    assert!(
        recording.is_file(),
        "this test wants the recording {name} (Numenta Anomaly Benchmark, realKnownCause) in {}; \
         TIDEGATE_RECORDINGS names another folder",
        folder_of_recordings.display()
    );
    let text = std::fs::read_to_string(&recording).expect("it reads");
    let value = |line: &str| line.split(',').nth(1).and_then(|value| value.trim().parse::<f64>().ok());
    let values: Vec<f64> = text.lines().skip(1).filter_map(value).collect();
    let (mut episodes, mut up) = (0, false);
    for value in &values {
        episodes += usize::from(!up && *value < 40.0);
        up = *value < 40.0;
    }
    let folder = folder(&[("rules.toml", "[[rule]]\nid = \"cold\"\nbelow = 40\n")]);
    let paths = [folder.path().join("rules.toml"), PathBuf::from("--against"), recording];
    let (code, out, _) = run("", &[arguments(&["rules", "test"], &paths), vec!["--json"]].concat());
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(code, Some(0));
    assert_eq!(object["readings"].as_u64(), Some(values.len() as u64));
    assert!(episodes > 3, "the recording is another one");
    assert_eq!(object["rules"][0]["occurrences"].as_u64(), Some(episodes as u64));
}
