//! Rules change, and a reading is judged by what was in force at its own time, whenever it comes.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tidegate_alarms::{ReadingAt, RuleBook, RuleSet, State, TransitionKind};
use tidegate_ingest::core::rulebook::RulesDone;
use tidegate_protocol::{ChannelIndex, ClockQuality, Quality, Reading, Seq, Tick, Value, topic::Lane};

use crate::world::{ARRIVAL_MS, Span, TICK_MS, World, origin, rules};

/// When boot 1 began.
const START_MS: i64 = ARRIVAL_MS - 1_000_000;

fn hot(limit: f64) -> serde_json::Value {
    serde_json::json!([{ "id": "hot", "select": {}, "above": limit }])
}

#[test]
fn a_changed_rule_judges_what_is_measured_from_then_on_and_keeps_what_is_raised() {
    let mut world = World::new(rules(hot(60.0)));
    let board = origin(1);
    world.anchored(board, START_MS, ClockQuality::Synced);
    world.measured(Lane::Live, board, 0..100, |seq| if seq < 10 { 20.0 } else { 70.0 });
    assert_eq!(world.told(), ["raise at 10"]);
    // From seq 150 on; what is measured before is judged by the old one.
    let done = world.change_rules(rules(hot(80.0)), START_MS + 150_000);
    assert!(matches!(done, RulesDone::Done { edition: 2, .. }), "{done:?}");
    world.restart();
    world.measured(Lane::Live, board, 100..140, |_| 75.0);
    assert_eq!(world.told(), ["raise at 10"], "the alarm goes on over the change");
    world.measured(Lane::Live, board, 140..200, |_| 75.0);
    assert_eq!(world.told(), ["raise at 10", "clear at 150"]);
    assert_eq!(world.spans(), [(10, 10, Some(150))]);
    let events = world.events();
    assert_ne!(events[0].revision, events[1].revision, "each names its own");
    assert_eq!(events[0].occurrence, events[1].occurrence);
}

#[test]
fn a_backlog_is_judged_by_what_was_in_force_when_it_was_measured() {
    let mut world = World::new(rules(hot(60.0)));
    let board = origin(1);
    world.anchored(board, START_MS, ClockQuality::Synced);
    world.measured(Lane::Live, board, 0..10, |_| 20.0);
    world.change_rules(rules(hot(80.0)), START_MS + 500_000);
    world.measured(Lane::Live, board, 600..610, |_| 70.0);
    world.measured(Lane::Backlog, board, 10..600, |_| 70.0);
    assert_eq!(world.spans(), [(10, 10, Some(500))]);
    assert_eq!(world.told(), ["late raise at 10", "late clear at 500"]);
}

#[test]
fn a_revision_for_a_time_that_is_past_tells_history_from_there_again() {
    let mut world = World::new(rules(hot(60.0)));
    let board = origin(1);
    world.anchored(board, START_MS, ClockQuality::Synced);
    for from in (0..30_000).step_by(1_000) {
        world.measured(Lane::Live, board, from..from + 1_000, |seq| if seq % 100 < 10 { 70.0 } else { 20.0 });
    }
    let before = world.spans();
    assert_eq!(before.len(), 300);
    let settled = world.settled();
    let dated = serde_json::json!([
        { "id": "hot", "select": {}, "above": 60.0 },
        { "id": "hot", "select": {}, "above": 90.0, "effective_from": rfc3339(START_MS + 20_000_000) },
    ]);
    world.change_rules(rules(dated), START_MS + 30_000_000);
    assert_eq!(world.spans(), before[..200]);
    assert!(world.settled() - settled < 15_000, "not from the beginning: {}", world.settled() - settled);
}

#[test]
fn a_retired_rule_ends_what_it_raised() {
    let mut world = World::new(rules(hot(60.0)));
    let board = origin(1);
    world.anchored(board, START_MS, ClockQuality::Synced);
    world.measured(Lane::Live, board, 0..100, |_| 70.0);
    world.change_rules(rules(serde_json::json!([])), START_MS + 100_500);
    assert_eq!(world.told(), ["raise at 0", "clear at 0"]);
    let ended = &world.events()[1];
    assert_eq!(ended.time_unix_ms, Some(START_MS + 100_500), "when it was retired");
    assert!(ended.message.contains("retired"), "{}", ended.message);
    world.measured(Lane::Live, board, 100..120, |_| 70.0);
    assert_eq!(world.spans(), [(0, 0, Some(101))]);
    assert_eq!(world.told().len(), 2, "history tells nothing more of it");
}

fn rfc3339(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).expect("a time").to_string()
}

/// What happens to an ingest.
#[derive(Clone)]
enum Step {
    Readings(std::ops::Range<u64>),
    Lost(std::ops::Range<u64>),
    Anchor(ClockQuality),
    Restart,
    Rules(RuleSet, i64),
}

const COUNT: u64 = 400;

fn value(seed: u64, seq: u64) -> f64 {
    let phase = seq.wrapping_mul(seed | 1) % 97;
    20.0 + (seq % 60) as f64 + phase as f64 / 4.0
}

