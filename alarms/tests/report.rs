//! The alarm report, by cases that can be counted by hand, and suggestions tried out on the signal they were made of.

use proptest::prelude::*;
use tidegate_alarms::{
    AlarmEvent, EventId, Priority, ReadingAt, RuleSet, RulesSettings, State, TransitionKind,
    event::{EventPeak, EventPoint, Place, Standing, WallTime},
    report::{BAD_ACTORS, Load, MAX_ALARMS, MAX_WINDOW_MS, Nuisance, Report, Reporter},
};
use tidegate_protocol::{BootId, ChannelName, ClockQuality, DeviceId, Quality, Seq, SiteId, Tick, Value};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const BOOT: BootId = BootId(7);

fn rules(extra: &str) -> RuleSet {
    let text = format!("[[rule]]\nid = \"high\"\nabove = 60\npriority = \"high\"\n{extra}");
    RuleSet::from_settings(toml::from_str::<RulesSettings>(&text).unwrap()).unwrap()
}

fn place(device: u64) -> Place<'static> {
    Place {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new(&format!("b{device}")).unwrap(),
        channel: ChannelName::new("level").unwrap(),
        unit: "m",
    }
}

fn turn(transition: TransitionKind, device: u64, at: i64, occurrence: i64) -> AlarmEvent {
    let rules = rules("");
    let seq = Seq(at.unsigned_abs());
    AlarmEvent {
        id: EventId(at.unsigned_abs().into()),
        transition,
        occurrence: EventId(occurrence.unsigned_abs().into()),
        seq,
        time_unix_ms: Some(at),
        tick_ms: at.unsigned_abs(),
        value: Some(if transition == TransitionKind::Raise { 61.0 } else { 59.0 }),
        onset: EventPoint { boot: BOOT, seq, tick_ms: at.unsigned_abs(), time_unix_ms: Some(at) },
        peak: EventPeak { boot: BOOT, seq, value: Some(61.0) },
        ..AlarmEvent::never_raised(&rules.rules()[0], place(device), BOOT)
    }
}

fn raise(device: u64, at: i64) -> AlarmEvent {
    turn(TransitionKind::Raise, device, at, at)
}

/// Of what was raised at `raised`.
fn clear(device: u64, at: i64, raised: i64) -> AlarmEvent {
    turn(TransitionKind::Clear, device, at, raised)
}

fn acknowledge(device: u64, at: i64, raised: i64) -> AlarmEvent {
    turn(TransitionKind::Acknowledge, device, at, raised)
}

fn report(from: i64, to: i64, events: &[AlarmEvent]) -> Report {
    let mut reporter = Reporter::new(from, to);
    events.iter().for_each(|event| reporter.take(event));
    reporter.finish()
}

#[test]
fn raises_are_counted_by_priority_and_held_against_the_guide() {
    let priorities =
        [(Priority::Low, 12), (Priority::Medium, 4), (Priority::High, 3), (Priority::Critical, 1)];
    let of = |(priority, count): (Priority, i64)| {
        (0..count).map(move |n| AlarmEvent { priority, ..raise(priority as u64, n * HOUR) })
    };
    let events: Vec<AlarmEvent> = priorities.into_iter().flat_map(of).collect();
    let told = report(0, 24 * HOUR, &events);
    let shares = told.priorities.map(|each| (each.priority, each.raises, each.share, each.guide_share));
    let expected = [
        (Priority::Critical, 1, 0.05, 0.01),
        (Priority::High, 3, 0.15, 0.05),
        (Priority::Medium, 4, 0.2, 0.15),
        (Priority::Low, 12, 0.6, 0.8),
    ];
    assert_eq!(shares, expected);
    assert_eq!((told.raises, told.alarms_raised), (20, 4));
    let nothing = report(0, HOUR, &[]);
    assert_eq!((nothing.raises, nothing.priorities[0].share, nothing.load.per_hour.average), (0, 0.0, 0.0));
}

