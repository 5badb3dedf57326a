//! Out of the queue again: blocks that were committed and are not acknowledged.
//!
//! Only their keys are in memory, as ranges. A bounded number of blocks is loaded ahead of the link; small ones travel
//! together in full blocks, under one number that stands for all their keys. Alarms are loaded first, and leave in their own lane.

use tidegate_protocol::{
    RangeSet, SeqRange,
    block::{Header, MAX_BODY_BYTES},
    topic::Lane,
};
use tidegate_service::Mutant;

use super::{
    Core,
    event::{ALARM_KEYS, Effect, Entry, Key, is_alarm, number_of},
    merge::Merger,
    parcel::{Custody, Due, Parcel, Stored},
    time::Time,
};

/// Bytes of blocks that wait in memory for the link.
const AHEAD_BYTES: u64 = 256 * 1024;
/// Blocks in one load.
const LOADED_AT_ONCE: u64 = 256;
/// Records in a block that is put together of small ones.
const RECORDS_PER_BLOCK: usize = 1_000;
/// Unpacked bytes of the small blocks that travel as one: half of what a block may have, whatever they say.
const UNPACKED_BYTES_PER_BLOCK: usize = MAX_BODY_BYTES / 2;
/// After a disk that could not be read.
const RETRY_MS: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Send,
    Evict,
    /// Read where it is, for an account.
    Count,
}

/// Which of the committed blocks leave first when the link is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BacklogOrder {
    OldestFirst,
    /// What is missing for the present view comes first. One load in `OLDEST_TURN` still takes the oldest, so that
    /// new blocks, however many, do not keep them for ever.
    NewestFirst,
}

const OLDEST_TURN: u64 = 8;

#[derive(Debug)]
pub struct Backlog {
    order: BacklogOrder,
    loads: u64,
    /// Committed, not on their way, not being loaded.
    keys: RangeSet,
    /// The same of alarm blocks.
    alarms: RangeSet,
    loading: Option<(Purpose, Vec<Key>)>,
    /// Nothing is loaded before, since the disk could not be read.
    retry_at: Time,
}

impl Backlog {
    pub fn new(keys: Vec<SeqRange>, order: BacklogOrder) -> Self {
        let mut keys = RangeSet::from_iter(keys);
        let mut alarms = keys.clone();
        keys.remove(SeqRange::new(ALARM_KEYS, Key::MAX));
        alarms.remove(SeqRange::new(0, ALARM_KEYS));
        Self { order, loads: 0, keys, alarms, loading: None, retry_at: Time::default() }
    }

    const fn of(&mut self, key: Key) -> &mut RangeSet {
        if is_alarm(key) { &mut self.alarms } else { &mut self.keys }
    }

    /// Takes the keys out that are to be sent next.
    pub(super) fn next_to_send(&mut self, count: usize) -> Vec<Key> {
        if !self.alarms.is_empty() {
            return self.alarms.take_first(count);
        }
        self.loads += 1;
        match self.order {
            BacklogOrder::NewestFirst if !self.loads.is_multiple_of(OLDEST_TURN) => {
                self.keys.take_last(count)
            }
            BacklogOrder::NewestFirst | BacklogOrder::OldestFirst => self.keys.take_first(count),
        }
    }

    pub fn insert(&mut self, key: Key) {
        self.of(key).insert(SeqRange::new(key, key.saturating_add(1)));
    }

    pub fn remove(&mut self, key: Key) {
        self.of(key).remove(SeqRange::new(key, key.saturating_add(1)));
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.alarms.is_empty() && self.loading.is_none()
    }

    /// No block up to this number is held, as far as this list knows.
    pub fn is_beyond(&self, number: u64) -> bool {
        let mut oldest = [&self.keys, &self.alarms].into_iter().filter_map(RangeSet::first).map(number_of);
        self.loading.is_none() && oldest.all(|oldest| oldest > number)
    }

    pub fn has_alarms(&self) -> bool {
        !self.alarms.is_empty()
    }

    pub const fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    pub const fn is_evicting(&self) -> bool {
        matches!(self.loading, Some((Purpose::Evict, _)))
    }

    pub fn blocks(&self) -> u64 {
        self.keys.count() + self.alarms.count()
    }

