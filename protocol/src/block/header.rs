//! The fixed header. Its first half is stamped at each transmission and has a checksum of its own, so that stored
//! bytes never change but for it; its second half describes the rest and is covered by the directory's checksum.
//!
//! ```text
//!  0  4  magic "TGBK"          24  4  CRC-32C over bytes 0..24
//!  4  1  version               28  4  readings
//!  5  1  lane                  32  4  directory bytes
//!  6  2  zero                  36  4  body bytes (compressed)
//!  8  8  sender's epoch        40  4  body bytes (unpacked)
//! 16  8  block number          44  4  CRC-32C over the compressed body
//!                              48  4  CRC-32C over bytes 28..48 and the directory
//!                              52  4  zero
//! ```

use super::{BlockError, Directory, MAX_BLOCK_BYTES, MAX_BODY_BYTES, MAX_READINGS, Part};
use crate::{WIRE_VERSION, frame::crc::crc32c, topic::Lane, varint::Reader};

pub const HEADER_BYTES: usize = 56;
const MAGIC: [u8; 4] = *b"TGBK";
const STAMPED: usize = 24;
const FIXED: usize = 28;
const CHECKSUMS_AT: usize = 44;
/// Its last layout is that of version 1, and queues and stores that are older than that hold such blocks.
const BEFORE_THE_FREEZE: u8 = 0;

/// What the sender says of one transmission. Numbers count within an epoch and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub lane: Lane,
    pub epoch: u64,
    pub number: u64,
}

/// A checked header and the parts behind it.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    pub stamp: Stamp,
    pub readings: u32,
    pub directory: &'a [u8],
    pub body: &'a [u8],
    pub unpacked_bytes: u32,
}

/// Writes lane, epoch and number into an encoded block.
pub fn stamp(block: &mut [u8], stamp: Stamp) -> Result<(), BlockError> {
    let Some((head, _)) = block.split_first_chunk_mut::<FIXED>() else { return Err(BlockError::Truncated) };
    let (stamped, crc) = head.split_at_mut(STAMPED);
    stamped.copy_from_slice(&stamped_half(stamp));
    crc.copy_from_slice(&crc32c(stamped).to_le_bytes());
    Ok(())
}

/// Reads the stamp alone, which has a checksum of its own: a block whose rest is damaged, or of another version, can still
/// be answered.
pub fn read_stamp(block: &[u8]) -> Result<Stamp, BlockError> {
    let (half, rest) = block.split_first_chunk::<STAMPED>().ok_or(BlockError::Truncated)?;
    let crc = rest.first_chunk::<4>().ok_or(BlockError::Truncated)?;
    parse_stamp(half, u32::from_le_bytes(*crc)).map(|(_, stamp)| stamp)
}

/// What a block says of its content, without looking at it: both its checksums. Blocks that differ in more than their stamp differ in
/// this, unless somebody wants them not to. 0 for what is too short to be a block.
pub fn content_checksums(block: &[u8]) -> u64 {
    let both = block.get(CHECKSUMS_AT..).and_then(<[u8]>::first_chunk);
    both.map_or(0, |both| u64::from_le_bytes(*both))
}

fn stamped_half(stamp: Stamp) -> [u8; STAMPED] {
    let mut half = [0; STAMPED];
    let mut writer = crate::varint::Writer::new(&mut half);
    // The parts are exactly the half's length, so no write can fail.
    let _ = writer.bytes(&MAGIC);
    let _ = writer.bytes(&[WIRE_VERSION, stamp.lane.code(), 0, 0]);
    let _ = writer.bytes(&stamp.epoch.to_le_bytes());
    let _ = writer.bytes(&stamp.number.to_le_bytes());
    half
}

/// Puts a block together, unstamped (live lane, epoch and number zero).
pub(super) fn assemble(
    out: &mut alloc::vec::Vec<u8>,
    readings: u32,
    directory: &[u8],
    body: &[u8],
    unpacked: u32,
) {
    let half = stamped_half(Stamp { lane: Lane::Live, epoch: 0, number: 0 });
    out.extend_from_slice(&half);
    out.extend_from_slice(&crc32c(&half).to_le_bytes());
    let lengths = [readings, directory.len() as u32, body.len() as u32, unpacked, crc32c(body)];
    let mut fixed = [0; 20];
    for (target, value) in fixed.chunks_exact_mut(4).zip(lengths) {
        target.copy_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&fixed);
    let crc = crc32c::crc32c_append(crc32c(&fixed), directory);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(directory);
    out.extend_from_slice(body);
}

