//! Which alarms are active at the gateway: of live readings alone, over boots, and within bounds.

use tidegate_alarms::{Priority, RuleSet, RulesSettings};
use tidegate_protocol::{Quality, Reading, Value, frame::Standing};

use super::bench::{Bench, reading, settings};
use crate::core::{BoardFrame, CoreSettings, Event, LinkId, LocalAlarm};

const RULES: &str = r#"{ "rule": [
    { "id": "hot", "select": { "channel": "temperature" }, "above": 99.0, "priority": "high", "message": "{device}: {value}" },
    { "id": "silent", "select": { "channel": "temperature" }, "stale": { "after": 3.0 }, "priority": "critical" },
    { "id": "many-hot", "select": { "channel": "temperature" }, "above": 99.0, "group": { "count": 1 }, "priority": "critical" }
] }"#;

fn ruled(text: &str) -> CoreSettings {
    let rules: RulesSettings = serde_json::from_str(text).unwrap();
    CoreSettings { rules: RuleSet::from_settings(rules).unwrap(), ..settings() }
}

fn board() -> Bench {
    let mut bench = Bench::new(ruled(RULES));
    bench.hello(1, "board", Some(7), 0, 0);
    bench
}

fn at(seq: u64, value: f64) -> Reading {
    Reading { value: Value::F64(value), ..reading(seq) }
}

fn frame(bench: &mut Bench, readings: Vec<Reading>) {
    let next = readings.last().unwrap().seq.0 + 1;
    let frame = BoardFrame::Readings { boot: bench.tag(1), floor: 0, next, readings };
    bench.event(Event::Board { link: LinkId(1), arrived: bench.now.at, frames: vec![frame] });
}

/// What changed since the last look, by rule.
fn changes(bench: &mut Bench) -> Vec<(String, Option<LocalAlarm>)> {
    let changes = std::mem::take(&mut bench.local_alarms);
    changes.into_iter().map(|(key, alarm)| (key.rule.to_string(), alarm)).collect()
}

/// The value and peak of the only alarm that changed; none when it is active no more.
fn only(bench: &mut Bench) -> Option<(f64, f64)> {
    let changes = changes(bench);
    let [(rule, alarm)] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(rule, "hot");
    alarm.as_ref().map(|alarm| (alarm.value, alarm.peak))
}

fn active(bench: &Bench) -> u64 {
    bench.core.view(bench.now.at).local_alarms.values().sum()
}

#[test]
fn a_rule_of_a_channel_is_active_here_from_raise_to_clear_without_a_link() {
    let mut bench = board();
    frame(&mut bench, vec![at(0, 20.0)]);
    assert!(changes(&mut bench).is_empty());
    bench.pass_ms(500);
    frame(&mut bench, vec![at(40, 120.0), at(50, 110.0)]);
    let raised = changes(&mut bench);
    let [(rule, Some(alarm))] = raised.as_slice() else { panic!("neither silence nor groups: {raised:?}") };
    assert_eq!((rule.as_str(), alarm.priority), ("hot", Priority::High));
    assert_eq!((alarm.value, alarm.peak, alarm.message.as_str()), (110.0, 120.0, "board: 120"));
    let rule = settings_rule("hot");
    assert_eq!(alarm.revision, rule);
    // The board's ticks are ten a reading, and the first was half a second ago.
    assert_eq!(alarm.since_unix_ms, 1_800_000_000_000 + 400);
    assert_eq!(bench.core.view(bench.now.at).local_alarms["high"], 1);
    frame(&mut bench, vec![at(51, 130.0)]);
    assert_eq!(only(&mut bench), Some((130.0, 130.0)));
    frame(&mut bench, vec![at(52, 130.0)]);
    assert!(changes(&mut bench).is_empty(), "nothing is new of it");
    frame(&mut bench, vec![Reading { quality: Quality::Bad, ..at(53, 20.0) }]);
    assert!(changes(&mut bench).is_empty(), "a bad reading says nothing");
    frame(&mut bench, vec![at(54, 20.0)]);
    assert_eq!(only(&mut bench), None);
    assert_eq!(active(&bench), 0);
}

