//! What a device declares that it measures.

use serde::{Deserialize, Serialize};

use crate::id::ChannelName;

/// How a channel's values are represented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum ValueKind {
    Bool = 0,
    /// A scaled integer; the declaration's `scale` says how many decimals it has.
    Decimal = 1,
    F32 = 2,
    F64 = 3,
}

impl ValueKind {
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Bool),
            1 => Some(Self::Decimal),
            2 => Some(Self::F32),
            3 => Some(Self::F64),
            _ => None,
        }
    }
}

/// A channel as a device declares it when it says hello; its place in the declaration is its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelDecl<U> {
    pub name: ChannelName,
    /// SenML unit (RFC 8428, RFC 8798), at most [`crate::unit::MAX_UNIT`] bytes.
    pub unit: U,
    pub kind: ValueKind,
    /// Decimals of a [`ValueKind::Decimal`] channel; 0 otherwise.
    pub scale: u8,
}
