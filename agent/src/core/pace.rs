//! How fast readings come in, and how much is written to the disk: over a window that slides.
//!
//! The window is an hour, in steps of a minute; a rate is known once two minutes of it are measured. What a commit
//! writes is its blocks and about [`COMMIT_BYTES`] of LMDB's own pages.

use serde::{Deserialize, Serialize};

use super::{Counters, Time, Totals};

const STEP_US: u64 = 60_000_000;
const STEPS: usize = 60;
const DAY_US: f64 = 86_400e6;
/// Pages that a transaction writes besides its blocks: the path to each table it changes, the free list, the root.
const COMMIT_BYTES: u64 = 5 * 4096;
/// From so many readings in the queue on it is known what one of them takes.
const ENOUGH_READINGS: u64 = 1_000;

/// What is known of the present rates; the rest is not measured yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    pub readings_per_day: Option<f64>,
    /// Disk bytes of the queue.
    pub bytes_per_reading: Option<f64>,
    pub written_bytes_per_day: Option<f64>,
}

/// A sum over the last hour.
#[derive(Debug)]
struct Sliding {
    steps: [u64; STEPS],
    newest: u64,
    since: Time,
}

impl Sliding {
    const fn new(now: Time) -> Self {
        Self { steps: [0; STEPS], newest: now.0 / STEP_US, since: now }
    }

    fn slide(&mut self, now: Time) {
        let step = now.0 / STEP_US;
        for gone in 1..=step.saturating_sub(self.newest).min(STEPS as u64) {
            let place = ((self.newest + gone) % STEPS as u64) as usize;
            if let Some(step) = self.steps.get_mut(place) {
                *step = 0;
            }
        }
        self.newest = self.newest.max(step);
    }

    fn add(&mut self, now: Time, amount: u64) {
        self.slide(now);
        let place = (self.newest % STEPS as u64) as usize;
        if let Some(step) = self.steps.get_mut(place) {
            *step = step.saturating_add(amount);
        }
    }

    fn per_day(&self, now: Time) -> Option<f64> {
        // All of the window but the part of the oldest step that has gone.
        let window_us = (STEPS as u64 - 1) * STEP_US + now.0 % STEP_US;
        let measured_us = now.us_since(self.since).min(window_us);
        let newest = now.0 / STEP_US;
        let inside =
            (0..STEPS as u64).filter_map(|ago| newest.checked_sub(ago)).filter(|step| *step <= self.newest);
        let in_window = inside.filter(|step| step + STEPS as u64 > self.newest);
        let sum: u64 = in_window.filter_map(|step| self.steps.get((step % STEPS as u64) as usize)).sum();
        (measured_us >= 2 * STEP_US).then(|| sum as f64 / measured_us as f64 * DAY_US)
    }
}

#[derive(Debug)]
pub struct Pace {
    readings: Sliding,
    written: Sliding,
    seen: (u64, u64),
    bytes_per_reading: Option<f64>,
}

impl Pace {
    pub const fn new(now: Time) -> Self {
        Self {
            readings: Sliding::new(now),
            written: Sliding::new(now),
            seen: (0, 0),
            bytes_per_reading: None,
        }
    }

    /// Takes note of what was counted since the last time.
    pub fn note(&mut self, now: Time, counters: &Counters, totals: Totals) {
        let readings = counters.readings_received.saturating_sub(counters.readings_duplicate);
        let written = counters.block_bytes_committed + counters.commits * COMMIT_BYTES;
        self.readings.add(now, readings.saturating_sub(self.seen.0));
        self.written.add(now, written.saturating_sub(self.seen.1));
        self.seen = (readings, written);
        if totals.readings >= ENOUGH_READINGS {
            self.bytes_per_reading = Some(totals.bytes as f64 / totals.readings as f64);
        }
    }

    pub fn rates(&self, now: Time) -> Rates {
        Rates {
            readings_per_day: self.readings.per_day(now),
            bytes_per_reading: self.bytes_per_reading,
            written_bytes_per_day: self.written.per_day(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Time {
        Time::from_ms(s * 1_000)
    }

    fn is_about(rate: Option<f64>, expected: f64) -> bool {
        rate.is_some_and(|rate| (rate / expected - 1.0).abs() < 0.02)
    }

    #[test]
    fn a_rate_is_unknown_at_first_and_then_that_of_the_last_hour() {
        let mut sliding = Sliding::new(at(1_000));
        let mut s = 1_000;
        let mut run = |sliding: &mut Sliding, seconds: u64, each: u64| {
            for _ in 0..seconds {
                s += 1;
                sliding.add(at(s), each);
            }
            sliding.per_day(at(s))
        };
        assert_eq!(run(&mut sliding, 100, 10), None);
        assert!(is_about(run(&mut sliding, 100, 10), 864_000.0));
        assert!(is_about(run(&mut sliding, 10_000, 10), 864_000.0), "not the sum of all time");
        // Half an hour of another rate counts by half, an hour of it alone.
        assert!(is_about(run(&mut sliding, 1_800, 30), 2.0 * 864_000.0));
        assert!(is_about(run(&mut sliding, 3_600, 30), 3.0 * 864_000.0));
    }

    #[test]
    fn after_a_long_silence_nothing_of_before_is_left() {
        let mut sliding = Sliding::new(at(0));
        (1..600).for_each(|s| sliding.add(at(s), 10));
        assert_eq!(sliding.per_day(at(1_000_000)), Some(0.0));
    }

    #[test]
    fn what_is_counted_becomes_rates() {
        let mut pace = Pace::new(at(0));
        let mut counters = Counters::default();
        for minute in 1..=10 {
            counters.readings_received += 700;
            counters.readings_duplicate += 100;
            counters.commits += 4;
            counters.block_bytes_committed += 2_000;
            pace.note(at(minute * 60), &counters, Totals { blocks: 1, readings: 2_000, bytes: 8_192 });
        }
        let rates = pace.rates(at(600));
        assert!(is_about(rates.readings_per_day, 864_000.0), "{rates:?}");
        assert!(is_about(rates.written_bytes_per_day, (4.0 * 20_480.0 + 2_000.0) * 1_440.0), "{rates:?}");
        assert_eq!(rates.bytes_per_reading, Some(4.096));
    }
}
