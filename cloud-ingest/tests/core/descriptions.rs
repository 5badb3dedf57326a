//! A description that is none harms nobody but its own origin.

use tidegate_ingest::{
    core::{Event, Snapshot},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    SeqRange, ValueKind,
    ack::{Outcome, RejectReason},
    block::Record,
    topic::Lane,
};

use crate::support::{Bench, channel, described, description, encode, origin, readings};

#[test]
fn one_boards_doubled_channel_name_does_not_poison_the_others() {
    let (good, bad) = (origin("good", 1), origin("bad", 1));
    let doubled = vec![channel("x", ValueKind::F64, 0), channel("x", ValueKind::F64, 0)];
    let records = vec![described(good), Record::Described(description(bad, doubled))];
    let mut bench = Bench::new(Snapshot::default());
    let number = bench.send(Lane::Live, encode(records, vec![readings(bad, 0..3), readings(good, 0..5)]));
    let parts = vec![(bad, SeqRange::new(0, 3))];
    assert_eq!(bench.outcome(number), Some(Outcome::Rejected { reason: RejectReason::Undescribed, parts }));
    let accepted: u64 = bench
        .batches
        .iter()
        .flat_map(|batch| &batch.entries)
        .map(|entry| entry.head.accepted.iter().map(|accepted| accepted.range.len()).sum::<u64>())
        .sum();
    assert_eq!(accepted, 5);
    assert_eq!(bench.core.counters().descriptions_refused, 1);
}

#[test]
fn an_origin_of_which_nothing_is_said_leaves_no_hole_among_the_stored_numbers() {
    let (idle, busy) = (origin("idle", 1), origin("busy", 1));
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, encode(vec![Record::Measured { origin: idle, next: 0 }], Vec::new()));
    bench.send(Lane::Live, encode(vec![described(busy)], vec![readings(busy, 0..2)]));
    bench.handle(Event::Wakeup);
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
    for batch in &bench.batches {
        store.commit(batch).unwrap();
    }
    assert_eq!(store.snapshot().expect("the next start reads it").origins.len(), 2);
}
