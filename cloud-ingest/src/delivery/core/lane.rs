//! One receiver's events on their way.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    mem,
    sync::Arc,
};

use super::{
    Digest, Effect, Event, FailureKind, GATHER_MS, MAX_SENDING, Message, OutboxRow, Policy, Queued, Reason,
    RowState, back_off, flood::Flood,
};
use crate::delivery::quiet_hours::{Nights, quiet_until};

#[derive(Debug, Default)]
pub struct Lane {
    policy: Policy,
    disabled: bool,
    now_ms: i64,
    entries: BTreeMap<u64, Entry>,
    /// The events of each alarm, of which only the first may leave.
    alarms: HashMap<Arc<str>, BTreeSet<u64>>,
    /// Digests that are formed, by their first event.
    digests: BTreeMap<u64, Vec<u64>>,
    held: BTreeMap<u64, Reason>,
    /// When what was over is told.
    late_until_ms: Option<i64>,
    /// When those held in quiet hours are told.
    quiet_until_ms: BTreeSet<(i64, u64)>,
    /// Of the held ones, those whose time came while earlier ones of their alarm were not delivered.
    overdue: BTreeSet<u64>,
    /// Some of the overdue may leave now.
    reconsider: bool,
    /// Messages that may leave at once, and those that are to be tried again later.
    ready: BTreeSet<u64>,
    timers: BTreeSet<(i64, u64)>,
    sending: BTreeSet<u64>,
    flood: Flood,
    effects: VecDeque<Effect>,
}

#[derive(Debug)]
struct Entry {
    row: OutboxRow,
    alarm: Arc<str>,
    /// It is ready, or has a timer, or is being sent, by itself.
    scheduled: bool,
}

impl Lane {
    pub fn new(policy: Policy, disabled: bool) -> Self {
        Self { policy, disabled, ..Self::default() }
    }

    /// How many events are in memory.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to wake it, if nothing else happens.
    pub fn next_wakeup(&self) -> Option<i64> {
        let timer = self.timers.first().map(|(due, _)| *due).filter(|_| !self.disabled);
        let quiet = self.quiet_until_ms.first().map(|(until, _)| *until);
        [timer, self.late_until_ms, quiet, self.flood.next_wakeup()].into_iter().flatten().min()
    }

    pub fn handle(&mut self, now_unix_ms: i64, event: Event) {
        self.tell_time(now_unix_ms);
        match event {
            Event::Queued(queued) => {
                for queued in queued {
                    // What was due before it came leaves without it.
                    self.release_due(queued.row.queued_unix_ms.min(self.now_ms));
                    self.take(queued);
                }
            }
            Event::Replay(queued) => self.replay(queued),
            Event::Delivered { message } | Event::Vanished { message } => {
                for (cursor, _) in self.finish(message) {
                    self.effects.push_back(Effect::Delete { cursor });
                }
            }
            Event::Failed { message, kind, why, jitter } => self.failed(message, kind, &why, jitter),
            Event::Enabled => {
                self.disabled = false;
                for (_, message) in mem::take(&mut self.timers) {
                    self.ready.insert(message);
                }
            }
            Event::Wakeup => {}
        }
        self.release_due(self.now_ms);
        self.send();
    }

    /// A clock that was put back must not lengthen what was measured by it.
    fn tell_time(&mut self, now_ms: i64) {
        let back_ms = self.now_ms.saturating_sub(now_ms);
        if back_ms > 0 {
            let timers = mem::take(&mut self.timers);
            self.timers =
                timers.into_iter().map(|(due, message)| (due.saturating_sub(back_ms), message)).collect();
            self.late_until_ms = self.late_until_ms.map(|until| until.saturating_sub(back_ms));
            self.flood.shift(back_ms);
        }
        self.now_ms = now_ms;
    }

    fn take(&mut self, queued: Queued) {
        let Queued { cursor, mut row, alarm, critical, raise, quiet_hours } = queued;
        if row.state != RowState::Waiting || self.entries.contains_key(&cursor) {
            return;
        }
        row.due_unix_ms = row.due_unix_ms.min(self.now_ms.saturating_add(back_off::LONGEST_MS));
        let (digest, due_ms, is_first_try) = (row.digest, row.due_unix_ms, row.attempts == 0);
        let hold = if critical || !is_first_try {
            None
        } else {
            self.hold(cursor, &row, raise, quiet_hours.as_deref())
        };
        self.alarms.entry(Arc::clone(&alarm)).or_default().insert(cursor);
        self.entries.insert(cursor, Entry { row, alarm: Arc::clone(&alarm), scheduled: false });
        if let Some(Digest { first, .. }) = digest {
            let digest = self.digests.entry(first).or_default();
            digest.push(cursor);
            if digest.len() == 1 {
                self.schedule(first, due_ms);
            }
        } else if let Some(hold) = hold {
            self.held.insert(cursor, hold);
            self.promote(&alarm);
        } else {
            self.let_go_before(&alarm, cursor, critical);
            self.promote(&alarm);
        }
    }

