//! Blocks that came again: compared once, with what was written, and not without bound.

use std::sync::Arc;

use tidegate_ingest::{
    core::{
        Event, MAX_VERIFYING, Snapshot,
        batch::{Damaged, OriginNo},
    },
    lake::{Lake, RollSettings, Roller},
    readings::Source,
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    Origin, SeqRange, Value, ValueKind,
    ack::Outcome,
    block::{OriginReadings, Record},
    topic::Lane,
};

use crate::support::{Bench, channel, described, description, encode, origin, reading, readings};

#[test]
fn a_block_sent_again_while_it_is_compared_is_compared_once_and_answered_under_its_newest_number() {
    let board = origin("board", 1);
    let bytes = encode(vec![described(board)], vec![readings(board, 0..5)]);
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, bytes.clone());
    let numbers = [0; 3].map(|_| bench.send(Lane::Live, bytes.clone()));
    assert_eq!(bench.verify.len(), 1);
    let ticket = bench.verify[0].0;
    bench.handle(Event::Verified { ticket, differing: Some(Vec::new()) });
    assert_eq!(bench.outcome(numbers[2]), Some(Outcome::Durable));
    // And anew once that is done.
    bench.send(Lane::Live, bytes);
    assert_eq!(bench.verify.len(), 2);
}

#[test]
fn beyond_the_bound_a_block_that_came_again_gets_no_answer_and_is_counted() {
    let board = origin("board", 1);
    let mut bench = Bench::new(Snapshot::default());
    let all = MAX_VERIFYING as u64 + 10;
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..all)]));
    let numbers: Vec<_> = (0..all)
        .map(|seq| bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, [seq])])))
        .collect();
    assert_eq!(bench.verify.len(), MAX_VERIFYING);
    assert_eq!(bench.core.counters().blocks_refused_verifying, 10);
    assert_eq!(bench.outcome(numbers[MAX_VERIFYING]), None);
    let ticket = bench.verify[0].0;
    bench.handle(Event::Verified { ticket, differing: Some(Vec::new()) });
    bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, [all - 1])]));
    assert_eq!(bench.verify.len(), MAX_VERIFYING + 1, "there is room again");
}

/// The lake keeps doubles: a mantissa that no double holds, or of another scale than its channel's, is still the same reading.
/// And a changed one is not, whichever of the origins and files it is in.
#[test]
fn what_the_lake_cannot_say_exactly_is_no_conflict() {
    let origins = [origin("board-a", 1), origin("board-b", 1), origin("board-c", 2)];
    let decimal = |seq, mantissa, scale| tidegate_protocol::Reading {
        value: Value::Decimal { mantissa, scale },
        ..reading(seq, 0.0)
    };
    let given = |from: u64, changed: Option<usize>| {
        let of = |(at, origin): (usize, &tidegate_protocol::Origin)| {
            let wrong = i64::from(changed == Some(at));
            let readings = vec![
                decimal(from, 9_007_199_254_740_993_123, 3),
                decimal(from + 1, 123 + wrong, 3),
                decimal(from + 2, -7, 1),
            ];
            OriginReadings { origin: *origin, readings }
        };
        origins.iter().enumerate().map(of).collect::<Vec<_>>()
    };
    let descriptions = origins
        .map(|origin| Record::Described(description(origin, vec![channel("x", ValueKind::Decimal, 1)])));

    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LmdbStore::open(&folder.path().join("store"), 1 << 26).unwrap());
    let lake = Lake::open(&folder.path().join("lake")).unwrap();
    let roller = Roller::new(Arc::clone(&store), lake.clone(), RollSettings { interval_ms: 0, bytes: 0 });
    let mut bench = Bench::new(Snapshot::default());
    for from in [0, 3] {
        bench.send(Lane::Live, encode(descriptions.to_vec(), given(from, None)));
        for batch in bench.batches.drain(..) {
            store.commit(&batch).unwrap();
        }
        assert!(roller.roll_now().unwrap().is_some());
    }
    // The third part stays in the journal.
    bench.send(Lane::Live, encode(Vec::new(), given(6, None)));
    bench.batches.drain(..).for_each(|batch| drop(store.commit(&batch).unwrap()));

    let mut compared = |changed| {
        let mut all = given(0, changed);
        for from in [3, 6] {
            for (known, more) in all.iter_mut().zip(given(from, None)) {
                known.readings.extend(more.readings);
            }
        }
        bench.send(Lane::Live, encode(Vec::new(), all));
        let (_, job) = bench.verify.pop().expect("all of it is known");
        let look = store.look().unwrap();
        Source::new(&look, &lake).unwrap().verify(&job).unwrap()
    };
    assert_eq!(compared(None), []);
    let differing = compared(Some(1));
    assert_eq!(differing.len(), 1);
    assert_eq!(differing[0].0, origins[1]);
    assert!(differing[0].1.contains(1));
}

