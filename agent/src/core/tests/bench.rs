//! One core on a virtual clock, its effects collected; the tests say what happens.

use std::collections::BTreeMap;

use tidegate_alarms::RuleSet;
use tidegate_protocol::{
    BootId, BootTag, ChannelDecl, ChannelIndex, ChannelName, DeviceId, LossReason, Origin, Quality, Reading,
    Seq, SeqRange, SiteId, Tick, Value, ValueKind,
    ack::{BlockAck, BlockOutcome, Credit, Outcome},
    block::{Block, Decoder, Record},
    frame::{Down, Heartbeat, Standing},
    rules::{RulesUp, Verdicts},
    settings::{DesiredChannel, ReportedChannel},
    topic::Lane,
};

use crate::core::{
    Admit, AlarmKey, BacklogOrder, Batch, BoardFrame, BroughtRules, Core, CoreSettings, Effect, Entry, Event,
    Held, Key, LaneCaps, LinkId, LocalAlarm, Now, OriginRecord, Policy, Recovered, SentToday, Time, Totals,
    number_of,
};

pub const EPOCH: u64 = 0xe9;

pub fn settings() -> CoreSettings {
    CoreSettings {
        epoch: EPOCH,
        jitter_seed: 1,
        flush_interval_ms: 1_000,
        outage_flush_interval_ms: 15_000,
        block_readings: 100,
        linger_ms: 50,
        quota_bytes: 1 << 20,
        policy: Policy::Refuse,
        ram_limit_bytes: 1 << 20,
        max_in_flight_bytes: 1 << 20,
        initial_credit_bytes: 256 * 1024,
        max_origins: 64,
        backlog_order: BacklogOrder::OldestFirst,
        caps: LaneCaps::default(),
        site: SiteId::new("site").unwrap(),
        rules: RuleSet::default(),
        admit: Admit::Any,
        permits: Default::default(),
    }
}

/// What is on the disk: only what was committed.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub blocks: BTreeMap<Key, (u32, Vec<u8>)>,
    pub quarantine: Vec<(&'static str, Vec<u8>)>,
    pub origins: BTreeMap<Origin, OriginRecord>,
    pub totals: Totals,
    pub next_key: Key,
    pub ledger: u32,
    pub account_due: bool,
    pub commits: usize,
    pub sent_today: Option<SentToday>,
    pub desired: Vec<DesiredChannel>,
    pub rules: Option<BroughtRules>,
}

impl Disk {
    pub fn apply(&mut self, batch: &Batch) {
        for quarantined in &batch.quarantine {
            for key in &quarantined.keys {
                let moved = self.blocks.remove(key).filter(|_| quarantined.block.is_none());
                if let Some((_, block)) = moved {
                    self.quarantine.push((quarantined.reason, block));
                }
            }
            if let Some(block) = &quarantined.block {
                self.quarantine.push((quarantined.reason, block.to_vec()));
            }
        }
        for key in &batch.deletes {
            assert!(self.blocks.remove(key).is_some(), "key {key} is deleted twice, or was never there");
        }
        for put in &batch.puts {
            assert!(number_of(put.key) >= self.next_key, "keys ascend");
            self.next_key = number_of(put.key) + 1;
            self.blocks.insert(put.key, (put.readings, put.block.to_vec()));
        }
        for record in &batch.origins {
            self.origins.insert(record.description.origin, record.clone());
        }
        for origin in &batch.forgotten {
            self.origins.remove(origin);
        }
        self.sent_today = batch.sent_today.or(self.sent_today);
        if let Some(desired) = &batch.desired {
            self.desired.clone_from(desired);
        }
        self.rules = batch.rules.clone().or(self.rules.take());
        self.account_due &= batch.ledger.is_none();
        self.ledger = batch.ledger.unwrap_or(self.ledger);
        self.totals = batch.totals;
        self.commits += 1;
        assert_eq!(self.totals.blocks, self.blocks.len() as u64, "totals follow the blocks");
        let readings: u64 = self.blocks.values().map(|(readings, _)| u64::from(*readings)).sum();
        assert_eq!(self.totals.readings, readings);
    }

    pub fn recovered(&self) -> Recovered {
        Recovered {
            keys: self.blocks.keys().map(|&key| SeqRange::new(key, key + 1)).collect(),
            next_key: self.next_key,
            totals: self.totals,
            origins: self.origins.values().cloned().collect(),
            sent_today: self.sent_today,
            ledger: self.ledger,
            account_due: self.account_due,
            desired: self.desired.clone(),
            rules: self.rules.clone(),
        }
    }

    pub fn load(&self, keys: &[Key]) -> Vec<Entry> {
        let entry = |key: &Key| {
            let (readings, block) = self.blocks.get(key)?.clone();
            Some(Entry { key: *key, readings, block })
        };
        keys.iter().filter_map(entry).collect()
    }
}

