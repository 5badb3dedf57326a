//! Quiet hours of rules, as the store has them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tidegate_alarms::{AlarmEvent, Priority, RuleBook, RuleId, RuleSet, RulesSettings};
use tidegate_ingest::{
    delivery::core::OutboxRow,
    store::{LmdbStore, outbox::OutboxChange},
};

use crate::{
    hook::{Hook, status},
    made::{cleared, event, with_priority},
    served::Served,
    webhook,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn rules(rules: &Json) -> RuleSet {
    let settings: RulesSettings = serde_json::from_value(json!({ "rule": rules })).expect("rules");
    RuleSet::from_settings(settings).expect("good rules")
}

/// Three hours on both sides of a moment.
fn around(unix_ms: i64) -> Json {
    let time = |unix_ms| Timestamp::from_millisecond(unix_ms).expect("a time").strftime("%H:%M").to_string();
    json!({ "from": time(unix_ms - 180 * MINUTE), "to": time(unix_ms + 180 * MINUTE) })
}

fn of_rule(set: &RuleSet, rule: &str, event: AlarmEvent) -> AlarmEvent {
    let revision = set.get(rule).expect("the rule").revision();
    AlarmEvent { rule: RuleId::new(rule), revision, ..event }
}

#[tokio::test]
async fn the_revision_that_an_event_names_says_whether_it_waits_and_its_rules_newest_where_that_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let receivers = [webhook("ops", &hook.url())];
    let served = Served::start(folder.path(), &receivers);
    let now = Timestamp::now().as_millisecond();
    let quiet = rules(&json!([
        { "id": "hot", "above": 70, "quiet_hours": around(now) },
        { "id": "cold", "below": 5, "quiet_hours": around(now) },
    ]));
    let loud = rules(&json!([{ "id": "hot", "above": 80, "quiet_hours": around(now + DAY / 2) }]));
    let mut book = RuleBook::default();
    book.merge(&quiet, now);
    book.merge(&loud, now);
    assert!(book.get(&RuleId::new("cold")).is_some_and(|cold| cold.at(None).is_none()), "it is retired");
    served.commit_rules(&book);
    let gone = |rule, device| AlarmEvent { rule: RuleId::new(rule), ..event("plant", device, 1) };
    let cursors = served.commit(vec![
        of_rule(&quiet, "hot", event("plant", "quiet", 1)),
        of_rule(&quiet, "hot", cleared("plant", "quiet", 1)),
        of_rule(&loud, "hot", event("plant", "loud", 1)),
        of_rule(&quiet, "hot", with_priority(Priority::Critical, "critical", 1)),
        gone("hot", "gone-loud"),
        gone("cold", "gone-quiet"),
        gone("no-such-rule", "ruleless"),
    ]);
    let mut told = BTreeSet::new();
    while told.len() < 4 {
        let received = hook.next().await;
        assert_eq!(received.json().get("quiet_until"), None);
        told.insert(received.device());
    }
    assert_eq!(told, ["critical", "gone-loud", "loud", "ruleless"].map(str::to_owned).into());
    let view = served.receiver_when("ops", |view| view.waiting == 3).await;
    assert_eq!(view.tally.delivered, 4);
    served.kill().await;
    assert!(hook.came().is_empty());

    // As if they had come a day before: that night is over.
    let queued_unix_ms = now - DAY;
    let row = OutboxRow { queued_unix_ms, due_unix_ms: queued_unix_ms, ..OutboxRow::default() };
    let past = [cursors[0], cursors[1], cursors[5]].map(|cursor| {
        let receiver = "ops".to_owned();
        OutboxChange::Put { receiver, cursor, row: row.clone() }
    });
    {
        let store = LmdbStore::open(folder.path(), 1 << 26).expect("a store");
        store.change_outbox(&past).expect("it is written");
    }
    let served = Served::start(folder.path(), &receivers);
    let mut types = Vec::new();
    for _ in 0..3 {
        let received = hook.next().await.json();
        let end = received["quiet_until"].as_str().expect("until when").parse::<Timestamp>();
        let end = end.expect("a time").as_millisecond();
        assert_eq!(end, (now + 180 * MINUTE - DAY) / MINUTE * MINUTE);
        let device = received["data"]["device"].as_str().expect("a device").to_owned();
        types.push((device, received["type"].as_str().expect("a type").to_owned()));
    }
    let of_one = |device: &str| -> Vec<String> {
        types.iter().filter(|(of, _)| of == device).map(|(_, kind)| kind.clone()).collect()
    };
    assert_eq!(
        (of_one("quiet"), of_one("gone-quiet")),
        (vec!["alarm.raised".to_owned(), "alarm.cleared".to_owned()], vec!["alarm.raised".to_owned()],)
    );
    served.receiver_when("ops", |view| view.waiting == 0).await;
    served.stop().await;
}
