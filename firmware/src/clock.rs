//! Wall time on a board without a clock: what the gateway said, carried on by the board's ticks.

use tidegate_protocol::{DRIFT_PPM, Tick};

/// A clock may be off by one part in so many powers of two: a bit more than [`DRIFT_PPM`], for a division of 64 bits takes
/// 900 bytes on a Cortex-M0.
const DRIFT_SHIFT: u32 = 13;
const _: () = assert!(DRIFT_PPM << DRIFT_SHIFT <= 1_000_000);

/// A time with its error bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WallTime {
    pub unix_ms: i64,
    /// The true time is at most this far away.
    pub error_ms: u32,
}

/// The gateway's time at one of the board's ticks. Readings never carry it: they carry ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock {
    heard: Option<(Tick, WallTime)>,
}

impl WallClock {
    /// The time at `tick`; None until a gateway said one.
    pub fn at(&self, tick: Tick) -> Option<WallTime> {
        let (heard_at, heard) = self.heard?;
        let away_ms = heard_at.0.abs_diff(tick.0);
        let step = i64::try_from(away_ms).unwrap_or(i64::MAX);
        let unix_ms = if tick >= heard_at {
            heard.unix_ms.saturating_add(step)
        } else {
            heard.unix_ms.saturating_sub(step)
        };
        let drift_ms = (away_ms >> DRIFT_SHIFT) + u64::from(away_ms > 0);
        let error_ms = u64::from(heard.error_ms).saturating_add(drift_ms);
        Some(WallTime { unix_ms, error_ms: u32::try_from(error_ms).unwrap_or(u32::MAX) })
    }

    /// Takes a gateway's time, unless the one at hand is still the better one.
    pub(crate) fn hear(&mut self, now: Tick, time: WallTime) {
        let better = self.at(now).is_none_or(|own| time.error_ms <= own.error_ms);
        if better {
            self.heard = Some((now, time));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_on_with_a_growing_error() {
        let mut clock = WallClock::default();
        assert_eq!(clock.at(Tick(5)), None);
        clock.hear(Tick(1_000), WallTime { unix_ms: 50_000, error_ms: 20 });
        assert_eq!(clock.at(Tick(1_000)), Some(WallTime { unix_ms: 50_000, error_ms: 20 }));
        assert_eq!(clock.at(Tick(101_000)), Some(WallTime { unix_ms: 150_000, error_ms: 33 }));
        assert_eq!(clock.at(Tick(0)), Some(WallTime { unix_ms: 49_000, error_ms: 21 }));
        assert_eq!(clock.at(Tick(u64::MAX)).map(|time| time.unix_ms), Some(i64::MAX));
    }

    #[test]
    fn a_worse_time_is_taken_only_when_the_own_has_become_worse_still() {
        let mut clock = WallClock::default();
        clock.hear(Tick(0), WallTime { unix_ms: 0, error_ms: 10 });
        clock.hear(Tick(1_000), WallTime { unix_ms: 1_500, error_ms: 500 });
        assert_eq!(clock.at(Tick(1_000)).map(|time| time.unix_ms), Some(1_000));
        let late = Tick(6_000_000);
        clock.hear(late, WallTime { unix_ms: 6_000_300, error_ms: 500 });
        assert_eq!(clock.at(late).map(|time| time.unix_ms), Some(6_000_300));
    }
}
