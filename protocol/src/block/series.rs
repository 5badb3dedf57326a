//! A series: the values of one channel of one origin within a block, as integers that a few bits can say.
//!
//! ```text
//! tag  bits  integer                                          scale follows
//!  0    3    bool: 0 or 1
//!  1    3    decimal: the mantissa                            5 bits
//!  2    3    f32 that is a decimal: the mantissa              5 bits
//!  3    3    f64 that is a decimal: the mantissa              5 bits
//!  4    3    f32: its bits
//!  5    3    f64: its bits
//!  6    3    mixed: no integers; per value kind (2 bits), then 1 bit, scale and 64, 32 or 64 bits
//! ```
//! Mixed is for a channel whose values changed kind or scale within the block; no board does it, and none is harmed.

use alloc::vec::Vec;

use super::{
    bits::{BitReader, BitWriter},
    decimal::{common_scale, exact, exact32, restore, restore32},
};
use crate::{
    channel::ValueKind,
    reading::{MAX_SCALE, Value},
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
    /// Chooses the form of a series, not empty, and appends its integers; `before` is the form of the series before,
    /// whose scale is tried first, so that the same channel of many boards keeps one form.
    pub(super) fn of(values: &[Value], before: Option<Self>, integers: &mut Vec<i64>) -> Self {
        let start = integers.len();
        let hint = before.map_or(0, |before| before.scale);
        let form = match values.first() {
            Some(Value::Bool(_)) => Some(Self { tag: Tag::Bool, scale: 0 })
                .filter(|_| every(values, integers, |value| matches_bool(value).map(i64::from))),
            Some(&Value::Decimal { scale, .. }) => Some(Self { tag: Tag::Decimal, scale })
                .filter(|_| every(values, integers, |value| mantissa(value, scale))),
            Some(Value::F32(_)) => {
                common_scale(values, hint, |value, scale| exact32(f32_of(value)?, scale), integers)
                    .map(|scale| Self { tag: Tag::F32Decimal, scale })
                    .or_else(|| {
                        integers.truncate(start);
                        every(values, integers, |value| f32_of(value).map(|v| i64::from(v.to_bits())))
                            .then_some(Self { tag: Tag::F32Bits, scale: 0 })
                    })
            }
            Some(Value::F64(_)) => {
                common_scale(values, hint, |value, scale| exact(f64_of(value)?, scale), integers)
                    .map(|scale| Self { tag: Tag::F64Decimal, scale })
                    .or_else(|| {
                        integers.truncate(start);
                        every(values, integers, |value| f64_of(value).map(|v| v.to_bits() as i64))
                            .then_some(Self { tag: Tag::F64Bits, scale: 0 })
                    })
            }
            None => None,
        };
        form.unwrap_or_else(|| {
            integers.truncate(start);
            Self { tag: Tag::Mixed, scale: 0 }
        })
    }

    pub(super) fn is_mixed(self) -> bool {
        self.tag == Tag::Mixed
    }

    pub(super) fn write(self, bits: &mut BitWriter<'_>) {
        bits.bits(self.tag as u64, 3);
        if self.tag.has_scale() {
            bits.bits(self.scale.into(), 5);
        }
    }

    pub(super) fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let tag = *Tag::ALL.get(bits.bits(3) as usize)?;
        let scale = if tag.has_scale() { bits.bits(5) as u8 } else { 0 };
        (scale <= MAX_SCALE).then_some(Self { tag, scale })
    }

    /// The value that an integer stands for; none when the form has no such value.
    #[inline]
    pub(super) fn value(self, integer: i64) -> Option<Value> {
        Some(match self.tag {
            Tag::Bool => match integer {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return None,
            },
            Tag::Decimal => Value::Decimal { mantissa: integer, scale: self.scale },
            Tag::F32Decimal => Value::F32(restore32(integer, self.scale)),
            Tag::F64Decimal => Value::F64(restore(integer, self.scale)),
            Tag::F32Bits => Value::F32(f32::from_bits(u32::try_from(integer).ok()?)),
            Tag::F64Bits => Value::F64(f64::from_bits(integer as u64)),
            Tag::Mixed => return None,
        })
    }
}

/// Appends the integer of every value; false when one has none.
fn every(values: &[Value], integers: &mut Vec<i64>, integer: impl Fn(&Value) -> Option<i64>) -> bool {
    let before = integers.len();
    integers.extend(values.iter().map_while(integer));
    integers.len() - before == values.len()
}

fn matches_bool(value: &Value) -> Option<bool> {
    if let Value::Bool(truth) = value { Some(*truth) } else { None }
}

fn mantissa(value: &Value, of_scale: u8) -> Option<i64> {
    match value {
        Value::Decimal { mantissa, scale } if *scale == of_scale => Some(*mantissa),
        _ => None,
    }
}

fn f32_of(value: &Value) -> Option<f32> {
    if let Value::F32(v) = value { Some(*v) } else { None }
}

fn f64_of(value: &Value) -> Option<f64> {
    if let Value::F64(v) = value { Some(*v) } else { None }
}

/// Writes a value of a mixed series.
pub(super) fn write_mixed(value: Value, bits: &mut BitWriter<'_>) {
    match value {
        Value::Bool(truth) => bits.bits(ValueKind::Bool as u64 | u64::from(truth) << 2, 3),
        Value::Decimal { mantissa, scale } => {
            bits.bits(ValueKind::Decimal as u64 | u64::from(scale) << 2, 7);
            bits.bits(mantissa as u64, 64);
        }
        Value::F32(v) => {
            bits.bits(ValueKind::F32 as u64, 2);
            bits.bits(v.to_bits().into(), 32);
        }
        Value::F64(v) => {
            bits.bits(ValueKind::F64 as u64, 2);
            bits.bits(v.to_bits(), 64);
        }
    }
}

/// Reads a value of a mixed series; none when its scale is beyond the bound.
pub(super) fn read_mixed(bits: &mut BitReader<'_>) -> Option<Value> {
    Some(match ValueKind::from_code(bits.bits(2) as u8)? {
        ValueKind::Bool => Value::Bool(bits.bits(1) == 1),
        ValueKind::Decimal => {
            let scale = bits.bits(5) as u8;
            let mantissa = bits.bits(64) as i64;
            if scale > MAX_SCALE {
                return None;
            }
            Value::Decimal { mantissa, scale }
        }
        ValueKind::F32 => Value::F32(f32::from_bits(bits.bits(32) as u32)),
        ValueKind::F64 => Value::F64(f64::from_bits(bits.bits(64))),
    })
}
