//! What this agent answers for, told anew where the cloud or the agent itself lost track of it.
//!
//! An ingest that was restored from a backup has forgotten what it acknowledged since; it says so by a higher count in its
//! acknowledgements. What it had acknowledged, this agent has deleted, and so have the boards. So the agent declares
//! all of it lost (rolled-back): in the ledger, lost yields to stored, so what the backup has stays what it is.
//!
//! In order: what was acknowledged and is still on the disk is kept after all; the directories of all blocks in the queue
//! are read, a portion at a time, since what the queue holds will be delivered; then one transaction writes the
//! declarations as blocks of the queue and the count as heard. Killed before that, the agent hears the count anew and
//! starts over; killed after it, the blocks are in the queue like any others.
//!
//! What an open board was not told to let go of it still holds, and sends again: that is not claimed but taken as new.
//! Of a board that has not spoken in this run nobody knows what it let go of: it is claimed, and taken as new as well.
//!
//! What an origin's board no longer holds (below its floor) somebody's acknowledgement released. An agent that was
//! restarted since has forgotten whose, and claims it as well: if another gateway still has it, it arrives and is stored.
//!
//! The same account is given when a block of the queue is damaged: it may have held declarations, or readings that its
//! directory does not name any more. What this agent took into custody and the queue does not hold is stored in the cloud or
//! unaccounted for. The block stays in the queue until the transaction that says so. A queue that was repaired while the agent
//! did not run says that it is due at the next start.

use std::collections::{BTreeMap, VecDeque};

use tidegate_protocol::{
    LossReason, Origin, RangeSet, SeqRange,
    block::{Decoder, Description, Directory, Header, Record, Tail},
};

use super::{
    Core,
    damage::Damaged,
    event::{Batch, Entry, Key},
    origin::{OriginState, Slot},
    packer::{self, Awaited},
    parcel::Stored,
    time::Time,
};

/// Restores, one soon after the other, that late words are told apart of.
const PASSED_KEPT: usize = 16;
/// So long an ingest whose count of restores went back must be the only one to speak before it is believed.
const BELIEVED_AFTER_MS: u64 = 60_000;
/// Blocks whose directories are read in one load.
const COUNTED_AT_ONCE: usize = 256;

/// What calls for an account, and how far the last one has come.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The highest count that was heard. None was ever heard counts as 0: to declare too much harms nothing.
    heard: u32,
    /// The incarnations that spoke before a rise, the newest last: what they said late counts no more.
    passed: VecDeque<u64>,
    speaking: Option<u64>,
    /// Who speaks of fewer restores than were heard of, since when nobody else spoke.
    behind: Option<(u64, Time)>,
    /// The count rose in this run: who is met from now on may have let go of what was lost. Later runs have no such doubt,
    /// or each would declare what the restored cloud acknowledged in the run before it.
    rose: bool,
    /// Blocks of the queue that were found damaged, and are still in it.
    damaged: Vec<Damaged>,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// A commit or a load under way must end first.
    Due(LossReason),
    /// What the queue holds is being taken out of the claims.
    Counting { cause: LossReason, claims: Claims, left: RangeSet },
    /// To be written with the next batch.
    Declaring(Declared),
    /// Being written.
    Writing(Declared),
}

type Claims = BTreeMap<Origin, Claim>;

/// What is to be said of one origin.
#[derive(Debug)]
struct Claim {
    description: Description,
    next: u64,
    closed: bool,
    lost: RangeSet,
}

#[derive(Debug, Default)]
struct Declared {
    records: Vec<Record>,
    /// As far as this agent can know.
    rolled_back: u64,
}

impl Account {
    /// `due`: blocks were taken out of the queue while no agent ran.
    pub fn recovered(ledger: u32, due: bool) -> Self {
        let stage = if due { Stage::Due(LossReason::Unaccounted) } else { Stage::Idle };
        Self { heard: ledger, stage, ..Self::default() }
    }

    /// Notes what an acknowledgement says; false where it comes from before the last restore, and counts no more.
    pub fn hears(&mut self, now: Time, ledger: u32, incarnation: u64) -> bool {
        if self.passed.contains(&incarnation) {
            return false;
        }
        if ledger < self.heard && self.speaking != Some(incarnation) {
            // A late word from between two restores, or a data folder that was exchanged by hand: then no other speaks.
            let since =
                self.behind.filter(|(behind, _)| *behind == incarnation).map_or(now, |(_, since)| since);
            self.behind = Some((incarnation, since));
            if now < since.plus_ms(BELIEVED_AFTER_MS) {
                return false;
            }
            tracing::warn!(
                ledger,
                heard = self.heard,
                "the ingest's count of restores went back: was its data folder exchanged by hand?"
            );
        }
        self.behind = None;
        if ledger > self.heard {
            if self.passed.len() == PASSED_KEPT {
                self.passed.pop_front();
            }
            self.passed.extend(self.speaking.filter(|speaking| *speaking != incarnation));
            self.stage = Stage::Due(LossReason::RolledBack);
            self.rose = true;
        }
        self.speaking = Some(incarnation);
        self.heard = self.heard.max(ledger);
        true
    }

