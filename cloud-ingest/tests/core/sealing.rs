//! Which origins are sealed, when, and what happens to those who come late.

use tidegate_ingest::{
    core::{
        Event, Snapshot,
        batch::{Damaged, OriginNo},
        seal::SealedRecord,
    },
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    LossReason, LossRecord, Origin, SeqRange, ValueKind,
    ack::{Outcome, RejectReason},
    block::{Record, Tail},
    topic::Lane,
};

use crate::support::{Bench, channel, described, description, encode, origin, readings};

const HEARD: i64 = 1_000_000;
const LATER: i64 = HEARD + 1;

fn closed(origin: Origin, next: u64) -> Record {
    Record::Closed { origin, tail: Tail::Known(next) }
}

fn lost(origin: Origin, start: u64, end: u64) -> Record {
    Record::Loss(LossRecord { origin, range: SeqRange::new(start, end), reason: LossReason::Evicted })
}

/// Boot 1 of the board with seqs 0..10, and a second boot that took over.
fn two_boots(records_of_first: Vec<Record>) -> Bench {
    let mut bench = Bench::new(Snapshot::default());
    bench.unix_ms = HEARD;
    let first = origin("board", 1);
    let records = [vec![described(first)], records_of_first].concat();
    bench.send(Lane::Live, encode(records, vec![readings(first, 0..10)]));
    let second = origin("board", 2);
    bench.send(Lane::Live, encode(vec![described(second)], vec![readings(second, 0..10)]));
    bench
}

fn sealed(bench: &Bench) -> Vec<(OriginNo, SealedRecord)> {
    let sealed = bench.batches.iter().flat_map(|batch| &batch.sealed);
    sealed.map(|(no, sealed)| (*no, sealed.record.clone())).collect()
}

fn seal(bench: &mut Bench) -> Vec<u64> {
    let before = sealed(bench).len();
    bench.handle(Event::Seal { before_unix_ms: LATER });
    sealed(bench).into_iter().skip(before).map(|(_, record)| record.origin.boot.0).collect()
}

#[test]
fn an_origin_that_ended_without_a_hole_shrinks_to_its_counts() {
    let first = origin("board", 1);
    let mut bench = two_boots(vec![lost(first, 10, 13), closed(first, 13)]);
    bench.handle(Event::Seal { before_unix_ms: HEARD });
    assert_eq!(sealed(&bench), [], "it was heard of within the retention");
    assert_eq!(seal(&mut bench), [1]);
    let (no, record) = sealed(&bench).remove(0);
    assert_eq!((no, record.origin), (OriginNo(0), first));
    assert_eq!((record.next, record.exact, record.stored), (13, true, 10));
    assert_eq!(record.lost, [(LossReason::Evicted, 3)]);
    assert_eq!((record.first_heard_unix_ms, record.last_heard_unix_ms), (HEARD, HEARD));
    assert_eq!(seal(&mut bench), [] as [u64; 0], "once");
    assert_eq!(bench.core.counters().origins_sealed, 1);
}

#[test]
fn a_hole_is_never_sealed_and_an_open_boot_neither() {
    let first = origin("board", 1);
    for (records, why) in [
        (vec![closed(first, 11)], "one reading is outstanding"),
        (vec![lost(first, 12, 13), closed(first, 13)], "there is a hole below a loss"),
        (vec![], "nobody said that it ended"),
    ] {
        let mut bench = two_boots(records);
        assert_eq!(seal(&mut bench), [] as [u64; 0], "{why}");
    }
}

/// Where no rule watches, no untold history keeps an origin open: the ledger alone does.
#[test]
fn a_hole_without_a_rule_is_never_sealed_either() {
    let unwatched = |origin| {
        let channels = vec![channel("quiet", ValueKind::F64, 0)];
        Record::Described(description(origin, channels))
    };
    for (next, expected) in [(10, vec![1]), (11, vec![])] {
        let mut bench = Bench::new(Snapshot::default());
        bench.unix_ms = HEARD;
        let (first, second) = (origin("board", 1), origin("board", 2));
        let records = vec![unwatched(first), closed(first, next)];
        bench.send(Lane::Live, encode(records, vec![readings(first, 0..10)]));
        bench.send(Lane::Live, encode(vec![unwatched(second)], vec![readings(second, 0..1)]));
        assert_eq!(seal(&mut bench), expected, "{next} were measured");
    }
}

