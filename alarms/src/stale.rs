//! Channels that fall silent. A stale rule is not stepped by readings: whoever knows the time asks it, with when the
//! channel's last live reading arrived. No clock in here.

use serde::{Deserialize, Serialize};

use crate::step::TransitionKind;

/// No data for `after` × the expected interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stale {
    /// Finite and above 0.
    pub after: f64,
    /// `None`: the interval that was observed, by the caller.
    pub interval_ms: Option<u64>,
}

/// What a look at a silent channel gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StaleVerdict {
    pub transition: Option<TransitionKind>,
    /// When to look again if nothing arrives until then, on the clock that `now` is of. `None`: only when something does.
    pub look_again_at_ms: Option<i64>,
}

impl Stale {
    /// How long a channel may be silent; `None` while no interval is known, and then nothing is ever raised.
    pub fn silence_ms(&self, observed_interval_ms: Option<u64>) -> Option<u64> {
        let interval = self.interval_ms.or(observed_interval_ms).filter(|interval| *interval > 0)?;
        // A cast of a double saturates.
        Some(((interval as f64 * self.after) as u64).max(1))
    }

    /// `last_arrival_ms` and `now_ms` are of one clock. A reading at exactly the end of the silence is in time.
    pub fn judge(
        &self,
        is_active: bool,
        last_arrival_ms: i64,
        observed_interval_ms: Option<u64>,
        now_ms: i64,
    ) -> StaleVerdict {
        let Some(silence) = self.silence_ms(observed_interval_ms) else { return StaleVerdict::default() };
        let last_in_time = last_arrival_ms.saturating_add_unsigned(silence);
        let is_stale = now_ms > last_in_time;
        let transition = match (is_active, is_stale) {
            (false, true) => Some(TransitionKind::Raise),
            (true, false) => Some(TransitionKind::Clear),
            _ => None,
        };
        let look_again_at_ms = (!is_stale).then(|| last_in_time.saturating_add(1));
        StaleVerdict { transition, look_again_at_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransitionKind::{Clear, Raise};

    const THREE_TIMES_10_S: Stale = Stale { after: 3.0, interval_ms: Some(10_000) };

    fn judge(stale: Stale, is_active: bool, last: i64, now: i64) -> (Option<TransitionKind>, Option<i64>) {
        let verdict = stale.judge(is_active, last, None, now);
        (verdict.transition, verdict.look_again_at_ms)
    }

    #[test]
    fn silence_raises_and_data_clears() {
        let stale = THREE_TIMES_10_S;
        assert_eq!(judge(stale, false, 1_000, 1_000), (None, Some(31_001)));
        assert_eq!(judge(stale, false, 1_000, 31_000), (None, Some(31_001)), "just in time");
        assert_eq!(judge(stale, false, 1_000, 31_001), (Some(Raise), None));
        assert_eq!(judge(stale, true, 1_000, 99_000), (None, None), "it waits for data");
        assert_eq!(judge(stale, true, 99_000, 99_000), (Some(Clear), Some(129_001)));
    }

    #[test]
    fn looking_when_told_to_finds_it_at_once() {
        for after in [0.5, 1.0, 2.7, 1e12] {
            let stale = Stale { after, interval_ms: Some(7) };
            let (_, again) = judge(stale, false, 5, 5);
            assert_eq!(judge(stale, false, 5, again.unwrap()).0, Some(Raise), "{after}");
            assert_eq!(judge(stale, false, 5, again.unwrap() - 1).0, None, "{after}");
        }
    }

    #[test]
    fn without_an_interval_the_observed_one_counts_and_without_that_nothing() {
        let stale = Stale { after: 2.0, interval_ms: None };
        assert_eq!(stale.judge(false, 0, None, i64::MAX), StaleVerdict::default());
        assert_eq!(stale.judge(false, 0, Some(0), i64::MAX), StaleVerdict::default());
        assert_eq!(stale.judge(false, 0, Some(500), 1_001).transition, Some(Raise));
        assert_eq!(THREE_TIMES_10_S.silence_ms(Some(1)), Some(30_000), "what the rule says comes first");
    }

    #[test]
    fn a_clock_that_went_back_raises_nothing() {
        assert_eq!(judge(THREE_TIMES_10_S, false, 1_000_000, 0), (None, Some(1_030_001)));
    }
}
