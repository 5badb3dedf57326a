//! Conditions beyond limits: listed values, rates, deviations; and states that go on, stored or under another revision.

use std::sync::Arc;

use proptest::prelude::*;
use serde::Serialize;
use tidegate_alarms::{
    ReadingAt, Rule, RuleKind, RuleSet, RulesSettings, State, Transition,
    TransitionKind::{self, Clear, Raise},
    group::Quorum,
    step::{Peak, Point, Raised},
};
use tidegate_protocol::{BootId, Quality, Seq, Tick, Value};

fn rule(keys: &str) -> Arc<Rule> {
    let settings: RulesSettings = toml::from_str(&format!("[[rule]]\nid = \"it\"\n{keys}")).unwrap();
    RuleSet::from_settings(settings).unwrap().rules()[0].clone()
}

fn at(seq: u64, value: Value) -> ReadingAt {
    ReadingAt { boot: BootId(1), seq: Seq(seq), tick: Tick(seq * 1_000), value, quality: Quality::Good }
}

fn run(rule: &Rule, state: &mut State, readings: &[ReadingAt]) -> Vec<Transition> {
    readings.iter().filter_map(|reading| rule.step(state, reading)).collect()
}

/// One value a second; what happened, and at which seqs.
fn check(keys: &str, values: &[Value], expected: &[(TransitionKind, u64)]) -> Vec<Transition> {
    let readings: Vec<_> = values.iter().zip(0..).map(|(value, n)| at(n, *value)).collect();
    let found = run(&rule(keys), &mut State::default(), &readings);
    let seen: Vec<_> = found.iter().map(|t| (t.kind, t.trigger.seq.0)).collect();
    assert_eq!(seen, expected, "{keys} over {values:?}");
    found
}

fn doubles(values: impl IntoIterator<Item = f64>) -> Vec<Value> {
    values.into_iter().map(Value::F64).collect()
}

#[test]
fn listed_values_raise_and_all_others_clear() {
    let door = [false, true, true, false].map(Value::Bool);
    check("equals = true", &door, &[(Raise, 1), (Clear, 3)]);
    check("equals = false", &door, &[(Raise, 0), (Clear, 1), (Raise, 3)]);
    check("not_equals = true", &door, &[(Raise, 0), (Clear, 1), (Raise, 3)]);
    let states = doubles([1.0, 3.0, 4.0, 2.0, 3.0]);
    let found = check("equals = [3, 4]", &states, &[(Raise, 1), (Clear, 3), (Raise, 4)]);
    assert_eq!(found[1].raised.peak.value, 3.0, "none is worse than another: the first stays");
    check("not_equals = [1, 2]\non_delay = \"1s\"", &states, &[(Raise, 2), (Clear, 3)]);
    let tenth = [Value::F32(0.1), Value::Decimal { mantissa: 1, scale: 1 }, Value::F64(0.1)];
    check("equals = 0.1", &tenth, &[(Raise, 0)]);
    check("equals = 0", &doubles([f64::NAN, -0.0, f64::INFINITY]), &[(Raise, 1), (Clear, 2)]);
}

#[test]
fn a_rate_raises_on_change_and_clears_when_it_calms() {
    // 0 for a minute, then 0.1 a second for a minute, then steady.
    let ramp = |n: u32| f64::from(n.clamp(60, 120) - 60) * 0.1;
    let keys = "rate = { above = 3.0, per = \"1m\", over = \"16s\" }";
    let found = check(keys, &doubles((0..200).map(ramp)), &[(Raise, 68), (Clear, 128)]);
    let peak = found[1].raised.peak.value;
    assert!((peak - 6.0).abs() < 1e-9, "per minute: {peak}");
    check(
        "rate = { below = -3.0, per = \"1m\", over = \"16s\" }",
        &doubles((0..200).map(|n| -ramp(n))),
        &[(Raise, 68), (Clear, 128)],
    );
    check(keys, &doubles((0..200).map(|n| -ramp(n))), &[]);
}

