//! What is kept of a delivery.

use serde::{Deserialize, Serialize};

/// A delivery that is waiting, or parked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    pub state: RowState,
    pub queued_unix_ms: i64,
    /// It tells of an occurrence that had ended when it was learned.
    pub over: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub due_unix_ms: i64,
    pub last_error: Option<String>,
    /// The digest that it leaves with: what is sent again must be the same message.
    pub digest: Option<Digest>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowState {
    #[default]
    Waiting,
    Parked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The cursor of its first event.
    pub first: u64,
    pub reason: Reason,
}

/// Why several events come as one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// They were over when they were learned.
    Late,
    /// There were too many to be read one by one.
    Flood,
    /// They came in quiet hours.
    QuietHours,
}
