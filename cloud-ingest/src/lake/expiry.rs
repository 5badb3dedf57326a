//! Lake files leave once the whole day of their arrival is older than the retention. The store lets go of a file and its rows
//! in one transaction, and then the file is deleted; a crash in between is made good at the next turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidegate_protocol::SeqRange;

use super::{Lake, gather::day_of};
use crate::{
    core::batch::OriginNo,
    readings::ReadError,
    store::{LmdbStore, keys::LakeFile},
};

/// How many files one turn lets go of: it makes one pass over the index for them, and keeps their rows in memory.
const FILES_AT_ONCE: usize = 256;

/// What a turn did.
#[derive(Debug, Default)]
pub struct Expired {
    pub files: usize,
    pub readings: u64,
    pub ranges: Vec<(OriginNo, SeqRange)>,
    /// Of the store, after it; nothing where it did nothing.
    pub used_bytes: Option<u64>,
}

pub struct Expirer {
    store: Arc<LmdbStore>,
    lake: Lake,
}

impl Expirer {
    pub fn new(store: Arc<LmdbStore>, lake: Lake) -> Self {
        Self { store, lake }
    }

    /// Deletes files that the store has let go of.
    pub fn resume(&self) -> Result<(), ReadError> {
        let gone = self.store.look()?.expiring()?;
        for (from, file) in gone {
            self.lake.delete(&file.path)?;
            self.store.file_is_gone(from)?;
        }
        Ok(())
    }

    /// Lets go of files that arrived on days before this time's.
    pub fn expire(&self, before_unix_ms: i64) -> Result<Expired, ReadError> {
        self.resume()?;
        let day = day_of(before_unix_ms);
        let files = self.store.look()?.lake_files()?;
        let old = files.into_iter().filter(|(_, file)| arrived(file).is_some_and(|arrived| *arrived < *day));
        let old: BTreeSet<u64> = old.map(|(from, _)| from).take(FILES_AT_ONCE).collect();
        let mut expired = Expired::default();
        if old.is_empty() {
            return Ok(expired);
        }
        let mut runs: BTreeMap<u64, Vec<(OriginNo, SeqRange)>> =
            old.into_iter().map(|from| (from, Vec::new())).collect();
        for (from, no, range) in self.store.runs_of_files(&runs.keys().copied().collect())? {
            runs.entry(from).or_default().push((no, range));
        }
        for (from, runs) in runs {
            expired.used_bytes = Some(self.store.expire_file(from, &runs)?);
            expired.files += 1;
            expired.readings += runs.iter().map(|(_, range)| range.len()).sum::<u64>();
            expired.ranges.extend(runs);
        }
        self.resume()?;
        Ok(expired)
    }
}

/// The day in a file's name.
fn arrived(file: &LakeFile) -> Option<&str> {
    let (_, rest) = file.path.split_once("arrived=")?;
    rest.split_once('/').map(|(day, _)| day)
}
