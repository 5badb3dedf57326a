//! Setting a store right: entries that cannot be read go to quarantine, and what the ledger calls stored and nobody can show
//! becomes lost (corrupt) in the same transaction. If another copy arrives, it is stored again. Lake files are not touched.

use std::{collections::BTreeMap, path::Path};

use super::{DoctorError, Progress, verify::verify};
use crate::{
    core::batch::{Batch, OriginNo, OriginRecord},
    data_folder,
    lake::Lake,
    store::{LmdbStore, Store},
};

/// What a repair did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    pub entries: u64,
    /// Readings that are lost (corrupt) now.
    pub readings: u64,
    /// What it found and cannot set right.
    pub left: u64,
}

pub fn repair(
    data_dir: &Path,
    lake_folder: &Path,
    map_size_bytes: u64,
    progress: Progress<'_>,
) -> Result<Repaired, DoctorError> {
    let _lock = data_folder::lock_whole(data_dir)?;
    let folder = data_dir.join("store");
    if !folder.join("data.mdb").is_file() {
        return Err(DoctorError::NoStore(data_dir.to_owned()));
    }
    let (store, lake) = (LmdbStore::open(&folder, map_size_bytes)?, Lake::open(lake_folder)?);
    let verdict = verify(&store, &lake, progress)?;
    let look = store.look()?;
    let damaged = look.damage_at(&verdict.damaged)?;
    let ranges = damaged.iter().flat_map(|damaged| damaged.ranges.clone()).chain(verdict.nowhere);
    let mut records: BTreeMap<OriginNo, OriginRecord> = BTreeMap::new();
    let mut readings = 0;
    for (no, range) in ranges {
        let Some(record) = records.remove(&no).map_or_else(|| look.origin(no), |known| Ok(Some(known)))?
        else {
            continue;
        };
        let mut record = record;
        let before = record.ledger.stored().count();
        record.ledger.corrupt(range);
        readings += before - record.ledger.stored().count();
        records.insert(no, record);
    }
    drop(look);
    let entries = damaged.len() as u64;
    let batch = Batch { origins: records.into_iter().collect(), damaged, ..Batch::default() };
    if !batch.is_empty() {
        store.commit(&batch)?;
    }
    let left = verify(&store, &lake, progress)?.problems;
    Ok(Repaired { entries, readings, left })
}
