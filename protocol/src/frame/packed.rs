//! Walking packed readings without unpacking them, so that a board can keep its readings in the form in which it
//! sends them.

use crate::{channel::ValueKind, reading::Tick, varint::Reader};

use super::samples::TICK_FOLLOWS;

/// The most bytes that one packed reading takes: channel, meta, two varints of 64 bits.
pub const MAX_PACKED: usize = 22;

/// The length of the packed reading that `bytes` begins with, and its tick, given the tick of the one before it.
/// None when no whole reading stands there.
pub fn measure_packed(bytes: &[u8], before: Tick) -> Option<(usize, Tick)> {
    let mut reader = Reader::new(bytes);
    let [_channel, meta] = reader.array().ok()?;
    let tick = if meta & TICK_FOLLOWS == 0 {
        before
    } else {
        Tick(before.0.wrapping_add(reader.signed().ok()? as u64))
    };
    match ValueKind::from_code(meta & 3)? {
        ValueKind::Bool => {}
        ValueKind::Decimal => {
            reader.signed().ok()?;
        }
        ValueKind::F32 => {
            reader.array::<4>().ok()?;
        }
        ValueKind::F64 => {
            reader.array::<8>().ok()?;
        }
    }
    Some((bytes.len() - reader.rest().len(), tick))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::SamplePacker,
        id::{ChannelIndex, Seq},
        reading::{Quality, Reading, Value},
    };

    #[test]
    fn each_packed_reading_is_measured_with_its_tick() {
        let values = [
            Value::Bool(true),
            Value::Decimal { mantissa: i64::MIN, scale: 18 },
            Value::Decimal { mantissa: 7, scale: 0 },
            Value::F32(1.5),
            Value::F64(-0.0),
        ];
        let ticks = [5, 5, u64::MAX, 0, 1 << 40];
        for (&value, tick) in values.iter().zip(ticks) {
            let mut buffer = [0; MAX_PACKED + 1];
            let mut packer = SamplePacker::new(&mut buffer, Tick(5));
            let (seq, channel) = (Seq(0), ChannelIndex(3));
            assert!(packer.push(&Reading { seq, channel, tick: Tick(tick), value, quality: Quality::Bad }));
            let len = packer.len();
            assert!(len <= MAX_PACKED);
            assert_eq!(measure_packed(&buffer, Tick(5)), Some((len, Tick(tick))), "{value:?} at {tick}");
            assert_eq!(measure_packed(&buffer[..len - 1], Tick(5)), None);
        }
    }
}