#[test]
fn only_what_lies_in_the_stretch_counts() {
    let told = report(HOUR, 2 * HOUR, &[HOUR - 1, HOUR, 2 * HOUR - 1, 2 * HOUR].map(|at| raise(0, at)));
    assert_eq!((told.raises, told.load.per_hour.peak), (2, 2));
    let long = Reporter::new(0, i64::MAX).finish();
    assert_eq!(long.to_unix_ms, MAX_WINDOW_MS as i64);
    let backwards = report(HOUR, 0, &[raise(0, 0), raise(0, HOUR)]);
    assert_eq!((backwards.raises, backwards.to_unix_ms), (0, HOUR));
}

#[test]
fn rates_are_averages_and_the_fullest_stretch_of_that_length() {
    // Six within ten minutes that no round ten minutes hold, four more within the hour, two far off.
    let minutes = [55, 56, 57, 63, 64, 64, 20, 25, 70, 75, 180, 230];
    let events = minutes.map(|minute| raise(minute as u64, minute * MINUTE));
    let Load { per_hour, per_10_minutes, flood_count, .. } = report(0, 4 * HOUR, &events).load;
    assert_eq!((per_hour.average, per_hour.peak), (3.0, 10));
    assert_eq!((per_10_minutes.average, per_10_minutes.peak), (0.5, 6));
    assert_eq!(flood_count, 0);
}

#[test]
fn a_flood_is_from_its_first_raise_until_there_are_fewer_than_five() {
    // Twelve, every half minute from 1:00:00 to 1:05:30; at 1:13:40 the fifth last is ten minutes old.
    let mut events: Vec<AlarmEvent> = (0..12).map(|n| raise(n, HOUR + n as i64 * 30_000)).collect();
    // Nine in ten minutes are none.
    events.extend((0..9).map(|n| raise(n, 3 * HOUR + n as i64 * MINUTE)));
    // Ten at once, and it is still on at the end.
    events.extend((0..10).map(|n| raise(n, 6 * HOUR - 2 * MINUTE)));
    let load = report(0, 6 * HOUR, &events).load;
    assert_eq!((load.flood_count, load.floods.len()), (2, 2));
    let (first, second) = (load.floods[0], load.floods[1]);
    assert_eq!((first.began_unix_ms, first.ended_unix_ms), (HOUR, Some(HOUR + 820_000)));
    assert_eq!((first.raises, first.peak_per_10_minutes), (12, 12));
    assert_eq!((second.began_unix_ms, second.ended_unix_ms), (6 * HOUR - 2 * MINUTE, None));
    assert_eq!((second.raises, second.peak_per_10_minutes), (10, 10));
    assert_eq!(load.flooded_ms, 820_000 + 120_000);
    assert_eq!(load.per_10_minutes.peak, 12);
}

#[test]
fn a_flood_does_not_count_what_was_of_the_one_before() {
    // Ten at 0:00 and four at 9:50: over at 10:10. Six at 10:20 make ten with those four.
    let at = [(10, 0), (4, 590_000), (6, 620_000)];
    let events = at.into_iter().flat_map(|(count, at)| (0..count).map(move |n| raise(n, at)));
    let load = report(0, HOUR, &events.collect::<Vec<_>>()).load;
    let floods: Vec<_> =
        load.floods.iter().map(|flood| (flood.began_unix_ms, flood.ended_unix_ms, flood.raises)).collect();
    assert_eq!(floods, [(0, Some(610_000), 14), (620_000, Some(1_230_000), 6)]);
}

#[test]
fn bad_actors_are_those_that_are_raised_most() {
    // Device n is raised n times: 78 in all.
    let events = (1..=12).flat_map(|device| (0..device).map(move |n| raise(device, n as i64 * HOUR)));
    let told = report(0, 24 * HOUR, &events.collect::<Vec<_>>());
    let found: Vec<(&str, u64)> =
        told.bad_actors.iter().map(|actor| (actor.alarm.device.as_str(), actor.raises)).collect();
    assert_eq!(found.len(), BAD_ACTORS);
    assert_eq!((found[0], found[9]), (("b12", 12), ("b3", 3)));
    assert_eq!(told.bad_actors[0].share, 12.0 / 78.0);
    assert_eq!((told.alarms_raised, told.raises), (12, 78));
}

/// Raised at each, and cleared `held` later.
fn episodes(device: u64, at: &[i64], held: i64) -> Vec<AlarmEvent> {
    at.iter().flat_map(|at| [raise(device, *at), clear(device, at + held, *at)]).collect()
}

