//! One damaged journal entry stops nothing but itself (invariant 6).

use std::sync::Arc;

use tidegate_ingest::{
    core::{Event, Snapshot, batch::OriginNo},
    lake::{Lake, RollSettings, Roller},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{SeqRange, ack::Outcome, topic::Lane};

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
    assert_eq!((rolled.damaged, rolled.file.as_ref().map(|file| file.rows)), (1, Some(10)));
    let look = store.look().unwrap();
    assert_eq!(look.quarantined().unwrap(), 1);
    let mut runs = Vec::new();
    let all = SeqRange::new(0, u64::MAX);
    look.runs(OriginNo(0), all, |run| {
        runs.push((run.range.start, run.range.end));
        Ok(true)
    })
    .unwrap();
    assert_eq!(runs, [(0, 5), (10, 15)], "nothing points at what is not there");
    drop(look);
    let lost = |record: &tidegate_ingest::core::batch::OriginRecord| {
        let ledger = &record.ledger;
        let lost: Vec<_> = ledger.lost().filter(|(_, ranges)| !ranges.is_empty()).collect();
        let lost: Vec<_> = lost.iter().map(|(reason, ranges)| (reason.name(), ranges.count())).collect();
        (ledger.stored().count(), lost)
    };
    let declared = (10, vec![("corrupt", 5)]);
    assert_eq!(
        lost(&store.snapshot().unwrap().origins[0].1),
        declared,
        "the ledger no longer calls it stored"
    );

    // The core hears of it, whatever batch was under way, and takes the readings where they come again.
    assert_eq!(rolled.unreadable, [(OriginNo(0), SeqRange::new(5, 10))]);
    bench.handle(Event::Damaged { readings: rolled.unreadable });
    let batch = bench.batches.last().expect("the damage is committed");
    assert_eq!(lost(&batch.origins[0].1), declared);
    let number = bench.send(Lane::Backlog, encode(vec![], vec![readings(board, 5..10)]));
    assert_eq!(bench.outcome(number), Some(Outcome::Durable), "a good copy, not a conflict");
    let batch = bench.batches.last().expect("it is committed");
    assert_eq!(batch.entries.iter().map(|entry| entry.head.accepted.len()).sum::<usize>(), 1);
    assert_eq!(lost(&batch.origins[0].1), (15, vec![]));
    assert!(roller.roll_now().unwrap().is_none(), "the journal is empty");
}
