//! Frames in and out: a message's body, and its version, checksum and COBS.

use serde::Deserialize;

use super::{
    ChannelList, Down, FrameError, Heartbeat, Hello, Lost, Readings, SettingsResult, Standing, Up,
    channels::Form,
    crc::crc32,
    line::{encoded_len, write_frame},
    plain::{read_down, write_channel, write_head},
};
use crate::{
    WIRE_VERSION,
    id::{BootId, BootTag, DeviceId, Seq},
    reading::Tick,
    varint::{Truncated, Writer},
};

/// The longest raw frame: version, body and checksum before stuffing.
pub const MAX_FRAME: usize = 2048;
/// The longest stuffed down frame, so that a board's receive buffer can be small.
pub const MAX_DOWN_FRAME: usize = 64;

/// The fixed part of an up frame, as an agent reads it; a Hello's channels and a Readings' samples follow it.
#[derive(Deserialize)]
enum Head<'a> {
    Hello {
        device: DeviceId,
        tag: &'a str,
        firmware: &'a str,
        boot: Option<BootId>,
        standing: Standing,
        floor: Seq,
        next: Seq,
        channels: u8,
    },
    Readings {
        boot: BootTag,
        first_seq: Seq,
        floor: Seq,
        next: Seq,
        base_tick: Tick,
        count: u16,
    },
    Heartbeat(Heartbeat),
    Lost(Lost),
    SettingsResult {
        boot: BootTag,
        result: SettingsResult,
    },
}

/// Writes a frame, its final zero included; returns its length. `out` has room for the longest that a frame of this length can be
/// ([`encoded_len`]).
pub fn encode_up(frame: &Up<'_>, out: &mut [u8]) -> Result<usize, FrameError> {
    frame.check()?;
    write_frame(out, MAX_FRAME, |out| {
        out.byte(WIRE_VERSION)?;
        write_up(frame, out)
    })
}

/// Writes a frame, its final zero included; returns its length, at most [`MAX_DOWN_FRAME`].
pub fn encode_down(frame: &Down, out: &mut [u8]) -> Result<usize, FrameError> {
    frame.check()?;
    write_frame(out, MAX_FRAME, |out| {
        out.byte(WIRE_VERSION)?;
        write_down(frame, out)
    })
}

/// Writes a frame's body.
pub(super) fn write_up(frame: &Up<'_>, out: &mut Writer<'_>) -> Result<(), Truncated> {
    write_head(frame, out)?;
    match frame {
        Up::Hello(hello) => match hello.channels.form() {
            Form::Given(channels) => channels.iter().try_for_each(|channel| write_channel(channel, out)),
            Form::Packed { bytes, .. } => out.bytes(bytes),
        },
        Up::Readings(readings) => out.bytes(readings.samples),
        Up::Heartbeat(_) | Up::Lost(_) | Up::SettingsResult { .. } => Ok(()),
    }
}

/// Writes a frame's body.
pub(super) fn write_down(frame: &Down, out: &mut Writer<'_>) -> Result<(), Truncated> {
    let mut scratch = [0; MAX_DOWN_FRAME];
    out.bytes(postcard::to_slice(frame, &mut scratch).map_err(|_| Truncated)?)
}

/// Reads a stuffed frame (without its zero) in place.
pub fn decode_up(stuffed: &mut [u8]) -> Result<Up<'_>, FrameError> {
    up_of(open(stuffed)?)
}

/// Reads a frame's body.
pub(super) fn up_of(body: &[u8]) -> Result<Up<'_>, FrameError> {
    let (head, tail) = postcard::take_from_bytes::<Head<'_>>(body).map_err(|_| FrameError::Body)?;
    let (up, tail) = match head {
        Head::Hello { device, tag, firmware, boot, standing, floor, next, channels } => {
            let channels = ChannelList::parse(channels, tail)?;
            (Up::Hello(Hello { device, tag, firmware, boot, standing, floor, next, channels }), &[][..])
        }
        Head::Readings { boot, first_seq, floor, next, base_tick, count } => (
            Up::Readings(Readings { boot, first_seq, floor, next, base_tick, count, samples: tail }),
            &[][..],
        ),
        Head::Heartbeat(heartbeat) => (Up::Heartbeat(heartbeat), tail),
        Head::Lost(lost) => (Up::Lost(lost), tail),
        Head::SettingsResult { boot, result } => (Up::SettingsResult { boot, result }, tail),
    };
    up.check()?;
    if tail.is_empty() { Ok(up) } else { Err(FrameError::Body) }
}

/// Reads a stuffed frame (without its zero) in place.
pub fn decode_down(stuffed: &mut [u8]) -> Result<Down, FrameError> {
    down_of(open(stuffed)?)
}

/// Reads a frame's body.
pub(super) fn down_of(body: &[u8]) -> Result<Down, FrameError> {
    let down = read_down(body)?;
    down.check()?;
    Ok(down)
}

/// Unstuffs, checks checksum and version, returns the body.
fn open(stuffed: &mut [u8]) -> Result<&[u8], FrameError> {
    let signed = signed(stuffed, MAX_FRAME)?;
    let (&mut first, body) = signed.split_first_mut().ok_or(FrameError::Body)?;
    if form(first)? == CLEAR { Ok(body) } else { Err(FrameError::NoSession) }
}

/// The form of a frame whose body is the message itself.
pub(super) const CLEAR: u8 = 0;

/// What the two high bits of a frame's first byte say of it, if the others are this version.
pub(super) const fn form(first: u8) -> Result<u8, FrameError> {
    let version = first & 0x3f;
    if version == WIRE_VERSION { Ok(first & 0xc0) } else { Err(FrameError::Version(version)) }
}

/// Unstuffs and checks the checksum; returns what that is over. A raw frame is `most` bytes long at most.
#[inline]
pub(super) fn signed(stuffed: &mut [u8], most: usize) -> Result<&mut [u8], FrameError> {
    if stuffed.len() > encoded_len(most) {
        return Err(FrameError::TooLong);
    }
    let len = unstuff(stuffed).ok_or(FrameError::Stuffing)?;
    if len > most {
        return Err(FrameError::TooLong);
    }
    let raw = stuffed.get_mut(..len).ok_or(FrameError::Stuffing)?;
    let (signed, crc) = raw.split_last_chunk_mut::<4>().ok_or(FrameError::Checksum)?;
    if crc32(signed) == u32::from_le_bytes(*crc) { Ok(signed) } else { Err(FrameError::Checksum) }
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
