//! A gateway's birth and last will: retained JSON on its `status` topic.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// The longest status message that is read.
pub const MAX_STATUS_BYTES: usize = 4096;

/// What a gateway says of itself when it connects, when its certificate was renewed and every few hours, and the broker on its behalf
/// when it vanishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    pub online: bool,
    /// The agent's version.
    pub version: String,
    /// The agent's process start, 16 hexadecimal digits: block numbers count within it.
    pub epoch: String,
    /// Unix milliseconds when it said so, by the gateway's own clock.
    pub since_unix_ms: i64,
    /// When the certificate ends that it will show the broker next, in Unix seconds; absent where it shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires_unix_s: Option<i64>,
    /// How old its queue is; absent where nothing can be committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueAge>,
}

/// A queue's age, in commits since it was made: it only rises, so a queue that is younger than it was is another one, or an older
/// copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAge {
    /// The commit by which this process opened it: above all that a process before it said.
    pub opened: u64,
    /// The latest commit.
    pub commits: u64,
}
