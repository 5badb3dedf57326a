//! When the queue is full.
//!
//! The quota stays well below the map, so that deletes, losses and descriptions always find room. At the quota
//! `refuse` commits no more readings: boards are not acknowledged and keep theirs, live data still flows through memory,
//! and once memory is full boards are not read. `drop-oldest` turns the oldest blocks into loss records; both happen in
//! the transaction that makes room.

use std::collections::BTreeMap;

use tidegate_protocol::{
    LossReason,
    block::{Block, Record, ranges_of},
};
use tidegate_service::Mutant;

use super::{
    Core,
    event::{Batch, Effect, Entry, Put, footprint},
    merge::Merger,
    outbox::ParcelId,
    packer,
    parcel::Stored,
};

/// What the queue does at its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    Refuse,
    DropOldest,
}

/// Room is looked for again after this, if nothing was deleted before.
const ROOM_RETRY_MS: u64 = 1_000;
/// At most this many blocks are evicted at once.
const EVICTED_AT_ONCE: usize = 64;
/// Loss records in one block.
const RECORDS_PER_BLOCK: usize = 1_000;

/// Blocks that leave the queue, and what stays of them.
#[derive(Debug, Default)]
pub struct Evicted {
    pub records: Vec<Record>,
    pub stored: Vec<Stored>,
    pub bytes: u64,
    pub counts: BTreeMap<LossReason, u64>,
}

impl Evicted {
    pub(super) fn merge(&mut self, other: Self) {
        self.records.extend(other.records);
        self.stored.extend(other.stored);
        self.bytes += other.bytes;
        for (reason, count) in other.counts {
            *self.counts.entry(reason).or_default() += count;
        }
    }

    /// A block's readings become a loss; what it said besides is kept.
    fn add(&mut self, stored: Stored, block: Block) {
        for origin in &block.origins {
            let ranges = ranges_of(&origin.readings);
            *self.counts.entry(LossReason::Evicted).or_default() += origin.readings.len() as u64;
            self.records.extend(packer::losses(origin.origin, ranges, LossReason::Evicted));
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
    pub(super) fn within_quota(&mut self, chosen: Vec<(ParcelId, u64, u32)>) -> Vec<ParcelId> {
        let wanted: u64 = chosen.iter().map(|(_, len, _)| len).sum();
        let mut room = self.quota().saturating_sub(self.bytes_after_deletes());
        if wanted <= room {
            self.custodian.room_at = None;
            return chosen.into_iter().map(|(id, ..)| id).collect();
        }
        // What is held back is looked at again when there is room.
        self.custodian.force();
        let evicting = self.settings.policy == Policy::DropOldest && self.evict(wanted - room);
        if !evicting {
            self.custodian.room_at = Some(self.now.at.plus_ms(ROOM_RETRY_MS));
        }
        let mut fits = |len: u64| {
            let fits = len <= room;
            room = if fits { room - len } else { 0 };
            fits
        };
        chosen
            .into_iter()
            .filter(|&(_, len, readings)| readings == 0 || fits(len))
            .map(|(id, ..)| id)
            .collect()
    }

    /// Asks for the oldest blocks, so that their losses can be declared; false when none can go.
    fn evict(&mut self, bytes: u64) -> bool {
        if self.backlog.is_loading() {
            // They come back to the queue or leave it; either way this is looked at again.
            return false;
        }
        let totals = self.custodian.totals;
        let average = (totals.bytes / totals.blocks.max(1)).max(1);
        let count = usize::try_from(bytes / average + 1).unwrap_or(EVICTED_AT_ONCE).min(EVICTED_AT_ONCE);
        let keys = self.backlog.evict(self.now.at, count);
        if keys.is_empty() {
            return false;
        }
        self.effects.push_back(Effect::Load { keys });
        true
    }

    pub(super) fn loaded_for_eviction(&mut self, entries: Vec<Entry>) {
        let mut evicted = self.custodian.evicted.take().unwrap_or_default();
        let mut damaged = Vec::new();
        for Entry { key, readings, block: bytes } in entries {
            let stored = Stored { key, readings, bytes: footprint(bytes.len()) };
            match self.decoder.decode(&bytes) {
                Ok(block) => evicted.add(stored, block),
                Err(error) => damaged.push((stored, bytes, error)),
            }
        }
        self.custodian.evicted = Some(evicted);
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
        let mut merger = Merger::default();
        evicted.records.iter().cloned().for_each(|record| merger.add_record(record));
        for records in merger.finish().records.chunks(RECORDS_PER_BLOCK) {
            let block = Block { records: records.to_vec(), origins: Vec::new() };
            match self.packer.encode(&block) {
                Ok(bytes) => {
                    let key = self.custodian.take_key();
                    loose.push(Stored { key, readings: 0, bytes: footprint(bytes.len()) });
                    batch.puts.push(Put { key, readings: 0, block: bytes.into() });
                }
                Err(error) => tracing::error!(%error, "loss records cannot be encoded"),
            }
        }
        loose
    }
}