/// A block that was published.
#[derive(Clone, Debug)]
pub struct Published {
    pub lane: Lane,
    pub number: u64,
    pub block: Block,
}

impl Published {
    pub fn seqs(&self) -> Vec<u64> {
        self.block.origins.iter().flat_map(|origin| &origin.readings).map(|reading| reading.seq.0).collect()
    }
}

pub struct Bench {
    pub core: Core,
    pub now: Now,
    pub disk: Disk,
    pub published: Vec<Published>,
    pub frames: Vec<(LinkId, Down)>,
    /// What became of settings.
    pub reported: Vec<ReportedChannel>,
    /// What became of rules.
    pub answers: Vec<RulesUp>,
    pub verdicts: Vec<Verdicts>,
    /// What changed of the alarms that are active here.
    pub local_alarms: Vec<(AlarmKey, Option<LocalAlarm>)>,
    pub held: Vec<(DeviceId, Held)>,
    pub batch: Option<Batch>,
    pub load: Option<Vec<Key>>,
    /// The boot each link was welcomed with last.
    pub boots: BTreeMap<u64, BootId>,
    credit: u32,
    /// How often the cloud says it was restored.
    pub ledger: u32,
    /// Which of its starts speaks.
    pub incarnation: u64,
}

impl Bench {
    pub fn new(settings: CoreSettings) -> Self {
        Self::on(settings, Disk::default())
    }

