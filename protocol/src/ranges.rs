//! Sets of numbers as sorted ranges: seqs of an origin, keys of a queue. What counts as one range costs one
//! entry however long it is, and runs are what really happens: work is per range, never per reading.

use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::id::SeqRange;

/// Ranges ascend, never touch, are never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RangeSet(Vec<SeqRange>);

/// What is read back is held to what is written: everything here takes it for granted.
impl<'de> Deserialize<'de> for RangeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ranges = Vec::<SeqRange>::deserialize(deserializer)?;
        let ascend = ranges.windows(2).all(|pair| matches!(pair, [before, next] if before.end < next.start));
        if !ascend || ranges.iter().any(SeqRange::is_empty) {
            return Err(de::Error::custom("ranges that do not ascend, touch or are empty"));
        }
        Ok(Self(ranges))
    }
}

impl FromIterator<SeqRange> for RangeSet {
    fn from_iter<T: IntoIterator<Item = SeqRange>>(ranges: T) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

impl RangeSet {
    pub fn ranges(&self) -> &[SeqRange] {
        &self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.0.iter().copied()
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

    pub fn contains(&self, at: u64) -> bool {
        self.run_end(at) > at
    }

    pub fn contains_all(&self, range: SeqRange) -> bool {
        range.is_empty() || self.run_end(range.start) >= range.end
    }

    /// Whether a range can be added without there being more than `max` ranges: at the bound, only what meets one.
    pub fn has_room_for(&self, range: SeqRange, max: usize) -> bool {
        let at = self.0.partition_point(|known| known.end < range.start);
        self.0.len() < max || self.0.get(at).is_some_and(|known| known.start <= range.end)
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

    /// The parts of `range` that are inside, and those that are not, each ascending.
    pub fn split(&self, range: SeqRange, inside: &mut Vec<SeqRange>, outside: &mut Vec<SeqRange>) {
        let mut at = range.start;
        let from = self.0.partition_point(|known| known.end <= range.start);
        for known in self.0.iter().skip(from).take_while(|known| known.start < range.end) {
            let common = known.intersection(range);
            if at < common.start {
                outside.push(SeqRange::new(at, common.start));
            }
            inside.push(common);
            at = common.end;
        }
        if at < range.end {
            outside.push(SeqRange::new(at, range.end));
        }
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

    /// Takes the highest elements out, at most `limit`; descending.
    pub fn take_last(&mut self, limit: usize) -> Vec<u64> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(last) = self.0.last().copied()
        {
            let start = last.start.max(last.end.saturating_sub((limit - taken.len()) as u64));
            taken.extend((start..last.end).rev());
            self.remove(SeqRange::new(start, last.end));
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
    use std::{collections::BTreeSet, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    /// Found by fuzzing: a damaged record brought a set that all arithmetic went wrong with.
    #[test]
    fn what_is_no_set_is_not_read_as_one() {
        let read = |ranges: &[(u64, u64)]| {
            let bytes = postcard::to_allocvec(ranges).unwrap();
            postcard::from_bytes::<RangeSet>(&bytes)
        };
        let set: RangeSet = [SeqRange::new(0, 9), SeqRange::new(10, u64::MAX)].into_iter().collect();
        assert_eq!(read(&[(0, 9), (10, u64::MAX)]), Ok(set));
        assert_eq!(read(&[]), Ok(RangeSet::default()));
        for wrong in [&[(5, 5)][..], &[(9, 3)], &[(0, 9), (9, 12)], &[(0, 9), (3, 12)], &[(20, 30), (0, 9)]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        /// Whatever is put in and taken out, in any order, is what a plain set of numbers has.
        #[test]
        fn it_is_a_set_of_numbers(steps in prop::collection::vec((any::<bool>(), 0_u64..60, 0_u64..12), 0..60)) {
            let mut set = RangeSet::default();
            let mut naive = BTreeSet::new();
            for (put, start, len) in steps {
                let range = SeqRange::new(start, start + len);
                if put {
                    set.insert(range);
                    naive.extend(start..start + len);
                } else {
                    set.remove(range);
                    naive.retain(|seq| !range.contains(*seq));
                }
                let listed: Vec<u64> = set.iter().flat_map(|range| range.start..range.end).collect();
                prop_assert_eq!(&listed, &naive.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(set.count(), naive.len() as u64);
                prop_assert!(set.ranges().windows(2).all(|pair| pair[0].end < pair[1].start), "ranges touch");
                for seq in 0..72 {
                    prop_assert_eq!(set.contains(seq), naive.contains(&seq));
                    let run = (seq..).find(|at| !naive.contains(at)).unwrap_or_default();
                    prop_assert_eq!(set.run_end(seq), run);
                }
                let (mut inside, mut outside) = (Vec::new(), Vec::new());
                set.split(range, &mut inside, &mut outside);
                let flat = |ranges: &[SeqRange]| ranges.iter().flat_map(|r| r.start..r.end).collect::<Vec<_>>();
                let (within, without): (Vec<_>, Vec<_>) = (start..start + len).partition(|seq| naive.contains(seq));
                prop_assert_eq!(flat(&inside), within);
                prop_assert_eq!(flat(&set.missing(range)), without.clone());
                prop_assert_eq!(set.contains_all(range), without.is_empty());
                prop_assert_eq!(flat(&outside), without);
                let whole = RangeSet::from_iter(naive.iter().map(|&seq| SeqRange::new(seq, seq + 1)));
                prop_assert_eq!(&set, &whole);
                if !range.is_empty() {
                    let mut more = set.clone();
                    more.insert(range);
                    let bound = set.ranges().len();
                    prop_assert_eq!(set.has_room_for(range, bound), more.ranges().len() <= bound);
                }
            }
            let taken = set.take_first(5);
            prop_assert_eq!(&taken, &naive.iter().copied().take(5).collect::<Vec<_>>());
            prop_assert_eq!(set.count() + taken.len() as u64, naive.len() as u64);
            let highest = set.take_last(3);
            let rest = naive.iter().copied().skip(taken.len()).rev();
            prop_assert_eq!(highest, rest.take(3).collect::<Vec<_>>());
        }
    }

    #[test]
    fn gaps_are_forgotten_only_below_the_floor() {
        let set = |ranges: &[(u64, u64)]| {
            RangeSet::from_iter(ranges.iter().map(|&(start, end)| SeqRange::new(start, end)))
        };
        let mut ranges = set(&[(0, 2), (4, 6), (8, 10), (12, 14)]);
        assert!(ranges.forget_gaps_below(8, 2));
        assert_eq!(ranges, set(&[(0, 10), (12, 14)]));
        assert!(!ranges.forget_gaps_below(11, 1));
    }
}
