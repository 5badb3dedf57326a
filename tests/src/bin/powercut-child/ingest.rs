//! The ingest's store and lake: blocks through its core into the store, rolls to the lake in between, and what store
//! and lake must hold after each.
//!
//! What is expected is what an undisturbed run on the same blocks shows, and of the readings, that they are those that
//! were in the blocks, each once.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_ingest::{
    core::{Core, Effect, Event, Settings},
    entries::accepted_of,
    lake::{Lake, RollSettings, Roller, Wanted},
    store::{
        LmdbStore, Look, Store, StoreError,
        keys::{LakeFile, Place},
    },
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, ClockQuality, DeviceId, GatewayId, LossReason,
    LossRecord, Origin, Quality, Reading, Seq, SeqRange, SiteId, Tick, Value, ValueKind,
    block::{Block, Decoder, Description, Encoder, OriginReadings, Record},
    topic::{GatewayPath, Lane},
};
use tidegate_tests::powercut::{run::in_memory, trace::Step};

use crate::{Check, recorder};

const MAP_BYTES: u64 = 16 << 20;
const DEVICES: [&str; 3] = ["board-a", "board-b", "board-c"];
const BLOCKS: u64 = 22;
/// So many disks are opened for one that is also written on; opening alone ends a roll that was cut off.
const GOES_ON_EACH: u32 = 5;
/// Rolls come behind these blocks, and a restart behind the last of them.
const ROLLS: [u64; 3] = [6, 12, 18];

type Readings = BTreeMap<(Origin, u64), Value>;

#[derive(PartialEq)]
struct Held {
    readings: Readings,
    /// All else, written out.
    rest: String,
}

/// Runs the workload; every commit and every roll leaves marks in the recording.
pub fn work(folder: &Path) {
    run(folder, |_| {});
}

/// Gives `after` what is there before the first piece of work and after each.
fn run(folder: &Path, mut after: impl FnMut(&Opened)) {
    let mut opened = Opened::at(folder).expect("the store opens");
    let (mut sent, mut number) = (Readings::new(), 0);
    after(&opened);
    for block in 0..BLOCKS {
        let (bytes, readings) = block_of(block);
        sent.extend(readings);
        number = opened.take(bytes, number, &mut after).expect("the block is committed");
        if ROLLS.contains(&block) {
            number += 1;
            recorder::mark(Step::Begun(number));
            opened.roller().roll_now().expect("the roll goes well").expect("there is something to roll");
            recorder::mark(Step::Acknowledged(number));
            after(&opened);
        }
        if block == ROLLS[1] {
            drop(opened);
            opened = Opened::at(folder).expect("the store opens again");
        }
    }
    assert_eq!(opened.readings().expect("readings"), sent, "what was sent is what is stored");
}

pub fn check() -> Box<Check> {
    let folder = in_memory();
    let mut expected = Vec::new();
    run(folder.path(), |opened| expected.push(opened.held().expect("an undisturbed run can be read")));
    let turn = Cell::new(0_u32);
    Box::new(move |folder, acknowledged, begun| {
        turn.set(turn.get() + 1);
        check_one(&expected, folder, acknowledged, begun, turn.get().is_multiple_of(GOES_ON_EACH))
    })
}

fn check_one(
    expected: &[Held],
    folder: &Path,
    acknowledged: u32,
    begun: u32,
    goes_on: bool,
) -> Result<(), String> {
    let opened = Opened::at(folder)?;
    let found = opened.held()?;
    let allowed = acknowledged..=begun;
    let fits = |number: &u32| expected.get(*number as usize).is_some_and(|expected| *expected == found);
    if allowed.clone().find(fits).is_none() {
        let other = (0..).zip(expected).find(|(_, expected)| **expected == found);
        return Err(match other {
            Some((number, _)) => format!("it holds the state after work {number}, of {allowed:?} allowed"),
            None => {
                format!("it holds what no work left: {} readings, {:.300}", found.readings.len(), found.rest)
            }
        });
    }
    if !goes_on {
        return Ok(());
    }
    // From there: another block, all of it to the lake, and open it again.
    let mut wanted = found.readings;
    let (bytes, readings) = block_of(BLOCKS);
    wanted.extend(readings);
    opened.take(bytes, 0, &mut |_| {})?;
    opened.roller().roll_now().map_err(|error| format!("it does not roll: {error}"))?;
    drop(opened);
    if Opened::at(folder)?.readings()? != wanted {
        return Err("after one more block and a roll it holds other readings".to_owned());
    }
    Ok(())
}

struct Opened {
    store: Arc<LmdbStore>,
    lake: Lake,
    lake_folder: std::path::PathBuf,
}

