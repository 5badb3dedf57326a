//! Journal entries that cannot be read any more: out of the journal and its index, into quarantine. Which readings one was
//! to hold is taken from the index, since the entry's own head may be what is damaged.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_protocol::{GatewayId, SeqRange, SiteId, ack::RejectReason, topic::GatewayPath};

use super::{
    Look, StoreError,
    keys::{self, IndexEntry, Place},
    lmdb::{Table, Writer},
    quarantine,
};
use crate::core::batch::{Damaged, OriginNo, Quarantined};

/// Returns how many readings went with them, by origin.
pub(super) fn write(
    writer: &mut Writer<'_>,
    damaged: &[Damaged],
) -> Result<Vec<(OriginNo, u64)>, StoreError> {
    let mut kept = Vec::new();
    let mut gone = Vec::new();
    for Damaged { position, ranges } in damaged {
        let key = keys::number(*position);
        let Some(value) = writer.get(Table::Journal, &key)? else {
            // The ledger must not call lost what went to the lake since, or was stored anew.
            for (no, range) in ranges {
                if is_stored(writer, *no, *range)? {
                    return Err(StoreError::Elsewhere { position: *position });
                }
            }
            continue;
        };
        kept.push(quarantined(*position, value)?);
        writer.delete(Table::Journal, &key)?;
        for (no, range) in ranges {
            let row = keys::index(*no, range.start);
            let known = writer.get(Table::Index, &row)?.map(keys::decode::<IndexEntry>).transpose()?;
            if let Some(known) = known.filter(|known| known.place == Place::Journal(*position)) {
                writer.delete(Table::Index, &row)?;
                gone.push((*no, known.len));
            }
        }
    }
    quarantine::write(writer, &kept)?;
    Ok(gone)
}

/// Whether readings of a range are stored, wherever that is.
fn is_stored(writer: &Writer<'_>, no: OriginNo, range: SeqRange) -> Result<bool, StoreError> {
    let start = keys::index(no, range.start);
    if let Some((key, value)) = writer.floor(Table::Index, &start)? {
        let (of, first) = keys::read_index(key)?;
        let IndexEntry { len, .. } = keys::decode(value)?;
        if of == no && !keys::part_of(first, len, range).is_empty() {
            return Ok(true);
        }
    }
    let Some(next) = writer.scan(Table::Index, &start)?.next() else { return Ok(false) };
    let (of, first) = keys::read_index(next?.0)?;
    Ok(of == no && first < range.end)
}

fn quarantined(position: u64, value: &[u8]) -> Result<Quarantined, StoreError> {
    let unnamed = |_| StoreError::Damaged("a name is not accepted");
    // Who sent it stands in the head; without that, only its bytes are left.
    let (from, arrival_unix_ms, block) = match keys::decode_entry(value) {
        Ok((head, block)) => (head.from, head.arrival_unix_ms, block),
        Err(_) => {
            let site = SiteId::new("unknown").map_err(unnamed)?;
            (GatewayPath::new(site, GatewayId::new("unknown").map_err(unnamed)?), 0, value)
        }
    };
    Ok(Quarantined {
        from,
        arrival_unix_ms,
        reason: RejectReason::Corrupt,
        because: format!("the journal's entry {position} was damaged after it was stored"),
        bytes: block.to_vec(),
    })
}

impl Look<'_> {
    /// What these entries were to hold. Goes through the whole index: damage is rare.
    pub fn damage_at(&self, positions: &BTreeSet<u64>) -> Result<Vec<Damaged>, StoreError> {
        let mut ranges: BTreeMap<u64, Vec<(OriginNo, SeqRange)>> =
            positions.iter().map(|position| (*position, Vec::new())).collect();
        self.index(|no, run| {
            if let Place::Journal(position) = run.place
                && let Some(ranges) = ranges.get_mut(&position)
            {
                ranges.push((no, run.range));
            }
            Ok(())
        })?;
        Ok(ranges.into_iter().map(|(position, ranges)| Damaged { position, ranges }).collect())
    }
}
