//! A batch into one transaction.

use std::collections::BTreeSet;

use tidegate_alarms::AlarmEvent;
use tidegate_protocol::SeqRange;

use super::{
    Receipt, StoreError, alarms, damage,
    keys::{self, IndexEntry, Place},
    lmdb::{Lmdb, Table, Writer},
    outbox, quarantine, seal,
};
use crate::{
    core::{
        batch::{Batch, Entry, HistoryChange, OriginNo},
        rulebook::RulesChange,
    },
    delivery::Filters,
    failpoint::FailPoint,
};

pub(super) fn write(lmdb: &Lmdb, batch: &Batch, filters: Option<&Filters>) -> Result<Receipt, StoreError> {
    let mut writer = lmdb.writer()?;
    let mut scratch = Vec::new();
    let damaged = damage::write(&mut writer, &batch.damaged)?;
    for entry in &batch.entries {
        write_entry(&mut writer, entry, &mut scratch)?;
    }
    if let Some(last) = batch.entries.last() {
        writer.put(Table::Meta, keys::META_POSITION, &keys::number(last.position + 1))?;
    }
    for (no, record) in &batch.origins {
        writer.put(Table::Origins, &keys::origin(*no), &keys::encode(record)?)?;
    }
    for (no, description) in &batch.descriptions {
        writer.put(Table::Descriptions, &keys::origin(*no), &keys::encode(description)?)?;
    }
    for (path, record) in &batch.gateways {
        writer.put(Table::Gateways, &keys::gateway(*path), &keys::encode(record)?)?;
    }
    for (path, standing) in &batch.rules_standing {
        writer.put(Table::RulesStanding, &keys::gateway(*path), &keys::encode(standing)?)?;
    }
    for (key, record) in &batch.settings {
        writer.put(Table::Settings, &keys::channel(*key), &keys::encode(record)?)?;
    }
    for ((site, device), record) in &batch.live {
        writer.put(Table::Live, &keys::device(*site, *device), &keys::encode(record)?)?;
    }
    for (no, record) in &batch.settled {
        writer.put(Table::Settled, &keys::origin(*no), &keys::encode(record)?)?;
    }
    write_history(&mut writer, &batch.history)?;
    write_rules(&mut writer, &batch.rules)?;
    for (no, sealed) in &batch.sealed {
        seal::write(&mut writer, *no, sealed)?;
    }
    // What damage takes of an open origin is in its ledger already.
    seal::count_damaged(&mut writer, &damaged)?;
    seal::count_refused(&mut writer, &batch.refused)?;
    for operation in &batch.operations {
        let last = writer.last(Table::Operations)?.map(|(key, _)| keys::read_number(key)).transpose()?;
        let next = last.map_or(0, |last| last + 1);
        writer.append(Table::Operations, &keys::number(next), &keys::encode(operation)?)?;
    }
    super::summaries::write(&mut writer, &batch.summaries)?;
    quarantine::write(&mut writer, &batch.quarantine)?;
    let events = write_events(&mut writer, &batch.events)?;
    if let Some(filters) = filters {
        outbox::queue(&mut writer, &events, filters)?;
    }
    let used_bytes = writer.used_bytes()?;
    FailPoint::BeforeCommit.hit();
    if FailPoint::CommitError.fails() {
        return Err(StoreError::Disk("a failure that a test asked for".to_owned()));
    }
    writer.commit()?;
    FailPoint::AfterCommitBeforeAck.hit();
    Ok(Receipt { used_bytes, events })
}

fn write_entry(writer: &mut Writer<'_>, entry: &Entry, scratch: &mut Vec<u8>) -> Result<(), StoreError> {
    keys::encode_entry(&entry.head, &entry.block, scratch)?;
    writer.append(Table::Journal, &keys::number(entry.position), scratch)?;
    for accepted in &entry.head.accepted {
        let value = IndexEntry {
            len: accepted.range.len(),
            place: Place::Journal(entry.position),
            ticks: accepted.ticks,
        };
        writer.put(
            Table::Index,
            &keys::index(accepted.origin, accepted.range.start),
            &keys::encode(&value)?,
        )?;
    }
    Ok(())
}

fn write_history(writer: &mut Writer<'_>, changes: &[HistoryChange]) -> Result<(), StoreError> {
    for change in changes {
        match change {
            HistoryChange::Retold { origin, range, raised } => {
                let kept: BTreeSet<_> = raised
                    .iter()
                    .map(|(seq, channel, rule)| keys::raised(*origin, *seq, *channel, rule))
                    .collect();
                forget_untold(writer, *origin, *range, &kept)?;
            }
            HistoryChange::Checkpoint(no, checkpoint) => {
                let key = keys::index(*no, checkpoint.seq);
                writer.put(Table::Checkpoints, &key, &keys::encode(&checkpoint.states)?)?;
            }
            HistoryChange::Put(no, occurrence) => {
                writer.put(Table::History, &keys::occurrence(*no, occurrence), &keys::encode(occurrence)?)?;
            }
        }
    }
    Ok(())
}

fn write_rules(writer: &mut Writer<'_>, changes: &[RulesChange]) -> Result<(), StoreError> {
    for RulesChange { rules, edition, operation } in changes {
        for rule in rules {
            writer.put(Table::Rules, &keys::rule(rule.id()), &keys::encode(rule)?)?;
        }
        writer.put(Table::Meta, keys::META_RULES_EDITION, &keys::number(*edition))?;
        if let Some(operation) = operation {
            writer.put(Table::RulesLog, &keys::number(*edition), &json(operation)?)?;
        }
    }
    Ok(())
}

/// Of what was raised in the range stays what is kept; checkpoints behind its start leave.
fn forget_untold(
    writer: &mut Writer<'_>,
    no: OriginNo,
    range: SeqRange,
    kept: &BTreeSet<Vec<u8>>,
) -> Result<(), StoreError> {
    let end = keys::index(no, range.end);
    let mut untold = Vec::new();
    for pair in writer.scan(Table::History, &keys::index(no, range.start))? {
        let (key, _) = pair?;
        if key >= end.as_slice() {
            break;
        }
        if !kept.contains(key) {
            untold.push(key.to_vec());
        }
    }
    for key in untold {
        writer.delete(Table::History, &key)?;
    }
    let behind = |seq: u64| keys::index(no, seq.saturating_add(1));
    writer.delete_range(Table::Checkpoints, &behind(range.start), &behind(range.end))?;
    Ok(())
}

/// Stores events that are not stored yet: what a replay or a second look tells again has the same id.
fn write_events(
    writer: &mut Writer<'_>,
    events: &[AlarmEvent],
) -> Result<Vec<(u64, AlarmEvent)>, StoreError> {
    let mut written = Vec::new();
    let last = writer.last(Table::Events)?.map(|(key, _)| keys::read_number(key)).transpose()?;
    let base = writer.get(Table::Meta, keys::META_CURSOR_BASE)?.map(keys::read_number).transpose()?;
    // Cursors start at 1, so that 0 means "from the beginning".
    let mut cursor = last.max(base).unwrap_or(0);
    for event in events {
        let id = keys::event_id(event.id);
        if writer.get(Table::EventIds, &id)?.is_some() {
            continue;
        }
        cursor += 1;
        writer.append(Table::Events, &keys::number(cursor), &json(event)?)?;
        writer.put(Table::EventIds, &id, &keys::number(cursor))?;
        alarms::write(writer, event)?;
        written.push((cursor, event.clone()));
    }
    Ok(written)
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|_| StoreError::Damaged("an event does not encode"))
}