fn settings_rule(id: &str) -> tidegate_alarms::Revision {
    ruled(RULES).rules.get(id).unwrap().revision()
}

#[test]
fn late_readings_neither_raise_nor_clear() {
    let mut bench = Bench::new(ruled(RULES));
    bench.hello(1, "board", Some(7), 0, 10);
    frame(&mut bench, (0..10).map(|seq| at(seq, 120.0)).collect());
    assert!(changes(&mut bench).is_empty(), "they were measured before the board was welcomed");
    frame(&mut bench, vec![at(10, 119.0)]);
    assert_eq!(only(&mut bench), Some((119.0, 120.0)), "the first live one says that it goes on");
    // Away for a while: it became normal, and hot again, and told the last first.
    bench.hello(1, "board", Some(7), 0, 30);
    frame(&mut bench, (11..30).map(|seq| at(seq, 20.0)).collect());
    assert!(changes(&mut bench).is_empty());
    frame(&mut bench, vec![at(30, 20.0)]);
    assert_eq!(only(&mut bench), None, "what late readings ended ends with the first live one");
    frame(&mut bench, vec![at(31, 120.0)]);
    assert_eq!(only(&mut bench), Some((120.0, 120.0)));
    frame(&mut bench, vec![at(12, 20.0)]);
    assert!(changes(&mut bench).is_empty(), "copies change nothing");
}

#[test]
fn an_alarm_goes_on_over_a_boot_and_ends_in_it() {
    let mut bench = board();
    frame(&mut bench, vec![at(0, 120.0)]);
    assert_eq!(only(&mut bench), Some((120.0, 120.0)));
    bench.hello(1, "board", Some(8), 0, 0);
    assert_eq!(active(&bench), 1);
    frame(&mut bench, vec![at(0, 110.0)]);
    assert_eq!(only(&mut bench), Some((110.0, 120.0)), "the same occurrence");
    // What the boot before still has to say is late.
    bench.hello_as(Standing::Former, 1, "board", Some(7), 1, 5);
    frame_of(&mut bench, 7, vec![at(4, 20.0)]);
    assert!(changes(&mut bench).is_empty());
    frame_of(&mut bench, 8, vec![at(1, 20.0)]);
    assert_eq!(only(&mut bench), None);
}

fn frame_of(bench: &mut Bench, boot: u64, readings: Vec<Reading>) {
    let next = readings.last().unwrap().seq.0 + 1;
    let boot = tidegate_protocol::BootId(boot).tag();
    let frame = BoardFrame::Readings { boot, floor: 0, next, readings };
    bench.event(Event::Board { link: LinkId(1), arrived: bench.now.at, frames: vec![frame] });
}

#[test]
fn an_alarm_ends_when_its_channel_is_declared_no_more() {
    let mut bench = board();
    frame(&mut bench, vec![at(0, 120.0)]);
    assert_eq!(only(&mut bench), Some((120.0, 120.0)));
    let mut channels = super::bench::channels();
    channels[0].name = tidegate_protocol::ChannelName::new("pressure").unwrap();
    let hello = BoardFrame::Hello {
        device: tidegate_protocol::DeviceId::new("board").unwrap(),
        tag: "TT-1".into(),
        firmware: "test".into(),
        boot: Some(tidegate_protocol::BootId(8)),
        proven: false,
        fresh: tidegate_protocol::BootId(9),
        standing: Standing::Present,
        floor: 0,
        next: 0,
        channels,
    };
    bench.introduce(1, hello);
    frame(&mut bench, vec![at(0, 120.0)]);
    assert_eq!(only(&mut bench), None);
}

#[test]
fn after_a_restart_the_next_live_reading_says_what_is_active() {
    let mut bench = board();
    frame(&mut bench, vec![at(0, 120.0)]);
    bench.event(Event::Flush);
    bench.commit();
    let mut bench = Bench::on(ruled(RULES), bench.disk);
    bench.hello(1, "board", Some(7), 1, 1);
    assert_eq!(active(&bench), 0, "the queue does not say");
    frame(&mut bench, vec![at(1, 110.0)]);
    assert_eq!(only(&mut bench), Some((110.0, 110.0)));
}
