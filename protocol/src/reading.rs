//! A reading: one value of one channel, measured once, immutable.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{ChannelIndex, Seq};

/// The origin's own milliseconds since its boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tick(pub u64);

/// What the sensor's word is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Quality {
    #[default]
    Good = 0,
    Uncertain = 1,
    Bad = 2,
}

impl Quality {
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Good),
            1 => Some(Self::Uncertain),
            2 => Some(Self::Bad),
            _ => None,
        }
    }

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
        }
    }
}

/// A measured value. Equality is that of the bits: two NaNs with one pattern are equal, `0.0` and `-0.0` are
/// not, since a copy of a reading must be the same reading.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Value {
    Bool(bool),
    /// `mantissa × 10^-scale`: what a board without floating point measures.
    Decimal {
        mantissa: i64,
        scale: u8,
    },
    F32(f32),
    F64(f64),
}

/// The largest decimal scale; 10^18 is the last power of ten in 63 bits.
pub const MAX_SCALE: u8 = 18;

impl Value {
    /// The value as a double, correctly rounded where the mantissa is below 2^53.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Bool(b) => f64::from(u8::from(b)),
            Self::Decimal { mantissa, scale } => mantissa as f64 / power_of_ten(scale),
            Self::F32(v) => f64::from(v),
            Self::F64(v) => v,
        }
    }
}

/// 10^scale, exactly, for the scales that exist.
pub const fn power_of_ten(scale: u8) -> f64 {
    const POWERS: [f64; MAX_SCALE as usize + 1] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18,
    ];
    let at = if scale > MAX_SCALE { MAX_SCALE } else { scale };
    POWERS[at as usize]
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Decimal { mantissa: a, scale: s }, Self::Decimal { mantissa: b, scale: t }) => {
                (a, s) == (b, t)
            }
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits(),
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

impl Eq for Value {}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bool(b) => fmt::Display::fmt(&b, f),
            Self::Decimal { mantissa, scale } => {
                // Digits are cut, not divided as doubles: every mantissa is printed exactly.
                let unit = 10_u64.pow(u32::from(scale.min(MAX_SCALE)));
                let (whole, rest) = (mantissa.unsigned_abs() / unit, mantissa.unsigned_abs() % unit);
                let sign = if mantissa < 0 { "-" } else { "" };
                match scale.min(MAX_SCALE) {
                    0 => write!(f, "{sign}{whole}"),
                    decimals => write!(f, "{sign}{whole}.{rest:0width$}", width = usize::from(decimals)),
                }
            }
            Self::F32(v) => fmt::Display::fmt(&v, f),
            Self::F64(v) => fmt::Display::fmt(&v, f),
        }
    }
}

/// One reading of an origin; the origin stands beside it (a block groups readings by origin).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    pub seq: Seq,
    pub channel: ChannelIndex,
    pub tick: Tick,
    pub value: Value,
    pub quality: Quality,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_print_every_digit() {
        for (mantissa, scale, text) in [
            (2145, 2, "21.45"),
            (-5, 2, "-0.05"),
            (7, 0, "7"),
            (i64::MAX, 18, "9.223372036854775807"),
            (i64::MIN, 1, "-922337203685477580.8"),
        ] {
            assert_eq!(std::format!("{}", Value::Decimal { mantissa, scale }), text);
        }
    }

    #[test]
    fn equality_is_that_of_the_bits() {
        assert_eq!(Value::F64(f64::NAN), Value::F64(f64::NAN));
        assert_ne!(Value::F64(0.0), Value::F64(-0.0));
        assert_ne!(Value::F32(1.0), Value::F64(1.0));
        assert_ne!(Value::Decimal { mantissa: 10, scale: 1 }, Value::Decimal { mantissa: 1, scale: 0 });
    }
}
