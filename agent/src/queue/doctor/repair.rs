//! Damaged blocks into the quarantine, and in the same transaction their readings declared lost, exactly as the running
//! agent does; what else they may have held, it accounts for at its next start. What is derived is made anew. A queue whose trees are damaged is beyond that: see [`super::salvage`].

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tidegate_protocol::{
    BootId, DeviceId, LossReason, Origin, RangeSet, SeqRange,
    block::{Description, Directory, Encoder, Header, Record},
};

use super::{Held, Progress, decoder, held, salvage, verify};
use crate::{
    core::{
        Batch, Key, OriginRecord, Put, Quarantined, Totals, blocks_of_records, footprint, losses_of,
        losses_of_damaged, number_of,
    },
    queue::{
        QueueError, folder,
        lock::{give_to_the_owner, lock_existing},
        look::{Found, Looker, Table},
        records::{ACCOUNT_DUE, EntryHead, GIVEN_UP, MetaRead, quarantine_entry, seal},
        store::{Mend, Store},
        structure::{self, Depth},
    },
};

/// Whether something is done or only said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Say,
    Write,
}

/// A damaged block: where it was, and what of it is declared lost.
#[derive(Clone, Debug, Serialize)]
pub struct RepairedBlock {
    pub key: Option<Key>,
    pub what: String,
    pub lost: Vec<Held>,
    pub lost_readings: u64,
    /// Its directory is damaged too: what of it is lost, the agent tells when it starts.
    pub is_nameless: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Repaired {
    pub written: bool,
    /// What is wrong with the file; none when the queue could be repaired in place.
    pub file_damage: Vec<String>,
    /// The damaged queue, kept.
    pub kept_as: Option<PathBuf>,
    pub damaged_blocks: Vec<RepairedBlock>,
    /// Blocks whose head was wrong and is made anew.
    pub heads: u64,
    pub origins_restored: Vec<String>,
    /// Their boards' next hello brings them back.
    pub origins_dropped: Vec<String>,
    pub totals_before: Option<Totals>,
    pub totals_after: Totals,
    /// Blocks that a full quarantine gave up: their readings are declared lost, and their names need not be kept.
    pub given_up: u64,
    pub given_up_readings: u64,
    /// Blocks of a salvaged queue that were found in no tree, but in the file.
    pub found_loose: u64,
}

impl Repaired {
    pub fn is_needed(&self) -> bool {
        let nothing = self.file_damage.is_empty()
            && self.damaged_blocks.is_empty()
            && self.heads == 0
            && self.given_up == 0
            && self.origins_restored.is_empty()
            && self.origins_dropped.is_empty();
        !nothing || self.totals_before != Some(self.totals_after)
    }
}

pub fn repair(
    data_dir: &Path,
    intent: Intent,
    unix_ms: i64,
    progress: Progress<'_>,
) -> Result<Repaired, QueueError> {
    let _lock = lock_existing(data_dir)?;
    let looker = match Looker::open(data_dir) {
        Ok(looker) => looker,
        Err(QueueError::Damaged { damage, .. }) => {
            return salvage::salvage(data_dir, intent, unix_ms, vec![damage], progress);
        }
        Err(error) => return Err(error),
    };
    let structure = looker.look(|look| structure::check(look, Depth::Values))?;
    if !structure.damage.is_empty() {
        drop(looker);
        return salvage::salvage(data_dir, intent, unix_ms, structure.damage, progress);
    }
    let map_bytes = looker.map_bytes()?;
    let mut plan = Plan::new(&looker)?;
    looker.each::<QueueError>(Table::Queue, |found| {
        plan.met += 1;
        progress(plan.met, structure.totals.blocks);
        plan.entry(&found)
    })?;
    looker.each::<QueueError>(Table::Quarantine, |found| {
        plan.quarantined(&found);
        Ok(())
    })?;
    drop(looker);
    let (mut repaired, mend) = plan.finish(unix_ms)?;
    if intent == Intent::Write && repaired.is_needed() {
        let store = Store::open(&folder(data_dir), map_bytes)?;
        store.mend(&mend)?;
        store.close();
        give_to_the_owner(data_dir);
        repaired.written = true;
    }
    Ok(repaired)
}

/// What is wrong, gathered before anything is written.
struct Plan {
    decoder: tidegate_protocol::block::Decoder,
    met: u64,
    repaired: Repaired,
    mend: Mend,
    losses: Vec<Record>,
    records: BTreeMap<Origin, OriginRecord>,
    /// Origins whose record cannot be read, by key.
    unreadable: BTreeMap<Origin, Vec<u8>>,
    /// What blocks say of those.
    described: BTreeMap<Origin, Description>,
    held: BTreeMap<Origin, RangeSet>,
    changed: BTreeSet<Origin>,
    next_key: Key,
}

impl Plan {
    fn new(looker: &Looker) -> Result<Self, QueueError> {
        let (origins, meta) = looker.look(|look| (look.origins(&mut Vec::new()), look.meta()))?;
        let mut plan = Self {
            decoder: decoder()?,
            met: 0,
            repaired: Repaired::default(),
            mend: Mend::default(),
            losses: Vec::new(),
            records: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            described: BTreeMap::new(),
            held: BTreeMap::new(),
            changed: BTreeSet::new(),
            next_key: 0,
        };
        if let Ok(MetaRead::Good(meta)) = meta {
            plan.repaired.totals_before = Some(meta.totals);
            plan.next_key = meta.next_key;
        }
        for (key, record) in origins {
            let named = origin_of(&key);
            match record {
                Some(record) if named == Some(record.description.origin) => {
                    plan.records.insert(record.description.origin, record);
                }
                _ => {
                    plan.mend.origins_beyond_reading.push(key.clone());
                    match named {
                        Some(origin) => drop(plan.unreadable.insert(origin, key)),
                        None => plan.repaired.origins_dropped.push(verify::readable(&key)),
                    }
                }
            }
        }
        Ok(plan)
    }

