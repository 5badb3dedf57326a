//! A small data folder with something of everything: made by the program's own core, store and lake.

use std::{path::Path, sync::Arc};

use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_ingest::{
    core::{Core, Effect, Event, Loaded, Settings},
    lake::{Lake, RollSettings, Roller},
    readings::Source,
    store::{LmdbStore, Store},
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, ClockQuality, DeviceId, GatewayId, LossReason,
    LossRecord, Origin, Quality, Reading, Seq, SeqRange, SiteId, Tick, Value, ValueKind,
    block::{Block, Decoder, Description, Encoder, OriginReadings, Record, Stamp, Tail, stamp},
    status::{GatewayStatus, QueueAge},
    topic::{GatewayPath, Lane},
};

/// 2026-11-01T00:00:00Z
const ARRIVAL_MS: i64 = 1_793_491_200_000;

fn origin(device: &str, boot: u64) -> Origin {
    Origin::new(DeviceId::new(device).expect("a slug"), BootId(boot))
}

fn described(origin: Origin) -> Record {
    let decl = |name, unit: &str, kind, scale| ChannelDecl {
        name: ChannelName::new(name).expect("a name"),
        unit: unit.to_owned(),
        kind,
        scale,
    };
    Record::Described(Description {
        origin,
        tag: "TT-101A".to_owned(),
        firmware: "fixture 1".to_owned(),
        channels: vec![
            decl("temperature", "Cel", ValueKind::Decimal, 1),
            decl("door", "", ValueKind::Bool, 0),
            decl("level", "m", ValueKind::F64, 0),
        ],
    })
}

fn readings(origin: Origin, seqs: std::ops::Range<u64>) -> OriginReadings {
    let reading = |seq: u64| Reading {
        seq: Seq(seq),
        channel: ChannelIndex((seq % 3) as u8),
        tick: Tick(1_000 + seq * 100),
        value: match seq % 3 {
            0 => Value::Decimal { mantissa: 200 + (seq as i64 * 37) % 600, scale: 1 },
            1 => Value::Bool(seq.is_multiple_of(2)),
            _ => Value::F64(seq as f64 / 8.0),
        },
        quality: if seq.is_multiple_of(11) { Quality::Uncertain } else { Quality::Good },
    };
    OriginReadings { origin, readings: seqs.map(reading).collect() }
}

struct Maker {
    core: Core,
    store: Arc<LmdbStore>,
    lake: Lake,
    next_number: u64,
}

impl Maker {
    fn handle(&mut self, event: Event) {
        self.core.handle(0, event);
        while let Some(effect) = self.core.poll() {
            let answer = match effect {
                Effect::Commit(batch) => {
                    let used_bytes = self.store.commit(&batch).expect("it commits").used_bytes;
                    Event::Committed { batch: batch.number, used_bytes }
                }
                Effect::Verify { ticket, job } => {
                    let look = self.store.look().expect("a look");
                    let differing = Source::new(&look, &self.lake).and_then(|mut source| source.verify(&job));
                    Event::Verified { ticket, differing: Some(differing.expect("it reads")) }
                }
                Effect::Load { origin, range, .. } => {
                    let look = self.store.look().expect("a look");
                    let mut readings = Vec::new();
                    let mut source = Source::new(&look, &self.lake).expect("a source");
                    let each = |reading: &Reading| {
                        readings.push(*reading);
                        true
                    };
                    source.read(origin, range, (0, u64::MAX), each).expect("it reads");
                    let loaded = Some(Loaded { readings, ..Loaded::default() });
                    Event::Loaded { origin, loaded }
                }
                _ => continue,
            };
            self.core.handle(0, answer);
        }
    }

    /// A birth: by which commit the process opened its queue, and how many there are.
    fn born(&mut self, gateway: &str, epoch: u64, queue: QueueAge) {
        let from = path(gateway);
        let epoch = format!("{epoch:016x}");
        let status = GatewayStatus { online: true, epoch, queue: Some(queue), ..GatewayStatus::default() };
        self.handle(Event::Status { from, status, unix_ms: ARRIVAL_MS });
    }

    fn send(&mut self, gateway: &str, records: Vec<Record>, origins: Vec<OriginReadings>) {
        let mut bytes =
            Encoder::new().expect("an encoder").encode(&Block { records, origins }).expect("a block");
        self.send_bytes(gateway, &mut bytes);
    }

