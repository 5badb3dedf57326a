//! The lake's files in its folder: how one comes to be there for good, and how it goes.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::{Lake, LakeError, TEMPORARY, file_error, parquet_file, roll::Files, rows::Rows};
use crate::store::keys::{Intent, LakeFile};

impl Files for Lake {
    fn write(&self, intent: &Intent, rows: &Rows) -> Result<LakeFile, LakeError> {
        let path = path_of(intent);
        let target = self.folder.join(&path);
        let day = target.parent().unwrap_or(&self.folder);
        fs::create_dir_all(day).map_err(|error| file_error(day, error))?;
        let temporary = target.with_extension(TEMPORARY);
        let bytes = parquet_file::write(&temporary, rows)?;
        fs::rename(&temporary, &target).map_err(|error| file_error(&target, error))?;
        // The folder may be new as well: its own entry must last, too.
        sync_folder(day)?;
        day.parent().map_or(Ok(()), sync_folder)?;
        Ok(LakeFile { from: intent.from, to: intent.to, path, rows: rows.len() as u64, bytes })
    }

    fn remove(&self, intent: &Intent) -> Result<(), LakeError> {
        self.delete(&path_of(intent))
    }
}

impl Lake {
    /// Deletes a file, and its day's folder where it was the last one in it.
    pub(super) fn delete(&self, path: &str) -> Result<(), LakeError> {
        let path = self.folder.join(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error(&path, error)),
            _ => {}
        }
        let Some(day) = path.parent().filter(|day| day.is_dir()) else { return Ok(()) };
        sync_folder(day)?;
        // Not empty: others are still in it.
        if fs::remove_dir(day).is_ok() {
            day.parent().map_or(Ok(()), sync_folder)?;
        }
        Ok(())
    }
}

/// The name of an intent's file, relative to the lake's folder.
fn path_of(intent: &Intent) -> String {
    format!("readings/arrived={}/{:020}-{:020}.parquet", intent.arrived, intent.from, intent.to)
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), LakeError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| file_error(folder, error))
}
