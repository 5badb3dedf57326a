//! Axes: from values and times to places in a drawing, and where marks go.

use jiff::{Timestamp, tz::TimeZone};

/// A stretch of numbers laid over a stretch of a drawing.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// An empty stretch is widened, so that something is drawn in its middle.
    pub fn new(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = if low < high { (low, high) } else { (low - 1.0, high + 1.0) };
        Self { low, high, from, to }
    }

    pub fn at(&self, number: f64) -> f64 {
        let part = ((number - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + part * (self.to - self.from)
    }

    /// Round numbers within, about so many.
    pub fn marks(&self, about: usize) -> Vec<f64> {
        let step = round_step((self.high - self.low) / about.max(1) as f64);
        let first = (self.low / step).ceil();
        let last = (self.high / step).floor();
        if !(step > 0.0 && last - first < 100.0) {
            return Vec::new();
        }
        (0..=(last - first) as usize).map(|n| (first + n as f64) * step).collect()
    }

    /// A mark with the decimals that tell it from the next.
    pub fn label(&self, mark: f64, about: usize) -> String {
        let step = round_step((self.high - self.low) / about.max(1) as f64);
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        format!("{mark:.decimals$}")
    }
}

/// The next of 1, 2, 5, 10, … in the power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|times| times * power)
        .find(|round| *round >= step)
        .unwrap_or(10.0 * power)
}

const S: i64 = 1_000;
const MIN: i64 = 60 * S;
const H: i64 = 60 * MIN;
const DAY: i64 = 24 * H;
const STEPS: [i64; 22] = [
    S,
    2 * S,
    5 * S,
    10 * S,
    30 * S,
    MIN,
    2 * MIN,
    5 * MIN,
    10 * MIN,
    30 * MIN,
    H,
    3 * H,
    6 * H,
    12 * H,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    180 * DAY,
    365 * DAY,
];

/// Moments within, at most so many, each with what to write under it: UTC.
pub fn time_marks(low: i64, high: i64, most: i64) -> Vec<(i64, String)> {
    let span = high.saturating_sub(low);
    let enough = |step: &i64| span / step < most;
    let step = STEPS.into_iter().find(enough).unwrap_or_else(|| span / most.max(1) + 1);
    let format = match step {
        ..MIN => "%H:%M:%S",
        MIN..DAY if span < DAY => "%H:%M",
        MIN..DAY => "%b %d %H:%M",
        _ => "%Y-%m-%d",
    };
    let first = low.div_euclid(step) + i64::from(low.rem_euclid(step) > 0);
    let moments = (first..=high.div_euclid(step)).map(|n| n.saturating_mul(step));
    let text = |at: i64| match Timestamp::from_millisecond(at) {
        Ok(at) => at.to_zoned(TimeZone::UTC).strftime(format).to_string(),
        Err(_) => format!("{at} ms"),
    };
    moments.map(|at| (at, text(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_within() {
        for (low, high, marks, labels) in [
            (0.3, 9.7, vec![2.0, 4.0, 6.0, 8.0], ["2", "4", "6", "8"]),
            (
                -0.11,
                0.12,
                vec![-0.1, -0.05, 0.0, 0.05, 0.1][..4].to_vec(),
                ["-0.10", "-0.05", "0.00", "0.05"],
            ),
        ] {
            let scale = Scale::new(low, high, 0.0, 100.0);
            let found = scale.marks(5);
            assert!(found.iter().zip(&marks).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
            let written: Vec<String> = found.iter().map(|mark| scale.label(*mark, 5)).take(4).collect();
            assert_eq!(written, labels);
        }
        assert!(Scale::new(1.0, 1.0, 0.0, 10.0).at(1.0) == 5.0, "one value is in the middle");
        assert_eq!(Scale::new(0.0, 1.0, 0.0, 10.0).at(f64::INFINITY), 10.0);
    }

    #[test]
    fn times_are_marked_at_round_moments() {
        let texts =
            |low, high| time_marks(low, high, 6).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(1_500, 4_000), ["00:00:02", "00:00:03", "00:00:04"]);
        assert_eq!(texts(0, 3 * H), ["00:00", "01:00", "02:00", "03:00"]);
        assert_eq!(
            texts(0, 2 * DAY),
            ["Jan 01 00:00", "Jan 01 12:00", "Jan 02 00:00", "Jan 02 12:00", "Jan 03 00:00"]
        );
        assert_eq!(
            texts(0, 30 * DAY),
            ["1970-01-01", "1970-01-08", "1970-01-15", "1970-01-22", "1970-01-29"]
        );
        assert!(time_marks(0, i64::MAX, 6).len() <= 7);
    }
}
