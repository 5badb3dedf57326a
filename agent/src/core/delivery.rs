//! What the cloud answers, and what that does to custody.

use std::sync::Arc;

use tidegate_protocol::{
    Origin, RangeSet, SeqRange, WIRE_VERSION,
    ack::{BlockAck, Outcome, RejectReason},
    block::{Block, Record},
};
use tidegate_service::Mutant;

use super::{
    Core,
    custody::Condemned,
    event::Quarantined,
    outbox::ParcelId,
    parcel::{Content, Custody, Stored},
};

/// A block is sent again with descriptions this often before it is given up.
const MAX_DESCRIBED: u8 = 3;

impl Core {
    pub(super) fn acked(&mut self, ack: &BlockAck) {
        if !self.account.hears(self.now.at, ack.ledger, ack.incarnation) {
            return;
        }
        if self.outbox.heard(self.now.at, ack) {
            self.counters.incarnations += 1;
        }
        // Numbers of another epoch are another process's.
        if ack.epoch != self.settings.epoch && !Mutant::ForeignEpochBelieved.is_on() {
            return;
        }
        for outcome in &ack.outcomes {
            if matches!(outcome.outcome, Outcome::Rejected { reason: RejectReason::Unsupported, .. }) {
                self.not_read();
                continue;
            }
            let Some(id) = self.outbox.answered(self.now.at, outcome.number) else {
                self.counters.acks_unknown += 1;
                continue;
            };
            match &outcome.outcome {
                Outcome::Durable => self.delivered(id),
                Outcome::Rejected { reason: RejectReason::Undescribed, .. }
                    if self.is_answered_already(id, outcome.number) => {}
                Outcome::Rejected { reason, parts } => self.rejected(id, *reason, parts),
            }
        }
    }

    /// Whoever cannot read a block has not answered it: to the readings it is as if nobody were there. They are kept, and
    /// sent again ever less often, until the cloud is one that reads them.
    fn not_read(&mut self) {
        self.counters.blocks_unsupported += 1;
        if !std::mem::replace(&mut self.cloud_is_behind, true) {
            tracing::error!(
                "the cloud does not read version {WIRE_VERSION} of the wire: update tidegate-ingest; readings are kept until then"
            );
        }
    }

    /// The broker took a block; that is flow control and no more.
    pub(super) fn pubacked(&mut self, number: u64) {
        self.outbox.pubacked(number);
        if Mutant::DeleteOnPuback.is_on()
            && let Some(id) = self.outbox.answered(self.now.at, number)
        {
            self.delivered(id);
        }
    }

    fn delivered(&mut self, id: ParcelId) {
        let Some(parcel) = self.outbox.remove(id) else { return };
        self.cloud_is_behind = false;
        self.counters.blocks_acked += 1;
        self.counters.readings_acked += u64::from(parcel.readings);
        for slot in parcel.described {
            if let Some(state) = self.origins.get_mut(slot) {
                state.described = true;
                state.unrecorded = true;
            }
        }
        self.contents_are_safe(&parcel.contents);
        self.release(parcel.custody);
    }

    fn rejected(&mut self, id: ParcelId, reason: RejectReason, parts: &[(Origin, SeqRange)]) {
        self.counters.blocks_rejected += 1;
        tracing::warn!(reason = reason.name(), parts = parts.len(), "the cloud rejected a block");
        if reason == RejectReason::Undescribed && self.describe_again(id) {
            return;
        }
        if reason == RejectReason::BootConflict {
            self.contest_compared(parts);
        }
        let Some(parcel) = self.outbox.remove(id) else { return };
        let rest = self.only(&parcel.block, parts);
        if rest.is_some() {
            let accepted = self.accepted(&parcel.contents, parts);
            self.contents_are_safe(&accepted);
        }
        let (keys, block, stored): (_, _, Vec<Stored>) = match parcel.custody {
            Custody::Stored(stored) => (stored.iter().map(|stored| stored.key).collect(), rest, stored),
            custody => {
                self.release(custody);
                (Vec::new(), Some(rest.unwrap_or(parcel.block)), Vec::new())
            }
        };
        let quarantined = Quarantined { keys, block, reason: reason.name() };
        self.custodian.condemn(Condemned { quarantined, contents: parcel.contents, stored });
    }

