//! `tidegate receivers` against an ingest that is a few fixed answers.

use axum::{Json, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};

use crate::{answers, fake_ingest::FakeIngest, run};

fn receiver(id: &str, state: &str, parked: u64) -> Value {
    json!({ "id": id, "type": "webhook", "to": "https://example.org", "state": state, "waiting": 3, "parked": parked,
            "oldest_waiting_unix_ms": 0, "last_success_unix_ms": 1000, "last_error_unix_ms": 2000,
            "last_error": "it answered 500", "disabled": null, "tally": { "delivered": 1, "failed": 2, "parked": 0 } })
}

#[test]
fn receivers_are_listed_with_what_is_wrong() {
    let ingest = answers(json!({ "receivers": [receiver("ops", "failing", 0), receiver("night", "ok", 0)] }));
    for arguments in [&["receivers"][..], &["receivers", "list"]] {
        let (code, out, _) = run(ingest.url(), arguments);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((code, lines.len()), (Some(0), 3), "{out}");
        assert!(lines[1].starts_with("ops") && lines[1].ends_with("it answered 500"), "{out}");
        assert!(lines[2].contains("1970-01-01 00:00:01.000") && !lines[2].contains("500"), "{out}");
    }
    let (_, out, _) = run(ingest.url(), &["receivers", "--json"]);
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows, [receiver("ops", "failing", 0), receiver("night", "ok", 0)]);
    let (_, out, _) = run(answers(json!({ "receivers": [] })).url(), &["receivers"]);
    assert!(out.contains("[[receiver]]"), "{out}");
}

#[test]
fn deliveries_are_asked_for_by_state_and_receiver() {
    let ingest = FakeIngest::start(|request| {
        assert_eq!(
            (request.line.as_str(), request.query("receiver")),
            ("GET /api/v1/deliveries", Some("ops"))
        );
        assert_eq!(request.query("state"), Some("parked"));
        let event = json!({ "transition": "raise", "priority": "high", "site": "plant", "device": "b1",
                            "channel": "t", "rule": "hot" });
        let row = json!({ "receiver": "ops", "cursor": 7, "state": "parked", "attempts": 12, "due_unix_ms": null,
                          "queued_unix_ms": 0, "last_error": "it is away", "digest": null, "event": event });
        Json(json!({ "deliveries": [row] })).into_response()
    });
    let (code, out, _) =
        run(ingest.url(), &["receivers", "deliveries", "--receiver", "ops", "--state", "parked"]);
    let row = out.lines().nth(1).unwrap_or_default();
    let cells: Vec<&str> = row.split_whitespace().collect();
    let expected =
        ["ops", "7", "parked", "12", "-", "high", "plant/b1", "t", "hot", "raise", "it", "is", "away"];
    assert_eq!((code, cells.as_slice()), (Some(0), expected.as_slice()), "{out}");
}

#[test]
fn orders_name_who_gives_them_and_fail_where_they_are_refused() {
    let ingest = FakeIngest::start(|request| {
        assert_eq!(
            serde_json::from_slice::<Value>(&request.body).expect("JSON"),
            json!({ "operator": "eva" })
        );
        match request.line.as_str() {
            "POST /api/v1/deliveries/ops/7/replay" | "POST /api/v1/receivers/ops/enable" => {
                Json(receiver("ops", "ok", 0)).into_response()
            }
            "POST /api/v1/receivers/ops/test" => {
                Json(json!({ "receiver": "ops", "delivered": false, "error": "it is away" })).into_response()
            }
            "POST /api/v1/receivers/night/test" => {
                Json(json!({ "receiver": "night", "delivered": true, "error": null })).into_response()
            }
            _ => {
                let problem = json!({ "title": "Not Found", "detail": "there is no receiver nobody" });
                (StatusCode::NOT_FOUND, Json(problem)).into_response()
            }
        }
    });
    for (arguments, code, says) in [
        (&["receivers", "replay", "ops", "7"][..], 0, "event 7 is sent to ops again"),
        (&["receivers", "enable", "ops"], 0, "ops is served"),
        (&["receivers", "test", "night"], 0, "the test message reached night"),
        (&["receivers", "test", "ops"], 1, "the test message did not reach ops: it is away"),
        (&["receivers", "enable", "nobody"], 1, "there is no receiver nobody"),
    ] {
        let (found, out, error) = run(ingest.url(), &[arguments, &["--as", "eva"]].concat());
        assert!(
            found == Some(code) && format!("{out}{error}").contains(says),
            "{arguments:?}: {found:?} {out}{error}"
        );
    }
    let (code, _, error) = run(ingest.url(), &["receivers", "enable", "ops"]);
    assert!(code == Some(2) && error.contains("--as"), "{error}");
}
