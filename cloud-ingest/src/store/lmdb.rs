//! LMDB as a set of named tables of bytes. The only file that names heed.
//!
//! Commits sync fully: no WRITE_MAP (a full disk would be a SIGBUS), no NO_SYNC, no NO_META_SYNC (the last commit could be
//! lost after it was acknowledged). One thread writes; readers each see one committed state.

#![expect(unsafe_code, reason = "opening a memory map is unsafe: nobody else may change the file")]

use std::{fs::File, io::ErrorKind, ops::Bound, path::Path};

use heed::{
    CommitOrAbort, CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, MdbError, PutFlags, RoTxn,
    RwTxn, WithoutTls, types::Bytes,
};

use super::StoreError;

/// Readers at one time: threads that answer questions, the settling and verifying thread, the lake.
const MAX_READERS: u32 = 600;
/// As LMDB names it.
pub const FILE: &str = "data.mdb";
/// See [`Lmdb::has_no_room_for`].
const SLACK_BYTES: u64 = 1024 * 1024;
/// The map grows in steps of a page.
const PAGE_BYTES: usize = 4096;

type Raw = Database<'static, Bytes, Bytes>;

/// Keys are big-endian where they are numbers, so that they sort as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Text key; see `keys`.
    Meta,
    /// position u64 → head length u32, head (postcard), raw block
    Journal,
    /// origin u32 → OriginRecord (postcard)
    Origins,
    /// origin u32 → Description (postcard)
    Descriptions,
    /// origin u32, first seq u64 → IndexEntry (postcard)
    Index,
    /// site, 0, gateway → GatewayRecord (postcard)
    Gateways,
    /// u64 → Quarantined (postcard)
    Quarantine,
    /// cursor u64 → AlarmEvent (JSON)
    Events,
    /// event id u128 → cursor u64
    EventIds,
    /// site, 0, device, 0, channel, 0, rule, 0 → AlarmRecord (JSON)
    Alarms,
    /// site, 0, device → LiveRecord (postcard)
    Live,
    /// origin u32 → SettledRecord (postcard)
    Settled,
    /// origin u32, seq u64, channel, 0, rule, 0 → Occurrence (postcard)
    History,
    /// first position u64 → LakeFile (postcard)
    LakeFiles,
    /// origin u32 → the newest reading of each channel that went to the lake (postcard)
    Latest,
    /// origin u32 → SealedRow (postcard)
    Sealed,
    /// site, 0, device, 0, number u32 → Description (postcard) that sealed boots of the device have in common
    ChannelLists,
    /// u64 → Operation (postcard)
    Operations,
    /// unix hour u64 → the newest event's cursor u64 in that hour
    EventHours,
    /// origin u32 → RangeSet (postcard) of seqs that were stored and have left with the lake's oldest files
    Expired,
    /// first position u64 → LakeFile (postcard) that is not registered any more, and is to be deleted
    Expiring,
    /// origin u32, channel u8, gateway, 0, first seq u64 → Summary (postcard)
    Summaries,
    /// site, 0, device, 0, channel, 0 → SettingsRecord (postcard)
    Settings,
    /// origin u32, seq u64 → settled alarm states before that seq (postcard)
    Checkpoints,
    /// u64 → AlarmLogEntry (JSON)
    AlarmLog,
    /// rule, 0 → RevisedRule (postcard)
    Rules,
    /// edition u64 → RulesOperation (JSON)
    RulesLog,
    /// receiver, 0, cursor u64 → OutboxRow (postcard): an event that is to be delivered
    Outbox,
    /// receiver, 0 → ReceiverRecord (postcard)
    Receivers,
    /// site, 0, gateway → RulesStanding (postcard)
    RulesStanding,
}

const NAMES: [&str; 30] = [
    "meta",
    "journal",
    "origins",
    "descriptions",
    "index",
    "gateways",
    "quarantine",
    "events",
    "event-ids",
    "alarms",
    "live",
    "settled",
    "history",
    "lake-files",
    "latest",
    "sealed",
    "channel-lists",
    "operations",
    "event-hours",
    "expired",
    "expiring",
    "summaries",
    "settings",
    "checkpoints",
    "alarm-log",
    "rules",
    "rules-log",
    "outbox",
    "receivers",
    "rules-standing",
];

pub struct Lmdb {
    env: Env<WithoutTls>,
    tables: [Raw; NAMES.len()],
}

