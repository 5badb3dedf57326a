//! Alarm history, and who is live.
//!
//! History is settled in seq order up to the first seq that is neither stored nor lost. Readings that continue it are fed
//! as they arrive; where a hole fills, what lies behind it is read back from the store after its commit, in portions. Where a
//! reading arrives that had been declared lost and passed over, the origin's history is told again from the start.

use std::collections::HashMap;

use tidegate_protocol::{DeviceId, Reading, SeqRange, SiteId, topic::Lane};

use super::{
    Core, Effect,
    alarming::{self, Feed},
    batch::{HistoryChange, LiveRecord, OriginNo},
    origins::OriginState,
};

/// How many readings one look back reads at most.
const LOAD_READINGS: u64 = 65_536;
/// How many looks back are under way at most.
pub const MAX_LOADS: usize = 4;
/// When to look again where a look brought nothing and no commit comes first.
const LOAD_RETRY_MS: u64 = 1_000;

impl OriginState {
    /// Whether stored readings wait to be settled.
    pub(super) fn can_settle(&self) -> bool {
        self.watch.any() && self.record.ledger.settled_end(self.record.settled) > self.record.settled
    }

    /// The first seq from `seq` on that history has to look at: neither lost nor expired.
    fn passed(&self, seq: u64) -> u64 {
        let mut at = seq;
        loop {
            let end = self.record.ledger.lost_run_end(self.expired.run_end(at));
            if end == at {
                return at;
            }
            at = end;
        }
    }

    pub(super) fn feed(&mut self, run: &[Reading], live: bool, settle: bool, out: &mut alarming::Outcome) {
        let record = &self.record;
        let anchor = record.anchor.as_ref();
        let feed = Feed { site: record.site, origin: record.origin, anchor, live, settle };
        self.watch.feed(&feed, run, out);
    }
}

impl Core {
    /// Whether the origin's readings are the device's live ones; a newer boot takes over the live states.
    pub(super) fn make_current(&mut self, no: OriginNo, lane: Lane) -> bool {
        let Some(state) = self.origins.get(no) else { return false };
        let (site, device) = (state.record.site, state.record.origin.device);
        let Some(current) = self.origins.current(site, device) else {
            self.origins.set_current(site, device, no);
            self.put_live(no);
            return true;
        };
        if current == no {
            return true;
        }
        let Some((old, new)) = self.origins.pair_mut(current, no) else { return false };
        // A boot that was passed over wrongly comes back once the one before it has ended.
        let returns = is_live(lane) && has_ended(old) && !has_ended(new);
        if (new.record.superseded && !returns) || !is_newer(old, new, lane) {
            return false;
        }
        old.record.superseded = true;
        new.record.superseded = false;
        old.watch.hand_over(&mut new.watch);
        self.origins.set_current(site, device, no);
        self.mark_dirty(current);
        self.mark_dirty(no);
        self.put_live(no);
        true
    }

    /// Who is live, as it was committed. Of a device without a row (stores of before did not note a first boot whose alarms
    /// never changed) it is the newest boot with readings, one that goes on before one that has ended.
    pub(super) fn adopt_live(&mut self, live: Vec<((SiteId, DeviceId), LiveRecord)>) {
        for ((site, device), live) in live {
            self.origins.set_current(site, device, live.current);
            if let Some(state) = self.origins.get_mut(live.current) {
                state.watch.restore_live(&live.channels);
            }
        }
        let mut newest: HashMap<_, (bool, OriginNo)> = HashMap::new();
        for (no, state) in self.origins.iter() {
            let (site, device) = (state.record.site, state.record.origin.device);
            let has_readings = !state.record.ledger.stored().is_empty();
            if has_readings && !state.record.superseded && self.origins.current(site, device).is_none() {
                let rank = (!has_ended(state), no);
                let known = newest.entry((site, device)).or_insert(rank);
                *known = rank.max(*known);
            }
        }
        for ((site, device), (_, no)) in newest {
            self.origins.set_current(site, device, no);
            self.put_live(no);
        }
    }

    /// Moves the settled point on as far as no readings need be looked at, and asks for those that do.
    pub(super) fn settle_on(&mut self, no: OriginNo) {
        let Some(state) = self.origins.get_mut(no) else { return };
        if state.watch.any() {
            state.record.settled = state.passed(state.record.settled);
            if state.can_settle() {
                self.to_load.insert(no);
            }
        } else {
            state.record.settled = state.record.ledger.settled_end(state.record.settled);
        }
    }

    /// These readings cannot be looked at any more.
    pub(super) fn expired(&mut self, now_ms: u64, ranges: &[(OriginNo, SeqRange)]) {
        for (no, range) in ranges {
            let Some(state) = self.origins.get_mut(*no) else { continue };
            state.expired.insert(*range);
            let before = state.record.settled;
            self.settle_on(*no);
            if self.origins.get(*no).is_some_and(|state| state.record.settled != before) {
                self.mark_dirty(*no);
                self.touch_batch(now_ms);
            }
        }
        self.request_loads();
    }

