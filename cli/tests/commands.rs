//! The built program against an ingest that is a few fixed answers.

mod alarms;
mod certificate;
mod fake_ingest;
mod receivers;
mod rules;
mod settings;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use fake_ingest::{FakeIngest, Request};
use serde_json::{Value, json};

/// Longer than anything awaited here takes on a busy machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

fn tidegate(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(arguments)
        .env("TIDEGATE_URL", url)
        .env_remove("NO_COLOR")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// Exit code, standard output, standard error.
fn run(url: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = tidegate(url, arguments).output().expect("the program starts");
    (status.code(), String::from_utf8(stdout).expect("UTF-8"), String::from_utf8(stderr).expect("UTF-8"))
}

fn answers(body: Value) -> FakeIngest {
    FakeIngest::start(move |_| Json(body.clone()).into_response())
}

#[test]
fn devices_are_listed_in_columns() {
    let ingest = answers(json!({"devices": [
        {"site": "plant", "device": "b1", "tag": "TT-101A", "firmware": "sim 1", "boot": "000000000000000a",
         "channels": [{"index": 0, "name": "temperature", "unit": "Cel", "kind": "decimal", "scale": 2},
                      {"index": 1, "name": "door", "unit": "", "kind": "bool", "scale": 0}],
         "gateways": ["gw-a", "gw-b"], "last_arrival_unix_ms": 0}]}));
    let (code, out, _) = run(ingest.url(), &["devices"]);
    let heading = "SITE   DEVICE  TAG      FIRMWARE  GATEWAYS       LAST HEARD  CHANNELS";
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 2), "{out}");
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        heading.split_whitespace().collect::<Vec<_>>()
    );
    assert!(lines[1].starts_with("plant  b1      TT-101A  sim 1     gw-a gw-b"), "{out}");
    assert!(lines[1].ends_with("temperature [Cel], door"), "{out}");
}

#[test]
fn gateways_are_listed_with_the_rules_that_are_in_force_there() {
    let gateway = |name: &str, online: bool, rules: Value| {
        json!({"site": "plant", "gateway": name, "online": online, "version": "0.1.0",
            "last_block_unix_ms": null, "rules": rules})
    };
    let rules = |state: &str| json!({"edition": 7, "state": state, "unix_ms": 5});
    let ingest = answers(json!({"gateways": [
        gateway("gw-a", true, rules("in-force")), gateway("gw-b", false, rules("declined")),
        gateway("gw-c", true, rules("unreadable")), gateway("gw-d", true, Value::Null)]}));
    let (code, out, _) = run(ingest.url(), &["gateways"]);
    let lines: Vec<&str> = out.lines().skip(1).map(str::trim_end).collect();
    assert_eq!((code, lines.len()), (Some(0), 4), "{out}");
    for (line, link, said) in [
        (lines[0], "online", "edition 7"),
        (lines[1], "offline", "its own"),
        (lines[2], "online", "edition 7: unreadable"),
        (lines[3], "online", "-"),
    ] {
        assert!(line.contains(&format!(" {link} ")) && line.ends_with(said), "{said}: {out}");
    }
    let (_, json_lines, _) = run(ingest.url(), &["gateways", "--json"]);
    assert_eq!(json_lines.lines().count(), 4);
    let (_, none, _) = run(answers(json!({"gateways": []})).url(), &["gateways"]);
    assert_eq!(none, "No gateway was heard yet.\n");
}

