//! Frames in and out: the messages, and their COBS, version and checksum.

use cobs::CobsEncoder;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    ChannelList, Samples,
    channels::MAX_DECL,
    crc::{Crc32, crc32},
};
use crate::{
    WIRE_VERSION,
    id::{BootId, DeviceId, Seq, SeqRange},
    loss::LossReason,
    reading::{MAX_SCALE, Tick, Value},
    varint::Truncated,
};

/// The longest raw frame: version, body and checksum before stuffing.
pub const MAX_FRAME: usize = 2048;
/// The longest stuffed down frame, so that a board's receive buffer can be small.
pub const MAX_DOWN_FRAME: usize = 64;

/// The longest a raw frame of `raw` bytes can be on the line: COBS adds a byte in 254 and one, and the zero ends it.
pub const fn encoded_len(raw: usize) -> usize {
    raw + raw / 254 + 2
}

/// The longest head of an up frame (a Hello's fixed part with its texts).
const MAX_HEAD: usize = 200;
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
    #[error("the frame's body does not decode")]
    Body,
    #[error("a board declares at most {max} channels, with units of at most {unit} bytes and scales up to 18",
        max = super::MAX_CHANNELS, unit = crate::unit::MAX_UNIT)]
    Channels,
    #[error("a reading names channel {0}, which was not declared")]
    UnknownChannel(u8),
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
    SettingsResult(SettingsResult),
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
    pub floor: Seq,
    pub next: Seq,
    pub channels: ChannelList<'a>,
}

/// Readings of consecutive seqs from `first_seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings<'a> {
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
    pub floor: Seq,
    pub next: Seq,
    /// The board's tick as it sends.
    pub tick: Tick,
    /// How many more readings the ring can take: bounds how long the agent may hold an acknowledgement back.
    pub ring_free: u32,
    /// The board's own clock, where it has one.
    pub clock: Option<BoardTime>,
    /// Frames the board could not read since its boot.
    pub bad_frames: u32,
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
    Settings(Settings),
    Time {
        unix_ms: i64,
        error_ms: u32,
    },
    /// Say Hello again: the agent does not know who is speaking.
    Identify,
}

/// The agent knows the board. `boot` is the one to number readings under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub boot: BootId,
    pub unix_ms: i64,
    pub error_ms: u32,
}

/// How one channel is to be measured and reported.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub revision: u32,
    pub channel: u8,
    pub enabled: bool,
    pub period_ms: u32,
    /// A change smaller than this is not reported; its kind is the channel's. None reports every sample.
    pub report_deadband: Option<Value>,
    /// Report at least this often whatever the deadband; 0 for no such limit.
    pub max_silence_ms: u32,
}

/// The fixed part of an up frame; a Hello's channels and a Readings' samples follow it.
#[derive(Serialize, Deserialize)]
enum Head<'a> {
    Hello {
        device: DeviceId,
        tag: &'a str,
        firmware: &'a str,
        boot: Option<BootId>,
        floor: Seq,
        next: Seq,
        channels: u8,
    },
    Readings {
        first_seq: Seq,
        floor: Seq,
        next: Seq,
        base_tick: Tick,
        count: u16,
    },
    Heartbeat(Heartbeat),
    Lost(Lost),
    SettingsResult(SettingsResult),
}

/// Writes a frame, its final zero included; returns its length.
pub fn encode_up(frame: &Up<'_>, out: &mut [u8]) -> Result<usize, FrameError> {
    let mut wire = FrameWriter::new(&mut *out)?;
    match frame {
        Up::Hello(hello) => {
            if hello.tag.len() > MAX_TEXT || hello.firmware.len() > MAX_TEXT {
                return Err(FrameError::TooLong);
            }
            let &Hello { device, tag, firmware, boot, floor, next, channels } = hello;
            let count = channels.len() as u8;
            wire.postcard::<MAX_HEAD>(&Head::Hello {
                device,
                tag,
                firmware,
                boot,
                floor,
                next,
                channels: count,
            })?;
            for channel in channels.iter() {
                wire.postcard::<MAX_DECL>(&channel)?;
            }
        }
        Up::Readings(readings) => {
            let &Readings { first_seq, floor, next, base_tick, count, samples } = readings;
            wire.postcard::<48>(&Head::Readings { first_seq, floor, next, base_tick, count })?;
            wire.push(samples)?;
        }
        Up::Heartbeat(heartbeat) => wire.postcard::<80>(&Head::Heartbeat(*heartbeat))?,
        Up::Lost(lost) => wire.postcard::<48>(&Head::Lost(*lost))?,
        Up::SettingsResult(result) => wire.postcard::<8>(&Head::SettingsResult(*result))?,
    }
    let len = wire.finish()?;
    terminate(out, len)
}

/// Writes a frame, its final zero included; returns its length, at most [`MAX_DOWN_FRAME`].
pub fn encode_down(frame: &Down, out: &mut [u8]) -> Result<usize, FrameError> {
    let mut wire = FrameWriter::new(&mut *out)?;
    wire.postcard::<48>(frame)?;
    let len = wire.finish()?;
    terminate(out, len)
}

fn terminate(out: &mut [u8], len: usize) -> Result<usize, FrameError> {
    *out.get_mut(len).ok_or(FrameError::TooLong)? = 0;
    Ok(len + 1)
}

