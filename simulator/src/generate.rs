//! Recordings from a seed, for tests that need one and have none: a machine's temperature every five minutes, with
//! failures in which it cools down, and with a clock that now and then repeats or goes back, as real ones do.

use std::io::{self, Write};

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::signal::{Shape, Signal, derive_seed};

const STEP_S: i64 = 300;
/// 2024-01-01T00:00:00Z.
const START_S: i64 = 1_704_067_200;
/// How often, in rows, the machine fails, and for how long.
const FAILURE_EVERY: std::ops::Range<u64> = 300..900;
const FAILURE_FOR: std::ops::Range<u64> = 20..80;

/// Writes `rows` rows of `timestamp,value`; the same seed writes the same bytes.
pub fn generate(seed: u64, rows: u64, out: &mut impl Write) -> io::Result<()> {
    let warm = Shape::Wave { mean: 85.0, swing: 6.0, period_s: 86_400.0, wander: 0.02, noise: 0.6 };
    let mut signal = Signal::new(warm, derive_seed(seed, 0));
    let mut rng = ChaCha8Rng::seed_from_u64(derive_seed(seed, 1));
    let mut failure = 50..50 + rng.random_range(FAILURE_FOR);
    let mut cooled = 0.0_f64;
    let mut clock_s = START_S;
    writeln!(out, "timestamp,value")?;
    for row in 0..rows {
        if row >= failure.end {
            let start = row + rng.random_range(FAILURE_EVERY);
            failure = start..start + rng.random_range(FAILURE_FOR);
        }
        // It cools towards 25 degrees while it stands, and warms up faster than it cooled.
        let target = if failure.contains(&row) { 60.0 } else { 0.0 };
        cooled += (target - cooled) * if target > cooled { 0.12 } else { 0.3 };
        let value = signal.at((row as i64 * STEP_S) as f64) - cooled;
        let time = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(clock_s);
        writeln!(out, "{},{value}", time.strftime("%Y-%m-%d %H:%M:%S"))?;
        clock_s += match rng.random_range(0..500) {
            0 => 0,
            // Not before the recording's own start.
            1 if row > 100 => -STEP_S * 12,
            _ => STEP_S,
        };
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{ReadOptions, Recording};

    #[test]
    fn a_generated_recording_reads_back_with_failures_and_flagged_rows() {
        let mut text = Vec::new();
        generate(7, 5_000, &mut text).unwrap();
        let mut again = Vec::new();
        generate(7, 5_000, &mut again).unwrap();
        assert_eq!(text, again);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let strict = ReadOptions { strict: true, ..ReadOptions::default() };
        let recording = Recording::read_with(file.path(), &strict).unwrap();
        assert_eq!(recording.rows().len(), 5_000);
        assert!(recording.flagged() > 3);
        let cold =
            recording.rows().windows(2).filter(|pair| pair[0].value >= 40.0 && pair[1].value < 40.0).count();
        assert!(cold >= 3, "it fell below 40 degrees {cold} times");
    }
}
