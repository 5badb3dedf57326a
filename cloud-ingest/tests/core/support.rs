//! Blocks, and a core whose commits always succeed at once unless a test says otherwise.

use std::collections::BTreeMap;

use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_ingest::core::{
    Core, Effect, Event, Settings, Snapshot, VerifyJob, batch::Batch, desired::SettingsDone,
    lifecycle::AlarmDone, retire::Operation, rulebook::RulesDone, verdicts::Compared,
};
use tidegate_protocol::{
    BootId, ChannelDecl, ChannelIndex, ChannelName, DeviceId, GatewayId, Origin, Quality, Reading, Seq,
    SeqRange, SiteId, Tick, Value, ValueKind,
    ack::{BlockAck, Outcome},
    block::{Block, Decoder, Description, Encoder, OriginReadings, Record, Stamp, stamp},
    rules::{RulesAnswer, RulesDown, RulesUp},
    settings::DesiredChannel,
    topic::{GatewayPath, Lane},
};
use tidegate_service::testing::LoggedErrors;

pub const TOTAL_CREDIT: u32 = 8 << 20;

pub fn origin(device: &str, boot: u64) -> Origin {
    Origin::new(DeviceId::new(device).unwrap(), BootId(boot))
}

pub fn gateway(name: &str) -> GatewayPath {
    GatewayPath::new(SiteId::new("plant").unwrap(), GatewayId::new(name).unwrap())
}

/// Alarms above 60 in channel `x`.
pub fn rules() -> RuleSet {
    let rule = serde_json::json!({ "rule": [{ "id": "hot", "select": { "channel": "x" }, "above": 60.0 }] });
    RuleSet::from_settings(serde_json::from_value::<RulesSettings>(rule).unwrap()).unwrap()
}

pub fn channel(name: &str, kind: ValueKind, scale: u8) -> ChannelDecl<String> {
    ChannelDecl { name: ChannelName::new(name).unwrap(), unit: String::new(), kind, scale }
}

pub fn description(origin: Origin, channels: Vec<ChannelDecl<String>>) -> Description {
    Description { origin, tag: String::new(), firmware: String::new(), channels }
}

/// Of an origin with the one channel `x`.
pub fn described(origin: Origin) -> Record {
    Record::Described(description(origin, vec![channel("x", ValueKind::F64, 0)]))
}

pub fn reading(seq: u64, value: f64) -> Reading {
    let (channel, value) = (ChannelIndex(0), Value::F64(value));
    Reading { seq: Seq(seq), channel, tick: Tick(seq), value, quality: Quality::Good }
}

pub fn readings(origin: Origin, seqs: impl IntoIterator<Item = u64>) -> OriginReadings {
    OriginReadings { origin, readings: seqs.into_iter().map(|seq| reading(seq, 1.0)).collect() }
}

pub fn encode(records: Vec<Record>, origins: Vec<OriginReadings>) -> Vec<u8> {
    Encoder::new().unwrap().encode(&Block { records, origins }).unwrap()
}

pub struct Bench {
    pub core: Core,
    pub now_ms: u64,
    /// When blocks arrive.
    pub unix_ms: i64,
    next_number: u64,
    pub outcomes: Vec<(u64, Outcome)>,
    pub acks: Vec<(GatewayPath, BlockAck)>,
    pub batches: Vec<Batch>,
    pub verify: Vec<(u64, VerifyJob)>,
    pub loads: Vec<(tidegate_ingest::core::batch::OriginNo, SeqRange)>,
    pub provisional: usize,
    pub retired: Vec<(u64, Option<Operation>)>,
    /// What gateways were told of settings.
    pub told: Vec<(GatewayPath, Vec<DesiredChannel>)>,
    pub wanted: Vec<(u64, SettingsDone)>,
    /// Gateways have rules of their own, and say so.
    pub rules_are_declined: bool,
    /// What gateways were told of rules.
    pub brought: Vec<(GatewayPath, RulesDown)>,
    /// How verdicts compared at the last look.
    pub compared: Vec<Compared>,
    pub alarms: Vec<(u64, AlarmDone)>,
    pub ruled: Vec<(u64, RulesDone)>,
    /// Instead of succeeding, the commit stays under way under this number.
    pub held: Option<u64>,
    pub hold_commits: bool,
}

impl Bench {
    pub fn new(snapshot: Snapshot) -> Self {
        Self::with_rules(rules(), snapshot)
    }

