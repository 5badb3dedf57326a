//! `tidegate alarms`, and what of it `watch` shows.

mod report;
mod reset;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    event,
    fake_ingest::{FakeIngest, Request},
    run, sse, watch_lines,
};

const HOT: &str = "plant/b1/t/too-cold";
const PATH: &str = "/api/v1/alarms/plant/b1/t/too-cold";

fn lifecycle() -> Value {
    json!({"active": true, "acknowledged": false, "latched": false, "latching": false, "shelved_until_unix_ms": null,
        "suppressed_by_design": false, "out_of_service": false,
        "latest": {"occurrence": "77aa", "transition": "88bb"}})
}

fn alarm(device: &str, occurrence: &str) -> Value {
    json!({"occurrence": occurrence, "site": "plant", "device": device, "channel": "t", "rule": "too-cold",
        "priority": "high", "state": "unacknowledged", "lifecycle": lifecycle(), "raised": event("raise", 1, false),
        "cleared": null, "done": null})
}

fn verdict(difference: &str) -> Value {
    json!({"site": "plant", "device": "b1", "channel": "t", "rule": "too-cold", "gateway": "gw-a",
        "at_gateway": {"revision": "00000000000000ab", "boot": "0a", "seq": 1, "since_unix_ms": 1000},
        "here": null, "difference": difference})
}

fn deed(transition: &str, state: &str) -> Value {
    let mut done = event(transition, 9, false);
    done["state"] = state.into();
    done["operator"] = json!({"by": "eva", "comment": "", "until_unix_ms": null});
    done
}

/// Two alarms, in two pages; what is posted is done.
fn ingest() -> FakeIngest {
    FakeIngest::start(|request: &Request| -> Response {
        let line = request.line.as_str();
        if line == "GET /api/v1/alarms" {
            let page = match request.query("after") {
                None => json!({"alarms": [alarm("b1", "77aa")], "next": "p 2"}),
                Some("p 2") => json!({"alarms": [alarm("b2", "77bb")], "next": null}),
                Some(other) => panic!("a mark that was never given out: {other}"),
            };
            return Json(page).into_response();
        }
        if line == format!("GET {PATH}") {
            let mut detail = alarm("b1", "77aa");
            detail["verdicts"] = json!([verdict("gateway-only")]);
            detail["log"] = json!([{"number": 3, "unix_ms": 2000, "action": "comment", "event": "1",
                "operator": {"by": "eva", "comment": "looking", "until_unix_ms": null}, "site": "plant",
                "device": "b1", "channel": "t", "rule": "too-cold", "occurrence": "77aa", "state": "unacknowledged"}]);
            detail["occurrences"] = json!([{"occurrence": "77aa", "site": "plant", "device": "b1", "channel": "t",
                "rule": "too-cold", "revision": "1", "priority": "high", "clear": null,
                "onset": {"boot": "0a", "seq": 1, "tick_ms": 5, "time_unix_ms": 1000},
                "peak": {"seq": 1, "value": 39.5}}]);
            return Json(detail).into_response();
        }
        if line == "GET /api/v1/verdicts" {
            return Json(json!({"verdicts": [verdict("gateway-only")]})).into_response();
        }
        assert!(line.starts_with("POST /api/v1/alarms/plant/"), "{line}");
        Json(deed("acknowledge", "acknowledged")).into_response()
    })
}

fn posts(ingest: &FakeIngest) -> Vec<(String, Value, String)> {
    let posted = ingest.requests().into_iter().filter(|request| request.line.starts_with("POST"));
    let parts = posted.map(|request| {
        let key = request.header("idempotency-key").expect("a key").to_owned();
        (request.line.clone(), serde_json::from_slice(&request.body).expect("JSON"), key)
    });
    parts.collect()
}

