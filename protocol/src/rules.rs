//! Alarm rules on their way to gateways, and what gateways make of readings by them.
//!
//! The ingest *offers* rules by their name: an edition and a checksum. A gateway that has others asks for them from a byte on,
//! gets them in parts, and says when they are in force, which is when they are committed. What the rules say is the document
//! of `tidegate_alarms::document`; here it is bytes.
//!
//! A gateway's *verdicts* are what is active by its own evaluation. They are numbered within a process of the agent, so that
//! a lost one is noticed; an account begins with a whole one.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    frame::crc::crc32c,
    id::{BootId, ChannelName, DeviceId, Seq},
    sealed::{SealError, seal, unseal, unseal_counted},
};

/// The largest document of rules, in bytes.
pub const MAX_RULES_BYTES: usize = 1024 * 1024;
/// The most bytes of it in one part.
pub const MAX_RULES_PART: usize = 32 * 1024;
/// How many verdicts one message holds at most.
pub const MAX_VERDICTS: usize = 128;
/// The longest name of a rule, in bytes.
pub const MAX_RULE_NAME: usize = 64;
/// The largest message of any kind here, in bytes.
pub const MAX_RULES_MESSAGE: usize = 40 * 1024;

/// Which rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RulesName {
    /// Counts up with every change. After a restore of the cloud it may be used again.
    pub edition: u64,
    /// CRC-32C of the document.
    pub checksum: u32,
}

impl RulesName {
    pub fn of(edition: u64, document: &[u8]) -> Self {
        Self { edition, checksum: crc32c(document) }
    }
}

/// From the ingest to a gateway, on `…/down/rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RulesDown {
    /// These are to be in force. Answered each time.
    Offer { name: RulesName, bytes: u32 },
    /// Bytes of the document from `at` on.
    Part { name: RulesName, at: u32, part: Vec<u8> },
}

/// From a gateway to the ingest, on `…/up/rules`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesUp {
    pub name: RulesName,
    pub answer: RulesAnswer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RulesAnswer {
    /// The document is to be sent from this byte on.
    Wanting { from: u32 },
    /// Committed, and what readings are judged by.
    InForce,
    /// It has them, and they are not on its disk yet.
    Held,
    /// It cannot be read: of another version, or more than this gateway takes.
    Unreadable,
    /// This gateway keeps rules of its own.
    Declined,
}

impl RulesAnswer {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wanting { .. } => "wanting",
            Self::InForce => "in-force",
            Self::Held => "held",
            Self::Unreadable => "unreadable",
            Self::Declined => "declined",
        }
    }

    /// Asking again brings nothing else.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::InForce | Self::Unreadable | Self::Declined)
    }
}

/// From a gateway to the ingest, on `…/up/verdicts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    pub verdicts: Vec<Verdict>,
    /// Of the agent's process.
    pub epoch: u64,
    /// One more than that of the message before.
    pub number: u64,
    /// What was said before holds no more.
    pub begins: bool,
}

/// Where a rule stands on a channel, by the gateway's own evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: String,
    /// What raised it; none: it is active no more.
    pub raised: Option<VerdictRaise>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictRaise {
    /// Of the rule.
    pub revision: u64,
    pub boot: BootId,
    /// The reading at which it was raised.
    pub seq: Seq,
    /// The onset, by the gateway's clock.
    pub since_unix_ms: i64,
}

impl RulesDown {
    pub fn encode(&self) -> Result<Vec<u8>, SealError> {
        seal(self, MAX_RULES_MESSAGE)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        let down: Self = unseal(bytes, MAX_RULES_MESSAGE)?;
        match &down {
            Self::Offer { bytes, .. } if *bytes as usize > MAX_RULES_BYTES => Err(SealError::Malformed),
            Self::Part { part, at, .. }
                if part.is_empty()
                    || part.len() > MAX_RULES_PART
                    || *at as usize + part.len() > MAX_RULES_BYTES =>
            {
                Err(SealError::Malformed)
            }
            _ => Ok(down),
        }
    }

    /// The part of a document that begins at `from`, if that is within.
    pub fn part_of(name: RulesName, document: &[u8], from: u32) -> Option<Self> {
        let rest = document.get(from as usize..).filter(|rest| !rest.is_empty())?;
        let part = rest.get(..MAX_RULES_PART).unwrap_or(rest);
        Some(Self::Part { name, at: from, part: part.to_vec() })
    }
}

impl RulesUp {
    pub fn encode(&self) -> Result<Vec<u8>, SealError> {
        seal(self, MAX_RULES_MESSAGE)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        unseal(bytes, MAX_RULES_MESSAGE)
    }
}

impl Verdicts {
    pub fn encode(&self) -> Result<Vec<u8>, SealError> {
        if self.verdicts.len() > MAX_VERDICTS {
            return Err(SealError::TooMany(MAX_VERDICTS as u64));
        }
        self.check()?;
        seal(self, MAX_RULES_MESSAGE)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        let verdicts: Self = unseal_counted(bytes, MAX_RULES_MESSAGE, MAX_VERDICTS)?;
        verdicts.check()?;
        Ok(verdicts)
    }

    fn check(&self) -> Result<(), SealError> {
        let is_sound = |verdict: &Verdict| !verdict.rule.is_empty() && verdict.rule.len() <= MAX_RULE_NAME;
        if self.verdicts.iter().all(is_sound) { Ok(()) } else { Err(SealError::Malformed) }
    }
}