    pub fn on(settings: CoreSettings, disk: Disk) -> Self {
        let now = Now { at: Time::from_ms(1_000), unix_ms: 1_800_000_000_000 };
        let core = Core::new(settings, disk.recovered(), now).expect("zstd gets its memory");
        let (published, frames, reported) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            core,
            now,
            disk,
            published,
            frames,
            reported,
            answers: Vec::new(),
            verdicts: Vec::new(),
            local_alarms: Vec::new(),
            held: Vec::new(),
            batch: None,
            load: None,
            boots: BTreeMap::new(),
            credit: 1 << 20,
            ledger: 0,
            incarnation: 1,
        }
    }

    pub fn event(&mut self, event: Event) {
        self.core.handle(self.now, event);
        while let Some(effect) = self.core.poll() {
            match effect {
                Effect::Send { link, frame } => self.frames.push((link, frame)),
                Effect::Commit(batch) => {
                    assert!(self.batch.replace(batch).is_none(), "one batch at a time");
                }
                Effect::Load { keys } => assert!(self.load.replace(keys).is_none(), "one load at a time"),
                Effect::Publish { lane, number, block } => {
                    let stamp = tidegate_protocol::block::read_stamp(&block).expect("a stamped block");
                    assert_eq!((stamp.lane, stamp.number, stamp.epoch), (lane, number, EPOCH));
                    let block = Decoder::new().unwrap().decode(&block).expect("a good block");
                    self.published.push(Published { lane, number, block });
                }
                Effect::Report(reported) => self.reported.extend(reported.channels),
                Effect::AnswerRules(answer) => self.answers.push(answer),
                Effect::Verdicts(verdicts) => self.verdicts.push(verdicts),
                Effect::Held { device, held, .. } => self.held.push((device, held)),
                Effect::LocalAlarm { key, alarm } => self.local_alarms.push((key, alarm)),
            }
        }
    }

    /// Lets time pass; the core is woken whenever it asked to be.
    pub fn pass_ms(&mut self, ms: u64) {
        let until = self.now.at.plus_ms(ms);
        loop {
            let next = self.core.next_wakeup().max(self.now.at.plus_us(1));
            let at = next.min(until);
            self.now.unix_ms += (at.0 / 1_000 - self.now.at.0 / 1_000) as i64;
            self.now.at = at;
            self.event(Event::Tick);
            assert!(self.core.next_wakeup() > self.now.at, "the core would never sleep");
            if at >= until {
                return;
            }
        }
    }

    pub fn commit(&mut self) -> Batch {
        let batch = self.batch.take().expect("a batch is under way");
        self.disk.apply(&batch);
        self.event(Event::Committed);
        batch
    }

    pub fn loaded(&mut self) {
        let keys = self.load.take().expect("a load is under way");
        let entries = self.disk.load(&keys);
        self.event(Event::Loaded { entries });
    }

    /// Commits and loads whatever the core asks for.
    pub fn settle(&mut self) {
        while self.batch.is_some() || self.load.is_some() {
            if self.load.is_some() {
                self.loaded();
            }
            if self.batch.is_some() {
                self.commit();
            }
        }
    }

    pub fn answer(&mut self, number: u64, outcome: Outcome) {
        let credit = Credit { seq: 1, window_bytes: self.credit };
        let (ledger, outcomes) = (self.ledger, vec![BlockOutcome { number, outcome }]);
        self.event(Event::Acked(BlockAck {
            incarnation: self.incarnation,
            epoch: EPOCH,
            outcomes,
            credit,
            ledger,
        }));
    }

    pub fn durable(&mut self, number: u64) {
        self.event(Event::PubAcked { number });
        self.answer(number, Outcome::Durable);
    }

    /// An announcement without outcomes.
    pub fn announce(&mut self, incarnation: u64, credit_seq: u64, window_bytes: u32) {
        self.credit = window_bytes;
        self.incarnation = incarnation;
        let (ledger, credit) = (self.ledger, Credit { seq: credit_seq, window_bytes });
        self.event(Event::Acked(BlockAck { incarnation, epoch: 0, outcomes: Vec::new(), credit, ledger }));
    }

    pub fn link_up(&mut self) {
        self.event(Event::UplinkUp);
        self.announce(1, 0, self.credit);
    }

    pub fn hello(&mut self, link: u64, device: &str, boot: Option<u64>, floor: u64, next: u64) -> BootId {
        self.hello_as(Standing::Present, link, device, boot, floor, next)
    }

    pub fn hello_as(
        &mut self,
        standing: Standing,
        link: u64,
        device: &str,
        boot: Option<u64>,
        floor: u64,
        next: u64,
    ) -> BootId {
        let frame = BoardFrame::Hello {
            device: DeviceId::new(device).unwrap(),
            tag: "TT-1".into(),
            firmware: "test".into(),
            boot: boot.map(BootId),
            proven: false,
            fresh: BootId(0xf7e5 + self.frames.len() as u64),
            standing,
            floor,
            next,
            channels: channels(),
        };
        self.introduce(link, frame)
    }

    /// Says a Hello; the boot it was welcomed with.
    pub fn introduce(&mut self, link: u64, frame: BoardFrame) -> BootId {
        self.event(Event::Board { link: LinkId(link), arrived: self.now.at, frames: vec![frame] });
        let welcome = self.frames.iter().rev().find_map(|(_, frame)| match frame {
            Down::Welcome(welcome) => Some(welcome.boot),
            _ => None,
        });
        let boot = welcome.expect("a welcome");
        self.boots.insert(link, boot);
        boot
    }

    /// The tag that frames on this link bear: of the boot it was welcomed with.
    pub fn tag(&self, link: u64) -> BootTag {
        self.boots.get(&link).copied().unwrap_or(BootId(0)).tag()
    }

    pub fn readings(&mut self, link: u64, seqs: std::ops::Range<u64>) {
        self.readings_with_floor(link, 0, seqs);
    }

    pub fn readings_with_floor(&mut self, link: u64, floor: u64, seqs: std::ops::Range<u64>) {
        let next = seqs.end;
        let frame =
            BoardFrame::Readings { boot: self.tag(link), floor, next, readings: seqs.map(reading).collect() };
        self.event(Event::Board { link: LinkId(link), arrived: self.now.at, frames: vec![frame] });
    }

    pub fn heartbeat(&mut self, link: u64, floor: u64, next: u64, ring_free: u32) {
        let heartbeat = Heartbeat {
            boot: self.tag(link),
            floor: Seq(floor),
            next: Seq(next),
            tick: Tick(next * 10),
            ring_free,
            clock: None,
            counters: Default::default(),
        };
        let frames = vec![BoardFrame::Heartbeat(heartbeat)];
        self.event(Event::Board { link: LinkId(link), arrived: self.now.at, frames });
    }

    /// The board's ring gave these up.
    pub fn lost(&mut self, link: u64, seqs: std::ops::Range<u64>, floor: u64, next: u64) {
        let (boot, range) = (self.tag(link), SeqRange::new(seqs.start, seqs.end));
        let frames = vec![BoardFrame::Lost { boot, range, reason: LossReason::RingOverflow, floor, next }];
        self.event(Event::Board { link: LinkId(link), arrived: self.now.at, frames });
    }

    /// The last acknowledgement sent to a link, and forgets all frames.
    pub fn last_ack(&mut self, link: u64) -> Option<u64> {
        let frames = std::mem::take(&mut self.frames);
        frames.iter().rev().find_map(|(to, frame)| match frame {
            Down::Ack { up_to, .. } if *to == LinkId(link) => Some(up_to.0),
            _ => None,
        })
    }

    pub fn records(&self) -> Vec<Record> {
        self.published.iter().flat_map(|published| published.block.records.clone()).collect()
    }
}

pub fn channels() -> Vec<ChannelDecl<String>> {
    let name = ChannelName::new("temperature").unwrap();
    vec![ChannelDecl { name, unit: "Cel".into(), kind: ValueKind::F64, scale: 0 }]
}

pub fn origin(device: &str, boot: u64) -> Origin {
    Origin::new(DeviceId::new(device).unwrap(), BootId(boot))
}

pub fn reading(seq: u64) -> Reading {
    Reading {
        seq: Seq(seq),
        channel: ChannelIndex(0),
        tick: Tick(seq * 10),
        value: Value::F64(seq as f64 / 8.0),
        quality: Quality::Good,
    }
}
