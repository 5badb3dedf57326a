//! Puts the checksums of a damaged block right, so that what is behind them is reached.

use tidegate_protocol::{block::HEADER_BYTES, frame::crc::crc32c};

/// Writes a field of the header.
pub fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Puts the checksums of a block right where its lengths allow; false when they don't.
pub fn repair(bytes: &mut [u8]) -> bool {
    let Some((header, parts)) = bytes.split_first_chunk_mut::<HEADER_BYTES>() else { return false };
    let length =
        |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
    let (directory_len, body_len) = (length(32), length(36));
    let Some((directory, rest)) = parts.split_at_checked(directory_len) else { return false };
    let Some(body) = rest.get(..body_len) else { return false };
    let crc = crc32c(&header[..24]);
    put(header, 24, crc);
    put(header, 44, crc32c(body));
    let mut signed = header[28..48].to_vec();
    signed.extend_from_slice(directory);
    put(header, 48, crc32c(&signed));
    true
}
