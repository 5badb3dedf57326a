//! Which readings go ahead of everything: those at which a rule of this gateway raises or clears.
//!
//! A frame in which that happens becomes a block of its own, in the alarm lane. What raises the alarm for people is the ingest's
//! verdict on it; here the rules say what is urgent, and what is active on the spot (`local_alarms`).

use std::sync::Arc;

use tidegate_alarms::{ReadingAt, Rule, RuleId, RuleSet, State, Transition, TransitionKind};
use tidegate_protocol::{
    BootId, ChannelName, Quality, Reading, SeqRange, SiteId, block::Description, topic::Lane,
};

use super::{Core, local_alarms::LocalAlarms, origin::Slot};

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
    pub rule: Arc<Rule>,
    pub state: State,
    /// It stands among the local alarms.
    pub is_shown: bool,
}

/// Where a rule stands after live readings, if it is active or was.
#[derive(Clone, Copy, Debug)]
pub struct Stand {
    pub channel: usize,
    /// Its place among the rules of the channel.
    pub place: usize,
    /// The last good reading's.
    pub value: f64,
    /// Its raise, if that was among these.
    pub raise: Option<Transition>,
}

impl Watch {
    pub fn of(site: SiteId, description: &Description, rules: &RuleSet) -> Self {
        let device = description.origin.device;
        let matching = description.channels.iter().map(|channel| {
            let matching = rules.matching(site, device, channel.name, &channel.unit, &description.tag);
            let watched = |rule| Watched { rule, state: State::default(), is_shown: false };
            matching.rules.into_iter().map(watched).collect()
        });
        Self { channels: matching.collect(), seen: 0 }
    }

    /// Goes on with what is active at this device since a boot before, or under another description.
    pub fn inherit(&mut self, description: &Description, alarms: &LocalAlarms) {
        for (channel, watched) in description.channels.iter().zip(&mut self.channels) {
            for watched in watched {
                let id = watched.rule.id();
                if let Some(state) = alarms.state(description.origin.device, channel.name, id) {
                    watched.state = watched.rule.adopt(state.clone());
                    watched.is_shown = true;
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
        stands: &mut Vec<Stand>,
    ) -> bool {
        let mut crosses = false;
        for reading in readings.iter().filter(|reading| reading.seq.0 >= self.seen) {
            let channel = usize::from(reading.channel.0);
            let watched = self.channels.get_mut(channel).into_iter().flatten();
            for (place, watched) in watched.enumerate() {
                let transition = watched.rule.step(&mut watched.state, &ReadingAt::new(boot, reading));
                crosses |= transition.is_some();
                let value = reading.value.as_f64();
                let is_passed_over = reading.quality == Quality::Bad || value.is_nan();
                let is_live = reading.seq.0 >= live_from;
                if is_live && !is_passed_over && (watched.is_shown || watched.state.is_active()) {
                    watched.is_shown = true;
                    let raise = transition.filter(|transition| transition.kind == TransitionKind::Raise);
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

fn note(stands: &mut Vec<Stand>, channel: usize, place: usize, value: f64, raise: Option<Transition>) {
    let known = stands.iter_mut().rev().find(|stand| (stand.channel, stand.place) == (channel, place));
    match known {
        Some(stand) => {
            stand.value = value;
            stand.raise = raise.or(stand.raise);
        }
        None => stands.push(Stand { channel, place, value, raise }),
    }
}

impl Core {
    /// These go ahead of everything, if any rule says so.
    pub(super) fn urgent(&mut self, slot: Slot, readings: &[Reading]) -> Option<SeqRange> {
        if self.settings.rules.rules().is_empty() {
            return None;
        }
        let (first, last) = (readings.first()?, readings.last()?);
        let range = SeqRange::new(first.seq.0, last.seq.0.saturating_add(1));
        self.begin_watch(slot);
        let state = self.origins.get(slot)?;
        // What comes of a boot that its device left is late, all of it.
        let is_current = self.origins.current(state.origin().device) == Some(slot);
        let state = self.origins.get_mut(slot)?;
        let live_from = if is_current { state.live_from() } else { u64::MAX };
        let boot = state.boot();
        let mut stands = Vec::new();
        let crosses = state.watch.as_mut()?.crosses(boot, readings, live_from, &mut stands);
        self.stand_locally(slot, last.tick, &stands);
        crosses.then_some(range)
    }

    fn begin_watch(&mut self, slot: Slot) {
        let Some(state) = self.origins.get(slot).filter(|state| state.watch.is_none()) else { return };
        let mut watch = Watch::of(self.settings.site, &state.description, &self.settings.rules);
        if self.origins.current(state.origin().device) == Some(slot) {
            watch.inherit(&state.description, &self.local_alarms);
            let description = &state.description;
            let gone = self.local_alarms.remove_unwatched(description.origin.device, |channel, rule| {
                watch.has(description, channel, rule)
            });
            self.effects.extend(gone);
        }
        if let Some(state) = self.origins.get_mut(slot) {
            state.watch = Some(watch);
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
