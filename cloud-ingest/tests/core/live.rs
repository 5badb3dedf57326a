//! Which boot of a device is live, whatever its clocks say (invariant 8).

use tidegate_ingest::{
    core::{Event, Snapshot, batch::OriginNo},
    store::{LmdbStore, Store},
};
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

/// What an ingest that starts again knows.
fn committed(bench: &Bench) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
    bench.batches.iter().for_each(|batch| drop(store.commit(batch).unwrap()));
    store.snapshot().unwrap()
}

#[test]
fn after_a_restart_the_same_boot_is_live_though_its_alarms_never_changed() {
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, boot(2, 2_000, ClockQuality::Synced, 0, 10.0, Vec::new()));
    // Heard of later, and not passed over by name: only the row tells which of the two is live.
    bench.send(Lane::Backlog, boot(1, 1_000, ClockQuality::Synced, 0, 10.0, Vec::new()));
    let snapshot = committed(&bench);
    assert_eq!(snapshot.live.iter().map(|(_, live)| live.current).collect::<Vec<_>>(), [OriginNo(0)]);
    let mut bench = Bench::new(snapshot);
    bench.send(Lane::Backlog, boot(1, 1_000, ClockQuality::Synced, 1, 99.0, Vec::new()));
    assert_eq!(bench.provisional, 0, "an old boot's alarm is history");
    bench.send(Lane::Live, boot(2, 2_000, ClockQuality::Synced, 1, 99.0, Vec::new()));
    assert_eq!(bench.provisional, 1);
}

#[test]
fn a_store_that_did_not_note_who_is_live_takes_the_newest_boot_and_keeps_it() {
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, boot(2, 2_000, ClockQuality::Synced, 0, 10.0, Vec::new()));
    bench.send(Lane::Backlog, boot(1, 1_000, ClockQuality::Synced, 0, 10.0, vec![closed(1)]));
    let mut bench = Bench::new(Snapshot { live: Vec::new(), ..committed(&bench) });
    bench.send(Lane::Backlog, boot(0, 500, ClockQuality::Synced, 0, 99.0, vec![closed(0)]));
    assert_eq!(bench.provisional, 0, "an old boot's alarm is history");
    let noted = bench.batches.iter().flat_map(|batch| &batch.live).map(|(_, live)| live.current);
    assert_eq!(noted.collect::<Vec<_>>(), [OriginNo(0)]);
}

#[test]
fn after_a_restart_a_devices_last_boot_is_not_sealed() {
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, boot(1, 1_000, ClockQuality::Synced, 0, 10.0, vec![closed(1)]));
    let snapshot = committed(&bench);
    for live in [snapshot.live.clone(), Vec::new()] {
        let mut bench = Bench::new(Snapshot { live, ..committed(&bench) });
        bench.handle(Event::Wakeup);
        bench.handle(Event::Seal { before_unix_ms: i64::MAX });
        assert_eq!(bench.core.counters().origins_sealed, 0);
    }
}