#[test]
fn three_raises_in_a_minute_are_chatter() {
    let chatter = |at: &[i64]| report(0, HOUR, &episodes(1, at, 8_000));
    let told = chatter(&[0, 20_000, 60_000, 300_000, 330_000]);
    let found: Vec<_> = told.chattering.iter().map(|each| (each.raises, each.chattering_raises)).collect();
    assert_eq!((told.chattering_alarms, found), (1, vec![(5, 1)]));
    assert_eq!(chatter(&[0, 20_000, 60_001]).chattering_alarms, 0);
    // Two alarms do not make one that chatters.
    let mut two = episodes(1, &[0, 20_000], 8_000);
    two.extend(episodes(2, &[30_000], 8_000));
    assert_eq!(report(0, HOUR, &two).chattering_alarms, 0);
}

#[test]
fn the_off_delay_would_have_joined_nine_of_ten_pauses() {
    // Held for 8 s, with pauses of 1 to 10 s between; the tenth is followed by a last raise.
    let (mut at, mut raised) = (0, vec![]);
    for pause in 1..=11 {
        raised.push(at);
        at += 8_000 + pause * 1_000;
    }
    let told = report(0, HOUR, &episodes(1, &raised, 8_000));
    let suggestion = told.chattering[0].suggestion;
    assert_eq!((suggestion.off_delay_ms, suggestion.pauses), (Some(9_000), 10));
    assert_eq!((suggestion.on_delay_ms, suggestion.occurrences), (None, 0), "none was gone at once");
    assert_eq!(suggestion.deadband, None, "of two values, no deadband");
}

#[test]
fn the_deadband_is_beyond_nine_of_ten_values_it_cleared_at() {
    let events = |value: fn(i64) -> f64| -> Vec<AlarmEvent> {
        let of = |n: i64| {
            let mut pair = episodes(1, &[n * 10_000], 6_000);
            pair[0].peak.value = pair[0].value;
            pair[1].value = Some(value(n));
            pair
        };
        (0..11).flat_map(of).collect()
    };
    let suggested = |events: &[AlarmEvent]| report(0, HOUR, events).chattering[0].suggestion.deadband;
    // A tenth to one below the limit.
    assert_eq!(suggested(&events(|n| 60.0 - (n + 1) as f64 / 8.0)), Some(1.2));
    assert_eq!(suggested(&events(|n| 60.0 - (n + 1) as f64 * 100.0)), Some(910.0));
    // At the limit itself, however far it is not known.
    assert_eq!(suggested(&events(|_| 60.0)), None);
    // What the rule compares is not the value.
    let mut rate = events(|n| 60.0 - n as f64);
    rate.iter_mut().for_each(|event| event.peak.value = Some(0.5));
    assert_eq!(suggested(&rate), None);
    // It cleared on the side that it raised on: values that are listed.
    assert_eq!(suggested(&events(|n| 62.0 + n as f64)), None);
}

#[test]
fn what_clears_within_five_seconds_is_fleeting_and_an_on_delay_would_have_passed_over_it() {
    // Ten of 0.4 to 4 s, and two that were there for longer.
    let mut events: Vec<AlarmEvent> = (1..=10).flat_map(|n| episodes(1, &[n * HOUR / 10], n * 400)).collect();
    events.extend(episodes(1, &[2 * HOUR], 5_000));
    events.extend(episodes(1, &[3 * HOUR], HOUR));
    let told = report(0, 6 * HOUR, &events);
    assert_eq!((told.fleeting_alarms, told.chattering_alarms), (1, 0));
    let Nuisance { fleeting, raises, suggestion, .. } = told.fleeting[0];
    assert_eq!((fleeting, raises, suggestion.occurrences), (10, 12, 10));
    assert_eq!(suggestion.on_delay_ms, Some(4_000), "the ninth was there for 3.6 s");
    // Withdrawn with its rule: the clear names the reading that raised.
    let withdrawn = AlarmEvent { seq: raise(1, 0).seq, ..clear(1, 100, 0) };
    assert_eq!(report(0, HOUR, &[raise(1, 0), withdrawn]).fleeting_alarms, 0);
}

