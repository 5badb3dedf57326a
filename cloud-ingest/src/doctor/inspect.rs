//! What a store holds, counted a portion at a time.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_protocol::block::Decoder;

use super::{DoctorError, Progress};
use crate::{
    core::batch::EntryHead,
    store::{LmdbStore, Look, StoreError},
};

/// Entries looked at in one committed state: then it is let go of, so that an ingest can use again what it deletes.
pub const PORTION: usize = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    pub format: u32,
    /// The next journal entry gets this position.
    pub position: u64,
    pub ledger: u32,
    pub entries: u64,
    pub oldest_position: Option<u64>,
    pub entry_bytes: u64,
    pub readings_in_journal: u64,
    pub damaged_heads: u64,
    pub origins: u64,
    pub sealed_origins: u64,
    pub quarantine: BTreeMap<&'static str, u64>,
    pub last_event: u64,
    pub lake_files: u64,
    pub lake_rows: u64,
    pub lake_bytes: u64,
    pub used_bytes: u64,
    pub free_bytes: u64,
}

/// One entry in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EntryView {
    pub position: u64,
    pub head: Option<EntryHead>,
    pub block_bytes: usize,
    pub readings: usize,
    pub records: usize,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

pub fn inspect(store: &LmdbStore, progress: Progress<'_>) -> Result<Inspection, DoctorError> {
    let look = store.look()?;
    let lake = look.lake_files()?;
    let mut found = Inspection {
        format: look.format()?.unwrap_or_default(),
        position: look.next_position()?,
        ledger: look.ledger_count()?,
        origins: look.origins()?.len() as u64,
        sealed_origins: look.sealed()?.len() as u64,
        last_event: look.last_cursor()?,
        lake_files: lake.len() as u64,
        lake_rows: lake.iter().map(|(_, file)| file.rows).sum(),
        lake_bytes: lake.iter().map(|(_, file)| file.bytes).sum(),
        used_bytes: look.used_bytes()?,
        ..Inspection::default()
    };
    found.free_bytes = store.file_bytes().saturating_sub(found.used_bytes);
    look.quarantine(|_, block| {
        *found.quarantine.entry(block.reason.name()).or_default() += 1;
        true
    })?;
    drop(look);
    each_entry(store, |_, position, head, block| {
        progress("entries", found.entries, 0);
        found.entries += 1;
        found.oldest_position.get_or_insert(position);
        found.entry_bytes += block.len() as u64;
        match head {
            Some(head) => {
                let readings = head.accepted.iter().map(|accepted| accepted.range.len());
                found.readings_in_journal += readings.sum::<u64>();
            }
            None => found.damaged_heads += 1,
        }
        Ok(())
    })?;
    Ok(found)
}

/// Every journal entry, in portions; what is appended meanwhile is seen as well.
pub fn each_entry(
    store: &LmdbStore,
    mut each: impl FnMut(&Look<'_>, u64, Option<EntryHead>, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = 0;
    loop {
        let mut left = PORTION;
        let look = store.look()?;
        look.journal_as_it_is(from, |position, head, block| {
            each(&look, position, head, block)?;
            from = position.saturating_add(1);
            left -= 1;
            Ok(left > 0)
        })?;
        if left > 0 {
            return Ok(());
        }
    }
}

pub fn entry(store: &LmdbStore, wanted: u64) -> Result<Option<EntryView>, DoctorError> {
    let mut decoder = Decoder::new().map_err(StoreError::from)?;
    let mut found = None;
    store.look()?.journal_as_it_is(wanted, |position, head, bytes| {
        if position != wanted {
            return Ok(false);
        }
        let block = decoder.decode(bytes);
        let damaged_head = head.is_none().then(|| "its head does not decode".to_owned());
        found = Some(EntryView {
            position,
            block_bytes: bytes.len(),
            readings: block.as_ref().map_or(0, |block| block.reading_count()),
            records: block.as_ref().map_or(0, |block| block.records.len()),
            problem: damaged_head.or(block.err().map(|error| error.to_string())),
            head,
        });
        Ok(false)
    })?;
    Ok(found)
}
