//! Events that are to be delivered: a row for each receiver and event, written in the transaction that commits the event,
//! deleted once it is delivered. What could not be delivered is parked, and stays for people to look at. A row does not
//! outlive its event, so `events_days` bounds this table too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_alarms::{AlarmEvent, EventId, TransitionKind};

use super::{
    LmdbStore, StoreError, keys,
    lmdb::{Table, Writer},
    look::Look,
};
use crate::{
    clock,
    delivery::{
        Filters,
        core::{OutboxRow, RowState},
    },
};

/// What is known of a receiver beside its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverRecord {
    /// It gets the events behind this cursor.
    pub since_cursor: u64,
    /// Why nothing is sent to it until somebody enables it.
    pub disabled: Option<String>,
    pub last_success_unix_ms: Option<i64>,
    pub last_error_unix_ms: Option<i64>,
    pub last_error: Option<String>,
}

/// What becomes of an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxChange {
    /// Delivered, or its event is gone.
    Delete {
        receiver: String,
        cursor: u64,
    },
    Put {
        receiver: String,
        cursor: u64,
        row: OutboxRow,
    },
    Receiver {
        receiver: String,
        record: ReceiverRecord,
    },
}

/// How many rows of a receiver are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    pub waiting: u64,
    pub parked: u64,
    pub oldest_waiting_unix_ms: Option<i64>,
}

/// A row with its event; `None`: the event is gone.
pub type Delivery = (u64, OutboxRow, Option<AlarmEvent>);

pub(super) fn queue(
    writer: &mut Writer<'_>,
    events: &[(u64, AlarmEvent)],
    filters: &Filters,
) -> Result<(), StoreError> {
    let mut now = None;
    for (cursor, event) in events {
        for receiver in filters.takers(event) {
            let queued_unix_ms = *now.get_or_insert_with(clock::unix_ms);
            let row = OutboxRow {
                queued_unix_ms,
                due_unix_ms: queued_unix_ms,
                over: event.late && is_over(event, events),
                ..OutboxRow::default()
            };
            writer.put(Table::Outbox, &keys::outbox(receiver, *cursor), &keys::encode(&row)?)?;
        }
    }
    Ok(())
}

/// Whether a commit that tells of an event also tells of its occurrence's end.
fn is_over(event: &AlarmEvent, events: &[(u64, AlarmEvent)]) -> bool {
    let ends = |(_, other): &(u64, AlarmEvent)| {
        other.transition == TransitionKind::Clear && other.occurrence == event.occurrence
    };
    events.iter().any(ends)
}

/// Deletes the rows of events that leave; says how many had not been delivered.
pub(super) fn expire(writer: &mut Writer<'_>, events: &[(u64, EventId)]) -> Result<u64, StoreError> {
    let receivers = receivers_in(writer)?;
    let mut undelivered = 0;
    for receiver in &receivers {
        for (cursor, _) in events {
            undelivered += u64::from(writer.delete(Table::Outbox, &keys::outbox(receiver, *cursor))?);
        }
    }
    Ok(undelivered)
}

fn receivers_in(writer: &Writer<'_>) -> Result<Vec<String>, StoreError> {
    let ids = writer.scan(Table::Receivers, &[])?.map(|pair| Ok(keys::read_receiver(pair?.0)?.to_owned()));
    ids.collect()
}

impl LmdbStore {
    /// From now on events are queued for these receivers. Those that are new start with what comes; the rows of those that are
    /// not there any more are dropped. Returns how many, by receiver.
    pub fn deliver_to(&self, filters: Filters) -> Result<Vec<(String, usize)>, StoreError> {
        let mut writer = self.lmdb.writer()?;
        let known = receivers_in(&writer)?;
        let mut dropped = Vec::new();
        for id in known.iter().filter(|id| !filters.ids().any(|wanted| wanted == *id)) {
            let rows = writer.delete_range(Table::Outbox, &keys::receiver(id), &keys::after_receiver(id))?;
            writer.delete(Table::Receivers, &keys::receiver(id))?;
            dropped.push((id.clone(), rows));
        }
        let since_cursor = writer.last(Table::Events)?.map_or(Ok(0), |(key, _)| keys::read_number(key))?;
        for id in filters.ids().filter(|id| !known.iter().any(|known| *known == **id)) {
            let record = ReceiverRecord { since_cursor, ..ReceiverRecord::default() };
            writer.put(Table::Receivers, &keys::receiver(id), &keys::encode(&record)?)?;
        }
        writer.commit()?;
        // Set once: a store is opened for one run of the ingest.
        let _first = self.filters.set(filters);
        Ok(dropped)
    }