#[test]
fn the_boot_whose_alarms_are_live_is_kept() {
    let second = origin("board", 2);
    let mut bench = two_boots(vec![closed(origin("board", 1), 10)]);
    bench.send(Lane::Live, encode(vec![closed(second, 10)], Vec::new()));
    assert_eq!(seal(&mut bench), [1]);
    // Until another takes over.
    let third = origin("board", 3);
    bench.send(Lane::Live, encode(vec![described(third)], vec![readings(third, 0..1)]));
    assert_eq!(seal(&mut bench), [2]);
}

#[test]
fn a_boot_that_nobody_closes_is_sealed_once_a_later_one_has_ended() {
    let (second, third) = (origin("board", 2), origin("board", 3));
    let mut bench = two_boots(Vec::new());
    bench.send(Lane::Live, encode(vec![described(third)], vec![readings(third, 0..1)]));
    assert_eq!(seal(&mut bench), [] as [u64; 0]);
    bench.send(Lane::Live, encode(vec![closed(second, 10)], Vec::new()));
    assert_eq!(seal(&mut bench), [1, 2]);
    assert!(!sealed(&bench)[0].1.exact, "nobody said how much it had measured");
}

#[test]
fn what_is_being_written_or_compared_is_left_alone() {
    let first = origin("board", 1);
    let mut bench = two_boots(vec![closed(first, 10)]);
    // A duplicate of it is being compared.
    bench.send(Lane::Backlog, encode(Vec::new(), vec![readings(first, 0..3)]));
    let (ticket, _) = bench.verify.remove(0);
    assert_eq!(seal(&mut bench), [] as [u64; 0]);
    bench.handle(Event::Verified { ticket, differing: Some(Vec::new()) });
    // A commit is under way: sealing waits for it, and for whatever came meanwhile.
    bench.hold_commits = true;
    bench.send(Lane::Live, encode(vec![described(origin("other", 1))], Vec::new()));
    assert_eq!(seal(&mut bench), [] as [u64; 0]);
    assert_eq!(bench.core.counters().origins_sealed, 0);
    let batch = bench.held.take().expect("a commit");
    bench.hold_commits = false;
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    assert_eq!(sealed(&bench).len(), 1);
}

#[test]
fn who_comes_late_is_refused_by_name_and_counted_and_the_others_are_taken() {
    let (first, second) = (origin("board", 1), origin("board", 2));
    let mut bench = two_boots(vec![closed(first, 10)]);
    seal(&mut bench);
    let records = vec![described(first), closed(first, 20), lost(first, 30, 32)];
    let origins = vec![readings(first, [3, 4, 15]), readings(second, 10..12)];
    let number = bench.send(Lane::Backlog, encode(records, origins));
    let parts = [(30, 32), (3, 5), (15, 16)].map(|(start, end)| (first, SeqRange::new(start, end)));
    let expected = Outcome::Rejected { reason: RejectReason::Sealed, parts: parts.to_vec() };
    assert_eq!(bench.outcome(number), Some(expected));
    let counters = bench.core.counters();
    assert_eq!((counters.readings_refused_sealed, counters.records_refused_sealed), (3, 3));
    assert_eq!(counters.blocks_rejected_sealed, 1);
    let batch = bench.batches.last().expect("a batch");
    assert_eq!(batch.refused, [(OriginNo(0), 3)]);
    let accepted = batch.entries.iter().flat_map(|entry| &entry.head.accepted);
    assert_eq!(accepted.map(|run| (run.origin, run.range.len())).collect::<Vec<_>>(), [(OriginNo(1), 2)]);
    assert!(batch.origins.iter().all(|(no, _)| *no != OriginNo(0)), "it is not brought back");
    // With an origin that is not described, that comes first: then the agent brings the rest again.
    let origins = vec![readings(first, [3]), readings(origin("new", 1), [0])];
    let number = bench.send(Lane::Backlog, encode(Vec::new(), origins));
    let Some(Outcome::Rejected { reason, parts }) = bench.outcome(number) else { panic!("it was taken") };
    assert_eq!((reason, parts.len()), (RejectReason::Undescribed, 2));
}

