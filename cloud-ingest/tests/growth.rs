//! A year of a site whose 200 boards restart every day: 73,000 boots through the real core into the real store, on virtual
//! time, and what is left of them in memory and on disk. Journal, index and lake are not counted: their retention is their
//! own.
//!
//! `cargo test -p tidegate-ingest --test growth -- --nocapture` prints the figures that docs/ingest.md states.

#![expect(unsafe_code, reason = "an allocator that counts is unsafe to write")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_ingest::{
    core::{Core, Effect, Event, Settings},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, ClockQuality, DeviceId, GatewayId, Origin, Quality,
    Reading, Seq, SiteId, Tick, Value, ValueKind,
    block::{Block, Decoder, Description, Encoder, OriginReadings, Record, Stamp, Tail, stamp},
    topic::{GatewayPath, Lane},
};

const BOARDS: u64 = 200;
const DAYS: u64 = 365;
const KEPT_DAYS: u64 = 30;
const DAY_MS: i64 = 86_400_000;
const READINGS_PER_BOOT: u64 = 3;
const BOARDS_PER_BLOCK: u64 = 50;

/// What the ledger of that year may take on disk.
const MAX_LEDGER_BYTES: u64 = 32 * 1024 * 1024;
/// And in the core's memory.
const MAX_CORE_BYTES: usize = 24 * 1024 * 1024;
const MAX_BYTES_PER_SEALED_ORIGIN: usize = 40;

struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the system allocator's demand.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn live_bytes() -> usize {
    LIVE_BYTES.load(Ordering::Relaxed)
}

fn origin(board: u64, day: u64) -> Origin {
    // As from a random number generator: neighbours have nothing in common.
    let boot = (board * DAYS + day + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Origin::new(DeviceId::new(&format!("board-{board}")).unwrap(), BootId(boot))
}

/// A boot's first readings, and the word that the boot before has ended.
fn boots(boards: std::ops::Range<u64>, day: u64) -> Block {
    let mut block = Block::default();
    for board in boards {
        let origin = origin(board, day);
        if let Some(yesterday) = day.checked_sub(1) {
            let tail = Tail::Known(READINGS_PER_BOOT);
            block.records.push(Record::Closed { origin: self::origin(board, yesterday), tail });
        }
        let channel = |name| ChannelDecl {
            name: ChannelName::new(name).unwrap(),
            unit: "Cel".to_owned(),
            kind: ValueKind::F64,
            scale: 0,
        };
        let channels = ["temperature", "pressure", "humidity", "supply"].map(channel).to_vec();
        let (tag, firmware) = (format!("TT-{board}"), "1.4.2".to_owned());
        block.records.push(Record::Described(Description { origin, tag, firmware, channels }));
        let unix_ms = day as i64 * DAY_MS;
        let quality = ClockQuality::Synced;
        block.records.push(Record::Anchor { origin, tick: Tick(0), unix_ms, error_ms: 20, quality });
        let readings = (0..READINGS_PER_BOOT).map(|seq| Reading {
            seq: Seq(seq),
            channel: ChannelIndex((seq % 4) as u8),
            tick: Tick(seq * 1_000),
            value: Value::F64(20.0),
            quality: Quality::Good,
        });
        block.origins.push(OriginReadings { origin, readings: readings.collect() });
    }
    block.origins.sort_by_key(|readings| readings.origin);
    block
}

struct Site {
    core: Core,
    store: LmdbStore,
    sent: u64,
    folder: TempDir,
}

const MAP_BYTES: u64 = 512 * 1024 * 1024;

fn core(store: &LmdbStore) -> Core {
    let settings = Settings { credit_total_bytes: 8 << 20, linger_ms: 0, quota_bytes: MAP_BYTES / 5 * 4 };
    let rule = r#"{ "rule": [{ "id": "hot", "select": { "channel": "temperature" }, "above": 60.0 }] }"#;
    let rules = RuleSet::from_settings(serde_json::from_str::<RulesSettings>(rule).unwrap()).unwrap();
    Core::new(settings, rules, Decoder::new().unwrap(), store.snapshot().unwrap(), 1)
}

impl Site {
    fn new() -> Self {
        // What is measured is size; a file system in memory takes the syncs' time away, nothing else.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let store = LmdbStore::open(folder.path(), MAP_BYTES).unwrap();
        Self { core: core(&store), store, sent: 0, folder }
    }

    fn day(&mut self, encoder: &mut Encoder, day: u64) {
        let from = GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new("gw-a").unwrap());
        let unix_ms = (day as i64 + 1) * DAY_MS;
        for first in (0..BOARDS).step_by(BOARDS_PER_BLOCK as usize) {
            let mut bytes = encoder.encode(&boots(first..first + BOARDS_PER_BLOCK, day)).unwrap();
            stamp(&mut bytes, Stamp { lane: Lane::Live, epoch: 1, number: self.sent }).unwrap();
            self.sent += 1;
            let (lane, bytes) = (Lane::Live, bytes.into());
            self.handle(Event::Block { from, lane, bytes, arrival_unix_ms: unix_ms });
        }
        self.handle(Event::Seal { before_unix_ms: unix_ms - KEPT_DAYS as i64 * DAY_MS });
    }

    fn handle(&mut self, event: Event) {
        self.core.handle(0, event);
        while let Some(effect) = self.core.poll() {
            match effect {
                Effect::Commit(batch) => {
                    let used_bytes = self.store.commit(&batch).unwrap().used_bytes;
                    self.core.handle(0, Event::Committed { batch: batch.number, used_bytes });
                }
                Effect::Ack { .. } | Effect::Rules { .. } => {}
                other => panic!("nothing of this was asked for: {other:?}"),
            }
        }
    }
}

