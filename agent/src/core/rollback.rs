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

use std::collections::BTreeMap;

use tidegate_protocol::{
    LossReason, Origin, RangeSet, SeqRange,
    block::{Block, Description, Directory, Header, Record, Tail},
};

use super::{
    Core,
    event::{Batch, Entry, Key, Put, footprint},
    origin::{OriginState, Slot},
    packer::{self, Awaited},
    parcel::Stored,
};

/// Blocks whose directories are read in one load.
const COUNTED_AT_ONCE: usize = 256;

/// What is known of the cloud's restores, and how far the last one is dealt with.
#[derive(Debug, Default)]
pub(super) struct Rollback {
    /// The highest count that was heard. None was ever heard counts as 0: to declare too much harms nothing.
    heard: u32,
    /// The incarnation that spoke before the last rise: what it said late counts no more.
    passed: Option<u64>,
    speaking: Option<u64>,
    /// The count rose in this run: who is met from now on may have let go of what was lost. Later runs have no such doubt,
    /// or each would declare what the restored cloud acknowledged in the run before it.
    rose: bool,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// Heard of; a commit or a load under way must end first.
    Due,
    /// What the queue holds is being taken out of the claims.
    Counting { claims: Claims, left: RangeSet },
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
    readings: u64,
}

impl Rollback {
    pub fn recovered(ledger: u32) -> Self {
        Self { heard: ledger, ..Self::default() }
    }

