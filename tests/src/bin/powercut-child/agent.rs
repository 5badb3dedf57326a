//! The agent's queue: batches as its core makes them, and what must be in the queue after each.
//!
//! The batches are made from a seed, without looking at the queue; so is what is expected of it. Blocks are any bytes:
//! the queue does not look inside.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tidegate_agent::{
    core::{
        ALARM_KEYS, Batch, CommitFailure, Event, Key, OriginRecord, Put, Quarantined, Recovered, Totals,
        footprint,
    },
    queue::{Queue, QueueSettings},
};
use tidegate_protocol::{BootId, DeviceId, Origin, RangeSet, SeqRange, block::Description};
use tidegate_tests::powercut::trace::Step;
use tokio::sync::mpsc::{Receiver, channel};

use crate::{Check, recorder};

const MAP_BYTES: usize = 8 << 20;
const BATCHES: u32 = 48;
/// The queue is closed and opened again behind these.
const RESTARTS: [u32; 2] = [9, 30];

/// What the queue must hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    blocks: BTreeMap<Key, Arc<[u8]>>,
    next_key: Key,
    totals: Totals,
    origins: BTreeMap<Origin, OriginRecord>,
    quarantined: BTreeMap<String, u64>,
}

/// Runs the workload; every batch and every `Committed` leaves a mark in the recording.
pub fn work(folder: &Path) {
    let mut opened = Opened::at(folder).expect("the queue opens");
    for (number, batch) in (1..).zip(script().0) {
        recorder::mark(Step::Begun(number));
        opened.commit(batch).expect("the batch is committed");
        recorder::mark(Step::Acknowledged(number));
        if RESTARTS.contains(&number) {
            drop(opened);
            opened = Opened::at(folder).expect("the queue opens again");
        }
    }
}

pub fn check() -> Box<Check> {
    let (_, expected) = script();
    Box::new(move |folder, acknowledged, begun| check_one(&expected, folder, acknowledged, begun))
}

fn check_one(expected: &[Held], folder: &Path, acknowledged: u32, begun: u32) -> Result<(), String> {
    let mut opened = Opened::at(folder)?;
    let found = opened.held()?;
    let allowed = acknowledged..=begun;
    let fits = |number: &u32| expected.get(*number as usize).is_some_and(|expected| *expected == found);
    if allowed.clone().find(fits).is_none() {
        let other = (0..).zip(expected).find(|(_, expected)| **expected == found);
        return Err(match other {
            Some((number, _)) => format!("it holds the state after batch {number}, of {allowed:?} allowed"),
            None => format!("it holds what no batch left: {}", describe(&found)),
        });
    }
    // And it goes on from there.
    let key = found.next_key;
    let block: Arc<[u8]> = Arc::from(vec![0xA5; 3_000]);
    let mut totals = found.totals;
    totals.blocks += 1;
    let put = Put { key, readings: 1, block: Arc::clone(&block) };
    opened.commit(Batch { puts: vec![put], totals, ..Batch::default() })?;
    drop(opened);
    let mut again = Opened::at(folder)?;
    let mut wanted = found;
    (wanted.next_key, wanted.totals) = (key + 1, totals);
    wanted.blocks.insert(key, block);
    if again.held()? != wanted {
        return Err("after one more batch and a restart it holds something else".to_owned());
    }
    Ok(())
}

fn describe(held: &Held) -> String {
    let Held { blocks, next_key, totals, origins, quarantined } = held;
    let (blocks, origins) = (blocks.len(), origins.len());
    format!("{blocks} blocks, next key {next_key}, {totals:?}, {origins} origins, quarantine {quarantined:?}")
}

struct Opened {
    queue: Queue,
    answers: Receiver<Event>,
    recovered: Recovered,
}

impl Opened {
    fn at(folder: &Path) -> Result<Self, String> {
        let settings = QueueSettings { data_dir: folder.join("data"), map_size_bytes: MAP_BYTES };
        let (answer, answers) = channel(4);
        let (queue, recovered) =
            Queue::open(&settings, answer).map_err(|error| format!("it does not open: {error}"))?;
        Ok(Self { queue, answers, recovered })
    }

    fn commit(&mut self, batch: Batch) -> Result<(), String> {
        self.queue.commit(batch);
        match self.answers.blocking_recv() {
            Some(Event::Committed) => Ok(()),
            Some(Event::CommitFailed(CommitFailure::Full)) => Err("the map is full".to_owned()),
            other => Err(format!("it does not commit: {other:?}")),
        }
    }

