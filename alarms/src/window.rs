//! What the last stretch of a channel's readings says: how fast it changes, how far it is from its mean.
//!
//! A window is [`BUCKETS`] buckets, aligned to the origin's own ticks: bucket n holds the ticks from n × width on. With a
//! reading, the buckets that are no longer among the newest [`BUCKETS`] are dropped whole. So a window is *exactly
//! finite*: after `over` has passed it is a function of the readings within and of nothing older, to the last bit (sums
//! are made anew from the buckets, never added to and taken from for ever), and a re-computation from anywhere before
//! gives the same.
//!
//! - A reading is judged by what came before it, and then joins the window. An infinite one is judged, and does not join.
//! - Nothing is said until readings span half of the window.
//! - A new boot begins a new window. A tick that goes back by less than a window counts as no time; by more, it begins a
//!   new window too.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use tidegate_protocol::{BootId, Tick};

/// In how many steps a window moves on; at most so many buckets are kept.
pub const BUCKETS: u64 = 16;

/// What is compared with a rule's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quantity {
    /// The reading's value itself.
    Value,
    /// The change from the oldest reading in the window, per millisecond.
    Rate,
    /// The value less the mean of all readings in the window.
    Deviation,
}

/// Which window a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub quantity: Quantity,
    /// In the origin's ticks; not 0.
    pub over_ms: u64,
}

impl Span {
    fn bucket_of(&self, tick: Tick) -> u64 {
        tick.0 / self.over_ms.div_ceil(BUCKETS).max(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    number: u64,
    /// Of its first reading.
    tick: Tick,
    /// For a rate, the first value; for a deviation, the sum of all.
    amount: f64,
    count: u32,
}

/// The last stretch of one channel's readings in one boot: at most [`BUCKETS`] × 32 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    span: Span,
    boot: BootId,
    /// Oldest first.
    buckets: Vec<Bucket>,
}

impl Window {
    pub(crate) fn new(span: Span, boot: BootId) -> Self {
        Self { span, boot, buckets: Vec::new() }
    }

    pub(crate) fn is_of(&self, span: Span) -> bool {
        self.span == span
    }

    /// Takes a reading; says what it is by the window before it, or NaN where that is too short to say.
    pub(crate) fn take(&mut self, boot: BootId, tick: Tick, value: f64) -> f64 {
        if self.boot != boot {
            (self.boot, self.buckets) = (boot, Vec::new());
        }
        let number = self.move_on(self.span.bucket_of(tick));
        let measure = self.measure(tick, value);
        if value.is_finite() {
            self.add(number, tick, value);
        }
        measure
    }

    /// Drops what is too old at bucket `number`; gives the bucket that the reading belongs to.
    fn move_on(&mut self, number: u64) -> u64 {
        let newest = self.buckets.last().map_or(number, |bucket| bucket.number);
        if newest.saturating_sub(number) >= BUCKETS {
            self.buckets.clear();
            return number;
        }
        let number = number.max(newest);
        let old = self.buckets.iter().take_while(|bucket| number - bucket.number.min(number) >= BUCKETS);
        let old = old.count();
        self.buckets.drain(..old);
        number
    }

    fn measure(&self, tick: Tick, value: f64) -> f64 {
        let Some(oldest) = self.buckets.first() else { return f64::NAN };
        let spanned = tick.0.saturating_sub(oldest.tick.0);
        if spanned < self.span.over_ms.div_ceil(2) {
            return f64::NAN;
        }
        match self.span.quantity {
            Quantity::Value => value,
            Quantity::Rate => (value - oldest.amount) / spanned as f64,
            Quantity::Deviation => {
                let (sum, count) = self.buckets.iter().fold((0.0, 0_u64), |(sum, count), bucket| {
                    (sum + bucket.amount, count.saturating_add(u64::from(bucket.count)))
                });
                let mean = sum / count as f64;
                // A sum beyond what a double holds says nothing.
                if mean.is_finite() { value - mean } else { f64::NAN }
            }
        }
    }

