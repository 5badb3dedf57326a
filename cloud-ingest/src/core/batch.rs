//! What one commit writes. Everything in a batch is stored in one transaction, or nothing of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_alarms::{AlarmEvent, Priority, Revision, RuleId, State, step::Peak, step::Point};
use tidegate_protocol::{
    ChannelName, ClockAnchor, DeviceId, GatewayId, Origin, RangeSet, Reading, SeqRange, SiteId, Summary,
    ack::RejectReason,
    block::{Description, HEADER_BYTES, read_stamp},
    topic::{GatewayPath, Lane},
};

use super::{
    bringing::RulesStanding,
    desired::{ChannelKey, SettingsRecord},
    ledger::Ledger,
    retire::Operation,
    rulebook::RulesChange,
    seal::Sealed,
    set_back::QueueHistory,
    told::ToldOf,
};

/// An origin's number in this ingest, given in the order in which origins were first heard of, and never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OriginNo(pub u32);

#[derive(Debug, Default)]
pub struct Batch {
    pub number: u64,
    pub entries: Vec<Entry>,
    pub origins: Vec<(OriginNo, OriginRecord)>,
    pub descriptions: Vec<(OriginNo, Description)>,
    pub gateways: Vec<(GatewayPath, GatewayRecord)>,
    pub rules_standing: Vec<(GatewayPath, RulesStanding)>,
    /// Applied in order.
    pub settings: Vec<(ChannelKey, SettingsRecord)>,
    /// Some origin has a better anchor now. Not stored: for those who keep anchors elsewhere.
    pub anchors_changed: bool,
    pub quarantine: Vec<Quarantined>,
    /// In the order of their happening. An event whose id is stored already is left out by the store.
    pub events: Vec<AlarmEvent>,
    pub live: Vec<((SiteId, DeviceId), LiveRecord)>,
    pub settled: Vec<(OriginNo, SettledRecord)>,
    /// Applied in order.
    pub history: Vec<HistoryChange>,
    /// Origins that shrink to a row each. No other part of the batch speaks of them.
    pub sealed: Vec<(OriginNo, Box<Sealed>)>,
    /// How many readings came of sealed origins, and were refused.
    pub refused: Vec<(OriginNo, u64)>,
    /// Applied in order.
    pub rules: Vec<RulesChange>,
    /// For the operator log.
    pub operations: Vec<Operation>,
    /// With the gateway that made them; what is a part of another is left out by the store.
    pub summaries: Vec<(OriginNo, GatewayId, Summary)>,
    /// Journal entries that cannot be read any more.
    pub damaged: Vec<Damaged>,
    /// For the view of latest values; not stored, shown once the batch is.
    pub latest: Vec<(OriginNo, Vec<Reading>)>,
}

/// A journal entry: a block as it came, and what of it was accepted (rule i).
#[derive(Clone, Debug)]
pub struct Entry {
    pub position: u64,
    pub head: EntryHead,
    pub block: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryHead {
    pub from: GatewayPath,
    pub lane: Lane,
    pub arrival_unix_ms: i64,
    pub accepted: Vec<Accepted>,
}

/// A run of readings that this entry is the one to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub origin: OriginNo,
    /// The origin's place in the block.
    pub entry: u32,
    pub range: SeqRange,
    /// The lowest and highest tick inside, so that a look for a time can pass over the run.
    pub ticks: (u64, u64),
}

/// A journal entry that cannot be read any more, and the readings it was the one to hold. It goes to quarantine, and the
/// index forgets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub position: u64,
    pub ranges: Vec<(OriginNo, SeqRange)>,
}

/// All that is kept of an origin but its channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRecord {
    pub site: SiteId,
    pub origin: Origin,
    pub ledger: Ledger,
    pub anchor: Option<ClockAnchor>,
    /// Who spoke of it first, and who else brought readings of it; at most [`MAX_GATEWAYS_PER_ORIGIN`]. The first is whose room it
    /// takes; stores of before have nobody there of whom no reading came.
    pub gateways: Vec<GatewayId>,
    /// Alarm history is settled below this seq.
    pub settled: u64,
    pub duplicates: u64,
    /// Seqs that came again with another content.
    pub conflicts: RangeSet,
    pub last_arrival_unix_ms: i64,
    /// When a first word of it came, and the last reading or news: a loss, an end, a description.
    pub first_heard_unix_ms: i64,
    pub last_heard_unix_ms: i64,
    /// Another boot of the device has taken its place in the live view.
    pub superseded: bool,
    /// Readings that were stored while the best anchor known was worse than the present one: of a lower quality, or off
    /// by more than its error. Last, so that the format before is this one without it.
    pub corrected: RangeSet,
}

