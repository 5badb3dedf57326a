//! What is committed, and when.
//!
//! On a healthy link the cloud answers before the flush interval ends and nothing is written. What is still unsafe
//! then, or must not wait (a source that cannot resend, a ring that fills, memory beyond half its bound), goes into
//! one batch with the deletes of what was acknowledged. One batch is outstanding at a time: what comes meanwhile is
//! the next one, which is group commit.

use tidegate_protocol::{Origin, topic::Lane};

use super::{
    Core,
    ceiling::Ceiling,
    event::{ALARM_KEYS, Batch, Effect, Key, Put, Quarantined, Totals, footprint},
    origin::Slot,
    outbox::ParcelId,
    parcel::{Content, Custody, Due, Parcel, Stored},
    quota::{Candidate, Evicted},
    time::Time,
};

/// Acknowledged blocks stay in the queue at most this long, and at most this many.
const DELETE_INTERVAL_MS: u64 = 1_000;
const MAX_DOOMED: usize = 1_024;
/// Bytes of blocks in one transaction; the rest follows in the next.
const MAX_BATCH_BYTES: u64 = 2 * 1024 * 1024;

/// A block that nobody takes, on its way into the quarantine.
#[derive(Debug)]
pub struct Condemned {
    pub quarantined: Quarantined,
    /// What becomes safe with the commit: it is kept, if not delivered.
    pub contents: Vec<Content>,
    pub stored: Vec<Stored>,
}

/// What the batch under way does.
#[derive(Debug)]
pub struct Outstanding {
    pub parcels: Vec<(ParcelId, Due)>,
    /// Blocks that exist only in the batch: the losses that stand for evicted ones.
    loose: Vec<Stored>,
    pub deletes: Vec<Stored>,
    pub condemned: Vec<Condemned>,
    pub evicted: Option<Evicted>,
    pub recorded: Vec<Slot>,
    pub forgotten: Vec<Origin>,
    totals: Totals,
}

#[derive(Debug)]
pub struct Custodian {
    next_number: u64,
    pub totals: Totals,
    due: Option<Due>,
    forced: bool,
    /// Before an orderly end: what is only good to have is written too.
    forced_all: bool,
    outstanding: Option<Outstanding>,
    pub doomed: Vec<Stored>,
    doomed_since: Option<Time>,
    condemned: Vec<Condemned>,
    forgotten: Vec<Origin>,
    /// Acknowledged while their commit was under way: to be deleted once they exist.
    orphans: Vec<Stored>,
    pub evicted: Option<Evicted>,
    /// Nothing is committed before, since the disk refused.
    pub retry_at: Option<Time>,
    /// No block is committed before, since there is no room.
    pub room_at: Option<Time>,
    pub failures: u32,
    pub ceiling: Ceiling,
    /// The disk failed in a write: nothing is committed any more.
    pub poisoned: bool,
}

impl Custodian {
    pub fn new(next_number: u64, totals: Totals) -> Self {
        Self {
            next_number,
            totals,
            due: None,
            forced: false,
            forced_all: false,
            outstanding: None,
            doomed: Vec::new(),
            doomed_since: None,
            condemned: Vec::new(),
            forgotten: Vec::new(),
            orphans: Vec::new(),
            evicted: None,
            retry_at: None,
            room_at: None,
            failures: 0,
            ceiling: Ceiling::default(),
            poisoned: false,
        }
    }

    pub fn may_be_due(&mut self, due: Due) {
        self.due = Some(self.due.map_or(due, |before| before.sooner(due)));
    }

    /// Commit all that is unsafe as soon as possible.
    pub const fn force(&mut self) {
        self.forced = true;
    }

    pub const fn force_all(&mut self) {
        self.forced = true;
        self.forced_all = true;
    }

    pub fn doom(&mut self, now: Time, stored: impl IntoIterator<Item = Stored>) {
        self.doomed.extend(stored);
        if !self.doomed.is_empty() {
            self.doomed_since.get_or_insert(now);
        }
    }

    pub fn condemn(&mut self, condemned: Condemned) {
        self.condemned.push(condemned);
    }

    /// Blocks that wait for the quarantine, and what those of them take that are only in memory.
    pub fn condemned_bytes(&self) -> u64 {
        let blocks = self.condemned.iter().filter_map(|condemned| condemned.quarantined.block.as_ref());
        blocks.map(|block| block.len() as u64).sum()
    }

    pub const fn has_condemned(&self) -> bool {
        !self.condemned.is_empty()
    }

