//! Blocks to bytes and back. Both sides keep their buffers and zstd contexts between blocks.

use alloc::{string::String, vec::Vec};

use super::{
    Block, BlockError, Description, Directory, Header, MAX_BLOCK_BYTES, MAX_BODY_BYTES,
    MAX_CHANNELS_PER_ORIGIN, MAX_DESCRIBED_CHANNELS, MAX_DESCRIPTION_TEXT, MAX_READINGS, MAX_RECORDS, Part,
    Record, columns::Columns, directory, header,
};
use crate::{
    channel::ChannelDecl,
    reading::{MAX_SCALE, Reading, Value},
    unit::MAX_UNIT,
    varint::{Reader, push_unsigned},
};

/// Fast and nearly as small as slower levels on these columns.
const ZSTD_LEVEL: i32 = 1;
/// Columns of more bits a reading hold little but noise, which zstd would be tried on in vain. What it shortens are
/// descriptions, and columns in which nothing happens.
const DENSE_BITS: usize = 3;

/// Encodes blocks.
pub struct Encoder {
    zstd: zstd::bulk::Compressor<'static>,
    directory: Vec<u8>,
    body: Vec<u8>,
    packed: Vec<u8>,
    columns: Columns,
}

impl Encoder {
    /// Fails only when zstd gets no memory for its context.
    pub fn new() -> std::io::Result<Self> {
        let zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        Ok(Self {
            zstd,
            directory: Vec::new(),
            body: Vec::new(),
            packed: Vec::new(),
            columns: Columns::default(),
        })
    }

    /// The block's bytes, not yet stamped. An error means that the content breaks a bound or an order.
    pub fn encode(&mut self, block: &Block) -> Result<Vec<u8>, BlockError> {
        let readings = block.reading_count();
        if readings > MAX_READINGS {
            return Err(BlockError::TooLarge("readings"));
        }
        if block.records.len() > MAX_RECORDS {
            return Err(BlockError::TooLarge("records"));
        }
        block.origins.iter().try_for_each(|origin| check_readings(&origin.readings))?;
        self.directory.clear();
        directory::encode(&block.origins, &mut self.directory)?;
        self.body.clear();
        push_unsigned(&mut self.body, block.records.len() as u64);
        let mut channels = 0;
        for record in &block.records {
            channels = check(record, channels)?;
            self.body = postcard::to_extend(record, core::mem::take(&mut self.body))
                .map_err(|_| BlockError::Malformed(Part::Records))?;
        }
        self.columns.encode(&block.origins, &mut self.body);
        if self.body.len() > MAX_BODY_BYTES {
            return Err(BlockError::TooLarge("unpacked bytes"));
        }
        let dense = block.records.is_empty() && self.body.len() * 8 > readings * DENSE_BITS;
        let packed = if dense { &self.body } else { pack(&mut self.zstd, &self.body, &mut self.packed)? };
        let mut out = Vec::with_capacity(header::HEADER_BYTES + self.directory.len() + packed.len());
        header::assemble(&mut out, readings as u32, &self.directory, packed, self.body.len() as u32);
        if out.len() > MAX_BLOCK_BYTES { Err(BlockError::TooLarge("bytes")) } else { Ok(out) }
    }
}

/// The body as it travels: compressed where that makes it shorter.
fn pack<'a>(
    zstd: &mut zstd::bulk::Compressor<'_>,
    body: &'a [u8],
    packed: &'a mut Vec<u8>,
) -> Result<&'a [u8], BlockError> {
    packed.clear();
    packed.reserve(zstd::zstd_safe::compress_bound(body.len()));
    zstd.compress_to_buffer(body, packed).map_err(|_| BlockError::TooLarge("unpacked bytes"))?;
    Ok(if packed.len() < body.len() { packed } else { body })
}

/// Decodes blocks.
pub struct Decoder {
    zstd: zstd::bulk::Decompressor<'static>,
    body: Vec<u8>,
    columns: Columns,
}