impl Opened {
    /// As the ingest starts: a roll that was cut off is ended.
    fn at(folder: &Path) -> Result<Self, String> {
        let store = LmdbStore::open(&folder.join("data/store"), MAP_BYTES)
            .map_err(|error| format!("the store does not open: {error}"))?;
        let lake_folder = folder.join("data/lake");
        let lake = Lake::open(&lake_folder).map_err(|error| format!("the lake does not open: {error}"))?;
        let opened = Self { store: Arc::new(store), lake, lake_folder };
        opened.roller().resume().map_err(|error| format!("the roll does not end: {error}"))?;
        Ok(opened)
    }

    fn roller(&self) -> Roller {
        let settings = RollSettings { interval_ms: 0, bytes: 0 };
        Roller::new(Arc::clone(&self.store), self.lake.clone(), settings)
    }

    /// Gives a block to a core, and commits what it wants committed. The last number used.
    fn take(&self, bytes: Bytes, mut number: u32, after: &mut impl FnMut(&Self)) -> Result<u32, String> {
        let settings = Settings { credit_total_bytes: 1 << 20, linger_ms: 0, quota_bytes: 1 << 30 };
        let snapshot = self.store.snapshot().map_err(|error| error.to_string())?;
        let mut core =
            Core::new(settings, rules(), Decoder::new().map_err(|error| error.to_string())?, snapshot, 1);
        core.handle(0, Event::Block { from: gateway(), lane: Lane::Live, bytes, arrival_unix_ms: 77 });
        while let Some(effect) = core.poll() {
            if let Effect::Commit(batch) = effect {
                number += 1;
                recorder::mark(Step::Begun(number));
                let receipt = self.store.commit(&batch).map_err(|error| error.to_string())?;
                recorder::mark(Step::Acknowledged(number));
                after(self);
                core.handle(0, Event::Committed { batch: batch.number, used_bytes: receipt.used_bytes });
            }
        }
        Ok(number)
    }

    /// Every stored reading, from journal and lake: none may be there twice, and the index must point at each.
    fn readings(&self) -> Result<Readings, String> {
        let look = self.store.look().map_err(|error| error.to_string())?;
        let mut found = BTreeMap::new();
        for (_, file) in look.lake_files().map_err(|error| error.to_string())? {
            for (origin, reading) in self.of_file(&look, &file)? {
                keep(&mut found, origin, &reading, Place::Lake(file.from))?;
            }
        }
        let mut decoder = Decoder::new().map_err(|error| error.to_string())?;
        let (mut entries, mut wrong) = (Vec::new(), None);
        let read = look.journal(0, |position, head, bytes| {
            entries.push((position, head, decoder.decode(bytes).ok()));
            Ok(true)
        });
        read.map_err(|error| error.to_string())?;
        for (position, head, block) in &entries {
            let Some(block) = block else {
                wrong = wrong.or((!head.accepted.is_empty()).then_some(*position));
                continue;
            };
            for (run, _, readings) in accepted_of(head, block) {
                let origin = block.origins[run.entry as usize].origin;
                for reading in readings {
                    keep(&mut found, origin, reading, Place::Journal(*position))?;
                }
            }
        }
        if let Some(position) = wrong {
            return Err(format!("the journal's entry {position} does not decode"));
        }
        let indexed = self.indexed(&look)?;
        let places: BTreeMap<_, _> = found.iter().map(|(key, (_, place))| (*key, *place)).collect();
        if indexed != places {
            return Err(format!("the index points at {} readings of {}", indexed.len(), places.len()));
        }
        Ok(found.into_iter().map(|(key, (value, _))| (key, value)).collect())
    }

    fn of_file(&self, look: &Look<'_>, file: &LakeFile) -> Result<Vec<(Origin, Reading)>, String> {
        let mut wanted = Vec::new();
        let origins = look.origins().map_err(|error| error.to_string())?;
        for (no, record) in &origins {
            let description = look.description(*no).ok().flatten().ok_or("an origin is not described")?;
            wanted.push(Wanted::new(
                record.site,
                description,
                [SeqRange::new(0, u64::MAX)].into_iter().collect(),
            ));
        }
        let read = self.lake.read(file, &wanted).map_err(|error| format!("the lake: {error}"))?;
        let of_origins = read.into_iter().zip(&origins);
        let all: Vec<(Origin, Reading)> = of_origins
            .flat_map(|(of, (_, record))| of.into_iter().map(|known| (record.origin, known.reading)))
            .collect();
        if all.len() as u64 != file.rows {
            return Err(format!("{} has {} rows of {}", file.path, all.len(), file.rows));
        }
        Ok(all)
    }

    fn indexed(&self, look: &Look<'_>) -> Result<BTreeMap<(Origin, u64), Place>, String> {
        let mut indexed = BTreeMap::new();
        for (no, record) in look.origins().map_err(|error| error.to_string())? {
            let runs = look.runs(no, SeqRange::new(0, u64::MAX), |run| {
                indexed.extend((run.range.start..run.range.end).map(|seq| ((record.origin, seq), run.place)));
                Ok(true)
            });
            runs.map_err(|error| error.to_string())?;
        }
        Ok(indexed)
    }

