//! What the cloud knows of one origin's readings: which seqs are stored, lost (and why), or outstanding.
//!
//! Per seq, `unknown < lost(reason) < stored`, and merging takes the greater, so that records and blocks may come in
//! any order and any number of times: a lost seq that arrives after all becomes stored, and no record makes a stored
//! one lost again; only its own disk does ([`Ledger::corrupt`]). Of two reasons for one loss the one with the lower code stays, the cause nearer to the sensor. The work is per range; memory
//! is that of the ranges (an origin without holes has one). Nothing here reads a clock or a file.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_protocol::{LossReason, RangeSet, SeqRange, block::Tail};
use tidegate_service::Mutant;

/// Ranges of one origin: stored ones, and lost ones of each reason. A board with this many holes in one boot is broken
/// or hostile; what would tear more is refused, and stays outstanding.
pub const MAX_RANGES_PER_ORIGIN: usize = 16_384;

const REASONS: usize = LossReason::ALL.len();

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    stored: RangeSet,
    /// By reason code; disjoint from each other and from `stored`. Stored by code, so that a further reason does not change
    /// what is stored.
    #[serde(with = "by_code")]
    lost: [RangeSet; REASONS],
    /// The highest `next` that anyone reported.
    reported_next: u64,
    tail: Option<Tail>,
    /// Lost readings that arrived after all.
    recovered: u64,
}

/// What a range of arriving readings is to the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Not stored so far.
    pub new: Vec<SeqRange>,
    /// Stored, or on its way to the disk.
    pub known: Vec<SeqRange>,
}

impl Ledger {
    /// What a store of an older format has.
    pub fn from_parts(
        stored: RangeSet,
        lost: impl IntoIterator<Item = (LossReason, RangeSet)>,
        reported_next: u64,
        tail: Option<Tail>,
        recovered: u64,
    ) -> Self {
        let mut ledger = Self { stored, reported_next, tail, recovered, ..Self::default() };
        for (reason, ranges) in lost {
            if let Some(place) = ledger.lost.get_mut(usize::from(reason.code())) {
                *place = ranges;
            }
        }
        ledger
    }

    /// Sorts a range into what is new and what is known, adding to `split`.
    pub fn classify(&self, range: SeqRange, split: &mut Split) {
        self.stored.split(range, &mut split.known, &mut split.new);
    }

    pub fn has_room_to_store(&self, range: SeqRange) -> bool {
        self.stored.has_room_for(range, MAX_RANGES_PER_ORIGIN)
    }

    pub fn has_room_to_lose(&self, range: SeqRange, reason: LossReason) -> bool {
        let lost = self.lost.get(usize::from(reason.code()));
        lost.is_none_or(|lost| lost.has_room_for(range, MAX_RANGES_PER_ORIGIN))
    }

    /// Marks a range stored; says how many of it had been declared lost.
    pub fn store(&mut self, range: SeqRange) -> u64 {
        let lost_before = self.lost_count();
        if lost_before > 0 {
            self.lost.iter_mut().for_each(|lost| lost.remove(range));
        }
        let too_many = u64::from(Mutant::LedgerOffByOne.is_on());
        self.stored.insert(SeqRange::new(range.start, range.end + too_many));
        let recovered = lost_before - self.lost_count();
        self.recovered += recovered;
        recovered
    }

    /// Marks what is not stored of a range as lost; says whether that changed anything.
    pub fn lose(&mut self, range: SeqRange, reason: LossReason) -> bool {
        if Mutant::LostBeatsStored.is_on() {
            self.stored.remove(range);
        }
        let mut open = Split::default();
        self.classify(range, &mut open);
        let before = self.lost.clone();
        for part in open.new {
            let mut parts = vec![part];
            for (code, lost) in self.lost.iter_mut().enumerate() {
                match code.cmp(&usize::from(reason.code())) {
                    // A reason nearer to the sensor stays.
                    std::cmp::Ordering::Less => {
                        let (mut kept, mut others) = (Vec::new(), Vec::new());
                        parts.iter().for_each(|part| lost.split(*part, &mut kept, &mut others));
                        parts = others;
                    }
                    std::cmp::Ordering::Equal => parts.iter().for_each(|part| lost.insert(*part)),
                    std::cmp::Ordering::Greater => parts.iter().for_each(|part| lost.remove(*part)),
                }
            }
        }
        self.lost != before
    }

    /// What was stored of a range cannot be read any more: it is lost (corrupt), the only step down that there is. Another copy
    /// that arrives makes it stored again.
    pub fn corrupt(&mut self, range: SeqRange) {
        let mut split = Split::default();
        self.classify(range, &mut split);
        for part in split.known {
            self.stored.remove(part);
            self.lose(part, LossReason::Corrupt);
        }
    }

