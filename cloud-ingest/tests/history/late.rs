//! What late data tells, and what it does not tell again.

use tidegate_protocol::{ClockQuality, topic::Lane};

use crate::world::{ARRIVAL_MS, World, origin, rules};

fn world() -> World {
    World::new(rules(serde_json::json!([{ "id": "hot", "select": {}, "above": 60.0 }])))
}

fn hot_within(range: std::ops::Range<u64>) -> impl Fn(u64) -> f64 {
    move |seq| if range.contains(&seq) { 70.0 } else { 20.0 }
}

#[test]
fn a_backlog_that_moves_an_onset_amends_the_occurrence_and_raises_nothing() {
    let mut world = world();
    let (board, value) = (origin(1), hot_within(92..110));
    world.measured(Lane::Live, board, 0..50, &value);
    world.measured(Lane::Live, board, 100..105, &value);
    assert_eq!(world.told(), ["raise at 100"]);
    world.measured(Lane::Backlog, board, 50..80, &value);
    world.restart();
    world.measured(Lane::Backlog, board, 80..100, &value);
    assert_eq!(world.told(), ["raise at 100", "late amend at 92"]);
    let events = world.events();
    assert_eq!(events[1].occurrence, events[0].occurrence, "it names the occurrence that was told");
    assert_eq!(events[1].onset.seq.0, 92);
    let alarms = world.store().look().and_then(|look| look.alarms()).expect("a look");
    let shown = alarms[0].1.raised.as_ref().expect("it is raised");
    assert_eq!((shown.seq.0, shown.onset.seq.0), (100, 92), "shown as it began");

    world.measured(Lane::Live, board, 105..120, &value);
    assert_eq!(world.told(), ["raise at 100", "late amend at 92", "clear at 110"]);
    assert_eq!(world.spans(), [(92, 92, Some(110))]);
}

#[test]
fn what_began_and_ended_in_a_backlog_is_told_once_when_it_is_over() {
    let mut world = world();
    let (board, value) = (origin(1), hot_within(60..70));
    world.measured(Lane::Live, board, 0..50, &value);
    world.measured(Lane::Live, board, 100..105, &value);
    world.measured(Lane::Backlog, board, 50..65, &value);
    assert!(world.told().is_empty(), "it is not known yet how it goes on");
    world.restart();
    world.measured(Lane::Backlog, board, 65..100, &value);
    let told = ["late raise at 60", "late clear at 70"];
    assert_eq!(world.told(), told);
    // The same again changes nothing, nor does what follows.
    world.measured(Lane::Backlog, board, 50..100, &value);
    world.measured(Lane::Live, board, 105..200, &value);
    assert_eq!(world.told(), told);
}

#[test]
fn what_goes_on_after_a_backlog_is_told_with_both_times() {
    let mut world = world();
    let value = hot_within(60..1_000);
    // The boot before ended hot, and all of its end comes late: nothing of it is live.
    world.anchored(origin(1), ARRIVAL_MS - 3_600_000, ClockQuality::Synced);
    world.measured(Lane::Live, origin(1), 0..50, &value);
    world.measured(Lane::Live, origin(2), 0..5, hot_within(0..0));
    world.measured(Lane::Backlog, origin(1), 50..100, &value);
    assert_eq!(world.told(), ["late raise at 60"]);
    let event = &world.events()[0];
    let learned = event.learned_unix_ms.expect("it is known when it was learned");
    assert!(event.onset.time_unix_ms.is_some_and(|began| began == ARRIVAL_MS - 3_600_000 + 60_000));
    assert!(learned > ARRIVAL_MS);
    world.measured(Lane::Backlog, origin(1), 100..130, &value);
    assert_eq!(world.told(), ["late raise at 60"], "once");
}

#[test]
fn a_reading_that_was_called_lost_tells_only_the_part_around_it_again() {
    let mut world = world();
    let board = origin(1);
    let value =
        |seq: u64| if (500..510).contains(&seq) || (30_000..30_010).contains(&seq) { 70.0 } else { 20.0 };
    world.measured(Lane::Live, board, 0..495, value);
    world.lost(board, 495..505);
    world.measured(Lane::Live, board, 505..40_000, value);
    assert_eq!(world.spans(), [(505, 505, Some(510)), (30_000, 30_000, Some(30_010))]);
    let told = world.told();
    let before = world.settled();
    world.measured(Lane::Backlog, board, 495..505, value);
    assert_eq!(world.spans(), [(500, 500, Some(510)), (30_000, 30_000, Some(30_010))]);
    // From the checkpoint at 256 to the one at 512.
    assert_eq!(world.settled() - before, 512 - 256);
    let all = world.told();
    assert_eq!(all.get(..told.len()), Some(&told[..]), "what was told stays");
    assert_eq!(all[told.len()..], ["late amend at 500"]);
}

#[test]
fn a_reading_that_was_called_lost_and_raises_is_told_as_far_as_it_makes_a_difference() {
    let rule = serde_json::json!([{ "id": "hot", "select": {}, "above": 60.0, "deadband": 30.0 }]);
    let mut world = World::new(rules(rule));
    let board = origin(1);
    // It stays within the deadband, over many checkpoints, until it is cold.
    let value = |seq: u64| match seq {
        100 => 70.0,
        0..2_000 => 50.0,
        _ => 20.0,
    };
    world.measured(Lane::Live, board, 0..100, value);
    world.lost(board, 100..101);
    world.measured(Lane::Live, board, 101..3_000, value);
    assert!(world.spans().is_empty(), "nothing raised it");
    let before = world.settled();
    world.measured(Lane::Backlog, board, 100..101, value);
    assert_eq!(world.spans(), [(100, 100, Some(2_000))]);
    // From the checkpoint before it to the first behind its end.
    assert_eq!(world.settled() - before, 2_048 - 64);
}
