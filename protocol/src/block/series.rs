//! One series: the values of one channel of one origin within a block.
//!
//! ```text
//! tag     0 bool · 1 decimal · 2 f32 as decimal · 3 f64 as decimal · 4 f32 bits · 5 f64 bits · 6 mixed
//! scale   a byte, with tags 1, 2 and 3
//! values  bool: packed, low bit first · decimals: zigzag varint of the difference to the one before (the first: to 0),
//!         wrapping · bits: little-endian · mixed: each a postcard `Value`
//! ```
//! Mixed is for a channel whose values changed kind or scale within the block; no board does it, and none is harmed.

use alloc::vec::Vec;

use super::decimal::{common_scale, exact, exact32, restore, restore32};
use crate::{
    reading::{MAX_SCALE, Value},
    varint::{Reader, push_unsigned, unzigzag, zigzag},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    tag: Tag,
    scale: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    Bool = 0,
    Decimal = 1,
    F32Decimal = 2,
    F64Decimal = 3,
    F32Bits = 4,
    F64Bits = 5,
    Mixed = 6,
}

impl Tag {
    const ALL: [Self; 7] = [
        Self::Bool,
        Self::Decimal,
        Self::F32Decimal,
        Self::F64Decimal,
        Self::F32Bits,
        Self::F64Bits,
        Self::Mixed,
    ];

    const fn has_scale(self) -> bool {
        matches!(self, Self::Decimal | Self::F32Decimal | Self::F64Decimal)
    }
}

impl Form {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.push(self.tag as u8);
        if self.tag.has_scale() {
            out.push(self.scale);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let tag = *Tag::ALL.get(usize::from(reader.byte().ok()?))?;
        let scale = if tag.has_scale() { reader.byte().ok()? } else { 0 };
        (scale <= MAX_SCALE).then_some(Self { tag, scale })
    }
}

/// Writes the values, choosing the shortest exact form; `scratch` is reused between series.
pub(super) fn encode(values: &[Value], out: &mut Vec<u8>, scratch: &mut Vec<i64>) -> Form {
    match values.first() {
        Some(Value::Bool(_)) if values.iter().all(|value| matches!(value, Value::Bool(_))) => {
            for eight in values.chunks(8) {
                let bit = |(at, value): (usize, &Value)| u8::from(*value == Value::Bool(true)) << at;
                out.push(eight.iter().enumerate().map(bit).sum());
            }
            Form { tag: Tag::Bool, scale: 0 }
        }
        Some(&Value::Decimal { scale, .. }) => {
            scratch.clear();
            scratch.extend(values.iter().map_while(|value| match value {
                Value::Decimal { mantissa, scale: own } if *own == scale => Some(*mantissa),
                _ => None,
            }));
            if scratch.len() == values.len() && scale <= MAX_SCALE {
                push_deltas(scratch, out);
                return Form { tag: Tag::Decimal, scale };
            }
            mixed(values, out)
        }
        Some(Value::F32(_)) if values.iter().all(|value| matches!(value, Value::F32(_))) => {
            let floats =
                values.iter().filter_map(|value| if let Value::F32(v) = value { Some(*v) } else { None });
            floats_or_bits(floats, exact32, (Tag::F32Decimal, Tag::F32Bits), out, scratch, |v, out| {
                out.extend_from_slice(&v.to_le_bytes());
            })
        }
        Some(Value::F64(_)) if values.iter().all(|value| matches!(value, Value::F64(_))) => {
            let floats =
                values.iter().filter_map(|value| if let Value::F64(v) = value { Some(*v) } else { None });
            floats_or_bits(floats, exact, (Tag::F64Decimal, Tag::F64Bits), out, scratch, |v, out| {
                out.extend_from_slice(&v.to_le_bytes());
            })
        }
        _ => mixed(values, out),
    }
}

fn floats_or_bits<V: Copy>(
    floats: impl Iterator<Item = V> + Clone,
    exact: impl Fn(V, u8) -> Option<i64>,
    (decimal, bits): (Tag, Tag),
    out: &mut Vec<u8>,
    scratch: &mut Vec<i64>,
    push_bits: impl Fn(V, &mut Vec<u8>),
) -> Form {
    if let Some(scale) = common_scale(floats.clone(), exact, scratch) {
        push_deltas(scratch, out);
        return Form { tag: decimal, scale };
    }
    floats.for_each(|value| push_bits(value, out));
    Form { tag: bits, scale: 0 }
}

fn mixed(values: &[Value], out: &mut Vec<u8>) -> Form {
    for value in values {
        // A Value is at most 12 bytes of postcard; it always fits.
        if let Ok(bytes) = postcard::to_slice(value, &mut [0; 16]) {
            out.extend_from_slice(bytes);
        }
    }
    Form { tag: Tag::Mixed, scale: 0 }
}

fn push_deltas(mantissas: &[i64], out: &mut Vec<u8>) {
    let mut before = 0_i64;
    for &mantissa in mantissas {
        push_unsigned(out, zigzag(mantissa.wrapping_sub(before)));
        before = mantissa;
    }
}

/// Reads `count` values of `form`; the count was bounded by the directory.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    form: Form,
    count: usize,
    mut each: impl FnMut(Value),
) -> Option<()> {
    let scale = form.scale;
    match form.tag {
        Tag::Bool => {
            let packed = reader.bytes(count.div_ceil(8)).ok()?;
            (0..count).for_each(|at| {
                let byte = packed.get(at / 8).copied().unwrap_or_default();
                each(Value::Bool(byte >> (at % 8) & 1 == 1));
            });
        }
        Tag::Decimal => deltas(reader, count, |mantissa| each(Value::Decimal { mantissa, scale }))?,
        Tag::F32Decimal => deltas(reader, count, |mantissa| each(Value::F32(restore32(mantissa, scale))))?,
        Tag::F64Decimal => deltas(reader, count, |mantissa| each(Value::F64(restore(mantissa, scale))))?,
        Tag::F32Bits => {
            for _ in 0..count {
                each(Value::F32(f32::from_le_bytes(reader.array().ok()?)));
            }
        }
        Tag::F64Bits => {
            for _ in 0..count {
                each(Value::F64(f64::from_le_bytes(reader.array().ok()?)));
            }
        }
        Tag::Mixed => {
            for _ in 0..count {
                let (value, rest) = postcard::take_from_bytes::<Value>(reader.rest()).ok()?;
                if matches!(value, Value::Decimal { scale, .. } if scale > MAX_SCALE) {
                    return None;
                }
                *reader = Reader::new(rest);
                each(value);
            }
        }
    }
    Some(())
}

fn deltas(reader: &mut Reader<'_>, count: usize, mut each: impl FnMut(i64)) -> Option<()> {
    let mut mantissa = 0_i64;
    for _ in 0..count {
        mantissa = mantissa.wrapping_add(unzigzag(reader.unsigned().ok()?));
        each(mantissa);
    }
    Some(())
}