    /// Whether it waits for others, and what for. Told by the time at which it was queued, so that a restart changes little.
    fn hold(
        &mut self,
        cursor: u64,
        row: &OutboxRow,
        raise: bool,
        of_rule: Option<&Nights>,
    ) -> Option<Reason> {
        if row.digest.is_some() {
            return None;
        }
        let at_ms = row.queued_unix_ms;
        if let Some(until) = quiet_until([self.policy.quiet_hours.as_ref(), of_rule], at_ms) {
            self.quiet_until_ms.insert((until, cursor));
            return Some(Reason::QuietHours);
        }
        if !self.policy.digest {
            return None;
        }
        if row.over {
            self.late_until_ms.get_or_insert(at_ms.saturating_add(GATHER_MS));
            return Some(Reason::Late);
        }
        if raise {
            self.flood.raised(at_ms);
        }
        self.flood.is_on().then_some(Reason::Flood)
    }

    /// What is held in front of an event that is not: in front of a critical one it leaves by itself, else as soon as can be.
    fn let_go_before(&mut self, alarm: &Arc<str>, cursor: u64, critical: bool) {
        let before = self.alarms.get(alarm).into_iter().flat_map(|events| events.range(..cursor));
        let before: Vec<u64> = before.copied().collect();
        for earlier in before {
            if critical {
                self.unhold(earlier);
            } else if self.held.get(&earlier) == Some(&Reason::Late) {
                self.late_until_ms = Some(self.now_ms);
            }
        }
    }

    fn unhold(&mut self, cursor: u64) {
        if self.held.remove(&cursor) == Some(Reason::QuietHours) {
            self.quiet_until_ms.retain(|(_, held)| *held != cursor);
        }
        self.overdue.remove(&cursor);
    }

    /// Schedules an alarm's first event, if it leaves by itself.
    fn promote(&mut self, alarm: &Arc<str>) {
        let Some(first) = self.alarms.get(alarm).and_then(BTreeSet::first).copied() else { return };
        self.reconsider |= self.overdue.contains(&first);
        let Some(entry) = self.entries.get_mut(&first) else { return };
        if entry.scheduled || entry.row.digest.is_some() || self.held.contains_key(&first) {
            return;
        }
        entry.scheduled = true;
        let due_ms = entry.row.due_unix_ms;
        self.schedule(first, due_ms);
    }

    fn schedule(&mut self, message: u64, due_ms: i64) {
        if due_ms <= self.now_ms {
            self.ready.insert(message);
        } else {
            self.timers.insert((due_ms, message));
        }
    }

    /// Forms digests of what was held long enough.
    fn release_due(&mut self, now_ms: i64) {
        if mem::take(&mut self.reconsider) {
            for reason in [Reason::QuietHours, Reason::Late, Reason::Flood] {
                let due = self.overdue.iter().filter(|at| self.held.get(at) == Some(&reason)).copied();
                self.release(reason, due.collect());
            }
        }
        let mut nights = Vec::new();
        while let Some((until, cursor)) = self.quiet_until_ms.first().copied()
            && until <= now_ms
        {
            self.quiet_until_ms.pop_first();
            nights.push(cursor);
        }
        nights.sort_unstable();
        self.release(Reason::QuietHours, nights);
        if self.late_until_ms.is_some_and(|until| until <= now_ms) {
            self.late_until_ms = None;
            self.release(Reason::Late, self.all_held(Reason::Late));
        }
        if self.flood.is_due(now_ms) {
            self.release(Reason::Flood, self.all_held(Reason::Flood));
        }
    }

    fn all_held(&self, reason: Reason) -> Vec<u64> {
        let held = self.held.iter().filter(|(_, held)| **held == reason);
        held.map(|(cursor, _)| *cursor).collect()
    }

    /// Lets these go, as a digest where the receiver has them; but not those that still wait for an earlier event of their
    /// alarm: they leave behind that.
    fn release(&mut self, reason: Reason, due: Vec<u64>) {
        let mut chosen: Vec<u64> = Vec::with_capacity(due.len());
        let mut touched: BTreeSet<Arc<str>> = BTreeSet::new();
        for cursor in due {
            let Some(entry) = self.entries.get(&cursor) else { continue };
            let mut earlier =
                self.alarms.get(&entry.alarm).into_iter().flat_map(|events| events.range(..cursor));
            if earlier.all(|earlier| chosen.binary_search(earlier).is_ok()) {
                touched.insert(Arc::clone(&entry.alarm));
                self.held.remove(&cursor);
                self.overdue.remove(&cursor);
                chosen.push(cursor);
            } else {
                self.overdue.insert(cursor);
            }
        }
        // One is no digest.
        if let [first, _, ..] = chosen[..]
            && self.policy.digest
        {
            self.form(first, reason, chosen);
        }
        for alarm in touched {
            self.promote(&alarm);
        }
    }

