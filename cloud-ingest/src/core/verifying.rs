//! Blocks that came again, while the store is asked whether they hold what is stored (rule b).
//!
//! Bounded by [`MAX_VERIFYING`] and [`MAX_VERIFYING_BYTES`]: beyond, a block gets no answer, is counted, and its agent sends it
//! again later. A block that is sent again while it is being compared is not compared twice: its newest
//! transmission takes the place of the one before, and gets the answer.

use std::collections::HashMap;

use bytes::Bytes;
use tidegate_protocol::{Origin, SeqRange, ack::RejectReason, block::HEADER_BYTES};
use tidegate_service::Mutant;

use super::{
    Core, Effect, Fate,
    acks::Rejection,
    batch::{Damaged, OriginNo, Quarantined},
    ledger::MAX_RANGES_PER_ORIGIN,
};

/// How many blocks are compared, or wait for it, at most.
pub const MAX_VERIFYING: usize = 1_024;
const MAX_VERIFYING_BYTES: usize = 32 * 1024 * 1024;

/// What of a block is to be compared with what is stored.
#[derive(Clone, Debug)]
pub struct VerifyJob {
    pub block: Bytes,
    pub ranges: Vec<(OriginNo, Origin, SeqRange)>,
}

/// By ticket.
#[derive(Debug, Default)]
pub(super) struct Verifying {
    fates: HashMap<u64, Fate>,
    bytes: usize,
    next_ticket: u64,
}

impl Verifying {
    pub fn is_empty(&self) -> bool {
        self.fates.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a block with readings of this origin is being compared.
    pub fn concerns(&self, no: OriginNo) -> bool {
        let jobs = self.fates.values().filter_map(|fate| fate.verify.as_ref());
        jobs.flat_map(|job| &job.ranges).any(|(of, ..)| *of == no)
    }

    /// Gives up what this damage concerns.
    fn forget(&mut self, damaged: &Damaged) {
        self.fates.retain(|_, fate| !fate.relies_on(damaged));
        self.bytes = self.fates.values().map(|fate| fate.block.len()).sum();
    }

    /// Answers about what was asked before fit no ticket any more.
    pub fn clear(&mut self) {
        self.fates.clear();
        self.bytes = 0;
    }

    /// Whether the block is being compared already; then the outcome goes to this transmission of it.
    fn joins(&mut self, fate: &Fate) -> bool {
        // A part that was rejected at one of the times would not have been compared with the other.
        let same = |known: &&mut Fate| {
            known.to == fate.to
                && known.rejection.is_none()
                && fate.rejection.is_none()
                && same_but_for_stamp(&known.block, &fate.block)
        };
        let Some(known) = self.fates.values_mut().find(same) else { return false };
        (known.epoch, known.number) = (fate.epoch, fate.number);
        true
    }

    /// The ticket to ask with; nothing at the bound.
    fn admit(&mut self, fate: Fate) -> Option<u64> {
        let bytes = self.bytes + fate.block.len();
        if self.fates.len() >= MAX_VERIFYING || bytes > MAX_VERIFYING_BYTES {
            return None;
        }
        self.bytes = bytes;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.fates.insert(ticket, fate);
        Some(ticket)
    }

    fn remove(&mut self, ticket: u64) -> Option<Fate> {
        let mut fate = self.fates.remove(&ticket)?;
        fate.verify = None;
        self.bytes -= fate.block.len();
        Some(fate)
    }
}

impl Fate {
    /// Whether its own readings are in this entry, or some that it was compared with, or is to be.
    fn relies_on(&self, damaged: &Damaged) -> bool {
        if self.entries.contains(&damaged.position) {
            return true;
        }
        self.compared.iter().any(|(no, _, range)| {
            damaged.ranges.iter().any(|(of, gone)| of == no && !gone.intersection(*range).is_empty())
        })
    }
}

/// The header's second half says length and checksum of what follows: when that is equal, so is the half.
fn same_but_for_stamp(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.get(HEADER_BYTES..) == b.get(HEADER_BYTES..)
}

impl Core {
    pub(super) fn verify(&mut self, mut fate: Fate, job: VerifyJob) {
        fate.verify = Some(job.clone());
        if self.verifying.joins(&fate) {
            return;
        }
        match self.verifying.admit(fate) {
            Some(ticket) => self.effects.push_back(Effect::Verify { ticket, job }),
            None => self.counters.blocks_refused_verifying += 1,
        }
    }