/// The schedule of a seed: readings in random blocks, some twice, some called lost by somebody before they come; in any order.
fn schedule(rng: &mut ChaCha8Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut from = 0;
    while from < COUNT {
        let to = (from + rng.random_range(1..40)).min(COUNT);
        steps.push(Step::Readings(from..to));
        if rng.random_bool(0.3) {
            steps.push(Step::Readings(from..to));
        }
        if rng.random_bool(0.3) {
            steps.push(Step::Lost(from..to));
        }
        from = to;
    }
    steps.extend((0..3).map(|_| Step::Restart));
    steps.push(Step::Anchor(ClockQuality::Synced));
    steps.push(Step::Anchor(ClockQuality::Unsynced));
    // What is in force is dated, so that it does not matter when it is learned.
    let revision = |limit: f64, from: i64| {
        serde_json::json!({
            "id": "hot", "select": {}, "above": limit, "deadband": 3.0, "on_delay_ms": 2_000,
            "effective_from": rfc3339(START_MS + from * TICK_MS as i64),
        })
    };
    let first = serde_json::json!({ "id": "hot", "select": {}, "above": 60.0, "on_delay_ms": 1_000 });
    let all = serde_json::json!([first, revision(75.0, 130), revision(50.0, 290)]);
    steps.push(Step::Rules(rules(all), START_MS + 1_000_000_000));
    steps.shuffle(rng);
    steps
}

/// Reading by reading, in order, with everything known.
fn in_order(book: &RuleBook, seed: u64) -> Vec<Span> {
    let board = origin(1);
    let place = (crate::world::site(), board.device);
    let name = tidegate_protocol::ChannelName::new("temperature").expect("a name");
    let rule = book.matching(place.0, place.1, name, "Cel", "TT-1").remove(0);
    let (mut state, mut spans) = (State::default(), Vec::new());
    let mut under = None;
    for seq in 0..COUNT {
        let in_force = rule.at(Some(START_MS + (seq * TICK_MS) as i64)).expect("always something");
        if under != Some(in_force.revision()) {
            state = in_force.adopt(state);
            under = Some(in_force.revision());
        }
        let reading = Reading {
            seq: Seq(seq),
            channel: ChannelIndex(0),
            tick: Tick(seq * TICK_MS),
            value: Value::F64(value(seed, seq)),
            quality: Quality::Good,
        };
        let step = in_force.step(&mut state, &ReadingAt::new(board.boot, &reading));
        if let Some(step) = step.filter(|step| step.kind == TransitionKind::Clear) {
            spans.push((step.raised.onset.seq.0, step.raised.at.seq.0, Some(seq)));
        }
    }
    spans.extend(state.raised().map(|raised| (raised.onset.seq.0, raised.at.seq.0, None)));
    spans
}

#[test]
fn any_order_of_the_same_readings_anchors_and_revisions_settles_to_the_same_history() {
    let mut raised = 0;
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let first = serde_json::json!([{ "id": "hot", "select": {}, "above": 60.0, "on_delay_ms": 1_000 }]);
        let mut world = World::new(rules(first));
        let mut book = RuleBook::default();
        let board = origin(1);
        for step in schedule(&mut rng) {
            match step {
                Step::Readings(range) => {
                    let lane = if rng.random_bool(0.5) { Lane::Live } else { Lane::Backlog };
                    world.measured(lane, board, range, |seq| value(seed, seq));
                }
                Step::Lost(range) => world.lost(board, range),
                // The worse one says something else.
                Step::Anchor(ClockQuality::Synced) => world.anchored(board, START_MS, ClockQuality::Synced),
                Step::Anchor(quality) => world.anchored(board, START_MS - 77_000, quality),
                Step::Restart => world.restart(),
                Step::Rules(rules, unix_ms) => {
                    book = RuleBook::from(rules.clone());
                    world.change_rules(rules, unix_ms);
                }
            }
        }
        let expected = in_order(&book, seed);
        assert_eq!(world.spans(), expected, "seed {seed}");
        raised += expected.len();
        late_raises_are_of_their_own(&world, seed);
    }
    assert!(raised > 200, "{raised} occurrences");
}

/// No late raise speaks of what another told already: none lies inside another occurrence that was told and not over.
fn late_raises_are_of_their_own(world: &World, seed: u64) {
    let events = world.events();
    let mut late: Vec<_> = Vec::new();
    for event in events.iter().filter(|event| event.late) {
        match event.transition {
            TransitionKind::Raise => late.push((event.seq.0, None)),
            TransitionKind::Clear => {
                let open = late.iter_mut().rfind(|(raised, _)| *raised <= event.seq.0);
                open.expect("a clear of something raised").1 = Some(event.seq.0);
            }
            _ => {}
        }
    }
    late.sort_unstable();
    late.dedup();
    let doubled = late.windows(2).find(|pair| pair[0].0 == pair[1].0);
    assert_eq!(doubled, None, "seed {seed}: a late raise is told twice");
}
