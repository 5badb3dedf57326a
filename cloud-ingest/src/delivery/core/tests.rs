//! On virtual time: what is sent when.

mod quiet;
mod simulation;

use tidegate_alarms::Priority;

use super::{
    test_support::{cleared, event, with_priority},
    *,
};
use crate::delivery::quiet_hours::Nights;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
/// 2026-11-27T12:00:00Z
const NOON: i64 = 1_795_780_800_000;

/// A lane, the outbox that its effects leave, and what it sent and has no answer to.
struct World {
    lane: Lane,
    policy: Policy,
    now: i64,
    outbox: std::collections::BTreeMap<u64, Queued>,
    sent: Vec<Message>,
    disabled: Option<String>,
}

impl World {
    fn new(policy: Policy) -> Self {
        let lane = Lane::new(policy.clone(), false);
        Self { lane, policy, now: NOON, outbox: Default::default(), sent: Vec::new(), disabled: None }
    }

    fn handle(&mut self, event: Event) {
        self.lane.handle(self.now, event);
        while let Some(effect) = self.lane.poll() {
            match effect {
                Effect::Put { cursor, row } => self.outbox.get_mut(&cursor).expect("it is known").row = row,
                Effect::Delete { cursor } => drop(self.outbox.remove(&cursor).expect("it is there")),
                Effect::Disable { why } => self.disabled = Some(why),
                Effect::Send(message) => self.sent.push(message),
            }
        }
    }

    fn queue_all(&mut self, events: impl IntoIterator<Item = (u64, AlarmEvent)>, over: bool) {
        self.queue_of_rule(events, over, None);
    }

    /// Of a rule that has quiet hours.
    fn queue_of_rule(
        &mut self,
        events: impl IntoIterator<Item = (u64, AlarmEvent)>,
        over: bool,
        quiet_hours: Option<&Arc<Nights>>,
    ) {
        let queued = events.into_iter().map(|(cursor, event)| {
            let row =
                OutboxRow { queued_unix_ms: self.now, due_unix_ms: self.now, over, ..OutboxRow::default() };
            Queued::new(cursor, row, &event, quiet_hours.cloned())
        });
        let queued: Vec<Queued> = queued.collect();
        self.outbox.extend(queued.iter().map(|queued| (queued.cursor, queued.clone())));
        self.handle(Event::Queued(queued));
    }

    fn queue(&mut self, cursor: u64, event: AlarmEvent) {
        self.queue_all([(cursor, event)], false);
    }

    /// What was sent since the last look, as cursors.
    fn sent(&mut self) -> Vec<Vec<u64>> {
        std::mem::take(&mut self.sent).into_iter().map(|message| message.cursors).collect()
    }

    fn delivered(&mut self, message: u64) {
        self.handle(Event::Delivered { message });
    }

    fn failed(&mut self, message: u64, kind: FailureKind) {
        self.handle(Event::Failed { message, kind, why: "it is away".to_owned(), jitter: 0.0 });
    }

    fn fails(&mut self, message: u64) {
        self.failed(message, FailureKind::Temporary { retry_after_ms: None });
    }

    fn pass(&mut self, ms: i64) {
        let end = self.now + ms;
        while let Some(at) = self.lane.next_wakeup().filter(|at| *at <= end) {
            assert!(at > self.now || !self.lane.is_empty(), "it wakes for nothing");
            self.now = at.max(self.now);
            self.handle(Event::Wakeup);
        }
        self.now = end;
        self.handle(Event::Wakeup);
    }

    /// As after kill -9: what was being sent has no answer, and what is known is the outbox.
    fn restart(&mut self) {
        self.lane = Lane::new(self.policy.clone(), self.disabled.is_some());
        let queued = self.outbox.values().filter(|queued| queued.row.state == RowState::Waiting).cloned();
        let queued = queued.collect();
        self.sent.clear();
        self.handle(Event::Queued(queued));
    }
}

fn digests() -> Policy {
    Policy { digest: true, quiet_hours: None }
}

