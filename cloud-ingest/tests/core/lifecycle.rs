//! What operators do with alarms: one event, one line of the log, one batch; and what becomes of it.

use tidegate_alarms::{
    AlarmEvent, AlarmState, EventId, RuleId, RuleSet, RulesSettings, TransitionKind,
    lifecycle::{Action, Refusal, Seen},
};
use tidegate_ingest::{
    core::{
        Event, Snapshot,
        lifecycle::{AlarmDone, AlarmKey, AlarmOrder},
    },
    store::{LmdbStore, Store},
};
use tidegate_protocol::{block::OriginReadings, topic::Lane};

use crate::support::{Bench, channel, described, encode, gateway, origin, reading};

const NOW: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;

fn key() -> AlarmKey {
    AlarmKey {
        site: gateway("gw-a").site,
        device: origin("board", 1).device,
        channel: channel("x", tidegate_protocol::ValueKind::F64, 0).name,
        rule: RuleId::new("hot"),
    }
}

fn order(action: Action) -> Box<AlarmOrder> {
    Box::new(AlarmOrder {
        key: key(),
        action,
        operator: "eva".to_owned(),
        comment: "seen it".to_owned(),
        expected: None,
        committed: None,
        unix_ms: NOW,
    })
}

impl Bench {
    fn measure(&mut self, seq: u64, value: f64) {
        let board = origin("board", 1);
        let readings = vec![OriginReadings { origin: board, readings: vec![reading(seq, value)] }];
        self.send(Lane::Live, encode(vec![described(board)], readings));
    }

    fn act(&mut self, ticket: u64, action: Action) {
        self.handle(Event::AlarmAction { ticket, order: order(action) });
    }

    fn done(&mut self) -> Option<AlarmDone> {
        (!self.alarms.is_empty()).then(|| self.alarms.remove(0).1)
    }

    fn events(&self) -> Vec<&AlarmEvent> {
        self.batches.iter().flat_map(|batch| &batch.events).collect()
    }

    fn last_event(&self) -> &AlarmEvent {
        self.events().pop().expect("an event")
    }

    /// What an ingest that starts again knows.
    fn committed(&self) -> (LmdbStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
        self.batches.iter().for_each(|batch| drop(store.commit(batch).unwrap()));
        (store, folder)
    }
}

fn raised() -> (Bench, Seen) {
    let mut bench = Bench::new(Snapshot::default());
    bench.measure(0, 99.0);
    let seen = bench.last_event().lifecycle.as_ref().and_then(|life| life.latest).expect("it is raised");
    (bench, seen)
}

fn shelve(minutes: i64) -> Action {
    Action::Shelve { until_unix_ms: NOW + minutes * MINUTE }
}

#[test]
fn a_deed_is_an_event_and_is_answered_once_it_is_committed() {
    let (mut bench, seen) = raised();
    assert_eq!(bench.last_event().state, Some(AlarmState::Unacknowledged));
    bench.hold_commits = true;
    bench.act(1, Action::Acknowledge(seen));
    let batch = bench.held.take().expect("a commit");
    assert_eq!(bench.alarms, [], "the answer waits for the commit");
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    let event = bench.last_event().clone();
    assert_eq!(bench.done(), Some(AlarmDone::Done(Box::new(event.clone()))));
    assert_eq!(
        (event.transition, event.state),
        (TransitionKind::Acknowledge, Some(AlarmState::Acknowledged))
    );
    assert_eq!((event.occurrence, event.time_unix_ms), (seen.occurrence, Some(NOW)));
    assert_eq!(
        event.operator.map(|operator| (operator.by, operator.comment)),
        Some(("eva".into(), "seen it".into()))
    );
}

