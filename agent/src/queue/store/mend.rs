//! What only the doctor writes. The same transactions as the agent's, with what an agent never has to put right.

use std::path::Path;

use heed::CompactionOption;

use super::{Store, Tables};
use crate::{
    core::{Batch, Key},
    queue::{
        QueueError,
        records::{self, EntryHead},
    },
};

/// One transaction. Nothing of it is done if any of it fails.
#[derive(Clone, Debug, Default)]
pub struct Mend {
    /// As the agent would commit it; the queue's totals after everything here.
    pub batch: Batch,
    /// Blocks with their heads, under keys that ascend from what the queue has.
    pub entries: Vec<(Key, EntryHead, Vec<u8>)>,
    /// Blocks whose head alone is wrong.
    pub heads: Vec<(Key, EntryHead)>,
    /// Entries for the quarantine as they are, reason and all.
    pub quarantined: Vec<(Key, Vec<u8>)>,
    /// Entries that leave the quarantine.
    pub released: Vec<Key>,
    /// What the table `meta` has beside the totals, as it is.
    pub beside_totals: Vec<(String, Vec<u8>)>,
    /// Keys of origins whose records cannot be read.
    pub origins_beyond_reading: Vec<Vec<u8>>,
}

impl Store {
    pub fn mend(&self, mend: &Mend) -> Result<(), QueueError> {
        let write = || -> heed::Result<()> {
            let tables = self.tables()?;
            let mut txn = self.env.write_txn()?;
            tables.mend(&mut txn, mend)?;
            txn.commit()
        };
        write().map_err(|error| self.refused(&error))
    }

    /// Writes all that is in use into a file of its own, without what is free. The file is synced.
    pub fn copy_compacted(&self, target: &Path) -> Result<(), QueueError> {
        let copied = self.env.copy_to_path(target, CompactionOption::Enabled);
        let file = copied.map_err(|error| self.refused(&error))?;
        file.sync_all().map_err(|error| QueueError::Unreadable { path: target.to_owned(), error })
    }

    /// Closes the file; false when someone in this process still has it.
    pub fn close(self) -> bool {
        let closing = self.env.prepare_for_closing();
        closing.wait_timeout(std::time::Duration::from_secs(10))
    }

    fn refused(&self, error: &heed::Error) -> QueueError {
        QueueError::Open { path: self.env.path().to_owned(), error: error.to_string() }
    }
}

impl Tables<'_> {
    fn mend(&self, txn: &mut heed::RwTxn<'_>, mend: &Mend) -> heed::Result<()> {
        let mut scratch = Vec::new();
        for key in &mend.origins_beyond_reading {
            self.origins.delete(txn, key)?;
        }
        for (key, head) in &mend.heads {
            let block = self.queue.get(txn, key)?.map(|entry| EntryHead::read(entry).1.to_vec());
            if let Some(block) = block {
                head.write(&block, &mut scratch);
                self.queue.put(txn, key, &scratch)?;
            }
        }
        self.apply(txn, &mend.batch, &mut scratch)?;
        let mut meta = self.meta(txn)?;
        for (key, head, block) in &mend.entries {
            self.put(txn, &mut meta, *key, *head, block, &mut scratch)?;
        }
        for (key, value) in &mend.quarantined {
            self.quarantine.put(txn, key, value)?;
            meta.next_quarantined = meta.next_quarantined.max(key + 1);
        }
        for (key, value) in &mend.beside_totals {
            self.meta.put(txn, key, value)?;
        }
        for key in &mend.released {
            self.quarantine.delete(txn, key)?;
        }
        match records::seal(&meta) {
            Some(sealed) => self.meta.put(txn, records::META, &sealed),
            None => Ok(()),
        }
    }
}
