//! A roll to the lake, step by step, while others commit in between (rule j).

use std::{path::PathBuf, sync::Arc};

use tidegate_ingest::{
    core::{
        Event, Snapshot,
        batch::{Batch, Damaged, EntryHead, OriginNo},
    },
    entries::EntryReader,
    lake::{Gathered, Lake, RollSettings, Roller},
    readings::Source,
    store::{LmdbStore, Store, StoreError, keys},
};
use tidegate_protocol::{SeqRange, topic::Lane};

use crate::support::{Bench, described, encode, origin, readings};

const SETTINGS: RollSettings = RollSettings { interval_ms: 0, bytes: 0 };

/// A store and a lake in a folder of their own, and the core in front of them.
struct Ingest {
    folder: tempfile::TempDir,
    store: Arc<LmdbStore>,
    lake: Lake,
    bench: Bench,
}

impl Ingest {
    /// With an entry of five readings for each of these, which are their first seqs.
    fn with_entries(starts: &[u64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LmdbStore::open(&folder.path().join("store"), 1 << 24).unwrap());
        let lake = Lake::open(&folder.path().join("lake")).unwrap();
        let mut ingest = Self { folder, store, lake, bench: Bench::new(Snapshot::default()) };
        starts.iter().for_each(|start| ingest.send(*start));
        ingest
    }

    fn send(&mut self, start: u64) {
        let board = origin("board", 1);
        let block = encode(vec![described(board)], vec![readings(board, start..start + 5)]);
        self.bench.send(Lane::Live, block);
        self.commit().unwrap();
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let batches: Vec<Batch> = self.bench.batches.drain(..).collect();
        batches.iter().try_for_each(|batch| self.store.commit(batch).map(|_| ()))
    }

    fn roller(&self) -> Roller {
        Roller::new(Arc::clone(&self.store), self.lake.clone(), SETTINGS)
    }

    /// Somebody could not read an entry.
    fn met(&self, position: u64) -> Damaged {
        self.store.look().unwrap().damage_at(&[position].into()).unwrap().remove(0)
    }

    fn take_out(&mut self, met: Damaged) -> Result<(), StoreError> {
        self.bench.handle(Event::Damaged(met));
        self.commit()
    }

    fn stored(&self) -> Vec<u64> {
        let look = self.store.look().unwrap();
        let mut seqs = Vec::new();
        let all = SeqRange::new(0, u64::MAX);
        let read = |reading: &tidegate_protocol::Reading| {
            seqs.push(reading.seq.0);
            true
        };
        Source::new(&look, &self.lake).unwrap().read(OriginNo(0), all, (0, u64::MAX), read).unwrap();
        seqs
    }

    fn rows_in_lake(&self) -> u64 {
        let files = self.store.look().unwrap().lake_files().unwrap();
        files.iter().map(|(_, file)| self.lake.check(file).unwrap()).sum()
    }

    /// Every file that a program which reads the lake would find.
    fn files(&self) -> Vec<PathBuf> {
        let list = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let days = list(self.folder.path().join("lake/readings"));
        days.into_iter().flat_map(list).collect()
    }
}

#[test]
fn an_entry_taken_out_between_being_read_and_registered_is_not_in_the_file() {
    let mut ingest = Ingest::with_entries(&[0, 5, 10]);
    let roller = ingest.roller();
    let intent = roller.set_out(0).unwrap().expect("a roll is due");
    let gathered = roller.write_out(intent.clone()).unwrap();
    assert!(matches!(&gathered, Gathered::Written(written) if written.entries == 3));
    ingest.take_out(ingest.met(1)).unwrap();
    let rolled = roller.register(gathered).unwrap();
    assert_eq!((rolled.file, rolled.damaged), (None, Vec::new()));
    assert_eq!(ingest.store.look().unwrap().intent().unwrap(), Some(intent), "it is done again");
    // The same readings come from elsewhere, and are in one place all the same.
    ingest.send(5);
    while roller.roll_now().unwrap().is_some() {}
    assert_eq!(ingest.stored(), (0..15).collect::<Vec<_>>());
    assert_eq!(ingest.rows_in_lake(), 15);
}