#[test]
fn events_of_an_alarm_leave_one_after_another_and_others_meanwhile() {
    let mut world = World::new(Policy::default());
    world.queue(1, event("plant", "a", 1));
    world.queue(2, cleared("plant", "a", 1));
    world.queue(3, event("plant", "b", 1));
    assert_eq!(world.sent(), [[1], [3]]);
    world.fails(1);
    world.delivered(3);
    world.queue(4, event("plant", "b", 9));
    assert_eq!(world.sent(), [[4]], "the alarm that failed holds up itself alone");
    world.pass(5 * SECOND);
    assert_eq!(world.sent(), [[1]], "its second event waits for the first");
    world.delivered(1);
    assert_eq!(world.sent(), [[2]]);
    world.delivered(2);
    world.delivered(4);
    assert!(world.outbox.is_empty() && world.lane.is_empty() && world.lane.next_wakeup().is_none());
}

#[test]
fn so_many_leave_at_a_time() {
    let mut world = World::new(Policy::default());
    let events: Vec<_> = (1..=9).map(|no| (no, event("plant", &format!("d{no}"), 1))).collect();
    world.queue_all(events, false);
    assert_eq!(world.sent(), [[1], [2], [3], [4]]);
    world.delivered(2);
    world.fails(1);
    assert_eq!(world.sent(), [[5], [6]]);
}

#[test]
fn attempts_back_off_for_days_then_it_is_parked_and_the_next_has_its_turn() {
    let mut world = World::new(Policy::default());
    world.queue(1, event("plant", "a", 1));
    world.queue(2, cleared("plant", "a", 1));
    let mut gaps = Vec::new();
    for attempt in 1..=12 {
        assert_eq!(world.sent(), [[1]], "attempt {attempt}");
        world.fails(1);
        let Some(at) = world.lane.next_wakeup() else { break };
        gaps.push((at - world.now) / SECOND);
        world.pass(at - world.now - 1);
        assert!(world.sent().is_empty(), "not a moment before");
        world.pass(1);
    }
    let hours = [2, 5, 10, 14, 20, 24, 24, 24].map(|hours| hours * 3_600);
    assert_eq!(gaps, [[5, 300, 1_800].as_slice(), hours.as_slice()].concat());
    let parked = &world.outbox[&1].row;
    assert_eq!((parked.state, parked.attempts), (RowState::Parked, 12));
    assert_eq!(parked.last_error.as_deref(), Some("it is away"));
    assert_eq!(world.sent(), [[2]]);
}

#[test]
fn what_fails_for_good_is_parked_at_once_and_sent_again_when_it_is_wanted() {
    let mut world = World::new(Policy::default());
    world.queue(1, event("plant", "a", 1));
    assert_eq!(world.sent(), [[1]]);
    world.failed(1, FailureKind::Permanent);
    assert_eq!(world.outbox[&1].row.state, RowState::Parked);
    world.pass(1_000 * MINUTE);
    assert!(world.sent().is_empty());
    let parked = world.outbox[&1].clone();
    world.handle(Event::Replay(parked));
    assert_eq!(world.sent(), [[1]]);
    assert_eq!((world.outbox[&1].row.state, world.outbox[&1].row.attempts), (RowState::Waiting, 0));
    world.delivered(1);
    assert!(world.outbox.is_empty());
}

#[test]
fn a_wish_to_wait_is_granted_and_a_replay_does_not_wait() {
    let mut world = World::new(Policy::default());
    world.queue(1, event("plant", "a", 1));
    world.sent();
    world.failed(1, FailureKind::Temporary { retry_after_ms: Some(2 * MINUTE) });
    world.pass(2 * MINUTE - 1);
    assert!(world.sent().is_empty());
    world.pass(1);
    assert_eq!(world.sent(), [[1]]);
    world.fails(1);
    let waiting = world.outbox[&1].clone();
    world.handle(Event::Replay(waiting));
    assert_eq!(world.sent(), [[1]]);
}

