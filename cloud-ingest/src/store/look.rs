//! One committed state, for those who ask: a read transaction. What a roll trims meanwhile stays visible here, so that a
//! look never sees a reading twice or not at all.

use std::collections::BTreeSet;

use tidegate_alarms::AlarmEvent;
use tidegate_protocol::{
    ClockAnchor, DeviceId, Origin, RangeSet, Reading, SeqRange, SiteId, block::Description,
    topic::GatewayPath,
};

use super::{
    StoreError,
    keys::{self, IndexEntry, Intent, LakeFile, Place, SealedRow},
    lmdb::{Reader, Table},
};
use crate::core::{
    batch::{EntryHead, GatewayRecord, LiveRecord, OriginNo, OriginRecord, Quarantined, SettledRecord},
    bringing::RulesStanding,
    retire::Operation,
    seal::SealedRecord,
};

pub struct Look<'e> {
    reader: Reader<'e>,
}

/// A run of stored readings, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub range: SeqRange,
    pub place: Place,
    pub ticks: (u64, u64),
}

/// What must be known of an origin to show its readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub site: SiteId,
    pub origin: Origin,
    pub anchor: Option<ClockAnchor>,
    /// Stored when a worse anchor was the best.
    pub corrected: RangeSet,
}

impl From<&OriginRecord> for Owner {
    fn from(record: &OriginRecord) -> Self {
        let (site, origin, anchor) = (record.site, record.origin, record.anchor);
        Self { site, origin, anchor, corrected: record.corrected.clone() }
    }
}

impl From<SealedRow> for Owner {
    fn from(row: SealedRow) -> Self {
        let SealedRow { record, corrected, .. } = row;
        Self { site: record.site, origin: record.origin, anchor: record.anchor, corrected }
    }
}

/// The live alarm states of a device.
pub type LiveOfDevice = ((SiteId, DeviceId), LiveRecord);

impl<'e> Look<'e> {
    pub(super) fn new(reader: Reader<'e>) -> Self {
        Self { reader }
    }