#[test]
fn readings_follow_the_cursor_to_the_end_and_json_repeats_every_digit() {
    let reading = |seq: u64, value: Value| {
        json!({"site": "plant", "device": "b1", "channel": "t", "unit": "Cel", "boot": "000000000000000a", "seq": seq,
               "tick_ms": 5, "time": "1970-01-01T00:00:01Z", "time_unix_ms": 1000, "time_quality": "synced",
               "value": value, "quality": "good"})
    };
    let ingest = FakeIngest::start(move |request| {
        let page = match request.query("cursor") {
            None => json!({"readings": [reading(0, json!(0.1)), reading(1, json!(0.30000000000000004))],
                           "next_cursor": "p 2"}),
            Some("p 2") => json!({"readings": [reading(2, json!(null))], "next_cursor": null}),
            Some(other) => panic!("a cursor that was never given out: {other}"),
        };
        Json(page).into_response()
    });
    let (code, out, _) = run(ingest.url(), &["readings", "b1", "t", "--since", "10m"]);
    assert_eq!(code, Some(0));
    let values: Vec<&str> = out.lines().skip(1).map(|line| line.split_whitespace().nth(4).unwrap()).collect();
    assert_eq!(values, ["0.1", "0.30000000000000004", "-"], "{out}");
    assert!(out.contains("1970-01-01 00:00:01.000"), "{out}");
    let first = ingest.requests().remove(0);
    assert_eq!((first.query("device"), first.query("channel")), (Some("b1"), Some("t")));
    assert!(first.query("since").is_some_and(|since| since.parse::<i64>().is_ok()));

    let (_, out, _) = run(ingest.url(), &["readings", "b1", "t", "--json"]);
    let second: Value = serde_json::from_str(out.lines().nth(1).unwrap()).unwrap();
    assert!(out.contains("0.30000000000000004") && second["seq"] == 1, "{out}");

    let (_, out, _) = run(ingest.url(), &["readings", "b1", "t", "--json", "--limit", "2"]);
    assert_eq!(out.lines().count(), 2, "the limit ends the walk");
}

#[test]
fn readings_mark_times_that_are_not_to_be_trusted_or_were_corrected() {
    let reading = |seq: u64, quality: &str, corrected: bool| {
        json!({"site": "plant", "device": "b1", "channel": "t", "unit": "Cel", "boot": "000000000000000a", "seq": seq,
               "tick_ms": 5, "time": "1970-01-01T00:00:01Z", "time_unix_ms": 1000, "time_quality": quality,
               "time_error_ms": null, "time_corrected": corrected, "value": 1, "quality": "good"})
    };
    let ingest = answers(json!({"next_cursor": null, "readings": [
        reading(0, "synced", false), reading(1, "synced", true), reading(2, "estimated", false),
        reading(3, "unsynced", false), reading(4, "estimated", true)]}));
    let (code, out, _) = run(ingest.url(), &["readings", "b1", "t"]);
    assert_eq!(code, Some(0));
    let marks: Vec<&str> = out
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(1).unwrap().trim_start_matches("00:00:01.000"))
        .collect();
    assert_eq!(marks, ["", "*", "~", "?", "~*"], "{out}");
}

fn audit_answer(outstanding: u64, last_arrival_unix_ms: i64) -> Value {
    json!({"position": 9, "complete": outstanding == 0,
        "origins": [{"site": "plant", "device": "b1", "boot": "000000000000000a",
            "measured": {"count": 10, "exact": true}, "stored": 10 - outstanding, "lost": {},
            "outstanding": outstanding, "outstanding_ranges": [[3, 3 + outstanding]], "closed": false, "conflicts": 0,
            "recovered": 0, "last_arrival_unix_ms": last_arrival_unix_ms}],
        "totals": {"measured": 10, "stored": 10 - outstanding, "lost": 0, "outstanding": outstanding,
            "duplicates": 0, "conflicts": 0}})
}

