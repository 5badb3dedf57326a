//! One gateway: an agent's core, its disk, its board, and the link to the broker.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tidegate_agent::core::{
    Admit, BacklogOrder, Backoff, Batch, BoardFrame, Core, CoreSettings, Effect, Entry, Event,
    INITIAL_CREDIT_BYTES, Key, LinkId, Now, Policy, Recovered, Time, Totals, footprint,
};
use tidegate_alarms::RuleSet;
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, ClockQuality, DeviceId, GatewayId, Origin, Quality,
    Reading, Seq, SeqRange, SiteId, Tick, Value, ValueKind,
    block::{Block, Description, Encoder, OriginReadings, Record},
    topic::{GatewayPath, Lane},
};

use super::Scenario;

const LINK: LinkId = LinkId(1);
/// What is committed or loaded is so after this.
pub const DISK_MS: u64 = 5;
const STARTED_UNIX_MS: i64 = 1_795_300_000_000;

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a name of lower-case letters and digits")
}

fn channel() -> ChannelDecl<String> {
    ChannelDecl {
        name: name::<ChannelName>("level"),
        unit: "Cel".to_owned(),
        kind: ValueKind::Decimal,
        scale: 2,
    }
}

fn reading(seq: u64, noise: u64) -> Reading {
    let value = Value::Decimal { mantissa: 2_000 + (noise % 4_096) as i64, scale: 2 };
    Reading { seq: Seq(seq), channel: ChannelIndex(0), tick: Tick(seq * 100), value, quality: Quality::Good }
}

/// Blocks that every gateway has in its queue: each belongs to a site of its own, so that they may be the same.
pub fn backlog(scenario: &Scenario) -> Vec<Arc<[u8]>> {
    let origin = Origin::new(name::<DeviceId>("old"), BootId(1));
    let description =
        Description { origin, tag: String::new(), firmware: String::new(), channels: vec![channel()] };
    let mut encoder = Encoder::new().expect("memory for one encoder");
    let mut noise = scenario.seed | 1;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    let count = scenario.block_readings as u64;
    let blocks = (0..scenario.backlog_blocks as u64).map(|at| {
        let readings = (at * count..(at + 1) * count).map(|seq| reading(seq, next())).collect();
        let records = vec![Record::Described(description.clone())];
        let block = Block { records, origins: vec![OriginReadings { origin, readings }] };
        encoder.encode(&block).expect("a block within the bounds").into()
    });
    blocks.collect()
}

pub struct Gateway {
    pub path: GatewayPath,
    pub core: Core,
    pub backoff: Backoff,
    /// Counts connections, so that what was on its way over an old one is known.
    pub connection: u64,
    pub connected: bool,
    pub epoch: u64,
    blocks: BTreeMap<Key, (u32, Arc<[u8]>)>,
    pub batch: Option<Batch>,
    pub load: Option<Vec<Key>>,
    next_seq: u64,
    /// Live readings that were taken while the link was up, and whether a backlog waited then.
    pub waiting: VecDeque<(u64, u64, bool)>,
    link_free_us: u64,
    /// By number, the bytes of what was published and not acknowledged.
    pub unacknowledged: BTreeMap<u64, u64>,
    pub wake_at_us: u64,
}

impl Gateway {
    pub fn new(scenario: &Scenario, at: usize, backlog: &[Arc<[u8]>]) -> Self {
        let now = Now { at: Time(0), unix_ms: STARTED_UNIX_MS };
        let readings = scenario.block_readings as u32;
        let blocks: BTreeMap<Key, (u32, Arc<[u8]>)> =
            (0..).zip(backlog.iter().map(|block| (readings, Arc::clone(block)))).collect();
        let totals = Totals {
            blocks: blocks.len() as u64,
            readings: u64::from(readings) * blocks.len() as u64,
            bytes: backlog.iter().map(|block| footprint(block.len())).sum(),
        };
        let next_key = blocks.len() as u64;
        let recovered = Recovered {
            keys: vec![SeqRange::new(0, next_key)].into_iter().filter(|range| !range.is_empty()).collect(),
            next_key,
            totals,
            ..Recovered::default()
        };
        let site = name::<SiteId>(&format!("site-{at}"));
        let seed = scenario.seed.wrapping_mul(1_000_003).wrapping_add(at as u64);
        let settings = CoreSettings {
            epoch: seed ^ 0x5eed,
            jitter_seed: seed,
            flush_interval_ms: 1_000,
            outage_flush_interval_ms: 15_000,
            block_readings: scenario.block_readings,
            linger_ms: 50,
            quota_bytes: 1 << 29,
            policy: Policy::Refuse,
            ram_limit_bytes: 12 << 20,
            max_in_flight_bytes: 1 << 20,
            initial_credit_bytes: INITIAL_CREDIT_BYTES,
            max_origins: 64,
            backlog_order: BacklogOrder::OldestFirst,
            caps: scenario.caps,
            site,
            rules: RuleSet::default(),
            admit: Admit::Any,
            permits: Default::default(),
        };
        Self {
            path: GatewayPath::new(site, name::<GatewayId>("gw")),
            epoch: settings.epoch,
            core: Core::new(settings, recovered, now).expect("memory for one agent"),
            backoff: Backoff::new(Duration::from_millis(scenario.reconnect_max_ms), seed),
            connection: 0,
            connected: false,
            blocks,
            batch: None,
            load: None,
            next_seq: 0,
            waiting: VecDeque::new(),
            link_free_us: 0,
            unacknowledged: BTreeMap::new(),
            wake_at_us: u64::MAX,
        }
    }

