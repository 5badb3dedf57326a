//! Rules against readings: each operator's table, the delays, a plain re-computation, and any way of cutting a series.

use proptest::prelude::*;
use tidegate_alarms::{
    ReadingAt, Rule, RuleSet, RulesSettings, State, Transition, TransitionKind,
    TransitionKind::{Clear, Raise},
};
use tidegate_protocol::{BootId, Quality, Seq, Tick, Value};

fn rule(condition: &str) -> std::sync::Arc<Rule> {
    let text = format!("[[rule]]\nid = \"it\"\n{condition}");
    let settings: RulesSettings = toml::from_str(&text).unwrap();
    RuleSet::from_settings(settings).unwrap().rules()[0].clone()
}

fn reading(seq: u64, tick: u64, value: f64) -> ReadingAt {
    let (boot, value) = (BootId(1), Value::F64(value));
    ReadingAt { boot, seq: Seq(seq), tick: Tick(tick), value, quality: Quality::Good }
}

fn run(rule: &Rule, state: &mut State, readings: &[ReadingAt]) -> Vec<Transition> {
    readings.iter().filter_map(|reading| rule.step(state, reading)).collect()
}

/// One value a second; what happened, at which seqs, and since which.
fn check(condition: &str, values: &[f64], expected: &[(TransitionKind, u64, u64)]) {
    let readings: Vec<_> =
        values.iter().enumerate().map(|(n, value)| reading(n as u64, n as u64 * 1_000, *value)).collect();
    let found = run(&rule(condition), &mut State::default(), &readings);
    let found: Vec<_> = found.iter().map(|t| (t.kind, t.onset.seq.0, t.trigger.seq.0)).collect();
    assert_eq!(found, expected, "{condition} over {values:?}");
}

#[test]
fn each_operator_raises_beyond_its_limit_and_clears_behind_its_deadband() {
    check("above = 10", &[10.0, 10.1, 11.0, 10.0, 9.0], &[(Raise, 1, 1), (Clear, 3, 3)]);
    check("above = 10\ndeadband = 2", &[11.0, 9.0, 8.1, 10.0, 8.0], &[(Raise, 0, 0), (Clear, 4, 4)]);
    check("below = 40", &[40.0, 39.9, 40.0, 39.0], &[(Raise, 1, 1), (Clear, 2, 2), (Raise, 3, 3)]);
    check("below = 40\ndeadband = 0.5", &[39.9, 40.4, 40.5], &[(Raise, 0, 0), (Clear, 2, 2)]);
    check("outside = [1, 3]\ndeadband = 0.5", &[1.0, 0.9, 3.1, 2.6, 2.5], &[(Raise, 1, 1), (Clear, 4, 4)]);
    check("inside = [1, 3]\ndeadband = 0.5", &[0.9, 1.0, 3.0, 3.5, 3.6], &[(Raise, 1, 1), (Clear, 4, 4)]);
    check("inside = [0, 0]", &[1.0, 0.0, 0.0, 1.0], &[(Raise, 1, 1), (Clear, 3, 3)]);
}

#[test]
fn an_on_delay_needs_an_unbroken_run_and_names_its_onset() {
    let rule = "above = 1\non_delay_ms = 2000";
    check(rule, &[2.0, 2.0, 2.0], &[(Raise, 0, 2)]);
    check(rule, &[2.0, 2.0, 1.0, 2.0, 2.0, 2.0], &[(Raise, 3, 5)]);
    check(rule, &[2.0, 1.0, 2.0, 1.0, 2.0], &[]);
    // The deadband does not hold a pending alarm: it has not been raised.
    check("above = 1\ndeadband = 0.5\non_delay_ms = 2000", &[2.0, 0.9, 2.0, 2.0], &[]);
    // A tick short is not enough.
    check("above = 1\non_delay_ms = 2001", &[2.0, 2.0, 2.0], &[]);
}

