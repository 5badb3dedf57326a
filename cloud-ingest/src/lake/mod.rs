//! The lake: accepted readings as plain Parquet, for any program that reads it.
//!
//! ```text
//! lake/readings/arrived=YYYY-MM-DD/{from:020}-{to:020}.parquet      the journal's positions [from, to)
//! lake/anchors/anchors.parquet                                       the best clock anchor of every origin, now
//! ```
//!
//! Going there is exactly-once (rule j): the store commits the intent; the file is written under a temporary name,
//! synced, renamed to the name that follows from the intent, and its folder synced; one transaction then registers it
//! and trims the journal. A roll that is cut off anywhere is done again over the same names. Temporary files left behind
//! are removed at the start. The bounds are in `gather`; on an error the journal simply keeps what it has, and the
//! next turn tries again.

mod anchors;
mod expiry;
mod folder;
mod gather;
mod parquet_file;
mod read;
mod roll;
mod rows;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::{
    anchors::Anchors,
    expiry::{Expired, Expirer},
    read::{LakeReading, Wanted},
    roll::{Files, Gathered, RollSettings, Rolled, Roller},
    rows::Rows,
};
use crate::store::keys::LakeFile;
use ::parquet::errors::ParquetError;
use tidegate_service::durable::sync_down_to;

/// Temporary files end with this.
const TEMPORARY: &str = "tmp";

#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Parquet { path: PathBuf, error: ParquetError },
    #[error("{path} is not as this program writes it: {what}")]
    Shape { path: PathBuf, what: &'static str },
}

/// The lake's folder.
#[derive(Clone, Debug)]
pub struct Lake {
    folder: PathBuf,
}

impl Lake {
    /// The folder as it is, for reading only.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Opens the folder, making it where it is missing; removes temporary files.
    pub fn open(folder: &Path) -> Result<Self, LakeError> {
        let lake = Self { folder: folder.to_owned() };
        let readings = folder.join("readings");
        let made = fs::create_dir_all(&readings).and_then(|()| sync_down_to(&readings));
        made.map_err(|error| file_error(&readings, error))?;
        for day in list(&readings)? {
            if !day.is_dir() {
                continue;
            }
            for path in list(&day)? {
                if path.extension().is_some_and(|extension| extension == TEMPORARY) {
                    fs::remove_file(&path).map_err(|error| file_error(&path, error))?;
                }
            }
        }
        Ok(lake)
    }

    /// Reads a file once for all that is wanted of it; the readings of each ascend by seq.
    pub fn read(&self, file: &LakeFile, wanted: &[Wanted]) -> Result<Vec<Vec<LakeReading>>, LakeError> {
        read::read(&self.folder.join(&file.path), wanted)
    }

    /// Reads all of a file; says how many rows it has.
    pub fn check(&self, file: &LakeFile) -> Result<u64, LakeError> {
        read::count(&self.folder.join(&file.path))
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let entries = fs::read_dir(folder).map_err(|error| file_error(folder, error))?;
    let paths =
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(|error| file_error(folder, error)));
    paths.collect()
}

fn file_error(path: &Path, error: io::Error) -> LakeError {
    LakeError::File { path: path.to_owned(), error }
}

fn parquet_error(path: &Path, error: ParquetError) -> LakeError {
    LakeError::Parquet { path: path.to_owned(), error }
}
