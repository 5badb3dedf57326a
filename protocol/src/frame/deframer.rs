//! Bytes of a link, cut into frames at the zeros.

use super::{Down, FrameError, Up, codec};

/// Collects bytes until a zero, then decodes in place. `N` bounds the memory; a longer frame is counted as an
/// error and skipped to its end, so that garbage never stops what follows it.
#[derive(Debug)]
pub struct Deframer<const N: usize> {
    buffer: [u8; N],
    len: usize,
    overrun: bool,
}

/// What a stretch of bytes held.
#[derive(Debug)]
pub struct Deframed<'a> {
    /// How many bytes were used; give the rest again.
    pub used: usize,
    /// A whole raw frame's stuffed bytes, or why there is none. `None`: more bytes are needed.
    pub frame: Option<Result<&'a mut [u8], FrameError>>,
}

impl<const N: usize> Default for Deframer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Deframer<N> {
    pub const fn new() -> Self {
        Self { buffer: [0; N], len: 0, overrun: false }
    }

    /// Forgets a half frame, as after a lost link.
    pub const fn reset(&mut self) {
        self.len = 0;
        self.overrun = false;
    }

    /// Takes bytes up to and including the next zero. Empty frames (a zero after a zero) are skipped: senders may
    /// use them to flush a line's garbage.
    pub fn push(&mut self, bytes: &[u8]) -> Deframed<'_> {
        let zero = find_zero(bytes);
        let taken = zero.unwrap_or(bytes.len());
        match bytes.get(..taken).zip(self.buffer.get_mut(self.len..self.len.saturating_add(taken))) {
            Some((source, target)) => {
                target.copy_from_slice(source);
                self.len += taken;
            }
            None => self.overrun = true,
        }
        let Some(zero) = zero else { return Deframed { used: taken, frame: None } };
        let (len, overrun) = (self.len, self.overrun);
        self.reset();
        let frame = if overrun {
            Some(Err(FrameError::TooLong))
        } else if len == 0 {
            None
        } else {
            self.buffer.get_mut(..len).map(Ok)
        };
        Deframed { used: zero + 1, frame }
    }

    /// Feeds all of `bytes`, handing every up frame to `each`.
    pub fn up(&mut self, mut bytes: &[u8], mut each: impl FnMut(Result<Up<'_>, FrameError>)) {
        while !bytes.is_empty() {
            let Deframed { used, frame } = self.push(bytes);
            if let Some(frame) = frame {
                match frame {
                    Ok(stuffed) => each(codec::decode_up(stuffed)),
                    Err(error) => each(Err(error)),
                }
            }
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Feeds all of `bytes`, handing every down frame to `each`.
    pub fn down(&mut self, mut bytes: &[u8], mut each: impl FnMut(Result<Down, FrameError>)) {
        while !bytes.is_empty() {
            let Deframed { used, frame } = self.push(bytes);
            if let Some(frame) = frame {
                match frame {
                    Ok(stuffed) => each(codec::decode_down(stuffed)),
                    Err(error) => each(Err(error)),
                }
            }
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }
}

/// Where the first zero is, eight bytes at a time: a zero byte, and none below it, borrows from its top bit.
fn find_zero(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    // On a small board 64-bit words are no gain, and take room.
    let (words, rest) =
        if cfg!(target_pointer_width = "64") { bytes.as_chunks::<8>() } else { (&[][..], bytes) };
    for (word, at) in words.iter().zip((0..).step_by(8)) {
        let word = u64::from_le_bytes(*word);
        let zeros = word.wrapping_sub(LOW) & !word & LOW << 7;
        if zeros != 0 {
            return Some(at + zeros.trailing_zeros() as usize / 8);
        }
    }
    let before = words.len() * 8;
    rest.iter().position(|&byte| byte == 0).map(|at| before + at)
}

#[cfg(test)]
mod tests {
    use super::find_zero;

    #[test]
    fn the_first_zero_is_found_wherever_it_is() {
        for len in 0..40 {
            let mut bytes = [1; 40];
            assert_eq!(find_zero(&bytes[..len]), None);
            for at in 0..len {
                bytes = [0x80; 40];
                // What follows must not matter: 0x01 after a zero borrows falsely.
                bytes[at + 1..].fill(1);
                bytes[at] = 0;
                bytes[39] = 0;
                assert_eq!(find_zero(&bytes[..len]), Some(at), "{len}");
            }
        }
    }
}