    pub fn with_rules(rules: RuleSet, snapshot: Snapshot) -> Self {
        let settings = Settings { credit_total_bytes: TOTAL_CREDIT, linger_ms: 0, quota_bytes: 1 << 30 };
        Self {
            core: Core::new(settings, rules, Decoder::new().unwrap(), snapshot, 1),
            now_ms: 1,
            unix_ms: 0,
            next_number: 0,
            outcomes: Vec::new(),
            acks: Vec::new(),
            batches: Vec::new(),
            verify: Vec::new(),
            loads: Vec::new(),
            provisional: 0,
            retired: Vec::new(),
            told: Vec::new(),
            wanted: Vec::new(),
            rules_are_declined: false,
            brought: Vec::new(),
            compared: Vec::new(),
            alarms: Vec::new(),
            ruled: Vec::new(),
            held: None,
            hold_commits: false,
        }
    }

    /// What was committed of origins, gateways and rules.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let (mut origins, mut descriptions) = (BTreeMap::new(), BTreeMap::new());
        for batch in &self.batches {
            origins.extend(batch.origins.iter().cloned());
            descriptions.extend(batch.descriptions.iter().cloned());
            snapshot.gateways.extend(batch.gateways.iter().cloned());
            snapshot.live.extend(batch.live.iter().cloned());
            let rules = batch.rules.iter().flat_map(|change| &change.rules);
            snapshot.rules.extend(rules.map(|rule| (**rule).clone()));
            if let Some(change) = batch.rules.last() {
                snapshot.rules_edition = change.edition;
            }
        }
        let described = |(no, record)| (no, record, descriptions.remove(&no));
        snapshot.origins = origins.into_iter().map(described).collect();
        snapshot
    }

    pub fn handle(&mut self, event: Event) {
        self.core.handle(self.now_ms, event);
        self.carry_out();
    }

    pub fn carry_out(&mut self) {
        while let Some(effect) = self.core.poll() {
            match effect {
                Effect::Commit(batch) => {
                    let number = batch.number;
                    self.batches.push(*batch);
                    if self.hold_commits {
                        self.held = Some(number);
                    } else {
                        self.core.handle(self.now_ms, Event::Committed { batch: number, used_bytes: 0 });
                    }
                }
                Effect::Ack { to, ack } => {
                    self.outcomes
                        .extend(ack.outcomes.iter().map(|known| (known.number, known.outcome.clone())));
                    self.acks.push((to, ack));
                }
                Effect::Provisional(_) => self.provisional += 1,
                Effect::Verify { ticket, job } => self.verify.push((ticket, job)),
                Effect::Load { origin, range, .. } => self.loads.push((origin, range)),
                Effect::Rewind { .. } => {}
                Effect::Retired { ticket, done } => self.retired.push((ticket, done)),
                Effect::Settings { to, wanted } => self.told.push((to, wanted.channels)),
                Effect::Rules { to, down } => match *down {
                    RulesDown::Offer { name, .. } if self.rules_are_declined => {
                        let up = RulesUp { name, answer: RulesAnswer::Declined };
                        self.core.handle(self.now_ms, Event::RulesAnswered { from: to, up, unix_ms: 0 });
                    }
                    down => self.brought.push((to, down)),
                },
                Effect::Compared(compared) => self.compared = compared,
                Effect::SettingsDone { ticket, done } => self.wanted.push((ticket, done)),
                Effect::AlarmDone { ticket, done } => self.alarms.push((ticket, done)),
                Effect::RulesDone { ticket, done } => self.ruled.push((ticket, done)),
                Effect::Reload => {}
            }
        }
    }

    /// Sends a block; returns its number.
    pub fn send(&mut self, lane: Lane, bytes: Vec<u8>) -> u64 {
        self.send_from("gw-a", lane, bytes)
    }

    pub fn send_from(&mut self, from: &str, lane: Lane, mut bytes: Vec<u8>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        stamp(&mut bytes, Stamp { lane, epoch: 7, number }).unwrap();
        let from = gateway(from);
        self.handle(Event::Block { from, lane, bytes: bytes.into(), arrival_unix_ms: self.unix_ms });
        number
    }

    pub fn outcome(&self, number: u64) -> Option<Outcome> {
        self.outcomes.iter().rev().find(|(known, _)| *known == number).map(|(_, outcome)| outcome.clone())
    }
}

/// How many errors this logs. It is done twice, unheard at first.
pub fn errors_of(work: impl Fn()) -> usize {
    work();
    let said = LoggedErrors::listen();
    work();
    said.count()
}