#[test]
fn a_deviation_is_from_the_moving_mean() {
    let step = |n: u32| if n < 40 { 20.0 } else { 30.0 };
    // The mean follows: after the window the new level is what is usual.
    check(
        "deviation = { above = 5, over = \"16s\" }",
        &doubles((0..80).map(step)),
        &[(Raise, 40), (Clear, 48)],
    );
    let downward = "deviation = { outside = [-5, 50], over = \"16s\" }";
    check(downward, &doubles((0..80).map(step)), &[]);
    check(downward, &doubles((0..80).map(|n| -step(n))), &[(Raise, 40), (Clear, 48)]);
}

#[test]
fn a_new_boot_begins_a_new_window_and_keeps_the_alarm() {
    let rule = rule("rate = { above = 1, per = \"1s\", over = \"10s\" }");
    let mut state = State::default();
    let steep: Vec<_> = (0..20).map(|n| at(n, Value::F64(n as f64 * 2.0))).collect();
    assert_eq!(run(&rule, &mut state, &steep).len(), 1);
    let boot = |n| ReadingAt { boot: BootId(2), ..at(n, Value::F64(0.0)) };
    let calm: Vec<_> = (0..20).map(boot).collect();
    assert!(run(&rule, &mut state, &calm[..5]).is_empty() && state.is_active(), "nothing to go by yet");
    let found = run(&rule, &mut state, &calm[5..]);
    assert_eq!((found.len(), found[0].kind, found[0].trigger.seq), (1, Clear, Seq(5)));
}

#[test]
fn readings_too_far_apart_for_the_window_say_nothing() {
    let rule = rule("rate = { above = 1, per = \"1s\", over = \"500ms\" }");
    let steep: Vec<_> = (0..20).map(|n| at(n, Value::F64(n as f64 * 99.0))).collect();
    assert!(run(&rule, &mut State::default(), &steep).is_empty());
}

#[test]
fn other_kinds_of_rule_say_what_they_are() {
    let stale = rule("stale = { after = 3.0, interval = \"10s\" }\nlatching = true");
    assert_eq!((stale.rule_kind(), stale.is_latching()), (RuleKind::Stale, true));
    assert_eq!(stale.stale().unwrap().silence_ms(None), Some(30_000));
    assert!(run(&stale, &mut State::default(), &[at(0, Value::F64(1e9))]).is_empty());
    let group = rule("above = 5\ngroup = { count = 3 }");
    assert_eq!((group.rule_kind(), group.quorum()), (RuleKind::Group, Some(Quorum::Count(3))));
    assert_eq!(run(&group, &mut State::default(), &[at(0, Value::F64(6.0))]).len(), 1, "a member is stepped");
}

#[test]
fn a_state_without_a_window_is_small_and_takes_what_was_stored_before_there_were_windows() {
    assert!(size_of::<State>() <= 144, "{}", size_of::<State>());
    #[derive(Serialize)]
    enum Before {
        Normal,
        Pending { onset: Point, peak: Peak },
        Active(Raised),
        Clearing { raised: Raised, since: Point },
    }
    let point = Point { boot: BootId(1), seq: Seq(3), tick: Tick(3_000) };
    let peak = Peak { at: point, value: 7.5 };
    let rule = rule("above = 5\noff_delay_ms = 2000\non_delay_ms = 2000");
    let raised = Raised { onset: point, at: point, revision: rule.revision(), peak };
    let read =
        |before: &Before| -> State { postcard::from_bytes(&postcard::to_allocvec(before).unwrap()).unwrap() };
    assert_eq!(read(&Before::Normal), State::default());
    assert_eq!(postcard::to_allocvec(&State::default()).unwrap(), [0]);
    assert_eq!(read(&Before::Active(raised)).raised(), Some(&raised));
    let mut pending = read(&Before::Pending { onset: point, peak });
    assert_eq!(run(&rule, &mut pending, &[at(5, Value::F64(6.0))])[0].onset, point);
    let mut clearing = read(&Before::Clearing { raised, since: point });
    assert_eq!(run(&rule, &mut clearing, &[at(5, Value::F64(1.0))])[0].onset, point);
}