impl Lmdb {
    pub fn open(folder: &Path, map_size_bytes: u64) -> Result<Self, StoreError> {
        let map_size = usize::try_from(map_size_bytes).unwrap_or(usize::MAX) / PAGE_BYTES * PAGE_BYTES;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_size).max_dbs(NAMES.len() as u32).max_readers(MAX_READERS);
        // SAFETY: the folder belongs to this program alone; LMDB's own lock file keeps out a second one that
        // would map it differently.
        let env = unsafe { options.open(folder) }?;
        let txn = env.write_txn()?;
        let created = env.create_databases_and_commit(txn, |opener, txn| {
            let mut tables = Vec::with_capacity(NAMES.len());
            for name in NAMES {
                tables.push(opener.create_database::<Bytes, Bytes>(txn, Some(name))?);
            }
            let tables: [Database<'_, Bytes, Bytes>; NAMES.len()] =
                tables.try_into().map_err(|_| heed::Error::Mdb(MdbError::DbsFull))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tables))
        })?;
        let tables = created.commit().ok_or(heed::Error::Mdb(MdbError::Problem))?;
        Ok(Self { env, tables })
    }

    /// For reading beside a program that writes, or at rest; nothing is created, and none of the file changes.
    pub fn open_read_only(folder: &Path) -> Result<Self, StoreError> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(NAMES.len() as u32);
        // SAFETY: the map is read only, and LMDB's own lock file keeps pages that a reader sees from reuse.
        let env = unsafe { options.flags(EnvFlags::READ_ONLY).open(folder) }?;
        let txn = env.read_txn()?;
        let opened = env.open_databases_and_commit(txn, |opener, txn| {
            let mut tables = Vec::with_capacity(NAMES.len());
            for name in NAMES {
                tables.extend(opener.open_database::<Bytes, Bytes>(txn, Some(name))?);
            }
            let tables: [Database<'_, Bytes, Bytes>; NAMES.len()] =
                tables.try_into().map_err(|_| heed::Error::Mdb(MdbError::NotFound))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tables))
        })?;
        let tables = opened.commit().ok_or(heed::Error::Mdb(MdbError::Problem))?;
        Ok(Self { env, tables })
    }

    /// A copy of one committed state into a new file, synced, without free pages.
    pub fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let copied = self.env.copy_to_path(file, CompactionOption::Enabled);
        // A file that leaks pages is not copied page by page in order; it is copied as it is.
        let copied = copied.or_else(|_| self.env.copy_to_path(file, CompactionOption::Disabled))?;
        copied.sync_all()?;
        Ok(File::open(file)?.sync_all()?)
    }

    /// Bytes of the file up to its last page, free ones too.
    pub fn file_bytes(&self) -> u64 {
        (self.env.info().last_page_number as u64 + 1) * PAGE_BYTES as u64
    }

    pub fn reader(&self) -> Result<Reader<'_>, StoreError> {
        Ok(Reader { txn: self.env.read_txn()?, tables: &self.tables })
    }

    pub fn writer(&self) -> Result<Writer<'_>, StoreError> {
        Ok(Writer { txn: self.env.write_txn()?, tables: &self.tables })
    }

    /// LMDB reports a write that the disk took in part as an error of the disk: so it is a full one, when next to nothing is
    /// free beside what was to be written.
    pub fn has_no_room_for(&self, bytes: u64) -> bool {
        let disk = rustix::fs::statvfs(self.env.path());
        disk.is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < bytes + SLACK_BYTES)
    }

    pub fn map_size_bytes(&self) -> u64 {
        self.env.info().map_size as u64
    }
}

/// One committed state.
pub struct Reader<'e> {
    txn: RoTxn<'e, WithoutTls>,
    tables: &'e [Raw; NAMES.len()],
}

type Pair<'t> = (&'t [u8], &'t [u8]);

impl Reader<'_> {
    fn raw(&self, table: Table) -> Result<&Raw, StoreError> {
        self.tables.get(table as usize).ok_or(StoreError::Damaged("a table is missing"))
    }

    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        Ok(self.raw(table)?.get(&self.txn, key)?)
    }

    /// The pair at `key`, or else the one before it.
    pub fn floor(&self, table: Table, key: &[u8]) -> Result<Option<Pair<'_>>, StoreError> {
        Ok(self.raw(table)?.get_lower_than_or_equal_to(&self.txn, key)?)
    }

    pub fn last(&self, table: Table) -> Result<Option<Pair<'_>>, StoreError> {
        Ok(self.raw(table)?.last(&self.txn)?)
    }

    /// Pairs from `from` on (included), ascending.
    pub fn scan<'t>(
        &'t self,
        table: Table,
        from: &[u8],
    ) -> Result<impl Iterator<Item = Result<Pair<'t>, StoreError>>, StoreError> {
        let range = (Bound::Included(or_lowest(from)), Bound::Unbounded);
        Ok(self.raw(table)?.range(&self.txn, &range)?.map(|pair| Ok(pair?)))
    }

    /// All pairs, descending.
    pub fn scan_back(
        &self,
        table: Table,
    ) -> Result<impl Iterator<Item = Result<Pair<'_>, StoreError>>, StoreError> {
        Ok(self.raw(table)?.rev_iter(&self.txn)?.map(|pair| Ok(pair?)))
    }

    /// Bytes of one table in use.
    pub fn table_bytes(&self, table: Table) -> Result<u64, StoreError> {
        Ok(self.raw(table)?.stat(&self.txn)?.non_free_page_size() as u64)
    }

    /// Pairs in one table.
    pub fn rows(&self, table: Table) -> Result<u64, StoreError> {
        Ok(self.raw(table)?.len(&self.txn)?)
    }

    /// Bytes in use, free pages not counted.
    pub fn used_bytes(&self) -> Result<u64, StoreError> {
        used(self.tables, |table| table.stat(&self.txn))
    }
}

