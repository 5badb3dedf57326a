//! Messages between gateways and cloud that are no blocks: version byte, postcard body, CRC-32C (little-endian) over both.

use alloc::vec::Vec;

use serde::{Serialize, de::DeserializeOwned};

use crate::{WIRE_VERSION, frame::crc::crc32c};

/// What every such message can be refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the message is {0} bytes long; at most {1} are read")]
    TooLong(usize, usize),
    #[error("the message is truncated or its checksum is wrong")]
    Corrupt,
    #[error("the message has version {0}; this program reads version {WIRE_VERSION}")]
    Version(u8),
    #[error("the message does not decode")]
    Malformed,
    /// For messages that begin with a count.
    #[error("the message is of more than {0} things")]
    TooMany(u64),
}

pub fn seal(message: &impl Serialize, max_bytes: usize) -> Result<Vec<u8>, SealError> {
    let mut bytes =
        postcard::to_extend(message, Vec::from([WIRE_VERSION])).map_err(|_| SealError::Malformed)?;
    bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
    if bytes.len() > max_bytes { Err(SealError::TooLong(bytes.len(), max_bytes)) } else { Ok(bytes) }
}

pub fn unseal<T: DeserializeOwned>(bytes: &[u8], max_bytes: usize) -> Result<T, SealError> {
    read(body_of(bytes, max_bytes)?)
}

/// The same of a message that begins with how many things it is of, which is looked at before any room is made for so many.
pub fn unseal_counted<T: DeserializeOwned>(
    bytes: &[u8],
    max_bytes: usize,
    most: usize,
) -> Result<T, SealError> {
    let body = body_of(bytes, max_bytes)?;
    let (count, _) = postcard::take_from_bytes::<u64>(body).map_err(|_| SealError::Malformed)?;
    if count > most as u64 {
        return Err(SealError::TooMany(most as u64));
    }
    read(body)
}

fn body_of(bytes: &[u8], max_bytes: usize) -> Result<&[u8], SealError> {
    if bytes.len() > max_bytes {
        return Err(SealError::TooLong(bytes.len(), max_bytes));
    }
    let (signed, crc) = bytes.split_last_chunk::<4>().ok_or(SealError::Corrupt)?;
    let (&version, body) = signed.split_first().ok_or(SealError::Corrupt)?;
    if crc32c(signed) != u32::from_le_bytes(*crc) {
        return Err(SealError::Corrupt);
    }
    if version == WIRE_VERSION { Ok(body) } else { Err(SealError::Version(version)) }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, SealError> {
    let (message, rest) = postcard::take_from_bytes(body).map_err(|_| SealError::Malformed)?;
    if rest.is_empty() { Ok(message) } else { Err(SealError::Malformed) }
}
