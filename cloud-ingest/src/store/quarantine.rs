//! Blocks that are kept for people to look at: what does not decode, what came with a second content.
//!
//! A content is kept once, however often and by whomever it is sent; `meta` says under its SHA-256 which row that is, how often
//! it came, and who brought it last. Rows of before this was noted have no such entry, which is then made when the content comes
//! again. The oldest leave when more than [`MAX_QUARANTINE_BYTES`] is kept: their readings were never in custody here.

use serde::{Deserialize, Serialize};
use tidegate_protocol::topic::GatewayPath;

use super::{
    LmdbStore, Look, StoreError, keys,
    lmdb::{Table, Writer},
};
use crate::core::batch::Quarantined;

pub const MAX_QUARANTINE_BYTES: u64 = 64 * 1024 * 1024;

/// How often a content came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// The row that holds it.
    pub number: u64,
    pub times: u64,
    pub last_unix_ms: i64,
    pub last_from: GatewayPath,
}

impl Came {
    fn once(number: u64, block: &Quarantined) -> Self {
        Self { number, times: 1, last_unix_ms: block.arrival_unix_ms, last_from: block.from }
    }
}

pub(super) fn write(writer: &mut Writer<'_>, blocks: &[Quarantined]) -> Result<(), StoreError> {
    for block in blocks {
        let key = keys::quarantined(&block.content());
        let known = writer.get(Table::Meta, &key)?.map(keys::decode::<Came>).transpose()?;
        let known = match known {
            // What took the row out may not have known of this entry.
            Some(known) if holds(writer, known.number, block)? => Some(known),
            _ => None,
        };
        let came = match known {
            Some(known) => Came {
                times: known.times.saturating_add(1),
                last_unix_ms: block.arrival_unix_ms,
                last_from: block.from,
                ..known
            },
            None => {
                let last =
                    writer.last(Table::Quarantine)?.map(|(key, _)| keys::read_number(key)).transpose()?;
                let next = last.map_or(0, |last| last + 1);
                writer.append(Table::Quarantine, &keys::number(next), &keys::encode(block)?)?;
                Came::once(next, block)
            }
        };
        writer.put(Table::Meta, &key, &keys::encode(&came)?)?;
    }
    while !blocks.is_empty() && writer.table_bytes(Table::Quarantine)? > MAX_QUARANTINE_BYTES {
        let Some(oldest) = writer.first(Table::Quarantine)?.map(|(key, _)| key.to_vec()) else { break };
        delete(writer, &oldest)?;
    }
    Ok(())
}

fn holds(writer: &Writer<'_>, number: u64, block: &Quarantined) -> Result<bool, StoreError> {
    let row = writer.get(Table::Quarantine, &keys::number(number))?;
    let row = row.map(keys::decode::<Quarantined>).transpose()?;
    Ok(row.is_some_and(|row| row.content() == block.content()))
}

/// A row, and what is noted of its content.
fn delete(writer: &mut Writer<'_>, key: &[u8]) -> Result<(), StoreError> {
    let number = keys::read_number(key)?;
    if let Some(row) = writer.get(Table::Quarantine, key)? {
        let noted = keys::quarantined(&keys::decode::<Quarantined>(row)?.content());
        let came = writer.get(Table::Meta, &noted)?.map(keys::decode::<Came>).transpose()?;
        if came.is_some_and(|came| came.number == number) {
            writer.delete(Table::Meta, &noted)?;
        }
    }
    writer.delete(Table::Quarantine, key)?;
    Ok(())
}

impl LmdbStore {
    pub(super) fn delete_quarantined(&self, rows: &[Vec<u8>]) -> Result<usize, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut writer = self.lmdb.writer()?;
        for key in rows {
            delete(&mut writer, key)?;
        }
        writer.commit()?;
        Ok(rows.len())
    }
}

impl Look<'_> {
    /// Quarantined blocks behind a number, oldest first, until `each` says stop.
    pub fn quarantine_from(
        &self,
        from: u64,
        mut each: impl FnMut(u64, Quarantined, Came) -> bool,
    ) -> Result<(), StoreError> {
        for pair in self.reader().scan(Table::Quarantine, &keys::number(from))? {
            let (key, value) = pair?;
            let (number, block) = (keys::read_number(key)?, keys::decode::<Quarantined>(value)?);
            let came = self.came(number, &block)?;
            if !each(number, block, came) {
                break;
            }
        }
        Ok(())
    }

    fn came(&self, number: u64, block: &Quarantined) -> Result<Came, StoreError> {
        let noted = self.reader().get(Table::Meta, &keys::quarantined(&block.content()))?;
        let noted = noted.map(keys::decode::<Came>).transpose()?.filter(|came| came.number == number);
        Ok(noted.unwrap_or_else(|| Came::once(number, block)))
    }

    /// Rows in quarantine, and the bytes that they take.
    pub fn quarantine_size(&self) -> Result<(u64, u64), StoreError> {
        Ok((self.reader().rows(Table::Quarantine)?, self.reader().table_bytes(Table::Quarantine)?))
    }
}
