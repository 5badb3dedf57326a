//! What is left to say of a block that fails its checksums: its directory has one of its own, and so its readings can
//! be declared lost by name.

use tidegate_protocol::{
    LossReason,
    block::{Block, BlockError, Directory, Header, Record},
};
use tidegate_service::Mutant;

use super::{Core, custody::Condemned, event::Quarantined, merge::condensed, packer::losses, parcel::Stored};

/// Loss records in one block.
const RECORDS_PER_BLOCK: usize = 1_000;

/// The losses that stand for a block's readings.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    pub records: Vec<Record>,
    pub readings: u64,
}

/// A block of the queue that fails its checksums, with what its directory still names.
#[derive(Debug)]
pub(super) struct Damaged {
    stored: Stored,
    losses: Option<Losses>,
}

impl Core {
    /// A stored block that fails its checksums. It stays where it is until what it may have held is accounted for.
    pub(super) fn damaged(&mut self, stored: Stored, bytes: &[u8], error: BlockError) {
        tracing::error!(key = stored.key, %error, "a block in the queue is damaged; it is quarantined");
        self.counters.blocks_damaged += 1;
        let damaged = Damaged { stored, losses: losses_of_damaged(bytes) };
        if Mutant::DamageUndeclared.is_on() {
            return self.condemn_damaged(Damaged { losses: None, ..damaged });
        }
        self.account.found_damaged(damaged);
    }

    /// Quarantined, and what its directory still names is declared lost, in the same transaction.
    pub(super) fn condemn_damaged(&mut self, damaged: Damaged) {
        let Damaged { stored, losses } = damaged;
        let quarantined = Quarantined { keys: vec![stored.key], block: None, reason: "damaged" };
        self.custodian.condemn(Condemned { quarantined, contents: Vec::new(), stored: vec![stored] });
        let Some(lost) = losses else { return };
        let evicted = self.custodian.evicted.get_or_insert_default();
        *evicted.counts.entry(LossReason::Corrupt).or_default() += lost.readings;
        evicted.records.extend(lost.records);
    }
}

/// What a damaged block's directory still names, as lost; none when the directory is damaged too.
pub fn losses_of_damaged(block: &[u8]) -> Option<Losses> {
    Header::salvage_directory(block).ok().map(|directory| losses_of(directory, LossReason::Corrupt))
}

pub fn losses_of(directory: Directory, reason: LossReason) -> Losses {
    let readings = directory.iter().map(tidegate_protocol::block::Entry::count).sum();
    let records =
        directory.into_iter().flat_map(|entry| losses(entry.origin, entry.ranges, reason)).collect();
    Losses { records, readings }
}

/// The blocks that carry records alone, in as few words as they need.
pub fn blocks_of_records(records: Vec<Record>) -> Vec<Block> {
    let condensed = condensed(records);
    let blocks = condensed.chunks(RECORDS_PER_BLOCK);
    blocks.map(|records| Block { records: records.to_vec(), origins: Vec::new() }).collect()
}