impl Decoder {
    /// Fails only when zstd gets no memory for its context.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Decompressor::new()?, body: Vec::new(), columns: Columns::default() })
    }

    /// What the directory says is inside; the columns are not touched (their checksum is).
    pub fn directory(bytes: &[u8]) -> Result<Directory, BlockError> {
        let header = Header::parse(bytes)?;
        directory::decode(header.directory, header.readings)
    }

    /// Decodes all of it, or refuses all of it.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Block, BlockError> {
        let header = Header::parse(bytes)?;
        let directory = directory::decode(header.directory, header.readings)?;
        let malformed = BlockError::Malformed(Part::Columns);
        let unpacked = header.unpacked_bytes as usize;
        let body = if header.body.len() == unpacked {
            header.body
        } else {
            self.body.clear();
            // zstd writes at most the capacity, so a bomb is bounded by what the header said and was checked for.
            self.body.reserve_exact(unpacked);
            self.zstd.decompress_to_buffer(header.body, &mut self.body).map_err(|_| malformed)?;
            if self.body.len() != unpacked {
                return Err(malformed);
            }
            &self.body
        };
        let (records, rest) = decode_records(body)?;
        let origins = self.columns.decode(rest, &directory).ok_or(malformed)?;
        Ok(Block { records, origins })
    }
}

fn decode_records(body: &[u8]) -> Result<(Vec<Record>, &[u8]), BlockError> {
    let malformed = BlockError::Malformed(Part::Records);
    let mut reader = Reader::new(body);
    let count = reader.unsigned().map_err(|_| malformed)?;
    if count > MAX_RECORDS as u64 {
        return Err(BlockError::TooLarge("records"));
    }
    let mut records = Vec::new();
    let mut rest = reader.rest();
    let mut channels = 0;
    for _ in 0..count {
        let (record, others) = postcard::take_from_bytes(rest).map_err(|_| malformed)?;
        channels = check(&record, channels)?;
        records.push(record);
        rest = others;
    }
    Ok((records, rest))
}

/// Readings of one origin: some, with seqs that ascend and end, and with scales that exist.
fn check_readings(readings: &[Reading]) -> Result<(), BlockError> {
    let mut least = 0;
    for reading in readings {
        // The last seq has no end that 64 bits could say.
        if reading.seq.0 < least || reading.seq.0 == u64::MAX {
            return Err(BlockError::Disorder);
        }
        least = reading.seq.0 + 1;
        if matches!(reading.value, Value::Decimal { scale, .. } if scale > MAX_SCALE) {
            return Err(BlockError::TooLarge("a decimal's scale"));
        }
    }
    if readings.is_empty() { Err(BlockError::Disorder) } else { Ok(()) }
}

/// The bounds of a record, the same for both sides: what one may send, the other takes. `channels` counts those
/// described so far; returns it with this record's.
fn check(record: &Record, channels: usize) -> Result<usize, BlockError> {
    match record {
        Record::Described(description) => {
            let Description { tag, firmware, channels: described, .. } = description;
            let long = |decl: &ChannelDecl<String>| decl.unit.len() > MAX_UNIT || decl.scale > MAX_SCALE;
            if tag.len().max(firmware.len()) > MAX_DESCRIPTION_TEXT || described.iter().any(long) {
                return Err(BlockError::TooLarge("a description's texts and scales"));
            }
            let channels = channels + described.len();
            if described.len() > MAX_CHANNELS_PER_ORIGIN || channels > MAX_DESCRIBED_CHANNELS {
                return Err(BlockError::TooLarge("described channels"));
            }
            Ok(channels)
        }
        Record::Loss(loss) if loss.range.is_empty() => Err(BlockError::Malformed(Part::Records)),
        Record::Summary(summary) if !summary.is_sound() => Err(BlockError::Malformed(Part::Records)),
        Record::Loss(_)
        | Record::Summary(_)
        | Record::Anchor { .. }
        | Record::Closed { .. }
        | Record::Measured { .. } => Ok(channels),
    }
}