    fn send_bytes(&mut self, gateway: &str, bytes: &mut [u8]) {
        let from = path(gateway);
        stamp(bytes, Stamp { lane: Lane::Live, epoch: 7, number: self.next_number }).expect("a block");
        let arrival_unix_ms = ARRIVAL_MS + self.next_number as i64;
        self.next_number += 1;
        let bytes = bytes.to_vec().into();
        self.handle(Event::Block { from, lane: Lane::Live, bytes, arrival_unix_ms });
    }
}

fn path(gateway: &str) -> GatewayPath {
    GatewayPath::new(SiteId::new("plant").expect("a slug"), GatewayId::new(gateway).expect("a slug"))
}

/// Two boots of a device and another device: readings in the lake and in the journal, losses, one of them recovered, an
/// outstanding hole, a conflict, anchors, an end, alarms raised and cleared, a block in quarantine, and a gateway that was set back.
pub fn make(folder: &Path) {
    let store = Arc::new(LmdbStore::open(&folder.join("store"), super::MAP_BYTES).expect("a store"));
    let lake = Lake::open(&folder.join("lake")).expect("a lake");
    let rule = serde_json::json!({ "rule": [
        { "id": "hot", "select": { "channel": "temperature" }, "above": 60.0, "deadband": 5.0 }
    ]});
    let rules: RulesSettings = serde_json::from_value(rule).expect("rules");
    let settings = Settings { credit_total_bytes: 8 << 20, linger_ms: 0, quota_bytes: 1 << 30 };
    let core = Core::new(
        settings,
        RuleSet::from_settings(rules).expect("rules"),
        Decoder::new().expect("a decoder"),
        store.snapshot().expect("a snapshot"),
        1,
    );
    let mut maker = Maker { core, store: Arc::clone(&store), lake: lake.clone(), next_number: 0 };
    let (first, second, other) = (origin("board-a", 1), origin("board-a", 2), origin("board-b", 9));
    let loss = |origin, from, to, reason| {
        Record::Loss(LossRecord { origin, range: SeqRange::new(from, to), reason })
    };
    let anchor = |origin, unix_ms| Record::Anchor {
        origin,
        tick: Tick(1_000),
        unix_ms,
        error_ms: 20,
        quality: ClockQuality::Synced,
    };
    maker.send(
        "gw-a",
        vec![described(first), anchor(first, ARRIVAL_MS - 9_000)],
        vec![readings(first, 0..60)],
    );
    maker.born("gw-a", 7, QueueAge { opened: 1, commits: 4_711 });
    maker.born("gw-a", 8, QueueAge { opened: 17, commits: 17 });
    maker.send("gw-a", vec![described(other)], vec![readings(other, 0..40)]);
    maker.send("gw-a", vec![loss(first, 60, 75, LossReason::RingOverflow)], vec![readings(first, 75..90)]);
    let roller = Roller::new(Arc::clone(&store), lake, RollSettings { interval_ms: 0, bytes: 0 });
    roller.roll_now().expect("it rolls").expect("a file");
    // A part of what was declared lost arrives after all, by the other gateway, and beside it what is known.
    maker.send("gw-b", vec![described(first)], vec![readings(first, 55..65)]);
    maker.send(
        "gw-a",
        vec![Record::Closed { origin: first, tail: Tail::Known(90) }, described(second)],
        vec![readings(second, 0..30)],
    );
    maker.send(
        "gw-b",
        vec![
            Record::Measured { origin: other, next: 100 },
            loss(other, 50, 60, LossReason::Evicted),
            anchor(other, ARRIVAL_MS - 5_000),
        ],
        vec![readings(other, 70..80)],
    );
    let mut changed = readings(second, 10..12);
    changed.readings.iter_mut().for_each(|reading| reading.tick = Tick(reading.tick.0 + 1));
    maker.send("gw-b", Vec::new(), vec![changed]);
    let mut damaged = Encoder::new()
        .expect("an encoder")
        .encode(&Block { records: Vec::new(), origins: vec![readings(second, 30..40)] })
        .expect("a block");
    let last = damaged.len() - 1;
    damaged[last] ^= 0xff;
    maker.send_bytes("gw-a", &mut damaged);
    assert!(maker.core.is_idle(), "all of it is committed");
}
