//! What a roll to the lake asks of a store, and the LMDB store's answer: the seam along which rolls are explored without a
//! disk.

use std::{collections::BTreeSet, sync::Arc};

use tidegate_protocol::{Reading, block::Description};

use super::{
    LmdbStore, Look, StoreError,
    keys::{self, IndexEntry, Intent, LakeFile},
    lmdb::{Table, Writer},
    look::Owner,
};
use crate::core::batch::{Accepted, Damaged, EntryHead, OriginNo};

/// Sees one journal entry: its position, its head unless that is damaged, its block. Says whether there may be more.
pub type SeeEntry<'f> = dyn FnMut(u64, Option<EntryHead>, &[u8]) -> Result<bool, StoreError> + 'f;

pub trait Journal {
    type Look<'j>: JournalLook
    where
        Self: 'j;
    type Writer<'j>: JournalWriter
    where
        Self: 'j;

    fn look(&self) -> Result<Self::Look<'_>, StoreError>;
    fn writer(&self) -> Result<Self::Writer<'_>, StoreError>;
}

/// One committed state.
pub trait JournalLook {
    /// The roll that was begun and not ended.
    fn intent(&self) -> Result<Option<Intent>, StoreError>;
    /// Entries from a position on, ascending.
    fn entries(&self, from: u64, each: &mut SeeEntry<'_>) -> Result<(), StoreError>;
    fn owner(&self, no: OriginNo) -> Result<Option<Owner>, StoreError>;
    fn description(&self, no: OriginNo) -> Result<Option<Description>, StoreError>;
    /// The index's row of a run.
    fn run_at(&self, no: OriginNo, start: u64) -> Result<Option<IndexEntry>, StoreError>;
    fn journal_bytes(&self) -> Result<u64, StoreError>;
    fn used_bytes(&self) -> Result<u64, StoreError>;
    /// What entries that cannot be read were to hold.
    fn damage_at(&self, positions: &BTreeSet<u64>) -> Result<Vec<Damaged>, StoreError>;
}

/// One transaction: nothing of it is there before its commit.
pub trait JournalWriter {
    fn put_intent(&mut self, intent: &Intent) -> Result<(), StoreError>;
    /// How many entries an intent speaks of.
    fn count_entries(&self, intent: &Intent) -> Result<u64, StoreError>;
    fn delete_run(&mut self, run: &Accepted) -> Result<(), StoreError>;
    fn put_run(&mut self, no: OriginNo, start: u64, run: &IndexEntry) -> Result<(), StoreError>;
    fn put_file(&mut self, file: &LakeFile) -> Result<(), StoreError>;
    /// The newest readings per channel among those in the lake.
    fn latest(&self, no: OriginNo) -> Result<Vec<Reading>, StoreError>;
    fn put_latest(&mut self, no: OriginNo, readings: &[Reading]) -> Result<(), StoreError>;
    /// The entries go, and the intent.
    fn trim(&mut self, intent: &Intent) -> Result<(), StoreError>;
    /// Says how many bytes are in use then.
    fn commit(self) -> Result<u64, StoreError>;
}

impl Journal for Arc<LmdbStore> {
    type Look<'j> = Look<'j>;
    type Writer<'j> = Writer<'j>;

    fn look(&self) -> Result<Look<'_>, StoreError> {
        LmdbStore::look(self)
    }

    fn writer(&self) -> Result<Writer<'_>, StoreError> {
        self.lmdb.writer()
    }
}

impl JournalLook for Look<'_> {
    fn intent(&self) -> Result<Option<Intent>, StoreError> {
        Look::intent(self)
    }

    fn entries(&self, from: u64, each: &mut SeeEntry<'_>) -> Result<(), StoreError> {
        self.journal_as_it_is(from, each)
    }

    fn owner(&self, no: OriginNo) -> Result<Option<Owner>, StoreError> {
        Look::owner(self, no)
    }

    fn description(&self, no: OriginNo) -> Result<Option<Description>, StoreError> {
        Look::description(self, no)
    }

    fn run_at(&self, no: OriginNo, start: u64) -> Result<Option<IndexEntry>, StoreError> {
        self.reader().get(Table::Index, &keys::index(no, start))?.map(keys::decode).transpose()
    }

    fn journal_bytes(&self) -> Result<u64, StoreError> {
        Look::journal_bytes(self)
    }

    fn used_bytes(&self) -> Result<u64, StoreError> {
        Look::used_bytes(self)
    }

    fn damage_at(&self, positions: &BTreeSet<u64>) -> Result<Vec<Damaged>, StoreError> {
        Look::damage_at(self, positions)
    }
}

impl JournalWriter for Writer<'_> {
    fn put_intent(&mut self, intent: &Intent) -> Result<(), StoreError> {
        self.put(Table::Meta, keys::META_INTENT, &keys::encode(intent)?)
    }

    fn count_entries(&self, intent: &Intent) -> Result<u64, StoreError> {
        let mut entries = 0;
        for pair in self.scan(Table::Journal, &keys::number(intent.from))? {
            if keys::read_number(pair?.0)? >= intent.to {
                break;
            }
            entries += 1;
        }
        Ok(entries)
    }

    fn delete_run(&mut self, run: &Accepted) -> Result<(), StoreError> {
        self.delete(Table::Index, &keys::index(run.origin, run.range.start)).map(|_| ())
    }

    fn put_run(&mut self, no: OriginNo, start: u64, run: &IndexEntry) -> Result<(), StoreError> {
        self.put(Table::Index, &keys::index(no, start), &keys::encode(run)?)
    }

    fn put_file(&mut self, file: &LakeFile) -> Result<(), StoreError> {
        self.put(Table::LakeFiles, &keys::number(file.from), &keys::encode(file)?)
    }

    fn latest(&self, no: OriginNo) -> Result<Vec<Reading>, StoreError> {
        self.get(Table::Latest, &keys::origin(no))?.map_or(Ok(Vec::new()), keys::decode)
    }

    fn put_latest(&mut self, no: OriginNo, readings: &[Reading]) -> Result<(), StoreError> {
        self.put(Table::Latest, &keys::origin(no), &keys::encode(&readings)?)
    }

    fn trim(&mut self, intent: &Intent) -> Result<(), StoreError> {
        self.delete_range(Table::Journal, &keys::number(intent.from), &keys::number(intent.to))?;
        self.delete(Table::Meta, keys::META_INTENT).map(|_| ())
    }

    fn commit(self) -> Result<u64, StoreError> {
        let used_bytes = self.used_bytes()?;
        Writer::commit(self)?;
        Ok(used_bytes)
    }
}
