//! When the queue is full.
//!
//! The quota stays well below the map, so that deletes, losses and descriptions always find room. At the quota
//! `refuse` commits no more readings: boards are not acknowledged and keep theirs, live data still flows through memory,
//! and once memory is full boards are not read. `drop-oldest` turns the oldest blocks into loss records; `thin-oldest` also
//! keeps summaries of what was in them. Deletes, losses and summaries are one transaction.
//!
//! Blocks of records alone are committed at any quota, and alarm readings up to an eighth above it: the room between
//! quota and map is theirs. Alarms are evicted for alarms
//! alone, when nothing else is left.

use std::collections::BTreeMap;

use tidegate_protocol::{
    LossReason,
    block::{Block, Record, ranges_of},
    topic::Lane,
};
use tidegate_service::Mutant;

use super::{
    Core,
    damage::blocks_of_records,
    event::{Batch, Effect, Entry, Put, footprint},
    outbox::ParcelId,
    packer,
    parcel::Stored,
    thin::Thinned,
};

/// What the queue does at its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    Refuse,
    DropOldest,
    ThinOldest,
}

/// A block that is due.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub id: ParcelId,
    pub bytes: u64,
    pub readings: u32,
    pub alarm: bool,
}

/// Room is looked for again after this, if nothing was deleted before.
const ROOM_RETRY_MS: u64 = 1_000;
/// At most this many blocks are evicted at once.
const EVICTED_AT_ONCE: usize = 64;

/// Blocks that leave the queue, and what stays of them.
#[derive(Debug, Default)]
pub struct Evicted {
    pub records: Vec<Record>,
    pub stored: Vec<Stored>,
    pub bytes: u64,
    pub counts: BTreeMap<LossReason, u64>,
    pub thinned: Thinned,
}

impl Evicted {
    pub(super) fn merge(&mut self, other: Self) {
        self.records.extend(other.records);
        self.stored.extend(other.stored);
        self.bytes += other.bytes;
        self.thinned.merge(other.thinned);
        for (reason, count) in other.counts {
            *self.counts.entry(reason).or_default() += count;
        }
    }

    /// A block's readings become a loss; what it said besides is kept.
    fn add(&mut self, stored: Stored, block: Block, reason: LossReason) {
        for origin in &block.origins {
            let ranges = ranges_of(&origin.readings);
            *self.counts.entry(reason).or_default() += origin.readings.len() as u64;
            self.records.extend(packer::losses(origin.origin, ranges, reason));
        }
        if !Mutant::RecordsEvicted.is_on() {
            self.records.extend(block.records);
        }
        self.bytes += stored.bytes;
        self.stored.push(stored);
    }
}

impl Core {
    fn quota(&self) -> u64 {
        let ceiling = self.custodian.ceiling.bytes(self.now.at).unwrap_or(u64::MAX);
        self.settings.quota_bytes.min(ceiling)
    }

    /// Which of the chosen blocks may be committed. Blocks of records alone always may: the room above the quota is
    /// theirs.
    pub(super) fn within_quota(&mut self, chosen: Vec<Candidate>) -> Vec<ParcelId> {
        let wanted: u64 = chosen.iter().map(|candidate| candidate.bytes).sum();
        let (quota, held) = (self.quota(), self.bytes_after_deletes());
        let mut room = quota.saturating_sub(held);
        if wanted <= room {
            self.custodian.room_at = None;
            return chosen.into_iter().map(|candidate| candidate.id).collect();
        }
        // What is held back is looked at again when there is room.
        self.custodian.force();
        let ordinary = chosen.iter().any(|candidate| !candidate.alarm && candidate.readings > 0);
        let alarms_too = !ordinary && !self.outbox.has_stored_below_alarms();
        let evicting = self.settings.policy != Policy::Refuse && self.evict(wanted - room, alarms_too);
        if !evicting {
            self.custodian.room_at = Some(self.now.at.plus_ms(ROOM_RETRY_MS));
        }
        let mut reserve = (quota + quota / 8).saturating_sub(held);
        let mut fits = |candidate: &Candidate| {
            let fits = candidate.readings == 0
                || candidate.bytes <= room
                || (candidate.alarm && candidate.bytes <= reserve);
            reserve = reserve.saturating_sub(if fits { candidate.bytes } else { 0 });
            // Nothing younger overtakes what does not fit.
            room = if fits { room.saturating_sub(candidate.bytes) } else { 0 };
            fits
        };
        chosen.into_iter().filter(|candidate| fits(candidate)).map(|candidate| candidate.id).collect()
    }

