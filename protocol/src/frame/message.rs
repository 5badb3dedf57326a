//! What a board and its agent tell each other. How it becomes bytes: `codec`.

use serde::{Deserialize, Serialize};

use super::{ChannelList, Samples};
use crate::{
    WIRE_VERSION,
    id::{BootId, BootTag, DeviceId, Seq, SeqRange},
    loss::LossReason,
    reading::{MAX_SCALE, Tick, Value},
    varint::Truncated,
};

/// The longest `tag` and `firmware` text in a Hello, in bytes.
pub const MAX_TEXT: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the frame is longer than its bound")]
    TooLong,
    #[error("the frame's byte stuffing (COBS) is broken")]
    Stuffing,
    #[error("the frame's checksum is wrong")]
    Checksum,
    #[error("the frame has version {0}; this program reads version {WIRE_VERSION}")]
    Version(u8),
    #[error("the frame's body does not decode, or contradicts itself")]
    Body,
    #[error("a board declares at most {max} channels, with units of at most {unit} bytes and scales up to 18",
        max = super::MAX_CHANNELS, unit = crate::unit::MAX_UNIT)]
    Channels,
    #[error("a reading names channel {0}, which was not declared")]
    UnknownChannel(u8),
    #[error("the frame is in clear, and its link or its device is under a key")]
    Clear,
    #[error("the frame is under a key, and there is no session that it could be of")]
    NoSession,
    #[error(
        "the frame's tag is wrong: it is of another key, another session or another direction, or was made up"
    )]
    Tag,
    #[error("the frame's number is not above that of the frame before: it was recorded and sent again")]
    Replayed,
}

impl From<Truncated> for FrameError {
    fn from(_: Truncated) -> Self {
        Self::Body
    }
}

/// From the board.
#[derive(Clone, Debug)]
pub enum Up<'a> {
    Hello(Hello<'a>),
    Readings(Readings<'a>),
    Heartbeat(Heartbeat),
    Lost(Lost),
    /// The board's answer to [`Down::Settings`].
    SettingsResult {
        boot: BootTag,
        result: SettingsResult,
    },
}

impl Up<'_> {
    /// The boot that it speaks of; None where that makes no difference, and of a Hello, which names it in full.
    pub const fn boot(&self) -> Option<BootTag> {
        match self {
            Self::Readings(Readings { boot, .. })
            | Self::Heartbeat(Heartbeat { boot, .. })
            | Self::Lost(Lost { boot, .. })
            | Self::SettingsResult { boot, .. } => Some(*boot),
            Self::Hello(_) => None,
        }
    }

    /// What both sides refuse: numbers that contradict each other, texts beyond their bound.
    pub(super) fn check(&self) -> Result<(), FrameError> {
        let sound = match self {
            Self::Hello(Hello { tag, firmware, .. }) if tag.len() > MAX_TEXT || firmware.len() > MAX_TEXT => {
                return Err(FrameError::TooLong);
            }
            Self::Hello(Hello { boot: None, standing: Standing::Former, .. }) => false,
            Self::Hello(Hello { floor, next, .. }) | Self::Heartbeat(Heartbeat { floor, next, .. }) => {
                floor <= next
            }
            Self::Readings(Readings { first_seq, floor, next, count, .. }) => {
                let end = first_seq.0.checked_add(u64::from(*count));
                floor <= first_seq && end.is_some_and(|end| end <= next.0)
            }
            Self::Lost(Lost { range, floor, next, .. }) => {
                !range.is_empty() && range.end <= next.0 && floor <= next
            }
            Self::SettingsResult { .. } => true,
        };
        if sound { Ok(()) } else { Err(FrameError::Body) }
    }
}

/// Who the board is and what it measures. Sent when a link comes up, until the agent welcomes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hello<'a> {
    pub device: DeviceId,
    /// Free text beside the id (`TT-101A`), at most 64 bytes.
    pub tag: &'a str,
    /// Name and version of the firmware, at most 64 bytes.
    pub firmware: &'a str,
    /// None asks the gateway for one; without a boot the board sends no readings.
    pub boot: Option<BootId>,
    pub standing: Standing,
    pub floor: Seq,
    pub next: Seq,
    pub channels: ChannelList<'a>,
}

/// Which of its boots a board speaks of, and whether there are more. A board that keeps readings in flash still has some of the
/// boots before its present one when its power comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// The boot that it is in. Of those before it has nothing: they have ended.
    #[default]
    Present,
    /// The boot that it is in. Of some before it still has readings, and will say Hello for one after the other.
    Keeping,
    /// One before, beside the one that it is in: readings of both come on this link.
    Former,
}

/// What tells one Hello of a board from another, so that a Welcome can name the one it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloMark {
    pub boot: BootTag,
    pub next: Seq,
}

