//! History told again in part: where a reading arrives that had been declared lost and passed over, or where other rules
//! were in force than was thought.
//!
//! ```text
//! checkpoint        the reading          agrees again              frontier
//!     │ ───────────────▶╳──────────────────▶│ ─ ─ ─ jumps ─ ─ ─ ─ ─ ▶│ goes on
//! ```
//!
//! It is told from the last checkpoint before the reading, and, once its states agree with those of a checkpoint behind the
//! last change, it is as it was told from there on, and goes on where it had been. So late data costs
//! what lies around it, in whatever order it comes. Occurrences that are told again as they were keep their rows; a row
//! that is not told again leaves. Where readings around it have expired, history stays as it was told.

use tidegate_protocol::SeqRange;

use super::{
    Core, Loaded, alarming,
    batch::{Checkpoint, HistoryChange, OriginNo, Retelling, RewindTo},
    origins::OriginState,
};

impl OriginState {
    /// Where history is to be taken up before anything else.
    pub(super) fn rewind_to(&self) -> Option<RewindTo> {
        self.retelling.as_ref()?.rewind_to
    }

    pub(super) fn must_rewind(&self) -> bool {
        self.rewind_to().is_some()
    }

    /// How far history was ever settled.
    pub(super) fn frontier(&self) -> u64 {
        self.retelling.as_ref().map_or(self.record.settled, |retelling| retelling.frontier)
    }

    /// History as it was before a part of it was to be told again.
    fn jump_to_frontier(&mut self) {
        if let Some(retelling) = self.retelling.take() {
            self.record.settled = retelling.frontier;
            self.watch.forget_told_before(retelling.frontier);
            self.watch.restore_settled(&retelling.states);
        }
    }

    /// Whether the states agree with those that were told here, and nothing behind has changed.
    fn agrees(&self, here: u64, told: &[Checkpoint]) -> bool {
        self.retelling.as_ref().is_some_and(|retelling| here >= retelling.until)
            && told.iter().any(|told| told.seq == here && told.states == self.watch.settled_states())
    }
}

impl Core {
    /// Something behind the frontier has changed: that part of history is told again.
    pub(super) fn retell_from(&mut self, no: OriginNo, changed: SeqRange) {
        let Some(state) = self.origins.get_mut(no).filter(|state| state.watch.any()) else { return };
        if let Some(retelling) = &mut state.retelling
            && changed.start >= state.record.settled
            && retelling.rewind_to.is_none()
        {
            // It is on its way there.
            retelling.until = retelling.until.max(changed.end);
            let record = state.settled_record();
            return self.building.settled.push((no, record));
        }
        self.retell(no, RewindTo { seq: changed.start, tick: u64::MAX }, changed.end);
    }

    /// History is told again from there; up to `until` it does not agree with what was told.
    pub(super) fn retell(&mut self, no: OriginNo, from: RewindTo, until: u64) {
        let Some(state) = self.origins.get_mut(no).filter(|state| state.watch.any()) else { return };
        let settled = state.record.settled;
        match &mut state.retelling {
            Some(retelling) => {
                // What was told again so far agrees with nothing behind it.
                retelling.until = retelling.until.max(until).max(settled);
                retelling.rewind_to = Some(retelling.rewind_to.map_or(from, |known| known.or_before(from)));
            }
            None => {
                let (states, rewind_to) = (state.watch.settled_states(), Some(from));
                state.retelling = Some(Retelling { frontier: settled, states, until, rewind_to });
            }
        }
        let record = state.settled_record();
        self.building.settled.push((no, record));
        self.to_load.insert(no);
    }

    /// The store's last checkpoint at or before what was asked for; nothing where it could not be read.
    pub(super) fn rewound(&mut self, now_ms: u64, no: OriginNo, asked: RewindTo, found: Option<Checkpoint>) {
        self.loading.remove(&no);
        let Some(checkpoint) = found else {
            self.load_later(now_ms, no);
            return self.request_loads();
        };
        let Some(state) = self.origins.get_mut(no) else { return };
        let Some(retelling) = &mut state.retelling else { return };
        // Unless a change further back came meanwhile.
        if retelling.rewind_to == Some(asked) {
            retelling.rewind_to = None;
            let again = SeqRange::new(checkpoint.seq, retelling.frontier);
            if state.expired.iter().any(|expired| expired.start < again.end && again.start < expired.end) {
                state.jump_to_frontier();
                self.counters.histories_left += 1;
            } else {
                state.record.settled = checkpoint.seq;
                state.watch.restore_settled(&checkpoint.states);
            }
            let record = state.settled_record();
            self.building.settled.push((no, record));
            self.mark_dirty(no);
            self.touch_batch(now_ms);
        }
        self.settle_on(no);
        self.request_loads();
    }

    /// Tells loaded readings again, until history agrees with what was told, or its frontier is reached.
    pub(super) fn tell_again(&mut self, no: OriginNo, loaded: &Loaded) {
        let Some(state) = self.origins.get_mut(no) else { return };
        let Some(frontier) = state.retelling.as_ref().map(|retelling| retelling.frontier) else { return };
        let from = state.record.settled;
        let (site, device) = (state.record.site, state.record.origin.device);
        state.watch.were_told(site, device, &loaded.occurrences);
        let mut out = alarming::Outcome::default();
        let mut agreed = false;
        let goes_on = |state: &OriginState, checkpoint| {
            agreed = state.agrees(checkpoint, &loaded.checkpoints);
            !agreed
        };
        state.settle(&loaded.readings, frontier, goes_on, &mut out);
        let passed = state.passed(state.record.settled);
        let at_frontier = !agreed && passed >= frontier;
        if at_frontier {
            state.settled_up_to(frontier, &mut out);
            state.retelling = None;
        }
        let to = state.record.settled;
        if to == from && !at_frontier {
            // The store did not have the next reading yet.
            return self.settle_on(no);
        }
        let raised = out.history.iter().filter(|known| known.raised.seq.0 >= from);
        let raised = raised.map(|known| (known.raised.seq.0, known.channel, known.rule.clone())).collect();
        let range = SeqRange::new(from, to);
        self.building.history.push(HistoryChange::Retold { origin: no, range, raised });
        // Those that are open here may have a row that says how they ended.
        out.history.retain(|known| known.cleared.is_some());
        out.settled_changed = at_frontier;
        if agreed {
            state.jump_to_frontier();
        }
        state.retold_in = Some(self.building.number);
        let record = state.settled_record();
        self.emit(no, out);
        self.building.settled.push((no, record));
        self.settle_on(no);
    }
}
