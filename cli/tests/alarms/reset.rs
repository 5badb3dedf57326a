//! What `watch` makes of a stream that cannot go on from its cursor.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::alarm;
use crate::{event, fake_ingest::Request, sse, watch_lines};

fn snapshot(alarm: &Value) -> String {
    format!("event: snapshot\ndata: {alarm}\n\n")
}

/// Breaks behind event 42, then in the midst of a snapshot, then behind event 58.
fn stream(request: &Request, asked: usize) -> Response {
    let reset = "event: reset\ndata: {\"reason\":\"expired\"}\n\n";
    let (b1, c9) = (snapshot(&alarm("b1", "77aa")), snapshot(&alarm("c9", "77cc")));
    let body = match (asked, request.header("last-event-id")) {
        (0, None) => format!("retry: 1000\nid: 41\n\n{}", sse(Some(42), &event("raise", 2, false))),
        (1, Some("42")) => format!("retry: 1000\nid: 42\n\n{reset}{b1}"),
        (2, Some("42")) => {
            let mut b2 = alarm("b2", "77bb");
            (b2["state"], b2["raised"]) = ("shelved".into(), Value::Null);
            let end = "event: snapshot-end\ndata: {\"alarms\":3}\nid: 57\n\n";
            let then = sse(Some(58), &event("clear", 58, false));
            format!("retry: 1000\nid: 42\n\n{reset}{b1}{c9}{}{end}{then}", snapshot(&b2))
        }
        (_, Some("58")) => sse(Some(59), &event("raise", 59, false)),
        (asked, other) => panic!("asked for the {asked}th time to go on after {other:?}"),
    };
    ([("content-type", "text/event-stream")], body).into_response()
}

#[test]
fn behind_a_reset_the_watch_shows_what_stands_and_goes_on_from_its_end() {
    let (lines, requests) = watch_lines(&["watch", "--device", "b*"], 6, stream);
    let words: Vec<&str> = lines.iter().map(|line| line[25..].split(' ').next().expect("a word")).collect();
    assert_eq!(words, ["RAISED", "STANDS", "STANDS", "STANDS", "CLEARED", "RAISED"], "{lines:#?}");
    assert!(lines[2].starts_with("1970-01-01 00:00:01.000  STANDS   high      plant/b1 t"), "{lines:#?}");
    assert!(lines[2].ends_with("too-cold  is unacknowledged"), "{lines:#?}");
    assert!(lines[3].trim_start().starts_with("STANDS   high      plant/b2 t  too-cold  is shelved"));
    assert_eq!(requests[3].header("last-event-id"), Some("58"));
}

#[test]
fn as_json_the_watch_gives_reset_snapshot_and_its_end_as_they_come() {
    let (lines, _) = watch_lines(&["watch", "--json", "--device", "b*"], 8, stream);
    let told: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<&str> = told.iter().map(|told| told["event"].as_str().unwrap_or("alarm")).collect();
    let expected = ["alarm", "reset", "snapshot", "reset", "snapshot", "snapshot", "snapshot-end", "alarm"];
    assert_eq!(names, expected);
    assert_eq!(told[3]["data"], json!({ "reason": "expired" }));
    assert_eq!(told[4]["data"], alarm("b1", "77aa"));
    assert_eq!(told[6]["data"], json!({ "alarms": 3 }));
}
