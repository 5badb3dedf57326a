//! A queue without its free pages: the file of a queue never shrinks by itself.

use std::path::Path;

use serde::Serialize;

use crate::queue::{
    QueueError, folder,
    lock::{give_to_the_owner, lock_existing},
    look::Looker,
    store::Store,
    structure::{self, Depth},
    swap,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compacted {
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// Copies what is in use and puts the copy in the queue's place. Needs room for it beside the queue. A damaged queue is
/// refused: a copy would make a whole one of it, without what it lost.
pub fn compact(data_dir: &Path) -> Result<Compacted, QueueError> {
    let _lock = lock_existing(data_dir)?;
    let looker = Looker::open(data_dir)?;
    let unreadable = |error| QueueError::Unreadable { path: data_dir.to_owned(), error };
    let bytes_before = looker.file().len().map_err(unreadable)?;
    let structure = looker.look(|look| structure::check(look, Depth::Values))?;
    let map_bytes = looker.map_bytes()?;
    if let Some(damage) = structure.damage.into_iter().next() {
        return Err(QueueError::Damaged { path: data_dir.to_owned(), damage });
    }
    drop(looker);
    let refused = |error| QueueError::Folder { path: data_dir.to_owned(), error };
    let new = swap::begin(data_dir).map_err(refused)?;
    let store = Store::open(&folder(data_dir), map_bytes)?;
    let copied = store.copy_compacted(&new.join("data.mdb"));
    store.close();
    if let Err(error) = copied {
        // A full disk must not be left fuller.
        let _left_over = swap::finish(data_dir);
        return Err(error);
    }
    let bytes_after = std::fs::metadata(new.join("data.mdb")).map_err(refused)?.len();
    let permissions = std::fs::metadata(folder(data_dir).join("data.mdb")).map(|old| old.permissions());
    permissions.and_then(|old| std::fs::set_permissions(new.join("data.mdb"), old)).map_err(refused)?;
    swap::complete(data_dir, None).map_err(refused)?;
    give_to_the_owner(data_dir);
    Ok(Compacted { bytes_before, bytes_after })
}
