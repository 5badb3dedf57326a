//! Lengths of time, counted in classes that are at most 1/64 of the length wide.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A power of two has 2 to the power of this classes.
const FINE: u32 = 6;

/// The median and the ninth tenth are right to 1/64 of themselves, and never too long; the longest is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    pub count: u64,
    /// Null where there is none.
    pub p50_ms: Option<u64>,
    pub p90_ms: Option<u64>,
    pub max_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// By the least length of their class.
    counts: BTreeMap<u64, u64>,
    max_ms: Option<u64>,
}

impl Histogram {
    pub fn add(&mut self, ms: u64) {
        let width = ms.checked_ilog2().unwrap_or_default().saturating_sub(FINE);
        *self.counts.entry(ms >> width << width).or_default() += 1;
        self.max_ms = self.max_ms.max(Some(ms));
    }

    pub fn and(mut self, other: &Self) -> Self {
        for (class, count) in &other.counts {
            *self.counts.entry(*class).or_default() += count;
        }
        self.max_ms = self.max_ms.max(other.max_ms);
        self
    }

    pub fn times(&self) -> Times {
        let count: u64 = self.counts.values().sum();
        let least = |percent: u64| {
            let place = (count * percent).div_ceil(100);
            let mut before = 0;
            let found = self.counts.iter().find(|(_, count)| {
                before += **count;
                before >= place
            });
            found.map(|(class, _)| *class)
        };
        Times { count, p50_ms: least(50), p90_ms: least(90), max_ms: self.max_ms }
    }
}