    /// All that the queue holds, every block of it read.
    fn held(&mut self) -> Result<Held, String> {
        let Recovered { keys, next_key, totals, origins, .. } = &self.recovered;
        let keys: Vec<Key> = keys.iter().flat_map(|range| range.start..range.end).collect();
        self.queue.load(keys.clone());
        let Some(Event::Loaded { entries }) = self.answers.blocking_recv() else {
            return Err("its blocks cannot be read".to_owned());
        };
        let blocks: BTreeMap<Key, Arc<[u8]>> =
            entries.into_iter().map(|entry| (entry.key, entry.block.into())).collect();
        if blocks.len() != keys.len() {
            return Err(format!("it lists {} blocks and has {}", keys.len(), blocks.len()));
        }
        let origins = origins.iter().map(|record| (record.description.origin, record.clone())).collect();
        let quarantined = self.queue.reader().quarantine();
        Ok(Held { blocks, next_key: *next_key, totals: *totals, origins, quarantined })
    }
}

/// Every batch, and what is held before the first and after each.
fn script() -> (Vec<Batch>, Vec<Held>) {
    let mut random = Random(7);
    let (mut batches, mut states) = (Vec::new(), vec![Held::default()]);
    for number in 0..BATCHES {
        let mut held = states.last().cloned().unwrap_or_default();
        batches.push(next_batch(&mut random, number, &mut held));
        states.push(held);
    }
    (batches, states)
}

fn next_batch(random: &mut Random, number: u32, held: &mut Held) -> Batch {
    let mut batch = Batch { unix_ms: i64::from(number) * 1_000, ..Batch::default() };
    // Deletes come before puts, as they do in the store; now and then everything goes, and the file has free pages.
    let share = if number % 16 == 15 { 100 } else { [0, 20, 50][number as usize % 3] };
    let keys: Vec<Key> = held.blocks.keys().copied().collect();
    for key in keys {
        match random.below(100) {
            dice if dice < share => {
                let len = held.blocks.remove(&key).map_or(0, |block| block.len());
                held.totals.bytes -= footprint(len);
                batch.deletes.push(key);
            }
            99 => {
                let len = held.blocks.remove(&key).map_or(0, |block| block.len());
                held.totals.bytes -= footprint(len);
                *held.quarantined.entry("sealed".to_owned()).or_default() += 1;
                batch.quarantine.push(Quarantined { keys: vec![key], block: None, reason: "sealed" });
            }
            _ => {}
        }
    }
    if number % 7 == 3 {
        let block = Some(random.block(1_500));
        *held.quarantined.entry("boot-conflict".to_owned()).or_default() += 1;
        batch.quarantine.push(Quarantined { keys: Vec::new(), block, reason: "boot-conflict" });
    }
    for _ in 0..1 + random.below(9) {
        // Within a leaf, near its half, and on pages of their own.
        let len = [40 + random.below(300), 1_900 + random.below(200), 2_000 + random.below(9_000)];
        let len = len[random.below(3) as usize];
        let block = random.block(len);
        // Now and then an alarm, whose key stands above all others.
        let key = if held.next_key % 5 == 4 { ALARM_KEYS + held.next_key } else { held.next_key };
        held.next_key += 1;
        held.totals.bytes += footprint(block.len());
        held.totals.readings += 10;
        held.blocks.insert(key, Arc::clone(&block));
        batch.puts.push(Put { key, readings: 10, block });
    }
    for _ in 0..random.below(3) {
        let record = origin(random);
        held.origins.insert(record.description.origin, record.clone());
        batch.origins.retain(|known| known.description.origin != record.description.origin);
        batch.origins.push(record);
    }
    if number % 11 == 10
        && let Some((&gone, _)) = held.origins.first_key_value()
    {
        held.origins.remove(&gone);
        batch.forgotten.push(gone);
    }
    held.totals.blocks = held.blocks.len() as u64;
    batch.totals = held.totals;
    batch
}

fn origin(random: &mut Random) -> OriginRecord {
    let device = DeviceId::new(&format!("board-{}", random.below(6))).expect("a good name");
    let origin = Origin::new(device, BootId(random.below(2)));
    let description = Description { origin, tag: "T".into(), firmware: "f".into(), channels: Vec::new() };
    let mut safe = RangeSet::default();
    for _ in 0..random.below(40) {
        let start = random.below(10_000);
        safe.insert(SeqRange::new(start, start + 1 + random.below(5)));
    }
    let (safe, floor, next) = (safe.ranges().to_vec(), 0, 20_000);
    OriginRecord { description, safe, floor, next, described: true, closed: false, local: false }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % bound
    }

    fn block(&mut self, len: u64) -> Arc<[u8]> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}