    /// These readings are gone, and with them their place in the index: what is compared with them now, or waits for it, would
    /// be called another's; and what brought them is not stored any more, though the rest of it may still be compared. It gets
    /// no answer; its agent sends it again, and it is taken as new.
    pub(super) fn leave_unanswered(&mut self, damaged: &Damaged) {
        self.verifying.forget(damaged);
        self.fates.retain(|fate| !fate.relies_on(damaged));
    }

    pub(super) fn verified(&mut self, now_ms: u64, ticket: u64, differing: Option<Vec<(Origin, SeqRange)>>) {
        let Some(mut fate) = self.verifying.remove(ticket) else { return };
        // Unreadable: no answer, and the agent sends again.
        let Some(mut differing) = differing else { return };
        if Mutant::ConflictAcked.is_on() {
            differing.clear();
        }
        if let Some(again) = fate.again.take() {
            self.conflicts(now_ms, &mut fate, &differing);
            return self.take_compared(now_ms, fate, again, &differing);
        }
        if differing.is_empty() {
            self.outbox.push(fate.to, fate.epoch, fate.number, fate.rejection);
            return self.send_acks();
        }
        self.conflicts(now_ms, &mut fate, &differing);
        fate.barrier = self.building.number;
        self.fates.push_back(fate);
    }

    /// Counts, tells of and keeps what is not what is stored, and has it rejected.
    fn conflicts(&mut self, now_ms: u64, fate: &mut Fate, differing: &[(Origin, SeqRange)]) {
        if differing.is_empty() {
            return;
        }
        let last_block = self.gateways.get(&fate.to).and_then(|known| known.record.last_block_unix_ms);
        let unix_ms = self.lifecycles.unix_ms_at(now_ms).or(last_block).unwrap_or(0);
        for (origin, range) in differing {
            self.counters.readings_conflicting += range.len();
            let Some(no) = self.origins.number(fate.to.site, *origin) else { continue };
            if let Some(state) = self.origins.get_mut(no) {
                // At the bound they are only counted.
                if state.record.conflicts.has_room_for(*range, MAX_RANGES_PER_ORIGIN) {
                    state.record.conflicts.insert(*range);
                }
                state.record.duplicates = state.record.duplicates.saturating_sub(range.len());
            }
            self.mark_dirty(no);
            self.identity_conflict(now_ms, fate.to, *origin, *range, unix_ms);
        }
        let because = because(differing);
        self.building.quarantine.push(Quarantined {
            from: fate.to,
            arrival_unix_ms: unix_ms,
            reason: RejectReason::BootConflict,
            because,
            bytes: fate.block.to_vec(),
        });
        self.building_bytes += fate.block.len();
        let mut rejection = fate
            .rejection
            .take()
            .unwrap_or(Rejection { reason: RejectReason::BootConflict, parts: Vec::new() });
        rejection.parts.extend_from_slice(differing);
        fate.rejection = Some(rejection);
        self.touch_batch(now_ms);
    }
}

/// What differs, in words that say which readings those are; of many, the first ones.
fn because(differing: &[(Origin, SeqRange)]) -> String {
    const NAMED: usize = 8;
    let named = differing.iter().take(NAMED).map(|(origin, range)| {
        format!(
            "{} boot {} readings {} to {}",
            origin.device,
            origin.boot,
            range.start,
            range.end.saturating_sub(1)
        )
    });
    let named = named.collect::<Vec<_>>().join("; ");
    let more = differing.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more ranges") } else { String::new() };
    format!("not what is stored under the same boot: {named}{more}")
}
