//! The directory: which seqs of which origins a block holds.
//!
//! ```text
//! origins   varint, how many
//! each      shared: bytes the device id has in common with the one before; rest: length byte and bytes;
//!           boot: 8 bytes little-endian;
//!           ranges: varint, how many; each: gap from the end of the one before (the first from 0), length ≥ 1
//! ```

use alloc::vec::Vec;

use super::{BlockError, MAX_ORIGINS, MAX_READINGS, OriginReadings, Part, ranges_of};
use crate::{
    id::{BootId, DeviceId, MAX_NAME, Origin, SeqRange},
    varint::{Reader, push_unsigned},
};

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

pub(super) fn encode(origins: &[OriginReadings], out: &mut Vec<u8>) -> Result<(), BlockError> {
    if origins.len() > MAX_ORIGINS {
        return Err(BlockError::TooLarge("origins"));
    }
    push_unsigned(out, origins.len() as u64);
    let mut before: Option<Origin> = None;
    for OriginReadings { origin, readings } in origins {
        let ascending = readings.windows(2).all(|pair| matches!(pair, [a, b] if a.seq < b.seq));
        // The last seq has no end that 64 bits could say.
        let endless = readings.last().is_none_or(|last| last.seq.0 == u64::MAX);
        if endless || !ascending || before.is_some_and(|before| before >= *origin) {
            return Err(BlockError::Disorder);
        }
        encode_origin(out, before, *origin);
        let ranges = ranges_of(readings);
        push_unsigned(out, ranges.len() as u64);
        let mut end = 0;
        for range in ranges {
            push_unsigned(out, range.start - end);
            push_unsigned(out, range.len());
            end = range.end;
        }
        before = Some(*origin);
    }
    Ok(())
}

fn encode_origin(out: &mut Vec<u8>, before: Option<Origin>, origin: Origin) {
    let device = origin.device.as_str().as_bytes();
    let shared = before
        .map_or(0, |before| before.device.as_str().bytes().zip(device).take_while(|(a, b)| a == *b).count());
    let rest = device.get(shared..).unwrap_or_default();
    out.extend_from_slice(&[shared as u8, rest.len() as u8]);
    out.extend_from_slice(rest);
    out.extend_from_slice(&origin.boot.0.to_le_bytes());
}

/// Reads a directory that lists exactly `readings` readings.
pub(super) fn decode(bytes: &[u8], readings: u32) -> Result<Directory, BlockError> {
    let mut reader = Reader::new(bytes);
    let malformed = |_| BlockError::Malformed(Part::Directory);
    let count = reader.unsigned().map_err(malformed)?;
    if count > MAX_ORIGINS as u64 {
        return Err(BlockError::TooLarge("origins"));
    }
    // An entry takes at least 12 bytes, so the bytes bound what is reserved.
    let mut directory: Directory = Vec::with_capacity((count as usize).min(bytes.len() / 12));
    let mut listed = 0_u64;
    for _ in 0..count {
        let before = directory.last().map(|entry| entry.origin);
        let origin = decode_origin(&mut reader, before).ok_or(BlockError::Malformed(Part::Directory))?;
        if before.is_some_and(|before| before >= origin) {
            return Err(BlockError::Disorder);
        }
        let ranges = decode_ranges(&mut reader).ok_or(BlockError::Malformed(Part::Directory))?;
        listed = ranges.iter().fold(listed, |sum, range| sum.saturating_add(range.len()));
        directory.push(Entry { origin, ranges });
    }
    if listed != u64::from(readings) || !reader.rest().is_empty() {
        return Err(BlockError::Malformed(Part::Directory));
    }
    Ok(directory)
}

fn decode_origin(reader: &mut Reader<'_>, before: Option<Origin>) -> Option<Origin> {
    let [shared, rest] = reader.array().ok()?;
    let mut device = heapless::Vec::<u8, MAX_NAME>::new();
    if shared > 0 {
        device.extend_from_slice(before?.device.as_str().as_bytes().get(..usize::from(shared))?).ok()?;
    }
    device.extend_from_slice(reader.bytes(usize::from(rest)).ok()?).ok()?;
    let device = DeviceId::new(core::str::from_utf8(&device).ok()?).ok()?;
    let boot = BootId(u64::from_le_bytes(reader.array().ok()?));
    Some(Origin { device, boot })
}

fn decode_ranges(reader: &mut Reader<'_>) -> Option<Vec<SeqRange>> {
    let count = reader.unsigned().ok()?;
    if count == 0 || count > MAX_READINGS as u64 {
        return None;
    }
    // A range takes at least two bytes.
    let mut ranges = Vec::with_capacity((count as usize).min(reader.rest().len() / 2));
    let mut end = 0_u64;
    for at in 0..count {
        let gap = reader.unsigned().ok()?;
        let len = reader.unsigned().ok()?;
        if len == 0 || (gap == 0 && at > 0) {
            return None;
        }
        let start = end.checked_add(gap)?;
        end = start.checked_add(len)?;
        ranges.push(SeqRange { start, end });
    }
    Some(ranges)
}