/// More gateways than this are not listed; their readings are stored all the same.
pub const MAX_GATEWAYS_PER_ORIGIN: usize = 16;

impl OriginRecord {
    /// Something was heard of it.
    pub fn heard(&mut self, unix_ms: i64) {
        if self.first_heard_unix_ms == 0 {
            self.first_heard_unix_ms = unix_ms;
        }
        self.last_heard_unix_ms = self.last_heard_unix_ms.max(unix_ms);
    }

    pub fn new(site: SiteId, origin: Origin) -> Self {
        Self {
            site,
            origin,
            ledger: Ledger::default(),
            anchor: None,
            gateways: Vec::new(),
            settled: 0,
            duplicates: 0,
            conflicts: RangeSet::default(),
            last_arrival_unix_ms: 0,
            first_heard_unix_ms: 0,
            last_heard_unix_ms: 0,
            superseded: false,
            corrected: RangeSet::default(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRecord {
    pub online: bool,
    pub version: String,
    pub last_block_unix_ms: Option<i64>,
    pub queue: QueueHistory,
}

/// A block, or bytes that are none, kept for people to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub from: GatewayPath,
    pub arrival_unix_ms: i64,
    pub reason: RejectReason,
    /// In words.
    pub because: String,
    pub bytes: Vec<u8>,
}

impl Quarantined {
    /// Which content it is, whoever sent it, and under whatever stamp.
    pub fn content(&self) -> [u8; 32] {
        let unstamped = self.bytes.get(HEADER_BYTES..).filter(|_| read_stamp(&self.bytes).is_ok());
        Sha256::digest(unstamped.unwrap_or(&self.bytes)).into()
    }
}

/// The live alarm states of one device: those that notifications come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveRecord {
    /// The boot whose readings are live.
    pub current: OriginNo,
    pub channels: Vec<LiveChannel>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveChannel {
    pub channel: ChannelName,
    pub states: Vec<RuleState>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleState {
    pub rule: RuleId,
    pub revision: Revision,
    pub state: State,
}

/// Alarm states by channel, those that are not normal.
pub type States = Vec<(ChannelName, Vec<RuleState>)>;

/// The settled alarm states of one origin: those that history comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SettledRecord {
    pub states: States,
    pub retelling: Option<Retelling>,
    /// What was told of and not reached yet.
    pub told: Vec<(ChannelName, RuleId, ToldOf)>,
}

/// A part of an origin's history that is told again, since a reading in it arrived after all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retelling {
    /// How far history had been settled, and the states there: it goes on from there once what is told again agrees
    /// with what was told.
    pub frontier: u64,
    pub states: States,
    /// Below this seq there are changes: no agreement before it means anything.
    pub until: u64,
    /// It is to begin there, and has not begun.
    pub rewind_to: Option<RewindTo>,
}

/// Where history is to be taken up: at or before a seq, and at or before the first reading of a tick. The highest number
/// says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewindTo {
    pub seq: u64,
    pub tick: u64,
}

impl RewindTo {
    pub fn or_before(self, other: Self) -> Self {
        Self { seq: self.seq.min(other.seq), tick: self.tick.min(other.tick) }
    }
}

/// The settled states before an origin's seq, from which history can be told on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub seq: u64,
    pub states: States,
}

#[derive(Clone, Debug, PartialEq)]
pub enum HistoryChange {
    /// What was raised in this range was told again: of it stay those that are named, and no checkpoint behind its start.
    Retold {
        origin: OriginNo,
        range: SeqRange,
        raised: Vec<(u64, ChannelName, RuleId)>,
    },
    Put(OriginNo, Box<Occurrence>),
    Checkpoint(OriginNo, Box<Checkpoint>),
}

/// One raise-to-clear episode in settled history. Its times are derived when it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Occurrence {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub unit: String,
    pub rule: RuleId,
    pub revision: Revision,
    pub priority: Priority,
    /// The first reading of the delay.
    pub onset: Point,
    /// The reading that raised.
    pub raised: Point,
    /// The reading that cleared.
    pub cleared: Option<Point>,
    pub peak: Peak,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.damaged.is_empty()
            && self.origins.is_empty()
            && self.descriptions.is_empty()
            && self.gateways.is_empty()
            && self.rules_standing.is_empty()
            && self.quarantine.is_empty()
            && self.events.is_empty()
            && self.live.is_empty()
            && self.settled.is_empty()
            && self.history.is_empty()
            && self.summaries.is_empty()
            && self.sealed.is_empty()
            && self.refused.is_empty()
            && self.operations.is_empty()
            && self.rules.is_empty()
            && self.settings.is_empty()
    }
}