/// Its index rows go with it, and everything differs from nothing.
#[test]
fn a_copy_that_came_while_its_original_was_found_damaged_is_not_rejected_but_taken() {
    let board = origin("board", 1);
    let damaged = || Damaged { position: 0, ranges: vec![(OriginNo(0), SeqRange::new(0, 5))] };
    let copies = |seqs: [u64; 2]| seqs.map(|end| encode(Vec::new(), vec![readings(board, 0..end)]));
    let differing = |board: Origin| Some(vec![(board, SeqRange::new(0, 4))]);
    // It is being compared, or waits for a commit first.
    for waits in [false, true] {
        let mut bench = Bench::new(Snapshot::default());
        bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..5)]));
        bench.hold_commits = waits;
        if waits {
            bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, [5])]));
        }
        let [number, again] = copies([4, 5]).map(|bytes| bench.send(Lane::Live, bytes));
        bench.handle(Event::Damaged(damaged()));
        // Another copy is stored anew before the answer comes.
        let third = bench.send(Lane::Live, copies([4, 5])[1].clone());
        bench.hold_commits = false;
        if let Some(batch) = bench.held.take() {
            bench.handle(Event::Committed { batch, used_bytes: 0 });
        }
        for (ticket, _) in std::mem::take(&mut bench.verify) {
            bench.handle(Event::Verified { ticket, differing: differing(board) });
        }
        assert_eq!((bench.outcome(number), bench.outcome(again)), (None, None));
        assert_eq!(bench.outcome(third), Some(Outcome::Durable));
        let (_, record) = bench.batches.last().unwrap().origins.last().unwrap();
        assert_eq!((record.conflicts.count(), record.ledger.lost_count()), (0, 0));
        assert!(bench.core.is_idle());
    }
}

/// Found equal to what is stored, a block still waits for the commit of what is new of it, or of what differs.
#[test]
fn a_block_whose_compared_part_is_found_damaged_before_its_answer_leaves_gets_none() {
    let (board, other) = (origin("board", 1), origin("other", 1));
    for differing in [Vec::new(), vec![(other, SeqRange::new(0, 5))]] {
        let mut bench = Bench::new(Snapshot::default());
        let both = vec![described(board), described(other)];
        bench.send(Lane::Live, encode(both, vec![readings(board, 0..5)]));
        bench.send(Lane::Live, encode(Vec::new(), vec![readings(other, 0..5)]));
        let new = if differing.is_empty() { 9 } else { 5 };
        let bytes = encode(Vec::new(), vec![readings(board, 3..new), readings(other, 0..5)]);
        let number = bench.send(Lane::Live, bytes.clone());
        let ticket = bench.verify.last().expect("a part of it is known").0;
        bench.hold_commits = true;
        bench.handle(Event::Verified { ticket, differing: Some(differing) });
        let batch = bench.held.take().expect("something of it is being written");
        let gone = Damaged { position: 0, ranges: vec![(OriginNo(0), SeqRange::new(0, 5))] };
        bench.handle(Event::Damaged(gone));
        bench.hold_commits = false;
        bench.handle(Event::Committed { batch, used_bytes: 0 });
        assert_eq!(bench.outcome(number), None, "3 to 5 are not stored any more");
        let again = bench.send(Lane::Live, bytes);
        let ticket = bench.verify.last().expect("the rest of it is known").0;
        bench.handle(Event::Verified { ticket, differing: Some(Vec::new()) });
        assert_eq!(bench.outcome(again), Some(Outcome::Durable));
        let records: std::collections::BTreeMap<_, _> =
            bench.batches.iter().flat_map(|batch| batch.origins.iter().cloned()).collect();
        let ledger = &records[&OriginNo(0)].ledger;
        let stored: Vec<_> = ledger.stored().iter().collect();
        assert_eq!(stored, [SeqRange::new(3, new)], "what came again is stored anew");
    }
}

/// What was new of it is in a journal entry of its own, and the rest of it takes long to compare.
#[test]
fn a_block_whose_own_entry_is_found_damaged_while_the_rest_of_it_is_compared_gets_no_answer() {
    let (board, other) = (origin("board", 1), origin("other", 1));
    let mut bench = Bench::new(Snapshot::default());
    let both = vec![described(board), described(other)];
    bench.send(Lane::Live, encode(both, vec![readings(board, 0..5)]));
    let bytes = encode(Vec::new(), vec![readings(board, 3..9), readings(other, 0..4)]);
    let number = bench.send(Lane::Live, bytes.clone());
    let [(ticket, job)] = bench.verify.as_slice() else { panic!("a part of it is known") };
    let ticket = *ticket;
    assert_eq!(job.ranges, [(OriginNo(0), board, SeqRange::new(3, 5))]);
    let own = Damaged { position: 1, ranges: vec![(OriginNo(1), SeqRange::new(0, 4))] };
    bench.handle(Event::Damaged(own));
    bench.handle(Event::Verified { ticket, differing: Some(Vec::new()) });
    assert_eq!(bench.outcome(number), None, "the other's are not stored any more");
    // Sent again it is taken as new.
    let again = bench.send(Lane::Live, bytes);
    let ticket = bench.verify.last().expect("3 to 5 are known").0;
    bench.handle(Event::Verified { ticket, differing: Some(Vec::new()) });
    assert_eq!(bench.outcome(again), Some(Outcome::Durable));
    let records: std::collections::BTreeMap<_, _> =
        bench.batches.iter().flat_map(|batch| batch.origins.iter().cloned()).collect();
    for (no, stored) in [(0, 9), (1, 4)] {
        let ledger = &records[&OriginNo(no)].ledger;
        assert_eq!((ledger.stored().count(), ledger.lost_count()), (stored, 0));
    }
}
