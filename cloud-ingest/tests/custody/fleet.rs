//! What there is to deliver: origins with their readings, the blocks that gateways made of them, and the rules.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, GatewayId, LossReason, LossRecord, Origin,
    Quality, Reading, Seq, SeqRange, SiteId, Tick, Value, ValueKind,
    block::{Block, Description, Encoder, OriginReadings, Record, Tail},
    topic::GatewayPath,
};

pub struct Fleet {
    pub origins: Vec<OriginReadings>,
    /// Encoded, unstamped; which gateway has it.
    pub blocks: Vec<(usize, Vec<u8>)>,
    pub gateways: Vec<GatewayPath>,
}

pub fn site() -> SiteId {
    SiteId::new("plant").expect("a slug")
}

pub fn rules() -> RuleSet {
    let settings: RulesSettings = serde_json::from_value(serde_json::json!({ "rule": [
        { "id": "hot", "select": { "channel": "temperature" }, "above": 60.0, "deadband": 5.0 },
        { "id": "stays-cold", "select": { "channel": "temperature" }, "below": 30.0, "on_delay_ms": 40, "off_delay_ms": 20 },
        { "id": "open", "select": { "channel": "door" }, "above": 0.5 },
    ]}))
    .expect("rules");
    RuleSet::from_settings(settings).expect("good rules")
}

pub fn description(origin: Origin) -> Description {
    let channel = |name, kind, scale| ChannelDecl {
        name: ChannelName::new(name).expect("a name"),
        unit: if name == "temperature" { "Cel".to_owned() } else { String::new() },
        kind,
        scale,
    };
    Description {
        origin,
        tag: "TT-1".to_owned(),
        firmware: "test".to_owned(),
        channels: vec![
            channel("temperature", ValueKind::Decimal, 1),
            channel("door", ValueKind::Bool, 0),
            channel("level", ValueKind::F32, 0),
        ],
    }
}

pub fn encode(block: &Block) -> Vec<u8> {
    Encoder::new()
        .and_then(|mut encoder| encoder.encode(block).map_err(std::io::Error::other))
        .expect("it encodes")
}

fn readings(rng: &mut ChaCha8Rng, count: u64) -> Vec<Reading> {
    let mut temperature = 450_i64;
    let mut tick = rng.random_range(0..50_u64);
    let reading = |seq| {
        tick += rng.random_range(1..15_u64);
        temperature = (temperature + rng.random_range(-90..=90_i64)).clamp(0, 900);
        let (channel, value) = match rng.random_range(0..3_u8) {
            0 => (0, Value::Decimal { mantissa: temperature, scale: 1 }),
            1 => (1, Value::Bool(rng.random_bool(0.3))),
            _ => (2, Value::F32(rng.random_range(-1.0_f32..1.0))),
        };
        let quality = if rng.random_bool(0.05) { Quality::Bad } else { Quality::Good };
        Reading { seq: Seq(seq), channel: ChannelIndex(channel), tick: Tick(tick), value, quality }
    };
    (0..count).map(reading).collect()
}

impl Fleet {
    /// Three boots of two devices, heard by two gateways that share much of it.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let names = [("board-a", 1), ("board-a", 2), ("board-b", 9)];
        Self::of(&mut rng, &names, 150)
    }

    pub fn small() -> Self {
        Self::of(&mut ChaCha8Rng::seed_from_u64(1), &[("board-a", 1)], 40)
    }

    fn of(rng: &mut ChaCha8Rng, names: &[(&str, u64)], count: u64) -> Self {
        let origins: Vec<_> = names
            .iter()
            .map(|(device, boot)| OriginReadings {
                origin: Origin::new(DeviceId::new(device).expect("a slug"), BootId(*boot)),
                readings: readings(rng, count),
            })
            .collect();
        let gateway = |name| GatewayPath::new(site(), GatewayId::new(name).expect("a slug"));
        let gateways = vec![gateway("gw-a"), gateway("gw-b")];
        let mut blocks = Vec::new();
        for (number, _) in gateways.iter().enumerate() {
            for origin in &origins {
                // The first gateway has all of it; the other hears parts.
                let heard = |rng: &mut ChaCha8Rng| number == 0 || rng.random_bool(0.5);
                let mut rest = origin.readings.as_slice();
                while !rest.is_empty() {
                    let (cut, others) = rest.split_at(rng.random_range(1..=20.min(rest.len())));
                    rest = others;
                    if heard(rng) {
                        blocks.push((number, encode(&block_of(rng, origin.origin, cut))));
                    }
                }
                let closed = Record::Closed { origin: origin.origin, tail: Tail::Known(count) };
                blocks.push((number, encode(&Block { records: vec![closed], origins: Vec::new() })));
            }
        }
        blocks.shuffle(rng);
        Self { origins, blocks, gateways }
    }
}

/// A block of a run, sometimes with holes of its own, and sometimes with a loss record for what is delivered after all.
fn block_of(rng: &mut ChaCha8Rng, origin: Origin, run: &[Reading]) -> Block {
    let mut records = vec![Record::Described(description(origin))];
    let (first, last) = (run[0].seq.0, run[run.len() - 1].seq.0);
    if rng.random_bool(0.15) {
        let range =
            SeqRange::new(first.saturating_sub(rng.random_range(0..15)), last + rng.random_range(1..10));
        let range = SeqRange::new(range.start, range.end.min(150));
        records.push(Record::Loss(LossRecord { origin, range, reason: LossReason::Evicted }));
    }
    if rng.random_bool(0.3) {
        records.push(Record::Measured { origin, next: last + 1 });
    }
    Block { records, origins: vec![OriginReadings { origin, readings: run.to_vec() }] }
}
