//! A device whose boots are alive at two gateways is told; one that moves is not.

use tidegate_alarms::{AlarmEvent, AlarmKind, TransitionKind};
use tidegate_ingest::core::{Event, Snapshot};
use tidegate_protocol::{
    Quality, Reading, Seq, Tick, Value,
    block::{OriginReadings, Record, Tail},
    topic::Lane,
};

use crate::support::{Bench, described, encode, origin};

const START_MS: i64 = 1_800_000_000_000;
const MINUTE_MS: u64 = 60_000;
const QUIET_MS: u64 = 60 * MINUTE_MS;

fn bench() -> Bench {
    let mut bench = Bench::new(Snapshot::default());
    at(&mut bench, 0);
    bench
}

fn at(bench: &mut Bench, now_ms: u64) {
    bench.now_ms = now_ms;
    bench.unix_ms = START_MS + now_ms as i64;
    bench.handle(Event::Time { unix_ms: bench.unix_ms });
    bench.handle(Event::Wakeup);
}

/// A reading of a boot, measured so long after its beginning.
fn says(bench: &mut Bench, gateway: &str, boot: u64, tick: u64) {
    says_on(bench, Lane::Live, gateway, boot, tick, Vec::new());
}

fn says_on(bench: &mut Bench, lane: Lane, gateway: &str, boot: u64, tick: u64, mut records: Vec<Record>) {
    let origin = origin("board-7", boot);
    records.push(described(origin));
    let (channel, value) = (tidegate_protocol::ChannelIndex(0), Value::F64(1.0));
    let reading = Reading { seq: Seq(tick), channel, tick: Tick(tick), value, quality: Quality::Good };
    bench.send_from(gateway, lane, encode(records, vec![OriginReadings { origin, readings: vec![reading] }]));
}

fn told(bench: &Bench) -> Vec<&AlarmEvent> {
    let events = bench.batches.iter().flat_map(|batch| &batch.events);
    events.filter(|event| event.kind == AlarmKind::System).collect()
}

#[test]
fn a_boot_that_goes_on_after_another_gateway_began_the_next_is_told_once() {
    let mut bench = bench();
    at(&mut bench, MINUTE_MS);
    says(&mut bench, "gw-a", 1, 30_000);
    at(&mut bench, 2 * MINUTE_MS);
    says(&mut bench, "gw-b", 2, 5);
    for minute in 2..=3 {
        at(&mut bench, minute * MINUTE_MS);
        says(&mut bench, "gw-a", 1, (minute - 1) * MINUTE_MS + 30_000);
        assert!(told(&bench).is_empty(), "minute {minute}: it may have been on its way");
    }
    for minute in 4..8 {
        at(&mut bench, minute * MINUTE_MS);
        says(&mut bench, "gw-b", 2, (minute - 2) * MINUTE_MS);
        says(&mut bench, "gw-a", 1, (minute - 1) * MINUTE_MS + 30_000);
    }
    let events = told(&bench);
    assert_eq!(events.len(), 1, "{events:?}");
    let place = (events[0].rule.as_str(), events[0].device.as_str(), events[0].channel.as_str());
    assert_eq!(place, ("device-at-two-gateways", "board-7", "identity"));
    for named in [
        "board-7",
        "gateway gw-b brings boot 0000000000000002",
        "gateway gw-a goes on with boot 0000000000000001",
    ] {
        assert!(events[0].message.contains(named), "{}", events[0].message);
    }
    at(&mut bench, 7 * MINUTE_MS + QUIET_MS);
    assert_eq!(told(&bench).last().map(|event| event.transition), Some(TransitionKind::Clear));
}

/// It was without its link, and brings now what its board measured before it was carried away.
#[test]
fn a_board_that_moved_is_nothing_to_tell_though_its_readings_come_late() {
    let mut bench = bench();
    at(&mut bench, MINUTE_MS);
    says(&mut bench, "gw-a", 1, 1_000);
    // Some were late before.
    at(&mut bench, 9 * MINUTE_MS);
    says(&mut bench, "gw-a", 1, 2_000);
    at(&mut bench, 10 * MINUTE_MS);
    says(&mut bench, "gw-b", 2, 5);
    at(&mut bench, 15 * MINUTE_MS);
    for minute in 1..9 {
        says(&mut bench, "gw-a", 1, minute * MINUTE_MS);
    }
    assert!(told(&bench).is_empty(), "{:?}", told(&bench));
}

#[test]
fn boots_of_one_gateway_and_what_comes_as_backlog_are_nothing_to_tell() {
    let mut bench = bench();
    says(&mut bench, "gw-a", 1, 0);
    at(&mut bench, MINUTE_MS);
    says(&mut bench, "gw-a", 2, 5);
    at(&mut bench, 5 * MINUTE_MS);
    says(&mut bench, "gw-a", 1, 5 * MINUTE_MS);
    assert!(told(&bench).is_empty(), "a gateway looks after its own");
    says(&mut bench, "gw-b", 2, 4 * MINUTE_MS);
    says_on(&mut bench, Lane::Backlog, "gw-a", 1, 5 * MINUTE_MS + 1, Vec::new());
    assert!(told(&bench).is_empty(), "backlog is of any time");
    says(&mut bench, "gw-a", 1, 5 * MINUTE_MS + 2);
    assert_eq!(told(&bench).len(), 1);
}

/// Who takes a device over may first speak under its boot as well.
#[test]
fn what_another_gateway_says_of_a_boot_hides_nothing() {
    let mut bench = bench();
    says(&mut bench, "gw-a", 1, 0);
    says(&mut bench, "gw-b", 1, 1 << 50);
    says(&mut bench, "gw-b", 2, 5);
    at(&mut bench, 2 * MINUTE_MS);
    says(&mut bench, "gw-a", 1, 2 * MINUTE_MS);
    assert_eq!(told(&bench).len(), 1);
}

#[test]
fn a_boot_that_is_the_present_one_again_is_looked_after_anew() {
    let mut bench = bench();
    says(&mut bench, "gw-a", 1, 0);
    says(&mut bench, "gw-b", 2, 0);
    at(&mut bench, 2 * MINUTE_MS);
    let ended = Record::Closed { origin: origin("board-7", 2), tail: Tail::Known(1) };
    says_on(&mut bench, Lane::Live, "gw-c", 1, 2 * MINUTE_MS, vec![ended]);
    assert!(told(&bench).is_empty(), "{:?}", told(&bench));
    says(&mut bench, "gw-b", 3, 0);
    at(&mut bench, 4 * MINUTE_MS);
    says(&mut bench, "gw-c", 1, 4 * MINUTE_MS);
    assert_eq!(told(&bench).len(), 1);
}