/// A transaction: everything or nothing. Dropping it undoes it.
pub struct Writer<'e> {
    txn: RwTxn<'e>,
    tables: &'e [Raw; NAMES.len()],
}

impl Writer<'_> {
    fn raw(&self, table: Table) -> Result<Raw, StoreError> {
        self.tables.get(table as usize).copied().ok_or(StoreError::Damaged("a table is missing"))
    }

    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        Ok(self.raw(table)?.get(&self.txn, key)?)
    }

    /// The pair at `key`, or else the one before it.
    pub fn floor(&self, table: Table, key: &[u8]) -> Result<Option<Pair<'_>>, StoreError> {
        Ok(self.raw(table)?.get_lower_than_or_equal_to(&self.txn, key)?)
    }

    pub fn last(&self, table: Table) -> Result<Option<Pair<'_>>, StoreError> {
        Ok(self.raw(table)?.last(&self.txn)?)
    }

    pub fn first(&self, table: Table) -> Result<Option<Pair<'_>>, StoreError> {
        Ok(self.raw(table)?.first(&self.txn)?)
    }

    pub fn scan<'t>(
        &'t self,
        table: Table,
        from: &[u8],
    ) -> Result<impl Iterator<Item = Result<Pair<'t>, StoreError>>, StoreError> {
        let range = (Bound::Included(or_lowest(from)), Bound::Unbounded);
        Ok(self.raw(table)?.range(&self.txn, &range)?.map(|pair| Ok(pair?)))
    }

    /// Pairs up to `to` (included), descending.
    pub fn scan_back<'t>(
        &'t self,
        table: Table,
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<Pair<'t>, StoreError>>, StoreError> {
        let range = (Bound::Unbounded, Bound::Included(to));
        Ok(self.raw(table)?.rev_range(&self.txn, &range)?.map(|pair| Ok(pair?)))
    }

    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        Ok(self.raw(table)?.put(&mut self.txn, key, value)?)
    }

    /// Puts a key that is above all others.
    pub fn append(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        Ok(self.raw(table)?.put_with_flags(&mut self.txn, PutFlags::APPEND, key, value)?)
    }

    pub fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.raw(table)?.delete(&mut self.txn, key)?)
    }

    /// Deletes the keys from `from` (included) to `to` (excluded).
    pub fn delete_range(&mut self, table: Table, from: &[u8], to: &[u8]) -> Result<usize, StoreError> {
        let range = (Bound::Included(from), Bound::Excluded(to));
        Ok(self.raw(table)?.delete_range(&mut self.txn, &range)?)
    }

    /// Bytes of one table in use.
    pub fn table_bytes(&self, table: Table) -> Result<u64, StoreError> {
        Ok(self.raw(table)?.stat(&self.txn)?.non_free_page_size() as u64)
    }

    pub fn used_bytes(&self) -> Result<u64, StoreError> {
        used(self.tables, |table| table.stat(&self.txn))
    }

    /// Returns once all of it is on the disk.
    pub fn commit(self) -> Result<(), StoreError> {
        Ok(self.txn.commit()?)
    }
}

/// LMDB takes no empty key; every key there is lies above a single zero byte.
fn or_lowest(key: &[u8]) -> &[u8] {
    if key.is_empty() { &[0] } else { key }
}

fn used(
    tables: &[Raw; NAMES.len()],
    stat: impl Fn(&Raw) -> heed::Result<heed::DatabaseStat>,
) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for table in tables {
        bytes += stat(table)?.non_free_page_size() as u64;
    }
    Ok(bytes)
}

impl From<heed::Error> for StoreError {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Mdb(MdbError::MapFull) => Self::Full,
            heed::Error::Mdb(MdbError::NotFound) => Self::Unfinished,
            heed::Error::Io(error) => match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::DiskFull,
                // How a folder is when it is opened, not how its disk is.
                ErrorKind::OutOfMemory | ErrorKind::PermissionDenied | ErrorKind::NotFound => {
                    Self::Lmdb(error.to_string())
                }
                _ => Self::Disk(error.to_string()),
            },
            heed::Error::Mdb(error @ (MdbError::Panic | MdbError::Corrupted | MdbError::PageNotFound)) => {
                Self::Disk(error.to_string())
            }
            other => Self::Lmdb(other.to_string()),
        }
    }
}