#[test]
fn a_receiver_that_is_gone_gets_nothing_until_it_is_enabled() {
    let mut world = World::new(Policy::default());
    world.queue(1, event("plant", "a", 1));
    world.queue(2, event("plant", "b", 1));
    world.sent();
    world.failed(1, FailureKind::Gone);
    world.delivered(2);
    assert_eq!(world.disabled.as_deref(), Some("it is away"));
    world.queue(3, event("plant", "c", 1));
    world.pass(48 * 60 * MINUTE);
    world.restart();
    world.pass(MINUTE);
    assert!(world.sent().is_empty());
    assert_eq!(world.outbox.len(), 2, "nothing is lost");
    world.disabled = None;
    world.handle(Event::Enabled);
    assert_eq!(world.sent(), [[1], [3]]);
}

#[test]
fn a_restart_sends_again_what_had_no_answer_and_keeps_times_and_attempts() {
    let mut world = World::new(Policy::default());
    world.queue(1, event("plant", "a", 1));
    world.queue(2, event("plant", "b", 1));
    assert_eq!(world.sent(), [[1], [2]]);
    world.fails(1);
    world.restart();
    assert_eq!(world.sent(), [[2]]);
    world.pass(5 * SECOND);
    assert_eq!(world.sent(), [[1]]);
    world.fails(1);
    assert_eq!(world.outbox[&1].row.attempts, 2);
    assert_eq!(world.lane.next_wakeup(), Some(world.now + 5 * MINUTE));
}

#[test]
fn a_clock_that_is_put_back_does_not_lengthen_a_pause() {
    let mut world = World::new(digests());
    world.queue(1, event("plant", "a", 1));
    world.queue_all([(2, event("plant", "b", 1)), (3, cleared("plant", "b", 1))], true);
    world.sent();
    world.fails(1);
    world.now -= 10 * 24 * 60 * MINUTE;
    world.handle(Event::Wakeup);
    world.pass(5 * SECOND);
    assert_eq!(world.sent(), [[1]]);
    world.pass(GATHER_MS);
    assert_eq!(world.sent(), [[2, 3]]);
}

#[test]
fn what_was_over_when_it_was_learned_comes_as_one_message_and_what_goes_on_by_itself() {
    let mut world = World::new(digests());
    world.queue_all([(1, event("plant", "a", 1)), (2, cleared("plant", "a", 1))], true);
    world.queue(3, event("plant", "b", 1));
    world.pass(10 * SECOND);
    world.queue_all([(4, event("plant", "c", 1)), (5, cleared("plant", "c", 1))], true);
    assert_eq!(world.sent(), [[3]]);
    world.pass(GATHER_MS);
    assert_eq!(world.sent, [Message { first: 1, cursors: vec![1, 2, 4, 5], digest: Some(Reason::Late) }]);
    world.delivered(1);
    world.delivered(3);
    assert!(world.outbox.is_empty());
    // To a program each comes by itself.
    let mut world = World::new(Policy::default());
    world.queue_all([(1, event("plant", "a", 1)), (2, event("plant", "b", 1))], true);
    assert_eq!(world.sent(), [[1], [2]]);
}

#[test]
fn an_alarm_that_is_raised_now_does_not_wait_for_what_is_told_of_it_late() {
    let mut world = World::new(digests());
    world.queue_all([(1, event("plant", "a", 1)), (2, cleared("plant", "a", 1))], true);
    world.queue(3, event("plant", "a", 9));
    assert_eq!(world.sent(), [[1, 2]]);
    world.delivered(1);
    assert_eq!(world.sent(), [[3]]);
}

