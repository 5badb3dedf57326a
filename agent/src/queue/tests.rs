//! The queue on a real disk: what survives, what a full map does, who else may look.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tidegate_protocol::{BootId, DeviceId, Origin, SeqRange, block::Description, status::QueueAge};
use tokio::sync::mpsc::{Receiver, channel};

use super::{Age, Queue, QueueError, QueueSettings, doctor::verify, read_stats};
use crate::core::{
    ALARM_KEYS, Batch, CommitFailure, Event, Key, OriginRecord, Put, Quarantined, Recovered, Totals,
    footprint,
};

struct Opened {
    queue: Queue,
    answers: Receiver<Event>,
    recovered: Recovered,
    totals: Totals,
    held: BTreeMap<Key, usize>,
}

fn open(folder: &Path, map_size_bytes: usize) -> Opened {
    let settings = QueueSettings { data_dir: folder.to_owned(), map_size_bytes };
    let (answer, answers) = channel(8);
    let (queue, recovered) = Queue::open(&settings, answer).expect("the queue opens");
    let totals = recovered.totals;
    Opened { queue, answers, recovered, totals, held: BTreeMap::new() }
}

impl Opened {
    fn commit(&mut self, mut batch: Batch) -> Event {
        for put in &batch.puts {
            self.totals.blocks += 1;
            self.totals.bytes += footprint(put.block.len());
            self.held.insert(put.key, put.block.len());
        }
        for key in &batch.deletes {
            self.totals.blocks -= 1;
            self.totals.bytes -= footprint(self.held.remove(key).expect("it is held"));
        }
        batch.totals = self.totals;
        self.queue.commit(batch);
        self.answers.blocking_recv().expect("the writer answers")
    }

    fn put(&mut self, keys: std::ops::Range<Key>, len: usize) -> Event {
        let block = |key: Key| Arc::from(vec![key as u8; len]);
        let puts = keys.map(|key| Put { key, readings: 10, block: block(key) }).collect();
        self.commit(Batch { puts, unix_ms: 1_234, ..Batch::default() })
    }

    fn load(&mut self, keys: Vec<Key>) -> Vec<(Key, Vec<u8>)> {
        self.queue.load(keys);
        match self.answers.blocking_recv() {
            Some(Event::Loaded { entries }) => {
                entries.into_iter().map(|entry| (entry.key, entry.block)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn record(device: &str, boot: u64) -> OriginRecord {
    let origin = Origin::new(DeviceId::new(device).unwrap(), BootId(boot));
    let description = Description { origin, tag: "T".into(), firmware: "f".into(), channels: Vec::new() };
    let safe = vec![SeqRange::new(0, 7)];
    OriginRecord { description, safe, floor: 3, next: 9, described: true, closed: false, local: false }
}

#[test]
fn what_is_committed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path(), 4 << 20);
    assert!(matches!(first.put(0..5, 3_000), Event::Committed));
    let batch = Batch { deletes: vec![1, 2], origins: vec![record("a", 1)], ..Batch::default() };
    assert!(matches!(first.commit(batch), Event::Committed));
    assert_eq!(first.load(vec![0, 1, 4]), [(0, vec![0; 3_000]), (4, vec![4; 3_000])]);
    let totals = first.totals;
    drop(first);
    let second = open(folder.path(), 4 << 20);
    assert_eq!(second.recovered.keys, [SeqRange::new(0, 1), SeqRange::new(3, 5)]);
    assert_eq!(second.recovered.next_key, 5);
    assert_eq!(second.recovered.totals, totals);
    assert_eq!(second.recovered.origins, [record("a", 1)]);
}

#[test]
fn alarms_stand_behind_all_others_whenever_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path(), 4 << 20);
    first.put(0..2, 100);
    first.put(ALARM_KEYS + 2..ALARM_KEYS + 3, 5_000);
    assert!(matches!(first.put(3..300, 700), Event::Committed), "below the highest key");
    assert_eq!(first.load(vec![ALARM_KEYS + 2]), [(ALARM_KEYS + 2, vec![2; 5_000])]);
    drop(first);
    let mut second = open(folder.path(), 4 << 20);
    let alarm = SeqRange::new(ALARM_KEYS + 2, ALARM_KEYS + 3);
    assert_eq!(second.recovered.keys, [SeqRange::new(0, 2), SeqRange::new(3, 300), alarm]);
    assert_eq!(second.recovered.next_key, 300);
    second.put(ALARM_KEYS + 300..ALARM_KEYS + 301, 100);
    drop(second);
    assert_eq!(open(folder.path(), 4 << 20).recovered.next_key, 301);
    assert_eq!(
        verify(folder.path(), &|_, _| {}).unwrap().findings.len(),
        302,
        "the blocks are none; the rest is whole"
    );
}

#[test]
fn a_key_is_not_used_again_when_the_queue_was_empty_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path(), 4 << 20);
    first.put(0..3, 100);
    first.commit(Batch { deletes: vec![0, 1, 2], ..Batch::default() });
    drop(first);
    let second = open(folder.path(), 4 << 20);
    assert!(second.recovered.keys.is_empty());
    assert_eq!(second.recovered.next_key, 3);
}

