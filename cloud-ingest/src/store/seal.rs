//! Sealed origins: one row each, and the channel lists that a device's boots have in common. Index rows stay, under the
//! same number, as long as the lake has what they point at.

use tidegate_protocol::{BootId, Origin, block::Description};

use super::{
    StoreError,
    keys::{self, SealedRow},
    lmdb::{Table, Writer},
};
use crate::core::{
    batch::OriginNo,
    seal::{Sealed, SealedRecord},
};

/// So many channel lists of a device are looked through for the same one; a device whose boots differ more often
/// than that has doubles.
const LISTS_COMPARED: usize = 16;

/// The rows that an open origin has beside its index and history.
const OF_OPEN_ORIGINS: [Table; 4] = [Table::Origins, Table::Descriptions, Table::Settled, Table::Latest];

pub(super) fn write(writer: &mut Writer<'_>, no: OriginNo, sealed: &Sealed) -> Result<(), StoreError> {
    let channels =
        sealed.description.as_ref().map(|known| channel_list(writer, sealed, known)).transpose()?;
    let (record, corrected) = (sealed.record.clone(), sealed.corrected.clone());
    let row = SealedRow { record, channels, corrected };
    let key = keys::origin(no);
    for table in OF_OPEN_ORIGINS {
        writer.delete(table, &key)?;
    }
    writer.delete_range(Table::Checkpoints, &keys::origin(no), &keys::after_origin(no))?;
    writer.put(Table::Sealed, &key, &keys::encode(&row)?)
}

/// The number of the description in its device's lists, where it is put unless it is there.
fn channel_list(
    writer: &mut Writer<'_>,
    sealed: &Sealed,
    description: &Description,
) -> Result<u32, StoreError> {
    let (site, origin) = (sealed.record.site, sealed.record.origin);
    // Of no boot, so that those of all boots can be the same.
    let of_device = Description { origin: Origin::new(origin.device, BootId(0)), ..description.clone() };
    let value = keys::encode(&of_device)?;
    let mut last = None;
    let from = keys::channel_list(site, origin.device, u32::MAX);
    for pair in writer.scan_back(Table::ChannelLists, &from)?.take(LISTS_COMPARED) {
        let (key, known) = pair?;
        let Some((prefix, number)) = key.split_last_chunk::<4>() else { break };
        if !from.starts_with(prefix) || prefix.len() + 4 != from.len() {
            break;
        }
        let number = u32::from_be_bytes(*number);
        if known == value {
            return Ok(number);
        }
        last = last.max(Some(number));
    }
    let number = last.map_or(0, |last| last.saturating_add(1));
    writer.put(Table::ChannelLists, &keys::channel_list(site, origin.device, number), &value)?;
    Ok(number)
}

pub(super) fn count_refused(writer: &mut Writer<'_>, refused: &[(OriginNo, u64)]) -> Result<(), StoreError> {
    change(writer, refused, |record, count| record.refused = record.refused.saturating_add(count))
}

/// Readings of sealed origins whose journal entry was damaged before the lake had them.
pub(super) fn count_damaged(writer: &mut Writer<'_>, damaged: &[(OriginNo, u64)]) -> Result<(), StoreError> {
    change(writer, damaged, SealedRecord::corrupt)
}

/// Changes the rows of those that are sealed.
fn change(
    writer: &mut Writer<'_>,
    counts: &[(OriginNo, u64)],
    apply: impl Fn(&mut SealedRecord, u64),
) -> Result<(), StoreError> {
    for (no, count) in counts {
        let key = keys::origin(*no);
        let Some(row) = writer.get(Table::Sealed, &key)? else { continue };
        let mut row: SealedRow = keys::decode(row)?;
        apply(&mut row.record, *count);
        writer.put(Table::Sealed, &key, &keys::encode(&row)?)?;
    }
    Ok(())
}
