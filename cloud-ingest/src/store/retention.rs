//! What leaves because it is old: lake files with their index rows, events, quarantine, alarm history.
//!
//! A lake file leaves in three steps: one transaction takes it and its rows out and notes what has expired and what is to be
//! deleted; the file is deleted; the note goes. Whoever finds the note goes on with the second step.
//!
//! Events carry no time of their own commit. So each hour notes the newest cursor it saw, and events up to that of an old
//! enough hour leave. The newest event always stays: cursors go on from it.

use std::collections::BTreeSet;

use tidegate_alarms::AlarmEvent;
use tidegate_protocol::{RangeSet, SeqRange};

use super::{
    LmdbStore, StoreError,
    keys::{self, Place},
    lmdb::{Table, Writer},
};
use crate::core::batch::{OriginNo, Quarantined};

/// How many rows one transaction takes out at most, lake files apart: commits wait for it.
const ROWS_AT_ONCE: usize = 2_000;

impl LmdbStore {
    /// Takes a lake file and its rows out; the file itself is to be deleted then. Returns the bytes in use.
    pub fn expire_file(&self, from: u64, runs: &[(OriginNo, SeqRange)]) -> Result<u64, StoreError> {
        let mut writer = self.lmdb.writer()?;
        let key = keys::number(from);
        let Some(file) = writer.get(Table::LakeFiles, &key)?.map(<[u8]>::to_vec) else {
            return writer.used_bytes();
        };
        for (no, range) in runs {
            let row = keys::index(*no, range.start);
            let known = writer.get(Table::Index, &row)?.map(keys::decode::<keys::IndexEntry>).transpose()?;
            if known.is_none_or(|known| known.place != Place::Lake(from)) {
                continue;
            }
            writer.delete(Table::Index, &row)?;
            let gone = writer.get(Table::Expired, &keys::origin(*no))?;
            let mut gone: RangeSet = gone.map(keys::decode).transpose()?.unwrap_or_default();
            gone.insert(*range);
            writer.put(Table::Expired, &keys::origin(*no), &keys::encode(&gone)?)?;
        }
        writer.delete(Table::LakeFiles, &key)?;
        writer.put(Table::Expiring, &key, &file)?;
        let used_bytes = writer.used_bytes()?;
        writer.commit()?;
        Ok(used_bytes)
    }

    /// The file is deleted.
    pub fn file_is_gone(&self, from: u64) -> Result<(), StoreError> {
        let mut writer = self.lmdb.writer()?;
        writer.delete(Table::Expiring, &keys::number(from))?;
        writer.commit()
    }

    /// Notes the newest event of this hour.
    pub fn note_hour(&self, unix_hour: u64) -> Result<(), StoreError> {
        let look = self.look()?;
        let newest = look.last_cursor()?;
        if newest == 0 || look.newest_noted_cursor()? == Some(newest) {
            return Ok(());
        }
        drop(look);
        let mut writer = self.lmdb.writer()?;
        writer.put(Table::EventHours, &keys::number(unix_hour), &keys::number(newest))?;
        writer.commit()
    }

    /// Takes out some events of hours before this one; says how many.
    pub fn trim_events(&self, before_unix_hour: u64) -> Result<usize, StoreError> {
        let Some((hour, noted)) = self.look()?.noted_before(before_unix_hour)? else { return Ok(0) };
        let mut writer = self.lmdb.writer()?;
        let newest = writer.last(Table::Events)?.map_or(Ok(0), |(key, _)| keys::read_number(key))?;
        let mut old = Vec::new();
        for pair in writer.scan(Table::Events, &[])?.take(ROWS_AT_ONCE) {
            let (key, value) = pair?;
            let cursor = keys::read_number(key)?;
            if cursor > noted || cursor >= newest {
                break;
            }
            let event: AlarmEvent =
                serde_json::from_slice(value).map_err(|_| StoreError::Damaged("an event does not decode"))?;
            old.push((cursor, event.id));
        }
        if old.is_empty() {
            writer.delete_range(Table::EventHours, &keys::number(0), &keys::number(hour))?;
        }
        for (cursor, id) in &old {
            writer.delete(Table::Events, &keys::number(*cursor))?;
            writer.delete(Table::EventIds, &keys::event_id(*id))?;
        }
        let undelivered = super::outbox::expire(&mut writer, &old)?;
        writer.commit()?;
        if undelivered > 0 {
            tracing::warn!(
                undelivered,
                "events are past their retention before they were delivered to all receivers"
            );
        }
        Ok(old.len())
    }

    /// Takes out some quarantined blocks that arrived before; says how many.
    pub fn trim_quarantine(&self, before_unix_ms: i64) -> Result<usize, StoreError> {
        let look = self.look()?;
        let mut old = Vec::new();
        look.quarantine(|key, block: Quarantined| {
            let is_old = block.arrival_unix_ms < before_unix_ms;
            if is_old {
                old.push(key.to_vec());
            }
            is_old && old.len() < ROWS_AT_ONCE
        })?;
        drop(look);
        self.delete_quarantined(&old)
    }

    /// Takes out some occurrences that cleared before; says how many. An origin without a clock counts by when it was heard
    /// of last, and only once it is sealed.
    pub fn trim_history(&self, before_unix_ms: i64) -> Result<usize, StoreError> {
        let look = self.look()?;
        let old = look.history_before(before_unix_ms, ROWS_AT_ONCE)?;
        drop(look);
        self.delete(Table::History, &old)
    }

    fn delete(&self, table: Table, rows: &[Vec<u8>]) -> Result<usize, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut writer: Writer<'_> = self.lmdb.writer()?;
        for key in rows {
            writer.delete(table, key)?;
        }
        writer.commit()?;
        Ok(rows.len())
    }

    /// The runs of these lake files: one pass over the index.
    pub fn runs_of_files(&self, files: &BTreeSet<u64>) -> Result<Vec<(u64, OriginNo, SeqRange)>, StoreError> {
        self.look()?.runs_of_files(files)
    }
}
