//! One damaged journal entry stops nothing but itself (invariant 6).

use std::sync::Arc;

use tidegate_ingest::{
    core::{
        Event, Snapshot,
        batch::{Damaged, OriginNo},
    },
    lake::{Lake, RollSettings, Roller},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{LossReason, SeqRange, topic::Lane};

use crate::support::{Bench, described, encode, origin, readings};

#[test]
fn a_damaged_journal_entry_goes_to_quarantine_and_the_others_to_the_lake() {
    let board = origin("board", 1);
    let mut bench = Bench::new(Snapshot::default());
    for from in [0, 5, 10] {
        bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, from..from + 5)]));
    }
    let damaged = bench.batches.iter_mut().flat_map(|batch| &mut batch.entries).nth(1).expect("an entry");
    let mut bytes = damaged.block.to_vec();
    bytes.iter_mut().skip(60).for_each(|byte| *byte ^= 0x55);
    damaged.block = bytes.into();

    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LmdbStore::open(&folder.path().join("store"), 1 << 26).unwrap());
    let lake = Lake::open(&folder.path().join("lake")).unwrap();
    bench.batches.iter().for_each(|batch| drop(store.commit(batch).unwrap()));
    let latest = store.snapshot().expect("it starts all the same").latest;
    assert_eq!(latest[0].1[0].seq.0, 14);

    let roller = Roller::new(Arc::clone(&store), lake, RollSettings { interval_ms: 0, bytes: 0 });
    let rolled = roller.roll_now().unwrap().expect("a roll");
    let [met] = rolled.damaged.as_slice() else { panic!("one is damaged: {rolled:?}") };
    assert_eq!(
        (met.ranges.as_slice(), &rolled.file),
        ([(OriginNo(0), SeqRange::new(5, 10))].as_slice(), &None)
    );

    // The core takes it out, and the ledger with it; told twice, it does so once.
    let mut bench = Bench::new(store.snapshot().unwrap());
    bench.handle(Event::Damaged(met.clone()));
    bench.handle(Event::Damaged(met.clone()));
    let [batch] = bench.batches.as_slice() else { panic!("one batch") };
    store.commit(batch).unwrap();
    let look = store.look().unwrap();
    assert_eq!(look.quarantined().unwrap(), 1);
    let (_, record) = look.origins().unwrap().remove(0);
    let stored: Vec<_> = record.ledger.stored().iter().collect();
    assert_eq!(stored, [SeqRange::new(0, 5), SeqRange::new(10, 15)], "not stored any more");
    let lost: Vec<_> = record.ledger.lost().filter(|(_, ranges)| !ranges.is_empty()).collect();
    assert_eq!((lost.len(), lost[0].0, lost[0].1.count()), (1, LossReason::Corrupt, 5));
    let mut runs = Vec::new();
    look.index(|_, run| {
        runs.push((run.range.start, run.range.end));
        Ok(())
    })
    .unwrap();
    assert_eq!(runs, [(0, 5), (10, 15)], "nothing points at what is not there");
    drop(look);

    // The roll that was begun goes on without it.
    let rolled = roller.resume().unwrap().expect("the same roll");
    assert_eq!((rolled.damaged.len(), rolled.file.map(|file| file.rows)), (0, Some(10)));
    assert!(roller.roll_now().unwrap().is_none(), "the journal is empty");

    // Another copy comes: stored again.
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 3..12)]));
    let ticket = bench.verify.last().expect("what it holds beside that is compared first").0;
    bench.handle(Event::Verified { ticket, differing: Some(Vec::new()) });
    let (_, record) = bench.batches.last().unwrap().origins[0].clone();
    assert_eq!(record.ledger.stored().iter().collect::<Vec<_>>(), [SeqRange::new(0, 15)]);
    assert_eq!((record.ledger.lost_count(), record.ledger.recovered()), (0, 5));
}

#[test]
fn late_word_of_damage_that_is_out_already_takes_nothing_that_is_stored_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), 1 << 24).unwrap();
    let (board, other) = (origin("board", 1), origin("other", 1));
    let damaged = |position, no, end| {
        let ranges = vec![(OriginNo(no), SeqRange::new(0, end))];
        Event::Damaged(Damaged { position, ranges })
    };
    let mut bench = Bench::new(Snapshot::default());
    let bytes = encode(vec![described(board)], vec![readings(board, 0..5)]);
    bench.send(Lane::Live, bytes.clone());
    bench.send(Lane::Live, encode(vec![described(other)], vec![readings(other, 0..3)]));
    bench.handle(damaged(0, 0, 5));
    bench.send(Lane::Live, bytes);
    bench.batches.drain(..).for_each(|batch| drop(store.commit(&batch).unwrap()));
    // One that is not out when its commit fails is told again, and must be.
    bench.hold_commits = true;
    bench.handle(damaged(1, 1, 3));
    let batch = bench.held.take().expect("a commit");
    bench.handle(Event::CommitFailed { batch });
    let snapshot = Box::new(store.snapshot().unwrap());
    bench.handle(Event::Reloaded { snapshot, incarnation: 2 });
    bench.hold_commits = false;
    bench.now_ms += 60_000;
    bench.handle(Event::Wakeup);
    bench.batches.clear();
    bench.handle(damaged(0, 0, 5));
    bench.handle(damaged(1, 1, 3));
    let told = bench.batches.iter().flat_map(|batch| &batch.damaged).map(|damaged| damaged.position);
    assert_eq!(told.collect::<Vec<_>>(), [1]);
    let lowered = bench.batches.iter().flat_map(|batch| &batch.origins).map(|(no, _)| *no);
    assert_eq!(lowered.collect::<Vec<_>>(), [OriginNo(1)]);
}

/// A commit took the entry out and was called failed, so that nobody remembers it; its readings come again, and beside them in the
/// same batch late word of the old entry.
#[test]
fn late_word_of_an_entry_that_is_out_does_not_touch_what_the_same_batch_stores_anew() {
    let board = origin("board", 1);
    let mut bench = Bench::new(Snapshot::default());
    bench.send(Lane::Live, encode(vec![described(board)], vec![readings(board, 0..5)]));
    let old = Damaged { position: 0, ranges: vec![(OriginNo(0), SeqRange::new(0, 5))] };
    bench.handle(Event::Damaged(old.clone()));
    let folder = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(folder.path(), 1 << 26).unwrap();
    bench.batches.iter().for_each(|batch| drop(store.commit(batch).unwrap()));

    let mut bench = Bench::new(store.snapshot().unwrap());
    bench.hold_commits = true;
    bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, 5..6)]));
    bench.send(Lane::Live, encode(Vec::new(), vec![readings(board, 0..5)]));
    bench.handle(Event::Damaged(old));
    bench.hold_commits = false;
    let batch = bench.held.take().expect("the first is being written");
    bench.handle(Event::Committed { batch, used_bytes: 0 });
    bench.batches.iter().for_each(|batch| drop(store.commit(batch).unwrap()));
    let look = store.look().unwrap();
    let (_, record) = look.origins().unwrap().remove(0);
    assert_eq!(record.ledger.stored().iter().collect::<Vec<_>>(), [SeqRange::new(0, 6)]);
    let mut runs = Vec::new();
    look.index(|_, run| {
        runs.push((run.range.start, run.range.end));
        Ok(())
    })
    .unwrap();
    runs.sort_unstable();
    assert_eq!(runs, [(0, 5), (5, 6)], "and it is there");
}
