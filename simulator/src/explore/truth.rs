//! What really happened to readings, as only the simulator knows: measured, given up, with whom they died.

use std::collections::BTreeMap;

use tidegate_protocol::{LossReason, Origin, RangeSet, Reading, SeqRange};

#[derive(Debug, Default)]
pub struct OriginTruth {
    /// By seq. More than one where a broken board used its boot again.
    measured: BTreeMap<u64, Vec<Reading>>,
    /// Given up by the ring.
    pub overflowed: RangeSet,
    /// Evicted by an agent at its quota.
    pub evicted: RangeSet,
    /// Given up by an agent at its quota that kept summaries.
    pub thinned: RangeSet,
    /// Stored or declared at the ingest, and not in the backup that took its place.
    pub rolled_back: RangeSet,
    /// Written off by an operator.
    pub written_off: RangeSet,
    /// In a block whose bytes were flipped.
    pub flipped: RangeSet,
    /// Gone by what no custody can prevent: a disk replaced by an older image.
    pub forfeited: RangeSet,
    /// What its board held and nobody had acknowledged when the boot ended.
    pub died: RangeSet,
    pub lives: u32,
    /// The ingest was restored while it was there: agents may declare more than was lost, since stored beats lost.
    pub was_rolled_back: bool,
    /// The ingest's disk spoiled some of it after it was stored: history was told of what cannot be read any more.
    pub was_damaged_at_cloud: bool,
    pub ended: bool,
    /// A gateway that knew more of it than its disk did was killed: nobody may be left to close it.
    pub forgotten: bool,
}

impl OriginTruth {
    pub fn was_measured(&self, reading: &Reading) -> bool {
        self.measured.get(&reading.seq.0).is_some_and(|candidates| candidates.contains(reading))
    }

    pub fn next(&self) -> u64 {
        self.measured.last_key_value().map_or(0, |(seq, _)| seq + 1)
    }

    /// Whether all of a range may have been lost for this reason; `kept` is in a quarantine.
    pub fn may_be_lost(&self, range: SeqRange, reason: LossReason, kept: &RangeSet) -> bool {
        match reason {
            LossReason::RingOverflow => self.overflowed.contains_all(range),
            LossReason::Evicted => self.evicted.contains_all(range),
            LossReason::Thinned => self.thinned.contains_all(range),
            // An agent on an old image hears of restores anew.
            LossReason::RolledBack => self.was_rolled_back || self.forfeited.contains_all(range),
            LossReason::Corrupt => self.flipped.contains_all(range),
            LossReason::Unaccounted => {
                let mut unexplained: RangeSet = [range].into_iter().collect();
                let explained = self.flipped.iter().chain(self.died.iter()).chain(kept.iter());
                explained.for_each(|range| unexplained.remove(range));
                self.was_rolled_back || unexplained.is_empty()
            }
            LossReason::UncleanTail => self.ended,
            LossReason::WrittenOff => self.written_off.contains_all(range),
        }
    }
}

#[derive(Debug, Default)]
pub struct Truth {
    origins: BTreeMap<Origin, OriginTruth>,
    pub readings: u64,
}

impl Truth {
    pub fn begins(&mut self, origin: Origin) {
        let truth = self.origins.entry(origin).or_default();
        truth.lives += 1;
    }

    pub fn measured(&mut self, origin: Origin, reading: Reading) {
        self.readings += 1;
        let candidates = self.entry(origin).measured.entry(reading.seq.0).or_default();
        if !candidates.contains(&reading) {
            candidates.push(reading);
        }
    }

    pub fn overflowed(&mut self, origin: Origin, range: SeqRange) {
        if !range.is_empty() {
            self.entry(origin).overflowed.insert(range);
        }
    }

    pub fn ends(&mut self, origin: Origin, held: SeqRange) {
        let truth = self.entry(origin);
        truth.ended = true;
        truth.died.insert(held);
    }

    pub fn entry(&mut self, origin: Origin) -> &mut OriginTruth {
        self.origins.entry(origin).or_default()
    }

    pub fn origins(&self) -> Vec<Origin> {
        self.origins.keys().copied().collect()
    }

    pub fn get(&self, origin: Origin) -> Option<&OriginTruth> {
        self.origins.get(&origin)
    }
}