#[test]
fn a_full_map_is_an_answer_and_deletes_drain_it_from_the_allowed_quota() {
    let folder = tempfile::tempdir().unwrap();
    const MAP: usize = 2 << 20;
    let mut opened = open(folder.path(), MAP);
    // Up to the largest quota that a configuration may name.
    let mut key = 0;
    while opened.totals.bytes < MAP as u64 / 4 * 3 {
        assert!(matches!(opened.put(key..key + 10, 2_300), Event::Committed), "at {:?}", opened.totals);
        key += 10;
    }
    // There is room for deletes, again and again, and for what takes the place.
    for round in 0..200 {
        let deletes: Vec<Key> = (round * 10..round * 10 + 10).collect();
        assert!(matches!(opened.commit(Batch { deletes, ..Batch::default() }), Event::Committed));
        assert!(matches!(opened.put(key..key + 10, 2_300), Event::Committed));
        key += 10;
    }
    // Beyond it the map says that it is full, and goes on.
    let totals = opened.totals;
    let full = opened.put(key..key + 1_000, 2_300);
    assert!(matches!(full, Event::CommitFailed(CommitFailure::Full)), "{full:?}");
    opened.totals = totals;
    assert!(matches!(opened.commit(Batch { deletes: vec![key - 1], ..Batch::default() }), Event::Committed));
}

#[test]
fn rejected_blocks_move_into_the_quarantine_which_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(folder.path(), 64 << 20);
    opened.put(0..2, 100);
    let moved = Quarantined { keys: vec![0], block: None, reason: "sealed" };
    opened.totals.blocks -= 1;
    opened.commit(Batch { quarantine: vec![moved], ..Batch::default() });
    assert_eq!(opened.load(vec![0, 1]).len(), 1);
    for _ in 0..40 {
        let block = Some(Arc::from(vec![7; 400 << 10]));
        let kept = Quarantined { keys: Vec::new(), block, reason: "boot-conflict" };
        assert!(matches!(
            opened.commit(Batch { quarantine: vec![kept], ..Batch::default() }),
            Event::Committed
        ));
    }
    drop(opened);
    let stats = read_stats(folder.path()).unwrap();
    let given_up = ("given-up".to_owned(), 21);
    let newest = ("boot-conflict".to_owned(), 20);
    assert_eq!(
        stats.quarantined,
        BTreeMap::from([newest, given_up]),
        "8 MiB of the newest, the rest by name"
    );
    assert_eq!(stats.entries, 1);
}

#[test]
fn of_a_block_rejected_in_part_the_queue_keeps_nothing_and_the_quarantine_that_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(folder.path(), 4 << 20);
    opened.put(0..2, 3_000);
    let part = Quarantined { keys: vec![0, 1], block: Some(Arc::from(vec![9; 50])), reason: "sealed" };
    opened.totals = Totals::default();
    assert!(matches!(opened.commit(Batch { quarantine: vec![part], ..Batch::default() }), Event::Committed));
    assert_eq!(opened.load(vec![0, 1]), []);
    assert_eq!(opened.queue.reader().quarantine(), BTreeMap::from([("sealed".to_owned(), 1)]));
}

#[test]
fn one_agent_per_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path(), 4 << 20);
    let settings = QueueSettings { data_dir: folder.path().to_owned(), map_size_bytes: 4 << 20 };
    let second = Queue::open(&settings, channel(1).0);
    assert!(matches!(second, Err(QueueError::InUse { .. })));
}

#[test]
fn what_is_wanted_of_channels_is_there_after_a_restart_and_after_a_batch_without_it() {
    use tidegate_protocol::settings::{ChannelSettings, DesiredChannel};
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Some(ChannelSettings { enabled: true, period_ms: 500, report_deadband: None, max_silence_ms: 0 });
    let (device, channel) = ("board".parse().unwrap(), "temperature".parse().unwrap());
    let wanted = vec![DesiredChannel { device, channel, revision: 3, settings }];
    let mut opened = open(folder.path(), 4 << 20);
    assert!(opened.recovered.desired.is_empty());
    opened.commit(Batch { desired: Some(wanted.clone()), ..Batch::default() });
    opened.put(0..2, 100);
    drop(opened);
    assert_eq!(open(folder.path(), 4 << 20).recovered.desired, wanted);
}

