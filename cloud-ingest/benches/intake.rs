//! How many readings a second the ingest takes from a block's bytes to a durable commit: the core on one thread, commits
//! with full sync on another, as in production, without a broker.
//!
//! ```text
//! cargo bench -p tidegate-ingest --bench intake             a table
//! cargo bench -p tidegate-ingest --bench intake -- --json   and, as the last line, the same as JSON
//! ```

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_ingest::{
    core::{Core, Effect, Event, Settings, batch::Batch},
    lake::{Lake, RollSettings, Roller},
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, GatewayId, Origin, Quality, Reading, Seq,
    SiteId, Tick, Value, ValueKind,
    block::{Block, Decoder, Description, Encoder, OriginReadings, Record, Stamp, stamp},
    topic::{GatewayPath, Lane},
};

const BOARDS: u64 = 50;
const CHANNELS: u64 = 8;
const READINGS_PER_BLOCK: u64 = 1_000;
const BLOCKS: u64 = 3_000;
const MAP_BYTES: u64 = 4 << 30;

#[derive(Serialize)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let blocks = blocks();
    let mut rows = Vec::new();
    for (what, rules) in [("no rule", RuleSet::default()), ("one channel of eight watched", one_rule())] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(LmdbStore::open(&folder.path().join("store"), MAP_BYTES).expect("a store"));
        let (total_s, core_s) = take(&store, rules, &blocks);
        let readings = (BLOCKS * READINGS_PER_BLOCK) as f64;
        rows.push(Row {
            what: format!("{what}: readings durably stored"),
            value: readings / total_s,
            unit: "1/s",
        });
        rows.push(Row {
            what: format!("{what}: the core"),
            value: core_s * 1e9 / readings,
            unit: "ns/reading",
        });
        let stored = store.look().and_then(|look| look.used_bytes()).expect("a look");
        rows.push(Row { what: format!("{what}: store"), value: stored as f64 / readings, unit: "B/reading" });
        let lake = Lake::open(&folder.path().join("lake")).expect("a lake");
        let roller = Roller::new(Arc::clone(&store), lake, RollSettings { interval_ms: 0, bytes: 0 });
        let began = Instant::now();
        let (mut lake_rows, mut lake_bytes) = (0, 0);
        while let Some(file) = roller.roll_now().expect("it rolls").and_then(|rolled| rolled.file) {
            lake_rows += file.rows;
            lake_bytes += file.bytes;
        }
        let rolled_s = began.elapsed().as_secs_f64();
        rows.push(Row {
            what: format!("{what}: rolled to the lake"),
            value: lake_rows as f64 / rolled_s,
            unit: "1/s",
        });
        rows.push(Row {
            what: format!("{what}: lake"),
            value: lake_bytes as f64 / lake_rows as f64,
            unit: "B/reading",
        });
    }
    for row in &rows {
        println!("{:<55} {:>14.2} {}", row.what, row.value, row.unit);
    }
    if json {
        let note =
            format!("{BLOCKS} blocks of {READINGS_PER_BLOCK} readings over {} series", BOARDS * CHANNELS);
        println!("{}", serde_json::json!({ "name": "intake", "rows": rows, "note": note }));
    }
}

fn one_rule() -> RuleSet {
    let rule = serde_json::json!({ "rule": [{ "id": "high", "select": { "channel": "c0" }, "above": 1e6 }] });
    let settings: RulesSettings = serde_json::from_value(rule).expect("rules");
    RuleSet::from_settings(settings).expect("good rules")
}