    /// The cloud was restored, as this run was the first to hear.
    pub const fn rose(&self) -> bool {
        self.rose
    }

    pub const fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle) && self.damaged.is_empty()
    }

    pub fn found_damaged(&mut self, damaged: Damaged) {
        self.damaged.push(damaged);
    }

    pub const fn is_declaring(&self) -> bool {
        matches!(self.stage, Stage::Declaring(_))
    }

    pub fn batch_failed(&mut self) {
        self.stage = match std::mem::take(&mut self.stage) {
            Stage::Writing(declared) => Stage::Declaring(declared),
            other => other,
        };
    }
}

impl Core {
    /// Begins an account once nothing else is under way at the disk.
    pub(super) fn advance_account(&mut self) {
        let cause = match self.account.stage {
            Stage::Due(cause) => cause,
            Stage::Idle if !self.account.damaged.is_empty() => LossReason::Unaccounted,
            _ => return,
        };
        if self.custodian.is_busy() || self.backlog.is_loading() {
            return;
        }
        if cause == LossReason::RolledBack {
            tracing::warn!(
                count = self.account.heard,
                "the ingest was restored from a backup; what it had acknowledged since is declared lost (rolled-back)"
            );
            // Acknowledged by what is no more, and not deleted yet: it is sent once more.
            for stored in std::mem::take(&mut self.custodian.doomed) {
                self.backlog.insert(stored.key);
            }
        }
        let anchored = self.origins.iter().filter_map(|(_, state)| Some((state.origin(), state.anchored?)));
        for (origin, anchored) in anchored.collect::<Vec<_>>() {
            self.anchor_record(origin, anchored);
        }
        let mut claims: Claims =
            self.origins.iter_mut().map(|(_, state)| (state.origin(), claim(state, cause))).collect();
        for directory in self.outbox.stored_directories() {
            subtract(&mut claims, &directory);
        }
        self.account.stage = Stage::Counting { cause, claims, left: self.backlog.keys() };
        self.count_portion();
    }

    /// Asks for the next blocks, or goes on to the declarations.
    pub(super) fn count_portion(&mut self) {
        let Stage::Counting { cause, claims, left } = &mut self.account.stage else { return };
        let keys = left.take_first(COUNTED_AT_ONCE);
        if !keys.is_empty() {
            self.backlog.count(keys.clone());
            self.effects.push_back(super::Effect::Load { keys });
            return;
        }
        let (cause, mut claims) = (*cause, std::mem::take(claims));
        if cause == LossReason::RolledBack {
            for (_, state) in self.origins.iter_mut() {
                if let Some(claim) = claims.get_mut(&state.origin()) {
                    expect_again(state, claim);
                }
            }
        }
        self.account.stage = Stage::Declaring(declared(claims, cause));
        for damaged in std::mem::take(&mut self.account.damaged) {
            self.condemn_damaged(damaged);
        }
    }

    pub(super) fn counted(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Err(error) = Header::parse(&entry.block) {
                self.backlog.remove(entry.key);
                self.damaged(entry.stored(), &entry.block, error);
            } else if let Stage::Counting { claims, .. } = &mut self.account.stage
                && let Ok(directory) = Decoder::directory(&entry.block)
            {
                subtract(claims, &directory);
            }
        }
        self.count_portion();
    }

    /// The disk could not be read: the same blocks again, later.
    pub(super) fn count_again(&mut self, keys: &[Key]) {
        if let Stage::Counting { left, .. } = &mut self.account.stage {
            keys.iter().for_each(|key| left.insert(SeqRange::new(*key, key.saturating_add(1))));
        }
    }

    pub(super) fn resume_counting(&mut self) {
        if matches!(self.account.stage, Stage::Counting { .. }) && self.backlog.may_load(self.now.at) {
            self.count_portion();
        }
    }

    /// Into a batch: the count, and the declarations that must be there with it.
    pub(super) fn put_account(&mut self, batch: &mut Batch) -> Vec<Stored> {
        let mut loose = Vec::new();
        if let Stage::Declaring(declared) = &mut self.account.stage {
            let declared = std::mem::take(declared);
            for records in packer::chunks(&declared.records) {
                self.put_records(records, batch, &mut loose);
            }
            self.account.stage = Stage::Writing(declared);
            batch.ledger = Some(self.account.heard);
        }
        loose
    }

    pub(super) fn account_committed(&mut self) {
        if let Stage::Writing(declared) = &self.account.stage {
            self.counters.lost(LossReason::RolledBack, declared.rolled_back);
            self.account.stage = Stage::Idle;
        }
    }

    /// A board's first word in this run, which heard of a restore: what the board has let go of, and what nobody
    /// here remembers, may have been acknowledged by what is no more.
    pub(super) fn declare_below_floor(&mut self, slot: Slot) {
        let due = self.due_unstretched();
        let Some(state) = self.origins.get_mut(slot) else { return };
        if std::mem::replace(&mut state.met, true) || !self.account.rose() {
            return;
        }
        let (origin, gaps) = (state.origin(), state.received.missing(SeqRange::new(0, state.floor)));
        for record in packer::losses(origin, gaps, LossReason::RolledBack) {
            self.packer.record_came(record, Awaited::Nothing, due);
            self.custodian.may_be_due(due);
        }
    }
}