    /// All of it in one transaction. A row that left with its event is not brought back.
    pub fn change_outbox(&self, changes: &[OutboxChange]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut writer = self.lmdb.writer()?;
        for change in changes {
            match change {
                OutboxChange::Delete { receiver, cursor } => {
                    writer.delete(Table::Outbox, &keys::outbox(receiver, *cursor))?;
                }
                OutboxChange::Put { receiver, cursor, row } => {
                    if writer.get(Table::Events, &keys::number(*cursor))?.is_some() {
                        writer.put(Table::Outbox, &keys::outbox(receiver, *cursor), &keys::encode(row)?)?;
                    }
                }
                OutboxChange::Receiver { receiver, record } => {
                    writer.put(Table::Receivers, &keys::receiver(receiver), &keys::encode(record)?)?;
                }
            }
        }
        writer.commit()
    }
}

impl Look<'_> {
    pub fn event(&self, cursor: u64) -> Result<Option<AlarmEvent>, StoreError> {
        let event = self.reader().get(Table::Events, &keys::number(cursor))?;
        event
            .map(serde_json::from_slice)
            .transpose()
            .map_err(|_| StoreError::Damaged("an event does not decode"))
    }

    pub fn receivers(&self) -> Result<BTreeMap<String, ReceiverRecord>, StoreError> {
        let rows = self.reader().scan(Table::Receivers, &[])?.map(|pair| {
            let (key, value) = pair?;
            Ok((keys::read_receiver(key)?.to_owned(), keys::decode(value)?))
        });
        rows.collect()
    }

    pub fn outbox_row(&self, receiver: &str, cursor: u64) -> Result<Option<OutboxRow>, StoreError> {
        self.reader().get(Table::Outbox, &keys::outbox(receiver, cursor))?.map(keys::decode).transpose()
    }

    /// A receiver's rows in this state behind a cursor, in the order of events.
    pub fn outbox(
        &self,
        receiver: &str,
        after: u64,
        state: RowState,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut rows = Vec::new();
        let from = keys::outbox(receiver, after.saturating_add(1));
        for pair in self.reader().scan(Table::Outbox, &from)? {
            let (key, value) = pair?;
            let (id, cursor) = keys::read_outbox(key)?;
            if id != receiver || rows.len() >= limit {
                break;
            }
            let row: OutboxRow = keys::decode(value)?;
            if row.state == state {
                rows.push((cursor, row, self.event(cursor)?));
            }
        }
        Ok(rows)
    }

    pub fn outbox_counts(&self) -> Result<BTreeMap<String, OutboxCounts>, StoreError> {
        let mut counts: BTreeMap<String, OutboxCounts> = BTreeMap::new();
        for pair in self.reader().scan(Table::Outbox, &[])? {
            let (key, value) = pair?;
            let (id, _) = keys::read_outbox(key)?;
            let row: OutboxRow = keys::decode(value)?;
            let of_receiver = match counts.get_mut(id) {
                Some(known) => known,
                None => counts.entry(id.to_owned()).or_default(),
            };
            match row.state {
                RowState::Parked => of_receiver.parked += 1,
                RowState::Waiting => {
                    of_receiver.waiting += 1;
                    let oldest = of_receiver.oldest_waiting_unix_ms.get_or_insert(row.queued_unix_ms);
                    *oldest = row.queued_unix_ms.min(*oldest);
                }
            }
        }
        Ok(counts)
    }
}
