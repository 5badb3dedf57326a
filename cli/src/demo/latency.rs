//! How long alarms took: the newest [`KEPT`] samples, and their percentiles.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

pub const KEPT: usize = 65_536;

#[derive(Debug, Default)]
pub struct Latencies {
    samples: VecDeque<Duration>,
}

/// In milliseconds; absent without a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub samples: usize,
}

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(latency);
    }

    pub fn percentiles(&self) -> Percentiles {
        let mut sorted: Vec<Duration> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        // Nearest rank: the smallest sample that so many of all do not exceed.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            let sample = sorted.get(rank.saturating_sub(1))?;
            Some((sample.as_secs_f64() * 1e6).round() / 1e3)
        };
        Percentiles { p50: at(50), p99: at(99), samples: sorted.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), Percentiles::default());
        for ms in (1..=200).rev() {
            latencies.add(Duration::from_millis(ms));
        }
        let expected = Percentiles { p50: Some(100.0), p99: Some(198.0), samples: 200 };
        assert_eq!(latencies.percentiles(), expected);
    }

    #[test]
    fn only_the_newest_samples_are_kept() {
        let mut latencies = Latencies::default();
        latencies.add(Duration::from_secs(9));
        (0..KEPT).for_each(|_| latencies.add(Duration::from_millis(1)));
        assert_eq!((latencies.percentiles().samples, latencies.percentiles().p99), (KEPT, Some(1.0)));
    }
}
