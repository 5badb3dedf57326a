//! The readings of a block, but for their seqs, which the directory has: one string of bits, first what is told in the
//! order of seqs (`timeline`), then the values, channel by channel (`values`). See `bits` for how numbers are written.

use alloc::vec::Vec;

use super::{
    Directory, OriginReadings,
    bits::{BitReader, BitWriter},
    timeline::Timeline,
    values::Values,
};
use crate::{
    id::Seq,
    reading::{Reading, Value},
};

/// Buffers kept between blocks.
#[derive(Debug, Default)]
pub(super) struct Columns {
    timeline: Timeline,
    values: Values,
}

impl Columns {
    pub(super) fn encode(&mut self, origins: &[OriginReadings], out: &mut Vec<u8>) {
        let mut bits = BitWriter::new(out);
        self.timeline.encode(origins, &mut bits);
        self.values.encode(origins, &mut bits);
        bits.finish();
    }

    /// Reads the columns for a checked directory, which bounds what is allocated.
    pub(super) fn decode(&mut self, bytes: &[u8], directory: &Directory) -> Option<Vec<OriginReadings>> {
        let mut bits = BitReader::new(bytes);
        let total = directory
            .iter()
            .try_fold(0_usize, |sum, entry| sum.checked_add(entry.count().try_into().ok()?))?;
        let mut timeline = self.timeline.decode(&mut bits, directory.len(), total)?;
        let mut origins = Vec::with_capacity(directory.len());
        for entry in directory {
            let mut readings = Vec::with_capacity(entry.count().try_into().ok()?);
            for seq in entry.ranges.iter().flat_map(|range| range.start..range.end) {
                let (channel, tick, quality) = timeline.next(seq, readings.is_empty())?;
                readings.push(Reading { seq: Seq(seq), channel, tick, value: Value::Bool(false), quality });
            }
            origins.push(OriginReadings { origin: entry.origin, readings });
        }
        if !timeline.finished() {
            return None;
        }
        self.values.decode(&mut origins, &mut bits)?;
        bits.finished().then_some(origins)
    }
}
