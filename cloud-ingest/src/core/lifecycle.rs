//! What operators do with alarms, and what becomes of it when alarms are raised and cleared, and when shelves end.
//!
//! Kept in memory are the alarms that are not plain normal, and those that were not until a moment ago: an order brings the
//! alarm as it was committed when it was given, and by the time it comes that must not be older than what is forgotten here. Every deed is an event in the stream of raises and clears, and a line
//! of the operator log; both, and the alarm's record, commit in one batch, and the answer waits for it. A refusal waits as well:
//! what it is founded on may not be committed yet. After a failed commit all of it is read again from the store.
//!
//! The core has no clock. Wall time comes with `Event::Time` and with orders, and goes on with the core's own milliseconds
//! between; while anything is shelved it is asked for every `CLOCK_LOOK_MS`, so that a step of the clock is noticed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidegate_alarms::{
    AlarmEvent, AlarmKind, EventId, Lifecycle, Priority, RuleId, TransitionKind,
    event::{Deed, Operator, Place},
    lifecycle::{Action, Refusal, Seen},
};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

use super::{Core, Effect, Mode};

/// How soon to look at the clock again while a shelf waits for its end.
const CLOCK_LOOK_MS: u64 = 60_000;
/// An alarm that is plain normal is forgotten so long after; no order is on its way for longer.
const FORGET_AFTER_MS: u64 = 60_000;

/// An alarm: a rule on a channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmKey {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: RuleId,
}

impl AlarmKey {
    pub fn of(event: &AlarmEvent) -> Self {
        let AlarmEvent { site, device, channel, .. } = *event;
        Self { site, device, channel, rule: event.rule.clone() }
    }
}

/// What is known of an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownAlarm {
    pub lifecycle: Lifecycle,
    /// Its newest raise or clear; what stands for one where it was never raised.
    pub told: Box<AlarmEvent>,
    /// Its newest event of any kind.
    pub newest: EventId,
}

/// What an operator wants done with an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmOrder {
    pub key: AlarmKey,
    pub action: Action,
    pub operator: String,
    pub comment: String,
    /// Only if the alarm's newest event is one of these.
    pub expected: Option<Vec<EventId>>,
    /// The alarm as it was committed, for one that the core does not keep; none where there is no record of it.
    pub committed: Option<Box<KnownAlarm>>,
    pub unix_ms: i64,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum AlarmDone {
    /// It is committed, as this event.
    Done(Box<AlarmEvent>),
    /// It fits not the state that the alarm is in.
    Refused(Refusal, Box<Lifecycle>),
    /// The alarm is not as it was expected to be.
    Changed,
    /// No rule watches such a channel, and no such alarm was ever raised.
    Unknown,
    /// The store did not take it, and nothing was changed.
    NotCommitted,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    barrier: u64,
    done: AlarmDone,
}

#[derive(Debug, Default)]
pub(super) struct Lifecycles {
    /// Those that are not plain normal, or are to be forgotten.
    kept: BTreeMap<AlarmKey, KnownAlarm>,
    /// When, and after which batch, what has become plain normal is forgotten; in this order.
    to_forget: VecDeque<(u64, u64, AlarmKey)>,
    now_ms: u64,
    /// By the end of their time.
    shelves: BTreeSet<(i64, AlarmKey)>,
    next_deed: u64,
    /// The core's milliseconds and the wall's at one moment.
    clock: Option<(u64, i64)>,
    waiting: Vec<Waiting>,
    /// Of those kept, by priority.
    active: [u64; 4],
    unacknowledged: [u64; 4],
}

impl Lifecycles {
    /// `batch` will say it.
    fn put(&mut self, batch: u64, key: AlarmKey, alarm: KnownAlarm) {
        let shelf = |alarm: &KnownAlarm| alarm.lifecycle.shelved_until_unix_ms;
        let before = self.kept.remove(&key);
        if let Some(before) = &before {
            self.count(before, u64::wrapping_sub);
        }
        self.count(&alarm, u64::wrapping_add);
        if let Some(until) = before.as_ref().and_then(shelf) {
            self.shelves.remove(&(until, key.clone()));
        }
        if let Some(until) = shelf(&alarm) {
            self.shelves.insert((until, key.clone()));
        }
        if alarm.lifecycle.is_plain() {
            self.to_forget.push_back((self.now_ms.saturating_add(FORGET_AFTER_MS), batch, key.clone()));
        }
        self.kept.insert(key, alarm);
    }

