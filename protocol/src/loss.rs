//! Declared holes. A loss record travels and is stored like a reading: nothing is dropped silently.

use serde::{Deserialize, Serialize};

use crate::id::{Origin, SeqRange};

/// Why readings were given up. The codes are wire law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum LossReason {
    /// The board's ring was full.
    RingOverflow = 0,
    /// The agent's queue reached its quota under `drop-oldest`.
    Evicted = 1,
    /// The agent's queue was thinned; summaries stand for the range.
    Thinned = 2,
    /// A stored copy did not pass its checksum, and no other was had.
    Corrupt = 3,
    /// The device ended with readings that nobody had received.
    UncleanTail = 4,
    /// An operator closed the hole.
    WrittenOff = 5,
    /// The cloud had it, and was restored from a backup that is older.
    RolledBack = 6,
    /// An agent had it, and cannot tell what became of it: a block of its queue was damaged, and the cloud does not have it.
    Unaccounted = 7,
}

impl LossReason {
    pub const ALL: [Self; 8] = [
        Self::RingOverflow,
        Self::Evicted,
        Self::Thinned,
        Self::Corrupt,
        Self::UncleanTail,
        Self::WrittenOff,
        Self::RolledBack,
        Self::Unaccounted,
    ];

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::RingOverflow => "ring-overflow",
            Self::Evicted => "evicted",
            Self::Thinned => "thinned",
            Self::Corrupt => "corrupt",
            Self::UncleanTail => "unclean-tail",
            Self::WrittenOff => "written-off",
            Self::RolledBack => "rolled-back",
            Self::Unaccounted => "unaccounted",
        }
    }
}

/// A declared hole in an origin's readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossRecord {
    pub origin: Origin,
    pub range: SeqRange,
    pub reason: LossReason,
}