impl HelloMark {
    /// None for a Hello without a boot: nothing is numbered yet, so any offer will do.
    pub fn of(boot: Option<BootId>, next: Seq) -> Option<Self> {
        boot.map(|boot| Self { boot: boot.tag(), next })
    }
}

/// Readings of consecutive seqs from `first_seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings<'a> {
    /// The boot they are numbered under: a gateway may have heard another Hello since, or have missed one.
    pub boot: BootTag,
    pub first_seq: Seq,
    /// The lowest seq the board still holds: what is below is someone else's custody.
    pub floor: Seq,
    /// The seq that the board's next reading will have.
    pub next: Seq,
    pub base_tick: Tick,
    pub count: u16,
    /// As packed by [`super::SamplePacker`].
    pub samples: &'a [u8],
}

impl<'a> Readings<'a> {
    pub const fn samples(&self) -> Samples<'a> {
        Samples::new(self.samples, self.first_seq, self.base_tick, self.count)
    }

    /// Appends all readings to `out`, or none: on an error `out` is as it was.
    #[cfg(feature = "alloc")]
    pub fn unpack_into(
        &self,
        scales: &[u8],
        out: &mut alloc::vec::Vec<crate::Reading>,
    ) -> Result<(), FrameError> {
        let before = out.len();
        // A packed reading takes at least two bytes, so the frame's length bounds what is reserved.
        out.reserve(usize::from(self.count).min(self.samples.len() / 2));
        let unpacked = self.samples().for_each(scales, |reading| out.push(reading));
        if unpacked.is_err() {
            out.truncate(before);
        }
        unpacked
    }
}

/// Sent at least every few seconds, and when the board has nothing else to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub boot: BootTag,
    pub floor: Seq,
    pub next: Seq,
    /// The board's tick as it sends.
    pub tick: Tick,
    /// How many more readings the ring can take: bounds how long the agent may hold an acknowledgement back.
    pub ring_free: u32,
    /// The board's own clock, where it has one.
    pub clock: Option<BoardTime>,
    pub counters: BoardCounters,
}

/// What went wrong on its link, as a board sees it, since its boot. They wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardCounters {
    /// Frames of the gateway that could not be read: garbage, half frames, bytes lost in an overrun.
    pub bad_frames: u32,
    /// Readings sent more than once.
    pub repeated: u32,
    /// Acknowledgements of another boot, or beyond what was sent.
    pub refused_acks: u32,
    /// How often a link that was up went down.
    pub links_lost: u32,
}

/// A board's own wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardTime {
    pub tick: Tick,
    pub unix_ms: i64,
    pub error_ms: u32,
}

/// A declared hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub boot: BootTag,
    pub range: SeqRange,
    pub reason: LossReason,
    pub floor: Seq,
    pub next: Seq,
}

/// The board's answer to [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsResult {
    pub channel: u8,
    pub revision: u32,
    pub code: SettingsCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SettingsCode {
    Applied,
    UnknownChannel,
    /// The period is out of the board's range.
    BadPeriod,
    /// The deadband's kind is not the channel's.
    BadDeadband,
}

/// To the board.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Down {
    Welcome(Welcome),
    /// Everything below `up_to` is safe: forget it. Only of the boot that is named.
    Ack {
        boot: BootId,
        up_to: Seq,
    },
    /// Only of the boot that is named: another's channels may have other indices.
    Settings {
        boot: BootTag,
        settings: Settings,
    },
    Time {
        unix_ms: i64,
        error_ms: u32,
    },
    /// Say Hello again: the agent does not know who is speaking.
    Identify,
}

impl Down {
    /// What both sides refuse: a deadband whose scale does not exist.
    pub(super) fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Settings {
                settings:
                    Settings { report_deadband: Some(Deadband::Absolute(Value::Decimal { scale, .. })), .. },
                ..
            } if *scale > MAX_SCALE => Err(FrameError::Body),
            _ => Ok(()),
        }
    }
}

/// The agent knows the board, if `boot` is the one that the Hello named. Otherwise that boot is an offer: a board that
/// takes it says Hello again, under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The Hello that it answers.
    pub answers: Option<HelloMark>,
    pub boot: BootId,
    pub unix_ms: i64,
    pub error_ms: u32,
}

/// Which changes of a channel are too small to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Deadband {
    /// Smaller ones than this; its kind (and scale) is the channel's.
    Absolute(Value),
    /// Smaller ones than so many hundredths of a percent of what was reported last. Not of a bool.
    Percent { hundredths: u16 },
}

/// How one channel is to be measured and reported.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub revision: u32,
    pub channel: u8,
    pub enabled: bool,
    pub period_ms: u32,
    /// None reports every sample.
    pub report_deadband: Option<Deadband>,
    /// Report at least this often whatever the deadband; 0 for no such limit.
    pub max_silence_ms: u32,
}
