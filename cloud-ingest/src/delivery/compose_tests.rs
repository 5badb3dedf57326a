use super::*;
use crate::delivery::core::test_support::{cleared, event, with_priority};

/// 2026-11-27T00:00:00Z, at which the events' ticks begin.
const MIDNIGHT: i64 = 1_795_737_600_000;

fn told(mut event: AlarmEvent, began_ms: i64, queued_ms: i64) -> Told {
    event.time_unix_ms = Some(MIDNIGHT + began_ms);
    event.onset.time_unix_ms = event.time_unix_ms;
    Told { event, queued_unix_ms: MIDNIGHT + queued_ms, quiet_until_unix_ms: None }
}

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

fn json(composed: &Composed) -> serde_json::Value {
    serde_json::from_slice(&composed.json).expect("JSON")
}

fn one(told: Told) -> Composed {
    compose("ops", None, 7, &[told], &TimeZone::UTC).expect("something to tell")
}

#[test]
fn one_event_is_told_as_it_is_stored_under_its_own_id() {
    let raised = told(event("plant", "board-1", 1), 2 * HOUR, 2 * HOUR);
    let composed = one(raised.clone());
    let payload = json(&composed);
    assert_eq!(payload["type"], "alarm.raised");
    assert_eq!(payload["timestamp"], "2026-11-27T02:00:00Z");
    assert_eq!(payload["data"], serde_json::to_value(&raised.event).expect("JSON"));
    assert_eq!(payload["data"]["id"], composed.id);
    assert_eq!(composed.subject, "[high] plant/board-1 temperature: hot raised");
    assert!(composed.text.contains("value       99.5 Cel (limit 60 Cel)\n"), "{}", composed.text);
    assert!(!composed.text.contains("learned"));
    let composed = one(told(cleared("plant", "board-1", 1), 0, 0));
    assert_eq!(json(&composed)["type"], "alarm.cleared");
    assert_eq!(one(raised.clone()), one(raised), "whenever it is sent, it says the same");
}

#[test]
fn late_news_say_when_it_began_and_when_it_was_learned() {
    let mut late = told(event("plant", "board-1", 1), 2 * HOUR + 14 * MINUTE, 6 * HOUR + 30 * MINUTE);
    late.event.late = true;
    let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
    let composed = compose("ops", None, 7, &[late.clone()], &berlin).expect("something to tell");
    let line = "late        began 2026-11-27 03:14:00 CET, learned 2026-11-27 07:30:00 CET\n";
    assert!(composed.text.contains(line), "{}", composed.text);
    assert!(composed.subject.ends_with("hot raised, learned late"), "{}", composed.subject);
    late.event.learned_unix_ms = Some(MIDNIGHT + 5 * HOUR);
    assert!(one(late).text.contains("learned 2026-11-27 05:00:00 UTC"));
}

#[test]
fn what_waited_for_the_end_of_quiet_hours_has_both_times() {
    let mut held = told(event("plant", "board-1", 1), 2 * HOUR, 2 * HOUR + MINUTE);
    assert_eq!(json(&one(held.clone())).get("quiet_until"), None);
    held.quiet_until_unix_ms = Some(MIDNIGHT + 6 * HOUR);
    let composed = one(held);
    let line = "quiet       it came 2026-11-27 02:01:00 UTC, in quiet hours until 2026-11-27 06:00:00 UTC\n";
    assert!(composed.text.contains(line), "{}", composed.text);
    assert!(composed.text.contains("time        2026-11-27 02:00:00 UTC\n"), "{}", composed.text);
    let payload = json(&composed);
    assert_eq!(
        (&payload["timestamp"], &payload["quiet_until"]),
        (&"2026-11-27T02:00:00Z".into(), &"2026-11-27T06:00:00Z".into())
    );
}

#[test]
fn a_digest_counts_by_priority_and_device_and_lists_occurrences() {
    let (mut raised, mut over) = (
        told(event("plant", "board-1", 1), HOUR, 6 * HOUR),
        told(cleared("plant", "board-1", 1), 2 * HOUR, 6 * HOUR),
    );
    (raised.event.late, over.event.late) = (true, true);
    let low = |seq| told(with_priority(Priority::Low, "board-2", seq), HOUR, 6 * HOUR);
    let all = [raised, over, low(1), low(3)];
    let composed = compose("ops", Some(Reason::Late), 7, &all, &TimeZone::UTC).expect("something to tell");
    assert_eq!(composed.id, "digest-ops-7");
    assert_eq!(composed.subject, "[Tidegate] learned late and over: 3 raised, 1 cleared");
    let expected = "\
These alarms were over when the ingest learned of them.

raised      3 (1 high, 2 low)
cleared     1
devices     plant/board-2 2, plant/board-1 1

high     plant/board-1 temperature hot: raised 2026-11-27 01:00:00 UTC, cleared 2026-11-27 02:00:00 UTC, learned 2026-11-27 06:00:00 UTC
low      plant/board-2 temperature hot: raised 2026-11-27 01:00:00 UTC
low      plant/board-2 temperature hot: raised 2026-11-27 01:00:00 UTC
";
    assert_eq!(composed.text, expected);
    let payload = json(&composed);
    assert_eq!((&payload["type"], &payload["data"]["reason"]), (&"alarm.digest".into(), &"late".into()));
    assert_eq!(payload["data"]["by_priority"], serde_json::json!({ "high": 1, "low": 2 }));
    assert_eq!(
        payload["data"]["devices"][0],
        serde_json::json!({ "site": "plant", "device": "board-2", "raised": 2 })
    );
    assert_eq!(payload["data"]["events"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_flood_is_short_however_many_there_were() {
    let all: Vec<Told> =
        (0..3_000).map(|no| told(event("plant", &format!("d{}", no % 30), no), HOUR, HOUR)).collect();
    let composed = compose("ops", Some(Reason::Flood), 7, &all, &TimeZone::UTC).expect("something to tell");
    assert_eq!(composed.subject, "[Tidegate] alarm flood: 3000 raised, 0 cleared");
    assert!(
        composed.text.contains("raised      3000 (3000 high)\n")
            && composed.text.ends_with("… and 2950 more\n")
    );
    let payload = json(&composed);
    assert_eq!(
        (payload["data"]["more"].as_u64(), payload["data"]["raised"].as_u64()),
        (Some(2_900), Some(3_000))
    );
    assert_eq!(payload["data"]["devices"].as_array().map(Vec::len), Some(MAX_DEVICES));
    assert!(composed.json.len() < 200_000, "{}", composed.json.len());
}

#[test]
fn nothing_is_told_of_nothing() {
    assert_eq!(compose("ops", None, 1, &[], &TimeZone::UTC), None);
}