    /// Tells the origin's history again from the beginning. Where its beginning has expired, history stays as it was told.
    pub(super) fn unsettle(&mut self, no: OriginNo) {
        let Some(state) = self.origins.get_mut(no).filter(|state| state.watch.any()) else { return };
        if !state.expired.is_empty() {
            self.counters.histories_left += 1;
            return;
        }
        state.record.settled = 0;
        state.watch.unsettle();
        let settled = state.watch.settled_states();
        self.building.history.push(HistoryChange::Forget(no));
        self.building.settled.push((no, settled));
        self.to_load.insert(no);
    }

    /// Asks for the readings behind filled holes. After a commit has ended the store has them; before, it has a part.
    pub(super) fn request_loads(&mut self) {
        while self.loading.len() < MAX_LOADS {
            let Some(no) = self.to_load.iter().copied().find(|no| !self.loading.contains(no)) else { return };
            self.to_load.remove(&no);
            let Some(state) = self.origins.get(no).filter(|state| state.can_settle()) else { continue };
            let from = state.record.settled;
            let end = state.record.ledger.settled_end(from).min(from.saturating_add(LOAD_READINGS));
            self.loading.insert(no);
            self.effects.push_back(Effect::Load { origin: no, range: SeqRange::new(from, end) });
        }
    }

    /// Those that stalled are looked for again.
    pub(super) fn unstall_loads(&mut self) {
        self.to_load.append(&mut self.stalled_loads);
        self.retry_loads_at_ms = None;
        self.request_loads();
    }

    pub(super) fn retry_loads(&mut self, now_ms: u64) {
        if self.retry_loads_at_ms.is_some_and(|at| now_ms >= at) {
            self.unstall_loads();
        }
    }

    fn load_later(&mut self, now_ms: u64, no: OriginNo) {
        self.stalled_loads.insert(no);
        self.retry_loads_at_ms.get_or_insert(now_ms.saturating_add(LOAD_RETRY_MS));
    }

    pub(super) fn loaded(&mut self, now_ms: u64, no: OriginNo, readings: Option<Vec<Reading>>) {
        self.loading.remove(&no);
        let Some(readings) = readings else {
            self.load_later(now_ms, no);
            return self.request_loads();
        };
        let Some(state) = self.origins.get_mut(no) else { return };
        let mut out = alarming::Outcome::default();
        let before = state.record.settled;
        for reading in &readings {
            let at = state.passed(state.record.settled);
            if reading.seq.0 < at {
                continue;
            }
            // The store may not have all yet.
            if reading.seq.0 > at {
                break;
            }
            state.feed(std::slice::from_ref(reading), false, true, &mut out);
            state.record.settled = at.saturating_add(1);
        }
        self.emit(no, out);
        self.settle_on(no);
        let moved = self.origins.get(no).is_some_and(|state| state.record.settled != before);
        if moved {
            self.mark_dirty(no);
            self.touch_batch(now_ms);
        } else if self.to_load.remove(&no) {
            self.load_later(now_ms, no);
        }
        self.request_loads();
    }

    /// Puts what evaluation brought into the batch; provisional events leave at once.
    pub(super) fn emit(&mut self, no: OriginNo, out: alarming::Outcome) {
        let alarming::Outcome { live, late, history, live_changed, settled_changed } = out;
        for event in live {
            let mut committed = event.clone();
            committed.provisional = false;
            self.building.events.push(committed);
            self.counters.alarm_events_provisional += 1;
            self.effects.push_back(Effect::Provisional(Box::new(event)));
            self.urgent = true;
        }
        self.building.events.extend(late);
        self.building
            .history
            .extend(history.into_iter().map(|occurrence| HistoryChange::Put(no, Box::new(occurrence))));
        if live_changed {
            self.put_live(no);
        }
        if settled_changed && let Some(state) = self.origins.get(no) {
            let open = state.watch.open_occurrences(state.record.site, state.record.origin);
            self.building
                .history
                .extend(open.into_iter().map(|occurrence| HistoryChange::Put(no, Box::new(occurrence))));
            self.building.settled.push((no, state.watch.settled_states()));
        }
    }

    fn put_live(&mut self, no: OriginNo) {
        let Some(state) = self.origins.get(no) else { return };
        let key = (state.record.site, state.record.origin.device);
        let record = LiveRecord { current: no, channels: state.watch.live_states() };
        self.building.live.push((key, record));
    }
}

/// Which of two boots of a device is the later one. A boot that ended is not later than one that goes on; else anchors tell,
/// if a synchronised clock made both (another one may have jumped between them); else what comes live is the later.
fn is_newer(old: &OriginState, new: &OriginState, lane: Lane) -> bool {
    match (has_ended(old), has_ended(new)) {
        (false, true) => false,
        (true, false) => true,
        _ => match (old.started_by_synced_clock(), new.started_by_synced_clock()) {
            (Some(old_start), Some(new_start)) => new_start > old_start,
            _ => is_live(lane),
        },
    }
}

fn has_ended(state: &OriginState) -> bool {
    state.record.ledger.tail().is_some()
}

fn is_live(lane: Lane) -> bool {
    matches!(lane, Lane::Alarm | Lane::Live)
}
