//! Looking into a data folder, and setting it right: what `tidegate-ingest journal …`, `backup` and `restore` do.
//!
//! ```text
//! backup    a copy while the ingest runs        manifest  what a backup consists of, and that it is whole
//! restore   a backup in the place of a store; the ledger's count says so to every agent
//! inspect   what there is                   verify    whether it is as it must be
//! repair    damage into quarantine          compact   without free pages
//! export    lines of JSON                   journal   the command line of these five
//! files     copies, checksums, syncing          command   the command line
//! ```
//!
//! What only reads works beside a running ingest, and never holds one committed state for long. What changes anything
//! takes the folder's lock, so it refuses while an ingest runs. Nothing is deleted but what this program
//! itself made and did not finish.

pub mod backup;
pub mod command;
pub mod compact;
pub mod export;
mod files;
pub mod inspect;
pub mod journal;
pub mod manifest;
pub mod repair;
pub mod restore;
pub mod verify;

use std::{io, path::PathBuf};

use crate::{data_folder::FolderError, lake::LakeError, readings::ReadError, store::StoreError};

#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error("the lake: {0}")]
    Lake(#[from] LakeError),
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("there is no store in {0}; is that the data_dir of an ingest that has run?")]
    NoStore(PathBuf),
    #[error("{0} is not empty; give a folder that does not exist yet")]
    NotEmpty(PathBuf),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    #[error("there is no entry at position {0}")]
    NoEntry(u64),
    #[error("{0} problems; see above. `tidegate-ingest journal repair` sets right what can be set right")]
    Problems(u64),
    #[error("{0} is not registered any more or cannot be read; run the backup again")]
    LakeMoved(PathBuf),
    #[error("{path} is no whole backup: {problem}")]
    Backup { path: PathBuf, problem: String },
    #[error("there is a store in {0}; with --replace it is moved aside, never deleted")]
    StoreExists(PathBuf),
    #[error("--ledger {given} is not above {known}, which was announced before; give a higher number")]
    LedgerTooLow { given: u32, known: u32 },
}

impl From<ReadError> for DoctorError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => Self::Store(error),
            ReadError::Lake(error) => Self::Lake(error),
            ReadError::Damaged { .. } => Self::Store(StoreError::Damaged("a journal entry cannot be read")),
        }
    }
}

/// Told as work goes on: what is done, and of how much.
pub type Progress<'p> = &'p mut dyn FnMut(&str, u64, u64);
