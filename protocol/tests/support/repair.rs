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

/// A block of these parts with right checksums, however wrong they are, that says it unpacks to `says` bytes.
pub fn block(readings: u32, directory: &[u8], body: &[u8], says: usize) -> Vec<u8> {
    let mut block = b"TGBK\x01\x01\x00\x00".to_vec();
    block.resize(HEADER_BYTES, 0);
    for (at, value) in
        [(28, readings), (32, directory.len() as u32), (36, body.len() as u32), (40, says as u32)]
    {
        put(&mut block, at, value);
    }
    block.extend_from_slice(directory);
    block.extend_from_slice(body);
    assert!(repair(&mut block), "the lengths are those of the parts");
    block
}
