//! A frame on the line: written raw behind the room that stuffing needs, then given its checksum and stuffed where it lies, so that no second
//! buffer of a frame's size is needed.

use super::{FrameError, crc::crc32};
use crate::varint::{Truncated, Writer};

const CRC_BYTES: usize = 4;

/// The longest a raw frame of `raw` bytes can be on the line: COBS adds a byte in 254 and one, and the zero ends it.
pub const fn encoded_len(raw: usize) -> usize {
    raw + raw / 254 + 2
}

/// Bytes in front of a raw frame in a line of `line` bytes, whichever frame fits in it: stuffing moves it down, and never overtakes what it still
/// has to read.
const fn lead(line: usize) -> usize {
    2 + line.saturating_sub(2) / 255
}

/// Writes a frame, its final zero included; returns its length. `write` writes what the checksum is over; with that, a raw frame has at most
/// `most` bytes.
pub(super) fn write_frame(
    line: &mut [u8],
    most: usize,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), Truncated>,
) -> Result<usize, FrameError> {
    let from = lead(line.len());
    let room = line.len().min(from + most).saturating_sub(CRC_BYTES);
    let mut raw = Writer::new(line.get_mut(from..room).ok_or(FrameError::TooLong)?);
    write(&mut raw).map_err(|_| FrameError::TooLong)?;
    let end = from + raw.len();
    let crc = crc32(raw.written()).to_le_bytes();
    line.get_mut(end..end + CRC_BYTES).ok_or(FrameError::TooLong)?.copy_from_slice(&crc);
    stuff(line, from, end + CRC_BYTES).ok_or(FrameError::TooLong)
}

/// Stuffs what lies from `from` up to `end`, to the front of the line; returns the length there, the zero included.
fn stuff(line: &mut [u8], from: usize, end: usize) -> Option<usize> {
    let (mut code_at, mut to, mut code) = (0, 1, 1u8);
    for at in from..end {
        let byte = *line.get(at)?;
        if byte != 0 {
            *line.get_mut(to)? = byte;
            to += 1;
            code += 1;
        }
        // No group follows a full one that ends the frame.
        if byte == 0 || code == u8::MAX && at + 1 < end {
            *line.get_mut(code_at)? = code;
            (code_at, to, code) = (to, to + 1, 1);
        }
    }
    *line.get_mut(code_at)? = code;
    *line.get_mut(to)? = 0;
    Some(to + 1)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn written(raw: &[u8], line: &mut [u8]) -> Result<usize, FrameError> {
        write_frame(line, 2_000, |out| out.bytes(raw))
    }

    /// With zeros here and there, and without any, which stuffing makes longest.
    fn frames() -> impl Iterator<Item = Vec<u8>> {
        (0..1_200usize).flat_map(|len| {
            let with_zeros = (0..len).map(move |at| if at % (len / 3 + 1) == 2 { 0 } else { at as u8 | 1 });
            [with_zeros.collect(), vec![7; len]]
        })
    }

    #[test]
    fn it_is_stuffed_as_the_cobs_crate_does_in_a_line_of_any_length() {
        for raw in frames() {
            let signed = [&raw[..], &crc32(&raw).to_le_bytes()].concat();
            let mut theirs = vec![0; encoded_len(signed.len())];
            let mut encoder = cobs::CobsEncoder::new(&mut theirs);
            encoder.push(&signed).unwrap();
            let zero_at = encoder.finalize();
            theirs[zero_at] = 0;
            let len = zero_at + 1;
            for spare in [0, 1, 2, 3, 100, 254, 255, 256, 3_000] {
                let mut line = vec![0xaa; encoded_len(signed.len()) + spare];
                assert_eq!(written(&raw, &mut line), Ok(len), "{spare}");
                assert_eq!(line[..len], theirs[..len], "{} {spare}", raw.len());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for raw in frames() {
            let signed = raw.len() + CRC_BYTES;
            let mut roomy = vec![0; encoded_len(signed)];
            let len = written(&raw, &mut roomy).unwrap();
            for room in 0..encoded_len(signed) {
                let mut line = vec![0xaa; room];
                match written(&raw, &mut line) {
                    Ok(_) => assert_eq!(line[..len], roomy[..len], "{signed} {room}"),
                    Err(error) => assert_eq!(error, FrameError::TooLong),
                }
            }
        }
        let mut line = [0; 3_000];
        assert!(written(&[7; 2_000 - CRC_BYTES], &mut line).is_ok());
        assert_eq!(written(&[7; 2_001 - CRC_BYTES], &mut line), Err(FrameError::TooLong));
    }
}