#[test]
fn an_acknowledgement_of_what_moved_on_is_refused_with_the_state_of_now() {
    let (mut bench, seen) = raised();
    bench.measure(1, 0.0);
    bench.act(1, Action::Acknowledge(seen));
    let Some(AlarmDone::Refused(Refusal::Superseded, life)) = bench.done() else { panic!("it was taken") };
    assert_eq!(life.state(), AlarmState::RtnUnacknowledged);
    assert_eq!(bench.events().len(), 2, "nothing was told");
    bench.act(2, Action::Acknowledge(life.latest.expect("it was raised")));
    assert!(matches!(bench.done(), Some(AlarmDone::Done(event)) if event.state == Some(AlarmState::Normal)));
}

#[test]
fn a_refusal_that_rests_on_what_is_not_committed_waits_too() {
    let (mut bench, seen) = raised();
    bench.hold_commits = true;
    bench.measure(1, 0.0);
    bench.act(1, Action::Acknowledge(seen));
    assert_eq!(bench.alarms, []);
    let batch = bench.held.take().expect("a commit");
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    assert!(matches!(bench.done(), Some(AlarmDone::Refused(Refusal::Superseded, _))));
}

#[test]
fn what_is_raised_on_the_shelf_is_marked_and_told_again_when_its_time_is_over() {
    let mut bench = Bench::new(Snapshot::default());
    bench.rules_are_declined = true;
    bench.measure(0, 1.0);
    bench.act(1, shelve(90));
    assert!(matches!(bench.done(), Some(AlarmDone::Done(_))));
    bench.measure(1, 99.0);
    let raise = bench.last_event();
    assert_eq!((raise.transition, raise.suppressed), (TransitionKind::Raise, true));
    assert_eq!(raise.state, Some(AlarmState::Shelved));
    // The clock is looked at each minute.
    assert_eq!(bench.core.next_wakeup(), Some(bench.now_ms + 60_000));
    bench.now_ms += 60_000;
    bench.handle(Event::Time { unix_ms: NOW + 90 * MINUTE - 1_000 });
    assert_eq!(bench.events().len(), 2);
    assert_eq!(bench.core.next_wakeup(), Some(bench.now_ms + 1_000));
    bench.now_ms += 1_000;
    bench.handle(Event::Wakeup);
    let over = bench.last_event();
    assert_eq!((over.transition, over.suppressed), (TransitionKind::ShelfExpired, false));
    assert_eq!(over.state, Some(AlarmState::Unacknowledged), "it is still active: told again");
    assert_eq!(over.operator.as_ref().map(|operator| operator.by.as_str()), Some(""));
    assert_eq!(bench.core.next_wakeup(), None);
}

#[test]
fn a_shelf_that_is_made_longer_ends_once() {
    let (mut bench, _) = raised();
    bench.act(1, shelve(1));
    bench.act(2, shelve(5));
    bench.handle(Event::Time { unix_ms: NOW + 2 * MINUTE });
    assert_eq!(bench.last_event().transition, TransitionKind::Shelve);
    bench.handle(Event::Time { unix_ms: NOW + 5 * MINUTE });
    bench.handle(Event::Time { unix_ms: NOW + 6 * MINUTE });
    let ended =
        bench.events().iter().filter(|event| event.transition == TransitionKind::ShelfExpired).count();
    assert_eq!(ended, 1);
}

#[test]
fn a_failed_commit_forgets_the_deed_and_says_so() {
    let (mut bench, seen) = raised();
    let (store, _folder) = bench.committed();
    bench.hold_commits = true;
    bench.act(1, Action::Acknowledge(seen));
    let batch = bench.held.take().expect("a commit");
    bench.handle(Event::CommitFailed { batch });
    bench.act(2, Action::Suppress);
    assert_eq!(bench.alarms, [(2, AlarmDone::NotCommitted)], "while the state is read again nothing is done");
    bench.handle(Event::Reloaded { snapshot: Box::new(store.snapshot().unwrap()), incarnation: 2 });
    assert_eq!(bench.alarms.pop(), Some((1, AlarmDone::NotCommitted)));
    bench.alarms.clear();
    bench.hold_commits = false;
    bench.now_ms += 60_000;
    bench.handle(Event::Wakeup);
    // It is unacknowledged still: the same order is carried out now.
    bench.act(3, Action::Acknowledge(seen));
    assert!(matches!(bench.done(), Some(AlarmDone::Done(_))));
}

