//! The two modes of Ascon (NIST SP 800-232) that the board link uses, byte by byte over the one permutation of `ascon-core`.
//!
//! The crates `ascon-aead` and `ascon-hash` serve every use there is, and take 1.5 KB more of a board's flash than these few: tests hold them equal.
//! No step here depends on what is secret, but for lengths, which are not.

use ascon_core::State;

pub(super) const BLOCK: usize = 16;
const AEAD128: u64 = 0x0000_1000_808c_0001;
const XOF128: u64 = 0x0000_0800_00cc_0003;

fn words(bytes: &[u8; BLOCK]) -> [u64; 2] {
    let bits = u128::from_le_bytes(*bytes);
    [bits as u64, (bits >> 64) as u64]
}

fn block([low, high]: [u64; 2]) -> [u8; BLOCK] {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

/// Where in the state a byte of the rate is: which word, and how far up in it.
const fn place(at: usize) -> (usize, u32) {
    (if at < 8 { 0 } else { 1 }, (at as u32 & 7) * 8)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Close,
    Open,
}

/// Ascon-AEAD128 without associated data: enciphers or deciphers in place, and returns the tag that belongs to it.
pub(super) fn aead128(key: &[u8; BLOCK], nonce: &[u8; BLOCK], body: &mut [u8], way: Way) -> [u8; BLOCK] {
    let ([k0, k1], [n0, n1]) = (words(key), words(nonce));
    let mut state = State::new(AEAD128, k0, k1, n0, n1);
    state.permute_n(12);
    state[3] ^= k0;
    // The high bit ends the associated data, of which there is none.
    state[4] ^= k1 ^ 1 << 63;
    let mut at = 0;
    for byte in body {
        let (word, shift) = place(at);
        let other = *byte ^ (state[word] >> shift) as u8;
        let plain = if way == Way::Close { *byte } else { other };
        state[word] ^= u64::from(plain) << shift;
        *byte = other;
        at += 1;
        if at == BLOCK {
            state.permute_n(8);
            at = 0;
        }
    }
    let (word, shift) = place(at);
    state[word] ^= 1 << shift;
    state[2] ^= k0;
    state[3] ^= k1;
    state.permute_n(12);
    block([state[3] ^ k0, state[4] ^ k1])
}

/// The first 16 bytes of Ascon-XOF128 over all parts, one behind the other.
pub(super) fn xof128(parts: &[&[u8]]) -> [u8; BLOCK] {
    let mut state = State::new(XOF128, 0, 0, 0, 0);
    let mut at = 8;
    for byte in parts.iter().copied().flatten() {
        if at == 8 {
            state.permute_n(12);
            at = 0;
        }
        state[0] ^= u64::from(*byte) << (at * 8);
        at += 1;
    }
    if at == 8 {
        state.permute_n(12);
        at = 0;
    }
    state[0] ^= 1 << (at * 8);
    state.permute_n(12);
    let low = state[0];
    state.permute_n(12);
    block([low, state[0]])
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use ascon_aead::{
        AsconAead128,
        aead::{AeadInOut, KeyInit},
    };
    use ascon_hash::{AsconXof128, ExtendableOutput, Update, XofReader};

    use super::*;

    /// Bytes without a pattern, others for each salt.
    fn bytes(salt: u64, len: usize) -> Vec<u8> {
        let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn sixteen(salt: u64) -> [u8; BLOCK] {
        bytes(salt, BLOCK).try_into().unwrap()
    }

    #[test]
    fn frames_are_closed_and_opened_as_by_the_ascon_aead_crate() {
        for len in (0..200).chain([1_023, 1_024, 2_048]) {
            let salt = len as u64;
            let (key, nonce, plain) = (sixteen(salt + 1_000), sixteen(salt + 5_000), bytes(salt, len));
            let mut theirs = plain.clone();
            let cipher = AsconAead128::new(&key.into());
            let their_tag =
                cipher.encrypt_inout_detached(&nonce.into(), &[], theirs.as_mut_slice().into()).unwrap();
            let mut ours = plain.clone();
            let tag = aead128(&key, &nonce, &mut ours, Way::Close);
            assert_eq!((&ours, &tag[..]), (&theirs, &their_tag[..]), "{len}");
            assert_eq!(aead128(&key, &nonce, &mut ours, Way::Open), tag, "{len}");
            assert_eq!(ours, plain);
        }
    }

    #[test]
    fn keys_are_derived_as_by_the_ascon_hash_crate() {
        for len in 0..100 {
            let (head, tail) = (bytes(len, len as usize), bytes(len + 1_000, (len as usize * 7) % 23));
            let mut theirs = [0; BLOCK];
            let mut xof = AsconXof128::default();
            xof.update(&head);
            xof.update(&tail);
            xof.finalize_xof().read(&mut theirs);
            assert_eq!(xof128(&[&head, &tail]), theirs, "{len}");
        }
    }
}