#[test]
fn the_time_to_acknowledge_is_from_the_raise_to_the_first_acknowledgement() {
    let mut events = Vec::new();
    for n in 1..=10 {
        let priority = if n == 10 { Priority::Critical } else { Priority::Low };
        events.push(AlarmEvent { priority, ..raise(n, 0) });
        events.push(AlarmEvent { priority, ..acknowledge(n, n as i64 * 64_000, 0) });
    }
    // Again, and of a raise that nobody knows: counted, and not timed.
    events.push(acknowledge(1, 3 * HOUR, 0));
    events.push(acknowledge(1, 3 * HOUR, 77));
    let told = report(0, 4 * HOUR, &events);
    let all = told.time_to_acknowledge;
    assert_eq!((told.acknowledgements, all.count), (12, 10));
    assert_eq!((all.p50_ms, all.p90_ms, all.max_ms), (Some(319_488), Some(573_440), Some(640_000)));
    let of = |at: usize| told.priorities[at].time_to_acknowledge;
    assert_eq!((of(0).count, of(0).max_ms), (1, Some(640_000)));
    assert_eq!((of(3).count, of(3).max_ms), (9, Some(576_000)));
    assert_eq!((of(1).count, of(1).p50_ms), (0, None));
    // Raised before the stretch: it is timed. Acknowledged by a clock that is behind: at once.
    let before = report(HOUR, 2 * HOUR, &[raise(1, 0), acknowledge(1, HOUR, 0)]);
    assert_eq!((before.raises, before.time_to_acknowledge.max_ms), (0, Some(HOUR as u64)));
    let behind = report(0, HOUR, &[raise(1, 500), acknowledge(1, 400, 500)]);
    assert_eq!(behind.time_to_acknowledge.max_ms, Some(0));
}

#[test]
fn late_suppressed_amended_and_untimed_ones_are_told_apart() {
    let late = AlarmEvent { late: true, ..raise(1, 30_000) };
    let events = [
        raise(1, 0),
        raise(1, 40_000),
        // Of the same time, and no neighbour of the live ones.
        late.clone(),
        // The same occurrence, live.
        AlarmEvent { continues: Some(late.id), ..raise(1, 50_000) },
        AlarmEvent { transition: TransitionKind::Amend, late: true, ..raise(1, 45_000) },
        AlarmEvent { suppressed: true, ..raise(1, 55_000) },
        clear(1, 56_000, 55_000),
        AlarmEvent { time_unix_ms: None, ..raise(2, 5) },
        AlarmEvent { time_unix_ms: None, late: true, learned_unix_ms: Some(59_000), ..raise(3, 6) },
        turn(TransitionKind::Comment, 1, 57_000, 40_000),
    ];
    let told = report(0, HOUR, &events);
    assert_eq!((told.raises, told.late_raises, told.suppressed_raises, told.untimed_raises), (4, 2, 1, 1));
    assert_eq!((told.clears, told.load.per_hour.peak, told.alarms_raised), (1, 4, 2));
    assert_eq!((told.chattering_alarms, told.fleeting_alarms), (0, 0), "{told:?}");
}

#[test]
fn alarms_beyond_the_bound_are_in_the_sums() {
    let most = MAX_ALARMS as u64;
    let events: Vec<AlarmEvent> = (0..most + 3).map(|device| raise(device, 0)).collect();
    let told = report(0, HOUR, &events);
    assert_eq!((told.raises, told.untracked_raises, told.alarms_raised), (most + 3, 3, most));
}

/// What a rule tells of a signal, a value each second.
fn told_by(extra: &str, signal: &[f64]) -> Vec<AlarmEvent> {
    let rules = rules(extra);
    let (rule, mut state) = (&rules.rules()[0], State::default());
    let time = |point: tidegate_alarms::step::Point| WallTime {
        unix_ms: Some(point.tick.0 as i64),
        quality: ClockQuality::Synced,
    };
    let mut events = Vec::new();
    for (at, value) in (0..).zip(signal) {
        let (seq, tick, value) = (Seq(at), Tick(at * 1_000), Value::F64(*value));
        let reading = ReadingAt { boot: BOOT, seq, tick, value, quality: Quality::Good };
        if let Some(transition) = rule.step(&mut state, &reading) {
            events.push(AlarmEvent::new(rule, place(1), &transition, Standing::default(), time));
        }
    }
    events
}