#[test]
fn the_audit_tells_complete_in_flight_missing_and_unknown_apart() {
    let now = || jiff::Timestamp::now().as_millisecond();
    let (code, out, _) = run(answers(audit_answer(0, 0)).url(), &["audit"]);
    assert!(
        code == Some(0)
            && out.ends_with("Complete: 10 measured, 10 stored, 0 declared lost, 0 outstanding.\n")
    );

    let (code, out, _) = run(answers(audit_answer(4, now())).url(), &["audit", "--grace", "60s"]);
    assert!(code == Some(0) && out.contains("On its way: 10 measured, 6 stored"), "{out}");

    let ingest = answers(audit_answer(4, now() - 120_000));
    let (code, out, _) = run(ingest.url(), &["audit"]);
    assert!(
        code == Some(1) && out.contains("missing: 4 of plant/b1 boot 000000000000000a, seq 3..7"),
        "{out}"
    );
    let (code, out, _) = run(ingest.url(), &["audit", "--json"]);
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(
        (code, &object["verdict"], object["findings"][0]["count"].as_u64()),
        (Some(1), &json!("missing"), Some(4))
    );

    let (code, _, err) = run(&unused_address(), &["audit"]);
    assert!(
        code == Some(2) && err.starts_with("tidegate: could not check: cannot reach the ingest"),
        "{err}"
    );

    let empty = answers(json!({"position": 0, "origins": [], "complete": true, "totals":
        {"measured": 0, "stored": 0, "lost": 0, "outstanding": 0, "duplicates": 0, "conflicts": 0}}));
    let (code, _, err) = run(empty.url(), &["audit", "--device", "b9"]);
    assert!(code == Some(2) && err.contains("no device `b9` is known"), "{err}");
}

#[test]
fn the_audit_waits_until_all_has_arrived() {
    let ingest = FakeIngest::start_counting(|_, asked| {
        Json(audit_answer(if asked < 2 { 4 } else { 0 }, 0)).into_response()
    });
    let (code, out, _) = run(ingest.url(), &["audit", "--wait", "30s"]);
    assert!(code == Some(0) && out.contains("Complete: 10 measured"), "{out}");
    assert_eq!(ingest.requests().len(), 3);
}

#[test]
fn what_goes_wrong_is_one_line_that_says_what_to_do() {
    let address = unused_address();
    let (code, out, err) = run(&address, &["devices"]);
    let expected = format!(
        "tidegate: cannot reach the ingest at {address} (connection refused); \
         start it, or name another with --url or TIDEGATE_URL\n"
    );
    assert_eq!((code, out.as_str(), err), (Some(1), "", expected));

    let problem =
        json!({"type": "about:blank", "title": "Bad request", "status": 400, "detail": "`since` is no time"});
    let refusing =
        FakeIngest::start(move |_| (StatusCode::BAD_REQUEST, Json(problem.clone())).into_response());
    let (code, _, err) = run(refusing.url(), &["devices"]);
    assert!(code == Some(1) && err.contains("refuses: Bad request: `since` is no time"), "{err}");

    let other = FakeIngest::start(|_| "Welcome to nginx".into_response());
    let (_, _, err) = run(other.url(), &["devices"]);
    assert!(err.contains("is no Tidegate ingest") && err.lines().count() == 1, "{err}");

    let (code, _, err) = run(&address, &["readings", "b1", "t", "--since", "soon"]);
    assert!(code == Some(2) && err.contains("10m, 2h, 7d"), "{err}");
}

