//! Names and numbers: who measured a reading, and which of its readings it is.

use core::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest slug and channel name, in bytes.
pub const MAX_NAME: usize = 32;

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name has 1 to {MAX_NAME} characters")]
    Length,
    #[error("a name may hold only {allowed}")]
    Character { allowed: &'static str },
}

/// A short text held in place: no heap, cheap to copy, ordered as its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name {
    // Unused bytes stay zero, so that the derived order and equality are those of the text.
    bytes: [u8; MAX_NAME],
    len: u8,
}

impl Name {
    fn new(text: &str, allowed: fn(u8) -> bool, says: &'static str) -> Result<Self, NameError> {
        let source = text.as_bytes();
        let mut bytes = [0; MAX_NAME];
        match bytes.get_mut(..source.len()) {
            Some(target) if !source.is_empty() => target.copy_from_slice(source),
            _ => return Err(NameError::Length),
        }
        if !source.iter().copied().all(allowed) {
            return Err(NameError::Character { allowed: says });
        }
        Ok(Self { bytes, len: source.len() as u8 })
    }

    fn as_str(&self) -> &str {
        // Only ASCII passes `new`, so this never falls back.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

fn slug_character(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'
}

fn channel_character(c: u8) -> bool {
    slug_character(c) || c == b'_' || c == b'.'
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $allowed:ident, $says:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Name);

        impl $name {
            pub fn new(text: &str) -> Result<Self, NameError> {
                Name::new(text, $allowed, $says).map(Self)
            }

            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// Those of [`Self::as_str`]; a look whether they are UTF-8 costs a Cortex-M0 four hundred bytes.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// Of [`Self::as_str`].
            pub const fn byte_len(&self) -> usize {
                self.0.len as usize
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.serialize_str(self.as_str());
                }
                // The same on the wire; a look whether it is UTF-8 costs a Cortex-M0 four hundred bytes.
                serializer.serialize_bytes(self.0.as_bytes())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "a name of 1 to {MAX_NAME} characters, {}", $says)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

name_type!(
    /// A sensor board, or a local source that the agent polls: a slug `[a-z0-9-]`, 1 to 32.
    DeviceId,
    slug_character,
    "a-z, 0-9 and -"
);
name_type!(
    /// A group of gateways that may hear the same devices: a slug.
    SiteId,
    slug_character,
    "a-z, 0-9 and -"
);
name_type!(
    /// The machine that runs an agent: a slug.
    GatewayId,
    slug_character,
    "a-z, 0-9 and -"
);
name_type!(
    /// One measured quantity of a device, by its name for ever: `[a-z0-9_.-]`, 1 to 32.
    ChannelName,
    channel_character,
    "a-z, 0-9, -, _ and ."
);

/// A channel's small index, valid within one boot of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChannelIndex(pub u8);

/// One incarnation of a device. Never used twice; written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub u64);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for BootId {
    fn format(&self, to: defmt::Formatter<'_>) {
        defmt::write!(to, "{=u64:016x}", self.0);
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for BootId {
    type Err = core::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A sign is no digit.
        let digits = if text.starts_with('+') { "+" } else { text };
        u64::from_str_radix(digits, 16).map(Self)
    }
}

impl BootId {
    pub const fn tag(self) -> BootTag {
        BootTag(((self.0 >> 32) as u32 ^ self.0 as u32).to_le_bytes())
    }
}

/// A boot's halves, folded, as frames of a board carry it: four bytes tell the boots apart that one line may have on its
/// way at the same time, whether they are random or counted. What is stored names the whole boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTag(pub [u8; 4]);

/// A reading's number within its origin: 0, 1, 2 … without holes when measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A half-open range of sequence numbers, `start..end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SeqRange {
    pub start: u64,
    pub end: u64,
}

impl SeqRange {
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    pub const fn contains(&self, seq: u64) -> bool {
        self.start <= seq && seq < self.end
    }

    /// What both hold; empty when they do not meet.
    pub fn intersection(&self, other: Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }
}

impl From<Range<u64>> for SeqRange {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl fmt::Debug for SeqRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Display for SeqRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Who numbered a reading, within one site: a device in one of its boots. The site is not said here; it comes
/// from the authorised topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    pub device: DeviceId,
    pub boot: BootId,
}

impl Origin {
    pub const fn new(device: DeviceId, boot: BootId) -> Self {
        Self { device, boot }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.boot)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_checked() {
        assert_eq!(DeviceId::new("board-7").map(|d| d.as_str().len()), Ok(7));
        assert_eq!(DeviceId::new(""), Err(NameError::Length));
        assert_eq!(DeviceId::new("a234567890123456789012345678901234"), Err(NameError::Length));
        for bad in ["Board", "a/b", "a+b", "a#b", "a b", "ä", "a.b"] {
            assert!(matches!(DeviceId::new(bad), Err(NameError::Character { .. })), "{bad} passed");
        }
        assert!(ChannelName::new("cpu.load_1").is_ok());
    }

    #[test]
    fn names_order_as_text() {
        let id = |text| DeviceId::new(text).unwrap();
        assert!(id("a") < id("aa") && id("aa") < id("ab") && id("a-9") < id("a0"));
    }

    #[test]
    fn ranges_intersect() {
        assert_eq!(SeqRange::new(2, 9).intersection(SeqRange::new(5, 12)), SeqRange::new(5, 9));
        assert!(SeqRange::new(2, 4).intersection(SeqRange::new(4, 6)).is_empty());
        assert_eq!(SeqRange::new(4, 2).len(), 0);
    }
}