impl<'a> Header<'a> {
    /// Checks every checksum, length and bound; allocates nothing.
    pub fn parse(block: &'a [u8]) -> Result<Self, BlockError> {
        if block.len() > MAX_BLOCK_BYTES {
            return Err(BlockError::TooLarge("bytes"));
        }
        let mut reader = Reader::new(block);
        let truncated = |_| BlockError::Truncated;
        let half: [u8; STAMPED] = reader.array().map_err(truncated)?;
        let half_crc = u32::from_le_bytes(reader.array().map_err(truncated)?);
        let (version, stamp) = parse_stamp(&half, half_crc)?;
        if version != WIRE_VERSION && version != BEFORE_THE_FREEZE {
            return Err(BlockError::Version(version));
        }
        let fixed: [u8; 20] = reader.array().map_err(truncated)?;
        let directory_crc = u32::from_le_bytes(reader.array().map_err(truncated)?);
        let zero: [u8; 4] = reader.array().map_err(truncated)?;
        let mut fields = Reader::new(&fixed);
        let mut field = || fields.array().map(u32::from_le_bytes).map_err(truncated);
        let (readings, directory_len, body_len) = (field()?, field()?, field()?);
        let (unpacked_bytes, body_crc) = (field()?, field()?);
        let directory = reader.bytes(directory_len as usize).map_err(truncated)?;
        let body = reader.bytes(body_len as usize).map_err(truncated)?;
        if crc32c::crc32c_append(crc32c(&fixed), directory) != directory_crc {
            return Err(BlockError::Checksum(Part::Directory));
        }
        if crc32c(body) != body_crc {
            return Err(BlockError::Checksum(Part::Columns));
        }
        if !reader.rest().is_empty() || zero != [0; 4] {
            return Err(BlockError::Malformed(Part::Header));
        }
        if readings as usize > MAX_READINGS {
            return Err(BlockError::TooLarge("readings"));
        }
        if unpacked_bytes as usize > MAX_BODY_BYTES {
            return Err(BlockError::TooLarge("unpacked bytes"));
        }
        Ok(Self { stamp, readings, directory, body, unpacked_bytes })
    }

    /// The directory of a block whose other parts may be damaged: it has a checksum of its own, so that what is
    /// missing can still be named.
    pub fn salvage_directory(block: &[u8]) -> Result<Directory, BlockError> {
        let truncated = |_| BlockError::Truncated;
        let mut reader = Reader::new(block);
        reader.bytes(FIXED).map_err(truncated)?;
        let fixed: [u8; 20] = reader.array().map_err(truncated)?;
        let crc = u32::from_le_bytes(reader.array().map_err(truncated)?);
        reader.bytes(4).map_err(truncated)?;
        let mut fields = Reader::new(&fixed);
        let mut field = || fields.array().map(u32::from_le_bytes).map_err(truncated);
        let (readings, directory_len) = (field()?, field()?);
        let directory = reader.bytes(directory_len as usize).map_err(truncated)?;
        if crc32c::crc32c_append(crc32c(&fixed), directory) != crc {
            return Err(BlockError::Checksum(Part::Directory));
        }
        if readings as usize > MAX_READINGS {
            return Err(BlockError::TooLarge("readings"));
        }
        super::directory::decode(directory, readings)
    }
}

/// The version of what is behind it, and the stamp, which is the same in every version.
fn parse_stamp(half: &[u8; STAMPED], crc: u32) -> Result<(u8, Stamp), BlockError> {
    let mut reader = Reader::new(half);
    let truncated = |_| BlockError::Truncated;
    if reader.array().map_err(truncated)? != MAGIC {
        return Err(BlockError::Magic);
    }
    let [version, lane, zero, zero_too] = reader.array().map_err(truncated)?;
    if crc32c(half) != crc {
        return Err(BlockError::Checksum(Part::Header));
    }
    let lane = Lane::from_code(lane).ok_or(BlockError::Malformed(Part::Header))?;
    if (zero, zero_too) != (0, 0) {
        return Err(BlockError::Malformed(Part::Header));
    }
    let epoch = u64::from_le_bytes(reader.array().map_err(truncated)?);
    let number = u64::from_le_bytes(reader.array().map_err(truncated)?);
    Ok((version, Stamp { lane, epoch, number }))
}
