//! Finishes a raw frame where it lies: checksum, COBS, zero.

use super::{FrameError, MAX_KEYED_FRAME};
use crate::frame::crc::crc32;

/// Bytes that a raw frame of `len` bytes, its checksum included, must have in front of it: stuffing moves it down and never overtakes
/// what it still has to read.
pub(super) const fn lead(len: usize) -> usize {
    2 + len / 254
}

/// Finishes the `len` bytes from `from` on; returns the length on the line, from the front of `line` on, the zero included.
pub(super) fn finish(line: &mut [u8], from: usize, len: usize) -> Result<usize, FrameError> {
    let end = from + len;
    let crc = crc32(line.get(from..end).ok_or(FrameError::TooLong)?);
    line.get_mut(end..end + 4).ok_or(FrameError::TooLong)?.copy_from_slice(&crc.to_le_bytes());
    if len + 4 > MAX_KEYED_FRAME || from < lead(len + 4) {
        return Err(FrameError::TooLong);
    }
    stuff(line, from, end + 4).ok_or(FrameError::TooLong)
}

fn stuff(line: &mut [u8], from: usize, end: usize) -> Option<usize> {
    let (mut code_at, mut to, mut code) = (0, 1, 1u8);
    for at in from..end {
        let byte = *line.get(at)?;
        if byte != 0 {
            *line.get_mut(to)? = byte;
            to += 1;
            code += 1;
        }
        if byte == 0 || code == u8::MAX {
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

    #[test]
    fn it_is_stuffed_as_the_cobs_crate_does() {
        for len in 1..1_200usize {
            let raw: Vec<u8> =
                (0..len).map(|at| if at % (len / 3 + 1) == 2 { 0 } else { at as u8 | 1 }).collect();
            let mut with_crc = raw.clone();
            with_crc.extend_from_slice(&crc32(&raw).to_le_bytes());
            let from = lead(len + 4);
            let mut line = vec![0; from + len + 8];
            line[from..from + len].copy_from_slice(&raw);
            let on_line = finish(&mut line, from, len).unwrap();
            assert_eq!(line[on_line - 1], 0);
            assert!(!line[..on_line - 1].contains(&0));
            assert_eq!(cobs::decode_vec(&line[..on_line - 1]).unwrap(), with_crc, "{len}");
        }
    }

    #[test]
    fn a_frame_without_its_lead_is_refused() {
        let mut line = [7; 64];
        assert_eq!(finish(&mut line, 1, 20), Err(FrameError::TooLong));
        assert!(finish(&mut line, 2, 20).is_ok());
        assert_eq!(finish(&mut line, 2, 60), Err(FrameError::TooLong), "no room for the checksum");
    }
}
