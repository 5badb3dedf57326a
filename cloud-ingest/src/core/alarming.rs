//! Rules over readings, twice (rule g).
//!
//! - *Live*: at once, on arrival, for readings newer than the channel's last, in the device's current boot. Late data
//!   never raises or clears it. Its transitions are notifications: provisional at once, final with the commit.
//! - *Settled*: in seq order within a boot, from seq 0, as far as there is no open hole. Its transitions are the
//!   history, a pure function of readings and rules; each boot starts from nothing, so that the order in which boots
//!   arrive cannot matter. An occurrence that live evaluation did not see is told as `late`.
//!
//! A channel that no rule selects costs one look-up when it is described and a comparison per reading; an origin
//! without such channels costs nothing per reading.

use std::sync::Arc;

use tidegate_alarms::{
    AlarmEvent, EffectiveFrom, ReadingAt, Revision, Rule, RuleBook, RuleId, RuleKind,
    event::{Place, occurrence_id},
};
use tidegate_protocol::{ChannelName, ClockAnchor, DeviceId, Origin, Reading, SiteId, block::Description};
use tidegate_service::Mutant;

use super::{
    batch::{Checkpoint, LiveChannel, Occurrence, States},
    evaluating::{WatchedChannel, WatchedRule},
    grouping::MemberChange,
    hearing::{Hearing, SilentChannel},
    silence::Spoke,
    told::{Told, ToldOf},
};

/// What is watched of one origin.
#[derive(Debug, Default)]
pub struct Watch {
    /// By channel index.
    channels: Vec<WatchedChannel>,
    /// Whether any rule selects any of them.
    any: bool,
    /// History raised something that may not have been told of.
    untold: bool,
}

/// What to do with a run of readings.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    pub site: SiteId,
    pub origin: Origin,
    pub anchor: Option<&'a ClockAnchor>,
    /// They arrive now, and the origin is the device's current boot.
    pub live: bool,
    /// They continue the settled history.
    pub settle: bool,
    /// Of live ones, when that is.
    pub now_ms: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub live: Vec<AlarmEvent>,
    pub late: Vec<AlarmEvent>,
    pub history: Vec<Occurrence>,
    pub checkpoints: Vec<Checkpoint>,
    /// How many readings were settled.
    pub settled: u64,
    pub live_changed: bool,
    pub settled_changed: bool,
    /// Channels that are listened for.
    pub spoke: Vec<Spoke>,
    pub members: Vec<MemberChange>,
}

impl Watch {
    /// Looks the rules up for channels that are newly described.
    pub fn describe(&mut self, site: SiteId, origin: Origin, description: &Description, book: &RuleBook) {
        for channel in description.channels.iter().skip(self.channels.len()) {
            let rules = book.matching(site, origin.device, channel.name, &channel.unit, &description.tag);
            let (name, unit) = (channel.name, channel.unit.clone());
            let rules: Vec<_> = rules.into_iter().map(WatchedRule::new).collect();
            let hearing = rules.iter().any(WatchedRule::is_of_silence).then(Hearing::default);
            self.channels.push(WatchedChannel { name, unit, last: None, rules, hearing });
        }
        self.any = self.channels.iter().any(|channel| !channel.rules.is_empty());
    }

    /// Goes on where another stands that watches the same channels under other rules.
    pub fn take_over(&mut self, before: Self) {
        self.untold = before.untold;
        for (channel, old) in self.channels.iter_mut().zip(before.channels) {
            channel.last = old.last;
            if let (Some(hearing), Some(known)) = (&mut channel.hearing, old.hearing) {
                *hearing = known;
            }
            for known in old.rules {
                let same = channel.rules.iter_mut().find(|watched| watched.rule.id() == known.rule.id());
                if let Some(watched) = same {
                    *watched = WatchedRule { rule: Arc::clone(&watched.rule), ..known };
                }
            }
        }
    }

    /// From which moment on another says something else of its channels.
    pub fn differs_from(&self, other: &Self) -> Option<EffectiveFrom> {
        let begins = |watched: &WatchedRule| watched.rule.revisions().first().map(|revised| revised.from);
        let differences = self.channels.iter().zip(&other.channels).flat_map(|(channel, other)| {
            let id = |watched: &WatchedRule| watched.rule.id().clone();
            let ours = channel.rules.iter().filter_map(move |ours| {
                match other.rules.iter().find(|theirs| id(theirs) == id(ours)) {
                    Some(theirs) => ours.rule.differs_from(&theirs.rule),
                    None => begins(ours),
                }
            });
            let only_theirs = other
                .rules
                .iter()
                .filter(move |theirs| !channel.rules.iter().any(|ours| id(ours) == id(theirs)));
            ours.chain(only_theirs.filter_map(begins))
        });
        differences.min()
    }