    fn add(&mut self, number: u64, tick: Tick, value: f64) {
        match self.buckets.last_mut() {
            Some(bucket) if bucket.number == number => {
                if self.span.quantity == Quantity::Deviation {
                    bucket.amount += value;
                }
                bucket.count = bucket.count.saturating_add(1);
            }
            _ => self.buckets.push(Bucket { number, tick, amount: value, count: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(span: Span, readings: &[(u64, f64)]) -> Vec<f64> {
        let mut window = Window::new(span, BootId(1));
        readings.iter().map(|(tick, value)| window.take(BootId(1), Tick(*tick), *value)).collect()
    }

    fn over(quantity: Quantity, over_ms: u64) -> Span {
        Span { quantity, over_ms }
    }

    #[test]
    fn a_rate_is_the_change_from_the_oldest_reading_within() {
        let readings: Vec<(u64, f64)> = (0..40).map(|n| (n * 1_000, n as f64 * 3.0)).collect();
        let rates = run(over(Quantity::Rate, 16_000), &readings);
        assert!(rates[..8].iter().all(|rate| rate.is_nan()), "half a window says nothing: {rates:?}");
        assert!(rates[8..].iter().all(|rate| *rate == 0.003), "{rates:?}");
        // A step is spread over the window: the oldest reading within is 15 s old.
        let step: Vec<(u64, f64)> = (0..40).map(|n| (n * 1_000, if n < 30 { 0.0 } else { 30.0 })).collect();
        assert_eq!(run(over(Quantity::Rate, 16_000), &step)[30], 30.0 / 15_000.0);
    }

    #[test]
    fn a_deviation_is_from_the_mean_of_what_came_before() {
        let readings = [(0, 1.0), (500, 3.0), (1_000, 12.0), (1_001, f64::INFINITY), (1_002, 2.0)];
        let found = run(over(Quantity::Deviation, 2_000), &readings);
        assert!(found[0].is_nan() && found[1].is_nan());
        assert_eq!(found[2], 10.0);
        assert_eq!(found[3], f64::INFINITY, "it is judged");
        assert_eq!(found[4], 2.0 - 16.0 / 3.0, "and has not joined the window");
    }

    #[test]
    fn sums_that_overflow_say_nothing() {
        let readings = [(0, f64::MAX), (600, f64::MAX), (1_000, 0.0)];
        assert!(run(over(Quantity::Deviation, 1_000), &readings)[2].is_nan());
    }

    #[test]
    fn a_tick_that_goes_back_counts_as_no_time_or_begins_anew() {
        let span = over(Quantity::Rate, 16_000);
        let back = run(span, &[(100_000, 0.0), (108_000, 8.0), (107_000, 99.0), (109_000, 9.0)]);
        assert_eq!(back[3], 0.001, "{back:?}");
        let far = run(span, &[(100_000, 0.0), (108_000, 8.0), (10, 5.0), (8_010, 13.0)]);
        assert_eq!(far[3], 0.001, "{far:?}");
    }

    proptest! {
        #[test]
        fn after_the_window_nothing_older_matters(
            before in proptest::collection::vec((0..3_000u64, -9..9i64), 0..40),
            after in proptest::collection::vec((0..300u64, -9..9i64), 1..200),
            deviation: bool,
            over_ms in 1..5_000u64,
        ) {
            let span = over(if deviation { Quantity::Deviation } else { Quantity::Rate }, over_ms);
            let boot = BootId(1);
            let (mut full, mut fresh) = (Window::new(span, boot), Window::new(span, boot));
            let mut tick = 0;
            for (step, value) in before {
                tick += step;
                full.take(boot, Tick(tick), value as f64 / 7.0);
            }
            let start = tick;
            for (step, value) in after {
                tick += step;
                let (a, b) = (full.take(boot, Tick(tick), value as f64 / 7.0), fresh.take(boot, Tick(tick), value as f64 / 7.0));
                prop_assert!(full.buckets.len() <= BUCKETS as usize);
                // So long are all its buckets together.
                if tick - start >= over_ms.div_ceil(BUCKETS) * BUCKETS {
                    prop_assert_eq!(&full, &fresh);
                    prop_assert_eq!(a.to_bits(), b.to_bits());
                }
            }
        }
    }
}