    fn entry(&mut self, found: &Found) -> Result<(), QueueError> {
        self.next_key = self.next_key.max(number_of(found.key) + 1);
        let value = found.value.as_deref().unwrap_or_default();
        let (head, block) = EntryHead::read(value);
        match verify::examine(found, &mut self.decoder) {
            Ok(directory) => self.whole(head.readings, block, directory),
            Err(what) if what == verify::WRONG_HEAD => {
                let readings = Header::parse(block).map_or(0, |header| header.readings);
                self.mend.heads.push((found.key, EntryHead { readings, unix_ms: head.unix_ms }));
                self.repaired.heads += 1;
                self.whole(readings, block, Header::salvage_directory(block).unwrap_or_default());
            }
            Err(what) => {
                let block = damaged(Some(found.key), what, block, &mut self.losses);
                self.repaired.damaged_blocks.push(block);
                let keys = vec![found.key];
                self.mend.batch.quarantine.push(Quarantined { keys, block: None, reason: "damaged" });
            }
        }
        Ok(())
    }

    /// A full quarantine keeps the names of what it gave up, so that this can be declared.
    fn quarantined(&mut self, found: &Found) {
        let entry = found.value.as_deref().ok().and_then(quarantine_entry);
        let Some((_, block)) = entry.filter(|(reason, _)| reason.reason == GIVEN_UP) else { return };
        let Ok(directory) = Header::salvage_directory(block) else { return };
        let lost = losses_of(directory, LossReason::Evicted);
        self.repaired.given_up += 1;
        self.repaired.given_up_readings += lost.readings;
        self.losses.extend(lost.records);
        self.mend.released.push(found.key);
    }

