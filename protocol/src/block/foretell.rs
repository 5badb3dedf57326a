//! Three ways to foretell a series' next value from those before; a sensor's noise, its drift and a counter's
//! steady steps each have the one that suits. All arithmetic wraps: a wrong guess costs bits, never a value.

/// Foretells integers.
pub(super) trait Foretell {
    fn start(first: i64) -> Self;
    fn next(&self) -> i64;
    fn saw(&mut self, value: i64);
}

/// The value before: for what moves by chance.
pub(super) struct Same(i64);

impl Foretell for Same {
    fn start(first: i64) -> Self {
        Self(first)
    }
    #[inline]
    fn next(&self) -> i64 {
        self.0
    }
    #[inline]
    fn saw(&mut self, value: i64) {
        self.0 = value;
    }
}

/// The value before and its step again: for counters and slow ramps.
pub(super) struct Steady {
    last: i64,
    step: i64,
}

impl Foretell for Steady {
    fn start(first: i64) -> Self {
        Self { last: first, step: 0 }
    }
    #[inline]
    fn next(&self) -> i64 {
        self.last.wrapping_add(self.step)
    }
    #[inline]
    fn saw(&mut self, value: i64) {
        self.step = value.wrapping_sub(self.last);
        self.last = value;
    }
}

/// A running mean, in sixteenths, that moves half the way to each value: for noise about a slow signal.
pub(super) struct Mean(i64);

impl Foretell for Mean {
    fn start(first: i64) -> Self {
        Self(first.wrapping_shl(4))
    }
    #[inline]
    fn next(&self) -> i64 {
        self.0.wrapping_add(8) >> 4
    }
    #[inline]
    fn saw(&mut self, value: i64) {
        self.0 = self.0.wrapping_add(value.wrapping_shl(4).wrapping_sub(self.0) >> 1);
    }
}