#[test]
fn a_year_of_daily_restarts_keeps_the_ledger_small_in_memory_and_on_disk() {
    let mut encoder = Encoder::new().unwrap();
    let before = live_bytes();
    let mut site = Site::new();
    let mut at_100_days = 0;
    for day in 0..DAYS {
        site.day(&mut encoder, day);
        if day == 99 {
            at_100_days = live_bytes() - before;
        }
    }
    let in_memory = live_bytes() - before;
    let look = site.store.look().unwrap();
    let (sealed, open) = (look.sealed().unwrap().len() as u64, look.origins().unwrap().len() as u64);
    let ledger_bytes = look.ledger_bytes().unwrap();
    drop(look);
    let grown = in_memory.saturating_sub(at_100_days);
    let per_origin = grown / ((DAYS - 100) * BOARDS) as usize;
    println!(
        "{} boots: {sealed} sealed, {open} open; the ledger takes {} KiB on disk, the core {} KiB in memory, \
         {per_origin} B for each sealed origin",
        BOARDS * DAYS,
        ledger_bytes / 1024,
        in_memory / 1024
    );
    // A boot closes a day after it began, and is kept so many days after it was heard of last.
    assert_eq!((open, sealed), (BOARDS * (KEPT_DAYS + 2), BOARDS * (DAYS - KEPT_DAYS - 2)));
    assert!(ledger_bytes <= MAX_LEDGER_BYTES, "{ledger_bytes} bytes on disk");
    assert!(in_memory <= MAX_CORE_BYTES, "{in_memory} bytes in memory");
    assert!(per_origin <= MAX_BYTES_PER_SEALED_ORIGIN, "{per_origin} bytes for each sealed origin");
    // Every boot of the year is accounted for, and so it is after a restart, in as little memory.
    let stored: u64 = site.store.look().unwrap().sealed().unwrap().iter().map(|(_, row)| row.stored).sum();
    assert_eq!(stored, sealed * READINGS_PER_BOOT);
    let Site { core: running, store, folder, .. } = site;
    drop((running, store));
    let empty = live_bytes();
    let store = LmdbStore::open(folder.path(), MAP_BYTES).unwrap();
    let restarted = core(&store);
    let in_memory = live_bytes() - empty;
    println!("after a restart: {} KiB", in_memory / 1024);
    assert!(in_memory <= MAX_CORE_BYTES, "{in_memory} bytes in memory after a restart");
    assert!(restarted.is_idle());
}
