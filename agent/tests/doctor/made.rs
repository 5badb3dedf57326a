//! Queues made for tests, and the program that looks into them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use tidegate_agent::{
    core::{Batch, Event, OriginRecord, Put, Quarantined, Totals, footprint},
    queue::{
        Queue, QueueSettings,
        doctor::{ExportOptions, export},
    },
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, Origin, Quality, Reading, Seq, SeqRange, Tick,
    Value, ValueKind,
    block::{Block, Description, Encoder, OriginReadings, Record},
};
use tokio::sync::mpsc::channel;

pub const MAP_BYTES: usize = 16 << 20;
pub const BLOCKS: u64 = 24;
/// The key of the one block that was rejected.
pub const REJECTED: u64 = 7;
/// Small blocks stand in the leaf itself, large ones in pages of their own.
const READINGS: [u64; 2] = [40, 1_500];

pub fn origin(device: &str) -> Origin {
    Origin::new(DeviceId::new(device).unwrap(), BootId(0xb007))
}

fn reading(seq: u64) -> Reading {
    let mantissa = (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as i64;
    Reading {
        seq: Seq(seq),
        channel: ChannelIndex(0),
        tick: Tick(seq * 1_000 + seq % 7),
        value: Value::Decimal { mantissa, scale: 3 },
        quality: Quality::Good,
    }
}

/// Seqs of the block under this key.
pub fn seqs(key: u64) -> std::ops::Range<u64> {
    let pair: u64 = READINGS.iter().sum();
    let first = key / 2 * pair + if key % 2 == 1 { READINGS[0] } else { 0 };
    first..first + READINGS[(key % 2) as usize]
}

fn description() -> Description {
    let channel = ChannelDecl {
        name: ChannelName::new("level").unwrap(),
        unit: "m".to_owned(),
        kind: ValueKind::Decimal,
        scale: 3,
    };
    Description {
        origin: origin("tank-1"),
        tag: "LT-1".into(),
        firmware: "f".into(),
        channels: vec![channel],
    }
}

/// A queue as an agent leaves it: blocks of two sizes, one rejected, nothing acknowledged.
pub fn make(data_dir: &Path) {
    let (answer, mut answers) = channel(8);
    let settings = QueueSettings { data_dir: data_dir.to_owned(), map_size_bytes: MAP_BYTES };
    let (queue, _) = Queue::open(&settings, answer).unwrap();
    let mut encoder = Encoder::new().unwrap();
    let (mut totals, mut rejected) = (Totals::default(), Totals::default());
    for key in 0..BLOCKS {
        let records = if key == 0 { vec![Record::Described(description())] } else { Vec::new() };
        let readings = seqs(key).map(reading).collect();
        let origins = vec![OriginReadings { origin: origin("tank-1"), readings }];
        let block: Arc<[u8]> = encoder.encode(&Block { records, origins }).unwrap().into();
        let readings = (seqs(key).end - seqs(key).start) as u32;
        totals.blocks += 1;
        totals.readings += u64::from(readings);
        totals.bytes += footprint(block.len());
        if key == REJECTED {
            rejected = Totals { blocks: 1, readings: readings.into(), bytes: footprint(block.len()) };
        }
        let record = OriginRecord {
            description: description(),
            safe: vec![SeqRange::new(0, seqs(key).end)],
            floor: 0,
            next: seqs(key).end,
            described: false,
            closed: false,
            local: false,
        };
        let puts = vec![Put { key, readings, block }];
        queue.commit(Batch { puts, origins: vec![record], unix_ms: 1_000, totals, ..Batch::default() });
        assert!(matches!(answers.blocking_recv(), Some(Event::Committed)));
    }
    totals.blocks -= rejected.blocks;
    totals.readings -= rejected.readings;
    totals.bytes -= rejected.bytes;
    let quarantine = vec![Quarantined { keys: vec![REJECTED], block: None, reason: "boot-conflict" }];
    queue.commit(Batch { quarantine, unix_ms: 2_000, totals, ..Batch::default() });
    assert!(matches!(answers.blocking_recv(), Some(Event::Committed)));
}

/// A new folder with the queue of another.
pub fn copy(from: &Path, to: &Path) {
    let queue = to.join("queue");
    let _none = fs::remove_dir_all(&queue);
    fs::create_dir_all(&queue).unwrap();
    fs::copy(from.join("queue/data.mdb"), queue.join("data.mdb")).unwrap();
}

/// Runs `tidegate-agent queue` on a data folder.
pub fn doctor(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-agent"));
    command.arg("queue").args(arguments).arg("--data-dir").arg(data_dir);
    command.output().unwrap()
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What the queue exports: the value of each seq, and the seqs that are declared lost.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    pub values: BTreeMap<u64, String>,
    pub lost: BTreeSet<u64>,
}

pub fn told(data_dir: &Path) -> Told {
    let mut lines = Vec::new();
    let options = ExportOptions { records: true, ..ExportOptions::default() };
    export(data_dir, &options, &mut lines, &|_, _| {}).unwrap();
    let mut told = Told::default();
    for line in String::from_utf8(lines).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(seq) = line["seq"].as_u64() {
            assert_eq!((&line["device"], &line["channel"]), (&"tank-1".into(), &"level".into()));
            told.values.insert(seq, line["value"].to_string());
        } else if let Some(loss) = line["record"].get("Loss") {
            assert_eq!(loss["reason"], "corrupt");
            let end = |name: &str| loss["range"][name].as_u64().unwrap();
            told.lost.extend(end("start")..end("end"));
        }
    }
    told
}

/// Every file below a folder with its content.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}
