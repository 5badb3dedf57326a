//! What the disk really takes, where that is less than the quota.
//!
//! Only a commit that fails tells it: the map is full, or the disk. From then on a little less than what the queue held
//! at that moment is its bound, so that the policy has room to act in. The bound is tried again after a while, later
//! each time it held, and rises as far as commits go well: space that comes back is used.

use super::time::Time;

const FIRST_PROBE_MS: u64 = 5_000;
const LONGEST_PROBE_MS: u64 = 300_000;
/// A probe goes beyond the bound by an eighth of it, and at least by this.
const LEAST_STEP_BYTES: u64 = 64 * 1024;

#[derive(Debug, Default)]
pub struct Ceiling {
    bytes: Option<u64>,
    probe_at: Time,
    probe_after_ms: u64,
}

impl Ceiling {
    /// What the queue may hold now, as far as the disk is concerned; none when it is not known to be short.
    pub fn bytes(&self, now: Time) -> Option<u64> {
        let bytes = self.bytes?;
        Some(if now >= self.probe_at { raised(bytes) } else { bytes })
    }

    /// There was no room for more than `held_bytes`.
    pub fn hit(&mut self, now: Time, held_bytes: u64) {
        let was_probing = self.bytes.is_some() && now >= self.probe_at;
        if was_probing {
            self.probe_after_ms = (self.probe_after_ms * 2).min(LONGEST_PROBE_MS);
        } else {
            self.bytes = Some(held_bytes - held_bytes / 16);
            self.probe_after_ms = FIRST_PROBE_MS;
        }
        self.probe_at = now.plus_ms(self.probe_after_ms);
    }

    /// The disk took all of `held_bytes`.
    pub fn passed(&mut self, held_bytes: u64, quota_bytes: u64) {
        if self.bytes.is_some_and(|bytes| held_bytes > bytes) {
            self.probe_after_ms = FIRST_PROBE_MS;
            self.bytes = Some(held_bytes).filter(|bytes| raised(*bytes) < quota_bytes);
        }
    }
}

const fn raised(bytes: u64) -> u64 {
    let step = if bytes / 8 > LEAST_STEP_BYTES { bytes / 8 } else { LEAST_STEP_BYTES };
    bytes.saturating_add(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: u64 = 1 << 30;

    fn at(ms: u64) -> Time {
        Time::from_ms(ms)
    }

    #[test]
    fn a_bound_is_tried_again_later_each_time_it_holds() {
        let mut ceiling = Ceiling::default();
        assert_eq!(ceiling.bytes(at(0)), None);
        ceiling.hit(at(0), 16 << 20);
        assert_eq!(ceiling.bytes(at(4_999)), Some(15 << 20));
        assert!(ceiling.bytes(at(5_000)) > Some(16 << 20));
        // It held: nothing more is given up for that.
        ceiling.hit(at(6_000), 15 << 20);
        assert_eq!(ceiling.bytes(at(15_999)), Some(15 << 20));
        assert!(ceiling.bytes(at(16_000)) > Some(15 << 20));
        let (mut now, mut last) = (16_000, 0);
        for _ in 0..20 {
            ceiling.hit(at(now), 15 << 20);
            last = now;
            now += LONGEST_PROBE_MS;
        }
        assert!(ceiling.bytes(at(last + LONGEST_PROBE_MS - 1)) == Some(15 << 20));
    }

    #[test]
    fn it_rises_with_every_commit_that_goes_well_until_the_quota_rules_again() {
        let mut ceiling = Ceiling::default();
        ceiling.hit(at(0), 16 << 20);
        let mut commits = 0;
        while let Some(bytes) = ceiling.bytes(at(5_000)) {
            ceiling.passed(bytes, QUOTA);
            commits += 1;
        }
        assert!((20..60).contains(&commits), "{commits}");
    }

    #[test]
    fn less_room_than_was_thought_lowers_it() {
        let mut ceiling = Ceiling::default();
        ceiling.hit(at(0), 16 << 20);
        ceiling.hit(at(1_000), 8 << 20);
        assert_eq!(ceiling.bytes(at(1_000)), Some((8 << 20) / 16 * 15));
        let mut empty = Ceiling::default();
        empty.hit(at(0), 0);
        assert_eq!(empty.bytes(at(5_000)), Some(LEAST_STEP_BYTES));
    }
}