    /// Everything in the store and the lake, in a form that two of them are compared by.
    fn held(&self) -> Result<Held, String> {
        let (readings, look) = (self.readings()?, self.store.look().map_err(|error| error.to_string())?);
        let read = || -> Result<(String, BTreeSet<String>), StoreError> {
            let mut journal = Vec::new();
            look.journal(0, |position, head, block| {
                journal.push((position, head, block.to_vec()));
                Ok(true)
            })?;
            let mut blocks = DefaultHasher::new();
            journal.iter().for_each(|(position, head, block)| {
                (position, head.arrival_unix_ms, head.accepted.len()).hash(&mut blocks);
                blocks.write(block);
            });
            let files = look.lake_files()?;
            let names = files.iter().map(|(_, file)| file.path.clone()).collect();
            let ledger =
                (look.next_position()?, look.origins()?, look.gateways()?, look.settled()?, look.latest()?);
            let alarms = (look.live()?, look.events_after(0, 10_000)?, look.alarms()?, look.history()?);
            let rest = (look.intent()?, look.quarantined()?, blocks.finish());
            Ok((format!("{ledger:?} {alarms:?} {files:?} {rest:?}"), names))
        };
        let (rest, files) = read().map_err(|error| error.to_string())?;
        let found = parquet_files(&self.lake_folder);
        if found != files {
            return Err(format!("the lake has the files {found:?} and registered {files:?}"));
        }
        Ok(Held { readings, rest })
    }
}

fn keep(
    found: &mut BTreeMap<(Origin, u64), (Value, Place)>,
    origin: Origin,
    reading: &Reading,
    place: Place,
) -> Result<(), String> {
    match found.insert((origin, reading.seq.0), (reading.value, place)) {
        Some((_, other)) => Err(format!("{origin:?} {:?} is in {other:?} and in {place:?}", reading.seq)),
        None => Ok(()),
    }
}

/// Relative to the lake's folder; every file counts.
fn parquet_files(lake: &Path) -> BTreeSet<String> {
    let list =
        |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = list(&lake.join("readings")).flat_map(|day| list(&day).collect::<Vec<_>>());
    files.filter_map(|file| Some(file.strip_prefix(lake).ok()?.to_str()?.to_owned())).collect()
}

fn gateway() -> GatewayPath {
    GatewayPath::new(SiteId::new("plant").expect("a name"), GatewayId::new("gw-a").expect("a name"))
}

fn rules() -> RuleSet {
    let rule = serde_json::json!({ "rule": [
        { "id": "high", "select": { "channel": "level" }, "above": 120.0, "deadband": 1.0 }
    ] });
    let settings: RulesSettings = serde_json::from_value(rule).expect("rules in the right form");
    RuleSet::from_settings(settings).expect("good rules")
}

/// The n-th block: 30 readings of one board behind a hole, some of which is declared lost; sometimes with
/// a second board's beside them; every seventh is no block at all.
fn block_of(number: u64) -> (Bytes, Readings) {
    if number % 7 == 5 {
        return (Bytes::from_static(b"no block"), Readings::new());
    }
    let mut sent = Readings::new();
    let (mut records, mut origins) = (Vec::new(), Vec::new());
    let boards = if number.is_multiple_of(4) { 2 } else { 1 };
    let mut chosen: Vec<usize> = (0..boards).map(|board| (number as usize + board) % DEVICES.len()).collect();
    chosen.sort_unstable();
    for board in chosen {
        let origin = Origin::new(DeviceId::new(DEVICES[board]).expect("a name"), BootId(9));
        records.push(Record::Described(description(origin)));
        records.push(Record::Anchor {
            origin,
            tick: Tick(0),
            unix_ms: 1_700_000_000_000,
            error_ms: 5,
            quality: ClockQuality::Synced,
        });
        let start = number * 40;
        if number % 5 == 1 {
            let range = SeqRange::new(start + 30, start + 35);
            records.push(Record::Loss(LossRecord { origin, range, reason: LossReason::RingOverflow }));
        }
        let readings: Vec<Reading> = (start..start + 30).map(reading).collect();
        sent.extend(readings.iter().map(|reading| ((origin, reading.seq.0), reading.value)));
        origins.push(OriginReadings { origin, readings });
    }
    let block = Encoder::new().expect("memory").encode(&Block { records, origins });
    (block.expect("a good block").into(), sent)
}

fn description(origin: Origin) -> Description {
    let channels = vec![ChannelDecl {
        name: ChannelName::new("level").expect("a name"),
        unit: "m".to_owned(),
        kind: ValueKind::F64,
        scale: 0,
    }];
    Description { origin, tag: "LT-1".into(), firmware: "1".into(), channels }
}

fn reading(seq: u64) -> Reading {
    let value = Value::F64((seq * 7919 % 257) as f64);
    Reading { seq: Seq(seq), channel: ChannelIndex(0), tick: Tick(seq * 100), value, quality: Quality::Good }
}
