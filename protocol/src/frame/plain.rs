//! What a board writes and reads, byte by byte. It is what postcard makes of the same messages, and golden vectors hold both to it; serde in
//! these two directions takes a Cortex-M0 twice the flash.

use super::{Deadband, Down, FrameError, Heartbeat, Hello, HelloMark, Lost, Readings, Settings, Up, Welcome};
use crate::{
    channel::ChannelDecl,
    id::{BootId, BootTag, Seq},
    reading::Value,
    varint::{Reader, Truncated, Writer},
};

/// Everything of an up frame but a Hello's channels and a Readings' samples.
pub(super) fn write_head(up: &Up<'_>, out: &mut Writer<'_>) -> Result<(), Truncated> {
    match up {
        Up::Hello(hello) => write_hello(hello, out),
        &Up::Readings(Readings { boot, first_seq, floor, next, base_tick, count, .. }) => {
            out.byte(1)?;
            out.bytes(&boot.0)?;
            numbers(out, &[first_seq.0, floor.0, next.0, base_tick.0, u64::from(count)])
        }
        Up::Heartbeat(heartbeat) => write_heartbeat(heartbeat, out),
        &Up::Lost(Lost { boot, range, reason, floor, next }) => {
            out.byte(3)?;
            out.bytes(&boot.0)?;
            numbers(out, &[range.start, range.end, reason as u64, floor.0, next.0])
        }
        Up::SettingsResult { boot, result } => {
            out.byte(4)?;
            out.bytes(&boot.0)?;
            out.byte(result.channel)?;
            numbers(out, &[u64::from(result.revision), result.code as u64])
        }
    }
}

fn numbers(out: &mut Writer<'_>, numbers: &[u64]) -> Result<(), Truncated> {
    numbers.iter().try_for_each(|&number| out.unsigned(number))
}

fn text(out: &mut Writer<'_>, bytes: &[u8]) -> Result<(), Truncated> {
    out.unsigned(bytes.len() as u64)?;
    out.bytes(bytes)
}

fn write_hello(hello: &Hello<'_>, out: &mut Writer<'_>) -> Result<(), Truncated> {
    out.byte(0)?;
    text(out, hello.device.as_bytes())?;
    text(out, hello.tag.as_bytes())?;
    text(out, hello.firmware.as_bytes())?;
    match hello.boot {
        Some(boot) => numbers(out, &[1, boot.0])?,
        None => out.byte(0)?,
    }
    numbers(out, &[hello.standing as u64, hello.floor.0, hello.next.0])?;
    out.byte(hello.channels.len() as u8)
}

fn write_heartbeat(heartbeat: &Heartbeat, out: &mut Writer<'_>) -> Result<(), Truncated> {
    let &Heartbeat { boot, floor, next, tick, ring_free, clock, counters } = heartbeat;
    out.byte(2)?;
    out.bytes(&boot.0)?;
    numbers(out, &[floor.0, next.0, tick.0, u64::from(ring_free)])?;
    match clock {
        Some(clock) => {
            numbers(out, &[1, clock.tick.0])?;
            out.signed(clock.unix_ms)?;
            out.unsigned(u64::from(clock.error_ms))?;
        }
        None => out.byte(0)?,
    }
    [counters.bad_frames, counters.repeated, counters.refused_acks, counters.links_lost]
        .iter()
        .try_for_each(|&count| out.unsigned(u64::from(count)))
}

pub(super) fn write_channel(channel: &ChannelDecl<&str>, out: &mut Writer<'_>) -> Result<(), Truncated> {
    text(out, channel.name.as_bytes())?;
    text(out, channel.unit.as_bytes())?;
    out.bytes(&[channel.kind as u8, channel.scale])
}

/// A whole body.
pub(super) fn read_down(body: &[u8]) -> Result<Down, FrameError> {
    let mut from = Reader::new(body);
    let down = match from.unsigned()? {
        0 => Down::Welcome(Welcome {
            answers: match flag(&mut from)? {
                true => Some(HelloMark { boot: BootTag(from.array()?), next: Seq(from.unsigned()?) }),
                false => None,
            },
            boot: BootId(from.unsigned()?),
            unix_ms: from.signed()?,
            error_ms: short(&mut from)?,
        }),
        1 => Down::Ack { boot: BootId(from.unsigned()?), up_to: Seq(from.unsigned()?) },
        2 => Down::Settings { boot: BootTag(from.array()?), settings: read_settings(&mut from)? },
        3 => Down::Time { unix_ms: from.signed()?, error_ms: short(&mut from)? },
        4 => Down::Identify,
        _ => return Err(FrameError::Body),
    };
    if from.rest().is_empty() { Ok(down) } else { Err(FrameError::Body) }
}

fn read_settings(from: &mut Reader<'_>) -> Result<Settings, FrameError> {
    Ok(Settings {
        revision: short(from)?,
        channel: from.byte()?,
        enabled: flag(from)?,
        period_ms: short(from)?,
        report_deadband: match flag(from)? {
            true => Some(read_deadband(from)?),
            false => None,
        },
        max_silence_ms: short(from)?,
    })
}

fn read_deadband(from: &mut Reader<'_>) -> Result<Deadband, FrameError> {
    match from.unsigned()? {
        0 => Ok(Deadband::Absolute(match from.unsigned()? {
            0 => Value::Bool(flag(from)?),
            1 => Value::Decimal { mantissa: from.signed()?, scale: from.byte()? },
            2 => Value::F32(f32::from_le_bytes(from.array()?)),
            3 => Value::F64(f64::from_le_bytes(from.array()?)),
            _ => return Err(FrameError::Body),
        })),
        1 => {
            let hundredths = short(from)?.try_into().map_err(|_| FrameError::Body)?;
            Ok(Deadband::Percent { hundredths })
        }
        _ => Err(FrameError::Body),
    }
}

fn flag(from: &mut Reader<'_>) -> Result<bool, FrameError> {
    match from.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FrameError::Body),
    }
}

fn short(from: &mut Reader<'_>) -> Result<u32, FrameError> {
    from.unsigned()?.try_into().map_err(|_| FrameError::Body)
}