    pub const fn take_outstanding(&mut self) -> Option<Outstanding> {
        self.outstanding.take()
    }

    /// A batch with these failed.
    pub fn restore(
        &mut self,
        now: Time,
        deletes: Vec<Stored>,
        condemned: Vec<Condemned>,
        forgotten: Vec<Origin>,
    ) {
        // What was acknowledged meanwhile was never written.
        self.orphans.clear();
        self.doom(now, deletes);
        self.condemned.extend(condemned);
        self.forgotten.extend(forgotten);
    }

    pub fn forget(&mut self, origin: Origin) {
        self.forgotten.push(origin);
    }

    pub const fn is_busy(&self) -> bool {
        self.outstanding.is_some()
    }

    pub fn is_idle(&self) -> bool {
        self.outstanding.is_none()
            && self.doomed.is_empty()
            && self.condemned.is_empty()
            && self.evicted.is_none()
    }

    /// There is no room and the policy is to wait for some.
    pub const fn is_refusing(&self) -> bool {
        self.room_at.is_some()
    }

    /// When something is due; `evicting`: room is being made, and its end is an event of its own.
    pub fn next_wakeup(&self, outage: bool, evicting: bool) -> Option<Time> {
        if self.outstanding.is_some() || self.poisoned {
            return None;
        }
        let due = if self.forced { Some(Time::default()) } else { self.due.map(|due| due.when(outage)) };
        let data = due.filter(|_| !evicting).map(|at| self.room_at.map_or(at, |room| at.max(room)));
        let deletes = self.doomed_since.map(|since| since.plus_ms(DELETE_INTERVAL_MS));
        let next = [data, deletes].into_iter().flatten().min()?;
        Some(self.retry_at.map_or(next, |retry| next.max(retry)))
    }

    fn may_write(&self, now: Time) -> bool {
        self.outstanding.is_none() && !self.poisoned && self.retry_at.is_none_or(|at| now >= at)
    }

    fn deletes_are_due(&self, now: Time) -> bool {
        self.doomed.len() >= MAX_DOOMED
            || self.doomed_since.is_some_and(|since| now >= since.plus_ms(DELETE_INTERVAL_MS))
    }

    pub fn take_key(&mut self, lane: Lane) -> Key {
        let number = self.next_number;
        self.next_number += 1;
        if lane == Lane::Alarm { ALARM_KEYS + number } else { number }
    }
}

impl Core {
    pub(super) fn commit_what_is_due(&mut self) {
        let now = self.now.at;
        if !self.custodian.may_write(now) {
            return;
        }
        let chosen = if self.blocks_are_due() { self.choose_blocks() } else { Vec::new() };
        let housekeeping = self.custodian.deletes_are_due(now)
            || !self.custodian.condemned.is_empty()
            || !self.custodian.forgotten.is_empty()
            || (self.custodian.evicted.is_some() && !self.backlog.is_evicting())
            || self.account.is_declaring()
            || self.desired.must_be_saved(now)
            || self.rules.must_be_saved(now)
            || self.outbox.meters.must_be_saved()
            || (std::mem::take(&mut self.custodian.forced_all) && !self.outbox.meters.is_saved());
        if !chosen.is_empty() || housekeeping {
            self.write(chosen);
        }
    }

    fn blocks_are_due(&mut self) -> bool {
        let now = self.now.at;
        if self.custodian.room_at.is_some_and(|at| now < at) || self.backlog.is_evicting() {
            return false;
        }
        if self.ram_bytes() > self.settings.ram_limit_bytes / 2 {
            self.custodian.force();
        }
        let outage = self.is_outage();
        self.custodian.forced || self.custodian.due.is_some_and(|due| now >= due.when(outage))
    }

