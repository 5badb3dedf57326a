//! Quiet hours, a receiver's and a rule's.

use super::*;
use crate::delivery::settings::QuietHoursSettings;

const HOUR: i64 = 60 * MINUTE;

pub(super) fn hours(from: &str, to: &str) -> Nights {
    let (from, to) = (from.to_owned(), to.to_owned());
    Nights::from_settings(&QuietHoursSettings { from, to, days: None, zone: None }).expect("good")
}

pub(super) fn nights() -> Policy {
    Policy { digest: true, quiet_hours: Some(hours("22:00", "06:00")) }
}

fn of_rule() -> Arc<Nights> {
    Arc::new(hours("22:00", "06:00"))
}

#[test]
fn quiet_hours_hold_all_but_what_is_critical_until_the_morning() {
    let mut world = World::new(nights());
    world.pass(10 * 60 * MINUTE);
    world.queue(1, event("plant", "a", 1));
    world.queue(2, with_priority(Priority::Critical, "b", 1));
    assert_eq!(world.sent(), [[2]]);
    world.delivered(2);
    world.pass(4 * 60 * MINUTE);
    world.queue(3, cleared("plant", "a", 1));
    world.queue_all([(4, event("plant", "c", 1))], true);
    world.restart();
    world.pass(4 * 60 * MINUTE - 1);
    assert!(world.sent().is_empty());
    world.pass(1);
    let expected = Message { first: 1, cursors: vec![1, 3, 4], digest: Some(Reason::QuietHours) };
    assert_eq!(std::mem::take(&mut world.sent), [expected]);
    world.delivered(1);
    world.queue(5, event("plant", "d", 1));
    assert_eq!(world.sent(), [[5]]);
}

#[test]
fn a_night_that_ended_while_the_ingest_was_down_is_told_at_its_start() {
    let mut world = World::new(nights());
    world.pass(11 * 60 * MINUTE);
    world.queue(1, event("plant", "a", 1));
    world.queue(2, event("plant", "b", 1));
    world.now += 12 * 60 * MINUTE;
    world.restart();
    assert_eq!(world.sent(), [[1, 2]]);
}

#[test]
fn what_is_critical_brings_along_what_its_alarm_told_before() {
    let mut world = World::new(nights());
    world.pass(11 * 60 * MINUTE);
    world.queue(1, event("plant", "a", 1));
    world.queue(2, event("plant", "b", 1));
    // Its rule was changed to critical.
    world.queue(3, with_priority(Priority::Critical, "a", 9));
    assert_eq!(world.sent(), [[1]]);
    world.delivered(1);
    assert_eq!(world.sent(), [[3]]);
    world.delivered(3);
    world.pass(8 * 60 * MINUTE);
    assert_eq!(world.sent(), [[2]], "one is no digest");
}

#[test]
fn a_rules_quiet_hours_hold_its_alarms_alone_and_then_each_event_comes_by_itself() {
    let (mut world, night) = (World::new(Policy::default()), of_rule());
    world.queue_of_rule([(1, event("plant", "a", 1))], false, Some(&night));
    assert_eq!(world.sent(), [[1]], "it is noon");
    world.delivered(1);
    world.pass(11 * HOUR);
    world.queue_of_rule([(2, cleared("plant", "a", 1))], false, Some(&night));
    world.queue(3, event("plant", "b", 1));
    assert_eq!(world.sent(), [[3]], "that of another rule");
    world.queue_of_rule([(4, event("plant", "a", 9))], false, Some(&night));
    world.queue_of_rule([(5, event("plant", "c", 1))], true, Some(&night));
    world.restart();
    assert_eq!(world.sent(), [[3]]);
    world.delivered(3);
    world.pass(7 * HOUR - 1);
    assert!(world.sent().is_empty());
    world.pass(1);
    assert_eq!(world.sent(), [[2], [5]]);
    world.delivered(2);
    assert_eq!(world.sent(), [[4]], "behind the one before it");
    world.delivered(4);
    world.delivered(5);
    assert!(world.outbox.is_empty() && world.lane.is_empty() && world.lane.next_wakeup().is_none());
}