#[test]
fn after_a_restart_the_shelf_the_record_and_the_log_are_there() {
    let (mut bench, seen) = raised();
    bench.act(1, Action::Acknowledge(seen));
    bench.act(2, shelve(10));
    let before = bench.last_event().clone();
    let (store, _folder) = bench.committed();
    let look = store.look().unwrap();
    let record = look.alarm(&key()).unwrap().expect("a record");
    assert_eq!(record.lifecycle.state(), AlarmState::Shelved);
    assert_eq!(record.newest_event(), Some(&before));
    assert_eq!(record.raised.map(|event| event.id), Some(seen.occurrence));
    let mut log = Vec::new();
    look.alarm_log(None, |number, entry| {
        log.push((number, entry.action, entry.operator.by, entry.state));
        true
    })
    .unwrap();
    let by_eva = |number, kind, state| (number, kind, "eva".to_owned(), Some(state));
    let shelved = by_eva(1, TransitionKind::Shelve, AlarmState::Shelved);
    assert_eq!(log, [shelved, by_eva(0, TransitionKind::Acknowledge, AlarmState::Acknowledged)]);

    let mut again = Bench::new(store.snapshot().unwrap());
    assert_eq!(again.core.next_wakeup(), None, "nobody said what time it is");
    again.handle(Event::Time { unix_ms: NOW + 10 * MINUTE });
    let over = again.last_event();
    assert_eq!((over.transition, over.state), (TransitionKind::ShelfExpired, Some(AlarmState::Acknowledged)));
    assert_eq!(over.occurrence, seen.occurrence);
    again.batches.iter().for_each(|batch| drop(store.commit(batch).unwrap()));
    let mut numbers = Vec::new();
    store
        .look()
        .unwrap()
        .alarm_log(None, |number, _| {
            numbers.push(number);
            true
        })
        .unwrap();
    assert_eq!(numbers, [2, 1, 0]);
}

#[test]
fn an_alarm_that_was_never_raised_can_be_taken_out_of_service_and_an_unknown_one_not() {
    let mut bench = Bench::new(Snapshot::default());
    bench.act(1, Action::OutOfService);
    assert_eq!(bench.done(), Some(AlarmDone::Unknown), "no such device");
    bench.measure(0, 1.0);
    bench.act(2, Action::OutOfService);
    let event = bench.last_event();
    assert_eq!((event.occurrence, event.value, event.suppressed), (EventId(0), None, true));
    assert!(matches!(bench.done(), Some(AlarmDone::Done(_))));
    let (store, _folder) = bench.committed();
    let record = store.look().unwrap().alarm(&key()).unwrap().expect("a record");
    assert_eq!((record.raised, record.lifecycle.state()), (None, AlarmState::OutOfService));
    let mut again = Bench::new(store.snapshot().unwrap());
    again.measure(1, 99.0);
    assert!(again.last_event().suppressed);
    again.act(3, Action::InService);
    assert!(
        matches!(again.done(), Some(AlarmDone::Done(event)) if event.state == Some(AlarmState::Unacknowledged))
    );
}

#[test]
fn an_order_for_an_alarm_that_was_changed_meanwhile_changes_nothing() {
    let (mut bench, seen) = raised();
    let mut order = order(Action::Comment);
    order.expected = Some(vec![EventId(7)]);
    bench.handle(Event::AlarmAction { ticket: 1, order: order.clone() });
    assert_eq!(bench.done(), Some(AlarmDone::Changed));
    order.expected = Some(vec![EventId(7), seen.transition]);
    bench.handle(Event::AlarmAction { ticket: 2, order: order.clone() });
    assert!(matches!(bench.done(), Some(AlarmDone::Done(_))));
    bench.handle(Event::AlarmAction { ticket: 3, order });
    assert_eq!(bench.done(), Some(AlarmDone::Changed), "the comment changed it");
}

