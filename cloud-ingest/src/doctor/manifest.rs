//! What a backup consists of: `manifest.json`, written last, so that a folder with one is a backup that was finished.

use std::{
    fs,
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};

use super::{DoctorError, Progress, files};
use crate::store::keys::FORMAT;

pub const NAME: &str = "manifest.json";
/// Raised when the fields below change.
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the manifest itself.
    pub version: u32,
    /// Of the store.
    pub format: u32,
    /// The journal's next position: all below is in the backup.
    pub position: u64,
    /// How often the ledger had been rolled back.
    pub ledger: u32,
    /// RFC 3339, in UTC.
    pub made: String,
    pub files: Vec<BackupFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Relative to the backup's folder.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    pub fn new(position: u64, ledger: u32, files: Vec<BackupFile>) -> Self {
        let made = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self { version: VERSION, format: FORMAT, position, ledger, made, files }
    }

    pub fn write(&self, folder: &Path) -> Result<(), DoctorError> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec_pretty(self).map_err(|error| refused(folder, error.to_string()))?;
        files::write_whole(&path, &text)
    }

    /// Reads it and holds every file against it.
    pub fn verified(folder: &Path, progress: Progress<'_>) -> Result<Self, DoctorError> {
        let path = folder.join(NAME);
        let missing = "it has no manifest.json: it was not finished, or is something else";
        let text = fs::read(&path).map_err(|_| refused(folder, missing.to_owned()))?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| refused(folder, format!("manifest.json: {error}")))?;
        if manifest.version != VERSION || manifest.format > FORMAT {
            let problem = format!(
                "it was made by a later version (manifest {}, store format {}); restore it with that",
                manifest.version, manifest.format
            );
            return Err(refused(folder, problem));
        }
        let total = manifest.files.len() as u64;
        for (done, file) in (0..).zip(&manifest.files) {
            progress("files verified", done, total);
            let relative = Path::new(&file.path);
            if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(refused(folder, format!("{} leads out of it", file.path)));
            }
            let path = folder.join(relative);
            if !path.is_file() {
                return Err(refused(folder, format!("{} is missing", file.path)));
            }
            if files::digest(&path)? != (file.bytes, file.sha256.clone()) {
                return Err(refused(folder, format!("{} is not as it was backed up", file.path)));
            }
        }
        Ok(manifest)
    }
}

pub fn refused(folder: &Path, problem: String) -> DoctorError {
    DoctorError::Backup { path: folder.to_owned(), problem }
}