fn raises(events: &[AlarmEvent]) -> u64 {
    events.iter().filter(|event| event.transition == TransitionKind::Raise).count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A level near the limit, with noise: most occurrences are gone with any one of the suggestions.
    #[test]
    fn a_suggestion_quiets_the_signal_it_was_made_of(
        noise in proptest::collection::vec(0..1_000_i32, 110),
        base in 597..603_i32,
    ) {
        let signal: Vec<f64> =
            noise.iter().map(|noise| f64::from(base) / 10.0 + f64::from(noise - 500) / 250.0).collect();
        let seen = told_by("", &signal);
        let told = report(0, HOUR, &seen);
        prop_assume!(told.chattering.first().is_some_and(|each| (15..=32).contains(&each.raises)));
        let Nuisance { raises: before, suggestion, .. } = told.chattering[0];
        let with = |extra: &str| raises(&told_by(extra, &signal));
        // Nine of ten pauses are joined; so at most one of ten ends an occurrence.
        let left = 1 + (before - 1).div_ceil(10);
        let off_delay = suggestion.off_delay_ms.unwrap();
        let quiet = with(&format!("off_delay_ms = {off_delay}"));
        prop_assert!(quiet <= left, "{:?} of {}", suggestion, before);
        let on_delay = suggestion.on_delay_ms.unwrap();
        let quiet = with(&format!("on_delay_ms = {on_delay}"));
        prop_assert!(quiet <= before - told.fleeting[0].fleeting * 9 / 10, "{:?} of {}", suggestion, before);
        // It may have gone deeper after it cleared than where it did.
        let deadband = suggestion.deadband.unwrap();
        let quiet = with(&format!("deadband = {deadband}"));
        prop_assert!(quiet < before, "{:?} of {}", suggestion, before);
    }

    #[test]
    fn two_stretches_side_by_side_add_up(
        steps in proptest::collection::vec((0..40_000_i64, 0..4_u64, 0..8_u8, any::<bool>()), 0..300),
        cut in 0..240_i64,
    ) {
        let mut events = Vec::new();
        let (mut at, mut raised) = (0, [None; 4]);
        for (step, device, what, late) in steps {
            at += step;
            let known = &mut raised[device as usize];
            let event = match (what, *known) {
                (0..=2, _) => { *known = Some(at); raise(device, at) }
                (3..=4, Some(of)) => clear(device, at, of),
                (5, Some(of)) => acknowledge(device, at, of),
                (6, _) => AlarmEvent { suppressed: true, ..raise(device, at) },
                _ => continue,
            };
            events.push(AlarmEvent { late: late && what != 5, priority: Priority::ALL[device as usize], ..event });
        }
        let (cut, end) = (cut * MINUTE, 240 * MINUTE);
        let whole = report(0, end, &events);
        let parts = [report(0, cut, &events), report(cut, end, &events)];
        let sum = |of: fn(&Report) -> u64| (of(&whole), of(&parts[0]) + of(&parts[1]));
        for (whole, sum) in [
            sum(|told| told.raises),
            sum(|told| told.late_raises),
            sum(|told| told.suppressed_raises),
            sum(|told| told.clears),
            sum(|told| told.acknowledgements),
            sum(|told| told.time_to_acknowledge.count),
            sum(|told| told.priorities[1].raises),
            sum(|told| told.priorities[2].time_to_acknowledge.count),
            sum(|told| told.bad_actors.iter().map(|actor| actor.raises).sum()),
            sum(|told| told.chattering.iter().map(|each| each.chattering_raises).sum()),
            sum(|told| told.fleeting.iter().map(|each| each.fleeting).sum()),
        ] {
            prop_assert_eq!(whole, sum);
        }
        let longest = parts.iter().filter_map(|part| part.time_to_acknowledge.max_ms).max();
        prop_assert_eq!(whole.time_to_acknowledge.max_ms, longest);
        let load = |told: &Report| told.load.per_hour.average * (told.to_unix_ms - told.from_unix_ms) as f64;
        prop_assert!((load(&whole) - load(&parts[0]) - load(&parts[1])).abs() < 1.0);
    }
}