    fn whole(&mut self, readings: u32, block: &[u8], directory: Directory) {
        count(&mut self.repaired.totals_after, readings, block);
        for entry in directory {
            let held = self.held.entry(entry.origin).or_default();
            entry.ranges.iter().for_each(|range| held.insert(*range));
            if let Some(record) = self.records.get_mut(&entry.origin)
                && !verify::is_safe(record, &entry)
            {
                let mut safe = RangeSet::from_iter(record.safe.iter().copied());
                entry.ranges.iter().for_each(|range| safe.insert(*range));
                record.safe = safe.ranges().to_vec();
                self.changed.insert(entry.origin);
            }
        }
        if self.unreadable.is_empty() {
            return;
        }
        for record in self.decoder.decode(block).map(|block| block.records).unwrap_or_default() {
            if let Record::Described(description) = record {
                self.described.insert(description.origin, description);
            }
        }
    }

    fn finish(mut self, unix_ms: i64) -> Result<(Repaired, Mend), QueueError> {
        for origin in self.unreadable.keys() {
            match self.described.remove(origin) {
                Some(description) => {
                    let safe = self.held.get(origin).map(RangeSet::ranges).unwrap_or_default().to_vec();
                    self.mend.batch.origins.push(restored(description, safe));
                    self.repaired.origins_restored.push(origin.to_string());
                }
                None => self.repaired.origins_dropped.push(origin.to_string()),
            }
        }
        for origin in &self.changed {
            self.mend.batch.origins.extend(self.records.get(origin).cloned());
            self.repaired.origins_restored.push(origin.to_string());
        }
        for put in loss_blocks(self.losses, self.next_key)? {
            count(&mut self.repaired.totals_after, put.readings, &put.block);
            self.mend.batch.puts.push(put);
        }
        if !self.repaired.damaged_blocks.is_empty() {
            self.mend.beside_totals.extend(account_due());
        }
        self.mend.batch = Batch { unix_ms, totals: self.repaired.totals_after, ..self.mend.batch };
        Ok((self.repaired, self.mend))
    }
}

/// What a damaged block leaves; its losses go to the others.
pub fn damaged(key: Option<Key>, what: String, block: &[u8], losses: &mut Vec<Record>) -> RepairedBlock {
    let lost = losses_of_damaged(block);
    let is_nameless = lost.is_none();
    let lost = lost.unwrap_or_default();
    losses.extend(lost.records);
    let directory = Header::salvage_directory(block).unwrap_or_default();
    RepairedBlock { key, what, lost: held(directory), lost_readings: lost.readings, is_nameless }
}

/// What the queue held beyond what is named here, the agent accounts for when it starts.
pub fn account_due() -> Option<(String, Vec<u8>)> {
    Some((ACCOUNT_DUE.to_owned(), seal(&())?))
}

/// The blocks that carry losses, under keys from `next_key` on.
pub fn loss_blocks(losses: Vec<Record>, next_key: Key) -> Result<Vec<Put>, QueueError> {
    let mut encoder = Encoder::new().map_err(QueueError::Memory)?;
    let blocks = blocks_of_records(losses);
    let put = |(block, key): (_, Key)| {
        // Losses within their bounds always encode.
        let bytes = encoder.encode(&block).ok()?;
        Some(Put { key, readings: 0, block: bytes.into() })
    };
    Ok(blocks.into_iter().zip(next_key..).filter_map(put).collect())
}

/// A record that says no more of an origin than its blocks do.
fn restored(description: Description, safe: Vec<SeqRange>) -> OriginRecord {
    let next = safe.last().map_or(0, |range| range.end);
    OriginRecord { description, safe, floor: 0, next, described: false, closed: false, local: false }
}

pub fn count(totals: &mut Totals, readings: u32, block: &[u8]) {
    totals.blocks += 1;
    totals.readings += u64::from(readings);
    totals.bytes += footprint(block.len());
}

fn origin_of(key: &[u8]) -> Option<Origin> {
    let (device, boot) = key.split_last_chunk::<8>()?;
    let device = std::str::from_utf8(device.strip_suffix(&[0])?).ok()?;
    Some(Origin::new(DeviceId::new(device).ok()?, BootId(u64::from_be_bytes(*boot))))
}
