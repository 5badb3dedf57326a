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
    /// The channels of a block's readings, while it is decoded: the values ask for them thrice.
    channels: Vec<u8>,
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
        self.channels.clear();
        self.channels.reserve(total);
        for entry in directory {
            let mut readings = Vec::with_capacity(entry.count().try_into().ok()?);
            for seq in entry.ranges.iter().flat_map(|range| range.start..range.end) {
                let (channel, tick, quality) = timeline.next(seq, readings.is_empty())?;
                self.channels.push(channel.0);
                readings.push(Reading { seq: Seq(seq), channel, tick, value: Value::Bool(false), quality });
            }
            origins.push(OriginReadings { origin: entry.origin, readings });
        }
        if !timeline.finished() {
            return None;
        }
        self.values.decode(&mut origins, &self.channels, &mut bits)?;
        bits.finished().then_some(origins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootId, DeviceId, Origin, SeqRange, block::Entry};

    /// The columns of one false reading of channel 0 at tick 0, with these foretold steps too many.
    fn one_reading(steps: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bits = BitWriter::new(&mut out);
        for list in [&[][..], &[0], steps, &[], &[]] {
            bits.list(list);
        }
        // As the one before; shifts of zero; bool; no further series; the first value.
        [(0, 2), (0, 6), (0, 6), (0, 3)].into_iter().for_each(|(value, len)| bits.bits(value, len));
        bits.number(0, 4);
        bits.number(0, 0);
        bits.finish();
        out
    }

    #[test]
    fn what_no_reading_is_told_is_refused() {
        let origin = Origin::new(DeviceId::new("b").unwrap(), BootId(0));
        let directory = [Entry { origin, ranges: [SeqRange::new(0, 1)].into() }].into();
        let decode = |steps: &[u64]| Columns::default().decode(&one_reading(steps), &directory);
        assert_eq!(decode(&[]).map(|origins| origins.len()), Some(1));
        assert_eq!(decode(&[0]), None);
    }
}
