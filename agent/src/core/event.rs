//! Everything that can happen to the core, and everything it can ask for.

use std::sync::Arc;

use tidegate_protocol::{
    BootId, BootTag, ChannelDecl, ChannelIndex, ClockQuality, DeviceId, LossReason, Origin, Quality, Reading,
    SeqRange, Tick, Value,
    ack::BlockAck,
    block::Description,
    frame::{Down, FrameError, Heartbeat, SettingsResult, Standing},
    rules::{RulesDown, RulesUp, Verdicts},
    settings::{DesiredChannel, DesiredSettings, ReportedSettings},
    topic::Lane,
};

use super::{
    admission::{Held, LinkFrom, Permits},
    caps::SentToday,
    local_alarms::{AlarmKey, LocalAlarm},
    parcel::Stored,
    rules::BroughtRules,
    time::Time,
};

/// One connection of a board. Numbers are never used again, so that a late frame cannot meet a new board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A place in the queue; keys ascend in the order of commits. Those of alarm blocks stand above all others, so that they are the
/// last to be evicted, and are found without reading any block.
pub type Key = u64;

/// Keys from here on are of alarm blocks. It is a number that JSON's readers still tell exactly.
pub const ALARM_KEYS: Key = 1 << 52;

pub const fn is_alarm(key: Key) -> bool {
    key >= ALARM_KEYS
}

/// Which in the order of commits, whatever the block carries.
pub const fn number_of(key: Key) -> u64 {
    key % ALARM_KEYS
}

#[derive(Clone, Debug)]
pub enum Event {
    /// Frames of one board link, in order.
    Board {
        link: LinkId,
        /// When their last byte was here; they may have waited since.
        arrived: Time,
        frames: Vec<BoardFrame>,
    },
    /// A link that no board has spoken on yet.
    LinkOpened {
        link: LinkId,
        from: LinkFrom,
    },
    LinkClosed(LinkId),
    /// The list of devices, in full.
    Permits(Permits),
    /// A source of this machine starts: its origin has a fresh boot.
    LocalOpened {
        description: Description,
        flush_interval_ms: u64,
    },
    /// What a local source measured at one tick.
    LocalSample {
        origin: Origin,
        tick: Tick,
        /// When it was that tick.
        taken: Time,
        values: Vec<(ChannelIndex, Value, Quality)>,
    },
    /// It stopped cleanly and measures no more.
    LocalClosed {
        origin: Origin,
    },
    /// How far the gateway's wall clock can be trusted from now on.
    Clock {
        error_ms: u32,
        quality: ClockQuality,
    },
    /// The broker is connected and acknowledgements are subscribed to.
    UplinkUp,
    UplinkDown,
    /// The broker took this publish: flow control, never custody.
    PubAcked {
        number: u64,
    },
    Acked(BlockAck),
    /// What the cloud wants of channels; it says so again until it is answered.
    SettingsWanted(DesiredSettings),
    /// It offers alarm rules, or brings a part of them.
    Rules(RulesDown),
    /// The last batch is on the disk.
    Committed,
    CommitFailed(CommitFailure),
    /// What was asked for by [`Effect::Load`], in that order, without keys that hold nothing.
    Loaded {
        entries: Vec<Entry>,
    },
    /// The disk could not be read; the blocks stay where they are.
    LoadFailed,
    /// Commit all that is not safe yet, as before an orderly end.
    Flush,
    Tick,
}