/// Every block has 20 readings of each board, each channel in turn.
fn blocks() -> Vec<Bytes> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut encoder = Encoder::new().expect("an encoder");
    let mut values = vec![2_000_i64; (BOARDS * CHANNELS) as usize];
    let per_board = READINGS_PER_BLOCK / BOARDS;
    (0..BLOCKS)
        .map(|number| {
            let origins = (0..BOARDS).map(|board| {
                let readings = (number * per_board..(number + 1) * per_board).map(|seq| {
                    let channel = seq % CHANNELS;
                    let value = &mut values[(board * CHANNELS + channel) as usize];
                    *value += rng.random_range(-3..=3_i64);
                    Reading {
                        seq: Seq(seq),
                        channel: ChannelIndex(channel as u8),
                        tick: Tick(seq / CHANNELS * 100),
                        value: Value::Decimal { mantissa: *value, scale: 2 },
                        quality: Quality::Good,
                    }
                });
                OriginReadings { origin: origin(board), readings: readings.collect() }
            });
            let origins = origins.collect();
            let described =
                (0..BOARDS).filter(|_| number == 0).map(|board| Record::Described(description(board)));
            let block = Block { records: described.collect(), origins };
            let mut bytes = encoder.encode(&block).expect("it encodes");
            stamp(&mut bytes, Stamp { lane: Lane::Live, epoch: 1, number }).expect("a block");
            Bytes::from(bytes)
        })
        .collect()
}

fn origin(board: u64) -> Origin {
    Origin::new(
        DeviceId::new(&format!("board-{board:02}")).expect("a slug"),
        BootId(0x1234_5678_9abc_0000 + board),
    )
}

fn description(board: u64) -> Description {
    let channel = |index| ChannelDecl {
        name: ChannelName::new(&format!("c{index}")).expect("a name"),
        unit: "Cel".to_owned(),
        kind: ValueKind::Decimal,
        scale: 2,
    };
    Description {
        origin: origin(board),
        tag: String::new(),
        firmware: String::new(),
        channels: (0..CHANNELS).map(channel).collect(),
    }
}

/// Seconds until all is durable, and those that the core computed.
fn take(store: &Arc<LmdbStore>, rules: RuleSet, blocks: &[Bytes]) -> (f64, f64) {
    let settings = Settings { credit_total_bytes: 8 << 20, linger_ms: 2, quota_bytes: MAP_BYTES / 5 * 4 };
    let snapshot = store.snapshot().expect("a snapshot");
    let mut core = Core::new(settings, rules, Decoder::new().expect("a decoder"), snapshot, 1);
    let (batches, committing) = mpsc::sync_channel::<Box<Batch>>(1);
    let (done, results) = mpsc::channel();
    let committer = Arc::clone(store);
    let thread = thread::spawn(move || {
        for batch in committing {
            let receipt = committer.commit(&batch).expect("it commits");
            let event = Event::Committed { batch: batch.number, used_bytes: receipt.used_bytes };
            done.send(event).expect("somebody waits");
        }
    });
    let from =
        GatewayPath::new(SiteId::new("plant").expect("a slug"), GatewayId::new("gw-a").expect("a slug"));
    let began = Instant::now();
    let mut computed = 0.0;
    let now_ms = |began: Instant| began.elapsed().as_millis() as u64;
    let mut handle = |core: &mut Core, event: Event| {
        let step = Instant::now();
        core.handle(now_ms(began), event);
        while let Some(effect) = core.poll() {
            if let Effect::Commit(batch) = effect {
                batches.send(batch).expect("it takes batches");
            }
        }
        computed += step.elapsed().as_secs_f64();
    };
    for block in blocks {
        let event = Event::Block { from, lane: Lane::Live, bytes: block.clone(), arrival_unix_ms: 0 };
        handle(&mut core, event);
        while let Ok(event) = results.try_recv() {
            handle(&mut core, event);
        }
        while core.is_at_bound() {
            handle(&mut core, results.recv().expect("it commits"));
        }
    }
    while !core.is_idle() {
        match results.try_recv() {
            Ok(event) => handle(&mut core, event),
            Err(_) => handle(&mut core, Event::Wakeup),
        }
    }
    let total = began.elapsed().as_secs_f64();
    drop(batches);
    thread.join().expect("it ends");
    (total, computed)
}
