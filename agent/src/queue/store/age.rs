//! How often the queue was committed, ever. The number is a part of each commit and only rises, so that the cloud, which is told it, knows
//! an older copy of the file by it. It costs nothing: its row is on a page that each commit writes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use heed::RwTxn;
use tidegate_protocol::status::QueueAge;

use super::{Store, Tables};
use crate::queue::records::{self, COMMITS};

/// The age of the queue that is open, for those who tell of it. Never more than is on the disk.
#[derive(Clone, Debug, Default)]
pub struct Age(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// 0: could not be written.
    opened: AtomicU64,
    commits: AtomicU64,
}

impl Age {
    /// None until this process has committed that it opened the queue. Without that an older copy could not be told from a new start.
    pub fn get(&self) -> Option<QueueAge> {
        let opened = self.0.opened.load(Relaxed);
        let commits = self.0.commits.load(Relaxed).max(opened);
        (opened > 0).then_some(QueueAge { opened, commits })
    }

    pub(super) fn is_now(&self, commits: u64) {
        self.0.commits.fetch_max(commits, Relaxed);
    }
}

impl Store {
    pub fn age(&self) -> &Age {
        &self.age
    }

    /// Commits that it was opened. A disk that is full takes blocks from the queue all the same, so that is no reason not to start.
    pub fn count_opening(&self) {
        let count = || -> heed::Result<u64> {
            let tables = self.tables()?;
            let mut txn = self.env.write_txn()?;
            let opened = tables.grow_older(&mut txn)?;
            txn.commit().map(|()| opened)
        };
        match count() {
            Ok(opened) => self.age.0.opened.store(opened, Relaxed),
            Err(error) => tracing::warn!(
                %error,
                "the queue's disk takes nothing; until the next start the cloud is not told how old the queue is"
            ),
        }
    }
}

impl Tables<'_> {
    /// One commit more; says which.
    pub(super) fn grow_older(&self, txn: &mut RwTxn<'_>) -> heed::Result<u64> {
        let before: u64 = self.meta.get(txn, COMMITS)?.and_then(records::unseal).unwrap_or_default();
        let commits = before.saturating_add(1);
        if let Some(sealed) = records::seal(&commits) {
            self.meta.put(txn, COMMITS, &sealed)?;
        }
        Ok(commits)
    }
}