    /// Asks for the oldest blocks, so that their losses can be declared; false when none can go.
    fn evict(&mut self, bytes: u64, alarms_too: bool) -> bool {
        if self.backlog.is_loading() {
            // They come back to the queue or leave it; either way this is looked at again.
            return false;
        }
        let totals = self.custodian.totals;
        if totals.readings == 0 {
            // Records alone give no more room.
            return false;
        }
        let average = (totals.bytes / totals.blocks.max(1)).max(1);
        let mut count = usize::try_from(bytes / average + 1).unwrap_or(EVICTED_AT_ONCE);
        if self.settings.policy == Policy::ThinOldest {
            // A summary pays when it stands for many readings.
            count = count.max(usize::try_from(totals.blocks / 4).unwrap_or(EVICTED_AT_ONCE));
        }
        self.evict_blocks(count.min(EVICTED_AT_ONCE), alarms_too)
    }

    fn evict_blocks(&mut self, count: usize, alarms_too: bool) -> bool {
        let keys = self.backlog.evict(self.now.at, count, alarms_too);
        if keys.is_empty() {
            return false;
        }
        self.effects.push_back(Effect::Load { keys });
        true
    }

    pub(super) fn loaded_for_eviction(&mut self, entries: Vec<Entry>) {
        let mut evicted = self.custodian.evicted.take().unwrap_or_default();
        let thins = self.settings.policy == Policy::ThinOldest;
        let reason = if thins { LossReason::Thinned } else { LossReason::Evicted };
        let (mut damaged, mut readings_of) = (Vec::new(), Vec::new());
        for entry in entries {
            let (stored, bytes) = (entry.stored(), entry.block);
            match self.decoder.decode(&bytes) {
                Ok(mut block) => {
                    if thins {
                        readings_of.append(&mut block.origins.clone());
                    }
                    evicted.add(stored, std::mem::take(&mut block), reason);
                }
                Err(error) => damaged.push((stored, bytes, error)),
            }
        }
        if thins {
            evicted.thinned.add(&readings_of, &mut evicted.records);
        }
        let wants_more = thins && evicted.thinned.wants_more(evicted.bytes);
        self.custodian.evicted = Some(evicted);
        if wants_more {
            self.evict_blocks(EVICTED_AT_ONCE, false);
        }
        for (stored, bytes, error) in damaged {
            self.damaged(stored, &bytes, error);
        }
    }

    /// The blocks of records that stand for what was evicted.
    pub(super) fn put_losses(&mut self, evicted: &Evicted, batch: &mut Batch) -> Vec<Stored> {
        let mut loose = Vec::new();
        if Mutant::LossRecordDropped.is_on() {
            return loose;
        }
        let records = evicted.records.iter().cloned().chain(evicted.thinned.records()).collect();
        for block in blocks_of_records(records) {
            self.put_records(&block.records, batch, &mut loose);
        }
        loose
    }

    /// Many long descriptions may be too much for one block; a single record never is.
    pub(super) fn put_records(&mut self, records: &[Record], batch: &mut Batch, loose: &mut Vec<Stored>) {
        let block = Block { records: records.to_vec(), origins: Vec::new() };
        match self.packer.encode(&block) {
            Ok(bytes) => {
                let key = self.custodian.take_key(Lane::Backlog);
                // Whom it speaks of is not forgotten before it is delivered: it may be found damaged.
                for record in records {
                    if let Some(slot) = self.origins.slot(record.origin())
                        && let Some(state) = self.origins.get_mut(slot)
                    {
                        state.last_number = Some(key);
                    }
                }
                loose.push(Stored { key, readings: 0, bytes: footprint(bytes.len()) });
                batch.puts.push(Put { key, readings: 0, block: bytes.into() });
            }
            Err(_) if records.len() > 1 => {
                let (first, second) = records.split_at(records.len() / 2);
                self.put_records(first, batch, loose);
                self.put_records(second, batch, loose);
            }
            Err(error) => tracing::error!(%error, "a record cannot be encoded"),
        }
    }
}
