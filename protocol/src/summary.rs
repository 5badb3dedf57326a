//! Summaries: what stands for readings that an agent had no room to keep.
//!
//! A summary is no reading. The seqs it stands for are declared lost (thinned) beside it, once per origin; each of the
//! origin's channels then has summaries that say what its readings were like. Only readings of a finite value whose
//! quality is not bad are counted; a bool is 0 or 1. Everything is computed in seq order in doubles, by the same few
//! operations everywhere, so that the same readings give the same bits.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ChannelIndex, Origin, SeqRange},
    reading::Tick,
};

/// What a run of readings of one channel was like.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Summary {
    pub origin: Origin,
    pub channel: ChannelIndex,
    /// A run of thinned seqs of the origin, those of its other channels included.
    pub range: SeqRange,
    /// Of the channel's first and last reading in the range.
    pub ticks: (Tick, Tick),
    /// How many readings the figures below are of.
    pub count: u64,
    /// Not a number, as are the other two, when the count is zero.
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    /// How often the value went from one side of the mean to the other.
    pub crossings: u64,
}

impl Summary {
    /// Whether it can be true: what cannot is neither sent nor taken.
    pub fn is_sound(&self) -> bool {
        let figures = if self.count == 0 {
            [self.min, self.max, self.mean].iter().all(|figure| figure.to_bits() == f64::NAN.to_bits())
                && self.crossings == 0
        } else {
            [self.min, self.max].iter().all(|figure| figure.is_finite())
                && self.min <= self.mean
                && self.mean <= self.max
                && self.crossings < self.count
        };
        !self.range.is_empty() && self.count <= self.range.len() && figures
    }

    /// One summary for two of the same channel, of which `later` begins where this one has ended. Count, extremes and, but for rounding, the mean are those of all the readings; crossings are those of both, each
    /// of its own mean. None when the two are not neighbours: what lies between may have a summary of its own.
    pub fn merged(&self, later: &Self) -> Option<Self> {
        if (self.origin, self.channel) != (later.origin, later.channel) || self.range.end != later.range.start
        {
            return None;
        }
        let count = self.count.checked_add(later.count)?;
        let (min, max, mean) = match (self.count, later.count) {
            (_, 0) => (self.min, self.max, self.mean),
            (0, _) => (later.min, later.max, later.mean),
            (own, others) => {
                let (min, max) = (self.min.min(later.min), self.max.max(later.max));
                let share = |part: u64| part as f64 / count as f64;
                let mean = self.mean * share(own) + later.mean * share(others);
                (min, max, mean.clamp(min, max))
            }
        };
        Some(Self {
            origin: self.origin,
            channel: self.channel,
            range: SeqRange::new(self.range.start, later.range.end),
            ticks: (self.ticks.0, later.ticks.1),
            count,
            min,
            max,
            mean,
            crossings: self.crossings + later.crossings,
        })
    }

    /// All that two equal summaries have in common.
    const fn figures(&self) -> [u64; 5] {
        [self.count, self.min.to_bits(), self.max.to_bits(), self.mean.to_bits(), self.crossings]
    }
}

/// Equality is that of the bits, as for values.
impl PartialEq for Summary {
    fn eq(&self, other: &Self) -> bool {
        (self.origin, self.channel, self.range, self.ticks)
            == (other.origin, other.channel, other.range, other.ticks)
            && self.figures() == other.figures()
    }
}

impl Eq for Summary {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, DeviceId};

    fn summary(range: (u64, u64), count: u64, (min, mean, max): (f64, f64, f64)) -> Summary {
        Summary {
            origin: Origin::new(DeviceId::new("a").unwrap(), BootId(1)),
            channel: ChannelIndex(2),
            range: SeqRange::new(range.0, range.1),
            ticks: (Tick(range.0 * 10), Tick(range.1 * 10)),
            count,
            min,
            max,
            mean,
            crossings: count.saturating_sub(1),
        }
    }

    const NONE: (f64, f64, f64) = (f64::NAN, f64::NAN, f64::NAN);

    #[test]
    fn neighbours_become_one_that_stands_for_both() {
        let (first, second) = (summary((0, 10), 3, (1.0, 2.0, 3.0)), summary((10, 30), 9, (-4.0, 6.0, 7.0)));
        let both = first.merged(&second).unwrap();
        assert_eq!((both.range, both.ticks), (SeqRange::new(0, 30), (Tick(0), Tick(300))));
        assert_eq!((both.count, both.min, both.mean, both.max, both.crossings), (12, -4.0, 5.0, 7.0, 10));
        assert!(both.is_sound());
        assert_eq!(second.merged(&first), None, "in order only");
        let apart = Summary { range: SeqRange::new(11, 30), ..second };
        assert_eq!(first.merged(&apart), None, "there may be another in between");
        let other = Summary { channel: ChannelIndex(3), ..second };
        assert_eq!(first.merged(&other), None);
    }

    #[test]
    fn what_has_no_figures_changes_none() {
        let (some, none) = (summary((0, 10), 3, (1.0, 2.0, 3.0)), summary((10, 12), 0, NONE));
        let both = some.merged(&none).unwrap();
        assert_eq!((both.count, both.mean, both.range.end), (3, 2.0, 12));
        let later = summary((12, 20), 0, NONE);
        assert_eq!(
            none.merged(&later).unwrap(),
            Summary { range: SeqRange::new(10, 20), ticks: (none.ticks.0, later.ticks.1), ..none }
        );
        assert!(none.is_sound());
    }

    #[test]
    fn a_merged_mean_stays_between_its_extremes_at_the_ends_of_doubles() {
        let (low, high) = (summary((0, 3), 3, (0.1, 0.1, 0.1)), summary((3, 10), 7, (0.1, 0.1, 0.1)));
        assert!(low.merged(&high).unwrap().is_sound());
        let most = summary((0, 3), 3, (f64::MAX, f64::MAX, f64::MAX));
        let also = summary((3, 6), 3, (f64::MAX, f64::MAX, f64::MAX));
        assert!(most.merged(&also).unwrap().is_sound());
    }

    #[test]
    fn what_cannot_be_true_is_not_sound() {
        let good = summary((0, 10), 3, (1.0, 2.0, 3.0));
        assert!(good.is_sound());
        for bad in [
            Summary { count: 11, crossings: 1, ..good },
            Summary { crossings: 3, ..good },
            Summary { mean: 3.5, ..good },
            Summary { mean: f64::NAN, ..good },
            Summary { max: f64::INFINITY, ..good },
            Summary { range: SeqRange::new(4, 4), count: 0, ..good },
            Summary { count: 0, crossings: 0, ..good },
            summary((0, 10), 0, (-f64::NAN, f64::NAN, f64::NAN)),
        ] {
            assert!(!bad.is_sound(), "{bad:?}");
        }
    }
}
