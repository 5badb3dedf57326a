//! The frames of a session: closed by one end, opened by the other.

use core::fmt;

use super::{
    FrameError, KEYED, MAX_FRAME,
    cipher::{Direction, SessionKey, TAG_BYTES},
    line::{self, lead},
};
use crate::{
    WIRE_VERSION,
    frame::codec::signed,
    varint::{Reader, Writer},
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

    /// Closes the frame in clear that is in the first `len` bytes of `line`, its zero included, where it lies; returns its length as it
    /// is then. There must be room for it ([`super::clear_room`]).
    pub fn close(&mut self, line: &mut [u8], len: usize) -> Result<usize, FrameError> {
        let stuffed = len.checked_sub(1).and_then(|len| line.get_mut(..len)).ok_or(FrameError::Stuffing)?;
        let signed = signed(stuffed, MAX_FRAME)?.len();
        let body = signed.checked_sub(1).ok_or(FrameError::Body)?;
        let number = self.closed + 1;
        let mut head = [WIRE_VERSION | KEYED; 11];
        let head_len = {
            let mut writer = Writer::new(head.get_mut(1..).unwrap_or_default());
            writer.unsigned(number).map_err(|_| FrameError::TooLong)?;
            1 + writer.len()
        };
        let raw = head_len + body + TAG_BYTES;
        let from = lead(raw + 4);
        let body_at = from + head_len;
        let end = body_at + body + TAG_BYTES;
        if end + 4 > line.len() {
            return Err(FrameError::TooLong);
        }
        line.copy_within(1..signed, body_at);
        line.get_mut(from..body_at)
            .zip(head.get(..head_len))
            .map(|(target, head)| target.copy_from_slice(head))
            .ok_or(FrameError::TooLong)?;
        let (body, tag_at) = line
            .get_mut(body_at..end)
            .and_then(|both| both.split_last_chunk_mut::<TAG_BYTES>())
            .ok_or(FrameError::TooLong)?;
        // Counted before anything else can fail: no number is ever used twice.
        self.closed = number;
        *tag_at = self.key.close(self.sends, number, body);
        line::finish(line, from, raw)
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
