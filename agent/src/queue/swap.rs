//! A new queue takes the place of the old one, whole, wherever the power is cut.
//!
//! The new one is written to `queue.new` and synced; then `queue` is moved away and `queue.new` takes its name. So a
//! `queue.new` beside a `queue` is unfinished or left over, and one without is complete. Folders are moved, not files:
//! LMDB's lock file belongs to the data file beside it, and goes where that goes. The caller holds the queue's lock.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::folder;
use crate::failpoint::FailPoint;

const OLD: &str = "queue.old";

/// Where the new queue is written.
pub fn new_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("queue.new")
}

/// Finishes or undoes what was interrupted.
pub fn finish(data_dir: &Path) -> io::Result<()> {
    let (queue, new, old) = (folder(data_dir), new_folder(data_dir), data_dir.join(OLD));
    if new.exists() && !queue.exists() {
        fs::rename(&new, &queue)?;
        sync(data_dir)?;
    }
    for left_over in [new, old] {
        if left_over.exists() {
            fs::remove_dir_all(left_over)?;
        }
    }
    Ok(())
}

/// An empty folder for the new queue.
pub fn begin(data_dir: &Path) -> io::Result<PathBuf> {
    let new = new_folder(data_dir);
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fs::create_dir(&new)?;
    Ok(new)
}

/// Puts the new queue, which is synced, in the place of the old one; that is kept under a name, or removed.
pub fn complete(data_dir: &Path, keep_old_as: Option<&str>) -> io::Result<()> {
    let (queue, new) = (folder(data_dir), new_folder(data_dir));
    sync(&new)?;
    sync(data_dir)?;
    FailPoint::BeforeSwap.hit();
    fs::rename(&queue, data_dir.join(keep_old_as.unwrap_or(OLD)))?;
    sync(data_dir)?;
    FailPoint::AmidSwap.hit();
    fs::rename(&new, &queue)?;
    sync(data_dir)?;
    FailPoint::AfterSwap.hit();
    finish(data_dir)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
