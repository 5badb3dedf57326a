//! Queues that earlier agents wrote. Every format that a release wrote has a data folder in `fixtures/queue-v<format>`;
//! opening it, recovering, and reading each block must work for ever, whatever the format is today.
//!
//! `cargo test -p tidegate-agent --test queue_format -- --ignored` writes the folder of the present format. It never
//! writes over one that is there: what an old agent wrote is not made again by a new one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_agent::{
    core::{Batch, Event, OriginRecord, Put, Quarantined, Totals, footprint},
    queue::{Queue, QueueError, QueueSettings},
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, LossReason, LossRecord, Origin, Quality,
    Reading, Seq, SeqRange, Tick, Value, ValueKind,
    block::{Block, Decoder, Description, Encoder, OriginReadings, Record},
};
use tokio::sync::mpsc::channel;

const MAP_BYTES: usize = 4 << 20;
const COMMITTED_UNIX_MS: i64 = 1_790_000_000_000;
/// The key whose block was acknowledged, and the one whose block was rejected.
const DELETED: u64 = 1;
const REJECTED: u64 = 3;
const KEYS: u64 = 5;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn origin(device: &str) -> Origin {
    Origin::new(DeviceId::new(device).unwrap(), BootId(0x5eed_0000 + device.len() as u64))
}

fn description(device: &str) -> Description {
    let channel = ChannelDecl {
        name: ChannelName::new("temperature").unwrap(),
        unit: "Cel".to_owned(),
        kind: ValueKind::Decimal,
        scale: 2,
    };
    Description {
        origin: origin(device),
        tag: "TT-1".into(),
        firmware: "f 1".into(),
        channels: vec![channel],
    }
}

fn readings(seqs: std::ops::Range<u64>) -> Vec<Reading> {
    let reading = |seq| Reading {
        seq: Seq(seq),
        channel: ChannelIndex(0),
        tick: Tick(seq * 1_000),
        value: Value::Decimal { mantissa: 2_000 + (seq as i64 * 37) % 101, scale: 2 },
        quality: Quality::Good,
    };
    seqs.map(reading).collect()
}

/// What the block under this key says: the same whenever it is asked.
fn block(key: u64) -> Block {
    let first = key * 100;
    let mut records = Vec::new();
    if key == 0 {
        records.extend(["board-a", "press-b2"].map(|device| Record::Described(description(device))));
    }
    if key == 4 {
        let range = SeqRange::new(500, 510);
        records.push(Record::Loss(LossRecord {
            origin: origin("board-a"),
            range,
            reason: LossReason::RingOverflow,
        }));
    }
    let of = |device, seqs| OriginReadings { origin: origin(device), readings: readings(seqs) };
    Block { records, origins: vec![of("board-a", first..first + 100), of("press-b2", first..first + 20)] }
}

fn origin_record(device: &str) -> OriginRecord {
    let safe = vec![SeqRange::new(0, 500)];
    OriginRecord {
        description: description(device),
        safe,
        floor: 400,
        next: 500,
        described: false,
        closed: false,
        local: false,
    }
}

fn settings(data_dir: &Path) -> QueueSettings {
    QueueSettings { data_dir: data_dir.to_owned(), map_size_bytes: MAP_BYTES }
}

/// Two commits as an agent makes them: five blocks, then one acknowledged and one rejected.
fn write_queue(data_dir: &Path) {
    let (answer, mut answers) = channel(8);
    let (queue, _) = Queue::open(&settings(data_dir), answer).unwrap();
    let mut encoder = Encoder::new().unwrap();
    let mut totals = Totals::default();
    let mut taken: BTreeMap<u64, Totals> = BTreeMap::new();
    let puts: Vec<Put> = (0..KEYS)
        .map(|key| {
            let content = block(key);
            let readings = content.reading_count() as u32;
            let bytes: Arc<[u8]> = encoder.encode(&content).unwrap().into();
            let takes = Totals { blocks: 1, readings: readings.into(), bytes: footprint(bytes.len()) };
            totals = plus(totals, takes);
            taken.insert(key, takes);
            Put { key, readings, block: bytes }
        })
        .collect();
    let origins = ["board-a", "press-b2"].map(origin_record).to_vec();
    let first = Batch { puts, origins, unix_ms: COMMITTED_UNIX_MS, totals, ..Batch::default() };
    for key in [DELETED, REJECTED] {
        let Totals { blocks, readings, bytes } = taken[&key];
        totals = Totals {
            blocks: totals.blocks - blocks,
            readings: totals.readings - readings,
            bytes: totals.bytes - bytes,
        };
    }
    let second = Batch {
        deletes: vec![DELETED],
        quarantine: vec![Quarantined { keys: vec![REJECTED], block: None, reason: "sealed" }],
        unix_ms: COMMITTED_UNIX_MS + 60_000,
        totals,
        ..Batch::default()
    };
    for batch in [first, second] {
        queue.commit(batch);
        assert!(matches!(answers.blocking_recv(), Some(Event::Committed)));
    }
}

fn plus(a: Totals, b: Totals) -> Totals {
    Totals { blocks: a.blocks + b.blocks, readings: a.readings + b.readings, bytes: a.bytes + b.bytes }
}

