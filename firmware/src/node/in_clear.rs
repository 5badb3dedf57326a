//! A node without keys: its frames are on the line as they are.

use tidegate_protocol::{
    Tick,
    frame::{Down, FrameError, MAX_DOWN_FRAME, Up, decode_down, encode_up},
};

use super::Node;

/// The longest frame that comes.
pub(super) const DOWN_BYTES: usize = MAX_DOWN_FRAME;

#[derive(Debug, Default)]
pub(super) struct Line;

impl Line {
    pub const fn link_up(&mut self) {}

    pub const fn must_call(&mut self, _hello_is_due: bool) -> bool {
        false
    }

    pub fn read(&mut self, stuffed: &mut [u8]) -> Result<Option<Down>, FrameError> {
        decode_down(stuffed).map(Some)
    }

    pub const fn hello_is_said(&mut self) {}

    /// What a frame has more than the same in clear.
    pub const fn extra_bytes(&self) -> usize {
        0
    }

    pub fn write(&mut self, up: &Up<'_>, out: &mut [u8]) -> Option<usize> {
        encode_up(up, out).ok()
    }
}

impl<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>> Node<'_, CHANNELS, S> {
    pub(super) const fn transmit_call(&mut self, _now: Tick, _out: &mut [u8]) -> Option<usize> {
        None
    }
}
