//! The board link under a key that one device and its gateways know, and nobody else.
//!
//! ```text
//! exchange  Call and Challenge: both ends come to a session
//! session   frames of it, closed and opened
//! cipher    how keys are derived, and how a frame is closed
//! ascon     the cipher and the hash of that, on one permutation
//! ```
//!
//! ```text
//! board                                              gateway
//!   Call: device, nonce N                        ─▶  looks up the device's key K
//!   Ks = XOF(K, N, M, device), checks the proof  ◀─  Challenge: nonce M, proof = an empty frame under Ks
//!   Hello under Ks                               ─▶  opens it: the board has K too
//!   opens it                                     ◀─  Welcome under Ks, and so on: every frame of both
//! ```
//!
//! What a session's key is made from is of both ends and never comes again, so nothing of one session is a frame of another, or
//! of another device. Each direction numbers its frames; a receiver takes a frame only under a higher number than any before, so what is
//! damaged or lost leaves a gap, and what is repeated is refused. A frame that does not open changes nothing.
//!
//! A board needs no random numbers: its nonce is its boot, which is never used twice, and how often it has called in it. That suffices,
//! since a gateway's frames of a session exist only once its board has called with that nonce, and a board uses each once.

mod ascon;
mod cipher;
mod exchange;
mod session;

pub use cipher::{DeviceKey, KEY_BYTES, KeyError, NONCE_BYTES, Nonce};
pub use exchange::{Call, Challenge};
pub use session::Session;

use super::{
    Down, FrameError, MAX_DOWN_FRAME, MAX_FRAME, Up,
    codec::{CLEAR, down_of, form, signed, up_of},
};

/// Added to the wire's version in a frame's first byte: this frame is part of the exchange.
const EXCHANGE: u8 = 0x40;
/// The same: this frame is under a session's key.
const KEYED: u8 = 0x80;

/// What a frame under a key has more than the same in clear: its number, and its tag.
pub const KEYED_BYTES: usize = 10 + cipher::TAG_BYTES;
/// The longest raw frame under a key.
pub const MAX_KEYED_FRAME: usize = MAX_FRAME + KEYED_BYTES;
/// The longest stuffed down frame under a key.
pub const MAX_KEYED_DOWN_FRAME: usize = MAX_DOWN_FRAME + KEYED_BYTES + 2;

/// A frame as it came, its checksum found right.
#[derive(Debug)]
pub enum Envelope<'a> {
    /// A frame in clear: its body.
    Clear(&'a [u8]),
    /// A Call or a Challenge.
    Exchange(&'a [u8]),
    /// Under a key: its number, the closed body and the tag. [`Session::open`] opens it.
    Keyed(&'a mut [u8]),
}

impl<'a> Envelope<'a> {
    /// Reads a stuffed frame (without its zero) in place.
    pub fn read(stuffed: &'a mut [u8]) -> Result<Self, FrameError> {
        let (&mut first, body) =
            signed(stuffed, MAX_KEYED_FRAME)?.split_first_mut().ok_or(FrameError::Body)?;
        match form(first)? {
            CLEAR if body.len() + 5 > MAX_FRAME => Err(FrameError::TooLong),
            CLEAR => Ok(Self::Clear(body)),
            EXCHANGE => Ok(Self::Exchange(body)),
            KEYED => Ok(Self::Keyed(body)),
            _ => Err(FrameError::Body),
        }
    }
}

/// Reads the body of a frame from a board, in clear or opened.
pub fn decode_up_body(body: &[u8]) -> Result<Up<'_>, FrameError> {
    up_of(body)
}

/// Reads the body of a frame to a board, in clear or opened.
pub fn decode_down_body(body: &[u8]) -> Result<Down, FrameError> {
    down_of(body)
}