    fn form(&mut self, first: u64, reason: Reason, cursors: Vec<u64>) {
        for cursor in &cursors {
            let Some(entry) = self.entries.get_mut(cursor) else { continue };
            entry.row.digest = Some(Digest { first, reason });
            self.effects.push_back(Effect::Put { cursor: *cursor, row: entry.row.clone() });
        }
        self.digests.insert(first, cursors);
        self.ready.insert(first);
    }

    fn send(&mut self) {
        if self.disabled {
            return;
        }
        while let Some((due_ms, message)) = self.timers.first().copied()
            && due_ms <= self.now_ms
        {
            self.timers.pop_first();
            self.ready.insert(message);
        }
        while self.sending.len() < MAX_SENDING
            && let Some(first) = self.ready.pop_first()
        {
            let reason =
                self.entries.get(&first).and_then(|entry| entry.row.digest).map(|digest| digest.reason);
            let cursors = self.digests.get(&first).cloned().unwrap_or_else(|| vec![first]);
            self.sending.insert(first);
            self.effects.push_back(Effect::Send(Message { first, cursors, digest: reason }));
        }
    }

    /// Forgets a message's events, and lets those behind them come forward.
    fn finish(&mut self, message: u64) -> Vec<(u64, OutboxRow)> {
        if !self.sending.remove(&message) {
            return Vec::new();
        }
        let cursors = self.digests.remove(&message).unwrap_or_else(|| vec![message]);
        let mut gone = Vec::with_capacity(cursors.len());
        for cursor in cursors {
            let Some(Entry { row, alarm, .. }) = self.entries.remove(&cursor) else { continue };
            gone.push((cursor, row));
            if let Some(events) = self.alarms.get_mut(&alarm) {
                events.remove(&cursor);
                if events.is_empty() {
                    self.alarms.remove(&alarm);
                }
            }
            self.promote(&alarm);
        }
        gone
    }

    fn failed(&mut self, message: u64, kind: FailureKind, why: &str, jitter: f64) {
        if !self.sending.contains(&message) {
            return;
        }
        let failures = self.entries.get(&message).map_or(0, |entry| entry.row.attempts).saturating_add(1);
        let wish_ms = match kind {
            FailureKind::Temporary { retry_after_ms } => retry_after_ms,
            FailureKind::Permanent | FailureKind::Gone => None,
        };
        if kind == FailureKind::Gone {
            self.disabled = true;
            self.effects.push_back(Effect::Disable { why: why.to_owned() });
        }
        let pause = back_off::pause_ms(failures, wish_ms, jitter).filter(|_| kind != FailureKind::Permanent);
        let Some(pause) = pause else {
            for (cursor, row) in self.finish(message) {
                let last_error = Some(why.to_owned());
                let row = OutboxRow {
                    state: RowState::Parked,
                    attempts: failures,
                    last_error,
                    digest: None,
                    ..row
                };
                self.effects.push_back(Effect::Put { cursor, row });
            }
            return;
        };
        self.sending.remove(&message);
        let due_ms = self.now_ms.saturating_add(pause);
        let cursors = self.digests.get(&message).cloned().unwrap_or_else(|| vec![message]);
        for cursor in cursors {
            let Some(entry) = self.entries.get_mut(&cursor) else { continue };
            entry.row.attempts = failures;
            entry.row.due_unix_ms = due_ms;
            entry.row.last_error = Some(why.to_owned());
            self.effects.push_back(Effect::Put { cursor, row: entry.row.clone() });
        }
        self.timers.insert((due_ms, message));
    }

    fn replay(&mut self, queued: Queued) {
        let Queued { cursor, row, alarm, .. } = queued;
        let Some(entry) = self.entries.get(&cursor) else {
            let row = OutboxRow {
                state: RowState::Waiting,
                attempts: 0,
                due_unix_ms: self.now_ms,
                digest: None,
                ..row
            };
            self.effects.push_back(Effect::Put { cursor, row: row.clone() });
            self.alarms.entry(Arc::clone(&alarm)).or_default().insert(cursor);
            self.entries.insert(cursor, Entry { row, alarm: Arc::clone(&alarm), scheduled: false });
            self.promote(&alarm);
            return;
        };
        // It waits already: for others, or for its next attempt.
        let message = entry.row.digest.map_or(cursor, |digest| digest.first);
        let is_message = entry.scheduled || entry.row.digest.is_some();
        self.unhold(cursor);
        self.timers.retain(|(_, waiting)| *waiting != message);
        if is_message && !self.sending.contains(&message) {
            self.ready.insert(message);
        } else {
            self.promote(&alarm);
        }
    }
}