#[test]
fn who_declares_all_it_ever_had_is_not_refused_for_a_sealed_origin() {
    let first = origin("board", 1);
    for reason in [LossReason::RolledBack, LossReason::Unaccounted] {
        let mut bench = two_boots(vec![closed(first, 10)]);
        seal(&mut bench);
        let loss = Record::Loss(LossRecord { origin: first, range: SeqRange::new(0, 10), reason });
        let number =
            bench.send(Lane::Backlog, encode(vec![described(first), loss, closed(first, 10)], Vec::new()));
        assert_eq!(bench.outcome(number), Some(Outcome::Durable), "{}", reason.name());
        let batch = bench.batches.last().expect("a batch");
        assert!(batch.origins.iter().all(|(no, _)| *no != OriginNo(0)), "it is not brought back");
    }
}

#[test]
fn a_commit_that_fails_leaves_the_origin_as_it_was() {
    let first = origin("board", 1);
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
    let mut bench = two_boots(vec![closed(first, 10)]);
    for batch in &bench.batches {
        store.commit(batch).unwrap();
    }
    bench.hold_commits = true;
    bench.handle(Event::Seal { before_unix_ms: LATER });
    let batch = bench.held.take().expect("a commit");
    bench.handle(Event::CommitFailed { batch });
    let snapshot = Box::new(store.snapshot().unwrap());
    bench.handle(Event::Reloaded { snapshot, incarnation: 2 });
    bench.hold_commits = false;
    bench.now_ms += 60_000;
    bench.handle(Event::Wakeup);
    let number = bench.send(Lane::Backlog, encode(Vec::new(), vec![readings(first, [10])]));
    assert_eq!(bench.outcome(number), Some(Outcome::Durable));
}

#[test]
fn damage_of_a_sealed_origins_entry_reaches_its_row() {
    let first = origin("board", 1);
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
    let mut bench = two_boots(vec![lost(first, 10, 13), closed(first, 13)]);
    assert_eq!(seal(&mut bench), [1]);
    // Met twice, and beside it that of an open origin.
    for (position, no) in [(0, 0), (0, 0), (1, 1)] {
        let ranges = vec![(OriginNo(no), SeqRange::new(0, 10))];
        bench.handle(Event::Damaged(Damaged { position, ranges }));
    }
    bench.batches.iter().for_each(|batch| drop(store.commit(batch).unwrap()));
    let sealed = store.look().unwrap().sealed().unwrap();
    let [(_, record)] = sealed.as_slice() else { panic!("one is sealed") };
    assert_eq!(record.stored, 0);
    assert_eq!(record.lost, [(LossReason::Evicted, 3), (LossReason::Corrupt, 10)]);
}

#[test]
fn a_restart_knows_what_is_sealed_and_gives_no_number_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
    let mut bench = two_boots(vec![closed(origin("board", 1), 10)]);
    // The newest number is sealed, too.
    let (open, ended) = (origin("other", 7), origin("other", 8));
    bench.send(Lane::Live, encode(vec![described(open)], vec![readings(open, 0..2)]));
    let records = vec![described(ended), closed(ended, 2)];
    bench.send(Lane::Live, encode(records, vec![readings(ended, 0..2)]));
    assert_eq!(seal(&mut bench), [1, 8]);
    for batch in &bench.batches {
        store.commit(batch).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.origins.len(), snapshot.sealed.len()), (2, 2));
    let look = store.look().unwrap();
    let description = look.description(OriginNo(0)).unwrap().expect("its channels are still known");
    assert_eq!((description.origin, description.channels.len()), (origin("board", 1), 1));
    let mut runs = 0;
    look.runs(OriginNo(0), SeqRange::new(0, 10), |run| {
        runs += run.range.len();
        Ok(true)
    })
    .unwrap();
    assert_eq!(runs, 10, "its readings are still found");

    let mut bench = Bench::new(snapshot);
    let number = bench.send(Lane::Live, encode(Vec::new(), vec![readings(origin("board", 1), [1])]));
    let parts = vec![(origin("board", 1), SeqRange::new(1, 2))];
    assert_eq!(bench.outcome(number), Some(Outcome::Rejected { reason: RejectReason::Sealed, parts }));
    bench.send(Lane::Live, encode(vec![described(origin("third", 1))], Vec::new()));
    let numbers: Vec<_> = bench.batches.iter().flat_map(|batch| &batch.origins).map(|(no, _)| *no).collect();
    assert_eq!(numbers, [OriginNo(4)]);
}