/// Reads a stuffed frame (without its zero) in place.
pub fn decode_up(stuffed: &mut [u8]) -> Result<Up<'_>, FrameError> {
    let body = open(stuffed)?;
    let (head, tail) = postcard::take_from_bytes::<Head<'_>>(body).map_err(|_| FrameError::Body)?;
    let up = match head {
        Head::Hello { device, tag, firmware, boot, floor, next, channels } => {
            if tag.len() > MAX_TEXT || firmware.len() > MAX_TEXT {
                return Err(FrameError::TooLong);
            }
            let channels = ChannelList::parse(channels, tail)?;
            return ordered(
                floor,
                next,
                Up::Hello(Hello { device, tag, firmware, boot, floor, next, channels }),
            );
        }
        Head::Readings { first_seq, floor, next, base_tick, count } => {
            let end = first_seq.0.checked_add(u64::from(count)).ok_or(FrameError::Body)?;
            if first_seq < floor || end > next.0 {
                return Err(FrameError::Body);
            }
            return Ok(Up::Readings(Readings { first_seq, floor, next, base_tick, count, samples: tail }));
        }
        Head::Heartbeat(heartbeat) => ordered(heartbeat.floor, heartbeat.next, Up::Heartbeat(heartbeat))?,
        Head::Lost(lost) => {
            if lost.range.is_empty() || lost.range.end > lost.next.0 {
                return Err(FrameError::Body);
            }
            ordered(lost.floor, lost.next, Up::Lost(lost))?
        }
        Head::SettingsResult(result) => Up::SettingsResult(result),
    };
    if tail.is_empty() { Ok(up) } else { Err(FrameError::Body) }
}

fn ordered(floor: Seq, next: Seq, frame: Up<'_>) -> Result<Up<'_>, FrameError> {
    if floor <= next { Ok(frame) } else { Err(FrameError::Body) }
}

/// Reads a stuffed frame (without its zero) in place.
pub fn decode_down(stuffed: &mut [u8]) -> Result<Down, FrameError> {
    let down = exactly(open(stuffed)?)?;
    match down {
        Down::Settings(Settings { report_deadband: Some(Value::Decimal { scale, .. }), .. })
            if scale > MAX_SCALE =>
        {
            Err(FrameError::Body)
        }
        _ => Ok(down),
    }
}

fn exactly<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(FrameError::Body),
    }
}

/// Unstuffs, checks checksum and version, returns the body.
fn open(stuffed: &mut [u8]) -> Result<&[u8], FrameError> {
    if stuffed.len() > encoded_len(MAX_FRAME) {
        return Err(FrameError::TooLong);
    }
    let len = unstuff(stuffed).ok_or(FrameError::Stuffing)?;
    if len > MAX_FRAME {
        return Err(FrameError::TooLong);
    }
    let raw = stuffed.get(..len).ok_or(FrameError::Stuffing)?;
    let (signed, crc) = raw.split_last_chunk::<4>().ok_or(FrameError::Checksum)?;
    if crc32(signed) != u32::from_le_bytes(*crc) {
        return Err(FrameError::Checksum);
    }
    let (&version, body) = signed.split_first().ok_or(FrameError::Body)?;
    if version == WIRE_VERSION { Ok(body) } else { Err(FrameError::Version(version)) }
}

/// Undoes COBS in place; returns the length, or none when a group runs past the end or has no code. Code bytes become
/// the zeros they stand for where they are; only after a full group (0xff), whose follower stands for nothing, do
/// bytes move.
fn unstuff(stuffed: &mut [u8]) -> Option<usize> {
    let (mut at, mut code) = (0, *stuffed.first()?);
    let (mut from, mut to) = (1, 0);
    loop {
        let end = at + usize::from(code);
        let Some(next) = stuffed.get_mut(end) else {
            // The last group ends with the frame.
            if end > stuffed.len() {
                return None;
            }
            break;
        };
        (at, code) = match code {
            0 => return None,
            0xff => {
                let next = *next;
                stuffed.copy_within(from..end, to);
                (to, from) = (to + end - from, end + 1);
                (end, next)
            }
            _ => (end, core::mem::take(next)),
        };
    }
    stuffed.copy_within(from.., to);
    Some(to + stuffed.len() - from)
}

/// Stuffs a frame piece by piece, so that no second buffer of a frame's size is needed.
struct FrameWriter<'a> {
    cobs: CobsEncoder<'a>,
    crc: Crc32,
    raw: usize,
}

impl<'a> FrameWriter<'a> {
    fn new(out: &'a mut [u8]) -> Result<Self, FrameError> {
        let mut writer = Self { cobs: CobsEncoder::new(out), crc: Crc32::new(), raw: 0 };
        writer.push(&[WIRE_VERSION])?;
        Ok(writer)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.crc.update(bytes);
        self.stuff(bytes)
    }

    fn stuff(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.raw += bytes.len();
        if self.raw > MAX_FRAME {
            return Err(FrameError::TooLong);
        }
        self.cobs.push(bytes).map_err(|_| FrameError::TooLong)
    }

    fn postcard<const N: usize>(&mut self, value: &impl Serialize) -> Result<(), FrameError> {
        let mut scratch = [0; N];
        let encoded = postcard::to_slice(value, &mut scratch).map_err(|_| FrameError::TooLong)?;
        self.push(encoded)
    }

    fn finish(mut self) -> Result<usize, FrameError> {
        self.stuff(&self.crc.finish().to_le_bytes())?;
        Ok(self.cobs.finalize())
    }
}
