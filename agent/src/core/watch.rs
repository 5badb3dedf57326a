//! Which readings go ahead of everything: those at which a rule of this gateway raises or clears.
//!
//! A frame in which that happens becomes a block of its own, in the alarm lane. What raises the alarm for people is the ingest's
//! verdict on it; here the rules say what is urgent, and what is active on the spot (`local_alarms`).

use std::sync::Arc;

use tidegate_alarms::{
    Evaluated, ReadingAt, RevisedRule, Rule, RuleBook, RuleId, RuleKind, Transition, TransitionKind,
};
use tidegate_protocol::{
    BootId, ChannelName, ClockQuality, Quality, Reading, SeqRange, SiteId, Tick, block::Description,
    topic::Lane,
};

use super::{
    Core,
    clock::Anchored,
    local_alarms::{LocalAlarms, unix_ms_of},
    origin::Slot,
};

/// The rules of one origin's channels, and where each of them stands.
#[derive(Debug, Default)]
pub struct Watch {
    /// By channel index.
    channels: Vec<Vec<Watched>>,
    /// The end of what was looked at: what comes late changes nothing.
    seen: u64,
}

/// One rule on one channel.
#[derive(Debug)]
pub struct Watched {
    pub rule: Arc<RevisedRule>,
    pub live: Evaluated,
    /// It stands among the local alarms.
    pub is_shown: bool,
}

/// Where a rule stands after live readings, if it is active or was.
#[derive(Clone, Debug)]
pub struct Stand {
    pub channel: usize,
    /// Its place among the rules of the channel.
    pub place: usize,
    /// The last good reading's.
    pub value: f64,
    /// Its raise, if that was among these, and the revision that raised it.
    pub raise: Option<(Arc<Rule>, Transition)>,
}

/// What is in force for a reading: by its own time, where that is known.
fn in_force(rule: &RevisedRule, unix_ms: Option<i64>) -> Option<&Arc<Rule>> {
    let rule = rule.constant().or_else(|| rule.at(unix_ms));
    rule.filter(|rule| rule.rule_kind() == RuleKind::Channel)
}

impl Watch {
    pub fn of(site: SiteId, description: &Description, rules: &RuleBook) -> Self {
        let device = description.origin.device;
        let matching = description.channels.iter().map(|channel| {
            let matching = rules.matching(site, device, channel.name, &channel.unit, &description.tag);
            let watched = |rule| Watched { rule, live: Evaluated::default(), is_shown: false };
            matching.into_iter().map(watched).collect()
        });
        Self { channels: matching.collect(), seen: 0 }
    }

    /// Goes on with what is active at this device since a boot before, or under another description.
    pub fn inherit(&mut self, description: &Description, alarms: &LocalAlarms) {
        for (channel, watched) in description.channels.iter().zip(&mut self.channels) {
            for watched in watched {
                let id = watched.rule.id();
                if let Some(known) = alarms.evaluated(description.origin.device, channel.name, id) {
                    watched.live = known.clone();
                    watched.is_shown = true;
                }
            }
        }
    }

    /// Goes on where another stands that watches the same channels under other rules.
    pub fn take_over(&mut self, before: Self) {
        self.seen = before.seen;
        for (channel, old) in self.channels.iter_mut().zip(before.channels) {
            for known in old {
                let same = channel.iter_mut().find(|watched| watched.rule.id() == known.rule.id());
                if let Some(watched) = same {
                    (watched.live, watched.is_shown) = (known.live, known.is_shown);
                }
            }
        }
    }

    /// Whether any rule raises or clears at any of these. `stands` takes what readings from `live_from` on say of rules that
    /// are active, or were.
    pub fn crosses(
        &mut self,
        boot: BootId,
        readings: &[Reading],
        live_from: u64,
        time_of: impl Fn(Tick) -> Option<i64>,
        stands: &mut Vec<Stand>,
    ) -> bool {
        let mut crosses = false;
        for reading in readings.iter().filter(|reading| reading.seq.0 >= self.seen) {
            let channel = usize::from(reading.channel.0);
            let watched = self.channels.get_mut(channel).into_iter().flatten();
            let at = ReadingAt::new(boot, reading);
            for (place, watched) in watched.enumerate() {
                let happened = watched.live.step(in_force(&watched.rule, time_of(at.tick)), &at).happened;
                crosses |= happened.is_some();
                let value = reading.value.as_f64();
                let is_passed_over = reading.quality == Quality::Bad || value.is_nan();
                let is_live = reading.seq.0 >= live_from;
                if is_live && !is_passed_over && (watched.is_shown || watched.live.state().is_active()) {
                    watched.is_shown = true;
                    let raise = happened.filter(|(_, happened)| happened.kind == TransitionKind::Raise);
                    note(stands, channel, place, value, raise);
                }
            }
        }
        let end = readings.last().map_or(0, |last| last.seq.0.saturating_add(1));
        self.seen = self.seen.max(end);
        crosses
    }

