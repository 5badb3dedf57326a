//! What is in the quarantine: blocks that nobody took, and blocks that were found damaged.

use std::path::Path;

use serde::Serialize;
use tidegate_protocol::block::Header;

use super::{Held, held};
use crate::{
    core::Key,
    queue::{
        QueueError,
        look::{Looker, Table},
        records::{self, Reason},
    },
};

#[derive(Clone, Debug, Serialize)]
pub struct QuarantinedBlock {
    pub key: Key,
    pub reason: String,
    pub since_unix_ms: Option<i64>,
    pub bytes: u64,
    /// Its checksums are right, so it can be exported as readings and replayed.
    pub is_whole: bool,
    pub holds: Vec<Held>,
}

/// Shows each block of the quarantine, oldest first.
pub fn quarantine<E: From<QueueError>>(
    data_dir: &Path,
    mut show: impl FnMut(QuarantinedBlock) -> Result<(), E>,
) -> Result<(), E> {
    Looker::open(data_dir)?.each(Table::Quarantine, |found| {
        let value = found.value.unwrap_or_default();
        let (reason, block) = match records::quarantine_entry(&value) {
            Some((reason, block)) => (Some(reason), block),
            None => (None, &[][..]),
        };
        show(QuarantinedBlock {
            key: found.key,
            since_unix_ms: reason.as_ref().map(|reason: &Reason| reason.unix_ms),
            reason: reason.map_or("unreadable".to_owned(), |reason| reason.reason),
            bytes: block.len() as u64,
            is_whole: Header::parse(block).is_ok(),
            holds: held(Header::salvage_directory(block).unwrap_or_default()),
        })
    })?;
    Ok(())
}