#[test]
fn another_revision_takes_an_alarm_over() {
    let (first, stricter) = (rule("above = 5"), rule("above = 3"));
    let mut state = State::default();
    let raise = run(&first, &mut state, &[at(0, Value::F64(6.0))])[0];
    let mut state = stricter.adopt(state);
    let clear = run(&stricter, &mut state, &[at(1, Value::F64(4.0)), at(2, Value::F64(2.0))])[0];
    assert_eq!(clear.raised.revision, raise.raised.revision, "the occurrence keeps its name");
    assert_eq!((clear.trigger.seq, clear.raised.peak.value), (Seq(2), 6.0));
}

#[test]
fn a_window_that_moves_on_is_no_change_of_phase() {
    let rule = rule("rate = { above = 1, per = \"1s\", over = \"4s\" }");
    let mut state = State::default();
    run(&rule, &mut state, &[at(0, Value::F64(0.0)), at(1, Value::F64(0.0))]);
    let before = state.clone();
    run(&rule, &mut state, &[at(2, Value::F64(0.5))]);
    assert!(state != before && state.is_in_phase_of(&before));
    run(&rule, &mut state, &[at(3, Value::F64(99.0))]);
    assert!(state.is_active() && !state.is_in_phase_of(&before));
}

#[test]
fn a_delay_goes_on_only_under_the_same_kind_of_condition() {
    let [above, higher, below] =
        ["above = 5", "above = 4", "below = 9"].map(|keys| rule(&format!("{keys}\non_delay = \"2s\"")));
    let mut pending = State::default();
    assert!(run(&above, &mut pending, &[at(0, Value::F64(6.0))]).is_empty());
    let goes_on = run(&higher, &mut higher.adopt(pending.clone()), &[at(2, Value::F64(6.0))]);
    assert_eq!(goes_on[0].onset.seq, Seq(0));
    let readings = [at(2, Value::F64(6.0)), at(4, Value::F64(6.0))];
    let anew = run(&below, &mut below.adopt(pending), &readings);
    assert_eq!((anew[0].onset.seq, anew[0].trigger.seq), (Seq(2), Seq(4)));
}

#[test]
fn a_window_goes_on_only_if_it_is_the_same_and_a_peak_of_another_quantity_begins_anew() {
    let rate = |over: &str| rule(&format!("rate = {{ above = 1, per = \"1s\", over = \"{over}\" }}"));
    let mut state = State::default();
    run(&rate("10s"), &mut state, &(0..8).map(|n| at(n, Value::F64(0.0))).collect::<Vec<_>>());
    // A rate of some 125 a second.
    let jump = [at(8, Value::F64(999.0))];
    assert_eq!(run(&rate("10s"), &mut rate("10s").adopt(state.clone()), &jump).len(), 1);
    assert_eq!(run(&rate("11s"), &mut rate("11s").adopt(state.clone()), &jump).len(), 0);

    let limit = rule("above = 50");
    run(&rate("10s"), &mut state, &jump);
    let mut adopted = limit.adopt(state);
    let clear = run(&limit, &mut adopted, &[at(9, Value::F64(60.0)), at(10, Value::F64(1.0))])[0];
    assert_eq!((clear.raised.peak.value, clear.raised.peak.at.seq), (60.0, Seq(9)));
}

fn arbitrary_rule() -> impl Strategy<Value = String> {
    let condition = prop_oneof![
        Just("equals = [2, 3]"),
        Just("not_equals = [-1, 0, 1]"),
        Just("rate = { above = 1.5, below = -1, per = \"1s\", over = \"6s\" }\ndeadband = 0.25"),
        Just("deviation = { above = 2, over = \"8s\" }\ndeadband = 0.5"),
    ];
    (condition, 0..3u64, 0..3u64)
        .prop_map(|(condition, on, off)| format!("{condition}\non_delay = \"{on}s\"\noff_delay = \"{off}s\""))
}