    /// All that waits in the queue.
    pub fn keys(&self) -> RangeSet {
        self.keys.iter().chain(self.alarms.iter()).collect()
    }

    /// These are being read; they stay where they are.
    pub fn count(&mut self, keys: Vec<Key>) {
        self.loading = Some((Purpose::Count, keys));
    }

    pub fn may_load(&self, now: Time) -> bool {
        self.loading.is_none() && now >= self.retry_at
    }

    /// Takes the oldest keys out to be evicted; alarms, if at all, when no others are here.
    pub fn evict(&mut self, now: Time, count: usize, alarms_too: bool) -> Vec<Key> {
        if now < self.retry_at {
            return Vec::new();
        }
        let mut keys = Vec::new();
        if Mutant::AlarmsEvictedFirst.is_on() {
            keys = self.alarms.take_first(count);
        }
        if keys.is_empty() {
            keys = self.keys.take_first(count);
        }
        if keys.is_empty() && alarms_too {
            keys = self.alarms.take_first(count);
        }
        if !keys.is_empty() {
            self.loading = Some((Purpose::Evict, keys.clone()));
        }
        keys
    }
}

/// Small blocks that will travel as one.
#[derive(Default)]
struct Group {
    merger: Merger,
    stored: Vec<Stored>,
    records: usize,
    unpacked_bytes: usize,
    /// The only member's own bytes: alone, it needs no new encoding.
    single: Option<Vec<u8>>,
}

impl Core {
    pub(super) fn load_backlog(&mut self) {
        let lane = if self.backlog.has_alarms() { Lane::Alarm } else { Lane::Backlog };
        let wanted = self.outbox.link_is_up() && self.outbox.ready_bytes(lane) < AHEAD_BYTES / 2;
        if !wanted || !self.backlog.may_load(self.now.at) {
            return;
        }
        let totals = self.custodian.totals;
        let average = (totals.bytes / totals.blocks.max(1)).max(1);
        let count = (AHEAD_BYTES / average).clamp(1, LOADED_AT_ONCE) as usize;
        let keys = self.backlog.next_to_send(count);
        if !keys.is_empty() {
            self.backlog.loading = Some((Purpose::Send, keys.clone()));
            self.effects.push_back(Effect::Load { keys });
        }
    }

    pub(super) fn load_failed(&mut self) {
        self.backlog.retry_at = self.now.at.plus_ms(RETRY_MS);
        match self.backlog.loading.take() {
            Some((Purpose::Count, keys)) => self.count_again(&keys),
            Some((_, keys)) => keys.into_iter().for_each(|key| self.backlog.insert(key)),
            None => {}
        }
    }

    pub(super) fn loaded(&mut self, entries: Vec<Entry>) {
        match self.backlog.loading.take() {
            // What cannot leave the queue, or cannot be sent now, is where it was.
            Some((Purpose::Evict, keys)) if self.custodian.poisoned => {
                keys.into_iter().for_each(|key| self.backlog.insert(key));
            }
            Some((Purpose::Evict, _)) => self.loaded_for_eviction(entries),
            Some((Purpose::Count, _)) => self.counted(&entries),
            Some((Purpose::Send, keys)) if !self.outbox.link_is_up() => {
                keys.into_iter().for_each(|key| self.backlog.insert(key));
            }
            Some((Purpose::Send, _)) => self.loaded_to_send(entries),
            None => {}
        }
    }

    fn loaded_to_send(&mut self, entries: Vec<Entry>) {
        let mut group = Group::default();
        for entry in entries {
            let (stored, bytes) = (entry.stored(), entry.block);
            match Header::parse(&bytes) {
                Ok(header) if header.readings as usize >= self.settings.block_readings / 2 => {
                    self.send_group(std::mem::take(&mut group));
                    self.send_stored(vec![stored], bytes);
                }
                Ok(header) => {
                    let unpacked_bytes = header.unpacked_bytes as usize;
                    self.add_to_group(&mut group, stored, bytes, unpacked_bytes);
                }
                Err(error) => self.damaged(stored, &bytes, error),
            }
        }
        self.send_group(group);
    }

