//! Alarm history.
//!
//! History is settled in seq order up to the first seq that is neither stored nor lost. Readings that continue it are fed
//! as they arrive; where a hole fills, what lies behind it is read back from the store after its commit, in portions. Where
//! a reading arrives that had been declared lost and passed over, a part is told again: see `retelling`.

use tidegate_alarms::AlarmEvent;
use tidegate_protocol::{Reading, SeqRange};

use super::{
    Core, Effect, Loaded,
    alarming::{self, Feed},
    batch::{Checkpoint, HistoryChange, OriginNo, OriginRecord, SettledRecord},
    origins::OriginState,
};

/// How many readings one look back reads at most.
const LOAD_READINGS: u64 = 65_536;
/// How many looks back are under way at most.
pub const MAX_LOADS: usize = 4;
/// When to look again where a look brought nothing and no commit comes first.
const LOAD_RETRY_MS: u64 = 1_000;
/// The states are kept after so many seqs, and at each double of it up to the distance that they have from then on: history
/// can be taken up there, of a short boot too.
const FIRST_CHECKPOINT: u64 = 16;
const CHECKPOINT_DISTANCE: u64 = 4_096;

impl OriginState {
    /// Whether stored readings wait to be settled.
    pub(super) fn can_settle(&self) -> bool {
        let settled = self.record.settled;
        self.watch.any() && (self.must_rewind() || self.record.ledger.settled_end(settled) > settled)
    }

    /// The first seq from `seq` on that history has to look at: neither lost nor expired.
    pub(super) fn passed(&self, seq: u64) -> u64 {
        let mut at = seq;
        loop {
            let end = self.record.ledger.lost_run_end(self.expired.run_end(at));
            if end == at {
                return at;
            }
            at = end;
        }
    }

    /// Feeds readings to the rules, live (at this time) or settled or both; where they are settled, they continue history.
    pub(super) fn feed(
        &mut self,
        run: &[Reading],
        live: Option<u64>,
        settle: bool,
        out: &mut alarming::Outcome,
    ) {
        let mut rest = run;
        while let Some(first) = rest.first() {
            let here = next_checkpoint(first.seq.0) - first.seq.0;
            let at = if settle { rest.len().min(here as usize) } else { rest.len() };
            let (now, later) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            rest = later;
            if settle {
                self.settled_up_to(first.seq.0, out);
            }
            let feed = of(&self.record, live, settle);
            self.watch.feed(&feed, now, out);
            out.settled += if settle && self.watch.any() { now.len() as u64 } else { 0 };
            if let Some(last) = now.last().filter(|_| settle) {
                self.settled_up_to(last.seq.0.saturating_add(1), out);
            }
        }
    }

    /// History goes on at `seq`; what lies before is settled, or passed over.
    pub(super) fn settled_up_to(&mut self, seq: u64, out: &mut alarming::Outcome) {
        let checkpoint = last_checkpoint(seq);
        if checkpoint > self.record.settled && self.watch.any() {
            let states = self.watch.settled_states();
            out.checkpoints.push(Checkpoint { seq: checkpoint, states });
        }
        self.record.settled = seq;
    }

    /// Ends the live alarms of rules that are not in force any more.
    pub(super) fn withdraw_retired(&mut self, unix_ms: i64, out: &mut alarming::Outcome) {
        let feed = of(&self.record, Some(0), false);
        self.watch.withdraw_retired(unix_ms, &feed, out);
    }

    /// Tells of what goes on and was not told, if all is settled that is stored.
    pub(super) fn tell_standing(&mut self, out: &mut alarming::Outcome) {
        if self.retelling.is_none() && self.record.settled >= self.record.ledger.stored().end() {
            let feed = of(&self.record, None, true);
            self.watch.tell_standing(&feed, out);
        }
    }

    pub(super) fn settled_record(&self) -> SettledRecord {
        let (retelling, told) = (self.retelling.clone(), self.watch.told());
        SettledRecord { states: self.watch.settled_states(), retelling, told }
    }
}

fn of(record: &OriginRecord, live: Option<u64>, settle: bool) -> Feed<'_> {
    let OriginRecord { site, origin, ref anchor, .. } = *record;
    let (live, now_ms) = (live.is_some(), live.unwrap_or_default());
    Feed { site, origin, anchor: anchor.as_ref(), live, settle, now_ms }
}

