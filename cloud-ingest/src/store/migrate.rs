//! A store of the format before into the present one, in one transaction: a crash leaves the old or the new.
//!
//! Format 5 held nothing of how old the queues of gateways are.
//! Format 4 neither, and had alarm history in the order of channels and rules, kept no states on the way, kept an alarm's latest
//! occurrence without its life cycle, no log of what operators did with alarms, and nothing that is to be delivered.
//! Format 3 neither, and held no settings of channels.
//! Format 2 lacked all that, and did not note which readings were stored before a better clock anchor was known.
//! Format 1 lacked that too, had every origin's loss reasons in fixed places, and did not note when an origin was first and last heard of.

use serde::Deserialize;
use tidegate_alarms::{AlarmEvent, Lifecycle, lifecycle::Seen};
use tidegate_protocol::{ClockAnchor, GatewayId, LossReason, Origin, RangeSet, SiteId, block::Tail};

use super::{
    StoreError,
    alarms::AlarmRecord,
    commit, keys,
    lmdb::{Lmdb, Table, Writer},
    look::from_json,
};
use crate::core::{
    batch::{Occurrence, OriginRecord},
    ledger::Ledger,
    set_back::QueueHistory,
};

#[derive(Deserialize)]
struct OriginRecord1 {
    site: SiteId,
    origin: Origin,
    ledger: Ledger1,
    anchor: Option<ClockAnchor>,
    gateways: Vec<GatewayId>,
    settled: u64,
    duplicates: u64,
    conflicts: RangeSet,
    last_arrival_unix_ms: i64,
    superseded: bool,
}

#[derive(Deserialize)]
struct Ledger1 {
    stored: RangeSet,
    lost: [RangeSet; 6],
    reported_next: u64,
    tail: Option<Tail>,
    recovered: u64,
}

pub(super) fn from_1(lmdb: &Lmdb) -> Result<(), StoreError> {
    let mut writer = lmdb.writer()?;
    let mut origins: Vec<(Vec<u8>, OriginRecord1)> = Vec::new();
    for (key, value) in rows(&writer, Table::Origins)? {
        origins.push((key, keys::decode(&value)?));
    }
    // Of some there were only records, without a time: they were heard of by then at the latest.
    let newest = origins.iter().map(|(_, row)| row.last_arrival_unix_ms).max().unwrap_or(0);
    for (key, row) in origins {
        let heard = if row.last_arrival_unix_ms > 0 { row.last_arrival_unix_ms } else { newest };
        let Ledger1 { stored, lost, reported_next, tail, recovered } = row.ledger;
        let lost = LossReason::ALL.into_iter().zip(lost);
        let record = OriginRecord {
            ledger: Ledger::from_parts(stored, lost, reported_next, tail, recovered),
            anchor: row.anchor,
            gateways: row.gateways,
            settled: row.settled,
            duplicates: row.duplicates,
            conflicts: row.conflicts,
            last_arrival_unix_ms: row.last_arrival_unix_ms,
            first_heard_unix_ms: heard,
            last_heard_unix_ms: heard,
            superseded: row.superseded,
            ..OriginRecord::new(row.site, row.origin)
        };
        writer.put(Table::Origins, &key, &keys::encode(&record)?)?;
    }
    reach_6(writer)
}

/// The rows of origins end in one field more; nothing was noted in it.
pub(super) fn from_2(lmdb: &Lmdb) -> Result<(), StoreError> {
    let nothing = keys::encode(&RangeSet::default())?;
    let mut writer = lmdb.writer()?;
    for table in [Table::Origins, Table::Sealed] {
        for (key, value) in rows(&writer, table)? {
            writer.put(table, &key, &[value, nothing.clone()].concat())?;
        }
    }
    reach_6(writer)
}

/// A table more, which opening it has made: nothing was ever wanted of a channel.
pub(super) fn from_3(lmdb: &Lmdb) -> Result<(), StoreError> {
    reach_6(lmdb.writer()?)
}

pub(super) fn from_4(lmdb: &Lmdb) -> Result<(), StoreError> {
    reach_6(lmdb.writer()?)
}

pub(super) fn from_5(lmdb: &Lmdb) -> Result<(), StoreError> {
    gateways_get_a_queue_history(lmdb.writer()?)
}

/// What formats 5 and 6 changed, for all formats before.
fn reach_6(mut writer: Writer<'_>) -> Result<(), StoreError> {
    for (key, value) in rows(&writer, Table::History)? {
        let occurrence: Occurrence = keys::decode(&value)?;
        writer.delete(Table::History, &key)?;
        writer.put(Table::History, &keys::occurrence(keys::read_origin(&key)?, &occurrence), &value)?;
    }
    for (key, value) in rows(&writer, Table::Settled)? {
        writer.put(Table::Settled, &key, &[value.as_slice(), &[0, 0]].concat())?;
    }
    alarms_get_a_life_cycle(&mut writer)?;
    gateways_get_a_queue_history(writer)
}

/// What format 6 changed: the rows of gateways end in one field more; nothing was heard of their queues.
fn gateways_get_a_queue_history(mut writer: Writer<'_>) -> Result<(), StoreError> {
    let nothing = keys::encode(&QueueHistory::default())?;
    for (key, value) in rows(&writer, Table::Gateways)? {
        writer.put(Table::Gateways, &key, &[value, nothing.clone()].concat())?;
    }
    writer.put(Table::Meta, keys::META_FORMAT, &keys::encode(&keys::FORMAT)?)?;
    writer.commit()
}

/// A key and its value.
type Row = (Vec<u8>, Vec<u8>);

fn rows(writer: &Writer<'_>, table: Table) -> Result<Vec<Row>, StoreError> {
    writer.scan(table, &[])?.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
}

#[derive(Deserialize)]
struct AlarmRecord4 {
    raised: Option<AlarmEvent>,
    cleared: Option<AlarmEvent>,
}

/// Nobody could acknowledge them.
fn alarms_get_a_life_cycle(writer: &mut Writer<'_>) -> Result<(), StoreError> {
    for (key, value) in rows(writer, Table::Alarms)? {
        let AlarmRecord4 { raised, cleared } = from_json(&value)?;
        let newest = cleared.as_ref().or(raised.as_ref());
        let latest = newest.map(|event| Seen { occurrence: event.occurrence, transition: event.id });
        let lifecycle = Lifecycle {
            active: raised.is_some() && cleared.is_none(),
            acknowledged: newest.is_none(),
            latest,
            ..Lifecycle::default()
        };
        let newest = newest.map(|event| event.id);
        let record = AlarmRecord { raised, cleared, done: None, newest, lifecycle };
        writer.put(Table::Alarms, &key, &commit::json(&record)?)?;
    }
    Ok(())
}