    /// Packs what must be committed and picks the blocks, alarms and then the oldest first, that fit one transaction and the quota.
    fn choose_blocks(&mut self) -> Vec<ParcelId> {
        let (now, outage) = (self.now.at, self.is_outage());
        let forced = std::mem::take(&mut self.custodian.forced);
        if forced || self.packer.due().is_some_and(|due| outage || now >= due.when(outage)) {
            while !self.packer.is_empty() {
                let parcel = self.packer.pack(&mut self.origins);
                self.take_parcel(parcel);
            }
        }
        if !self.outbox.link_is_up() {
            self.merge_waiting_blocks();
        }
        // Since something is written anyway, what would be due soon goes with it.
        let soon = now.plus_ms(self.settings.flush_interval_ms / 2);
        let picked = |due: &Due| forced || outage || due.healthy <= soon;
        let mut chosen = Vec::new();
        let (mut bytes, mut left): (u64, Option<Due>) = (0, self.packer.due());
        let is_alarm = |parcel: &Parcel| parcel.lane == Lane::Alarm;
        let alarms = self.outbox.unsafe_parcels().filter(|(_, parcel)| is_alarm(parcel));
        let others = self.outbox.unsafe_parcels().filter(|(_, parcel)| !is_alarm(parcel));
        for (id, parcel) in alarms.chain(others) {
            let Custody::Ram(due) = parcel.custody else { continue };
            let len = footprint(parcel.block.len());
            if picked(&due) && (chosen.is_empty() || bytes + len <= self.batch_limit()) {
                bytes += len;
                let (readings, alarm) = (parcel.readings, is_alarm(parcel));
                chosen.push(Candidate { id, bytes: len, readings, alarm });
            } else {
                left = Some(left.map_or(due, |before| before.sooner(due)));
                self.custodian.forced |= forced && picked(&due);
            }
        }
        self.custodian.due = left;
        self.within_quota(chosen)
    }

    fn batch_limit(&self) -> u64 {
        MAX_BATCH_BYTES.min(self.settings.quota_bytes / 4)
    }

    /// What the queue would take after the deletes that go with the next batch.
    pub(super) fn bytes_after_deletes(&self) -> u64 {
        let doomed: u64 = self.custodian.doomed.iter().map(|stored| stored.bytes).sum();
        let evicted = self.custodian.evicted.as_ref().map_or(0, |evicted| evicted.bytes);
        self.custodian.totals.bytes.saturating_sub(doomed + evicted)
    }

    fn write(&mut self, chosen: Vec<ParcelId>) {
        let mut batch = Batch { unix_ms: self.now.unix_ms, ..Batch::default() };
        let (mut parcels, mut loose) = (Vec::new(), Vec::new());
        let mut concerned: std::collections::BTreeMap<Slot, Vec<Content>> = Default::default();
        for id in chosen {
            let Some(parcel) = self.outbox.get_mut(id) else { continue };
            let Custody::Ram(due) = parcel.custody else { continue };
            let key = self.custodian.take_key(parcel.lane);
            let (readings, block) = (parcel.readings, parcel.block.clone());
            let stored = Stored { key, readings, bytes: footprint(block.len()) };
            parcels.push((id, due));
            for content in &parcel.contents {
                concerned.entry(content.slot).or_default().push(content.clone());
            }
            batch.puts.push(Put { key, readings, block });
            self.outbox.set_custody(id, Custody::Committing(stored));
        }
        let evicted = self.custodian.evicted.take();
        if let Some(evicted) = &evicted {
            loose = self.put_losses(evicted, &mut batch);
        }
        loose.extend(self.put_account(&mut batch));
        let deletes = std::mem::take(&mut self.custodian.doomed);
        self.custodian.doomed_since = None;
        let condemned = std::mem::take(&mut self.custodian.condemned);
        let forgotten = std::mem::take(&mut self.custodian.forgotten);
        let gone = deletes.iter().chain(evicted.iter().flat_map(|evicted| &evicted.stored));
        batch.deletes = gone.clone().map(|stored| stored.key).collect();
        batch.quarantine = condemned.iter().map(|condemned| condemned.quarantined.clone()).collect();
        batch.forgotten.clone_from(&forgotten);
        batch.sent_today = self.outbox.meters.save();
        batch.desired = self.desired.save(self.now.at);
        batch.rules = self.rules.save(self.now.at);
        let gone = gone.chain(condemned.iter().flat_map(|condemned| &condemned.stored));
        batch.totals = totals_after(self.custodian.totals, &batch.puts, gone);
        let recorded = self.record_origins(concerned, &mut batch);
        let totals = batch.totals;
        self.custodian.outstanding =
            Some(Outstanding { parcels, loose, deletes, condemned, evicted, recorded, forgotten, totals });
        self.effects.push_back(Effect::Commit(batch));
    }

