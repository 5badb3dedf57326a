//! A store without its free pages: LMDB's file never shrinks by itself. A compacted copy is synced beside the file and takes
//! its name in one step, so that there is the one or the other, whole, whatever happens.

use std::{fs, path::Path};

use super::{
    DoctorError,
    files::{self, at},
};
use crate::{data_folder, store::LmdbStore};

/// Bytes before and after.
pub fn compact(data_dir: &Path) -> Result<(u64, u64), DoctorError> {
    let _lock = data_folder::lock_whole(data_dir)?;
    let folder = data_dir.join("store");
    let (file, copy) = (folder.join("data.mdb"), folder.join("data.mdb.compacting"));
    if !file.is_file() {
        return Err(DoctorError::NoStore(data_dir.to_owned()));
    }
    let before = fs::metadata(&file).map_err(at(&file))?.len();
    let store = LmdbStore::open_read_only(&folder)?;
    // One that was cut off before is written over.
    store.copy_to(&copy)?;
    drop(store);
    let after = fs::metadata(&copy).map_err(at(&copy))?.len();
    fs::rename(&copy, &file).map_err(at(&file))?;
    files::sync_parent(&file)?;
    Ok((before, after))
}
