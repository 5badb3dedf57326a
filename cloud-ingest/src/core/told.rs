//! Which occurrences of an alarm were told of: those that history finds as well are not told again. Late data may find that one began
//! earlier than was told, which amends it, or that two of them are one; it never tells a raise twice.

use serde::{Deserialize, Serialize};
use tidegate_alarms::EventId;

/// So many are remembered of one alarm while history cannot follow; of older ones more may be told than is new.
const MAX_TOLD: usize = 64;

/// An occurrence as it was told, by the seqs of one boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub occurrence: EventId,
    /// The reading that raised; 0 where it was raised in a boot before.
    pub raised: u64,
    /// Where it began.
    pub onset: u64,
    pub cleared: Option<u64>,
}

/// Ascending.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToldOf(Vec<Told>);

impl ToldOf {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn raised(&mut self, told: Told) {
        let at = self.0.partition_point(|known| known.raised <= told.raised);
        self.0.insert(at, told);
        if self.0.len() > MAX_TOLD {
            self.0.remove(0);
        }
    }

    /// The newest of those that are not over is over.
    pub fn cleared(&mut self, seq: u64) {
        if let Some(last) = self.0.iter_mut().rfind(|told| told.cleared.is_none()) {
            last.cleared = Some(seq);
        }
    }

    /// The first that has a reading in common with one from `raised` to `cleared`.
    pub fn covering(&mut self, raised: u64, cleared: u64) -> Option<&mut Told> {
        self.0.iter_mut().find(|told| told.raised <= cleared && told.cleared.is_none_or(|end| end >= raised))
    }

    /// History has passed this seq: what was over by then is not found again.
    pub fn forget_before(&mut self, seq: u64) {
        self.0.retain(|told| told.cleared.is_none_or(|end| end > seq));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(raised: u64, cleared: Option<u64>) -> Told {
        Told { occurrence: EventId(u128::from(raised)), raised, onset: raised, cleared }
    }

    #[test]
    fn what_shares_a_reading_is_the_same_occurrence() {
        let mut all = ToldOf::default();
        all.raised(told(30, None));
        all.raised(told(10, None));
        all.cleared(40);
        all.cleared(20);
        for (raised, cleared, found) in [
            (0, 9, None),
            (0, 10, Some(10)),
            (15, 16, Some(10)),
            (20, 35, Some(10)),
            (21, 29, None),
            (21, 30, Some(30)),
            (41, 50, None),
        ] {
            assert_eq!(all.covering(raised, cleared).map(|told| told.raised), found, "{raised}..={cleared}");
        }
        all.forget_before(20);
        assert_eq!(all.covering(0, 25), None);
        assert!(all.covering(0, 30).is_some());
        all.raised(told(50, None));
        all.forget_before(60);
        assert_eq!(all.covering(55, 56).map(|told| told.raised), Some(50), "it goes on");
    }

    #[test]
    fn the_oldest_are_forgotten_at_the_bound() {
        let mut all = ToldOf::default();
        (0..MAX_TOLD as u64 + 1).for_each(|raised| all.raised(told(raised, Some(raised))));
        assert_eq!(all.0.len(), MAX_TOLD);
        assert_eq!(all.covering(0, 0), None);
    }
}
