//! Whether a reading is wrong, right again, or neither: limits with their deadband, or a list of values.

use alloc::vec::Vec;

use tidegate_protocol::Value;

use crate::{band::Band, condition::Condition};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judge {
    Band(Band),
    OneOf {
        values: Vec<f64>,
        inverted: bool,
    },
    /// Readings do not say it.
    None,
}

/// A reading, and what is compared with limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub value: Value,
    /// The value as a double, a rate, or a deviation. Not NaN.
    pub measure: f64,
}

impl Judge {
    pub fn new(condition: &Condition, deadband: f64) -> Self {
        match condition {
            Condition::Equals(values) => Self::OneOf { values: values.clone(), inverted: false },
            Condition::NotEquals(values) => Self::OneOf { values: values.clone(), inverted: true },
            _ => condition.band(deadband).map_or(Self::None, Self::Band),
        }
    }

    #[inline]
    pub fn raises(&self, judged: Judged) -> bool {
        match self {
            Self::Band(band) => band.raises(judged.measure),
            Self::OneOf { values, inverted } => is_one_of(judged.value, values) != *inverted,
            Self::None => false,
        }
    }

    #[inline]
    pub fn clears(&self, judged: Judged) -> bool {
        match self {
            Self::Band(band) => band.clears(judged.measure),
            Self::OneOf { .. } => !self.raises(judged),
            Self::None => false,
        }
    }

    /// How bad a measure is; only compared. Of listed values none is worse than another.
    pub fn severity(&self, measure: f64) -> f64 {
        match self {
            Self::Band(band) => band.severity(measure),
            Self::OneOf { .. } | Self::None => 0.0,
        }
    }

    /// The limit that a measure is to be named with; the nearest of listed values.
    pub fn limit_for(&self, measure: f64) -> f64 {
        match self {
            Self::Band(band) => band.limit_for(measure),
            Self::OneOf { values, .. } => {
                let distance = |value: &f64| (value - measure).abs();
                values.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or_default()
            }
            Self::None => 0.0,
        }
    }
}

/// A single-precision value is compared in single precision: 0.1 is then what a board calls 0.1.
fn is_one_of(value: Value, listed: &[f64]) -> bool {
    match value {
        Value::F32(value) => listed.iter().any(|listed| *listed as f32 == value),
        other => listed.contains(&other.as_f64()),
    }
}