#[test]
fn alone_it_lists_all_pages_of_what_is_not_normal() {
    let ingest = ingest();
    let (code, out, _) = run(ingest.url(), &["alarms"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 5), "{out}");
    assert_eq!(lines[4], "1 verdicts of gateways differ: tidegate alarms verdicts --differing");
    assert!(lines[1].starts_with("high      unacknowledged  1970-01-01 00:00:01.000"), "{out}");
    assert!(lines[2].contains("plant  b2"), "{out}");
    assert_eq!(ingest.requests()[0].query("state"), Some("standing"));
    let (_, json_lines, _) = run(ingest.url(), &["alarms", "list", "--json"]);
    assert_eq!(json_lines.lines().count(), 2);
    run(ingest.url(), &["alarms", "--all", "--device", "b*", "--priority", "high,low", "--unacknowledged"]);
    let asked = |ingest: &FakeIngest| {
        let mut all = ingest.requests().into_iter();
        all.rfind(|request| request.line == "GET /api/v1/alarms").expect("a request")
    };
    let lists = asked(&ingest);
    let query = ["state", "device", "priority", "unacknowledged", "kind"].map(|name| lists.query(name));
    assert_eq!(query, [Some("all"), Some("b*"), Some("high,low"), Some("true"), None]);
    run(ingest.url(), &["alarms", "--kind", "stale,gateway"]);
    assert_eq!(asked(&ingest).query("kind"), Some("stale,gateway"));
    let (code, _, err) = run(ingest.url(), &["alarms", "--kind", "board"]);
    assert!(code == Some(2) && err.contains("channel, stale, group, gateway"), "{err}");
    let (code, _, err) = run(ingest.url(), &["alarms", "--priority", "urgent"]);
    assert!(code == Some(2) && err.contains("critical, high, medium, low"), "{err}");
}

#[test]
fn verdicts_of_gateways_are_listed_and_shown_with_their_alarm() {
    let ingest = ingest();
    let (code, out, err) = run(ingest.url(), &["alarms", "verdicts", "--differing", "--rule", "too-*"]);
    assert_eq!(code, Some(0), "{err}");
    let line = out.lines().nth(1).expect("a verdict");
    for said in [HOT, "gw-a", "1970-01-01 00:00:01.000", "00000000000000ab", "not active", "gateway-only"] {
        assert!(line.contains(said), "{said}: {out}");
    }
    let asked = ingest.requests().pop().expect("a request");
    assert_eq!((asked.query("differing"), asked.query("rule")), (Some("true"), Some("too-*")));
    let (_, json_lines, _) = run(ingest.url(), &["alarms", "verdicts", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json_lines).expect("JSON"), verdict("gateway-only"));
    let (_, shown, _) = run(ingest.url(), &["alarms", "show", HOT]);
    assert!(shown.contains("gateway-only"), "{shown}");
}

#[test]
fn an_alarm_is_acknowledged_as_it_was_seen() {
    let ingest = ingest();
    let (code, out, err) = run(ingest.url(), &["alarms", "ack", HOT, "--as", "eva", "--comment", "on it"]);
    assert_eq!((code, out.as_str()), (Some(0), "plant/b1/t/too-cold is acknowledged.\n"), "{err}");
    let (line, order, key) = posts(&ingest).remove(0);
    assert_eq!(line, format!("POST {PATH}/acknowledge"));
    let expected = json!({"operator": "eva", "comment": "on it", "occurrence": "77aa", "transition": "88bb"});
    assert_eq!(order, expected);
    assert_eq!(key.len(), 34, "32 digits in quotes: {key}");
    // By its occurrence; of two that fit, none.
    let (code, ..) = run(ingest.url(), &["alarms", "ack", "77A", "--as", "eva"]);
    assert_eq!((code, posts(&ingest).len()), (Some(0), 2));
    for (name, said) in
        [("77", "2 alarms have"), ("ab", "begins with ab"), ("x", "SITE/DEVICE"), ("a/b", "SITE/")]
    {
        let (_, _, err) = run(ingest.url(), &["alarms", "ack", name, "--as", "eva"]);
        assert!(err.contains(said), "{name}: {err}");
    }
    assert_eq!(posts(&ingest).len(), 2, "none of them was ordered");
}

#[test]
fn each_action_has_its_order() {
    for (arguments, action, fields) in [
        (&["shelve", HOT, "--for", "2h"][..], "shelve", json!({"for_ms": 7_200_000})),
        (&["shelve", HOT, "--until", "1970-01-01T00:00:05Z"], "shelve", json!({"until_unix_ms": 5_000})),
        (&["unshelve", HOT], "unshelve", json!({})),
        (&["suppress", HOT], "suppress", json!({})),
        (&["unsuppress", HOT], "unsuppress", json!({})),
        (&["out-of-service", HOT], "out-of-service", json!({})),
        (&["in-service", HOT], "in-service", json!({})),
        (&["reset", HOT], "reset", json!({})),
        (&["comment", HOT, "--comment", "hm"], "comment", json!({"comment": "hm"})),
    ] {
        let ingest = ingest();
        let arguments = [&["alarms"], arguments, &["--as", "eva", "--json"]].concat();
        let (code, out, err) = run(ingest.url(), &arguments);
        assert_eq!(code, Some(0), "{arguments:?} {err}");
        let done: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(done["transition"], "acknowledge", "the event as it came");
        let (line, order, _) = posts(&ingest).remove(0);
        let mut expected = fields;
        expected["operator"] = "eva".into();
        assert_eq!((line, order), (format!("POST {PATH}/{action}"), expected));
    }
    for (arguments, said) in [
        (&["shelve", HOT, "--as", "eva"][..], "--for"),
        (&["comment", HOT, "--as", "eva"], "--comment"),
        (&["reset", HOT], "--as"),
        (&["ack", "--as", "eva"], "ALARM"),
        (&["ack", "--yes", HOT, "--as", "eva"], "ALARM"),
    ] {
        let (code, _, err) = run("http://127.0.0.1:9", &[&["alarms"], arguments].concat());
        assert!(code == Some(2) && err.contains(said), "{arguments:?}: {err}");
    }
}

