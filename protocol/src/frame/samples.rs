//! Packed readings: what a Readings frame carries after its head.
//!
//! Each reading is a channel byte, a meta byte, a tick delta where the meta byte says so, and the value:
//!
//! ```text
//! meta   bits 0–1 value kind (0 bool, 1 decimal, 2 f32, 3 f64); bits 2–3 quality; bit 4 tick delta follows;
//!        bit 5 the bool's value, zero with other kinds; bits 6–7 zero
//! tick   zigzag varint: difference to the reading before (the first: to base_tick)
//! value  decimal: zigzag varint of the mantissa; f32, f64: little-endian; bool: nothing
//! ```
//! A decimal's scale is not sent: it is the channel's, as declared in Hello.

use super::FrameError;
use crate::{
    channel::ValueKind,
    id::{ChannelIndex, Seq},
    reading::{MAX_SCALE, Quality, Reading, Tick, Value},
    varint::{Reader, Truncated, Writer},
};

pub(super) const TICK_FOLLOWS: u8 = 1 << 4;
const TRUE: u8 = 1 << 5;
const RESERVED: u8 = 0b1100_0000;

/// Packs readings of consecutive seqs into a buffer.
#[derive(Debug)]
pub struct SamplePacker<'a> {
    writer: Writer<'a>,
    tick: Tick,
    count: u16,
}

impl<'a> SamplePacker<'a> {
    pub const fn new(buffer: &'a mut [u8], base_tick: Tick) -> Self {
        Self { writer: Writer::new(buffer), tick: base_tick, count: 0 }
    }

    pub const fn count(&self) -> u16 {
        self.count
    }

    pub const fn len(&self) -> usize {
        self.writer.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a reading; false, and nothing added, when the buffer cannot hold it.
    pub fn push(&mut self, reading: &Reading) -> bool {
        // A reading is at most 22 bytes; it is packed aside so that a full buffer is left whole.
        let mut aside = [0; 24];
        let mut writer = Writer::new(&mut aside);
        if pack(&mut writer, reading, self.tick).is_err() {
            return false;
        }
        let len = writer.len();
        let Some(packed) = aside.get(..len) else { return false };
        if self.count == u16::MAX || self.writer.bytes(packed).is_err() {
            return false;
        }
        self.tick = reading.tick;
        self.count += 1;
        true
    }
}

fn pack(writer: &mut Writer<'_>, reading: &Reading, before: Tick) -> Result<(), Truncated> {
    let delta = reading.tick.0.wrapping_sub(before.0) as i64;
    let (kind, truth) = match reading.value {
        Value::Bool(truth) => (ValueKind::Bool, truth),
        Value::Decimal { .. } => (ValueKind::Decimal, false),
        Value::F32(_) => (ValueKind::F32, false),
        Value::F64(_) => (ValueKind::F64, false),
    };
    let mut meta = kind as u8 | reading.quality.code() << 2;
    if delta != 0 {
        meta |= TICK_FOLLOWS;
    }
    if truth {
        meta |= TRUE;
    }
    writer.bytes(&[reading.channel.0, meta])?;
    if delta != 0 {
        writer.signed(delta)?;
    }
    match reading.value {
        Value::Bool(_) => Ok(()),
        Value::Decimal { mantissa, .. } => writer.signed(mantissa),
        Value::F32(value) => writer.bytes(&value.to_le_bytes()),
        Value::F64(value) => writer.bytes(&value.to_le_bytes()),
    }
}

/// Unpacks readings. `scales` holds each channel's declared scale, by index; a channel beyond it is an error.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    reader: Reader<'a>,
    seq: Seq,
    tick: Tick,
    left: u16,
}

impl<'a> Samples<'a> {
    pub(super) const fn new(bytes: &'a [u8], first_seq: Seq, base_tick: Tick, count: u16) -> Self {
        Self { reader: Reader::new(bytes), seq: first_seq, tick: base_tick, left: count }
    }