/// Every fixture's name, with a copy of it to open: opening writes.
fn copies(target: &Path) -> Vec<(String, PathBuf)> {
    let mut copies = Vec::new();
    for entry in fs::read_dir(fixtures()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("queue-v") {
            let copy = target.join(&name);
            fs::create_dir_all(copy.join("queue")).unwrap();
            fs::copy(entry.path().join("queue/data.mdb"), copy.join("queue/data.mdb")).unwrap();
            copies.push((name, copy));
        }
    }
    copies.sort();
    assert!(copies.iter().any(|(name, _)| name == "queue-v0"), "the first format's fixture is missing");
    copies
}

fn read_as_written(name: &str, data_dir: &Path) {
    let (answer, mut answers) = channel(8);
    let (queue, recovered) =
        Queue::open(&settings(data_dir), answer).unwrap_or_else(|error| panic!("{name}: {error}"));
    let kept = [0, 2, 4];
    let keys: Vec<u64> = recovered.keys.iter().flat_map(|range| range.start..range.end).collect();
    assert_eq!((keys.as_slice(), recovered.next_key), (kept.as_slice(), KEYS), "{name}");
    queue.load(keys);
    let Some(Event::Loaded { entries }) = answers.blocking_recv() else { panic!("{name}: no blocks") };
    let mut decoder = Decoder::new().unwrap();
    let mut totals = Totals::default();
    for (entry, key) in entries.iter().zip(kept) {
        let content = decoder.decode(&entry.block).unwrap_or_else(|error| panic!("{name}, {key}: {error}"));
        assert_eq!((entry.key, &content), (key, &block(key)), "{name}");
        assert_eq!(entry.readings as usize, content.reading_count(), "{name}, {key}");
        let bytes = footprint(entry.block.len());
        totals = plus(totals, Totals { blocks: 1, readings: entry.readings.into(), bytes });
    }
    assert_eq!((entries.len(), recovered.totals), (kept.len(), totals), "{name}");
    let origins: Vec<_> = recovered.origins.iter().map(|record| (&record.description, record.next)).collect();
    let known = ["board-a", "press-b2"].map(description);
    assert_eq!(origins, [(&known[0], 500), (&known[1], 500)], "{name}");
    assert!(recovered.origins.iter().all(|record| record.safe == [SeqRange::new(0, 500)]), "{name}");
    assert_eq!(queue.reader().quarantine(), BTreeMap::from([("sealed".to_owned(), 1)]), "{name}");
}

#[test]
fn queues_of_every_format_open_and_give_back_every_block() {
    let target = tempfile::tempdir().unwrap();
    for (name, copy) in copies(target.path()) {
        read_as_written(&name, &copy);
        // What the first opening changed, if anything, opens again.
        read_as_written(&name, &copy);
    }
}

/// Raises the format number that the queue names, as an agent to come would.
#[allow(unsafe_code)]
fn raise_format(data_dir: &Path) {
    use heed::types::{Bytes, Str};
    let mut options = heed::EnvOpenOptions::new();
    options.max_dbs(8).map_size(MAP_BYTES);
    // SAFETY: nothing else has this copy open.
    let env = unsafe { options.open(data_dir.join("queue")) }.unwrap();
    let txn = env.write_txn().unwrap();
    let done = env.create_databases_and_commit(txn, |opener, txn| {
        let meta: heed::Database<'_, Str, Bytes> = opener.create_database(txn, Some("meta"))?;
        let mut sealed = meta.get(txn, "queue")?.unwrap().to_vec();
        sealed[0] = 99;
        let body = sealed.len() - 4;
        let crc = crc32c::crc32c(&sealed[..body]).to_le_bytes();
        sealed[body..].copy_from_slice(&crc);
        meta.put(txn, "queue", &sealed)?;
        Ok::<_, heed::Error>(heed::CommitOrAbort::<_, ()>::Commit(meta))
    });
    done.unwrap().unwrap_commit();
}

#[test]
fn a_newer_format_is_refused_with_what_to_do() {
    let target = tempfile::tempdir().unwrap();
    let (_, copy) = copies(target.path()).remove(0);
    raise_format(&copy);
    let before = fs::read(copy.join("queue/data.mdb")).unwrap();
    let refused = Queue::open(&settings(&copy), channel(1).0).err().expect("it is refused");
    assert!(matches!(refused, QueueError::Format { found: 99, .. }), "{refused}");
    let line = refused.to_string();
    assert!(line.contains("format 99") && line.contains("the agent that wrote it"), "{line}");
    assert!(!line.contains('\n'), "{line}");
    assert_eq!(fs::read(copy.join("queue/data.mdb")).unwrap(), before, "a refused queue is left as it is");
}

#[test]
#[ignore = "writes the fixture of the present format"]
fn write_the_fixture_of_the_present_format() {
    let folder = tempfile::tempdir().unwrap();
    write_queue(folder.path());
    let target = fixtures().join(format!("queue-v{}", tidegate_agent::queue::FORMAT));
    assert!(!target.exists(), "{} is there already; it is kept", target.display());
    fs::create_dir_all(target.join("queue")).unwrap();
    fs::copy(folder.path().join("queue/data.mdb"), target.join("queue/data.mdb")).unwrap();
}
