//! Block acknowledgements: what became of each block, and how much more may be in flight.
//!
//! Layout: version byte, postcard body, CRC-32C (little-endian) over both. At most [`MAX_ACK_BYTES`].

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    WIRE_VERSION,
    frame::crc::crc32c,
    id::{Origin, SeqRange},
};

/// The largest acknowledgement, in bytes; a sender splits before it.
pub const MAX_ACK_BYTES: usize = 64 * 1024;
/// How many outcomes one acknowledgement carries at most.
pub const MAX_OUTCOMES: usize = 1024;

/// Sent by the ingest to one gateway after a durable commit, or to announce itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockAck {
    /// The ingest's process start. A new one means: what was in flight may be gone, send it again.
    pub incarnation: u64,
    /// The agent's epoch that the numbers belong to; outcomes of another epoch are ignored.
    pub epoch: u64,
    pub outcomes: Vec<BlockOutcome>,
    pub credit: Credit,
    /// The number of this ingest's ledger: 0 at first, raised whenever it is restored from a backup. A
    /// higher one than before means that it may have forgotten what it had acknowledged; see [`LossReason::RolledBack`].
    ///
    /// [`LossReason::RolledBack`]: crate::LossReason::RolledBack
    pub ledger: u32,
}

/// What became of the block with this number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockOutcome {
    pub number: u64,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// All of it is committed: custody has passed.
    Durable,
    /// It is not in custody here. With `parts`, only these ranges are not, and the rest is.
    Rejected { reason: RejectReason, parts: Vec<(Origin, SeqRange)> },
}

/// Why a block was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// An origin's channels are not known here: send its description, then the block again.
    Undescribed,
    /// The origin was sealed (retention); what comes later is refused.
    Sealed,
    /// The same origin and seq is stored here with another content.
    BootConflict,
    /// It does not decode or fails its checksum.
    Corrupt,
    /// Its version is newer than this ingest.
    Unsupported,
}

impl RejectReason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undescribed => "undescribed",
            Self::Sealed => "sealed",
            Self::BootConflict => "boot-conflict",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
        }
    }
}

/// How many bytes of blocks (all lanes but alarm) the agent may have unacknowledged. Absolute, so that a lost
/// message does no harm; `seq` orders them, so that a late one does none either. At zero the agent sends one
/// probe block at a time. Alarms have an allowance of their own and are never refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    pub seq: u64,
    pub window_bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    #[error("the acknowledgement is {0} bytes long; at most {MAX_ACK_BYTES} are read")]
    TooLong(usize),
    #[error("the acknowledgement is truncated or its checksum is wrong")]
    Corrupt,
    #[error("the acknowledgement has version {0}; this program reads version {WIRE_VERSION}")]
    Version(u8),
    #[error("the acknowledgement does not decode")]
    Malformed,
    #[error("the acknowledgement has more than {MAX_OUTCOMES} outcomes")]
    TooMany,
}

impl BlockAck {
    pub fn encode(&self) -> Result<Vec<u8>, AckError> {
        if self.outcomes.len() > MAX_OUTCOMES {
            return Err(AckError::TooMany);
        }
        let mut bytes =
            postcard::to_extend(self, Vec::from([WIRE_VERSION])).map_err(|_| AckError::Malformed)?;
        bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
        if bytes.len() > MAX_ACK_BYTES { Err(AckError::TooLong(bytes.len())) } else { Ok(bytes) }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, AckError> {
        if bytes.len() > MAX_ACK_BYTES {
            return Err(AckError::TooLong(bytes.len()));
        }
        let (signed, crc) = bytes.split_last_chunk::<4>().ok_or(AckError::Corrupt)?;
        let (&version, body) = signed.split_first().ok_or(AckError::Corrupt)?;
        if crc32c(signed) != u32::from_le_bytes(*crc) {
            return Err(AckError::Corrupt);
        }
        if version != WIRE_VERSION {
            return Err(AckError::Version(version));
        }
        // Postcard grows a vector by what it reads, and every element takes at least a byte of `body`.
        let (ack, rest) = postcard::take_from_bytes::<Self>(body).map_err(|_| AckError::Malformed)?;
        if !rest.is_empty() {
            return Err(AckError::Malformed);
        }
        if ack.outcomes.len() > MAX_OUTCOMES { Err(AckError::TooMany) } else { Ok(ack) }
    }
}
