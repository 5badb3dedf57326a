//! What a rule watches for, and which quantity its limits are compared with.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    band::Band,
    stale::Stale,
    window::{Quantity, Span},
};

/// When a channel is wrong. Limits are finite, and the first of a pair is not above the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// Raised when value > limit; cleared when value <= limit - deadband.
    Above(f64),
    /// Raised when value < limit; cleared when value >= limit + deadband.
    Below(f64),
    /// Raised when value < low or value > high; cleared when low + deadband <= value <= high - deadband.
    Outside(f64, f64),
    /// Raised when low <= value <= high; cleared when value < low - deadband or value > high + deadband.
    Inside(f64, f64),
    /// Raised while the value is one of these, cleared by any other. A bool is 0 or 1.
    Equals(Vec<f64>),
    /// Raised while the value is none of these, cleared by any of them.
    NotEquals(Vec<f64>),
    Rate(Rate),
    Deviation(Deviation),
    /// Says nothing of readings, but of their absence: see [`crate::stale`].
    Stale(Stale),
}

/// The change per `per_ms` over the window, as `Outside(below, above)`. At least one of the limits is given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub per_ms: u64,
    pub over_ms: u64,
}

/// The value less the mean of the window before it, as `Outside(low, high)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    pub low: f64,
    pub high: f64,
    pub over_ms: u64,
}

/// The key that a condition is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    Above,
    Below,
    Outside,
    Inside,
    Equals,
    NotEquals,
    Rate,
    Deviation,
    Stale,
}

impl ConditionKind {
    pub const ALL: [Self; 9] = [
        Self::Above,
        Self::Below,
        Self::Outside,
        Self::Inside,
        Self::Equals,
        Self::NotEquals,
        Self::Rate,
        Self::Deviation,
        Self::Stale,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::Outside => "outside",
            Self::Inside => "inside",
            Self::Equals => "equals",
            Self::NotEquals => "not_equals",
            Self::Rate => "rate",
            Self::Deviation => "deviation",
            Self::Stale => "stale",
        }
    }

    /// Peaks are comparable where this is the same.
    pub const fn quantity(self) -> Quantity {
        match self {
            Self::Rate => Quantity::Rate,
            Self::Deviation => Quantity::Deviation,
            _ => Quantity::Value,
        }
    }
}

impl Condition {
    pub fn kind(&self) -> ConditionKind {
        match self {
            Self::Above(_) => ConditionKind::Above,
            Self::Below(_) => ConditionKind::Below,
            Self::Outside(..) => ConditionKind::Outside,
            Self::Inside(..) => ConditionKind::Inside,
            Self::Equals(_) => ConditionKind::Equals,
            Self::NotEquals(_) => ConditionKind::NotEquals,
            Self::Rate(_) => ConditionKind::Rate,
            Self::Deviation(_) => ConditionKind::Deviation,
            Self::Stale(_) => ConditionKind::Stale,
        }
    }

    /// The window that it looks at, where it looks at more than the reading itself.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Rate(rate) => Some(Span { quantity: Quantity::Rate, over_ms: rate.over_ms }),
            Self::Deviation(deviation) => {
                Some(Span { quantity: Quantity::Deviation, over_ms: deviation.over_ms })
            }
            _ => None,
        }
    }

    /// The limits as comparisons; none where there is nothing to compare with limits.
    pub(crate) fn band(&self, deadband: f64) -> Option<Band> {
        match *self {
            Self::Above(limit) => Some(Band::outside(f64::NEG_INFINITY, limit, deadband)),
            Self::Below(limit) => Some(Band::outside(limit, f64::INFINITY, deadband)),
            Self::Outside(low, high) => Some(Band::outside(low, high, deadband)),
            Self::Inside(low, high) => Some(Band::inside(low, high, deadband)),
            Self::Rate(Rate { above, below, .. }) => {
                let (low, high) = (below.unwrap_or(f64::NEG_INFINITY), above.unwrap_or(f64::INFINITY));
                Some(Band::outside(low, high, deadband))
            }
            Self::Deviation(Deviation { low, high, .. }) => Some(Band::outside(low, high, deadband)),
            Self::Equals(_) | Self::NotEquals(_) | Self::Stale(_) => None,
        }
    }
}