    /// The next reading. After an error nothing more follows.
    pub fn next(&mut self, scales: &[u8]) -> Option<Result<Reading, FrameError>> {
        if self.left == 0 {
            return if self.reader.rest().is_empty() { None } else { Some(Err(self.fail(FrameError::Body))) };
        }
        self.left -= 1;
        let reading = self.unpack(scales).map_err(|error| self.fail(error));
        self.seq = Seq(self.seq.0.wrapping_add(1));
        Some(reading)
    }

    /// Hands over every reading that is left, and stops at the first error. The way for an agent with many boards:
    /// one tight loop, no iterator state between readings.
    pub fn for_each(mut self, scales: &[u8], mut each: impl FnMut(Reading)) -> Result<(), FrameError> {
        for _ in 0..self.left {
            each(self.unpack(scales)?);
            self.seq = Seq(self.seq.0.wrapping_add(1));
        }
        if self.reader.rest().is_empty() { Ok(()) } else { Err(FrameError::Body) }
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.left = 0;
        self.reader = Reader::new(&[]);
        error
    }

    #[inline(always)]
    fn unpack(&mut self, scales: &[u8]) -> Result<Reading, FrameError> {
        let [channel, meta] = self.reader.array()?;
        let scale = *scales.get(usize::from(channel)).ok_or(FrameError::UnknownChannel(channel))?;
        let kind = ValueKind::from_code(meta & 3).ok_or(FrameError::Body)?;
        if meta & RESERVED != 0 || scale > MAX_SCALE || (meta & TRUE != 0 && kind != ValueKind::Bool) {
            return Err(FrameError::Body);
        }
        let quality = Quality::from_code(meta >> 2 & 3).ok_or(FrameError::Body)?;
        if meta & TICK_FOLLOWS != 0 {
            self.tick = Tick(self.tick.0.wrapping_add(self.reader.signed()? as u64));
        }
        let value = match kind {
            ValueKind::Bool => Value::Bool(meta & TRUE != 0),
            ValueKind::Decimal => Value::Decimal { mantissa: self.reader.signed()?, scale },
            ValueKind::F32 => Value::F32(f32::from_le_bytes(self.reader.array()?)),
            ValueKind::F64 => Value::F64(f64::from_le_bytes(self.reader.array()?)),
        };
        Ok(Reading { seq: self.seq, channel: ChannelIndex(channel), tick: self.tick, value, quality })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(bytes: &[u8]) -> Result<Value, FrameError> {
        let mut samples = Samples::new(bytes, Seq(0), Tick(0), 1);
        let value = samples.next(&[2, 19]).unwrap_or(Err(FrameError::Body))?.value;
        // The tight loop says the same, and sees what is left over besides.
        Samples::new(bytes, Seq(0), Tick(0), 1)
            .for_each(&[2, 19], |reading| assert_eq!(reading.value, value))?;
        samples.next(&[2, 19]).map_or(Ok(value), |left_over| left_over.map(|reading| reading.value))
    }

    #[test]
    fn meta_bits_say_what_the_page_says_and_nothing_else() {
        assert_eq!(unpacked(&[0, 0x20]), Ok(Value::Bool(true)));
        assert_eq!(unpacked(&[0, 0x19, 2, 1]), Ok(Value::Decimal { mantissa: -1, scale: 2 }));
        for (bytes, wrong) in [
            (&[0, 0x40][..], "bit 6"),
            (&[0, 0x80], "bit 7"),
            (&[0, 0x21, 0], "a decimal that is true"),
            (&[0, 0x0c], "quality 3"),
            (&[0, 0x01], "no mantissa"),
            (&[0, 0x10], "no tick"),
            (&[0, 0x02, 0, 0, 0], "half a float"),
            (&[0, 0x00, 0], "a byte too many"),
            (&[1, 0x01, 0], "scale 19"),
        ] {
            assert_eq!(unpacked(bytes), Err(FrameError::Body), "{wrong}");
        }
        assert_eq!(unpacked(&[2, 0x20]), Err(FrameError::UnknownChannel(2)));
    }
}
