//! When a lost link is tried again: exponential back-off with full jitter.
//!
//! Each pause is drawn evenly from nothing to a ceiling that doubles with each failure, the first pause too: a thousand
//! agents whose broker went away at one moment come back spread over the ceiling, not in waves.

use std::time::Duration;

use super::jitter::Jitter;

/// The ceiling of the first pause.
const FIRST_CEILING_MS: u64 = 1_000;
/// No pause is shorter: connecting in a tight loop helps nobody.
const LEAST_MS: u64 = 10;

#[derive(Clone, Debug)]
pub struct Backoff {
    longest_ms: u64,
    ceiling_ms: u64,
    jitter: Jitter,
}

impl Backoff {
    pub fn new(longest: Duration, seed: u64) -> Self {
        let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX).max(LEAST_MS);
        Self { longest_ms, ceiling_ms: FIRST_CEILING_MS.min(longest_ms), jitter: Jitter::new(seed) }
    }

    /// How long to wait before the next attempt.
    pub fn pause(&mut self) -> Duration {
        let pause_ms = LEAST_MS + self.jitter.up_to(self.ceiling_ms.saturating_sub(LEAST_MS));
        self.ceiling_ms = self.ceiling_ms.saturating_mul(2).min(self.longest_ms);
        Duration::from_millis(pause_ms)
    }

    /// The link held: the next failure is a first one.
    pub fn held(&mut self) {
        self.ceiling_ms = FIRST_CEILING_MS.min(self.longest_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn a_thousand_agents_spread_over_the_ceiling_from_the_first_pause_on() {
        for failures in 0..5 {
            let pauses = (0..1_000).map(|seed| {
                let mut backoff = Backoff::new(LONGEST, seed);
                (0..failures).for_each(|_| {
                    backoff.pause();
                });
                backoff.pause().as_millis() as u64
            });
            let ceiling = (FIRST_CEILING_MS << failures).min(5_000);
            let mut tenths = [0_u32; 10];
            for pause in pauses {
                assert!((LEAST_MS..=ceiling).contains(&pause), "{pause} of {ceiling}");
                tenths[(pause * 10 / (ceiling + 1)) as usize] += 1;
            }
            assert!(tenths.iter().all(|count| (60..150).contains(count)), "after {failures}: {tenths:?}");
        }
    }

    #[test]
    fn the_same_seed_waits_the_same_and_a_link_that_held_starts_anew() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(LONGEST, seed);
            (0..20).map(|_| backoff.pause()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
        let mut backoff = Backoff::new(LONGEST, 1);
        (0..10).for_each(|_| {
            backoff.pause();
        });
        backoff.held();
        assert!(backoff.pause() <= Duration::from_millis(FIRST_CEILING_MS));
    }
}
