//! Rules change: what comes is judged by the new revision, and so is what came, as far as its own time is behind the moment from
//! which the revision is in force. History behind that moment is told again. A change, its line in the log, and what
//! follows from it commit in one batch; the answer waits for it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_alarms::{EffectiveFrom, RevisedRule, RuleBook, RuleSet, book::Changes};
use tidegate_protocol::ClockAnchor;

use super::{
    Core, Effect,
    alarming::{Outcome, Watch},
    batch::{OriginNo, RewindTo},
    commits::Mode,
};

/// What the rules are to be from now on.
#[derive(Clone, Debug)]
pub struct RulesOrder {
    pub rules: RuleSet,
    pub operator: String,
    pub reason: String,
    /// Only if the edition that is changed is one of these.
    pub expected: Option<Vec<u64>>,
    pub unix_ms: i64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesDone {
    Done {
        changes: Changes,
        edition: u64,
    },
    /// Somebody changed them meanwhile.
    Changed {
        edition: u64,
    },
    NotCommitted,
}

/// A line of the log of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesOperation {
    pub unix_ms: i64,
    pub operator: String,
    pub reason: String,
    /// The edition that it made.
    pub edition: u64,
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub retired: Vec<String>,
}

/// A change of rules on its way to the store.
#[derive(Clone, Debug, Default)]
pub struct RulesChange {
    /// Those that are another now.
    pub rules: Vec<Arc<RevisedRule>>,
    pub edition: u64,
    pub operation: Option<RulesOperation>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    ticket: u64,
    barrier: u64,
    done: RulesDone,
}

impl Core {
    pub(super) fn change_rules(&mut self, now_ms: u64, ticket: u64, order: RulesOrder) {
        let done = if self.mode != Mode::Taking {
            RulesDone::NotCommitted
        } else if order.expected.as_ref().is_some_and(|expected| !expected.contains(&self.edition)) {
            RulesDone::Changed { edition: self.edition }
        } else {
            self.take_rules(now_ms, order)
        };
        let barrier = self.barrier();
        self.ruling.push(Waiting { ticket, barrier, done });
        self.answer_rules_orders();
    }

    /// Rules that were kept; where they are others than they are to be, they are put right, and so is history.
    pub(super) fn adopt_rules(&mut self, kept: Vec<RevisedRule>, edition: u64) {
        self.edition = edition;
        let kept = RuleBook::restore(kept);
        self.adopt_bringing(kept.clone(), edition);
        if kept == self.book {
            return;
        }
        self.edition += 1;
        self.put_rules(&kept, None);
        // A store of before kept no rules: what it tells stays as it was told.
        let numbers: Vec<OriginNo> = match kept.is_empty() {
            true => Vec::new(),
            false => self.origins.iter().map(|(no, _)| no).collect(),
        };
        for no in numbers {
            let Some(state) = self.origins.get(no) else { continue };
            let Some(description) = &state.description else { continue };
            let mut before = Watch::default();
            before.describe(state.record.site, state.record.origin, description, &kept);
            if let Some(from) = state.watch.differs_from(&before) {
                self.rules_differ_from(no, from);
            }
        }
    }

    fn take_rules(&mut self, now_ms: u64, order: RulesOrder) -> RulesDone {
        let RulesOrder { rules, operator, reason, unix_ms, .. } = order;
        let before = self.book.clone();
        let changes = self.book.merge(&rules, unix_ms);
        if !changes.is_empty() {
            self.edition += 1;
            let ids = |ids: &[tidegate_alarms::RuleId]| ids.iter().map(|id| id.as_str().to_owned()).collect();
            let operation = RulesOperation {
                unix_ms,
                operator,
                reason,
                edition: self.edition,
                added: ids(&changes.added),
                changed: ids(&changes.changed),
                retired: ids(&changes.retired),
            };
            self.put_rules(&before, Some(operation));
            self.look_rules_up_anew(now_ms, unix_ms);
        }
        RulesDone::Done { changes, edition: self.edition }
    }