/// What the cloud had acknowledged of an origin, as far as can be known: all that is safe. After a restore also what was
/// let go of; an ended origin has nothing else then: what it never delivered was declared before, and that is forgotten
/// as well.
fn claim(state: &mut OriginState, cause: LossReason) -> Claim {
    state.described = false;
    state.unrecorded = true;
    // Taken once more, and with that in memory, whatever the first copy has come to.
    for range in state.again.iter().collect::<Vec<_>>() {
        state.safe.remove(range);
    }
    let mut lost = state.safe.clone();
    if cause == LossReason::RolledBack {
        let known = if state.closed { state.next.max(state.safe.end()) } else { state.floor };
        lost.insert(SeqRange::new(0, known));
    } else if state.closing_safe {
        // Declared when it ended, maybe in what is gone.
        state.unclean_tail().into_iter().for_each(|hole| lost.insert(hole));
    }
    // What only memory holds will be sent.
    for range in state.received.iter().collect::<Vec<_>>() {
        state.safe.missing(range).into_iter().for_each(|waiting| lost.remove(waiting));
    }
    Claim { description: state.description.clone(), next: state.next, closed: state.closing_safe, lost }
}

/// What the board of an open origin may still hold: a resend of it is new. Sources of this machine hold nothing.
fn expect_again(state: &mut OriginState, claim: &mut Claim) {
    if state.closed || state.local_flush_ms.is_some() {
        return;
    }
    let from = state.acked.max(state.floor);
    let above = claim.lost.iter().filter(|range| range.end > from);
    for range in above.map(|range| SeqRange::new(range.start.max(from), range.end)).collect::<Vec<_>>() {
        state.safe.remove(range);
        state.received.remove(range);
        // Batches were written since it was claimed.
        state.unrecorded = true;
        if state.met {
            claim.lost.remove(range);
        }
    }
}

fn subtract(claims: &mut Claims, directory: &Directory) {
    for entry in directory {
        if let Some(claim) = claims.get_mut(&entry.origin) {
            entry.ranges.iter().for_each(|range| claim.lost.remove(*range));
        }
    }
}

fn declared(claims: Claims, cause: LossReason) -> Declared {
    let mut declared = Declared::default();
    for (origin, Claim { description, next, closed, lost }) in claims {
        // Of a damaged queue this agent cannot know how much of it the cloud has.
        if cause == LossReason::RolledBack {
            declared.rolled_back = declared.rolled_back.saturating_add(lost.count());
        }
        declared.records.push(Record::Described(description));
        declared.records.push(Record::Measured { origin, next });

        let losses = packer::losses(origin, lost.iter().collect::<Vec<_>>(), cause);
        declared.records.extend(losses);
        if closed {
            declared.records.push(Record::Closed { origin, tail: Tail::AtLeast(next) });
        }
    }
    declared
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{BootId, DeviceId, id::NameError};

    use super::*;

    #[test]
    fn a_word_from_between_two_restores_counts_only_when_nobody_else_speaks() {
        let mut account = Account::recovered(0, false);
        assert!(account.hears(Time::from_ms(0), 0, 10));
        assert!(account.hears(Time::from_ms(1), 2, 12), "restored twice since");
        // It had been restored once and was restored again before its answers arrived.
        assert!(!account.hears(Time::from_ms(2), 1, 11));
        assert!(!account.hears(Time::from_ms(3), 0, 10), "nor does the one before both");
        // The true one speaks now and then, so the other is never believed.
        for minute in 1..5 {
            assert!(account.hears(Time::from_ms(minute * 60_000), 2, 12));
            assert!(!account.hears(Time::from_ms(minute * 60_000 + 59_000), 1, 11));
        }
        // A data folder that was exchanged by hand: the true one is no more.
        assert!(account.hears(Time::from_ms(300_000 + BELIEVED_AFTER_MS), 1, 11));
        assert!(!account.is_idle(), "what the second restore took is still to be told");
    }

    #[test]
    fn what_is_expected_again_is_recorded_as_not_safe() -> Result<(), NameError> {
        let origin = Origin::new(DeviceId::new("board")?, BootId(7));
        let description =
            Description { origin, tag: String::new(), firmware: String::new(), channels: Vec::new() };
        let mut state = OriginState::new(description);
        for range in [SeqRange::new(0, 10), SeqRange::new(12, 20)] {
            state.received.insert(range);
            state.safe.insert(range);
        }
        (state.acked, state.next, state.met) = (10, 20, true);
        let mut claim = claim(&mut state, LossReason::RolledBack);
        // A batch is written while the queue is being read.
        state.unrecorded = false;
        expect_again(&mut state, &mut claim);
        assert_eq!(state.safe.ranges(), [SeqRange::new(0, 10)]);
        assert_eq!(claim.lost.ranges(), [SeqRange::new(0, 10)]);
        assert!(state.unrecorded, "a restart would take the resend for known");
        Ok(())
    }
}
