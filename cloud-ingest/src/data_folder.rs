//! The data folder, for one writer at a time: `ingest.lock` is locked by the ingest while it runs and by every command
//! that changes the folder. The system lets go of it when a process ends, however it ends. Readers do not ask.
//!
//! ```text
//! ingest.lock                   who may write
//! store/data.mdb                the store
//! lake/readings/…               the lake, unless configured elsewhere
//! restore.unfinished            a restore was cut off: nothing starts before it is done
//! ```

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

pub const LOCK: &str = "ingest.lock";
/// There from before a restore changes anything until it has changed everything.
pub const UNFINISHED_RESTORE: &str = "restore.unfinished";

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{path}: {error}; give the ingest's user that folder (data_dir)")]
    Unusable { path: PathBuf, error: io::Error },
    #[error(
        "an ingest uses {path}, or a command that changes it; stop it first, or give each ingest a data_dir of its own"
    )]
    InUse { path: PathBuf },
    #[error("a restore into {path} was cut off; run the same restore again (with --replace)")]
    UnfinishedRestore { path: PathBuf },
}

/// Held for as long as the folder is in use.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl Drop for FolderLock {
    /// Closing the file would not do: a child process that some thread has just forked holds it too, until it execs.
    fn drop(&mut self) {
        let _closed_by_the_system_at_last = self.file.unlock();
    }
}

/// Makes the folder where it is missing and locks it, or says who has it; never waits.
pub fn lock(data_dir: &Path) -> Result<FolderLock, FolderError> {
    let unusable = |error| FolderError::Unusable { path: data_dir.to_owned(), error };
    fs::create_dir_all(data_dir).map_err(unusable)?;
    let file = File::create(data_dir.join(LOCK)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock { file }),
        Err(TryLockError::WouldBlock) => Err(FolderError::InUse { path: data_dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Locks a folder whose content is whole.
pub fn lock_whole(data_dir: &Path) -> Result<FolderLock, FolderError> {
    let lock = lock(data_dir)?;
    if data_dir.join(UNFINISHED_RESTORE).exists() {
        return Err(FolderError::UnfinishedRestore { path: data_dir.to_owned() });
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_process_that_was_forked_meanwhile_does_not_keep_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = lock(folder.path()).expect("nobody has it");
        let of_the_child = held.file.try_clone().expect("it clones");
        assert!(matches!(lock(folder.path()), Err(FolderError::InUse { .. })));
        drop(held);
        lock(folder.path()).expect("nobody has it any more");
        drop(of_the_child);
    }
}