#[test]
fn an_off_delay_needs_an_unbroken_run_behind_the_deadband() {
    let rule = "above = 1\ndeadband = 0.5\noff_delay_ms = 2000";
    check(rule, &[2.0, 0.0, 0.0, 0.0], &[(Raise, 0, 0), (Clear, 1, 3)]);
    check(rule, &[2.0, 0.0, 0.6, 0.0, 0.0, 0.0], &[(Raise, 0, 0), (Clear, 3, 5)]);
    check(rule, &[2.0, 0.0, 0.0, 2.0, 0.0, 0.0], &[(Raise, 0, 0)]);
}

#[test]
fn the_peak_is_the_first_worst_value_from_onset_to_clear() {
    let rule = rule("below = 10\ndeadband = 1\non_delay_ms = 1000");
    let values = [3.0, 5.0, 2.0, 10.5, 2.0, 11.0];
    let readings: Vec<_> = values.iter().zip(0..).map(|(v, n)| reading(n, n * 1_000, *v)).collect();
    let found = run(&rule, &mut State::default(), &readings);
    let peaks: Vec<_> = found.iter().map(|t| (t.raised.peak.at.seq.0, t.raised.peak.value)).collect();
    assert_eq!(peaks, [(0, 3.0), (2, 2.0)]);
}

#[test]
fn bad_and_nan_readings_are_passed_over() {
    let rule = rule("above = 1\non_delay_ms = 2000");
    let bad = |seq, value| ReadingAt { quality: Quality::Bad, ..reading(seq, seq * 1_000, value) };
    let uncertain = ReadingAt { quality: Quality::Uncertain, ..reading(3, 3_000, 2.0) };
    let mut state = State::default();
    let readings = [reading(0, 0, 2.0), bad(1, 0.0), reading(2, 1_500, f64::NAN), uncertain];
    let found = run(&rule, &mut state, &readings);
    assert_eq!(found.len(), 1, "neither a bad nor a NaN reading breaks the run; an uncertain one counts");
    assert!(run(&rule, &mut state, &[bad(4, 0.0), reading(5, 9_000, f64::NAN)]).is_empty());
    assert!(state.is_active());
}

#[test]
fn a_new_boot_keeps_the_alarm_and_restarts_delays() {
    let rule = rule("above = 1\non_delay_ms = 1000\noff_delay_ms = 1000");
    let boot = |boot, reading| ReadingAt { boot: BootId(boot), ..reading };
    let mut state = State::default();
    // The second boot's tick is far ahead of the first one's: still no time has passed.
    assert!(run(&rule, &mut state, &[reading(0, 0, 2.0), boot(2, reading(0, 50_000, 2.0))]).is_empty());
    let raised = run(&rule, &mut state, &[boot(2, reading(1, 51_000, 2.0))]);
    assert_eq!((raised[0].onset.boot, raised[0].onset.seq), (BootId(2), Seq(0)));
    let readings = [boot(2, reading(2, 52_000, 0.0)), boot(3, reading(0, 99_000, 0.0))];
    assert!(run(&rule, &mut state, &readings).is_empty());
    assert!(state.is_active(), "the alarm outlives the boot that raised it");
    let cleared = run(&rule, &mut state, &[boot(3, reading(1, 100_000, 0.0))]);
    assert_eq!((cleared[0].kind, cleared[0].raised.at.boot), (Clear, BootId(2)));
}

#[test]
fn a_tick_that_jumps_backward_counts_as_no_time() {
    let rule = rule("above = 1\non_delay_ms = 1000");
    let readings = [reading(0, 5_000, 2.0), reading(1, 10, 2.0), reading(2, 6_000, 2.0)];
    let found = run(&rule, &mut State::default(), &readings);
    assert_eq!(found[0].trigger.seq, Seq(2));
}

fn arbitrary_rule() -> impl Strategy<Value = String> {
    let condition = prop_oneof![
        Just("above = 2"),
        Just("below = -2"),
        Just("outside = [-3, 3]"),
        Just("inside = [-1, 1]"),
        Just("inside = [2, 2]"),
    ];
    (condition, 0..3u8, 0..5u64, 0..5u64).prop_map(|(condition, deadband, on, off)| {
        let (on, off) = (on * 1_000, off * 1_000);
        format!("{condition}\ndeadband = {deadband}\non_delay_ms = {on}\noff_delay_ms = {off}")
    })
}

