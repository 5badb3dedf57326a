//! What the queue holds, read beside a running agent.

use std::{collections::BTreeMap, path::Path};

use super::{QueueError, folder, store::Store};
use crate::core::{OriginRecord, Totals};

#[derive(Clone, Debug, Default)]
pub struct QueueStats {
    pub totals: Totals,
    /// Blocks counted one by one; the same as the totals say, or something is wrong.
    pub entries: u64,
    pub oldest_unix_ms: Option<i64>,
    /// Blocks by the reason they are in the quarantine for.
    pub quarantined: QuarantineView,
    pub origins: Vec<OriginRecord>,
}

/// How many blocks are in the quarantine, by reason.
pub type QuarantineView = BTreeMap<String, u64>;

/// Reads the open queue; a page of the agent itself.
#[derive(Clone)]
pub struct QueueReader(pub(super) Store);

impl QueueReader {
    /// When the oldest block was committed; none when there is none, or it cannot be read.
    pub fn oldest_unix_ms(&self) -> Option<i64> {
        self.0.oldest_unix_ms().ok().flatten()
    }

    pub fn quarantine(&self) -> QuarantineView {
        self.0.quarantine().unwrap_or_default()
    }
}

/// Reads the queue of a data folder; a running agent does not notice.
pub fn read(data_dir: &Path) -> Result<QueueStats, QueueError> {
    Store::stats(&folder(data_dir))
}
