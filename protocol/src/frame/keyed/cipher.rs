//! Ascon of NIST SP 800-232: Ascon-AEAD128 closes frames, Ascon-XOF128 derives the keys of sessions. Both are of one small permutation,
//! whose steps take the same time whatever they work on.

use core::{fmt, hint::black_box, str::FromStr};

use super::ascon::{BLOCK, Way, aead128, xof128};
use crate::{WIRE_VERSION, id::DeviceId};

pub const KEY_BYTES: usize = BLOCK;
pub const NONCE_BYTES: usize = BLOCK;
pub(super) const TAG_BYTES: usize = BLOCK;

/// Keeps keys of sessions apart from whatever else a device key may serve one day.
const LABEL: &[u8] = b"tidegate board link";

/// What one end says once only, so that a session is like no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; NONCE_BYTES]);

pub(super) type Tag = [u8; TAG_BYTES];

/// The secret of one device and its gateways.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey([u8; KEY_BYTES]);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key has {digits} hexadecimal digits, not {0}", digits = KEY_BYTES * 2)]
    Length(usize),
    #[error("a key has nothing but the digits 0-9 and a-f")]
    Digit,
    #[error("this key is all zeros, which is no secret")]
    Zeros,
}

impl DeviceKey {
    pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    pub const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub(super) fn session(&self, device: DeviceId, board: Nonce, gateway: Nonce) -> SessionKey {
        // All but the last part are of one length each, so no two inputs run together alike.
        SessionKey(xof128(&[&self.0, LABEL, &[WIRE_VERSION], &board.0, &gateway.0, device.as_bytes()]))
    }
}

impl FromStr for DeviceKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else { return Err(KeyError::Length(digits.len())) };
        let mut key = [0; KEY_BYTES];
        if pairs.len() != key.len() {
            return Err(KeyError::Length(digits.len()));
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(KeyError::Digit);
        for (byte, [high, low]) in key.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
        }
        if key == [0; KEY_BYTES] { Err(KeyError::Zeros) } else { Ok(Self(key)) }
    }
}

/// Never its bytes: they would be in a log.
impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey")
    }
}

#[derive(Clone)]
pub(super) struct SessionKey([u8; KEY_BYTES]);

/// Which way a frame goes: part of its nonce, so that none can be turned round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

fn nonce(direction: Direction, number: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    let (head, tail) = nonce.split_at_mut(8);
    head.fill(direction as u8);
    tail.copy_from_slice(&number.to_le_bytes());
    nonce
}

/// A gateway forgets keys that it needs no more. A board has its own in its flash, and no room for more.
#[cfg(feature = "std")]
mod forgotten {
    use zeroize::Zeroize as _;

    impl Drop for super::DeviceKey {
        fn drop(&mut self) {
            self.0.zeroize();
        }
    }

    impl Drop for super::SessionKey {
        fn drop(&mut self) {
            self.0.zeroize();
        }
    }
}

impl SessionKey {
    /// Enciphers in place and returns the tag. Each number may be used once in each direction.
    pub(super) fn close(&self, direction: Direction, number: u64, body: &mut [u8]) -> Tag {
        aead128(&self.0, &nonce(direction, number), body, Way::Close)
    }

    /// Deciphers in place; false, and the body is gone, where the tag is wrong. The tags are compared in constant time.
    pub(super) fn open(&self, direction: Direction, number: u64, body: &mut [u8], tag: &Tag) -> bool {
        let right = aead128(&self.0, &nonce(direction, number), body, Way::Open);
        let differing =
            right.iter().zip(tag).fold(0, |differing, (right, tag)| black_box(differing | right ^ tag));
        if differing != 0 {
            body.fill(0);
        }
        differing == 0
    }
}
