//! What the queue holds, read beside a running agent.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use super::{
    QueueError,
    look::{Look, Looker, Table},
    pages::Damage,
    records::{self, EntryHead, MetaRead},
    store::Store,
};
use crate::core::{ENTRY_HEAD_BYTES, OriginRecord, Totals};

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
    let looker = Looker::open(data_dir)?;
    let read = |look: &Look<'_>| -> Result<QueueStats, Damage> {
        let mut stats = QueueStats::default();
        if let MetaRead::Good(meta) = look.meta()? {
            stats.totals = meta.totals;
        }
        stats.entries = look.tree(Table::Queue)?.map_or(0, |tree| tree.entries);
        let mut damaged = Vec::new();
        look.walk(Table::Queue, &[], &mut damaged, &mut |_, data| {
            let (_, head) = look.file.beginning(data, ENTRY_HEAD_BYTES);
            stats.oldest_unix_ms = Some(EntryHead::read(&head).0.unix_ms);
            ControlFlow::Break(())
        });
        stats.origins = look.origins(&mut damaged).into_iter().filter_map(|(_, record)| record).collect();
        damaged.into_iter().next().map_or(Ok(stats), Err)
    };
    let damaged = |damage| QueueError::Damaged { path: data_dir.to_owned(), damage };
    let mut stats = looker.look(read)?.map_err(damaged)?;
    looker.each::<QueueError>(Table::Quarantine, |found| {
        let entry = found.value.ok();
        let reason = entry.as_deref().and_then(records::quarantine_entry);
        let reason = reason.map_or("unreadable".to_owned(), |(reason, _)| reason.reason);
        *stats.quarantined.entry(reason).or_default() += 1;
        Ok(())
    })?;
    Ok(stats)
}