    /// Adds an alarm to the counts, or takes it off. What is plain normal is in none of them.
    fn count(&mut self, alarm: &KnownAlarm, change: fn(u64, u64) -> u64) {
        let place = Priority::ALL.iter().position(|known| *known == alarm.told.priority);
        let lifecycle = &alarm.lifecycle;
        for (counts, is_one) in
            [(&mut self.active, lifecycle.active), (&mut self.unacknowledged, !lifecycle.acknowledged)]
        {
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count = change(*count, u64::from(is_one));
            }
        }
    }

    /// How many are active, and how many wait to be acknowledged.
    pub const fn standing(&self) -> ([u64; 4], [u64; 4]) {
        (self.active, self.unacknowledged)
    }

    /// `open` is the first batch that is not committed.
    fn forget(&mut self, open: u64) {
        let is_due = |(due_ms, batch, _): &mut (u64, u64, AlarmKey)| *due_ms <= self.now_ms && *batch < open;
        while let Some((_, _, key)) = self.to_forget.pop_front_if(is_due) {
            if self.kept.get(&key).is_some_and(|alarm| alarm.lifecycle.is_plain()) {
                self.kept.remove(&key);
            }
        }
    }

    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    pub const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Those of a kind that are active.
    pub fn active_of(&self, kind: AlarmKind) -> Vec<AlarmKey> {
        let of_kind = |alarm: &KnownAlarm| alarm.lifecycle.active && alarm.told.kind == kind;
        self.kept.iter().filter(|(_, alarm)| of_kind(alarm)).map(|(key, _)| key.clone()).collect()
    }

    /// The raise of an alarm that is active.
    pub fn active(&self, key: &AlarmKey) -> Option<&AlarmEvent> {
        self.kept.get(key).filter(|alarm| alarm.lifecycle.active).map(|alarm| alarm.told.as_ref())
    }

    pub fn set_clock(&mut self, now_ms: u64, unix_ms: i64) {
        self.clock = Some((now_ms, unix_ms));
    }

    pub fn unix_ms_at(&self, now_ms: u64) -> Option<i64> {
        let (then_ms, unix_ms) = self.clock?;
        Some(unix_ms.saturating_add_unsigned(now_ms.saturating_sub(then_ms)))
    }

    /// When the first shelf ends, or the clock is to be looked at.
    pub fn next_wakeup(&self) -> Option<u64> {
        let (then_ms, unix_ms) = self.clock?;
        let (until, _) = self.shelves.first()?;
        let left = u64::try_from(until.saturating_sub(unix_ms)).unwrap_or(0);
        Some(then_ms.saturating_add(left.min(CLOCK_LOOK_MS)))
    }
}

impl Core {
    pub(super) fn adopt_alarms(&mut self, alarms: Vec<(AlarmKey, KnownAlarm)>, next_deed: u64) {
        let (clock, now_ms) = (self.lifecycles.clock, self.lifecycles.now_ms);
        self.lifecycles = Lifecycles { next_deed, clock, now_ms, ..Lifecycles::default() };
        for (key, alarm) in alarms {
            self.lifecycles.put(self.building.number, key, alarm);
        }
    }

    /// A live raise or clear moves the alarm, and says what state it is in now.
    pub(super) fn note_live(&mut self, event: &mut AlarmEvent) {
        let key = AlarmKey::of(event);
        let known = self.lifecycles.kept.get(&key);
        let mut lifecycle = known.map(|known| known.lifecycle.clone()).unwrap_or_default();
        match event.transition {
            TransitionKind::Raise => lifecycle.raise(event.id, self.is_latching(event)),
            TransitionKind::Clear => {
                lifecycle.clear(Seen { occurrence: event.occurrence, transition: event.id })
            }
            _ => return,
        }
        event.suppressed = lifecycle.is_suppressed();
        event.state = Some(lifecycle.state());
        event.lifecycle = Some(lifecycle.clone());
        self.look_at_verdicts(self.lifecycles.now_ms);
        let told = Box::new(AlarmEvent { provisional: false, ..event.clone() });
        self.lifecycles.put(self.building.number, key, KnownAlarm { lifecycle, told, newest: event.id });
    }

    fn is_latching(&self, event: &AlarmEvent) -> bool {
        let rule = self.book.get(&event.rule).and_then(|rule| rule.revision(event.revision));
        rule.is_some_and(|rule| rule.is_latching())
    }

    pub(super) fn alarm_action(&mut self, now_ms: u64, ticket: u64, order: AlarmOrder) {
        if self.mode != Mode::Taking {
            return self.effects.push_back(Effect::AlarmDone { ticket, done: AlarmDone::NotCommitted });
        }
        self.lifecycles.set_clock(now_ms, order.unix_ms);
        let done = self.act(now_ms, order);
        let barrier = self.barrier();
        self.lifecycles.waiting.push(Waiting { ticket, barrier, done });
        self.answer_alarm_orders();
    }

