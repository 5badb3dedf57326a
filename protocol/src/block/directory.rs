//! The directory: which seqs of which origins a block holds.
//!
//! ```text
//! origins   varint, how many
//! each      device: a byte, low half: characters dropped from the end of the device id before (the first: of
//!           nothing), high half: characters added; a half of 15 has a byte more, which adds to it, the dropped
//!           ones' first; then the added characters
//!           boot: 8 bytes little-endian
//!           ranges: varint, start of the first, or the gap from the end before less 1; varint, length less 1,
//!           doubled, plus 1 when another range follows
//! ```

use alloc::vec::Vec;

use super::{BlockError, MAX_ORIGINS, OriginReadings, Part};
use crate::{
    id::{BootId, DeviceId, MAX_NAME, Origin, Seq, SeqRange},
    reading::Reading,
    varint::{Reader, push_unsigned},
};

/// What half a byte holds; of more the rest is in a byte of its own.
const HALF: usize = 15;
/// An entry is a byte for the device, the boot, and one range.
const MIN_ENTRY: usize = 11;

/// One origin's seqs; ranges ascend, do not touch and are not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub origin: Origin,
    pub ranges: Vec<SeqRange>,
}

impl Entry {
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(SeqRange::len).sum()
    }
}

/// Entries ascend by origin.
pub type Directory = Vec<Entry>;

/// For origins whose readings were found to ascend.
pub(super) fn encode(origins: &[OriginReadings], out: &mut Vec<u8>) -> Result<(), BlockError> {
    if origins.len() > MAX_ORIGINS {
        return Err(BlockError::TooLarge("origins"));
    }
    push_unsigned(out, origins.len() as u64);
    let mut before: Option<Origin> = None;
    for OriginReadings { origin, readings } in origins {
        if before.is_some_and(|before| before >= *origin) {
            return Err(BlockError::Disorder);
        }
        encode_origin(out, before, *origin);
        encode_ranges(out, readings);
        before = Some(*origin);
    }
    Ok(())
}

fn encode_origin(out: &mut Vec<u8>, before: Option<Origin>, origin: Origin) {
    let before = before.as_ref().map_or("", |before| before.device.as_str());
    let device = origin.device.as_str().as_bytes();
    let shared = before.bytes().zip(device).take_while(|(a, b)| a == *b).count();
    let added = device.get(shared..).unwrap_or_default();
    let counts = [before.len() - shared, added.len()];
    let [dropped_half, added_half] = counts.map(|count| count.min(HALF));
    out.push((dropped_half | added_half << 4) as u8);
    out.extend(counts.iter().filter_map(|count| count.checked_sub(HALF)).map(|more| more as u8));
    out.extend_from_slice(added);
    out.extend_from_slice(&origin.boot.0.to_le_bytes());
}

fn encode_ranges(out: &mut Vec<u8>, readings: &[Reading]) {
    // Where the next range may start at the earliest: ranges that touch would be one.
    let mut least = 0;
    // Mostly nothing is missing, which first and last tell.
    let whole =
        matches!(readings, [first, .., last] if last.seq.0 - first.seq.0 == readings.len() as u64 - 1);
    let mut ranges = readings.chunk_by(|a, b| whole || b.seq.0 - a.seq.0 == 1).peekable();
    while let Some(range) = ranges.next() {
        let Some(Reading { seq: Seq(start), .. }) = range.first() else { continue };
        push_unsigned(out, start - least);
        push_unsigned(out, (range.len() as u64 - 1) << 1 | u64::from(ranges.peek().is_some()));
        least = start + range.len() as u64 + 1;
    }
}

/// Reads a directory that lists exactly `readings` readings.
pub(super) fn decode(bytes: &[u8], readings: u32) -> Result<Directory, BlockError> {
    let mut reader = Reader::new(bytes);
    let malformed = BlockError::Malformed(Part::Directory);
    let count = reader.unsigned().map_err(|_| malformed)?;
    if count > MAX_ORIGINS as u64 {
        return Err(BlockError::TooLarge("origins"));
    }
    let mut directory: Directory = Vec::with_capacity((count as usize).min(bytes.len() / MIN_ENTRY));
    // How many readings are not listed yet: bounds the ranges, too.
    let mut left = u64::from(readings);
    for _ in 0..count {
        let before = directory.last().map(|entry| entry.origin);
        let origin = decode_origin(&mut reader, before).ok_or(malformed)?;
        if before.is_some_and(|before| before >= origin) {
            return Err(BlockError::Disorder);
        }
        let ranges = decode_ranges(&mut reader, &mut left).ok_or(malformed)?;
        directory.push(Entry { origin, ranges });
    }
    if left == 0 && reader.rest().is_empty() { Ok(directory) } else { Err(malformed) }
}

