//! Everything that can happen to the core, and everything that it wants done.

use bytes::Bytes;
use tidegate_alarms::{AlarmEvent, RevisedRule};
use tidegate_protocol::{
    DeviceId, Origin, RangeSet, Reading, SeqRange, SiteId,
    ack::BlockAck,
    block::Description,
    rules::{RulesDown, RulesUp, Verdicts},
    settings::{DesiredSettings, ReportedSettings},
    status::GatewayStatus,
    topic::{GatewayPath, Lane},
};

use super::{
    batch::{
        Batch, Checkpoint, Damaged, GatewayRecord, LiveRecord, Occurrence, OriginNo, OriginRecord, RewindTo,
        SettledRecord,
    },
    desired::{ChannelKey, SettingsDone, SettingsOrder, SettingsRecord},
    lifecycle::{AlarmDone, AlarmKey, AlarmOrder, KnownAlarm},
    retire::{Operation, RetireOrder},
    rulebook::{RulesDone, RulesOrder},
    system::Certified,
    verdicts::Compared,
    verifying::VerifyJob,
};

/// Everything that can happen to the core.
#[derive(Debug)]
pub enum Event {
    Block {
        from: GatewayPath,
        lane: Lane,
        bytes: Bytes,
        arrival_unix_ms: i64,
    },
    Status {
        from: GatewayPath,
        status: GatewayStatus,
        unix_ms: i64,
    },
    /// What a gateway says became of settings.
    SettingsReported {
        from: GatewayPath,
        reported: ReportedSettings,
        unix_ms: i64,
    },
    /// What a gateway says became of rules.
    RulesAnswered {
        from: GatewayPath,
        up: RulesUp,
        unix_ms: i64,
    },
    /// What a gateway says is active by its own evaluation.
    Verdicts {
        from: GatewayPath,
        verdicts: Verdicts,
    },
    /// The broker can be reached (again): gateways are told of this incarnation.
    BrokerConnected,
    /// It cannot be reached any more: nothing is heard.
    BrokerLost,
    Committed {
        batch: u64,
        used_bytes: u64,
    },
    /// It failed for want of room on the disk or in the map.
    StoreFull {
        batch: u64,
    },
    CommitFailed {
        batch: u64,
    },
    /// What [`Effect::Reload`] asked for; the incarnation is one that was never used.
    Reloaded {
        snapshot: Box<Snapshot>,
        incarnation: u64,
    },
    /// The answer to [`Effect::Verify`]: the ranges that differ from what is stored, or nothing where the store could
    /// not be read.
    Verified {
        ticket: u64,
        differing: Option<Vec<(Origin, SeqRange)>>,
    },
    /// The answer to [`Effect::Load`]; `None` where the store could not be read.
    Loaded {
        origin: OriginNo,
        loaded: Option<Loaded>,
    },
    /// The answer to [`Effect::Rewind`]; `None` where the store could not be read.
    Rewound {
        origin: OriginNo,
        to: RewindTo,
        checkpoint: Option<Checkpoint>,
    },
    /// A stored journal entry cannot be read.
    Damaged(Damaged),
    /// The lake took journal entries away.
    Trimmed {
        used_bytes: u64,
    },
    /// An operator's order; [`Effect::Retired`] answers under its ticket.
    Retire {
        ticket: u64,
        order: Box<RetireOrder>,
    },
    /// Somebody wants something of a channel; [`Effect::SettingsDone`] answers under its ticket.
    WantSettings {
        ticket: u64,
        order: Box<SettingsOrder>,
    },
    /// The rules are to be others; [`Effect::RulesDone`] answers under its ticket.
    ChangeRules {
        ticket: u64,
        order: Box<RulesOrder>,
    },
    /// An operator does something with an alarm; [`Effect::AlarmDone`] answers under its ticket.
    AlarmAction {
        ticket: u64,
        order: Box<AlarmOrder>,
    },
    /// What the wall clock says; brought at the start, and before each wakeup.
    Time {
        unix_ms: i64,
    },
    /// The certificate that the broker is shown lasts until then, in Unix seconds; `None` where none is shown.
    CertificateShown {
        whose: Certified,
        expires_unix_s: Option<i64>,
    },
    /// These stored readings have left with the lake's oldest files.
    Expired {
        ranges: Vec<(OriginNo, SeqRange)>,
    },
    /// Seal the origins that have ended, have no holes, and were last heard of before this time.
    Seal {
        before_unix_ms: i64,
    },
    /// The time asked for with [`super::Core::next_wakeup`] has come.
    Wakeup,
}

/// What the core wants done.
#[derive(Debug)]
pub enum Effect {
    Commit(Box<Batch>),
    Ack {
        to: GatewayPath,
        ack: BlockAck,
    },
    Provisional(Box<AlarmEvent>),
    /// Compare these ranges of the block with what is stored.
    Verify {
        ticket: u64,
        job: VerifyJob,
    },
    /// Read stored readings of this range, ascending; what is not stored is left out. Where it was `told` before, read
    /// its checkpoints and occurrences too.
    Load {
        origin: OriginNo,
        range: SeqRange,
        told: bool,
    },
    /// Read the origin's last checkpoint at or before this; without any, it is the one before all seqs.
    Rewind {
        origin: OriginNo,
        to: RewindTo,
    },
    /// The order is carried out and committed; nothing where it was not, and changed nothing.
    Retired {
        ticket: u64,
        done: Option<Operation>,
    },
    /// Tell a gateway what is wanted of channels; it is told again where this is lost.
    Settings {
        to: GatewayPath,
        wanted: DesiredSettings,
    },
    SettingsDone {
        ticket: u64,
        done: SettingsDone,
    },
    /// Offer a gateway rules, or bring a part of them; it is offered them again where this is lost.
    Rules {
        to: GatewayPath,
        down: Box<RulesDown>,
    },
    /// How all gateways' verdicts compare, for people.
    Compared(Vec<Compared>),
    AlarmDone {
        ticket: u64,
        done: AlarmDone,
    },
    RulesDone {
        ticket: u64,
        done: RulesDone,
    },
    /// Read the committed state; until then nothing is taken.
    Reload,
}

#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub readings: Vec<Reading>,
    /// Those with a seq inside the range, or at its end.
    pub checkpoints: Vec<Checkpoint>,
    /// What history tells to have been raised in the range.
    pub occurrences: Vec<Occurrence>,
}

/// The committed state, as far as the core needs it.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub next_position: u64,
    pub used_bytes: u64,
    /// How often this ledger was rolled back by a restore; every acknowledgement says so.
    pub ledger: u32,
    pub origins: Vec<(OriginNo, OriginRecord, Option<Description>)>,
    pub sealed: Vec<(OriginNo, SiteId, Origin)>,
    /// Seqs whose readings have left with the lake's oldest files.
    pub expired: Vec<(OriginNo, RangeSet)>,
    pub gateways: Vec<(GatewayPath, GatewayRecord)>,
    pub settings: Vec<(ChannelKey, SettingsRecord)>,
    /// Those that are not plain normal.
    pub alarms: Vec<(AlarmKey, KnownAlarm)>,
    /// The number that the operator log of alarms goes on with.
    pub next_deed: u64,
    pub live: Vec<((SiteId, DeviceId), LiveRecord)>,
    pub settled: Vec<(OriginNo, SettledRecord)>,
    pub rules: Vec<RevisedRule>,
    pub rules_edition: u64,
    pub latest: Vec<(OriginNo, Vec<Reading>)>,
}
