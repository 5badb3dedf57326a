//! The frames of a session: closed by one end, opened by the other.

use core::fmt;

use super::{
    Down, FrameError, KEYED, MAX_KEYED_FRAME, Up,
    cipher::{Direction, SessionKey, TAG_BYTES},
};
use crate::{
    WIRE_VERSION,
    frame::{
        codec::{write_down, write_up},
        line::write_frame,
    },
    varint::{Reader, Truncated, Writer},
};

/// One end of a session. Not `Clone`: two of them would close two frames under one number.
pub struct Session {
    key: SessionKey,
    /// Which way this end sends.
    sends: Direction,
    /// The number of the last frame closed.
    closed: u64,
    /// The highest number that opened.
    opened: u64,
}

/// Never its key.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("sends", &self.sends)
            .field("closed", &self.closed)
            .field("opened", &self.opened)
            .finish()
    }
}

impl Session {
    pub(super) const fn new(key: SessionKey, sends: Direction) -> Self {
        Self { key, sends, closed: 0, opened: 0 }
    }

    pub(super) const fn key(&self) -> &SessionKey {
        &self.key
    }

    /// How many frames were closed.
    pub const fn closed(&self) -> u64 {
        self.closed
    }

    /// Whether a frame of the other end has opened: it has the key.
    pub const fn has_opened(&self) -> bool {
        self.opened > 0
    }

    /// Writes a frame under the session's key, its final zero included; returns its length. `line` has room for the longest that it can be
    /// ([`crate::frame::encoded_len`]), with [`super::KEYED_BYTES`] more than in clear.
    pub fn encode_up(&mut self, frame: &Up<'_>, line: &mut [u8]) -> Result<usize, FrameError> {
        frame.check()?;
        self.encode(line, |out| write_up(frame, out))
    }

    /// The same to a board: at most [`super::MAX_KEYED_DOWN_FRAME`].
    pub fn encode_down(&mut self, frame: &Down, line: &mut [u8]) -> Result<usize, FrameError> {
        frame.check()?;
        self.encode(line, |out| write_down(frame, out))
    }

    /// What `write` writes is closed where it lies. Nothing of it stays in the line where there is no room for it.
    fn encode(
        &mut self,
        line: &mut [u8],
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), Truncated>,
    ) -> Result<usize, FrameError> {
        let number = self.closed + 1;
        let encoded = write_frame(line, MAX_KEYED_FRAME, |out| {
            out.byte(WIRE_VERSION | KEYED)?;
            out.unsigned(number)?;
            let head = out.len();
            write(out)?;
            out.bytes(&[0; TAG_BYTES])?;
            let closed = out.written().get_mut(head..).and_then(|closed| closed.split_last_chunk_mut());
            let (body, tag) = closed.ok_or(Truncated)?;
            // Counted before it is used: no number is ever used twice.
            self.closed = number;
            *tag = self.key.close(self.sends, number, body);
            Ok(())
        });
        if encoded.is_err() {
            line.fill(0);
        }
        encoded
    }

    /// Opens what an [`super::Envelope::Keyed`] holds, where it lies, and returns the frame's body. What does not open changes nothing.
    pub fn open<'a>(&mut self, keyed: &'a mut [u8]) -> Result<&'a [u8], FrameError> {
        let mut reader = Reader::new(keyed);
        let number = reader.unsigned()?;
        let head_len = keyed.len() - reader.rest().len();
        let closed = keyed.get_mut(head_len..).unwrap_or_default();
        let (body, tag) = closed.split_last_chunk_mut::<TAG_BYTES>().ok_or(FrameError::Body)?;
        if number <= self.opened {
            return Err(FrameError::Replayed);
        }
        let comes = match self.sends {
            Direction::Up => Direction::Down,
            Direction::Down => Direction::Up,
        };
        if !self.key.open(comes, number, body, tag) {
            return Err(FrameError::Tag);
        }
        self.opened = number;
        Ok(body)
    }
}