#[test]
fn a_reader_that_has_heard_enough_is_no_error() {
    let devices: Vec<Value> =
        (0..20_000).map(|n| json!({"site": "plant", "device": format!("b{n}")})).collect();
    let ingest = answers(json!({"devices": devices}));
    let mut child = tidegate(ingest.url(), &["devices", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let mut err = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut err).expect("UTF-8");
    assert_eq!((child.wait().expect("it ends").code(), err.as_str()), (Some(0), ""));
}

fn event(transition: &str, id: u64, provisional: bool) -> Value {
    json!({"id": format!("{id:016x}"), "transition": transition, "provisional": provisional, "late": false,
        "occurrence": "77", "site": "plant", "device": "b1", "channel": "t", "unit": "Cel", "rule": "too-cold",
        "revision": "1", "priority": "high", "boot": "000000000000000a", "seq": id, "tick_ms": 5,
        "time_unix_ms": 1000 * id, "time_quality": "synced", "value": 39.5, "limit": 40.0, "message": "cold"})
}

/// `id` is the stream's cursor; provisional events have none.
fn sse(cursor: Option<u64>, event: &Value) -> String {
    let id = cursor.map(|cursor| format!("id: {cursor}\n")).unwrap_or_default();
    format!("{id}event: alarm\ndata: {event}\n\n")
}

/// Streams the first two events and breaks; then whatever is asked for from there.
fn breaking_stream(request: &Request, asked: usize) -> Response {
    let provisional = |id| sse(None, &event("raise", id, true));
    let committed = |id| sse(Some(id), &event("raise", id, false));
    let body = match asked {
        0 => format!("retry: 1000\nid: 0\n\n: hello\n\n{}{}{}", provisional(1), committed(1), provisional(2)),
        1 => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => {
            let after: u64 = request.header("last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0);
            (after + 1..=4).map(committed).collect()
        }
    };
    ([("content-type", "text/event-stream")], body).into_response()
}

fn watch_lines(
    arguments: &[&str],
    count: usize,
    stream: fn(&Request, usize) -> Response,
) -> (Vec<String>, Vec<Request>) {
    let ingest = FakeIngest::start_counting(stream);
    let mut child = tidegate(ingest.url(), arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let (say, said) = mpsc::channel();
    thread::spawn(move || stdout.lines().try_for_each(|line| say.send(line.expect("UTF-8"))));
    let lines: Vec<String> = (0..count).map_while(|_| said.recv_timeout(PATIENCE).ok()).collect();
    child.kill().expect("it still watches");
    child.wait().expect("it ends");
    assert_eq!(lines.len(), count, "{lines:#?}");
    (lines, ingest.requests())
}

#[test]
fn the_watch_resumes_without_gaps_and_shows_each_alarm_once() {
    let (lines, requests) = watch_lines(&["watch"], 4, breaking_stream);
    let seconds: Vec<&str> = lines.iter().map(|line| &line[..23]).collect();
    let expected: Vec<String> = (1..=4).map(|id| format!("1970-01-01 00:00:0{id}.000")).collect();
    assert_eq!(seconds, expected);
    assert!(
        lines[0].contains("RAISED") && lines[0].contains("plant/b1 t = 39.5 Cel  too-cold: cold"),
        "{lines:?}"
    );
    assert!(!lines[0].contains('\x1b'), "no colour into a pipe");
    assert_eq!((requests[0].query("since"), requests[0].header("last-event-id")), (Some("now"), None));
    assert_eq!((requests[2].query("since"), requests[2].header("last-event-id")), (None, Some("1")));
}

#[test]
fn the_watch_as_json_gives_provisional_and_committed_events() {
    let (lines, _) = watch_lines(&["watch", "--json"], 6, breaking_stream);
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seen: Vec<(u64, bool)> =
        events.iter().map(|e| (e["seq"].as_u64().unwrap(), e["provisional"].as_bool().unwrap())).collect();
    assert_eq!(seen, [(1, true), (1, false), (2, true), (2, false), (3, false), (4, false)]);
}

#[test]
fn a_watch_that_loses_its_connection_before_the_first_alarm_misses_none() {
    let stream = |request: &Request, asked| {
        let body = match (asked, request.header("last-event-id")) {
            (0, _) => "retry: 1000\nid: 41\n\n".to_owned(),
            (_, Some("41")) => sse(Some(42), &event("raise", 42, false)),
            (_, other) => panic!("asked to go on after {other:?}"),
        };
        ([("content-type", "text/event-stream")], body).into_response()
    };
    let (lines, _) = watch_lines(&["watch"], 1, stream);
    assert!(lines[0].starts_with("1970-01-01 00:00:42.000  RAISED"), "{lines:?}");
}

/// An address on which nobody listens: bound once, and released.
fn unused_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}