    pub fn now(at_us: u64) -> Now {
        Now { at: Time(at_us), unix_ms: STARTED_UNIX_MS + (at_us / 1_000) as i64 }
    }

    /// The board says who it is, and the clock is good.
    pub fn begin(&mut self, at_us: u64) {
        self.core.handle(Self::now(at_us), Event::Clock { error_ms: 20, quality: ClockQuality::Synced });
        let hello = BoardFrame::Hello {
            device: name("board"),
            tag: String::new(),
            firmware: String::new(),
            boot: Some(BootId(2)),
            proven: false,
            fresh: BootId(3),
            standing: tidegate_protocol::frame::Standing::Present,
            floor: 0,
            next: 0,
            channels: vec![channel()],
        };
        self.frame(at_us, hello);
    }

    fn frame(&mut self, at_us: u64, frame: BoardFrame) {
        let event = Event::Board { link: LINK, arrived: Time(at_us), frames: vec![frame] };
        self.core.handle(Self::now(at_us), event);
    }

    /// The board takes a reading.
    pub fn measure(&mut self, at_us: u64) {
        let seq = self.next_seq;
        self.next_seq += 1;
        if self.connected {
            let view = self.core.view(Time(at_us));
            let beside = view.link.backlog_blocks > 0 || view.link.backlog_in_flight_bytes > 0;
            self.waiting.push_back((seq, at_us, beside));
        }
        let readings = vec![reading(seq, seq.wrapping_mul(0x9e37_79b9))];
        self.frame(at_us, BoardFrame::Readings { boot: BootId(2).tag(), floor: 0, next: seq + 1, readings });
    }

    /// Takes what waited and is in these ranges: when each was taken, and whether beside a backlog.
    pub fn arrived(&mut self, ranges: &[SeqRange]) -> Vec<(u64, bool)> {
        let mut arrived = Vec::new();
        self.waiting.retain(|(seq, at_us, beside)| {
            let is_here = ranges.iter().any(|range| range.contains(*seq));
            if is_here {
                arrived.push((*at_us, *beside));
            }
            !is_here
        });
        arrived
    }

    /// When the broker has a block of this length that is sent now: after all that is before it in the link.
    pub fn through_link(&mut self, scenario: &Scenario, at_us: u64, len: u64) -> u64 {
        let wire = len + tidegate_agent::core::PUBLISH_OVERHEAD_BYTES;
        self.link_free_us = self.link_free_us.max(at_us) + wire * 1_000_000 / scenario.link_bytes_per_s;
        self.link_free_us + scenario.round_trip_ms * 500
    }

    pub fn link_is_cut(&mut self, at_us: u64) {
        self.connected = false;
        self.connection += 1;
        self.link_free_us = at_us;
        self.unacknowledged.clear();
    }

    pub fn committed(&mut self) -> Event {
        let Some(batch) = self.batch.take() else { return Event::Tick };
        for key in &batch.deletes {
            self.blocks.remove(key);
        }
        for put in batch.puts {
            self.blocks.insert(put.key, (put.readings, put.block));
        }
        Event::Committed
    }

    pub fn loaded(&mut self) -> Event {
        let entry = |key: Key| {
            let (readings, block) = self.blocks.get(&key)?;
            Some(Entry { key, readings: *readings, block: block.to_vec() })
        };
        let entries = self.load.take().into_iter().flatten().filter_map(entry).collect();
        Event::Loaded { entries }
    }

    /// Keeps what the disk has to do; gives back what is published.
    pub fn effect(&mut self, effect: Effect) -> Option<(Lane, u64, Vec<u8>)> {
        match effect {
            Effect::Publish { lane, number, block } => return Some((lane, number, block)),
            Effect::Commit(batch) => self.batch = Some(batch),
            Effect::Load { keys } => self.load = Some(keys),
            Effect::Send { .. }
            | Effect::Report(_)
            | Effect::AnswerRules(_)
            | Effect::Verdicts(_)
            | Effect::LocalAlarm { .. }
            | Effect::Held { .. } => {}
        }
        None
    }

    pub const fn measured(&self) -> u64 {
        self.next_seq
    }
}
