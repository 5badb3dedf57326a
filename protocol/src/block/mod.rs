//! Blocks: the unit of storage, transfer and acknowledgement between agent and cloud.
//!
//! A block holds readings of many origins, in columns, and the records that travel with them. Layout (integers of
//! the header little-endian, everything else postcard varints):
//!
//! ```text
//! header     56 bytes, see `header`: what the sender stamps at each transmission, then what never changes
//! directory  per origin: device, boot, ranges of seqs                          CRC-32C
//! body       records (postcard), then columns, see `columns`; zstd where       CRC-32C over the bytes that travel
//!            that is shorter, as it is where both lengths are the same
//! ```
//!
//! The directory alone says which readings are inside, so a ledger can work on ranges without the columns.
//! Bounds, checked before anything is allocated: [`MAX_BLOCK_BYTES`] in all, [`MAX_READINGS`], [`MAX_ORIGINS`],
//! [`MAX_RECORDS`], [`MAX_BODY_BYTES`] unpacked. A block beyond them, with a wrong checksum, or that does not decode
//! to the last byte is refused as a whole with a [`BlockError`].

mod bits;
mod codec;
mod columns;
mod decimal;
mod directory;
mod foretell;
mod header;
mod series;
mod timeline;
mod values;

use alloc::{string::String, vec::Vec};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};

pub use codec::{Decoder, Encoder};
pub use directory::{Directory, Entry};
pub use header::{HEADER_BYTES, Header, Stamp, content_checksums, read_stamp, stamp};

use crate::{
    channel::ChannelDecl,
    clock::ClockQuality,
    id::{Origin, SeqRange},
    loss::LossRecord,
    reading::{Reading, Tick},
    summary::Summary,
};

/// The largest block on the wire.
pub const MAX_BLOCK_BYTES: usize = 512 * 1024;
/// The largest body once unpacked.
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
pub const MAX_READINGS: usize = 65_536;
pub const MAX_ORIGINS: usize = 4_096;
pub const MAX_RECORDS: usize = 4_096;
/// Channels in one description: as many as an index can name.
pub const MAX_CHANNELS_PER_ORIGIN: usize = 256;
/// Channels in all descriptions of a block together.
pub const MAX_DESCRIBED_CHANNELS: usize = 65_536;
/// The longest `tag` and `firmware` text in a description, in bytes.
pub const MAX_DESCRIPTION_TEXT: usize = 256;

/// A block's content. Origins ascend, each at most once; readings of an origin ascend by seq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    pub records: Vec<Record>,
    pub origins: Vec<OriginReadings>,
}

impl Block {
    pub fn reading_count(&self) -> usize {
        self.origins.iter().map(|origin| origin.readings.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.origins.is_empty()
    }
}

/// What one origin measured; never empty inside a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginReadings {
    pub origin: Origin,
    pub readings: Vec<Reading>,
}

/// What travels beside readings, with the same custody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Who an origin is and what its channel indices mean. Precedes its readings until the cloud has it.
    Described(Description),
    Loss(LossRecord),
    /// A clock anchor as this gateway saw it; the gateway is the sender.
    Anchor {
        origin: Origin,
        tick: Tick,
        unix_ms: i64,
        error_ms: u32,
        quality: ClockQuality,
    },
    /// The origin measures no more.
    Closed {
        origin: Origin,
        tail: Tail,
    },
    /// The highest `next` an origin reported: readings below it exist, wherever they are.
    Measured {
        origin: Origin,
        next: u64,
    },
    /// What readings were like that were thinned; they are declared lost beside it.
    Summary(Summary),
}

impl Record {
    pub fn origin(&self) -> Origin {
        match self {
            Self::Described(description) => description.origin,
            Self::Loss(loss) => loss.origin,
            Self::Summary(summary) => summary.origin,
            Self::Anchor { origin, .. } | Self::Closed { origin, .. } | Self::Measured { origin, .. } => {
                *origin
            }
        }
    }
}

/// An origin's channels, by index, and what people call the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub origin: Origin,
    pub tag: String,
    pub firmware: String,
    #[serde(deserialize_with = "few_channels")]
    pub channels: Vec<ChannelDecl<String>>,
}

/// Stops reading at the bound, so that a long list costs no memory before it is refused.
fn few_channels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ChannelDecl<String>>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<ChannelDecl<String>>;
        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "at most {MAX_CHANNELS_PER_ORIGIN} channels")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut channels = Vec::new();
            while let Some(channel) = seq.next_element()? {
                if channels.len() == MAX_CHANNELS_PER_ORIGIN {
                    return Err(serde::de::Error::invalid_length(channels.len() + 1, &self));
                }
                channels.push(channel);
            }
            Ok(channels)
        }
    }
    deserializer.deserialize_seq(Few)
}

/// How many readings a closed origin measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tail {
    /// Exactly this many.
    Known(u64),
    /// This many are known of; it may have measured more before it ended.
    AtLeast(u64),
}

impl Tail {
    pub const fn next(self) -> u64 {
        match self {
            Self::Known(next) | Self::AtLeast(next) => next,
        }
    }
}

/// Why bytes are no block, or a content can be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    #[error("the block is shorter than it says")]
    Truncated,
    #[error("this is no Tidegate block")]
    Magic,
    #[error("the block has version {0}; this program reads version {version}", version = crate::WIRE_VERSION)]
    Version(u8),
    #[error("the block's {0} checksum is wrong")]
    Checksum(Part),
    #[error("the block is beyond its bound on {0}")]
    TooLarge(&'static str),
    #[error("the block's {0} does not decode")]
    Malformed(Part),
    #[error("a block's origins and their seqs must ascend")]
    Disorder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Header,
    Directory,
    Records,
    Columns,
}

impl core::fmt::Display for Part {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Directory => "directory",
            Self::Records => "records",
            Self::Columns => "columns",
        })
    }
}

/// Which seqs a sorted run of readings has, as ranges.
pub fn ranges_of(readings: &[Reading]) -> Vec<SeqRange> {
    let mut ranges: Vec<SeqRange> = Vec::new();
    for reading in readings {
        let seq = reading.seq.0;
        match ranges.last_mut() {
            Some(last) if last.end == seq => last.end = seq.saturating_add(1),
            _ => ranges.push(SeqRange::new(seq, seq.saturating_add(1))),
        }
    }
    ranges
}