#[test]
fn a_digest_that_has_no_answer_is_the_same_message_after_a_restart() {
    let mut world = World::new(digests());
    world.queue_all([(1, event("plant", "a", 1)), (2, event("plant", "b", 1))], true);
    // Its news have it leave before its time.
    world.queue(3, event("plant", "a", 9));
    let first = std::mem::take(&mut world.sent);
    assert_eq!(first, [Message { first: 1, cursors: vec![1, 2], digest: Some(Reason::Late) }]);
    // More of that kind comes meanwhile, and is no part of it.
    world.queue_all([(4, event("plant", "c", 1)), (5, event("plant", "d", 1))], true);
    world.pass(10 * SECOND);
    world.restart();
    assert_eq!(std::mem::take(&mut world.sent), first);
    world.fails(1);
    world.restart();
    world.pass(5 * SECOND);
    assert_eq!(std::mem::take(&mut world.sent), first);
    world.failed(1, FailureKind::Permanent);
    assert!([1, 2].iter().all(|cursor| world.outbox[cursor].row.state == RowState::Parked));
    assert_eq!(world.sent(), [[3]]);
    world.pass(GATHER_MS);
    assert_eq!(world.sent(), [[4, 5]]);
}

#[test]
fn a_flood_is_rolled_up_but_what_is_critical_passes_and_is_not_counted() {
    let mut world = World::new(digests());
    for no in 1..=9 {
        world.queue(no, event("plant", &format!("d{no}"), 1));
        world.queue(100 + no, with_priority(Priority::Critical, &format!("c{no}"), 1));
        let sent: Vec<u64> = world.sent().concat();
        assert_eq!(sent, [no, 100 + no]);
        sent.into_iter().for_each(|cursor| world.delivered(cursor));
        world.pass(SECOND);
    }
    for no in 10..=30 {
        world.queue(200 + no, event("plant", &format!("d{no}"), 1));
    }
    world.queue(231, cleared("plant", "d1", 1));
    assert!(world.sent().is_empty(), "the tenth in ten minutes begins a flood");
    world.queue(232, with_priority(Priority::Critical, "c99", 1));
    assert_eq!(world.sent(), [[232]]);
    world.delivered(232);
    world.pass(10 * MINUTE);
    let expected = Message { first: 210, cursors: (210..=231).collect(), digest: Some(Reason::Flood) };
    assert_eq!(std::mem::take(&mut world.sent), [expected]);
    world.delivered(210);
    assert!(world.outbox.is_empty());
    world.pass(MINUTE);
    world.queue(300, event("plant", "late", 1));
    assert_eq!(world.sent(), [[300]], "it is over");
}

#[test]
fn a_flood_that_goes_on_is_told_every_ten_minutes() {
    let mut world = World::new(digests());
    let mut told = Vec::new();
    for no in 1..=35 {
        world.queue(no, event("plant", &format!("d{no}"), 1));
        world.pass(MINUTE);
        for message in std::mem::take(&mut world.sent) {
            told.push(message.cursors.len());
            world.delivered(message.first);
        }
    }
    assert_eq!(told, [1, 1, 1, 1, 1, 1, 1, 1, 1, 10, 10]);
    world.pass(30 * MINUTE);
    assert_eq!(world.sent(), [(30..=35).collect::<Vec<u64>>()], "what was held last comes when it ends");
}

#[test]
fn what_a_digest_would_overtake_waits_and_then_comes_together() {
    let mut world = World::new(digests());
    world.queue(1, event("plant", "a", 1));
    world.sent();
    world.failed(1, FailureKind::Temporary { retry_after_ms: Some(60 * MINUTE) });
    let late = [(2, cleared("plant", "a", 1)), (3, event("plant", "a", 5)), (4, event("plant", "b", 1))];
    world.queue_all(late, true);
    world.pass(10 * MINUTE);
    assert_eq!(world.sent(), [[4]]);
    world.pass(50 * MINUTE);
    assert_eq!(world.sent(), [[1]]);
    world.delivered(1);
    assert_eq!(world.sent(), [[2, 3]]);
}

#[test]
fn an_event_that_is_gone_leaves_nothing_behind() {
    let mut world = World::new(Policy::default());
    world.queue(1, event("plant", "a", 1));
    world.queue(2, cleared("plant", "a", 1));
    world.handle(Event::Vanished { message: 1 });
    world.delivered(2);
    assert!(world.outbox.is_empty() && world.lane.is_empty());
}