fn decode_origin(reader: &mut Reader<'_>, before: Option<Origin>) -> Option<Origin> {
    let before = before.as_ref().map_or("", |before| before.device.as_str()).as_bytes();
    let halves = usize::from(reader.byte().ok()?);
    let mut count =
        |half| if half == HALF { reader.byte().map(|more| HALF + usize::from(more)) } else { Ok(half) };
    let (dropped, added) = (count(halves & HALF).ok()?, count(halves >> 4).ok()?);
    let mut device = heapless::Vec::<u8, MAX_NAME>::new();
    device.extend_from_slice(before.get(..before.len().checked_sub(dropped)?)?).ok()?;
    device.extend_from_slice(reader.bytes(added).ok()?).ok()?;
    let device = DeviceId::new(core::str::from_utf8(&device).ok()?).ok()?;
    let boot = BootId(u64::from_le_bytes(reader.array().ok()?));
    Some(Origin { device, boot })
}

fn decode_ranges(reader: &mut Reader<'_>, left: &mut u64) -> Option<Vec<SeqRange>> {
    // Nearly every origin has one range in a block.
    let mut ranges = Vec::with_capacity(1);
    let mut least = 0_u64;
    loop {
        let start = least.checked_add(reader.unsigned().ok()?)?;
        let len = reader.unsigned().ok()?;
        let range = SeqRange { start, end: start.checked_add((len >> 1) + 1)? };
        *left = left.checked_sub(range.len())?;
        ranges.push(range);
        if len & 1 == 0 {
            return Some(ranges);
        }
        least = range.end.checked_add(1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One origin `b` of boot 0, with these ranges as they travel.
    fn listing(ranges: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::from([1, 0x10, b'b', 0, 0, 0, 0, 0, 0, 0, 0]);
        ranges.iter().for_each(|number| push_unsigned(&mut bytes, *number));
        bytes
    }

    #[test]
    fn a_directory_lists_what_the_header_counts() {
        // Seqs 5 to 7, and from 8 on 3 more.
        let ranges = listing(&[5, 2 * 2 - 1, 0, 2 * 2]);
        let directory = decode(&ranges, 5).unwrap();
        assert_eq!(directory[0].ranges, [SeqRange::new(5, 7), SeqRange::new(8, 11)]);
        let malformed = Err(BlockError::Malformed(Part::Directory));
        for readings in [0, 4, 6] {
            assert_eq!(decode(&ranges, readings), malformed, "{readings}");
        }
        for cut in 0..ranges.len() {
            assert_eq!(decode(&ranges[..cut], 5), malformed, "cut to {cut}");
        }
        assert_eq!(decode(&[&ranges[..], &[0]].concat(), 5), malformed);
    }

    #[test]
    fn seqs_beyond_64_bits_are_refused() {
        let malformed = Err(BlockError::Malformed(Part::Directory));
        assert!(decode(&listing(&[u64::MAX - 1, 0]), 1).is_ok());
        assert_eq!(decode(&listing(&[u64::MAX, 0]), 1), malformed);
        assert_eq!(decode(&listing(&[u64::MAX - 1, 1, 0, 0]), 2), malformed);
        assert_eq!(decode(&listing(&[0, u64::MAX]), 1), malformed);
    }

    #[test]
    fn device_ids_that_no_byte_before_supports_are_refused() {
        let entry = |halves: u8, rest: &[u8]| [&[1, halves], rest, &[0; 8], &[0, 0]].concat();
        assert!(decode(&entry(0x10, b"b"), 1).is_ok());
        for (halves, rest) in [(0x11, "b"), (0x00, ""), (0x10, "B"), (0xf0, "\x20aaaa")] {
            let refused = decode(&entry(halves, rest.as_bytes()), 1);
            assert_eq!(refused, Err(BlockError::Malformed(Part::Directory)), "{halves:x} {rest}");
        }
    }
}
