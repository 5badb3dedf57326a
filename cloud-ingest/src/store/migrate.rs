//! A store of the format before into the present one, in one transaction: a crash leaves the old or the new.
//!
//! Format 3 held no settings of channels.
//! Format 2 neither, and did not note which readings were stored before a better clock anchor was known.
//! Format 1 lacked both, had every origin's loss reasons in fixed places, and did not note when an origin was first and last heard of.

use serde::Deserialize;
use tidegate_protocol::{ClockAnchor, GatewayId, LossReason, Origin, RangeSet, SiteId, block::Tail};

use super::{
    StoreError, keys,
    lmdb::{Lmdb, Table},
};
use crate::core::{batch::OriginRecord, ledger::Ledger};

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
    let mut rows: Vec<(Vec<u8>, OriginRecord1)> = Vec::new();
    for pair in writer.scan(Table::Origins, &[])? {
        let (key, value) = pair?;
        rows.push((key.to_vec(), keys::decode(value)?));
    }
    // Of some there were only records, without a time: they were heard of by then at the latest.
    let newest = rows.iter().map(|(_, row)| row.last_arrival_unix_ms).max().unwrap_or(0);
    for (key, row) in rows {
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
    writer.put(Table::Meta, keys::META_FORMAT, &keys::encode(&keys::FORMAT)?)?;
    writer.commit()
}

/// The rows of origins end in one field more; nothing was noted in it.
pub(super) fn from_2(lmdb: &Lmdb) -> Result<(), StoreError> {
    let nothing = keys::encode(&RangeSet::default())?;
    let mut writer = lmdb.writer()?;
    for table in [Table::Origins, Table::Sealed] {
        let mut rows = Vec::new();
        for pair in writer.scan(table, &[])? {
            let (key, value) = pair?;
            rows.push((key.to_vec(), [value, nothing.as_slice()].concat()));
        }
        for (key, value) in rows {
            writer.put(table, &key, &value)?;
        }
    }
    writer.put(Table::Meta, keys::META_FORMAT, &keys::encode(&keys::FORMAT)?)?;
    writer.commit()
}

/// A table more, which opening it has made: nothing was ever wanted of a channel.
pub(super) fn from_3(lmdb: &Lmdb) -> Result<(), StoreError> {
    let mut writer = lmdb.writer()?;
    writer.put(Table::Meta, keys::META_FORMAT, &keys::encode(&keys::FORMAT)?)?;
    writer.commit()
}