/// Whatever is committed, and in whatever state the queue is opened again.
#[test]
fn a_queue_is_older_with_each_commit_and_each_start() {
    let folder = tempfile::tempdir().unwrap();
    let age = |opened: &Opened| opened.queue.age().get().expect("it is known");
    let mut first = open(folder.path(), 4 << 20);
    assert_eq!(age(&first), QueueAge { opened: 1, commits: 1 });
    first.put(0..5, 100);
    first.commit(Batch { deletes: vec![0, 1], ..Batch::default() });
    first.commit(Batch::default());
    assert_eq!(age(&first), QueueAge { opened: 1, commits: 4 });
    drop(first);
    let second = open(folder.path(), 4 << 20);
    assert_eq!(age(&second), QueueAge { opened: 5, commits: 5 });
    drop(second);
    let repaired = super::doctor::repair(folder.path(), super::doctor::Intent::Write, 9, &|_, _| {});
    assert!(repaired.is_ok());
    let commits =
        super::doctor::inspect(folder.path(), &|_, _| {}).unwrap().commits.expect("they are counted");
    let third = open(folder.path(), 4 << 20);
    assert!(commits >= 5, "who mends a queue makes it no younger: {commits}");
    assert_eq!(age(&third).opened, commits + 1);
}

/// Only what is on the disk is told: a start after it is above all that was.
#[test]
fn a_commit_that_failed_and_a_start_that_was_not_written_make_no_age() {
    assert_eq!(Age::default().get(), None);
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(folder.path(), 1 << 20);
    opened.put(0..1, 100);
    let full = opened.put(1..1_000, 2_300);
    assert!(matches!(full, Event::CommitFailed(CommitFailure::Full)), "{full:?}");
    assert_eq!(opened.queue.age().get(), Some(QueueAge { opened: 1, commits: 2 }));
}

#[test]
fn the_oldest_block_tells_when_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(folder.path(), 4 << 20);
    assert_eq!(opened.queue.reader().oldest_unix_ms(), None);
    opened.put(0..2, 100);
    assert_eq!(opened.queue.reader().oldest_unix_ms(), Some(1_234));
    drop(opened);
    assert!(matches!(read_stats(&folder.path().join("none")), Err(QueueError::Missing { .. })));
}

#[test]
fn what_a_full_quarantine_gives_up_is_known_by_name_until_it_is_declared_lost() {
    use tidegate_protocol::{
        ChannelIndex, Quality, Reading, Seq, Tick, Value,
        block::{Block, Encoder, OriginReadings},
    };
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(folder.path(), 64 << 20);
    let mut encoder = Encoder::new().unwrap();
    // Noise does not get shorter: each block takes more than a fifth of the bound.
    let noise = |seq: u64| f64::from_bits(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
    let (blocks, readings) = (30, 45_000);
    for block in 0..blocks {
        let reading = |seq| Reading {
            seq: Seq(seq),
            channel: ChannelIndex(0),
            tick: Tick(seq),
            value: Value::F64(noise(seq)),
            quality: Quality::Good,
        };
        let readings = (block * readings..(block + 1) * readings).map(reading).collect();
        let origins = vec![OriginReadings { origin: record("a", 1).description.origin, readings }];
        let bytes = encoder.encode(&Block { records: Vec::new(), origins }).unwrap();
        let kept = Quarantined { keys: Vec::new(), block: Some(bytes.into()), reason: "sealed" };
        let batch = Batch { quarantine: vec![kept], ..Batch::default() };
        assert!(matches!(opened.commit(batch), Event::Committed));
    }
    drop(opened);
    let stats = read_stats(folder.path()).unwrap();
    let given_up = stats.quarantined["given-up"];
    assert_eq!((given_up > 5, given_up + stats.quarantined["sealed"]), (true, blocks));
    let repaired = super::doctor::repair(folder.path(), super::doctor::Intent::Write, 9, &|_, _| {}).unwrap();
    assert_eq!((repaired.given_up, repaired.given_up_readings), (given_up, given_up * readings));
    let stats = read_stats(folder.path()).unwrap();
    assert_eq!(stats.quarantined.get("given-up"), None);
    assert_eq!(stats.entries, 1, "the block of losses");
}
