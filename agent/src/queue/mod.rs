//! The queue on disk: one writer thread, one loader thread, LMDB beneath.
//!
//! ```text
//! store      databases, transactions; with its folder the only place that names heed
//! records    what entries look like, with checksums          lock       who may write
//! pages      LMDB's file read with every length checked      structure  whether LMDB can be trusted with a file
//! look       a state of the queue, read beside the agent     stats      what `queue stats` prints
//! disk       what a write error means
//! doctor     looking into a queue, and mending it            swap       a new queue takes the old one's place
//! ```
//! The writer commits one batch at a time, with full sync, before it answers; the core collects the next batch
//! meanwhile. Loads have a thread of their own, so that a drain never waits for the disk to sync.

mod disk;
pub mod doctor;
mod lock;
mod look;
mod pages;
pub mod records;
mod stats;
mod store;
mod structure;
mod swap;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use tidegate_service::durable::{Draft, sync_down_to};
use tokio::sync::mpsc::{Receiver, Sender, channel};

pub use records::FORMAT;
pub use stats::{QuarantineView, QueueReader, QueueStats, read as read_stats};
pub use store::Age;

use crate::{
    core::{Batch, Event, Key, Recovered},
    failpoint::FailPoint,
};
use look::Look;
use pages::{Damage, PageFile};
use store::Store;

/// The core has one batch and one load under way at most.
const ORDERS: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("cannot create or write {}: {error}; give the agent's user that folder (data_dir)", path.display())]
    Folder { path: PathBuf, error: std::io::Error },
    #[error("another agent uses {}{by}; stop it, or give each agent a data_dir of its own", path.display())]
    InUse { path: PathBuf, by: String },
    #[error("the queue in {} has format {found}, this agent writes {known}; run the agent that wrote it until the queue is empty", path.display())]
    Format { path: PathBuf, found: u32, known: u32 },
    #[error("the queue in {} cannot be opened: {error}", path.display())]
    Open { path: PathBuf, error: String },
    #[error("{} cannot be read: {error}; run this as the agent's user", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("the queue in {} cannot be read beside the running agent: {error}; run this as the agent's user, or stop the agent", path.display())]
    Beside { path: PathBuf, error: String },
    #[error("the queue in {} is damaged ({damage}); `tidegate-agent queue repair` saves what can be read", path.display())]
    Damaged { path: PathBuf, damage: Damage },
    #[error("there is not enough memory: {0}")]
    Memory(std::io::Error),
    #[error("there is no queue in {}; has the agent run with this data_dir?", path.display())]
    Missing { path: PathBuf },
}

/// Where the queue is and how large its map may grow.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    pub data_dir: PathBuf,
    pub map_size_bytes: usize,
}

/// Hands work to the queue's threads; answers come back as events.
pub struct Queue {
    commits: Option<SyncSender<Batch>>,
    loads: Option<SyncSender<Vec<Key>>>,
    reader: QueueReader,
    threads: Vec<JoinHandle<()>>,
    ended: Receiver<&'static str>,
    /// Held for as long as the queue is in use.
    _lock: lock::QueueLock,
}

impl Queue {
    /// Opens or creates the queue and reads what it holds. Blocks for as long as that takes.
    pub fn open(settings: &QueueSettings, answers: Sender<Event>) -> Result<(Self, Recovered), QueueError> {
        let lock = lock::lock(&settings.data_dir)?;
        create_whole(settings)?;
        refuse_damaged(&settings.data_dir)?;
        let store = Store::open(&folder(&settings.data_dir), settings.map_size_bytes)?;
        store.count_opening();
        let recovered = store.recover()?;
        let (commits, batches) = sync_channel::<Batch>(ORDERS);
        let (loads, wanted) = sync_channel::<Vec<Key>>(ORDERS);
        let (reader, writer) = (QueueReader(store.clone()), store.clone());
        let to_core = answers.clone();
        let (tell, ended) = channel(ORDERS);
        let (writer_ended, loader_ended) = (Ended("writer", tell.clone()), Ended("loader", tell));
        let writer = move || {
            let _told = writer_ended;
            let answer = |event| {
                FailPoint::AfterCommit.hit();
                to_core.blocking_send(event).is_ok()
            };
            writer.write_batches(&batches, answer);
        };
        let loader = move || {
            let _told = loader_ended;
            store.load_blocks(&wanted, |event| {
                FailPoint::MidDrain.hit();
                answers.blocking_send(event).is_ok()
            });
        };
        let threads = vec![std::thread::spawn(writer), std::thread::spawn(loader)];
        Ok((
            Self { commits: Some(commits), loads: Some(loads), reader, threads, ended, _lock: lock },
            recovered,
        ))
    }

    pub fn age(&self) -> Age {
        self.reader.0.age().clone()
    }

    /// For pages that tell what the queue holds.
    pub fn reader(&self) -> QueueReader {
        self.reader.clone()
    }

    /// Resolves when a thread of the queue has ended, which it does by itself only when something is badly wrong;
    /// says which.
    pub async fn ended(&mut self) -> &'static str {
        self.ended.recv().await.unwrap_or("every")
    }

    /// Never waits: the core has one batch outstanding at most.
    pub fn commit(&self, batch: Batch) {
        if let Some(commits) = &self.commits {
            // It fails only when the thread is gone, of which `ended` tells.
            let _gone = commits.try_send(batch);
        }
    }

    /// Never waits: the core has one load outstanding at most.
    pub fn load(&self, keys: Vec<Key>) {
        if let Some(loads) = &self.loads {
            let _gone = loads.try_send(keys);
        }
    }
}

/// Tells that its thread has ended, by a panic too.
struct Ended(&'static str, Sender<&'static str>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _nobody_waits = self.1.try_send(self.0);
    }
}

impl Drop for Queue {
    /// Waits for the transaction under way, so that the next process finds the lock free and the file at rest.
    fn drop(&mut self) {
        self.commits = None;
        self.loads = None;
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("queue")
}

/// A power cut leaves no queue that is half made and can never be opened, and none that is whole in a folder without a
/// name.
fn create_whole(settings: &QueueSettings) -> Result<(), QueueError> {
    let queue = folder(&settings.data_dir);
    let refused = |error| QueueError::Folder { path: queue.clone(), error };
    if let Some(draft) = Draft::of_missing(&queue, "data.mdb").map_err(refused)? {
        Store::open(&draft.place(), settings.map_size_bytes)?;
        draft.publish().map_err(refused)?;
    }
    // Each time: whoever made it may have been cut off before this.
    sync_down_to(&queue).map_err(refused)
}

/// LMDB may end the process over a file that is not in order; the lock is held, so nobody writes meanwhile.
fn refuse_damaged(data_dir: &Path) -> Result<(), QueueError> {
    let path = folder(data_dir).join("data.mdb");
    let unreadable = |error| QueueError::Unreadable { path: path.clone(), error };
    let file = match PageFile::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    // LMDB gives an empty file its beginning.
    if file.len().map_err(unreadable)? == 0 {
        return Ok(());
    }
    let damaged = |damage| QueueError::Damaged { path: data_dir.to_owned(), damage };
    let snapshot = file.snapshot().map_err(damaged)?;
    let structure = structure::check(&Look { file: &file, snapshot }, structure::Depth::Trees);
    structure.damage.into_iter().next().map_or(Ok(()), |damage| Err(damaged(damage)))
}