fn arbitrary_readings() -> impl Strategy<Value = Vec<ReadingAt>> {
    let one = (-5..=5i64, 0..2_500u64, 0..20u8);
    proptest::collection::vec(one, 0..200).prop_map(|all| {
        let (mut boot, mut seq, mut tick) = (1, 0, 0);
        let series = all.into_iter().map(|(value, step, odd)| {
            if odd == 0 {
                (boot, seq, tick) = (boot + 1, 0, 0);
            }
            (seq, tick) = (seq + 1, tick + step);
            let quality = if odd == 1 { Quality::Bad } else { Quality::Good };
            let value =
                if odd == 2 { Value::F64(f64::NAN) } else { Value::Decimal { mantissa: value, scale: 0 } };
            ReadingAt { boot: BootId(boot), seq: Seq(seq), tick: Tick(tick), value, quality }
        });
        series.collect()
    })
}

/// The transitions' places, found again and again from the whole series, by the words of the documentation.
fn by_definition(rule: &Rule, readings: &[ReadingAt]) -> Vec<(TransitionKind, usize, usize)> {
    use tidegate_alarms::Condition::*;
    let used = |n: usize| readings[n].quality != Quality::Bad && !readings[n].value.as_f64().is_nan();
    let d = rule.deadband();
    let raising = |v: f64| match *rule.condition() {
        Above(limit) => v > limit,
        Below(limit) => v < limit,
        Outside(low, high) => v < low || v > high,
        Inside(low, high) => low <= v && v <= high,
        ref other => panic!("{other:?}"),
    };
    let clearing = |v: f64| match *rule.condition() {
        Above(limit) => v <= limit - d,
        Below(limit) => v >= limit + d,
        Outside(low, high) => low + d <= v && v <= high - d,
        Inside(low, high) => v < low - d || v > high + d,
        ref other => panic!("{other:?}"),
    };
    let mut found: Vec<(TransitionKind, usize, usize)> = Vec::new();
    let mut from = 0;
    loop {
        let active = found.last().is_some_and(|(kind, ..)| *kind == Raise);
        let (kind, delay) = if active { (Clear, rule.off_delay_ms()) } else { (Raise, rule.on_delay_ms()) };
        let holds = |v: f64| if active { clearing(v) } else { raising(v) };
        // The run of readings, back from `n`, on which the condition holds without a break in one boot.
        let onset_of = |n: usize| {
            (from..=n)
                .rev()
                .filter(|m| used(*m))
                .take_while(|m| readings[*m].boot == readings[n].boot && holds(readings[*m].value.as_f64()))
                .last()
        };
        let next = (from..readings.len()).filter(|n| used(*n)).find_map(|n| {
            let onset = onset_of(n)?;
            (readings[n].tick.0 - readings[onset].tick.0 >= delay).then_some((kind, onset, n))
        });
        match next {
            Some(transition) => {
                from = transition.2 + 1;
                found.push(transition);
            }
            None => return found,
        }
    }
}

proptest! {
    #[test]
    fn a_plain_recomputation_finds_the_same(text in arbitrary_rule(), readings in arbitrary_readings()) {
        let rule = rule(&text);
        let expected = by_definition(&rule, &readings);
        let mut state = State::default();
        let mut found = Vec::new();
        for (n, reading) in readings.iter().enumerate() {
            if let Some(t) = rule.step(&mut state, reading) {
                let onset = readings.iter().position(|r| (r.boot, r.seq) == (t.onset.boot, t.onset.seq));
                found.push((t.kind, onset.unwrap(), n));
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn cutting_and_storing_between_changes_nothing(
        text in arbitrary_rule(),
        readings in arbitrary_readings(),
        cuts in proptest::collection::vec(1..20usize, 1..50),
    ) {
        let rule = rule(&text);
        let whole = run(&rule, &mut State::default(), &readings);
        let mut state = State::default();
        let mut parts = Vec::new();
        let (mut rest, mut cuts) = (readings.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            parts.extend(run(&rule, &mut state, now));
            let stored = postcard::to_allocvec(&state).unwrap();
            state = postcard::from_bytes(&stored).unwrap();
            rest = later;
        }
        prop_assert_eq!(parts, whole);
    }
}
