//! What is left to say of a block that fails its checksums: its directory has one of its own, and so its readings can
//! be declared lost by name.

use tidegate_protocol::{
    LossReason,
    block::{Block, Directory, Header, Record},
};

use super::{merge::condensed, packer::losses};

/// Loss records in one block.
const RECORDS_PER_BLOCK: usize = 1_000;

/// The losses that stand for a block's readings.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    pub records: Vec<Record>,
    pub readings: u64,
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