/// A board's frame, checked and unpacked.
#[derive(Clone, Debug)]
pub enum BoardFrame {
    Hello {
        device: DeviceId,
        tag: String,
        firmware: String,
        boot: Option<BootId>,
        standing: Standing,
        /// It came under the key of this device.
        proven: bool,
        /// A random boot, used only if the board needs one.
        fresh: BootId,
        floor: u64,
        next: u64,
        channels: Vec<ChannelDecl<String>>,
    },
    Readings {
        boot: BootTag,
        floor: u64,
        next: u64,
        readings: Vec<Reading>,
    },
    Heartbeat(Heartbeat),
    Lost {
        boot: BootTag,
        range: SeqRange,
        reason: LossReason,
        floor: u64,
        next: u64,
    },
    /// What it makes of settings.
    SettingsResult {
        boot: BootTag,
        result: SettingsResult,
    },
    /// A board asks for a session under a key, and this is what is wrong with it.
    Called {
        device: DeviceId,
        held: Held,
    },
    /// A frame of a board that has not said hello on this link.
    Unidentified,
    Bad(FrameError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFailure {
    /// The map has no room, or the disk.
    Full,
    /// The disk refused; it is tried again.
    Failed,
    /// An error on write or sync: what is on the disk is known only to a process that reads it anew.
    Poisoned,
}

#[derive(Clone, Debug)]
pub enum Effect {
    /// May be dropped when the link is slow: boards repeat themselves, and acknowledgements are cumulative.
    Send {
        link: LinkId,
        frame: Down,
    },
    /// A board is held that was not, or for another reason: for the log.
    Held {
        link: LinkId,
        device: DeviceId,
        held: Held,
        from: String,
    },
    /// At most one is outstanding.
    Commit(Batch),
    /// At most one is outstanding.
    Load {
        keys: Vec<Key>,
    },
    Publish {
        lane: Lane,
        number: u64,
        block: Vec<u8>,
    },
    /// What became of settings. May be lost: the cloud asks again.
    Report(ReportedSettings),
    /// May be lost, as well: the cloud offers again.
    AnswerRules(RulesUp),
    /// What is active here. Where one is lost, the cloud notices by the next.
    Verdicts(Verdicts),
    /// An alarm became active here, stands otherwise than before, or (`None`) is active no more.
    LocalAlarm {
        key: AlarmKey,
        alarm: Option<LocalAlarm>,
    },
}

/// One transaction of the queue.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub puts: Vec<Put>,
    pub deletes: Vec<Key>,
    pub quarantine: Vec<Quarantined>,
    pub origins: Vec<OriginRecord>,
    pub forgotten: Vec<Origin>,
    /// What the lanes sent today, where that changed.
    pub sent_today: Option<SentToday>,
    /// How often the cloud was restored, with the declarations that this calls for.
    pub ledger: Option<u32>,
    /// All that the cloud wants of channels, where that changed.
    pub desired: Option<Vec<DesiredChannel>>,
    /// The alarm rules that the cloud brought, where they are others.
    pub rules: Option<BroughtRules>,
    pub unix_ms: i64,
    /// The queue's totals once this batch is committed.
    pub totals: Totals,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty()
            && self.deletes.is_empty()
            && self.quarantine.is_empty()
            && self.origins.is_empty()
            && self.forgotten.is_empty()
            && self.sent_today.is_none()
            && self.ledger.is_none()
            && self.desired.is_none()
            && self.rules.is_none()
    }
}

#[derive(Clone, Debug)]
pub struct Put {
    pub key: Key,
    pub readings: u32,
    pub block: Arc<[u8]>,
}

/// A block as it stands in the queue; it may be damaged.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Key,
    pub readings: u32,
    pub block: Vec<u8>,
}

impl Entry {
    pub fn stored(&self) -> Stored {
        Stored { key: self.key, readings: self.readings, bytes: footprint(self.block.len()) }
    }
}

/// A block that nobody takes, kept for a person to look at.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Where it is in the queue; its bytes move from there, if none are given here.
    pub keys: Vec<Key>,
    /// Its bytes when it is only in memory, or when only a part of it is rejected.
    pub block: Option<Arc<[u8]>>,
    pub reason: &'static str,
}

/// What the queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    pub blocks: u64,
    pub readings: u64,
    /// Disk pages taken, as [`footprint`] counts them.
    pub bytes: u64,
}

/// What an origin must remember over a restart.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OriginRecord {
    pub description: Description,
    /// Readings that this gateway made safe, as ranges `start, end`.
    pub safe: Vec<SeqRange>,
    pub floor: u64,
    /// The highest `next` the origin reported.
    pub next: u64,
    /// The cloud has the description.
    pub described: bool,
    pub closed: bool,
    /// A source of this machine: its boot ends with the process.
    pub local: bool,
}

/// What the queue held when the agent started.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Keys that hold a block, as ranges.
    pub keys: Vec<SeqRange>,
    /// Above every number that a key ever had.
    pub next_key: Key,
    pub totals: Totals,
    pub origins: Vec<OriginRecord>,
    pub sent_today: Option<SentToday>,
    /// How often the cloud was restored, as far as was heard.
    pub ledger: u32,
    /// The queue was repaired, and what it may have held besides is not accounted for yet.
    pub account_due: bool,
    /// What the cloud wants of channels.
    pub desired: Vec<DesiredChannel>,
    /// The alarm rules that it brought.
    pub rules: Option<BroughtRules>,
}

/// What precedes a block in its entry: format, count of readings, time of the commit.
pub const ENTRY_HEAD_BYTES: usize = 16;

/// Disk bytes that a block of `len` bytes takes in LMDB: entries beyond half a page get whole pages of their own.
/// The quota counts these, so that it can be compared with the map.
pub const fn footprint(len: usize) -> u64 {
    const PAGE: usize = 4096;
    const IN_LEAF: usize = 2000;
    const NODE: usize = 24;
    let len = len + ENTRY_HEAD_BYTES;
    if len > IN_LEAF { ((len + 16).div_ceil(PAGE) * PAGE + NODE) as u64 } else { (len + NODE) as u64 }
}