#[test]
fn where_there_are_digests_it_is_one() {
    let (mut world, night) = (World::new(digests()), of_rule());
    world.pass(11 * HOUR);
    world.queue_of_rule([(1, event("plant", "a", 1))], false, Some(&night));
    world.queue(2, event("plant", "b", 1));
    assert_eq!(world.sent(), [[2]]);
    world.queue_of_rule([(3, cleared("plant", "a", 1))], false, Some(&night));
    world.pass(7 * HOUR);
    let expected = Message { first: 1, cursors: vec![1, 3], digest: Some(Reason::QuietHours) };
    assert_eq!(std::mem::take(&mut world.sent), [expected]);
}

#[test]
fn what_is_critical_waits_for_no_rule_and_brings_along_what_its_alarm_told_before() {
    let (mut world, night) = (World::new(Policy::default()), of_rule());
    world.pass(11 * HOUR);
    world.queue_of_rule([(1, event("plant", "a", 1))], false, Some(&night));
    world.queue_of_rule([(2, with_priority(Priority::Critical, "b", 1))], false, Some(&night));
    assert_eq!(world.sent(), [[2]]);
    world.queue_of_rule([(3, with_priority(Priority::Critical, "a", 9))], false, Some(&night));
    assert_eq!(world.sent(), [[1]]);
    world.delivered(1);
    assert_eq!(world.sent(), [[3]]);
}

#[test]
fn what_comes_under_a_revision_without_quiet_hours_does_not_overtake() {
    for policy in [Policy::default(), digests()] {
        let (mut world, night) = (World::new(policy), of_rule());
        world.pass(11 * HOUR);
        world.queue_of_rule([(1, event("plant", "a", 1))], false, Some(&night));
        world.queue(2, cleared("plant", "a", 1));
        world.pass(7 * HOUR - 1);
        assert!(world.sent().is_empty());
        world.pass(1);
        assert_eq!(world.sent(), [[1]]);
        world.delivered(1);
        assert_eq!(world.sent(), [[2]]);
    }
}

/// The later one's hours end first.
#[test]
fn what_may_leave_before_an_earlier_one_of_its_alarm_waits_for_it() {
    for policy in [Policy::default(), digests()] {
        let (mut world, night, morning) = (World::new(policy), of_rule(), Arc::new(hours("22:00", "08:00")));
        world.pass(11 * HOUR);
        world.queue_of_rule([(1, event("plant", "a", 1))], false, Some(&morning));
        world.queue_of_rule([(2, cleared("plant", "a", 1))], false, Some(&night));
        world.pass(9 * HOUR - 1);
        assert!(world.sent().is_empty());
        world.pass(1);
        assert_eq!(world.sent(), [[1]]);
        world.fails(1);
        assert!(world.sent().is_empty());
        world.pass(5 * SECOND);
        assert_eq!(world.sent(), [[1]]);
        world.delivered(1);
        assert_eq!(world.sent(), [[2]]);
    }
}

#[test]
fn a_receivers_and_a_rules_quiet_hours_go_on_into_each_other() {
    let (mut world, morning) = (World::new(nights()), Arc::new(hours("05:00", "08:00")));
    world.pass(11 * HOUR);
    world.queue_of_rule([(1, event("plant", "a", 1))], false, Some(&morning));
    world.queue_all([(2, event("plant", "b", 1)), (3, event("plant", "c", 1))], false);
    world.pass(7 * HOUR);
    assert_eq!(world.sent(), [[2, 3]]);
    world.pass(2 * HOUR - 1);
    assert!(world.sent().is_empty());
    world.pass(1);
    assert_eq!(world.sent(), [[1]]);
}

#[test]
fn what_an_operator_wants_is_sent_in_quiet_hours_too() {
    let (mut world, night) = (World::new(Policy::default()), of_rule());
    world.pass(11 * HOUR);
    world.queue_of_rule([(1, event("plant", "a", 1))], false, Some(&night));
    let waiting = world.outbox[&1].clone();
    world.handle(Event::Replay(waiting));
    assert_eq!(world.sent(), [[1]]);
    world.delivered(1);
    assert!(world.lane.is_empty() && world.lane.next_wakeup().is_none());
}