    pub fn any(&self) -> bool {
        self.any
    }

    /// The times at which another revision of any rule comes into force.
    pub fn boundaries(&self) -> impl Iterator<Item = i64> {
        self.rules().flat_map(|(_, watched)| watched.rule.boundaries())
    }

    /// The rule of that name where it watches that channel, and the channel's unit.
    pub fn rule_on(&self, channel: ChannelName, rule: &RuleId) -> Option<(&Rule, &str)> {
        let channel = self.channels.iter().find(|known| known.name == channel)?;
        let watched = channel.rules.iter().find(|watched| watched.rule.id() == rule)?;
        Some((watched.newest()?, &channel.unit))
    }

    /// Takes readings in seq order.
    pub fn feed(&mut self, feed: &Feed<'_>, readings: &[Reading], out: &mut Outcome) {
        if !self.any {
            return;
        }
        for reading in readings {
            let Some(channel) = self.channels.get_mut(usize::from(reading.channel.0)) else { continue };
            if channel.rules.is_empty() {
                continue;
            }
            let live = feed.live
                && channel.last.is_none_or(|last| reading.seq.0 > last || Mutant::LateDataLive.is_on());
            let at = ReadingAt::new(feed.origin.boot, reading);
            if live {
                channel.last = Some(reading.seq.0);
                out.spoke.extend(channel.hearing.as_mut().and_then(|hearing| {
                    hearing.hear(usize::from(reading.channel.0), at.point(), feed.now_ms)
                }));
            }
            self.untold |= channel.step(feed, live, &at, out);
        }
    }

    /// A newer boot goes on where this one's live states are.
    pub fn hand_over(&self, newer: &mut Self, site: SiteId, device: DeviceId) {
        for channel in &mut newer.channels {
            let place = Place { site, device, channel: channel.name, unit: &channel.unit };
            for watched in &mut channel.rules {
                let same = |known: &(ChannelName, &WatchedRule)| {
                    known.0 == channel.name && known.1.rule.id() == watched.rule.id()
                };
                watched.live = self.rules().find(same).map(|(_, old)| old.live.clone()).unwrap_or_default();
                if let Some((_, raised)) = watched.live.raised() {
                    let occurrence = occurrence_id(&place, watched.rule.id(), raised.revision, raised.at);
                    watched.told.raised(Told { occurrence, raised: 0, onset: 0, cleared: None });
                }
            }
        }
    }

    /// Live alarms of rules that are not in force any more end.
    pub fn withdraw_retired(&mut self, unix_ms: i64, feed: &Feed<'_>, out: &mut Outcome) {
        self.channels.iter_mut().for_each(|channel| channel.withdraw_retired(unix_ms, feed, out));
    }

    /// All that is stored is settled: tells of what history found to go on, and nobody was told.
    pub fn tell_standing(&mut self, feed: &Feed<'_>, out: &mut Outcome) {
        if std::mem::take(&mut self.untold) {
            for channel in &mut self.channels {
                self.untold |= channel.tell_standing(feed, out);
            }
        }
    }

    /// Occurrences that were told as history.
    pub fn were_told(&mut self, site: SiteId, device: DeviceId, occurrences: &[Occurrence]) {
        for known in occurrences {
            let place = Place { site, device, channel: known.channel, unit: &known.unit };
            let told = Told {
                occurrence: occurrence_id(&place, &known.rule, known.revision, known.raised),
                raised: known.raised.seq.0,
                onset: known.onset.seq.0,
                cleared: known.cleared.map(|point| point.seq.0),
            };
            let of = self
                .rules_mut()
                .find(|(name, watched)| *name == known.channel && *watched.rule.id() == known.rule);
            if let Some((_, watched)) = of {
                watched.told.raised(told);
            }
        }
    }

    /// History has passed this seq.
    pub fn forget_told_before(&mut self, seq: u64) {
        self.rules_mut().for_each(|(_, watched)| watched.told.forget_before(seq));
    }

    pub fn told(&self) -> Vec<(ChannelName, RuleId, ToldOf)> {
        let told = self.rules().filter(|(_, watched)| !watched.told.is_empty());
        told.map(|(name, watched)| (name, watched.rule.id().clone(), watched.told.clone())).collect()
    }

    pub fn restore_told(&mut self, told: &[(ChannelName, RuleId, ToldOf)]) {
        for (name, watched) in self.rules_mut() {
            let known = told.iter().find(|(channel, rule, _)| *channel == name && rule == watched.rule.id());
            watched.told = known.map(|(.., told)| told.clone()).unwrap_or_default();
        }
        self.untold = true;
    }