#[test]
fn an_alarm_that_is_plain_normal_is_taken_as_it_was_committed() {
    let (mut bench, seen) = raised();
    bench.act(1, Action::Acknowledge(seen));
    bench.measure(1, 0.0);
    assert_eq!(bench.last_event().state, Some(AlarmState::Normal));
    let (store, _folder) = bench.committed();
    let mut order = order(Action::Comment);
    order.committed = store.look().unwrap().known_alarm(&key()).unwrap().map(Box::new);
    assert!(order.committed.is_some());
    bench.handle(Event::AlarmAction { ticket: 2, order });
    let event = bench.last_event();
    assert_eq!((event.transition, event.occurrence), (TransitionKind::Comment, seen.occurrence));
    assert_eq!(
        event.lifecycle.as_ref().and_then(|life| life.latest).map(|latest| latest.occurrence),
        Some(seen.occurrence)
    );
}

/// The order brings what was committed when it was given; the core knows of an occurrence since, however long its commit takes.
#[test]
fn an_order_does_not_bring_back_what_was_before() {
    let (mut bench, seen) = raised();
    bench.act(1, Action::Acknowledge(seen));
    bench.measure(1, 0.0);
    let (store, _folder) = bench.committed();
    bench.hold_commits = true;
    bench.now_ms += 120_000;
    bench.measure(2, 99.0);
    let raise = bench.last_event().id;
    bench.act(2, Action::Acknowledge(Seen { occurrence: raise, transition: raise }));
    bench.measure(3, 0.0);
    bench.now_ms += 120_000;
    bench.handle(Event::Wakeup);
    let mut order = order(Action::Comment);
    order.committed = store.look().unwrap().known_alarm(&key()).unwrap().map(Box::new);
    assert_eq!(order.committed.as_ref().map(|known| known.told.occurrence), Some(seen.occurrence));
    bench.handle(Event::AlarmAction { ticket: 3, order });
    while let Some(batch) = bench.held.take() {
        bench.handle(Event::Committed { batch, used_bytes: 0 });
    }
    let event = bench.last_event();
    assert_eq!((event.transition, event.occurrence), (TransitionKind::Comment, raise));
}

#[test]
fn late_news_changes_no_state() {
    let (mut bench, _) = raised();
    let older = origin("board", 0);
    let readings = vec![OriginReadings { origin: older, readings: vec![reading(0, 99.0), reading(1, 0.0)] }];
    bench.send(Lane::Backlog, encode(vec![described(older)], readings));
    let late: Vec<_> = bench.events().into_iter().filter(|event| event.late).collect();
    assert_eq!(late.len(), 2);
    assert!(late.iter().all(|event| event.state.is_none() && !event.suppressed));
    let (store, _folder) = bench.committed();
    assert_eq!(
        store.look().unwrap().alarm(&key()).unwrap().map(|record| record.lifecycle.state()),
        Some(AlarmState::Unacknowledged)
    );
}

#[test]
fn a_rule_that_latches_keeps_its_alarm_until_it_is_reset() {
    let rule = serde_json::json!({ "rule": [
        { "id": "hot", "select": { "channel": "x" }, "above": 60.0, "latching": true },
    ] });
    let rules = RuleSet::from_settings(serde_json::from_value::<RulesSettings>(rule).unwrap()).unwrap();
    let mut bench = Bench::with_rules(rules, Snapshot::default());
    bench.measure(0, 70.0);
    bench.measure(1, 20.0);
    assert_eq!(bench.last_event().state, Some(AlarmState::LatchedUnacknowledged));
    let seen = bench.last_event().lifecycle.as_ref().and_then(|life| life.latest).expect("what was seen");
    bench.act(1, Action::Acknowledge(seen));
    assert_eq!(bench.last_event().state, Some(AlarmState::LatchedAcknowledged));
    bench.act(2, Action::Reset);
    assert_eq!(bench.last_event().state, Some(AlarmState::Normal));
}
