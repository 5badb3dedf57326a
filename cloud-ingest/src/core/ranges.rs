//! A set of sequence numbers, kept as ranges. An origin that delivers in order is one range, whatever its length, so
//! the ledger's work is per range and never per reading.

use serde::{Deserialize, Serialize};
use tidegate_protocol::SeqRange;

/// Ranges ascend, are not empty and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RangeSet {
    ranges: Vec<SeqRange>,
}

impl RangeSet {
    pub fn iter(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.ranges.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are inside.
    pub fn count(&self) -> u64 {
        self.ranges.iter().fold(0, |sum, range| sum.saturating_add(range.len()))
    }

    /// One past the highest number inside; 0 when empty.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.end)
    }

    pub fn contains(&self, seq: u64) -> bool {
        self.run_end(seq) > seq
    }

    /// The end of the run that `seq` is in; `seq` itself when it is not inside.
    pub fn run_end(&self, seq: u64) -> u64 {
        let at = self.ranges.partition_point(|range| range.end <= seq);
        self.ranges.get(at).filter(|range| range.start <= seq).map_or(seq, |range| range.end)
    }

    /// Whether a range can be added without there being more than `max` ranges: at the bound, only what meets one.
    pub fn has_room_for(&self, range: SeqRange, max: usize) -> bool {
        let at = self.ranges.partition_point(|known| known.end < range.start);
        self.ranges.len() < max || self.ranges.get(at).is_some_and(|known| known.start <= range.end)
    }

    /// Adds a range, joining what it meets.
    pub fn insert(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        // The common case: the next readings of an origin that delivers in order.
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => {
                last.end = range.end;
                return;
            }
            Some(last) if last.end < range.start => {
                self.ranges.push(range);
                return;
            }
            None => {
                self.ranges.push(range);
                return;
            }
            Some(_) => {}
        }
        let from = self.ranges.partition_point(|known| known.end < range.start);
        let to = self.ranges.partition_point(|known| known.start <= range.end);
        let mut joined = range;
        for known in self.ranges.get(from..to).unwrap_or_default() {
            joined.start = joined.start.min(known.start);
            joined.end = joined.end.max(known.end);
        }
        self.ranges.splice(from..to, [joined]);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|known| known.end <= range.start);
        let to = self.ranges.partition_point(|known| known.start < range.end);
        let Some(touched) = self.ranges.get(from..to).filter(|touched| !touched.is_empty()) else { return };
        let first = touched.first().map(|known| SeqRange::new(known.start, range.start));
        let last = touched.last().map(|known| SeqRange::new(range.end, known.end));
        let left: Vec<_> = [first, last].into_iter().flatten().filter(|part| !part.is_empty()).collect();
        self.ranges.splice(from..to, left);
    }

    /// The parts of `range` that are inside, and those that are not, each ascending.
    pub fn split(&self, range: SeqRange, inside: &mut Vec<SeqRange>, outside: &mut Vec<SeqRange>) {
        let mut at = range.start;
        let from = self.ranges.partition_point(|known| known.end <= range.start);
        for known in self.ranges.iter().skip(from).take_while(|known| known.start < range.end) {
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
}

impl FromIterator<SeqRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = SeqRange>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

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
                prop_assert!(set.ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "ranges touch");
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
                prop_assert_eq!(flat(&outside), without);
            }
        }
    }
}