    /// After a restart: what is stored up to `end` counts as seen.
    pub fn seen_up_to(&mut self, end: u64) {
        self.channels.iter_mut().for_each(|channel| channel.last = end.checked_sub(1));
    }

    pub fn live_states(&self) -> Vec<LiveChannel> {
        let states = |channel: &WatchedChannel| channel.states(|rule| &rule.live);
        let channels = self
            .channels
            .iter()
            .map(|channel| LiveChannel { channel: channel.name, states: states(channel) });
        channels.filter(|channel| !channel.states.is_empty()).collect()
    }

    pub fn settled_states(&self) -> States {
        let channels = self.channels.iter();
        let channels = channels.map(|channel| (channel.name, channel.states(|rule| &rule.settled)));
        channels.filter(|(_, states)| !states.is_empty()).collect()
    }

    /// Takes stored states back.
    pub fn restore_live(&mut self, channels: &[LiveChannel]) {
        for (name, watched) in self.rules_mut() {
            let stored = channels.iter().find(|channel| channel.channel == name);
            watched.live = stored.map(|channel| watched.restored(&channel.states)).unwrap_or_default();
        }
    }

    pub fn restore_settled(&mut self, states: &States) {
        for (name, watched) in self.rules_mut() {
            let stored = states.iter().find(|(channel, _)| *channel == name);
            watched.settled = stored.map(|(_, states)| watched.restored(states)).unwrap_or_default();
        }
    }

    /// The settled occurrences that are raised now, with their peaks so far.
    pub fn open_occurrences(&self, site: SiteId, origin: Origin) -> Vec<Occurrence> {
        let channels = self.channels.iter();
        let rules = channels.flat_map(|channel| channel.rules.iter().map(move |watched| (channel, watched)));
        let open = rules.filter_map(|(channel, watched)| {
            let (rule, raised) = watched.settled.raised()?;
            Some(channel.occurrence(site, origin, rule, raised, None))
        });
        open.collect()
    }

    /// Of the channels that a group rule watches, whether its condition holds now.
    pub fn members(&self, rule: &RuleId) -> impl Iterator<Item = bool> {
        let members = self.rules().filter(move |(_, watched)| watched.rule.id() == rule);
        members.map(|(_, watched)| watched.live.raised().is_some())
    }

    /// Rules of channels that are active by the live verdict, each with the revision that raised it.
    pub fn active(&self) -> impl Iterator<Item = (ChannelName, &RuleId, Revision)> {
        self.rules().filter_map(|(channel, watched)| {
            let (rule, raised) = watched.live.raised()?;
            (rule.rule_kind() == RuleKind::Channel).then_some((channel, rule.id(), raised.revision))
        })
    }

    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// A channel that is listened for, and what is in force for its silence.
    pub fn silent_channel(&self, channel: usize, unix_ms: i64) -> Option<SilentChannel> {
        let channel = self.channels.get(channel)?;
        let rules = channel.rules.iter().filter_map(|watched| watched.rule.at(Some(unix_ms)));
        let rules = rules.filter(|rule| rule.rule_kind() == RuleKind::Stale).cloned().collect();
        Some(channel.hearing.as_ref()?.silent_channel(channel.name, &channel.unit, rules))
    }

    /// The channel has its whole time again from now on.
    pub fn put_off(&mut self, channel: usize, now_ms: u64) {
        if let Some(hearing) = self.hearing(channel) {
            hearing.put_off(now_ms);
        }
    }

    /// Its next reading asks for a timer.
    pub fn without_timer(&mut self, channel: usize) {
        if let Some(hearing) = self.hearing(channel) {
            hearing.without_timer();
        }
    }

    /// Every channel that is listened for has its whole time again; says which have.
    pub fn restart_silence(&mut self, now_ms: u64) -> Vec<usize> {
        let listened = self.channels.iter_mut().enumerate();
        let listened = listened.filter_map(|(place, channel)| Some((place, channel.hearing.as_mut()?)));
        listened
            .map(|(place, hearing)| {
                hearing.restart(now_ms);
                place
            })
            .collect()
    }

    fn hearing(&mut self, channel: usize) -> Option<&mut Hearing> {
        self.channels.get_mut(channel)?.hearing.as_mut()
    }

    fn rules(&self) -> impl Iterator<Item = (ChannelName, &WatchedRule)> {
        self.channels.iter().flat_map(|channel| channel.rules.iter().map(|rule| (channel.name, rule)))
    }

    fn rules_mut(&mut self) -> impl Iterator<Item = (ChannelName, &mut WatchedRule)> {
        self.channels.iter_mut().flat_map(|channel| {
            let name = channel.name;
            channel.rules.iter_mut().map(move |rule| (name, rule))
        })
    }
}