    /// Notes what an acknowledgement says; false where it comes from before the last restore, and counts no more.
    pub fn hears(&mut self, ledger: u32, incarnation: u64) -> bool {
        if self.passed == Some(incarnation) {
            return false;
        }
        if ledger > self.heard {
            self.passed = self.speaking.filter(|speaking| *speaking != incarnation);
            self.stage = Stage::Due;
            self.rose = true;
        }
        if ledger < self.heard && self.speaking != Some(incarnation) {
            tracing::warn!(
                ledger,
                heard = self.heard,
                "the ingest's count of restores went back: was its data folder exchanged by hand?"
            );
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
        matches!(self.stage, Stage::Idle)
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
    /// Begins to deal with a rollback once nothing else is under way at the disk.
    pub(super) fn advance_rollback(&mut self) {
        if !matches!(self.rollback.stage, Stage::Due) || self.custodian.is_busy() || self.backlog.is_loading()
        {
            return;
        }
        tracing::warn!(
            count = self.rollback.heard,
            "the ingest was restored from a backup; what it had acknowledged since is declared lost (rolled-back)"
        );
        // Acknowledged by what is no more, and not deleted yet: it is sent once more.
        for stored in std::mem::take(&mut self.custodian.doomed) {
            self.backlog.insert(stored.key);
        }
        let anchored = self.origins.iter().filter_map(|(_, state)| Some((state.origin(), state.anchored?)));
        for (origin, anchored) in anchored.collect::<Vec<_>>() {
            self.anchor_record(origin, anchored);
        }
        let mut claims: Claims =
            self.origins.iter_mut().map(|(_, state)| (state.origin(), claim(state))).collect();
        for directory in self.outbox.stored_directories() {
            subtract(&mut claims, &directory);
        }
        self.rollback.stage = Stage::Counting { claims, left: self.backlog.keys() };
        self.count_portion();
    }

    /// Asks for the next blocks, or goes on to the declarations.
    pub(super) fn count_portion(&mut self) {
        let Stage::Counting { claims, left } = &mut self.rollback.stage else { return };
        let keys = left.take_first(COUNTED_AT_ONCE);
        if !keys.is_empty() {
            self.backlog.count(keys.clone());
            self.effects.push_back(super::Effect::Load { keys });
            return;
        }
        let mut claims = std::mem::take(claims);
        for (_, state) in self.origins.iter_mut() {
            if let Some(claim) = claims.get_mut(&state.origin()) {
                expect_again(state, claim);
            }
        }
        self.rollback.stage = Stage::Declaring(declared(claims));
    }

    pub(super) fn counted(&mut self, entries: &[Entry]) {
        if let Stage::Counting { claims, .. } = &mut self.rollback.stage {
            for entry in entries {
                // A damaged block whose directory is whole declares itself when it is sent.
                if let Ok(directory) = Header::salvage_directory(&entry.block) {
                    subtract(claims, &directory);
                }
            }
        }
        self.count_portion();
    }

    /// The disk could not be read: the same blocks again, later.
    pub(super) fn count_again(&mut self, keys: &[Key]) {
        if let Stage::Counting { left, .. } = &mut self.rollback.stage {
            keys.iter().for_each(|key| left.insert(SeqRange::new(*key, key.saturating_add(1))));
        }
    }

    pub(super) fn resume_counting(&mut self) {
        if matches!(self.rollback.stage, Stage::Counting { .. }) && self.backlog.may_load(self.now.at) {
            self.count_portion();
        }
    }

    /// Into a batch: the count, and the declarations that must be there with it.
    pub(super) fn put_rollback(&mut self, batch: &mut Batch) -> Vec<Stored> {
        let mut loose = Vec::new();
        if let Stage::Declaring(declared) = &mut self.rollback.stage {
            let declared = std::mem::take(declared);
            for records in packer::chunks(&declared.records) {
                let block = Block { records: records.to_vec(), origins: Vec::new() };
                match self.packer.encode(&block) {
                    Ok(bytes) => {
                        let key = self.custodian.take_key();
                        loose.push(Stored { key, readings: 0, bytes: footprint(bytes.len()) });
                        batch.puts.push(Put { key, readings: 0, block: bytes.into() });
                    }
                    Err(error) => tracing::error!(%error, "declarations cannot be encoded"),
                }
            }
            self.rollback.stage = Stage::Writing(declared);
            batch.ledger = Some(self.rollback.heard);
        }
        loose
    }

    pub(super) fn rollback_committed(&mut self) {
        if let Stage::Writing(declared) = &self.rollback.stage {
            self.counters.lost(LossReason::RolledBack, declared.readings);
            self.rollback.stage = Stage::Idle;
        }
    }

    /// A board's first word in this run, which heard of a restore: what the board has let go of, and what nobody
    /// here remembers, may have been acknowledged by what is no more.
    pub(super) fn declare_below_floor(&mut self, slot: Slot) {
        let due = self.due_unstretched();
        let Some(state) = self.origins.get_mut(slot) else { return };
        if std::mem::replace(&mut state.met, true) || !self.rollback.rose() {
            return;
        }
        let (origin, gaps) = (state.origin(), state.received.missing(SeqRange::new(0, state.floor)));
        for record in packer::losses(origin, gaps, LossReason::RolledBack) {
            self.packer.record_came(record, Awaited::Nothing, due);
            self.custodian.may_be_due(due);
        }
    }
}

/// What the cloud had acknowledged of an origin, as far as can be known: all that is safe or was let go of. An ended
/// origin has nothing else: what it never delivered was declared before, and that is forgotten as well.
fn claim(state: &mut OriginState) -> Claim {
    state.described = false;
    state.unrecorded = true;
    let mut lost = state.safe.clone();
    let known = if state.closed { state.next.max(state.safe.end()) } else { state.floor };
    lost.insert(SeqRange::new(0, known));
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

fn declared(claims: Claims) -> Declared {
    let mut declared = Declared::default();
    for (origin, Claim { description, next, closed, lost }) in claims {
        declared.readings = declared.readings.saturating_add(lost.count());
        declared.records.push(Record::Described(description));
        declared.records.push(Record::Measured { origin, next });
        let losses = packer::losses(origin, lost.iter().collect::<Vec<_>>(), LossReason::RolledBack);
        declared.records.extend(losses);
        if closed {
            declared.records.push(Record::Closed { origin, tail: Tail::AtLeast(next) });
        }
    }
    declared
}
