//! A backup, also while the ingest runs: a copy of one committed state of the store, and the lake's files that this
//! state has registered. These never change, so on the same disk they get a second name instead of a copy.
//!
//! ```text
//! store/data.mdb    lake/readings/arrived=…/….parquet    manifest.json (last)
//! ```

use std::{fs, path::Path};

use super::{
    DoctorError, Progress,
    files::{self, at},
    manifest::{BackupFile, Manifest},
};
use crate::store::LmdbStore;

pub const STORE: &str = "store/data.mdb";
pub const LAKE: &str = "lake";

/// Backs up what `data_dir` and the lake's folder hold into `to`, which must not hold anything.
pub fn backup(
    data_dir: &Path,
    lake_folder: &Path,
    to: &Path,
    progress: Progress<'_>,
) -> Result<Manifest, DoctorError> {
    let source = data_dir.join("store");
    if !source.join("data.mdb").is_file() {
        return Err(DoctorError::NoStore(data_dir.to_owned()));
    }
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(DoctorError::NotEmpty(to.to_owned()));
    }
    files::make_folder(&to.join("store"))?;
    let copy = to.join(STORE);
    progress("copying the store", 0, 0);
    LmdbStore::open_read_only(&source)?.copy_to(&copy)?;
    files::sync_parent(&copy)?;
    let (bytes, sha256) = files::digest(&copy)?;
    let mut listed = vec![BackupFile { path: STORE.to_owned(), bytes, sha256 }];

    // What belongs to the copy is what the copy says, not what the ingest has by now.
    let store = LmdbStore::open_read_only(&to.join("store"))?;
    let look = store.look()?;
    let lake_files = look.lake_files()?;
    let total = lake_files.len() as u64;
    for (done, (_, file)) in (0..).zip(&lake_files) {
        progress("lake files", done, total);
        let path = format!("{LAKE}/{}", file.path);
        let (original, target) = (lake_folder.join(&file.path), to.join(&path));
        if !original.is_file() {
            return Err(DoctorError::LakeMoved(original));
        }
        if let Some(day) = target.parent() {
            files::make_folder(day)?;
        }
        files::link_or_copy(&original, &target)?;
        let (bytes, sha256) = files::digest(&target)?;
        listed.push(BackupFile { path, bytes, sha256 });
    }
    progress("lake files", total, total);
    let manifest = Manifest::new(look.next_position()?, look.ledger_count()?, listed);
    drop(look);
    drop(store);
    // Made by looking into the copy; it is of no use to anyone.
    let lock = to.join("store/lock.mdb");
    if lock.exists() {
        fs::remove_file(&lock).map_err(at(&lock))?;
    }
    manifest.write(to)?;
    Ok(manifest)
}