    pub(super) const fn reader(&self) -> &Reader<'e> {
        &self.reader
    }

    /// The position that the next journal entry gets.
    pub fn next_position(&self) -> Result<u64, StoreError> {
        self.reader.get(Table::Meta, keys::META_POSITION)?.map_or(Ok(0), keys::read_number)
    }

    pub fn format(&self) -> Result<Option<u32>, StoreError> {
        self.reader.get(Table::Meta, keys::META_FORMAT)?.map(keys::decode).transpose()
    }

    /// How often this ledger was rolled back by a restore.
    pub fn ledger_count(&self) -> Result<u32, StoreError> {
        self.reader.get(Table::Meta, keys::META_LEDGER)?.map_or(Ok(0), keys::decode)
    }

    pub fn used_bytes(&self) -> Result<u64, StoreError> {
        self.reader.used_bytes()
    }

    /// What the journal takes of the store.
    pub fn journal_bytes(&self) -> Result<u64, StoreError> {
        self.reader.table_bytes(Table::Journal)
    }

    /// What is neither journal nor index: ledgers, alarms, quarantine.
    pub fn ledger_bytes(&self) -> Result<u64, StoreError> {
        let others = [Table::Journal, Table::Index].map(|table| self.reader.table_bytes(table));
        let others = others.into_iter().sum::<Result<u64, StoreError>>()?;
        Ok(self.reader.used_bytes()?.saturating_sub(others))
    }

    /// All origins that are not sealed, by number.
    pub fn origins(&self) -> Result<Vec<(OriginNo, OriginRecord)>, StoreError> {
        self.all(Table::Origins, keys::read_origin)
    }

    pub fn origin(&self, no: OriginNo) -> Result<Option<OriginRecord>, StoreError> {
        self.reader.get(Table::Origins, &keys::origin(no))?.map(keys::decode).transpose()
    }

    /// An origin's channels, sealed or not.
    pub fn description(&self, no: OriginNo) -> Result<Option<Description>, StoreError> {
        let open = self.reader.get(Table::Descriptions, &keys::origin(no))?;
        if let Some(known) = open {
            return keys::decode(known).map(Some);
        }
        let Some(SealedRow { record, channels: Some(number), .. }) = self.sealed_row(no)? else {
            return Ok(None);
        };
        let key = keys::channel_list(record.site, record.origin.device, number);
        let list =
            self.reader.get(Table::ChannelLists, &key)?.map(keys::decode::<Description>).transpose()?;
        Ok(list.map(|list| Description { origin: record.origin, ..list }))
    }

    fn sealed_row(&self, no: OriginNo) -> Result<Option<SealedRow>, StoreError> {
        self.reader.get(Table::Sealed, &keys::origin(no))?.map(keys::decode).transpose()
    }

    /// All sealed origins, by number.
    pub fn sealed(&self) -> Result<Vec<(OriginNo, SealedRecord)>, StoreError> {
        let rows = self.all::<_, SealedRow>(Table::Sealed, keys::read_origin)?;
        Ok(rows.into_iter().map(|(no, row)| (no, row.record)).collect())
    }

    /// Whose readings they are, sealed or not.
    pub fn owner(&self, no: OriginNo) -> Result<Option<Owner>, StoreError> {
        if let Some(record) = self.origin(no)? {
            return Ok(Some(Owner::from(&record)));
        }
        Ok(self.sealed_row(no)?.map(Owner::from))
    }

    /// The owners of all readings, by number.
    pub fn owners(&self) -> Result<Vec<(OriginNo, Owner)>, StoreError> {
        let sealed = self.all::<_, SealedRow>(Table::Sealed, keys::read_origin)?;
        let mut owners: Vec<_> = sealed.into_iter().map(|(no, row)| (no, Owner::from(row))).collect();
        owners.extend(self.origins()?.iter().map(|(no, record)| (*no, Owner::from(record))));
        owners.sort_unstable_by_key(|(no, _)| *no);
        Ok(owners)
    }

    pub fn gateways(&self) -> Result<Vec<(GatewayPath, GatewayRecord)>, StoreError> {
        self.all(Table::Gateways, keys::read_gateway)
    }

    /// What gateways made of the rules that they were offered.
    pub fn rules_standing(&self) -> Result<Vec<(GatewayPath, RulesStanding)>, StoreError> {
        self.all(Table::RulesStanding, keys::read_gateway)
    }

    pub fn live(&self) -> Result<Vec<LiveOfDevice>, StoreError> {
        self.all(Table::Live, keys::read_device)
    }

    pub fn settled(&self) -> Result<Vec<(OriginNo, SettledRecord)>, StoreError> {
        self.all(Table::Settled, keys::read_origin)
    }

    /// The newest readings per channel among those in the lake.
    pub fn latest(&self) -> Result<Vec<(OriginNo, Vec<Reading>)>, StoreError> {
        self.all(Table::Latest, keys::read_origin)
    }

    /// The runs of an origin that meet `wanted`, ascending; each is called with its whole range until `each` says stop.
    pub fn runs(
        &self,
        no: OriginNo,
        wanted: SeqRange,
        mut each: impl FnMut(Run) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let start = keys::index(no, wanted.start);
        // The run that holds the first wanted seq may begin before it.
        let from = match self.reader.floor(Table::Index, &start)? {
            Some((key, _)) if keys::read_index(key)?.0 == no => key.to_vec(),
            _ => start.to_vec(),
        };
        for pair in self.reader.scan(Table::Index, &from)? {
            let (key, value) = pair?;
            let (found, first) = keys::read_index(key)?;
            if found != no || first >= wanted.end {
                break;
            }
            let IndexEntry { len, place, ticks } = keys::decode(value)?;
            let range = SeqRange::new(first, first.saturating_add(len));
            if range.end > wanted.start && !each(Run { range, place, ticks })? {
                break;
            }
        }
        Ok(())
    }

    pub fn journal_entry(&self, position: u64) -> Result<Option<(EntryHead, &[u8])>, StoreError> {
        self.reader.get(Table::Journal, &keys::number(position))?.map(keys::decode_entry).transpose()
    }

    /// Journal entries from a position on, until `each` says stop.
    pub fn journal(
        &self,
        from: u64,
        mut each: impl FnMut(u64, EntryHead, &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for pair in self.reader.scan(Table::Journal, &keys::number(from))? {
            let (key, value) = pair?;
            let (head, block) = keys::decode_entry(value)?;
            if !each(keys::read_number(key)?, head, block)? {
                break;
            }
        }
        Ok(())
    }

    /// Every row of the index.
    pub fn index(
        &self,
        mut each: impl FnMut(OriginNo, Run) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for pair in self.reader.scan(Table::Index, &[])? {
            let (key, value) = pair?;
            let (no, first) = keys::read_index(key)?;
            let IndexEntry { len, place, ticks } = keys::decode(value)?;
            each(no, Run { range: SeqRange::new(first, first.saturating_add(len)), place, ticks })?;
        }
        Ok(())
    }

    /// Journal entries from a position on, until `each` says stop; one whose head is damaged has none.
    pub fn journal_as_it_is(
        &self,
        from: u64,
        mut each: impl FnMut(u64, Option<EntryHead>, &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for pair in self.reader.scan(Table::Journal, &keys::number(from))? {
            let (key, value) = pair?;
            let (head, block) = match keys::decode_entry(value) {
                Ok((head, block)) => (Some(head), block),
                Err(_) => (None, value),
            };
            if !each(keys::read_number(key)?, head, block)? {
                break;
            }
        }
        Ok(())
    }

    /// The newest journal entries, newest first, until `each` says stop.
    pub fn journal_back(
        &self,
        mut each: impl FnMut(EntryHead, &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for pair in self.reader.scan_back(Table::Journal)? {
            // A damaged entry must not keep the ingest from starting.
            let Ok((head, block)) = keys::decode_entry(pair?.1) else { continue };
            if !each(head, block)? {
                break;
            }
        }
        Ok(())
    }

    pub fn lake_file(&self, from: u64) -> Result<Option<LakeFile>, StoreError> {
        self.reader.get(Table::LakeFiles, &keys::number(from))?.map(keys::decode).transpose()
    }

    pub fn lake_files(&self) -> Result<Vec<(u64, LakeFile)>, StoreError> {
        self.all(Table::LakeFiles, keys::read_number)
    }

    pub fn intent(&self) -> Result<Option<Intent>, StoreError> {
        self.reader.get(Table::Meta, keys::META_INTENT)?.map(keys::decode).transpose()
    }

    /// Events behind a cursor, in order.
    pub fn events_after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, AlarmEvent)>, StoreError> {
        let from = keys::number(cursor.saturating_add(1));
        let events = self.reader.scan(Table::Events, &from)?.take(limit).map(|pair| {
            let (key, value) = pair?;
            Ok((keys::read_number(key)?, from_json(value)?))
        });
        events.collect()
    }

    /// The cursor of the newest event; 0 where there is none.
    pub fn last_cursor(&self) -> Result<u64, StoreError> {
        self.reader.last(Table::Events)?.map_or(Ok(0), |(key, _)| keys::read_number(key))
    }

    /// Quarantined blocks, oldest first, until `each` says stop.
    pub fn quarantine(&self, mut each: impl FnMut(&[u8], Quarantined) -> bool) -> Result<(), StoreError> {
        for pair in self.reader.scan(Table::Quarantine, &[])? {
            let (key, value) = pair?;
            if !each(key, keys::decode(value)?) {
                break;
            }
        }
        Ok(())
    }

    /// The newest cursor that an hour noted.
    pub(super) fn newest_noted_cursor(&self) -> Result<Option<u64>, StoreError> {
        self.reader.last(Table::EventHours)?.map(|(_, cursor)| keys::read_number(cursor)).transpose()
    }

    /// The newest hour before this one that noted a cursor.
    pub fn noted_before(&self, unix_hour: u64) -> Result<Option<(u64, u64)>, StoreError> {
        let Some(last) = unix_hour.checked_sub(1) else { return Ok(None) };
        let noted = self.reader.floor(Table::EventHours, &keys::number(last))?;
        noted.map(|(hour, cursor)| Ok((keys::read_number(hour)?, keys::read_number(cursor)?))).transpose()
    }

    /// Stored seqs whose readings have left with the lake's oldest files.
    pub fn expired(&self) -> Result<Vec<(OriginNo, RangeSet)>, StoreError> {
        self.all(Table::Expired, keys::read_origin)
    }

    pub fn expired_of(&self, no: OriginNo) -> Result<RangeSet, StoreError> {
        let known = self.reader.get(Table::Expired, &keys::origin(no))?;
        Ok(known.map(keys::decode).transpose()?.unwrap_or_default())
    }

    /// Files that are not registered any more, and are to be deleted.
    pub fn expiring(&self) -> Result<Vec<(u64, LakeFile)>, StoreError> {
        self.all(Table::Expiring, keys::read_number)
    }

    pub(super) fn runs_of_files(
        &self,
        files: &BTreeSet<u64>,
    ) -> Result<Vec<(u64, OriginNo, SeqRange)>, StoreError> {
        let mut runs = Vec::new();
        for pair in self.reader.scan(Table::Index, &[])? {
            let (key, value) = pair?;
            let IndexEntry { len, place: Place::Lake(from), .. } = keys::decode(value)? else { continue };
            if files.contains(&from) {
                let (no, start) = keys::read_index(key)?;
                runs.push((from, no, SeqRange::new(start, start.saturating_add(len))));
            }
        }
        Ok(runs)
    }

    /// The operator log, oldest first.
    pub fn operations(&self) -> Result<Vec<(u64, Operation)>, StoreError> {
        self.all(Table::Operations, keys::read_number)
    }

    /// How many blocks are in quarantine.
    pub fn quarantined(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        for pair in self.reader.scan(Table::Quarantine, &[])? {
            pair?;
            count += 1;
        }
        Ok(count)
    }

    pub(super) fn all<K, V: serde::de::DeserializeOwned>(
        &self,
        table: Table,
        key_of: impl Fn(&[u8]) -> Result<K, StoreError>,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let pairs = self.reader.scan(table, &[])?.map(|pair| {
            let (key, value) = pair?;
            Ok((key_of(key)?, keys::decode(value)?))
        });
        pairs.collect()
    }
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::Damaged("an event does not decode"))
}