    fn add_to_group(&mut self, group: &mut Group, stored: Stored, bytes: Vec<u8>, unpacked_bytes: usize) {
        match self.decoder.decode(&bytes) {
            Ok(block) => {
                let full = group.merger.readings() + block.reading_count() > self.settings.block_readings
                    || group.records + block.records.len() > RECORDS_PER_BLOCK
                    || group.unpacked_bytes + unpacked_bytes > UNPACKED_BYTES_PER_BLOCK
                    || group.merger.contradicts(&block);
                if full {
                    self.send_group(std::mem::take(group));
                }
                group.single = group.stored.is_empty().then_some(bytes);
                group.stored.push(stored);
                group.records += block.records.len();
                group.unpacked_bytes += unpacked_bytes;
                group.merger.add(block);
            }
            Err(error) => self.damaged(stored, &bytes, error),
        }
    }

    fn send_group(&mut self, group: Group) {
        let Group { merger, stored, single, .. } = group;
        match single {
            Some(bytes) => self.send_stored(stored, bytes),
            None if stored.is_empty() => {}
            None => match self.packer.encode(&merger.finish()) {
                Ok(bytes) => self.send_stored(stored, bytes),
                Err(error) => {
                    // Blocks within these bounds also encode; if not, they stay in the queue and are tried again.
                    tracing::error!(%error, "stored blocks cannot be put together");
                    stored.iter().for_each(|stored| self.backlog.insert(stored.key));
                    self.backlog.retry_at = self.now.at.plus_ms(RETRY_MS);
                }
            },
        }
    }

    fn send_stored(&mut self, stored: Vec<Stored>, bytes: Vec<u8>) {
        let readings = stored.iter().map(|stored| stored.readings).sum();
        let lane = if stored.iter().any(|stored| is_alarm(stored.key)) { Lane::Alarm } else { Lane::Backlog };
        self.outbox.add(Parcel::new(lane, bytes.into(), readings, Custody::Stored(stored)));
    }

    /// Before a commit in an outage: handfuls that were packed for a live link become full blocks.
    pub(super) fn merge_waiting_blocks(&mut self) {
        [Lane::Live, Lane::Backlog].into_iter().for_each(|lane| self.merge_waiting_blocks_of(lane));
    }

    fn merge_waiting_blocks_of(&mut self, lane: Lane) {
        let small = self.settings.block_readings / 2;
        let waiting = self.outbox.unsafe_parcels();
        let ids: Vec<_> = waiting
            .filter(|(_, parcel)| parcel.lane == lane && parcel.flight.is_none())
            .filter(|(_, parcel)| (parcel.readings as usize) < small)
            .map(|(id, _)| id)
            .collect();
        let mut merged = Merged::default();
        for id in ids {
            let Some(block) = self.outbox.get_mut(id).map(|parcel| parcel.block.clone()) else { continue };
            // It was encoded here, so it decodes; if not, it is committed as it is.
            let Ok(block) = self.decoder.decode(&block) else { continue };
            let Some(parcel) = self.outbox.remove(id) else { continue };
            let is_full = merged.merger.readings() + parcel.readings as usize > self.settings.block_readings;
            if is_full || merged.merger.contradicts(&block) {
                self.add_merged(lane, std::mem::take(&mut merged));
            }
            merged.merger.add(block);
            merged.parcels.push(parcel);
        }
        self.add_merged(lane, merged);
    }

    fn add_merged(&mut self, lane: Lane, merged: Merged) {
        let Merged { merger, parcels } = merged;
        let readings = merger.readings() as u32;
        let encoded = if parcels.len() > 1 { self.packer.encode(&merger.finish()).ok() } else { None };
        let Some(bytes) = encoded else {
            parcels.into_iter().for_each(|parcel| {
                self.outbox.add(parcel);
            });
            return;
        };
        let mut due: Option<Due> = None;
        let (mut contents, mut described) = (Vec::new(), Vec::new());
        for parcel in parcels {
            if let Custody::Ram(own) = parcel.custody {
                due = Some(due.map_or(own, |before| before.sooner(own)));
            }
            contents.extend(parcel.contents);
            described.extend(parcel.described);
        }
        let Some(due) = due else { return };
        described.sort_unstable();
        described.dedup();
        let mut parcel = Parcel::new(lane, bytes.into(), readings, Custody::Ram(due));
        parcel.contents = contents;
        parcel.described = described;
        self.add_to_outbox(parcel);
    }
}

#[derive(Default)]
struct Merged {
    merger: Merger,
    parcels: Vec<Parcel>,
}