    /// The origins of what is written, as they will be once it is.
    fn record_origins(
        &mut self,
        mut concerned: std::collections::BTreeMap<Slot, Vec<Content>>,
        batch: &mut Batch,
    ) -> Vec<Slot> {
        let mut recorded = Vec::new();
        for (slot, state) in self.origins.iter_mut() {
            let contents = concerned.remove(&slot);
            if contents.is_none() && !state.unrecorded {
                continue;
            }
            let mut record = state.record();
            let mut safe = state.safe.clone();
            let ranges =
                contents.iter().flatten().flat_map(|content| content.ranges.iter().chain(&content.lost));
            ranges.for_each(|&range| safe.insert(range));
            record.safe = safe.ranges().to_vec();
            record.closed |= contents.iter().flatten().any(|content| state.is_closed_by(content));
            state.unrecorded = false;
            if contents.is_some() {
                state.last_number = self.custodian.next_number.checked_sub(1);
            }
            recorded.push(slot);
            batch.origins.push(record);
        }
        recorded
    }

    pub(super) fn committed(&mut self) {
        let Some(done) = self.custodian.outstanding.take() else { return };
        let now = self.now.at;
        if done.totals.bytes > self.custodian.totals.bytes {
            self.custodian.ceiling.passed(done.totals.bytes, self.settings.quota_bytes);
        }
        self.custodian.totals = done.totals;
        self.custodian.failures = 0;
        self.custodian.retry_at = None;
        if !done.deletes.is_empty() || !done.condemned.is_empty() {
            self.custodian.room_at = None;
        }
        self.counters.commits += 1;
        self.account_committed();
        self.rules_committed();
        for (id, _) in done.parcels {
            self.parcel_committed(id);
        }
        for stored in done.loose {
            self.backlog.insert(stored.key);
        }
        for condemned in done.condemned {
            self.counters.blocks_quarantined += 1;
            self.contents_are_safe(&condemned.contents);
        }
        if let Some(evicted) = done.evicted {
            for (reason, count) in evicted.counts {
                self.counters.lost(reason, count);
            }
        }
        let orphans = std::mem::take(&mut self.custodian.orphans);
        self.custodian.doom(now, orphans);
    }

    fn parcel_committed(&mut self, id: ParcelId) {
        let roomy = !self.is_outage() && self.ram_bytes() < self.settings.ram_limit_bytes / 4;
        let Some(parcel) = self.outbox.get_mut(id) else { return };
        let Custody::Committing(stored) = parcel.custody else { return };
        let contents = std::mem::take(&mut parcel.contents);
        // Live data that the link holds back for a moment stays: in the queue it would wait behind the backlog.
        let stays = parcel.flight.is_some() || (roomy && parcel.lane <= Lane::Live);
        self.counters.readings_committed += u64::from(stored.readings);
        self.counters.block_bytes_committed += parcel.len();
        self.outbox.set_custody(id, Custody::Stored(vec![stored]));
        self.contents_are_safe(&contents);
        if !stays {
            self.outbox.remove(id);
            self.backlog.insert(stored.key);
        }
    }

    pub(super) fn contents_are_safe(&mut self, contents: &[Content]) {
        for content in contents {
            if let Some(state) = self.origins.get_mut(content.slot) {
                state.made_safe(&content.ranges, &content.lost);
                if state.is_closed_by(content) {
                    state.closing_safe = true;
                    state.unrecorded = true;
                }
                self.counters.readings_safe +=
                    content.ranges.iter().map(tidegate_protocol::SeqRange::len).sum::<u64>();
                self.origins.owe_ack(content.slot);
            }
        }
    }

    pub(super) fn add_to_outbox(&mut self, parcel: Parcel) -> ParcelId {
        if let Custody::Ram(due) = parcel.custody {
            self.custodian.may_be_due(due);
        }
        self.outbox.add(parcel)
    }

    /// What happens to the queue's copy of a parcel that needs none any more.
    pub(super) fn release(&mut self, custody: Custody) {
        match custody {
            Custody::Ram(_) => {}
            Custody::Stored(stored) => self.custodian.doom(self.now.at, stored),
            // The key is deleted when it exists.
            Custody::Committing(stored) => self.custodian.orphans.push(stored),
        }
    }
}

fn totals_after<'a>(before: Totals, puts: &[Put], gone: impl Iterator<Item = &'a Stored>) -> Totals {
    let mut totals = before;
    for put in puts {
        totals.blocks += 1;
        totals.readings += u64::from(put.readings);
        totals.bytes += footprint(put.block.len());
    }
    for stored in gone {
        totals.blocks = totals.blocks.saturating_sub(1);
        totals.readings = totals.readings.saturating_sub(u64::from(stored.readings));
        totals.bytes = totals.bytes.saturating_sub(stored.bytes);
    }
    totals
}
