//! Who may write to a queue: whoever holds `agent.lock` in the data folder, which names its process for people.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use super::{QueueError, folder, swap};

/// Someone who only asks whether an agent runs holds the lock for a moment.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);
const NAME: &str = "agent.lock";

/// The right to write to a queue.
#[derive(Debug)]
pub struct QueueLock(File);

impl Drop for QueueLock {
    /// Closing the file would not do: a child process that some thread has just forked holds it too, until it execs.
    fn drop(&mut self) {
        let _closed_by_the_system_at_last = self.0.unlock();
    }
}

/// One agent per folder: two would give the same keys twice. Creates the folder.
pub fn lock(data_dir: &Path) -> Result<QueueLock, QueueError> {
    let refused = |error| QueueError::Folder { path: data_dir.to_owned(), error };
    std::fs::create_dir_all(data_dir).map_err(refused)?;
    let lock = take(data_dir)?;
    swap::finish(data_dir).map_err(refused)?;
    std::fs::create_dir_all(folder(data_dir)).map_err(refused)?;
    Ok(lock)
}

/// The same for a queue that must be there already.
pub fn lock_existing(data_dir: &Path) -> Result<QueueLock, QueueError> {
    if !folder(data_dir).exists() && !swap::new_folder(data_dir).exists() {
        return Err(QueueError::Missing { path: data_dir.to_owned() });
    }
    let lock = take(data_dir)?;
    swap::finish(data_dir).map_err(|error| QueueError::Folder { path: data_dir.to_owned(), error })?;
    Ok(lock)
}

fn take(data_dir: &Path) -> Result<QueueLock, QueueError> {
    let refused = |error| QueueError::Folder { path: data_dir.to_owned(), error };
    // Not truncated before it is ours: it names the process that has it.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(data_dir.join(NAME)).map_err(refused)?;
    for attempt in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(QueueError::InUse { path: data_dir.to_owned(), by: named(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
    }
    // For people only: a full disk must not keep the agent from starting.
    let _unnamed = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    Ok(QueueLock(file))
}

/// Whether an agent has the queue now.
pub fn is_held(data_dir: &Path) -> bool {
    let Ok(file) = File::open(data_dir.join(NAME)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Empty or ` (process 123)`.
fn named(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(16).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(process)) => format!(" (process {process})"),
        _ => String::new(),
    }
}

/// What a technician's tool creates as root belongs to the agent's user as the data folder does, or the agent could not
/// write to it. Nothing is to be done where that is refused: then the files are the user's own.
pub fn give_to_the_owner(data_dir: &Path) {
    let Ok(owner) = std::fs::metadata(data_dir) else { return };
    let queue = folder(data_dir);
    let files = [data_dir.join(NAME), queue.clone(), queue.join("data.mdb"), queue.join("lock.mdb")];
    for path in files {
        let _refused = std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()));
    }
}
