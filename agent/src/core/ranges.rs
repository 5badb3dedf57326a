//! Sets of numbers as sorted ranges: seqs of an origin, keys of the queue. What counts as one range costs one
//! entry however long it is, and runs are what really happens.

use tidegate_protocol::SeqRange;

/// Ranges ascend, never touch, are never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet(Vec<SeqRange>);

impl RangeSet {
    pub fn from_ranges(ranges: impl IntoIterator<Item = SeqRange>) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }

    pub fn ranges(&self) -> &[SeqRange] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers are inside.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add(range.len()))
    }

    pub fn first(&self) -> Option<u64> {
        self.0.first().map(|range| range.start)
    }

    /// One more than the highest number inside.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.end)
    }

    /// The end of the run that contains `at`, or `at` itself when it is not inside.
    pub fn run_end(&self, at: u64) -> u64 {
        let after = self.0.partition_point(|range| range.end <= at);
        self.0.get(after).filter(|range| range.start <= at).map_or(at, |range| range.end)
    }

    pub fn contains_all(&self, range: SeqRange) -> bool {
        range.is_empty() || self.run_end(range.start) >= range.end
    }

    pub fn insert(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        // Appending to the last range is what nearly always happens.
        if let Some(last) = self.0.last_mut()
            && last.start <= range.start
            && range.start <= last.end
        {
            last.end = last.end.max(range.end);
            return;
        }
        let from = self.0.partition_point(|other| other.end < range.start);
        let to = self.0.partition_point(|other| other.start <= range.end);
        let touched = self.0.get(from..to).unwrap_or_default();
        let start = touched.first().map_or(range.start, |first| first.start.min(range.start));
        let end = touched.last().map_or(range.end, |last| last.end.max(range.end));
        self.0.splice(from..to, [SeqRange::new(start, end)]);
    }

    pub fn remove(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|other| other.end <= range.start);
        let to = self.0.partition_point(|other| other.start < range.end);
        let touched = self.0.get(from..to).unwrap_or_default();
        let before = touched.first().map(|first| SeqRange::new(first.start, range.start));
        let after = touched.last().map(|last| SeqRange::new(range.end, last.end));
        let kept: Vec<SeqRange> =
            [before, after].into_iter().flatten().filter(|range| !range.is_empty()).collect();
        self.0.splice(from..to, kept);
    }

    /// What of `range` is not inside.
    pub fn missing(&self, range: SeqRange) -> Vec<SeqRange> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        let from = self.0.partition_point(|other| other.end <= range.start);
        for other in self.0.iter().skip(from).take_while(|other| other.start < range.end) {
            if at < other.start {
                gaps.push(SeqRange::new(at, other.start));
            }
            at = other.end;
        }
        if at < range.end {
            gaps.push(SeqRange::new(at, range.end));
        }
        gaps
    }

    /// Takes up to `limit` of the lowest numbers out.
    pub fn take_first(&mut self, limit: usize) -> Vec<u64> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(first) = self.0.first().copied()
        {
            let end = first.end.min(first.start.saturating_add((limit - taken.len()) as u64));
            taken.extend(first.start..end);
            self.remove(SeqRange::new(first.start, end));
        }
        taken
    }

    /// Closes the lowest gaps below `floor` until at most `bound` ranges are left; false when that cannot be done.
    pub fn forget_gaps_below(&mut self, floor: u64, bound: usize) -> bool {
        while self.0.len() > bound {
            match self.0.get(..2) {
                Some(&[first, second]) if second.start <= floor => {
                    self.insert(SeqRange::new(first.end, second.start));
                }
                _ => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{Rng, SeedableRng};

    use super::*;

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        RangeSet::from_ranges(ranges.iter().map(|&(start, end)| SeqRange::new(start, end)))
    }

    /// Every operation against the plain set of numbers.
    #[test]
    fn behaves_as_a_set_of_numbers() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        for _ in 0..300 {
            let (mut ranges, mut model) = (RangeSet::default(), BTreeSet::new());
            for _ in 0..30 {
                let start = rng.random_range(0..60);
                let range = SeqRange::new(start, start + rng.random_range(0..9));
                if rng.random_bool(0.6) {
                    ranges.insert(range);
                    model.extend(range.start..range.end);
                } else {
                    ranges.remove(range);
                    model.retain(|number| !range.contains(*number));
                }
                assert_eq!(ranges, RangeSet::from_ranges(model.iter().map(|&n| SeqRange::new(n, n + 1))));
                let probe = SeqRange::new(rng.random_range(0..60), 60);
                let missing: Vec<u64> = (probe.start..probe.end).filter(|n| !model.contains(n)).collect();
                let gaps: Vec<u64> =
                    ranges.missing(probe).iter().flat_map(|gap| gap.start..gap.end).collect();
                assert_eq!(gaps, missing);
                assert_eq!(ranges.contains_all(probe), missing.is_empty());
                assert_eq!(
                    ranges.run_end(probe.start),
                    (probe.start..).find(|n| !model.contains(n)).unwrap()
                );
                assert_eq!(ranges.count(), model.len() as u64);
            }
            let taken = ranges.take_first(5);
            assert_eq!(taken, model.iter().copied().take(5).collect::<Vec<_>>());
        }
    }

    #[test]
    fn gaps_are_forgotten_only_below_the_floor() {
        let mut ranges = set(&[(0, 2), (4, 6), (8, 10), (12, 14)]);
        assert!(ranges.forget_gaps_below(8, 2));
        assert_eq!(ranges, set(&[(0, 10), (12, 14)]));
        assert!(!ranges.forget_gaps_below(11, 1));
    }
}
