//! `tidegate settings`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{fake_ingest::FakeIngest, run};

const PATH: &str = "/api/v1/devices/plant/boiler-7/channels/temperature/settings";
const PLACE: [&str; 4] = ["boiler-7", "temperature", "--site", "plant"];

fn settings(revision: u32, desired: Value, state: &str, code: Value) -> Value {
    let reported = match state {
        "applied" | "rejected" => {
            json!({"revision": revision, "outcome": "x", "gateway": "gw-a", "unix_ms": 0})
        }
        _ => Value::Null,
    };
    json!({"site": "plant", "device": "boiler-7", "channel": "temperature", "unit": "Cel", "revision": revision,
           "desired": desired, "set_unix_ms": 0, "state": state, "code": code, "reported": reported})
}

fn desired() -> Value {
    json!({"enabled": true, "period_ms": 900, "report_deadband": {"percent": 2.5}, "max_silence_ms": 60_000})
}

fn command(verb: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    [&["settings", verb], &PLACE[..], more].concat()
}

/// Revision 3 is there; what is put becomes revision 4, and is pending for one look.
fn ingest(state: &'static str, code: Value) -> FakeIngest {
    FakeIngest::start_counting(move |request, before| {
        let body = match (request.line.split(' ').next(), before) {
            (Some("PUT"), _) => {
                let wanted = serde_json::from_slice(&request.body).expect("JSON");
                settings(4, wanted, "pending", Value::Null)
            }
            (Some("DELETE"), _) => settings(4, Value::Null, "unset", Value::Null),
            (_, 0) => settings(3, desired(), "applied", Value::Null),
            (_, 2) => settings(4, desired(), "pending", Value::Null),
            _ => settings(4, desired(), state, code.clone()),
        };
        Json(body).into_response()
    })
}

#[test]
fn what_is_set_is_laid_over_what_was_wanted_under_its_revision() {
    let ingest = ingest("applied", Value::Null);
    let asked = command("set", &["--period", "500ms", "--report-deadband", "0.5", "--enabled", "false"]);
    let (code, out, err) = run(ingest.url(), &asked);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let requests = ingest.requests();
    let lines: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(lines, [format!("GET {PATH}"), format!("PUT {PATH}")]);
    assert_eq!(requests[1].header("if-match"), Some("\"3\""));
    let wanted: Value = serde_json::from_slice(&requests[1].body).unwrap();
    let expected = json!({"enabled": false, "period_ms": 500, "report_deadband": {"absolute": 0.5},
                          "max_silence_ms": 60_000});
    assert_eq!(wanted, expected);
    assert!(out.starts_with("plant/boiler-7 temperature, revision 4: pending, set "), "{out}");
    assert!(out.contains("enabled          no") && out.contains("report deadband  0.5 Cel"), "{out}");
}

#[test]
fn wait_ends_with_the_boards_answer_and_says_so_by_its_exit_code() {
    for (state, why, expected) in
        [("applied", Value::Null, Some(0)), ("rejected", json!("bad-period"), Some(1))]
    {
        let ingest = ingest(state, why);
        let (code, out, _) = run(ingest.url(), &command("set", &["--period", "1ms", "--wait", "--json"]));
        assert_eq!((code, ingest.requests().len()), (expected, 4), "{out}");
        let shown: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(shown["state"], state);
    }
    let ingest = ingest("pending", Value::Null);
    let (code, out, err) =
        run(ingest.url(), &command("set", &["--period", "1ms", "--wait", "--timeout", "300ms"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("has not answered"), "{err}");
}

#[test]
fn whoever_was_faster_is_not_overwritten() {
    let ingest = FakeIngest::start(|request| -> Response {
        if request.line.starts_with("PUT") {
            let problem =
                json!({"title": "Precondition Failed", "detail": "the settings were changed meanwhile"});
            return (StatusCode::PRECONDITION_FAILED, problem.to_string()).into_response();
        }
        Json(settings(3, desired(), "applied", Value::Null)).into_response()
    });
    let (code, _, err) = run(ingest.url(), &command("set", &["--enabled", "true"]));
    assert!(code == Some(1) && err.contains("changed meanwhile"), "{err}");
}

#[test]
fn show_list_and_clear_say_what_there_is() {
    let ingest = ingest("applied", Value::Null);
    let (code, out, _) = run(ingest.url(), &command("show", &[]));
    assert_eq!(code, Some(0));
    assert!(out.contains("revision 3: applied") && out.contains("through gw-a"), "{out}");
    assert!(out.contains("period           900 ms") && out.contains("report deadband  2.5 %"), "{out}");
    assert!(out.contains("max silence      60 s"), "{out}");
    let (code, out, _) = run(ingest.url(), &command("clear", &[]));
    assert_eq!((code, ingest.requests()[1].line.clone()), (Some(0), format!("DELETE {PATH}")));
    assert!(out.contains("nothing is wanted"), "{out}");

    let ingest = FakeIngest::start(|_| {
        let rejected = settings(7, desired(), "rejected", json!("bad-deadband"));
        Json(json!({"settings": [rejected]})).into_response()
    });
    let (_, out, _) = run(ingest.url(), &["settings", "list", "boiler-7"]);
    assert_eq!(ingest.requests()[0].query("device"), Some("boiler-7"));
    let row: Vec<&str> = out.lines().nth(1).unwrap().split("  ").filter(|cell| !cell.is_empty()).collect();
    let row: Vec<&str> = row.into_iter().map(str::trim).collect();
    let expected = [
        "plant",
        "boiler-7",
        "temperature",
        "7",
        "yes",
        "900 ms",
        "2.5 %",
        "60 s",
        "rejected (bad-deadband)",
    ];
    assert_eq!(row, expected, "{out}");
    let (_, out, _) = run(ingest.url(), &["settings", "list", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["revision"], 7);
}

#[test]
fn nothing_to_set_and_no_period_at_first_are_refused_with_what_to_give() {
    let ingest = FakeIngest::start(|_| Json(settings(0, Value::Null, "unset", Value::Null)).into_response());
    let (code, _, err) = run(ingest.url(), &command("set", &[]));
    assert!(code == Some(2) && err.contains("--period"), "{err}");
    assert!(ingest.requests().is_empty());
    let (code, _, err) = run(ingest.url(), &command("set", &["--report-deadband", "2%"]));
    assert!(code == Some(1) && err.contains("--period"), "{err}");
    let (code, _, err) = run(ingest.url(), &command("set", &["--report-deadband", "wide"]));
    assert!(code == Some(2) && err.contains("2%"), "{err}");
    assert_eq!(ingest.requests().len(), 1, "nothing was put");
}
