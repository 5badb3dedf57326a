//! Stable hashes: FNV-1a, 128 bits, over parts that are each prefixed by their length. Not against an adversary; only
//! so that the same thing has the same name on every machine and after every replay.

use alloc::{format, string::String};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// FNV-1a with 128 bits (draft-eastlake-fnv).
#[derive(Clone, Debug)]
pub(crate) struct Digest(u128);

impl Digest {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    /// `purpose` keeps digests of different things apart.
    pub fn new(purpose: &str) -> Self {
        Self(Self::OFFSET).text(purpose)
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(Self::PRIME)))
    }

    pub fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).bytes(text.as_bytes())
    }

    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    pub fn float(self, float: f64) -> Self {
        self.number(float.to_bits())
    }

    pub fn finish(&self) -> u128 {
        self.0
    }
}

macro_rules! hex_type {
    ($(#[$doc:meta])* $name:ident, $integer:ty, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $integer);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!(concat!("{:0", $width, "x}"), self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = core::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                // A sign is no digit.
                let digits = if text.starts_with('+') { "+" } else { text };
                <$integer>::from_str_radix(digits, 16).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_type!(
    /// What names an event, or an occurrence (by its raise): the same after any replay. 32 hexadecimal digits.
    EventId,
    u128,
    32
);
hex_type!(
    /// A rule's content, hashed: it changes whenever anything the rule says changes. 16 hexadecimal digits.
    Revision,
    u64,
    16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // Test vectors of FNV-1a 128.
        assert_eq!(Digest(Digest::OFFSET).bytes(b"a").finish(), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn moving_a_letter_between_parts_changes_the_digest() {
        let one = Digest::new("test").text("ab").text("c").finish();
        let other = Digest::new("test").text("a").text("bc").finish();
        assert_ne!(one, other);
    }

    #[test]
    fn ids_are_written_with_all_their_digits() {
        assert_eq!(serde_json::to_string(&Revision(0xab)).unwrap(), "\"00000000000000ab\"");
        let id = EventId(0x1f << 100);
        assert_eq!(serde_json::from_str::<EventId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    /// Found by fuzzing.
    #[test]
    fn a_sign_is_no_digit_of_an_id() {
        assert_eq!("1f".parse::<EventId>().unwrap(), EventId(0x1f));
        for wrong in ["+1f", "-1f", "", "+", "0x1f", "1 f"] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
    }
}
