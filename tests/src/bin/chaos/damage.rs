//! Flips bits of blocks in the files of a program that is not running.
//!
//! Only a block that is whole is damaged, so that every changed byte is a block's and not the database's own. It may be a
//! copy that the database has given up; then nothing comes of it.

use std::{collections::BTreeMap, fs::OpenOptions, io, os::unix::fs::FileExt, path::Path};

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tidegate_protocol::{
    BootId, DeviceId, LossRecord, RangeSet,
    block::{Decoder, Record},
};

const MAGIC: &[u8] = b"TGBK";
const HEADER_BYTES: usize = 56;
/// What is stamped anew at each transmission: a change there would be no damage.
const STAMPED_BYTES: usize = 28;
/// Where the header tells the lengths of directory and body.
const DIRECTORY_BYTES: usize = 32;
const BODY_BYTES: usize = 36;
/// Many of the copies that are found are old ones.
const AT_ONCE: usize = 8;

/// The readings of which a copy was damaged, or the declaration that they are lost.
#[derive(Debug, Default)]
pub struct Damaged(BTreeMap<(DeviceId, BootId), RangeSet>);

impl Damaged {
    pub fn of(&self, device: DeviceId, boot: BootId) -> RangeSet {
        self.0.get(&(device, boot)).cloned().unwrap_or_default()
    }
}

/// Flips a bit in each of up to [`AT_ONCE`] blocks of `file`; says in how many.
pub fn damage(file: &Path, choice: u64, damaged: &mut Damaged) -> io::Result<usize> {
    let bytes = match std::fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        read => read?,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(choice);
    let mut decoder = Decoder::new()?;
    let mut blocks = whole_blocks(&bytes);
    let (chosen, _) = blocks.partial_shuffle(&mut rng, AT_ONCE);
    if !chosen.is_empty() {
        let file = OpenOptions::new().write(true).open(file)?;
        for block in chosen.iter() {
            let at = rng.random_range(block.start + STAMPED_BYTES..block.end);
            for entry in Decoder::directory(&bytes[block.clone()]).unwrap_or_default() {
                let origin = (entry.origin.device, entry.origin.boot);
                let damaged = damaged.0.entry(origin).or_default();
                entry.ranges.into_iter().for_each(|range| damaged.insert(range));
            }
            // Losses that were declared inside go with the body, and the directory does not tell of them.
            for record in decoder.decode(&bytes[block.clone()]).map(|block| block.records).unwrap_or_default()
            {
                if let Record::Loss(LossRecord { origin, range, .. }) = record {
                    damaged.0.entry((origin.device, origin.boot)).or_default().insert(range);
                }
            }
            file.write_all_at(&[bytes[at] ^ (1 << rng.random_range(0..8))], at as u64)?;
        }
    }
    Ok(chosen.len())
}

/// A length in a block's header.
fn field(block: &[u8], at: usize) -> usize {
    let field = block.get(at..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |field| u32::from_le_bytes(*field) as usize)
}

/// Where blocks with readings begin and end.
fn whole_blocks(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let starts = (0..bytes.len().saturating_sub(HEADER_BYTES)).filter(|at| bytes[*at..].starts_with(MAGIC));
    for start in starts {
        let parts = [DIRECTORY_BYTES, BODY_BYTES].map(|at| field(&bytes[start..], at));
        let end = start + HEADER_BYTES + parts.iter().sum::<usize>();
        let Some(block) = bytes.get(start..end) else { continue };
        if Decoder::directory(block).is_ok_and(|directory| !directory.is_empty()) {
            found.push(start..end);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{
        ChannelIndex, Origin, Quality, Reading, Seq, Tick, Value,
        block::{Block, Encoder, OriginReadings},
    };

    use super::*;

    #[test]
    fn one_bit_of_a_block_changes_and_nothing_around_it() {
        let device = DeviceId::new("board").expect("a slug");
        let reading = |seq| Reading {
            seq: Seq(seq),
            channel: ChannelIndex(0),
            tick: Tick(seq),
            value: Value::F64(0.5),
            quality: Quality::Good,
        };
        let origin = Origin::new(device, BootId(3));
        let origins = vec![OriginReadings { origin, readings: (5..25).map(reading).collect() }];
        let encoded = Encoder::new().expect("an encoder").encode(&Block { origins, records: Vec::new() });
        let block = encoded.expect("a block");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("data.mdb");
        let before = [b"TGBK no block".as_slice(), &block, &[7; 5000]].concat();
        for choice in 0..500_u64 {
            std::fs::write(&file, &before).expect("it can be written");
            let mut damaged = Damaged::default();
            assert_eq!(damage(&file, choice, &mut damaged).expect("it can be read"), 1);
            assert_eq!(damaged.of(device, BootId(3)).count(), 20);
            let after = std::fs::read(&file).expect("it can be read");
            let differ: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
            assert!(differ.len() == 1 && (13..13 + block.len()).contains(&differ[0]), "{differ:?}");
            assert!(Decoder::directory(&after[13..13 + block.len()]).is_err());
        }
    }
}