    pub fn watched_mut(&mut self, stand: &Stand) -> Option<&mut Watched> {
        self.channels.get_mut(stand.channel)?.get_mut(stand.place)
    }

    /// Whether a rule of this name watches a channel of this name.
    pub fn has(&self, description: &Description, channel: ChannelName, rule: &RuleId) -> bool {
        let named = description.channels.iter().zip(&self.channels);
        let mut watched = named.filter(|(decl, _)| decl.name == channel).flat_map(|(_, watched)| watched);
        watched.any(|watched| watched.rule.id() == rule)
    }
}

fn note(
    stands: &mut Vec<Stand>,
    channel: usize,
    place: usize,
    value: f64,
    raise: Option<(Arc<Rule>, Transition)>,
) {
    let known = stands.iter_mut().rev().find(|stand| (stand.channel, stand.place) == (channel, place));
    match known {
        Some(stand) => {
            stand.value = value;
            stand.raise = raise.or(stand.raise.take());
        }
        None => stands.push(Stand { channel, place, value, raise }),
    }
}

impl Core {
    /// These go ahead of everything, if any rule says so.
    pub(super) fn urgent(&mut self, slot: Slot, readings: &[Reading]) -> Option<SeqRange> {
        if self.rules.book.is_empty() {
            return None;
        }
        let (first, last) = (readings.first()?, readings.last()?);
        let range = SeqRange::new(first.seq.0, last.seq.0.saturating_add(1));
        self.begin_watch(slot);
        let state = self.origins.get(slot)?;
        // What comes of a boot that its device left is late, all of it.
        let is_current = self.origins.current(state.origin().device) == Some(slot);
        let (now, knows_time) = (self.now, self.clock.quality() != ClockQuality::Unsynced);
        let state = self.origins.get_mut(slot)?;
        let live_from = if is_current { state.live_from() } else { u64::MAX };
        // One that was never anchored measures now.
        let anchored = state.anchored.unwrap_or(Anchored { tick: last.tick, at: now.at, delay_ms: 0 });
        let (boot, time_of) = (state.boot(), |tick| knows_time.then(|| unix_ms_of(tick, anchored, now)));
        let mut stands = Vec::new();
        let crosses = state.watch.as_mut()?.crosses(boot, readings, live_from, time_of, &mut stands);
        self.stand_locally(slot, last.tick, &stands);
        crosses.then_some(range)
    }

    fn begin_watch(&mut self, slot: Slot) {
        let Some(state) = self.origins.get(slot).filter(|state| state.watch.is_none()) else { return };
        let mut watch = Watch::of(self.settings.site, &state.description, &self.rules.book);
        if self.origins.current(state.origin().device) == Some(slot) {
            watch.inherit(&state.description, &self.local_alarms);
        }
        if let Some(state) = self.origins.get_mut(slot) {
            state.watch = Some(watch);
        }
        self.drop_unwatched(slot);
    }

    /// What the present boot of a device has no channel or rule for is active no more.
    pub(super) fn drop_unwatched(&mut self, slot: Slot) {
        let Some(state) = self.origins.get(slot) else { return };
        let (description, device) = (&state.description, state.origin().device);
        let Some(watch) = state.watch.as_ref().filter(|_| self.origins.current(device) == Some(slot)) else {
            return;
        };
        let is_watched = |channel, rule: &RuleId| watch.has(description, channel, rule);
        for key in self.local_alarms.remove_unwatched(device, is_watched) {
            self.local_alarm_ended(key);
        }
    }

    /// What waits of these leaves in a block of its own, before everything else.
    pub(super) fn promote(&mut self, slot: Slot, from: Lane, range: SeqRange) {
        let due = self.due_unstretched();
        if let Some(parcel) = self.packer.pack_alarm(&mut self.origins, slot, from, range, due) {
            self.counters.alarm_blocks += 1;
            self.add_to_outbox(parcel);
        }
    }
}
