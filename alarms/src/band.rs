//! A rule's limits and deadband, turned once into plain comparisons.

/// The values in which a rule is raised, and those in which it is cleared. Between them lies the deadband, where
/// the alarm stays as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Band {
    inverted: bool,
    raise_low: f64,
    raise_high: f64,
    clear_low: f64,
    clear_high: f64,
}

impl Band {
    /// Raised outside of the limits, each of which may be infinite.
    pub fn outside(low: f64, high: f64, deadband: f64) -> Self {
        Self::new(false, low, high, -deadband)
    }

    pub fn inside(low: f64, high: f64, deadband: f64) -> Self {
        Self::new(true, low, high, deadband)
    }

    fn new(inverted: bool, low: f64, high: f64, widen: f64) -> Self {
        Self { inverted, raise_low: low, raise_high: high, clear_low: low - widen, clear_high: high + widen }
    }

    /// Neither raised nor cleared by NaN: every comparison with it is false.
    #[inline]
    pub fn raises(&self, value: f64) -> bool {
        if self.inverted {
            value >= self.raise_low && value <= self.raise_high
        } else {
            value < self.raise_low || value > self.raise_high
        }
    }

    #[inline]
    pub fn clears(&self, value: f64) -> bool {
        if self.inverted {
            value < self.clear_low || value > self.clear_high
        } else {
            value >= self.clear_low && value <= self.clear_high
        }
    }

    /// How bad a value is: beyond its limit, or, for a rule on the inside, how deep within. Only compared.
    pub fn severity(&self, value: f64) -> f64 {
        let (below, above) = (self.raise_low - value, value - self.raise_high);
        // `max` and `min` pass over the NaN that infinity minus infinity gives.
        if self.inverted { (-below).min(-above) } else { below.max(above) }
    }

    /// The limit that a value is to be named with.
    pub fn limit_for(&self, value: f64) -> f64 {
        if self.raise_low.is_infinite() {
            return self.raise_high;
        }
        if self.raise_high.is_infinite() || value < self.raise_low {
            return self.raise_low;
        }
        // Within the band of a rule on the inside, or back between the limits of one on the outside: the nearer.
        if value > self.raise_high || self.raise_high - value < value - self.raise_low {
            self.raise_high
        } else {
            self.raise_low
        }
    }

    /// Beyond, or between, which it is raised.
    pub fn limits(&self) -> (f64, f64) {
        (self.raise_low, self.raise_high)
    }

    /// Whether any value clears it.
    pub fn can_clear(&self) -> bool {
        self.inverted || self.clear_low <= self.clear_high
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Condition::{self, *};

    fn band(condition: &Condition, deadband: f64) -> Band {
        condition.band(deadband).unwrap()
    }

    #[test]
    fn equality_at_the_limits() {
        // (condition, deadband, value, raises, clears)
        for (condition, deadband, value, raises, clears) in [
            (Above(10.0), 0.0, 10.0, false, true),
            (Above(10.0), 0.0, 10.1, true, false),
            (Above(10.0), 1.0, 9.0, false, true),
            (Above(10.0), 1.0, 9.1, false, false),
            (Above(10.0), 1.0, f64::NEG_INFINITY, false, true),
            (Above(10.0), 1.0, f64::INFINITY, true, false),
            (Below(10.0), 0.0, 10.0, false, true),
            (Below(10.0), 0.0, 9.9, true, false),
            (Below(10.0), 0.5, 10.5, false, true),
            (Below(10.0), 0.5, 10.4, false, false),
            (Below(10.0), 0.5, f64::INFINITY, false, true),
            (Outside(1.0, 2.0), 0.0, 1.0, false, true),
            (Outside(1.0, 2.0), 0.0, 2.0, false, true),
            (Outside(1.0, 2.0), 0.0, 0.9, true, false),
            (Outside(1.0, 2.0), 0.0, 2.1, true, false),
            (Outside(1.0, 2.0), 0.25, 1.25, false, true),
            (Outside(1.0, 2.0), 0.25, 1.2, false, false),
            (Outside(1.0, 2.0), 0.25, 1.8, false, false),
            (Outside(5.0, 5.0), 0.0, 5.0, false, true),
            (Inside(1.0, 2.0), 0.0, 1.0, true, false),
            (Inside(1.0, 2.0), 0.0, 2.0, true, false),
            (Inside(1.0, 2.0), 0.0, 0.9, false, true),
            (Inside(1.0, 2.0), 0.5, 0.5, false, false),
            (Inside(1.0, 2.0), 0.5, 0.4, false, true),
            (Inside(1.0, 2.0), 0.5, 2.5, false, false),
            (Inside(1.0, 2.0), 0.5, 2.6, false, true),
            (Inside(0.0, 0.0), 0.0, 0.0, true, false),
        ] {
            let band = band(&condition, deadband);
            let case = (&condition, deadband, value);
            assert_eq!((band.raises(value), band.clears(value)), (raises, clears), "{case:?}");
        }
        for condition in [Above(1.0), Below(1.0), Outside(0.0, 1.0), Inside(0.0, 1.0)] {
            let band = band(&condition, 0.0);
            assert!(!band.raises(f64::NAN) && !band.clears(f64::NAN), "{condition:?}");
        }
    }

    #[test]
    fn the_worse_value_is_more_severe() {
        for (condition, better, worse) in [
            (Above(10.0), 11.0, 12.0),
            (Above(10.0), f64::NEG_INFINITY, 11.0),
            (Below(10.0), 9.0, -40.0),
            (Below(10.0), f64::INFINITY, 9.0),
            (Outside(0.0, 10.0), 11.0, -2.0),
            (Inside(0.0, 10.0), 9.0, 5.0),
        ] {
            let band = band(&condition, 0.0);
            assert!(band.severity(worse) > band.severity(better), "{condition:?}: {worse} against {better}");
        }
    }

    #[test]
    fn the_limit_named_is_the_one_crossed() {
        for (condition, value, limit) in [
            (Above(10.0), 11.0, 10.0),
            (Above(10.0), -3.0, 10.0),
            (Below(40.0), 39.0, 40.0),
            (Outside(0.0, 10.0), -1.0, 0.0),
            (Outside(0.0, 10.0), 12.0, 10.0),
            (Inside(0.0, 10.0), 2.0, 0.0),
            (Inside(0.0, 10.0), 8.0, 10.0),
        ] {
            assert_eq!(band(&condition, 0.0).limit_for(value), limit, "{condition:?} at {value}");
        }
    }
}
