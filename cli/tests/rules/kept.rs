//! `tidegate rules list | show | log | put` against an ingest that is a few fixed answers.

use axum::{Json, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};

use super::folder;
use crate::{answers, fake_ingest::FakeIngest, run};

fn rule() -> Value {
    let says = |condition: &str| {
        json!({ "kind": "channel", "priority": "high", "condition": condition, "group": null,
                "select": { "site": "*", "device": "boiler-*", "channel": "t", "tag": "*", "labels": {} }, "unit": "Cel",
                "deadband": 0.5, "on_delay_ms": 0, "off_delay_ms": 0, "latching": false, "quiet_hours": null, "message": null })
    };
    json!({ "id": "hot", "state": "retired", "kind": "channel", "priority": "high", "condition": "above = 80",
            "revisions": [
                { "effective_from_unix_ms": null, "dated": false, "revision": "00000000000000aa", "says": says("above = 60") },
                { "effective_from_unix_ms": 1000, "dated": true, "revision": "00000000000000bb", "says": says("above = 80") },
                { "effective_from_unix_ms": 2000, "dated": false, "revision": null, "says": null } ] })
}

#[test]
fn rules_are_listed_with_their_edition_and_owner() {
    let ingest = answers(json!({ "edition": 7, "owner": "file", "rules": [rule()] }));
    let (code, out, _) = run(ingest.url(), &["rules", "list"]);
    let lines: Vec<&str> = out.lines().collect();
    let cells: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(cells, ["hot", "retired", "channel", "high", "3", "above", "=", "80"], "{out}");
    assert!(
        code == Some(0) && out.ends_with("Edition 7; they are those of the ingest's rules file.\n"),
        "{out}"
    );
    assert_eq!(ingest.requests()[0].line, "GET /api/v1/rules");
    let (_, out, _) = run(ingest.url(), &["rules", "list", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("one line of JSON"), rule());
    let (_, out, _) =
        run(answers(json!({ "edition": 0, "owner": "api", "rules": [] })).url(), &["rules", "list"]);
    assert_eq!(out, "Edition 0; they are changed with `tidegate rules put`.\n");
}

#[test]
fn a_rule_is_shown_through_time() {
    let ingest = answers(rule());
    let (code, out, _) = run(ingest.url(), &["rules", "show", "hot"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines[0]), (Some(0), "hot: retired, channel"));
    assert!(lines[2].starts_with("always") && lines[2].ends_with("*/boiler-*/t  above = 60 Cel"), "{out}");
    assert!(lines[3].starts_with("1970-01-01 00:00:01.000  00000000000000bb  high"), "{out}");
    assert!(lines[4].starts_with("1970-01-01 00:00:02.000  -") && lines[4].ends_with("retired"), "{out}");
    assert_eq!(ingest.requests()[0].line, "GET /api/v1/rules/hot");
    let (code, _, error) = run(ingest.url(), &["rules", "show", "../alarms"]);
    assert!(code == Some(1) && error.contains("no rule's name"), "{error}");
    assert_eq!(ingest.requests().len(), 1, "it was not asked for");
}

#[test]
fn the_log_says_who_changed_what() {
    let line = json!({ "unix_ms": 1000, "operator": "eva", "reason": "summer", "edition": 3,
                       "added": ["a", "b"], "changed": [], "retired": ["c"] });
    let ingest = answers(json!({ "log": [line] }));
    let (code, out, _) = run(ingest.url(), &["rules", "log", "--limit", "5"]);
    let row = out.lines().nth(1).unwrap_or_default();
    assert!(code == Some(0) && row.ends_with("eva  summer  added a, b; retired c"), "{out}");
    assert_eq!(ingest.requests()[0].query("limit"), Some("5"));
    let (_, out, _) = run(ingest.url(), &["rules", "log", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("one line of JSON"), line);
}

const GOOD: &str = "# summer\n[[rule]]\nid = \"hot\"\nabove = 60\n";

fn put(ingest: &FakeIngest, text: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let folder = folder(&[("rules.toml", text)]);
    let path = folder.path().join("rules.toml");
    let file = path.to_str().expect("UTF-8");
    let given = ["rules", "put", file, "--as", "eva", "--reason", "summer & heat"];
    run(ingest.url(), &[&given, more].concat())
}

#[test]
fn a_file_is_put_as_it_is_with_who_and_why() {
    let ingest = FakeIngest::start(|request| {
        let warnings = json!(["rule \"hot\": unit: odd"]);
        let dry_run = request.query("dry_run") == Some("true");
        Json(json!({ "dry_run": dry_run, "edition": 4, "added": ["hot"], "changed": [], "retired": ["cold"],
                     "warnings": warnings }))
        .into_response()
    });
    let (code, out, error) = put(&ingest, GOOD, &[]);
    assert_eq!((code, out.as_str()), (Some(0), "Edition 4: added hot; retired cold.\n"), "{error}");
    assert_eq!(error, "warning: rule \"hot\": unit: odd\n");
    let (_, out, _) = put(&ingest, GOOD, &["--dry-run", "--edition", "4"]);
    assert_eq!(out, "Nothing was changed (edition 4); it would be: added hot; retired cold.\n");
    let requests = ingest.requests();
    let [order, dry] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((order.line.as_str(), &order.body[..]), ("PUT /api/v1/rules", GOOD.as_bytes()));
    assert_eq!((order.query("operator"), order.query("reason")), (Some("eva"), Some("summer & heat")));
    assert_eq!((order.query("dry_run"), order.header("if-match")), (None, None));
    assert_eq!(order.header("content-type"), Some("application/toml"));
    assert_eq!((dry.query("dry_run"), dry.header("if-match")), (Some("true"), Some("\"4\"")));
}

#[test]
fn what_changes_nothing_and_what_is_refused_is_said() {
    let same =
        json!({ "dry_run": false, "edition": 4, "added": [], "changed": [], "retired": [], "warnings": [] });
    let (code, out, _) = put(&answers(same), GOOD, &[]);
    assert_eq!((code, out.as_str()), (Some(0), "The rules say that already (edition 4).\n"));
    let refuses = FakeIngest::start(|_| {
        let problem = json!({ "title": "Conflict", "detail": "the rules are those of /etc/rules.toml" });
        (StatusCode::CONFLICT, Json(problem)).into_response()
    });
    let (code, _, error) = put(&refuses, GOOD, &[]);
    assert!(code == Some(1) && error.contains("those of /etc/rules.toml"), "{error}");
    // A wrong file does not leave.
    let (code, _, error) = put(&refuses, "[[rule]]\nid = \"hot\"\n", &[]);
    assert!(code == Some(1) && error.contains("has 1 problem that `tidegate rules check` lists"), "{error}");
    assert_eq!(refuses.requests().len(), 1);
    let (code, _, error) = run(refuses.url(), &["rules", "put", "rules.toml"]);
    assert!(code == Some(2) && error.contains("--reason"), "{error}");
    // Who has no token says who they are.
    let arguments = ["device", "retire", "press-4", "--site", "plant", "--reason", "x"];
    let (code, _, error) = run(refuses.url(), &arguments);
    assert!(code == Some(2) && error.contains("--as") && error.contains("TIDEGATE_TOKEN"), "{error}");
    assert_eq!(refuses.requests().len(), 1, "nothing was asked");
}
