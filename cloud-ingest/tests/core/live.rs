//! Which boot of a device is live, whatever its clocks say (invariant 8).

use tidegate_ingest::core::Snapshot;
use tidegate_protocol::{
    ClockQuality, Tick,
    block::{OriginReadings, Record, Tail},
    topic::Lane,
};

use crate::support::{Bench, described, encode, origin, reading};

fn boot(
    boot: u64,
    start_unix_ms: i64,
    quality: ClockQuality,
    seq: u64,
    value: f64,
    mut records: Vec<Record>,
) -> Vec<u8> {
    let origin = origin("board", boot);
    records.push(described(origin));
    records.push(Record::Anchor { origin, tick: Tick(0), unix_ms: start_unix_ms, error_ms: 1_000, quality });
    encode(records, vec![OriginReadings { origin, readings: vec![reading(seq, value)] }])
}

fn closed(boot: u64) -> Record {
    Record::Closed { origin: origin("board", boot), tail: Tail::AtLeast(1) }
}

#[test]
fn a_new_boot_is_live_after_the_gateways_clock_went_back() {
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, boot(1, 1_900_000_000_000, ClockQuality::Estimated, 0, 10.0, Vec::new()));
    bench.send(Lane::Live, boot(2, 1_000, ClockQuality::Unsynced, 0, 99.0, vec![closed(1)]));
    assert_eq!(bench.provisional, 1, "the new boot's alarm is live");
}

#[test]
fn a_boot_that_ended_does_not_take_the_place_of_one_that_goes_on() {
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, boot(2, 1_000, ClockQuality::Synced, 0, 10.0, Vec::new()));
    bench.send(Lane::Backlog, boot(1, 1_900_000_000_000, ClockQuality::Synced, 0, 99.0, vec![closed(1)]));
    assert_eq!(bench.provisional, 0, "an old boot's alarm is history");
    bench.send(Lane::Live, boot(2, 1_000, ClockQuality::Synced, 1, 99.0, Vec::new()));
    assert_eq!(bench.provisional, 1);
}

#[test]
fn a_boot_that_was_passed_over_wrongly_comes_back_when_the_other_has_ended() {
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, boot(1, 1_000, ClockQuality::Unsynced, 0, 10.0, Vec::new()));
    bench.send(Lane::Live, boot(2, 1_000, ClockQuality::Unsynced, 0, 10.0, Vec::new()));
    bench.send(Lane::Live, boot(1, 1_000, ClockQuality::Unsynced, 1, 99.0, Vec::new()));
    assert_eq!(bench.provisional, 0, "boot 2 is live");
    bench.send(Lane::Live, boot(1, 1_000, ClockQuality::Unsynced, 2, 99.0, vec![closed(2)]));
    assert_eq!(bench.provisional, 1, "boot 1 is live again");
}
