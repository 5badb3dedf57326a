//! What is durable: journal, ledger, alarm state and events, in LMDB.
//!
//! ```text
//! lmdb      tables of bytes; the only file that names heed
//! keys      keys and values as bytes, the format's version
//! commit    a batch into one transaction
//! journal   what a roll to the lake asks of a store
//! damage    entries that cannot be read any more
//! snapshot  the committed state for the core
//! look      one committed state for those who ask
//! roll      the journal's part of going to the lake
//! retention what leaves because it is old
//! quarantine  what is kept for people to look at
//! summaries what stands for thinned readings
//! seal      origins that have ended, as one row each
//! desired   what is wanted of channels
//! history   alarm history, states on its way, rules
//! alarms    alarms as they stand, and what operators did with them
//! outbox    events that are to be delivered, by receiver
//! migrate   a store of a format before into the present one
//! ```

pub mod alarms;
mod commit;
mod damage;
mod desired;
mod history;
pub mod journal;
pub mod keys;
mod lmdb;
pub mod look;
mod migrate;
pub mod outbox;
pub mod quarantine;
mod retention;
pub mod roll;
mod seal;
mod snapshot;
pub mod summaries;

use std::{io, path::Path, sync::OnceLock};

use tidegate_alarms::AlarmEvent;
use tidegate_service::durable::{Draft, sync_down_to};

use self::lmdb::{Lmdb, Table};
pub use self::look::Look;
use crate::{
    core::{Snapshot, batch::Batch},
    delivery::Filters,
};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store's map is full: raise journal.map_size_bytes, or let the lake take from the journal")]
    Full,
    #[error("the disk is full: free some space; nothing that was acknowledged is lost")]
    DiskFull,
    #[error(
        "word of damage came late: the journal's entry {position} is gone, and its readings are stored elsewhere"
    )]
    Elsewhere { position: u64 },
    #[error("the store is damaged ({0}): stop, keep a copy of the data folder, and restore it from a backup")]
    Damaged(&'static str),
    #[error(
        "the store has format {found}; this program reads format {}: use the program that wrote it",
        keys::FORMAT
    )]
    Format { found: u32 },
    #[error(
        "the store has format {found}, which is older than format {}: start the ingest once, which brings it to that one",
        keys::FORMAT
    )]
    OldFormat { found: u32 },
    #[error("the store is of an older format, or was never finished: start the ingest once")]
    Unfinished,
    #[error("the store's folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    #[error(
        "the disk failed in a write ({0}): check it; what is stored is read anew when the ingest is started again"
    )]
    Disk(String),
    #[error("LMDB: {0}")]
    Lmdb(String),
}

impl StoreError {
    /// There is no room, for now.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full | Self::DiskFull)
    }

    /// After an error of a write nobody knows what the disk kept: only a process that reads it anew does.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Disk(_))
    }
}

/// What a commit did.
#[derive(Debug, Default)]
pub struct Receipt {
    pub used_bytes: u64,
    /// The batch's events that were new, with their cursors.
    pub events: Vec<(u64, AlarmEvent)>,
}

/// What the core's shell needs of a store. The seam along which another one could be put in place.
pub trait Store: Send + Sync + 'static {
    /// The committed state.
    fn snapshot(&self) -> Result<Snapshot, StoreError>;
    /// Writes all of a batch durably, or nothing.
    fn commit(&self, batch: &Batch) -> Result<Receipt, StoreError>;
}

/// The store in LMDB.
pub struct LmdbStore {
    lmdb: Lmdb,
    /// Who is to get what; unset: nobody gets anything.
    filters: OnceLock<Filters>,
}

impl LmdbStore {
    /// Opens the store, or makes a new one; the folder is made where it is missing. A power cut leaves no store that is half made
    /// and can never be opened, and none that is whole in a folder without a name.
    pub fn open(folder: &Path, map_size_bytes: u64) -> Result<Self, StoreError> {
        if let Some(draft) = Draft::of_missing(folder, lmdb::FILE)? {
            Self::open_there(&draft.place(), map_size_bytes)?;
            draft.publish()?;
        }
        // Each time: whoever made it may have been cut off before this.
        sync_down_to(folder)?;
        Self::open_there(folder, map_size_bytes)
    }

    fn open_there(folder: &Path, map_size_bytes: u64) -> Result<Self, StoreError> {
        let store = Self { lmdb: Lmdb::open(folder, map_size_bytes)?, filters: OnceLock::new() };
        store.check_format()?;
        Ok(store)
    }

    /// Opens the store for reading only, also while an ingest runs on it. It is not made, and not brought to another format.
    pub fn open_read_only(folder: &Path) -> Result<Self, StoreError> {
        let store = Self { lmdb: Lmdb::open_read_only(folder)?, filters: OnceLock::new() };
        let found = store.look()?.format()?;
        match found {
            Some(keys::FORMAT) => Ok(store),
            Some(found) if found < keys::FORMAT => Err(StoreError::OldFormat { found }),
            Some(found) => Err(StoreError::Format { found }),
            None => Err(StoreError::Unfinished),
        }
    }

    /// Copies one committed state into a new file.
    pub fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        self.lmdb.copy_to(file)
    }

    /// Bytes of the file, free pages too.
    pub fn file_bytes(&self) -> u64 {
        self.lmdb.file_bytes()
    }

    /// How often the ledger was rolled back, as every acknowledgement says from now on.
    pub fn set_ledger_count(&self, count: u32) -> Result<(), StoreError> {
        let mut writer = self.lmdb.writer()?;
        writer.put(Table::Meta, keys::META_LEDGER, &keys::encode(&count)?)?;
        writer.commit()
    }

    /// Event cursors go on above this number: those below may have been given by a store that this one takes the place of.
    pub fn set_cursor_base(&self, base: u64) -> Result<(), StoreError> {
        let mut writer = self.lmdb.writer()?;
        writer.put(Table::Meta, keys::META_CURSOR_BASE, &keys::number(base))?;
        writer.commit()
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let reader = self.lmdb.reader()?;
        let found = reader.get(Table::Meta, keys::META_FORMAT)?.map(keys::decode::<u32>).transpose()?;
        drop(reader);
        match found {
            Some(keys::FORMAT) => Ok(()),
            Some(1) => migrate::from_1(&self.lmdb),
            Some(2) => migrate::from_2(&self.lmdb),
            Some(3) => migrate::from_3(&self.lmdb),
            Some(4) => migrate::from_4(&self.lmdb),
            Some(5) => migrate::from_5(&self.lmdb),
            Some(found) => Err(StoreError::Format { found }),
            None => {
                let mut writer = self.lmdb.writer()?;
                writer.put(Table::Meta, keys::META_FORMAT, &keys::encode(&keys::FORMAT)?)?;
                writer.commit()
            }
        }
    }

    /// One committed state, to be read at leisure, but not for long: it pins what is deleted meanwhile.
    pub fn look(&self) -> Result<Look<'_>, StoreError> {
        Ok(Look::new(self.lmdb.reader()?))
    }

    pub fn map_size_bytes(&self) -> u64 {
        self.lmdb.map_size_bytes()
    }
}

impl Store for LmdbStore {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        snapshot::read(&self.look()?)
    }

    fn commit(&self, batch: &Batch) -> Result<Receipt, StoreError> {
        let written_bytes = batch.entries.iter().map(|entry| entry.block.len() as u64).sum();
        commit::write(&self.lmdb, batch, self.filters.get()).map_err(|error| match error {
            StoreError::Disk(_) if self.lmdb.has_no_room_for(written_bytes) => StoreError::DiskFull,
            other => other,
        })
    }
}
