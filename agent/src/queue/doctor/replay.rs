//! Out of the quarantine and into the queue again, once what made the cloud refuse a block is put right. The ledger
//! takes what it has already for the copy it is, so that replaying too much does no harm.

use std::path::Path;

use serde::Serialize;
use tidegate_protocol::block::{Decoder, Header};

use super::{Filter, Intent, decoder};
use crate::{
    core::{Batch, Key, footprint},
    queue::{
        QueueError, folder,
        lock::{give_to_the_owner, lock_existing},
        look::{Looker, Table},
        records::{self, EntryHead},
        store::{Mend, Store},
    },
};

/// Which blocks of the quarantine are meant; all where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub filter: Filter,
    pub reason: Option<String>,
    pub keys: Vec<Key>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    pub blocks: u64,
    pub readings: u64,
    /// Meant, but damaged: they stay in the quarantine.
    pub undecodable: u64,
    pub written: bool,
}

pub fn replay(data_dir: &Path, selection: &Selection, intent: Intent) -> Result<Replayed, QueueError> {
    let _lock = lock_existing(data_dir)?;
    let looker = Looker::open(data_dir)?;
    let (mut replayed, mut mend, mut decoder) = (Replayed::default(), Mend::default(), decoder()?);
    looker.each::<QueueError>(Table::Quarantine, |found| {
        let value = found.value.unwrap_or_default();
        if let Some((head, block)) = selected(found.key, &value, selection, &mut decoder, &mut replayed) {
            mend.released.push(found.key);
            mend.entries.push((found.key, head, block));
        }
        Ok(())
    })?;
    let map_bytes = looker.map_bytes()?;
    drop(looker);
    if intent == Intent::Say || mend.entries.is_empty() {
        return Ok(replayed);
    }
    let store = Store::open(&folder(data_dir), map_bytes)?;
    let recovered = store.recover()?;
    let mut totals = recovered.totals;
    for ((key, head, block), next) in mend.entries.iter_mut().zip(recovered.next_key..) {
        *key = next;
        totals.blocks += 1;
        totals.readings += u64::from(head.readings);
        totals.bytes += footprint(block.len());
    }
    mend.batch = Batch { totals, ..Batch::default() };
    store.mend(&mend)?;
    store.close();
    give_to_the_owner(data_dir);
    replayed.written = true;
    Ok(replayed)
}

fn selected(
    key: Key,
    value: &[u8],
    selection: &Selection,
    decoder: &mut Decoder,
    replayed: &mut Replayed,
) -> Option<(EntryHead, Vec<u8>)> {
    let (reason, block) = records::quarantine_entry(value)?;
    let Selection { filter, reason: only, keys } = selection;
    let directory = Header::salvage_directory(block).unwrap_or_default();
    let meant = filter.meets(&directory)
        && only.as_ref().is_none_or(|only| *only == reason.reason)
        && (keys.is_empty() || keys.contains(&key));
    if !meant {
        return None;
    }
    match (Header::parse(block), decoder.decode(block)) {
        (Ok(header), Ok(_)) => {
            replayed.blocks += 1;
            replayed.readings += u64::from(header.readings);
            Some((EntryHead { readings: header.readings, unix_ms: reason.unix_ms }, block.to_vec()))
        }
        _ => {
            replayed.undecodable += 1;
            None
        }
    }
}