    /// What the cloud took of a block that it rejected in part.
    fn accepted(&self, contents: &[Content], parts: &[(Origin, SeqRange)]) -> Vec<Content> {
        let accepted = contents.iter().filter_map(|content| {
            let origin = self.origins.get(content.slot)?.origin();
            let mut ranges: RangeSet = content.ranges.iter().copied().collect();
            parts.iter().filter(|(of, _)| *of == origin).for_each(|(_, range)| ranges.remove(*range));
            Some(Content { ranges: ranges.ranges().to_vec(), ..content.clone() })
        });
        accepted.collect()
    }

    /// A block with the rejected readings alone: the cloud has the rest, which need not be kept. None when all is
    /// rejected, or more than readings.
    fn only(&mut self, block: &[u8], parts: &[(Origin, SeqRange)]) -> Option<Arc<[u8]>> {
        let rejected: u64 = parts.iter().map(|(_, range)| range.len()).sum();
        let mut block = self.decoder.decode(block).ok().filter(|_| rejected > 0)?;
        for of in &mut block.origins {
            let mine = |seq| parts.iter().any(|(origin, range)| *origin == of.origin && range.contains(seq));
            of.readings.retain(|reading| mine(reading.seq.0));
        }
        block.origins.retain(|of| !of.readings.is_empty());
        let is_all_found = block.reading_count() as u64 == rejected;
        // Who they are of, for whoever looks at them.
        block.records.retain(|record| {
            let is_of_them = block.origins.iter().any(|of| of.origin == record.origin());
            is_of_them && matches!(record, Record::Described(_))
        });
        let bytes = self.packer.encode(&block).ok().filter(|_| is_all_found)?;
        Some(bytes.into())
    }

    /// Whether this answer speaks of the bytes from before the block was rewritten: what it asks for is under way.
    fn is_answered_already(&self, id: ParcelId, number: u64) -> bool {
        self.outbox.get(id).is_some_and(|parcel| number < parcel.rewritten_at)
    }

    /// Sends the same readings again with all their descriptions; false when there is no use in it.
    fn describe_again(&mut self, id: ParcelId) -> bool {
        let Some(parcel) = self.outbox.get_mut(id).filter(|parcel| parcel.undescribed < MAX_DESCRIBED) else {
            return false;
        };
        parcel.undescribed += 1;
        let bytes = parcel.block.clone();
        let Ok(mut block) = self.decoder.decode(&bytes) else { return false };
        let mut described = Vec::new();
        for origin in origins_in(&block) {
            let slot = self.origins.slot(origin);
            let Some((slot, state)) = slot.and_then(|slot| Some((slot, self.origins.get_mut(slot)?))) else {
                // Of an origin that ended and is forgotten: only readings need its description.
                if block.origins.iter().any(|of| of.origin == origin) {
                    return false;
                }
                continue;
            };
            state.described = false;
            described.push(slot);
            block.records.push(Record::Described(state.description.clone()));
        }
        block.records = super::merge::condensed(std::mem::take(&mut block.records));
        let Ok(bytes) = self.packer.encode(&block) else { return false };
        if let Some(parcel) = self.outbox.get_mut(id) {
            parcel.described = described;
        }
        self.outbox.replace(id, bytes.into());
        true
    }

    pub(super) fn uplink_went_down(&mut self) {
        for parcel in self.outbox.link_went_down() {
            if let Custody::Stored(stored) = parcel.custody {
                stored.iter().for_each(|stored| self.backlog.insert(stored.key));
            }
        }
    }
}

fn origins_in(block: &Block) -> Vec<Origin> {
    let with_readings = block.origins.iter().map(|origin| origin.origin);
    let mut origins: Vec<Origin> = with_readings.chain(block.records.iter().map(Record::origin)).collect();
    origins.sort_unstable();
    origins.dedup();
    origins
}