    fn act(&mut self, now_ms: u64, order: AlarmOrder) -> AlarmDone {
        let AlarmOrder { key, action, operator, comment, expected, committed, unix_ms } = order;
        let kept = self.lifecycles.kept.get(&key).cloned();
        let known = kept.or_else(|| committed.map(|committed| committed.into_plain()));
        let Some(alarm) = known.or_else(|| self.never_raised(&key)) else { return AlarmDone::Unknown };
        if expected.is_some_and(|expected| !expected.contains(&alarm.newest)) {
            return AlarmDone::Changed;
        }
        match alarm.lifecycle.act(action, unix_ms) {
            Err(refusal) => AlarmDone::Refused(refusal, Box::new(alarm.lifecycle)),
            Ok(lifecycle) => {
                let until_unix_ms = match action {
                    Action::Shelve { until_unix_ms } => Some(until_unix_ms),
                    _ => None,
                };
                let operator = Operator { by: operator, comment, until_unix_ms };
                let alarm = KnownAlarm { lifecycle, ..alarm };
                AlarmDone::Done(self.write_deed(now_ms, key, alarm, action.kind(), operator, unix_ms))
            }
        }
    }

    /// An alarm that is kept, or that a rule would raise.
    pub(super) fn known_alarm(&self, key: &AlarmKey) -> Option<KnownAlarm> {
        self.lifecycles.kept.get(key).cloned().or_else(|| self.never_raised(key))
    }

    /// Writes down what was done; the alarm is given as it is after that.
    pub(super) fn write_deed(
        &mut self,
        now_ms: u64,
        key: AlarmKey,
        alarm: KnownAlarm,
        kind: TransitionKind,
        operator: Operator,
        unix_ms: i64,
    ) -> Box<AlarmEvent> {
        let number = self.lifecycles.next_deed;
        self.lifecycles.next_deed += 1;
        let event = alarm.told.done(Deed { kind, number, operator, unix_ms, after: &alarm.lifecycle });
        self.building.events.push(event.clone());
        self.touch_batch(now_ms);
        self.urgent = true;
        self.lifecycles.put(self.building.number, key, KnownAlarm { newest: event.id, ..alarm });
        Box::new(event)
    }

    /// An alarm that a rule would raise on a channel of the device's present boot.
    fn never_raised(&self, key: &AlarmKey) -> Option<KnownAlarm> {
        let no = self.origins.current(key.site, key.device)?;
        let state = self.origins.get(no)?;
        let (rule, unit) = state.watch.rule_on(key.channel, &key.rule)?;
        let place = Place { site: key.site, device: key.device, channel: key.channel, unit };
        let told = Box::new(AlarmEvent::never_raised(rule, place, state.record.origin.boot));
        Some(KnownAlarm { lifecycle: Lifecycle::default(), newest: told.id, told })
    }

    /// Shelves whose time is over. An alarm that is active then is told again by it.
    pub(super) fn expire_shelves(&mut self, now_ms: u64) {
        self.lifecycles.forget(self.in_flight.unwrap_or(self.building.number));
        if self.mode != Mode::Taking || self.lifecycles.shelves.is_empty() {
            return;
        }
        let Some(unix_ms) = self.lifecycles.unix_ms_at(now_ms) else { return };
        while let Some((until, key)) = self.lifecycles.shelves.first().filter(|(until, _)| *until <= unix_ms)
        {
            let (until, key) = (*until, key.clone());
            let Some(mut alarm) = self.lifecycles.kept.get(&key).cloned() else { return };
            alarm.lifecycle.shelved_until_unix_ms = None;
            let operator = Operator { by: String::new(), comment: String::new(), until_unix_ms: Some(until) };
            let kind = TransitionKind::ShelfExpired;
            self.write_deed(now_ms, key, alarm, kind, operator, unix_ms);
        }
    }

    /// Answers the orders whose batches are committed.
    pub(super) fn answer_alarm_orders(&mut self) {
        let open = self.in_flight.unwrap_or(self.building.number);
        for waiting in self.lifecycles.waiting.extract_if(.., |waiting| waiting.barrier < open) {
            let (ticket, done) = (waiting.ticket, waiting.done);
            self.effects.push_back(Effect::AlarmDone { ticket, done });
        }
    }

    /// What waits after a failed commit was not done.
    pub(super) fn refuse_alarm_orders(&mut self) {
        for Waiting { ticket, .. } in self.lifecycles.waiting.drain(..) {
            self.effects.push_back(Effect::AlarmDone { ticket, done: AlarmDone::NotCommitted });
        }
    }
}

impl KnownAlarm {
    /// An alarm that the core does not keep is plain normal now, whatever was committed when it was looked at.
    fn into_plain(self) -> Self {
        if self.lifecycle.is_plain() {
            return self;
        }
        let Lifecycle { latest, latching, .. } = self.lifecycle;
        Self { lifecycle: Lifecycle { latest, latching, ..Lifecycle::default() }, ..self }
    }
}
