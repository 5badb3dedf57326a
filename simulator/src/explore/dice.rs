//! All chance of a schedule, from its seed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Dice of their own for one part, so that what one part draws does not change another's.
    pub fn apart(&mut self) -> Self {
        Self(ChaCha8Rng::seed_from_u64(self.0.random()))
    }

    pub fn bits(&mut self) -> u64 {
        self.0.random()
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.random_bool(probability.min(1.0))
    }

    /// From `least` up to and including `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        if most <= least { least } else { self.0.random_range(least..=most) }
    }

    /// A place in a list of `count`.
    pub fn place(&mut self, count: usize) -> usize {
        if count < 2 { 0 } else { self.0.random_range(0..count) }
    }

    /// Small values often, large ones seldom: about the same chance for each order of magnitude.
    pub fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let (low, high) = ((least.max(1) as f64).ln(), (most.max(1) as f64).ln());
        let drawn = low + (high - low) * self.0.random::<f64>();
        (drawn.exp() as u64).clamp(least, most)
    }

    /// Time until something that happens every `mean` on average.
    pub fn waiting(&mut self, mean: u64) -> u64 {
        let even: f64 = self.0.random();
        ((1.0 - even).ln() * -(mean as f64)) as u64 + 1
    }
}
