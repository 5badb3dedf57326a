//! What a sensor would feel: seeded signals as functions of time. The same seed gives the same signal for ever.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The shape of a signal. Times are in seconds of the board's life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A slow wave with a wandering offset and noise: temperature, humidity, pressure.
    Wave { mean: f64, swing: f64, period_s: f64, wander: f64, noise: f64 },
    /// Root mean square of a machine's vibration: on for a while, off for a while, with bursts while on.
    Vibration { idle: f64, running: f64, burst: f64, cycle_s: f64 },
    /// Counts up at about this rate: parts, pulses, energy.
    Counter { per_s: f64 },
    /// Open (1) or shut (0), with these mean durations.
    Door { open_s: f64, shut_s: f64 },
    /// From `low` to `high` and back in straight lines: a tank.
    Sawtooth { low: f64, high: f64, period_s: f64, noise: f64 },
}

/// A shape with its state.
#[derive(Debug)]
pub struct Signal {
    shape: Shape,
    rng: ChaCha8Rng,
    phase: f64,
    wandered: f64,
    total: f64,
    /// Until when a door stays as it is.
    until_s: f64,
    open: bool,
    last_s: f64,
}

impl Signal {
    pub fn new(shape: Shape, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let phase = rng.random::<f64>();
        Self { shape, rng, phase, wandered: 0.0, total: 0.0, until_s: 0.0, open: true, last_s: 0.0 }
    }

    /// The true value at `at_s`. Times must not go back.
    pub fn at(&mut self, at_s: f64) -> f64 {
        let step_s = (at_s - self.last_s).max(0.0);
        self.last_s = at_s;
        match self.shape {
            Shape::Wave { mean, swing, period_s, wander, noise } => {
                // The wander is drawn back to zero within about a period, so that it stays bounded.
                self.wandered +=
                    wander * step_s.sqrt() * self.gauss() - self.wandered * (step_s / period_s).min(1.0);
                let turn = at_s / period_s + self.phase;
                mean + swing * (turn * std::f64::consts::TAU).sin() + self.wandered + noise * self.gauss()
            }
            Shape::Vibration { idle, running, burst, cycle_s } => {
                let turn = (at_s / cycle_s + self.phase).fract();
                let level = if turn < 0.6 { running } else { idle };
                let bursting = turn < 0.6 && self.rng.random::<f64>() < 0.02;
                let level = if bursting { level + burst * self.rng.random::<f64>() } else { level };
                (level * (1.0 + 0.1 * self.gauss())).abs()
            }
            Shape::Counter { per_s } => {
                self.total += per_s * step_s * (1.0 + 0.2 * self.gauss()).max(0.0);
                self.total.floor()
            }
            Shape::Door { open_s, shut_s } => {
                while at_s >= self.until_s {
                    self.open = !self.open;
                    let mean = if self.open { open_s } else { shut_s };
                    let wait = -mean * (1.0 - self.rng.random::<f64>()).ln();
                    self.until_s += wait.max(0.001);
                }
                f64::from(u8::from(self.open))
            }
            Shape::Sawtooth { low, high, period_s, noise } => {
                let turn = (at_s / period_s + self.phase).fract();
                let rise = if turn < 0.5 { turn * 2.0 } else { 2.0 - turn * 2.0 };
                low + (high - low) * rise + noise * self.gauss()
            }
        }
    }

    /// About normal, with deviation 1: a sum of four uniform numbers, never beyond 3.5.
    fn gauss(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.rng.random::<f64>()).sum();
        (sum - 2.0) * 3f64.sqrt()
    }
}

/// A seed of its own for each part, from one seed for the whole.
pub fn derive_seed(seed: u64, part: u64) -> u64 {
    ChaCha8Rng::seed_from_u64(seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)).random()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAVE: Shape = Shape::Wave { mean: 20.0, swing: 5.0, period_s: 600.0, wander: 0.05, noise: 0.1 };

    fn take(shape: Shape, seed: u64) -> Vec<f64> {
        let mut signal = Signal::new(shape, seed);
        (0..5_000).map(|step| signal.at(f64::from(step) * 0.5)).collect()
    }

    #[test]
    fn a_seed_gives_its_signal_again_and_another_seed_another() {
        assert_eq!(take(WAVE, 1), take(WAVE, 1));
        assert_ne!(take(WAVE, 1), take(WAVE, 2));
        assert_ne!(derive_seed(1, 2), derive_seed(2, 1));
    }

    #[test]
    fn signals_stay_in_the_range_of_what_they_stand_for() {
        for seed in 0..20 {
            assert!(take(WAVE, seed).iter().all(|value| (5.0..35.0).contains(value)));
            let counted = take(Shape::Counter { per_s: 3.0 }, seed);
            assert!(counted.windows(2).all(|pair| pair[0] <= pair[1] && pair[1].fract() == 0.0));
            let doors = take(Shape::Door { open_s: 5.0, shut_s: 20.0 }, seed);
            assert!(doors.contains(&0.0) && doors.contains(&1.0));
            let shaken = take(Shape::Vibration { idle: 0.02, running: 1.2, burst: 4.0, cycle_s: 60.0 }, seed);
            assert!(shaken.iter().all(|value| (0.0..10.0).contains(value)));
            let level = take(Shape::Sawtooth { low: 1.0, high: 3.0, period_s: 100.0, noise: 0.01 }, seed);
            assert!(level.iter().all(|value| (0.9..3.1).contains(value)));
        }
    }
}