#[test]
fn a_file_whose_entries_were_all_damaged_since_does_not_stay() {
    let mut ingest = Ingest::with_entries(&[0]);
    let roller = ingest.roller();
    let intent = roller.set_out(0).unwrap().expect("a roll is due");
    roller.write_out(intent).unwrap();
    assert_eq!(ingest.files().len(), 1, "as a crash before it is registered leaves it");
    ingest.take_out(ingest.met(0)).unwrap();
    let rolled = roller.resume().unwrap().expect("the roll that was begun");
    assert_eq!((rolled.file, ingest.files()), (None, Vec::new()));
    assert_eq!(roller.resume().unwrap(), None);
}

#[test]
fn late_word_of_damage_takes_nothing_that_is_stored_elsewhere_by_now() {
    // It went to the lake, joined with what was beside it.
    let mut ingest = Ingest::with_entries(&[0, 5]);
    let met = ingest.met(1);
    ingest.roller().roll_now().unwrap().expect("a roll");
    let refused = ingest.take_out(met);
    assert!(matches!(refused, Err(StoreError::Elsewhere { position: 1 })), "{refused:?}");
    assert_eq!(ingest.stored(), (0..10).collect::<Vec<_>>());

    // It was taken out before, and its readings came anew, in another run.
    let mut ingest = Ingest::with_entries(&[0, 5]);
    let met = ingest.met(1);
    ingest.take_out(met.clone()).unwrap();
    ingest.send(7);
    ingest.bench = Bench::new(ingest.store.snapshot().unwrap());
    let refused = ingest.take_out(met);
    assert!(matches!(refused, Err(StoreError::Elsewhere { position: 1 })), "{refused:?}");
    assert_eq!(ingest.stored(), [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]);
    let (_, record) = ingest.store.look().unwrap().origins().unwrap().remove(0);
    assert_eq!(record.ledger.stored().count(), 10, "nothing of the refused batch is there");
}

#[test]
fn an_entry_from_the_far_future_does_not_hold_up_all_that_follow_it() {
    let mut ingest = Ingest::with_entries(&[]);
    ingest.bench.unix_ms = 4_000_000_000_000;
    ingest.send(0);
    ingest.bench.unix_ms = 1_000_000;
    ingest.send(5);
    let settings = RollSettings { interval_ms: 60_000, bytes: u64::MAX };
    let roller = Roller::new(Arc::clone(&ingest.store), ingest.lake.clone(), settings);
    let mut rolls = 0;
    while roller.roll_if_due(1_060_000).unwrap().is_some() {
        rolls += 1;
    }
    assert_eq!((rolls, ingest.rows_in_lake()), (2, 10), "a file for each day");
    ingest.bench.unix_ms = 1_030_000;
    ingest.send(10);
    assert_eq!(roller.roll_if_due(1_000_000).unwrap(), None, "the clock was set back a little");
}

/// The head of an entry has no checksum: it is held to the index.
#[test]
fn an_entry_whose_head_does_not_say_what_the_index_says_is_damaged() {
    let mut bench = Bench::new(Snapshot::default());
    let boards = [origin("board", 1), origin("other", 1)];
    let block = encode(boards.map(described).to_vec(), boards.map(|board| readings(board, 0..5)).to_vec());
    bench.send(Lane::Live, block);
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LmdbStore::open(folder.path(), 1 << 24).unwrap());
    let batch = bench.batches.remove(0);
    store.commit(&batch).unwrap();
    let look = store.look().unwrap();
    let is_whole = |value: &[u8]| {
        let Ok((head, block)) = keys::decode_entry(value) else { return false };
        EntryReader::new().unwrap().read(&look, 0, &head, block).unwrap().is_some()
    };

    let entry = &batch.entries[0];
    let mut value = Vec::new();
    keys::encode_entry(&entry.head, &entry.block, &mut value).unwrap();
    assert!(is_whole(&value));
    // A list that became shorter leaves bytes behind.
    let mut shorter = value.clone();
    *shorter.iter_mut().find(|byte| **byte == 2).expect("two runs") = 1;
    assert!(!is_whole(&shorter));
    let damages: [fn(&mut EntryHead); 4] = [
        |head| head.accepted[0].range.end -= 1,
        |head| head.accepted[0].ticks.1 += 1,
        |head| head.accepted[0].entry = 1,
        |head| head.accepted[0].origin = OriginNo(1),
    ];
    for (at, damage) in damages.into_iter().enumerate() {
        let mut head = entry.head.clone();
        damage(&mut head);
        keys::encode_entry(&head, &entry.block, &mut value).unwrap();
        assert!(!is_whole(&value), "damage {at}");
    }
}
