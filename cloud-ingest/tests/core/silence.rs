//! Channels that say nothing, and gateways that are gone.

use tidegate_alarms::{AlarmKind, RuleSet, RulesSettings, TransitionKind};
use tidegate_ingest::core::{Event, SilenceSettings, Snapshot};
use tidegate_protocol::{ClockQuality, block::Record, status::GatewayStatus, topic::Lane};

use crate::support::{Bench, described, encode, gateway, origin, readings};

const START_MS: i64 = 1_800_000_000_000;

/// No data for three times ten seconds.
fn stale() -> RuleSet {
    let rule = serde_json::json!({ "rule": [
        { "id": "silent", "select": { "channel": "x" }, "stale": { "after": 3.0, "interval": "10s" } },
    ] });
    RuleSet::from_settings(serde_json::from_value::<RulesSettings>(rule).unwrap()).unwrap()
}

fn status(bench: &mut Bench, online: bool) {
    let status = GatewayStatus {
        online,
        version: "1".into(),
        epoch: "0000000000000007".into(),
        since_unix_ms: 0,
        ..GatewayStatus::default()
    };
    bench.handle(Event::Status { from: gateway("gw-a"), status, unix_ms: bench.unix_ms });
}

/// A board that was heard at second 0, its gateway present.
fn heard() -> Bench {
    heard_by(SilenceSettings::default())
}

fn heard_by(settings: SilenceSettings) -> Bench {
    let mut bench = Bench::with_rules(stale(), Snapshot::default());
    bench.core = bench.core.with_silence(settings);
    at(&mut bench, 0);
    bench.handle(Event::BrokerConnected);
    status(&mut bench, true);
    measure(&mut bench, 0);
    bench
}

/// The time comes, and all that is to be done until then is done when it is due.
fn at(bench: &mut Bench, second: u64) {
    let until = second * 1_000;
    loop {
        bench.now_ms = bench.core.next_wakeup().map_or(until, |due| due.clamp(bench.now_ms, until));
        bench.unix_ms = START_MS + bench.now_ms as i64;
        bench.handle(Event::Time { unix_ms: bench.unix_ms });
        bench.handle(Event::Wakeup);
        if bench.now_ms >= until && bench.core.next_wakeup().is_none_or(|due| due > until) {
            return;
        }
    }
}

/// A reading that was measured now.
fn measure(bench: &mut Bench, seq: u64) {
    let board = origin("board-a", 1);
    let anchor = Record::Anchor {
        origin: board,
        tick: tidegate_protocol::Tick(seq),
        unix_ms: bench.unix_ms,
        error_ms: u32::try_from(1_000 - seq).unwrap(),
        quality: ClockQuality::Synced,
    };
    bench.send(Lane::Live, encode(vec![described(board), anchor], vec![readings(board, [seq])]));
}

/// Another board's reading, which was measured a minute ago.
fn old(bench: &mut Bench, seq: u64) {
    let other = origin("board-b", 1);
    let anchor = Record::Anchor {
        origin: other,
        tick: tidegate_protocol::Tick(seq),
        unix_ms: bench.unix_ms - 60_000,
        error_ms: u32::try_from(1_000 - seq).unwrap(),
        quality: ClockQuality::Synced,
    };
    bench.send(Lane::Live, encode(vec![described(other), anchor], vec![readings(other, [seq])]));
}

/// What was told: at which second it began or ended, and was learned.
fn told(bench: &Bench) -> Vec<(TransitionKind, String, i64, i64)> {
    let events = bench.batches.iter().flat_map(|batch| &batch.events);
    let second = |unix_ms: Option<i64>| (unix_ms.unwrap() - START_MS) / 1_000;
    events
        .map(|event| {
            let (began, learned) = (second(event.time_unix_ms), second(event.learned_unix_ms));
            (event.transition, event.rule.to_string(), began, learned)
        })
        .collect()
}

fn kinds(bench: &Bench) -> Vec<AlarmKind> {
    bench.batches.iter().flat_map(|batch| &batch.events).map(|event| event.kind).collect()
}

#[test]
fn a_channel_that_falls_silent_is_told_of_and_its_next_reading_ends_it() {
    let mut bench = heard();
    at(&mut bench, 20);
    measure(&mut bench, 1);
    at(&mut bench, 50);
    assert!(told(&bench).is_empty(), "50 s is in time");
    at(&mut bench, 51);
    let raised = (TransitionKind::Raise, "silent".to_owned(), 50, 50);
    assert_eq!(told(&bench), std::slice::from_ref(&raised));
    at(&mut bench, 500);
    assert_eq!(told(&bench).len(), 1, "once");
    measure(&mut bench, 2);
    assert_eq!(told(&bench), [raised, (TransitionKind::Clear, "silent".to_owned(), 500, 500)]);
    assert_eq!(kinds(&bench), [AlarmKind::Stale; 2]);
    at(&mut bench, 531);
    assert_eq!(told(&bench).len(), 3, "it is listened for again");
}