    /// Somebody heard that readings below `next` exist; says whether that was news.
    pub fn report(&mut self, next: u64) -> bool {
        let news = next > self.reported_next;
        self.reported_next = self.reported_next.max(next);
        news
    }

    /// The origin measures no more; a known tail outweighs an open one. Says whether that was news.
    pub fn close(&mut self, tail: Tail) -> bool {
        let before = (self.tail, self.reported_next);
        self.report(tail.next());
        self.tail = Some(match (before.0, tail) {
            (Some(Tail::Known(a)), Tail::Known(b)) => Tail::Known(a.max(b)),
            (Some(Tail::Known(a)), Tail::AtLeast(_)) => Tail::Known(a),
            (_, Tail::Known(b)) => Tail::Known(b),
            (Some(Tail::AtLeast(a)), Tail::AtLeast(b)) => Tail::AtLeast(a.max(b)),
            (None, open) => open,
        });
        before != (self.tail, self.reported_next)
    }

    /// One past the highest seq that anyone spoke of.
    pub fn next(&self) -> u64 {
        let lost = self.lost.iter().map(RangeSet::end).max().unwrap_or(0);
        self.reported_next.max(self.stored.end()).max(lost)
    }

    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    pub fn stored(&self) -> &RangeSet {
        &self.stored
    }

    pub fn lost(&self) -> impl Iterator<Item = (LossReason, &RangeSet)> {
        LossReason::ALL.into_iter().zip(&self.lost)
    }

    pub fn lost_count(&self) -> u64 {
        self.lost.iter().fold(0, |sum, lost| sum.saturating_add(lost.count()))
    }

    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// The seqs that exist and are neither stored nor lost.
    pub fn outstanding(&self) -> RangeSet {
        let mut open = RangeSet::default();
        open.insert(SeqRange::new(0, self.next()));
        self.stored.iter().for_each(|range| open.remove(range));
        self.lost.iter().flat_map(RangeSet::iter).for_each(|range| open.remove(range));
        open
    }

    /// The end of the lost run at `seq`; `seq` itself when it is not lost.
    pub fn lost_run_end(&self, seq: u64) -> u64 {
        let mut at = seq;
        while let Some(end) = self.lost.iter().map(|lost| lost.run_end(at)).find(|end| *end > at) {
            at = end;
        }
        at
    }

    /// Every seq that exists is stored or lost.
    pub fn has_no_holes(&self) -> bool {
        self.settled_end(0) >= self.next()
    }

    /// SHA-256 over what the ledger says of this origin: `tidegate-ledger-1`, the next seq, then per class (0 stored, 1 + code
    /// for each loss reason that there is) the class, the number of ranges, and each range's start and end; numbers
    /// as 64 bits, big-endian.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"tidegate-ledger-1");
        hash.update(self.next().to_be_bytes());
        let lost = self.lost().map(|(reason, ranges)| (u64::from(reason.code()) + 1, ranges));
        for (class, ranges) in std::iter::once((0, &self.stored)).chain(lost) {
            if ranges.is_empty() {
                continue;
            }
            hash.update(class.to_be_bytes());
            hash.update((ranges.ranges().len() as u64).to_be_bytes());
            for range in ranges.iter() {
                hash.update(range.start.to_be_bytes());
                hash.update(range.end.to_be_bytes());
            }
        }
        hash.finalize().into()
    }

    /// The first seq from `seq` on that is neither stored nor lost: how far history can be settled.
    pub fn settled_end(&self, seq: u64) -> u64 {
        if Mutant::HistoryAcrossHoles.is_on() {
            return self.stored.end().max(seq);
        }
        let mut at = seq;
        loop {
            let end = self.lost_run_end(self.stored.run_end(at));
            if end == at {
                return at;
            }
            at = end;
        }
    }
}

/// Only reasons with a loss, each with its code.
mod by_code {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tidegate_protocol::RangeSet;

    use super::REASONS;

    pub fn serialize<S: Serializer>(lost: &[RangeSet; REASONS], serializer: S) -> Result<S::Ok, S::Error> {
        let kept: Vec<_> = (0_u8..).zip(lost).filter(|(_, ranges)| !ranges.is_empty()).collect();
        serializer.collect_seq(kept)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[RangeSet; REASONS], D::Error> {
        let mut lost: [RangeSet; REASONS] = Default::default();
        for (code, ranges) in Vec::<(u8, RangeSet)>::deserialize(deserializer)? {
            let place = lost.get_mut(usize::from(code));
            *place.ok_or_else(|| D::Error::custom("a loss has an unknown reason"))? = ranges;
        }
        Ok(lost)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