impl Core {
    /// Moves the settled point on as far as no readings need be looked at, and asks for those that do.
    pub(super) fn settle_on(&mut self, no: OriginNo) {
        let Some(state) = self.origins.get_mut(no) else { return };
        if !state.watch.any() {
            state.retelling = None;
            state.record.settled = state.record.ledger.settled_end(state.record.settled);
            return;
        }
        let mut out = alarming::Outcome::default();
        if state.retelling.is_none() {
            let passed = state.passed(state.record.settled);
            state.settled_up_to(passed, &mut out);
            state.tell_standing(&mut out);
        }
        if state.can_settle() {
            self.to_load.insert(no);
        }
        self.emit(no, out);
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

    /// Asks for the readings behind filled holes. After a commit has ended the store has them; before, it has a part.
    pub(super) fn request_loads(&mut self) {
        while self.loading.len() < MAX_LOADS {
            let Some(no) = self.to_load.iter().copied().find(|no| !self.loading.contains(no)) else { return };
            self.to_load.remove(&no);
            let open = self.in_flight.unwrap_or(self.building.number);
            let Some(state) = self.origins.get(no).filter(|state| state.can_settle()) else { continue };
            if let Some(to) = state.rewind_to() {
                if state.retold_in.is_some_and(|batch| batch >= open) {
                    // The store still has what was told before.
                    self.stalled_loads.insert(no);
                    continue;
                }
                self.loading.insert(no);
                self.effects.push_back(Effect::Rewind { origin: no, to });
                continue;
            }
            let from = state.passed(state.record.settled);
            let end = state.record.ledger.settled_end(from).min(from.saturating_add(LOAD_READINGS));
            // What is lost may reach across the frontier: then there is nothing left to read.
            let end = state.retelling.as_ref().map_or(end, |retelling| end.min(retelling.frontier)).max(from);
            self.loading.insert(no);
            let (range, told) = (SeqRange::new(from, end), state.retelling.is_some());
            self.effects.push_back(Effect::Load { origin: no, range, told });
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

    pub(super) fn load_later(&mut self, now_ms: u64, no: OriginNo) {
        self.stalled_loads.insert(no);
        self.retry_loads_at_ms.get_or_insert(now_ms.saturating_add(LOAD_RETRY_MS));
    }

    pub(super) fn loaded(&mut self, now_ms: u64, no: OriginNo, loaded: Option<Loaded>) {
        self.loading.remove(&no);
        let Some(loaded) = loaded else {
            self.load_later(now_ms, no);
            return self.request_loads();
        };
        let Some(state) = self.origins.get_mut(no) else { return };
        let before = state.record.settled;
        if state.must_rewind() {
            self.to_load.insert(no);
        } else if state.retelling.is_some() {
            self.tell_again(no, &loaded);
        } else {
            let mut out = alarming::Outcome::default();
            state.settle(&loaded.readings, u64::MAX, |_, _| true, &mut out);
            self.emit(no, out);
            self.settle_on(no);
        }
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
        let alarming::Outcome { live, late, history, checkpoints, settled, .. } = out;
        let alarming::Outcome { live_changed, settled_changed, .. } = out;
        self.counters.readings_settled += settled;
        // What arrived last is what taught it.
        let learned = self.origins.get(no).map(|state| state.record.last_arrival_unix_ms);
        for mut event in live {
            event.learned_unix_ms = learned;
            self.note_live(&mut event);
            let mut committed = event.clone();
            committed.provisional = false;
            self.building.events.push(committed);
            self.counters.alarm_events_provisional += 1;
            self.effects.push_back(Effect::Provisional(Box::new(event)));
            self.urgent = true;
        }
        let late = late.into_iter().map(|event| AlarmEvent { learned_unix_ms: learned, ..event });
        self.building.events.extend(late);
        let put = |occurrence| HistoryChange::Put(no, Box::new(occurrence));
        self.building.history.extend(history.into_iter().map(put));
        let checkpoint = |checkpoint| HistoryChange::Checkpoint(no, Box::new(checkpoint));
        self.building.history.extend(checkpoints.into_iter().map(checkpoint));
        if live_changed {
            self.put_live(no);
        }
        if settled_changed && let Some(state) = self.origins.get(no) {
            // What is open half-way through a telling may have a row that says how it ended.
            if state.retelling.is_none() {
                let open = state.watch.open_occurrences(state.record.site, state.record.origin);
                self.building.history.extend(open.into_iter().map(put));
            }
            self.building.settled.push((no, state.settled_record()));
        }
    }
}

impl OriginState {
    /// Feeds loaded readings to history, each that comes next, until it is settled up to `end`, or `goes_on` says no at a
    /// checkpoint.
    pub(super) fn settle(
        &mut self,
        readings: &[Reading],
        end: u64,
        mut goes_on: impl FnMut(&Self, u64) -> bool,
        out: &mut alarming::Outcome,
    ) {
        for reading in readings {
            let at = self.passed(self.record.settled);
            if reading.seq.0 < at {
                continue;
            }
            // The store may not have all yet.
            if reading.seq.0 > at || at >= end {
                return;
            }
            for (settles, up_to) in [(false, at), (true, at.saturating_add(1))] {
                let checkpoint = last_checkpoint(up_to);
                let crosses = checkpoint > self.record.settled;
                if settles {
                    self.feed(std::slice::from_ref(reading), None, true, out);
                } else {
                    self.settled_up_to(up_to, out);
                }
                if crosses && !goes_on(self, checkpoint) {
                    return;
                }
            }
        }
    }
}

/// The last place of a checkpoint at or before `seq`.
fn last_checkpoint(seq: u64) -> u64 {
    if seq >= CHECKPOINT_DISTANCE {
        seq - seq % CHECKPOINT_DISTANCE
    } else if seq >= FIRST_CHECKPOINT {
        1 << seq.ilog2()
    } else {
        0
    }
}

fn next_checkpoint(seq: u64) -> u64 {
    match last_checkpoint(seq) {
        0 => FIRST_CHECKPOINT,
        last if last >= CHECKPOINT_DISTANCE => last.saturating_add(CHECKPOINT_DISTANCE),
        last => last * 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_lie_close_together_at_first() {
        let places = std::iter::successors(Some(0), |seq| Some(next_checkpoint(*seq)));
        let first: Vec<u64> = places.take(13).collect();
        assert_eq!(first, [0, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 12_288, 16_384]);
        for seq in 0..20_000 {
            let (last, next) = (last_checkpoint(seq), next_checkpoint(seq));
            assert!(last <= seq && seq < next && next_checkpoint(last) == next, "{seq}");
        }
    }
}