#[test]
fn a_gateway_that_is_gone_raises_one_alarm_and_holds_back_those_of_its_devices() {
    let mut bench = heard();
    at(&mut bench, 10);
    status(&mut bench, false);
    at(&mut bench, 24);
    assert!(told(&bench).is_empty(), "it may be back soon");
    at(&mut bench, 600);
    let gone = (TransitionKind::Raise, "gateway-offline".to_owned(), 10, 25);
    assert_eq!(told(&bench), std::slice::from_ref(&gone), "and no channel is said to be silent");
    status(&mut bench, true);
    assert_eq!(told(&bench), [gone, (TransitionKind::Clear, "gateway-offline".to_owned(), 600, 600)]);
    assert_eq!(kinds(&bench), [AlarmKind::Gateway; 2]);
    at(&mut bench, 620);
    assert_eq!(told(&bench).len(), 2, "its channels have their whole time again");
    at(&mut bench, 640);
    assert_eq!(told(&bench).last().map(|told| told.1.as_str()), Some("silent"), "which is over now");
}

#[test]
fn how_long_is_waited_is_a_setting() {
    let mut bench = heard_by(SilenceSettings { offline_after_ms: 40_000, ..SilenceSettings::default() });
    at(&mut bench, 10);
    status(&mut bench, false);
    at(&mut bench, 49);
    assert!(told(&bench).is_empty());
    at(&mut bench, 50);
    assert_eq!(told(&bench), [(TransitionKind::Raise, "gateway-offline".to_owned(), 10, 50)]);

    let mut bench = heard_by(SilenceSettings { settle_ms: 100_000, ..SilenceSettings::default() });
    at(&mut bench, 99);
    assert!(told(&bench).is_empty(), "the broker was found at second 0");
    at(&mut bench, 140);
    assert_eq!(told(&bench).len(), 1);

    // Of a minute ago: too old, or not.
    for (lag_ms, silent) in [(59_000, 0), (61_000, 1)] {
        let mut bench = heard_by(SilenceSettings { lag_ms, ..SilenceSettings::default() });
        for second in 1..=41 {
            at(&mut bench, second);
            old(&mut bench, second - 1);
        }
        assert_eq!(told(&bench).len(), silent, "{lag_ms}");
    }
}

#[test]
fn a_gateway_that_comes_back_soon_raises_nothing() {
    let mut bench = heard();
    at(&mut bench, 5);
    status(&mut bench, false);
    at(&mut bench, 15);
    status(&mut bench, true);
    measure(&mut bench, 1);
    at(&mut bench, 40);
    assert!(told(&bench).is_empty(), "{:?}", told(&bench));
}

#[test]
fn without_the_broker_and_behind_a_backlog_nobody_is_called_silent() {
    let mut bench = heard();
    bench.handle(Event::BrokerLost);
    at(&mut bench, 300);
    assert!(told(&bench).is_empty(), "nothing can be heard");
    bench.handle(Event::BrokerConnected);
    // What arrives is old: this ingest is behind.
    for second in 301..360 {
        at(&mut bench, second);
        old(&mut bench, second - 301);
    }
    assert!(told(&bench).is_empty(), "{:?}", told(&bench));
    at(&mut bench, 460);
    let silent: Vec<_> = told(&bench).into_iter().map(|told| told.1).collect();
    assert_eq!(silent, ["silent", "silent"], "in the end both are");
}

#[test]
fn what_was_silent_before_a_restart_ends_with_its_next_reading() {
    let mut bench = heard();
    at(&mut bench, 41);
    let raised = bench.batches.iter().flat_map(|batch| &batch.events).next().expect("it is raised").clone();
    // Another process, with what was committed.
    let mut snapshot = bench.snapshot();
    let lifecycle = raised.lifecycle.clone().expect("a life cycle");
    let key = tidegate_ingest::core::lifecycle::AlarmKey::of(&raised);
    let newest = raised.id;
    let told_of = Box::new(raised.clone());
    snapshot
        .alarms
        .push((key, tidegate_ingest::core::lifecycle::KnownAlarm { lifecycle, told: told_of, newest }));
    let mut next = Bench::with_rules(stale(), snapshot);
    next.now_ms = 0;
    at(&mut next, 60);
    next.handle(Event::BrokerConnected);
    status(&mut next, true);
    at(&mut next, 200);
    assert!(told(&next).is_empty(), "it stands, and is not told again: {:?}", told(&next));
    measure(&mut next, 1);
    let ended = next.batches.iter().flat_map(|batch| &batch.events).next().expect("it ends");
    assert_eq!((ended.transition, ended.occurrence), (TransitionKind::Clear, raised.occurrence));
}