#[test]
fn all_that_fit_are_acknowledged_only_with_yes() {
    let ingest = ingest();
    let all = ["alarms", "ack", "--all", "--device", "b?", "--as", "eva"];
    let (code, out, err) = run(ingest.url(), &all);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(err.contains("plant/b2/t/too-cold") && err.contains("with --yes, these 2"), "{err}");
    assert_eq!(posts(&ingest).len(), 0);
    let asked = ingest.requests().pop().expect("a request");
    assert_eq!((asked.query("unacknowledged"), asked.query("device")), (Some("true"), Some("b?")));
    let (code, out, _) = run(ingest.url(), &[&all[..], &["--yes"]].concat());
    assert_eq!((code, out.lines().count()), (Some(0), 2));
    let lines: Vec<String> = posts(&ingest).into_iter().map(|(line, ..)| line).collect();
    assert_eq!(
        lines,
        ["b1", "b2"].map(|device| format!("POST /api/v1/alarms/plant/{device}/t/too-cold/acknowledge"))
    );
}

#[test]
fn a_refusal_says_in_which_state_the_alarm_is() {
    let ingest = FakeIngest::start(|request: &Request| {
        if request.line.starts_with("GET") {
            let mut detail = alarm("b1", "77aa");
            (detail["log"], detail["occurrences"]) = (json!([]), json!([]));
            return Json(detail).into_response();
        }
        let problem = json!({"type": "about:blank", "title": "Conflict", "status": 409, "detail": "it has moved on",
            "refusal": "superseded", "state": "rtn-unacknowledged"});
        (StatusCode::CONFLICT, Json(problem)).into_response()
    });
    let (code, out, err) = run(ingest.url(), &["alarms", "ack", HOT, "--as", "eva"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("Conflict: it has moved on (it is rtn-unacknowledged now)"), "{err}");
}

/// The first connection breaks after the order was read.
#[test]
fn an_order_whose_answer_is_lost_is_sent_again_under_the_same_key() {
    let ingest = FakeIngest::start_counting(|_, asked| {
        if asked == 0 {
            // A body that ends early.
            return ([("content-length", "999")], "{").into_response();
        }
        Json(deed("reset", "normal")).into_response()
    });
    let (code, out, err) = run(ingest.url(), &["alarms", "reset", HOT, "--as", "eva"]);
    assert_eq!((code, out.as_str()), (Some(0), "plant/b1/t/too-cold is normal.\n"), "{err}");
    let keys: Vec<String> = posts(&ingest).into_iter().map(|(.., key)| key).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn one_alarm_is_shown_with_its_log_and_its_occurrences() {
    let ingest = ingest();
    let (code, out, err) = run(ingest.url(), &["alarms", "show", HOT]);
    assert_eq!(code, Some(0), "{err}");
    for said in [
        "plant/b1/t/too-cold  unacknowledged, high\n",
        "  raised       1970-01-01 00:00:01.000  at 39.5 Cel  cold\n",
        "  kind         channel\n",
        "  occurrence   77aa\n",
        "  acknowledged no\n",
        "1970-01-01 00:00:02.000  comment  eva  unacknowledged  looking\n",
        "1970-01-01 00:00:01.000           high      plant  b1      t        too-cold  39.5\n",
    ] {
        assert!(out.contains(said), "{said:?} is not in\n{out}");
    }
    let (_, out, _) = run(ingest.url(), &["alarms", "show", HOT, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["log"][0]["number"], 3);
}

#[test]
fn history_goes_back_page_by_page_and_is_printed_forward() {
    let occurrence = |seq: u64, priority: &str| {
        json!({"occurrence": "7", "site": "plant", "device": format!("b{seq}"), "channel": "t", "rule": "too-cold",
            "revision": "1", "priority": priority, "clear": null, "peak": {"seq": seq, "value": 1},
            "onset": {"boot": "0a", "seq": seq, "tick_ms": 5, "time_unix_ms": null}})
    };
    let ingest = FakeIngest::start(move |request: &Request| {
        let page = match request.query("after") {
            None => json!({"occurrences": [occurrence(2, "high"), occurrence(3, "low")], "next": "m"}),
            Some("m") => json!({"occurrences": [occurrence(1, "high")], "next": null}),
            Some(other) => panic!("a mark that was never given out: {other}"),
        };
        Json(page).into_response()
    });
    let (code, out, _) = run(ingest.url(), &["alarms", "history", "--priority", "high"]);
    let devices: Vec<&str> =
        out.lines().skip(1).map(|line| line.split_whitespace().nth(4).expect("a device")).collect();
    assert_eq!((code, devices), (Some(0), vec!["b1", "b2"]), "{out}");
    let (_, out, _) = run(ingest.url(), &["alarms", "history", "--limit", "2", "--json"]);
    assert_eq!(out.lines().count(), 2);
    let (_, out, _) = run(ingest.url(), &["alarms", "history", "--kind", "gateway"]);
    assert_eq!(out, "No such alarm is in history.\n");
}

#[test]
fn the_watch_shows_what_is_done_and_only_what_fits_its_filter() {
    fn stream(_: &Request, _: usize) -> Response {
        let mut elsewhere = event("raise", 2, false);
        elsewhere["device"] = "c9".into();
        let mut on_the_shelf = event("raise", 3, false);
        on_the_shelf["suppressed"] = true.into();
        let mut again = deed("shelf-expired", "unacknowledged");
        (again["lifecycle"], again["operator"]["by"]) = (lifecycle(), "".into());
        again["id"] = "5".into();
        let events =
            [event("raise", 1, false), elsewhere, on_the_shelf, deed("acknowledge", "acknowledged"), again];
        let body: String = (1..).zip(&events).map(|(cursor, event)| sse(Some(cursor), event)).collect();
        ([("content-type", "text/event-stream")], body).into_response()
    }
    let (lines, _) = watch_lines(&["watch", "--device", "b*", "--priority", "high"], 4, stream);
    assert!(lines[0].contains("RAISED") && lines[0].contains("plant/b1"), "{lines:?}");
    assert!(lines[1].ends_with("(suppressed)"), "{lines:?}");
    assert!(
        lines[2].contains("ACKED") && lines[2].ends_with("too-cold  is acknowledged by eva"),
        "{lines:?}"
    );
    assert!(lines[3].contains("AGAIN") && lines[3].ends_with("is unacknowledged"), "{lines:?}");
}

#[test]
fn the_watch_shows_the_kinds_that_are_asked_for_and_what_says_none_is_of_a_channel() {
    fn stream(_: &Request, _: usize) -> Response {
        let of = |seq: u64, kind: &str| {
            let mut event = event("raise", seq, false);
            event["kind"] = kind.into();
            event
        };
        let events =
            [event("raise", 1, false), of(2, "gateway"), of(3, "group"), of(4, "channel"), of(5, "stale")];
        let mut standing = alarm("b7", "77aa");
        standing["kind"] = "gateway".into();
        let snapshot = format!("event: snapshot\ndata: {standing}\n\n");
        let body: String = (1..).zip(&events).map(|(cursor, event)| sse(Some(cursor), event)).collect();
        ([("content-type", "text/event-stream")], snapshot + &body).into_response()
    }
    let shown = |kinds: &str, count| -> Vec<String> {
        let (lines, _) = watch_lines(&["watch", "--json", "--kind", kinds], count, stream);
        let told = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        told.map(|told| told["seq"].as_u64().map_or("stands".to_owned(), |seq| seq.to_string())).collect()
    };
    assert_eq!(shown("channel,stale", 3), ["1", "4", "5"]);
    assert_eq!(shown("gateway", 2), ["stands", "2"]);
}

#[test]
fn a_full_screen_needs_a_terminal() {
    let ingest = ingest();
    let (code, _, err) = run(ingest.url(), &["watch", "--full-screen"]);
    assert!(code == Some(2) && err.contains("needs a terminal"), "{err}");
    assert!(ingest.requests().is_empty());
}
