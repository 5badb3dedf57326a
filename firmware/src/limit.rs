//! A limit that the board watches itself, so that the sample which crosses it leaves at once
//! ([`crate::Node::sample_at_once`]): below a report deadband, or lingering for company, it would be late. What the crossing
//! means is for the rules above; this uses their comparisons.

/// A limit with hysteresis, on the mantissas of one scale.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    side: Side,
    raise: i64,
    clear: i64,
    is_beyond: bool,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Above,
    Below,
}

impl Limit {
    /// Beyond when a value is greater than `limit`, until one is at `limit - deadband` or less.
    pub const fn above(limit: i64, deadband: u32) -> Self {
        let clear = limit.saturating_sub(deadband as i64);
        Self { side: Side::Above, raise: limit, clear, is_beyond: false }
    }

    /// Beyond when a value is less than `limit`, until one is at `limit + deadband` or more.
    pub const fn below(limit: i64, deadband: u32) -> Self {
        let clear = limit.saturating_add(deadband as i64);
        Self { side: Side::Below, raise: limit, clear, is_beyond: false }
    }

    /// Whether this value crosses the limit, in either direction.
    pub const fn crosses(&mut self, mantissa: i64) -> bool {
        let before = self.is_beyond;
        self.is_beyond = match (self.side, before) {
            (Side::Above, false) => mantissa > self.raise,
            (Side::Above, true) => mantissa > self.clear,
            (Side::Below, false) => mantissa < self.raise,
            (Side::Below, true) => mantissa < self.clear,
        };
        before != self.is_beyond
    }

    pub const fn is_beyond(&self) -> bool {
        self.is_beyond
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn crossings(mut limit: Limit, values: &[i64]) -> Vec<i64> {
        values.iter().copied().filter(|&value| limit.crosses(value)).collect()
    }

    #[test]
    fn a_limit_is_crossed_outwards_at_itself_and_back_at_its_deadband() {
        let above = [59, 60, 61, 70, 60, 56, 55, 54, 60, 61];
        assert_eq!(crossings(Limit::above(60, 5), &above), [61, 55, 61]);
        let below = [21, 20, 19, 24, 25, 20, 19];
        assert_eq!(crossings(Limit::below(20, 5), &below), [19, 25, 19]);
        assert_eq!(crossings(Limit::above(i64::MIN, 5), &[i64::MIN, 0, i64::MIN]), [0, i64::MIN]);
    }
}
