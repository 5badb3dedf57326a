//! Journal entries, read whole or called damaged. A block has checksums of its own; its head has none, and is held to the
//! index, which is written in the same transaction.

use std::{collections::HashMap, io};

use tidegate_protocol::{
    Origin, Reading, SeqRange,
    block::{Block, Decoder},
};

use crate::{
    core::batch::{Accepted, EntryHead, OriginNo},
    store::{
        StoreError,
        journal::JournalLook,
        keys::{IndexEntry, Place},
    },
};

/// Reads entries one after the other.
pub struct EntryReader {
    decoder: Decoder,
    /// Numbers are never given twice.
    origins: HashMap<OriginNo, Origin>,
}

impl EntryReader {
    pub fn new() -> io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, origins: HashMap::new() })
    }

    /// An entry's block, unless something of the entry is damaged.
    pub fn read(
        &mut self,
        look: &impl JournalLook,
        position: u64,
        head: &EntryHead,
        bytes: &[u8],
    ) -> Result<Option<Block>, StoreError> {
        let Ok(block) = self.decoder.decode(bytes) else { return Ok(None) };
        let mut runs = 0;
        for (run, origin, readings) in accepted_of(head, &block) {
            let row = IndexEntry { len: run.range.len(), place: Place::Journal(position), ticks: run.ticks };
            let agrees = look.run_at(run.origin, run.range.start)? == Some(row)
                && self.origin(look, run.origin)? == Some(origin)
                && readings.len() as u64 == run.range.len();
            runs += usize::from(agrees);
        }
        Ok((runs == head.accepted.len()).then_some(block))
    }

    fn origin(&mut self, look: &impl JournalLook, no: OriginNo) -> Result<Option<Origin>, StoreError> {
        if let Some(known) = self.origins.get(&no) {
            return Ok(Some(*known));
        }
        let Some(owner) = look.owner(no)? else { return Ok(None) };
        self.origins.insert(no, owner.origin);
        Ok(Some(owner.origin))
    }
}

/// The readings that a journal entry is the one to hold, run by run, and whose the block says they are.
pub fn accepted_of<'b>(
    head: &'b EntryHead,
    block: &'b Block,
) -> impl Iterator<Item = (&'b Accepted, Origin, &'b [Reading])> {
    head.accepted.iter().filter_map(|accepted| {
        let of = block.origins.get(accepted.entry as usize)?;
        Some((accepted, of.origin, within(&of.readings, accepted.range)))
    })
}

/// The readings of an ascending list whose seqs lie in `range`.
pub fn within(readings: &[Reading], range: SeqRange) -> &[Reading] {
    let from = readings.partition_point(|reading| reading.seq.0 < range.start);
    let to = readings.partition_point(|reading| reading.seq.0 < range.end);
    readings.get(from..to).unwrap_or_default()
}
