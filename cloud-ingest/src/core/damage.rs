//! Journal entries that can no longer be read: whoever meets one says so, and from the commit that puts it into quarantine
//! the ledger calls its readings lost (corrupt), not stored. A gateway or a board that still has them makes them stored
//! again; until then the audit does not claim what nobody can show. The core remembers positions it was told of, since an
//! entry may be met by several before it is out.

use tidegate_protocol::{RangeSet, SeqRange};

use super::{
    Core, Mode,
    batch::{Damaged, OriginNo},
};

impl Core {
    /// Told once or several times, by whoever met it; once is enough until the entry is out of the journal.
    pub(super) fn entry_damaged(&mut self, now_ms: u64, damaged: Damaged) {
        // After a failed commit it is met, and told, again.
        if self.mode == Mode::Reloading || self.damaged.contains_key(&damaged.position) {
            return;
        }
        self.damaged.insert(damaged.position, self.building.number);
        self.leave_unanswered(&damaged);
        for (no, range) in &damaged.ranges {
            let gone = self.not_stored_anew(*no, *range);
            if let Some(state) = self.origins.get_mut(*no) {
                gone.iter().for_each(|range| state.record.ledger.corrupt(range));
                self.mark_dirty(*no);
                self.settle_on(*no);
            }
        }
        self.building.damaged.push(damaged);
        self.touch_batch(now_ms);
    }

    /// Without what this batch stores in another entry: word of an entry that a commit took out, though it failed, came late. What earlier
    /// batches store anew is for the store to see.
    fn not_stored_anew(&self, no: OriginNo, range: SeqRange) -> RangeSet {
        let mut gone: RangeSet = [range].into_iter().collect();
        let accepted = self.building.entries.iter().flat_map(|entry| &entry.head.accepted);
        accepted.filter(|run| run.origin == no).for_each(|run| gone.remove(run.range));
        gone
    }

    /// After a failed commit the entries are remembered that are out already: whoever met one before may say so late, when
    /// its readings are stored anew elsewhere.
    pub(super) fn forget_undone_damage(&mut self, failed_batch: u64) {
        self.damaged.retain(|_, batch| *batch < failed_batch);
    }
}