    /// What is to be written of the rules, which were others before.
    pub(super) fn put_rules(&mut self, before: &RuleBook, operation: Option<RulesOperation>) {
        let rules = self.book.changed_since(before).cloned().collect();
        self.building.rules.push(RulesChange { rules, edition: self.edition, operation });
        self.bringing.wait_for(self.building.number);
    }

    /// Every channel is watched by what the rules are now.
    fn look_rules_up_anew(&mut self, now_ms: u64, unix_ms: i64) {
        let numbers: Vec<OriginNo> = self.origins.iter().map(|(no, _)| no).collect();
        for no in numbers {
            let Some(state) = self.origins.get_mut(no) else { continue };
            let Some(description) = &state.description else { continue };
            let mut watch = Watch::default();
            watch.describe(state.record.site, state.record.origin, description, &self.book);
            let Some(from) = watch.differs_from(&state.watch) else { continue };
            watch.take_over(std::mem::take(&mut state.watch));
            state.watch = watch;
            let (site, device) = (state.record.site, state.record.origin.device);
            let mut out = Outcome::default();
            if self.origins.current(site, device) == Some(no)
                && let Some(state) = self.origins.get_mut(no)
            {
                state.withdraw_retired(unix_ms, &mut out);
            }
            self.emit(no, out);
            self.rules_differ_from(no, from);
            self.mark_dirty(no);
        }
        self.touch_batch(now_ms);
        self.request_loads();
    }

    /// Something else is in force for an origin's readings from this moment on.
    pub(super) fn rules_differ_from(&mut self, no: OriginNo, from: EffectiveFrom) {
        let Some(state) = self.origins.get(no) else { return };
        let anchor = state.record.anchor.as_ref();
        let tick = from.unix_ms().zip(anchor).map_or(0, |(unix_ms, anchor)| tick_at(anchor, unix_ms));
        self.retell_from_tick(no, tick);
    }

    /// Another anchor is the best: revisions may come into force elsewhere.
    pub(super) fn anchor_changed(&mut self, no: OriginNo, before: Option<ClockAnchor>) {
        let Some(state) = self.origins.get(no) else { return };
        let Some(after) = state.record.anchor else { return };
        let moved = state.watch.boundaries().filter_map(|unix_ms| {
            let new = tick_at(&after, unix_ms);
            // Without any the newest revision was taken to be in force all along.
            let old = before.as_ref().map_or(0, |before| tick_at(before, unix_ms));
            (old != new).then_some(old.min(new))
        });
        if let Some(tick) = moved.min() {
            self.retell_from_tick(no, tick);
        }
    }

    /// History from this tick on is told again, if it has been told so far.
    fn retell_from_tick(&mut self, no: OriginNo, tick: u64) {
        let Some(state) = self.origins.get(no) else { return };
        let newest = state.latest.iter().flatten().map(|reading| reading.tick.0).max();
        let frontier = state.frontier();
        if frontier > 0 && newest.is_none_or(|newest| tick <= newest) {
            self.retell(no, RewindTo { seq: u64::MAX, tick }, frontier);
        }
    }

    /// Answers the orders whose batches are committed.
    pub(super) fn answer_rules_orders(&mut self) {
        let open = self.in_flight.unwrap_or(self.building.number);
        for Waiting { ticket, done, .. } in self.ruling.extract_if(.., |waiting| waiting.barrier < open) {
            self.effects.push_back(Effect::RulesDone { ticket, done });
        }
    }

    /// What waits after a failed commit was not done; says whether any did.
    pub(super) fn refuse_rules_orders(&mut self) -> bool {
        let any = !self.ruling.is_empty();
        for Waiting { ticket, .. } in self.ruling.drain(..) {
            self.effects.push_back(Effect::RulesDone { ticket, done: RulesDone::NotCommitted });
        }
        any
    }
}

/// The tick of an origin at a wall time; 0 for all that was before its start.
fn tick_at(anchor: &ClockAnchor, unix_ms: i64) -> u64 {
    let tick = i128::from(anchor.tick.0) + i128::from(unix_ms) - i128::from(anchor.unix_ms);
    u64::try_from(tick.max(0)).unwrap_or(u64::MAX)
}