fn arbitrary_readings() -> impl Strategy<Value = Vec<ReadingAt>> {
    proptest::collection::vec((-5..=5i64, 0..2_500u64, 0..40u8), 0..200).prop_map(|all| {
        let (mut boot, mut seq, mut tick) = (1, 0, 0);
        let series = all.into_iter().map(|(mantissa, step, odd)| {
            if odd == 0 {
                (boot, seq, tick) = (boot + 1, 0, 0);
            }
            (seq, tick) = (seq + 1, tick + step);
            let quality = if odd == 1 { Quality::Bad } else { Quality::Good };
            let value = Value::Decimal { mantissa, scale: 0 };
            ReadingAt { boot: BootId(boot), seq: Seq(seq), tick: Tick(tick), value, quality }
        });
        series.collect()
    })
}

/// What a window says of the reading at `n`, from the whole series and the words of the documentation.
fn measure_by_definition(readings: &[ReadingAt], n: usize, over_ms: u64, is_rate: bool) -> Option<f64> {
    let width = over_ms.div_ceil(16);
    let here = &readings[n];
    let within = readings[..n].iter().filter(|r| {
        r.boot == here.boot && r.quality != Quality::Bad && here.tick.0 / width - r.tick.0 / width < 16
    });
    let within: Vec<&ReadingAt> = within.collect();
    let oldest = within.first()?;
    let spanned = here.tick.0 - oldest.tick.0;
    if spanned * 2 < over_ms {
        return None;
    }
    let value = here.value.as_f64();
    let mean = || within.iter().map(|r| r.value.as_f64()).sum::<f64>() / within.len() as f64;
    Some(if is_rate { (value - oldest.value.as_f64()) / spanned as f64 * 1_000.0 } else { value - mean() })
}

proptest! {
    #[test]
    fn windows_say_what_the_definition_says(readings in arbitrary_readings(), is_rate: bool) {
        let keys = if is_rate {
            "rate = { above = 1, per = \"1s\", over = \"6s\" }"
        } else {
            "deviation = { outside = [-100, 1], over = \"6s\" }"
        };
        let rule = rule(keys);
        let mut state = State::default();
        let mut active = false;
        for (n, reading) in readings.iter().enumerate() {
            let found = rule.step(&mut state, reading);
            if reading.quality != Quality::Bad && let Some(measure) = measure_by_definition(&readings, n, 6_000, is_rate) {
                active = measure > 1.0;
                if let Some(found) = found {
                    prop_assert!((found.measure - measure).abs() < 1e-9, "{} {}", found.measure, measure);
                }
            }
            prop_assert_eq!(state.is_active(), active, "at {}", n);
        }
    }

    #[test]
    fn portions_and_storing_between_change_nothing(
        text in arbitrary_rule(),
        readings in arbitrary_readings(),
        cuts in proptest::collection::vec(1..20usize, 1..50),
        as_json: bool,
    ) {
        let rule = rule(&text);
        let whole = run(&rule, &mut State::default(), &readings);
        let mut state = State::default();
        let mut parts = Vec::new();
        let (mut rest, mut cuts) = (readings.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            parts.extend(run(&rule, &mut state, now));
            state = if as_json {
                serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap()
            } else {
                postcard::from_bytes(&postcard::to_allocvec(&state).unwrap()).unwrap()
            };
            rest = later;
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn what_came_before_the_window_is_forgotten(
        before in proptest::collection::vec(-9..9i64, 0..30),
        after in proptest::collection::vec(-9..9i64, 40..60),
    ) {
        // One a second. 20 s of calm end any alarm; from then on the past must not matter.
        let rule = rule("rate = { above = 1, per = \"1s\", over = \"8s\" }");
        let reading = |n: usize, mantissa: i64| at(n as u64, Value::Decimal { mantissa, scale: 0 });
        let calm = [0; 20];
        let long: Vec<_> = before.iter().chain(&calm).chain(&after).enumerate().map(|(n, v)| reading(n, *v)).collect();
        let short = &long[before.len()..];
        let (mut a, mut b) = (State::default(), State::default());
        run(&rule, &mut a, &long);
        run(&rule, &mut b, short);
        prop_assert_eq!(a, b);
    }
}
