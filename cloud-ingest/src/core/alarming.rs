//! Rules over readings, twice (rule g).
//!
//! - *Live*: at once, on arrival, for readings newer than the channel's last, in the device's current boot. Late data
//!   never raises or clears it. Its transitions are notifications: provisional at once, final with the commit.
//! - *Settled*: in seq order within a boot, from seq 0, as far as there is no open hole. Its transitions are the
//!   history, a pure function of readings and rules; each boot starts from nothing, so that the order in which boots
//!   arrive cannot matter. A transition that live evaluation did not see is told as `late`.
//!
//! A channel that no rule selects costs one look-up when it is described and a comparison per reading; an origin
//! without such channels costs nothing per reading.

use std::sync::Arc;

use tidegate_alarms::{
    AlarmEvent, ReadingAt, Rule, RuleId, RuleSet, State, Transition, TransitionKind,
    event::{Place, Standing, WallTime, occurrence_id},
    step::{Point, Raised},
};
use tidegate_protocol::{ChannelName, ClockAnchor, DeviceId, Origin, Reading, SiteId, block::Description};
use tidegate_service::Mutant;

use super::{
    batch::{Checkpoint, LiveChannel, Occurrence, RuleState, States},
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

#[derive(Debug)]
struct WatchedChannel {
    name: ChannelName,
    unit: String,
    /// The newest seq that was evaluated live.
    last: Option<u64>,
    rules: Vec<WatchedRule>,
}

#[derive(Debug)]
struct WatchedRule {
    rule: Arc<Rule>,
    live: State,
    settled: State,
    told: ToldOf,
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
}

impl Watch {
    /// Looks the rules up for channels that are newly described.
    pub fn describe(&mut self, site: SiteId, origin: Origin, description: &Description, rules: &RuleSet) {
        for channel in description.channels.iter().skip(self.channels.len()) {
            let matching = rules.matching(site, origin.device, channel.name, &channel.unit, &description.tag);
            let rules = matching.rules.into_iter().map(|rule| WatchedRule {
                rule,
                live: State::default(),
                settled: State::default(),
                told: ToldOf::default(),
            });
            self.channels.push(WatchedChannel {
                name: channel.name,
                unit: channel.unit.clone(),
                last: None,
                rules: rules.collect(),
            });
        }
        self.any = self.channels.iter().any(|channel| !channel.rules.is_empty());
    }

    pub fn any(&self) -> bool {
        self.any
    }

    /// The rule of that name where it watches that channel, and the channel's unit.
    pub fn rule_on(&self, channel: ChannelName, rule: &RuleId) -> Option<(&Rule, &str)> {
        let channel = self.channels.iter().find(|known| known.name == channel)?;
        let watched = channel.rules.iter().find(|watched| watched.rule.id() == rule)?;
        Some((&watched.rule, &channel.unit))
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
            if live {
                channel.last = Some(reading.seq.0);
            }
            self.untold |= channel.step(feed, live, &ReadingAt::new(feed.origin.boot, reading), out);
        }
    }

    /// A newer boot goes on where this one's live states are.
    pub fn hand_over(&self, newer: &mut Self, site: SiteId, device: DeviceId) {
        for channel in &mut newer.channels {
            let place = Place { site, device, channel: channel.name, unit: &channel.unit };
            for watched in &mut channel.rules {
                let same = |known: &(ChannelName, &WatchedRule)| {
                    known.0 == channel.name && Arc::ptr_eq(&known.1.rule, &watched.rule)
                };
                watched.live = self.rules().find(same).map(|(_, old)| old.live.clone()).unwrap_or_default();
                if let Some(raised) = watched.live.raised() {
                    let occurrence = occurrence_id(&place, watched.rule.id(), raised.revision, raised.at);
                    watched.told.raised(Told { occurrence, raised: 0, onset: 0, cleared: None });
                }
            }
        }
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
        let states = |channel: &WatchedChannel| channel.states(|rule| rule.live.clone());
        let channels = self
            .channels
            .iter()
            .map(|channel| LiveChannel { channel: channel.name, states: states(channel) });
        channels.filter(|channel| !channel.states.is_empty()).collect()
    }

    pub fn settled_states(&self) -> States {
        let channels =
            self.channels.iter().map(|channel| (channel.name, channel.states(|rule| rule.settled.clone())));
        channels.filter(|(_, states)| !states.is_empty()).collect()
    }

    /// Takes stored states back, for rules that still say the same.
    pub fn restore_live(&mut self, channels: &[LiveChannel]) {
        for (name, watched) in self.rules_mut() {
            let stored = channels.iter().find(|channel| channel.channel == name);
            watched.live = stored.and_then(|channel| watched.find(&channel.states)).unwrap_or_default();
        }
    }

    pub fn restore_settled(&mut self, states: &States) {
        for (name, watched) in self.rules_mut() {
            let stored = states.iter().find(|(channel, _)| *channel == name);
            watched.settled = stored.and_then(|(_, states)| watched.find(states)).unwrap_or_default();
        }
    }

    /// The settled occurrences that are raised now, with their peaks so far.
    pub fn open_occurrences(&self, site: SiteId, origin: Origin) -> Vec<Occurrence> {
        let channels = self.channels.iter();
        let rules = channels.flat_map(|channel| channel.rules.iter().map(move |watched| (channel, watched)));
        let open = rules.filter_map(|(channel, watched)| {
            let raised = watched.settled.raised()?;
            Some(channel.occurrence(site, origin, &watched.rule, raised, None))
        });
        open.collect()
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

impl WatchedRule {
    fn find(&self, states: &[RuleState]) -> Option<State> {
        let same =
            |known: &&RuleState| known.rule == *self.rule.id() && known.revision == self.rule.revision();
        states.iter().find(same).map(|known| known.state.clone())
    }
}

/// What events speak of.
struct Subject<'a> {
    feed: Feed<'a>,
    channel: ChannelName,
    unit: String,
}

impl Subject<'_> {
    fn place(&self) -> Place<'_> {
        let Feed { site, origin, .. } = self.feed;
        Place { site, device: origin.device, channel: self.channel, unit: &self.unit }
    }

    fn time_of(&self) -> impl Fn(Point) -> WallTime {
        let (anchor, boot) = (self.feed.anchor.copied(), self.feed.origin.boot);
        move |point| match anchor {
            // Another boot has ticks of its own.
            Some(anchor) if point.boot == boot => {
                WallTime { unix_ms: Some(anchor.unix_ms_at(point.tick)), quality: anchor.quality }
            }
            _ => WallTime::UNKNOWN,
        }
    }
}

/// Tells where a told occurrence began, if it was elsewhere. One that came over from a boot before has no beginning here.
fn amend(told: &mut Told, rule: &Rule, raised: &Raised, subject: &Subject<'_>, out: &mut Outcome) {
    let onset = raised.onset.seq.0;
    if told.raised != 0 && told.onset != onset {
        told.onset = onset;
        out.late.push(AlarmEvent::amended(rule, subject.place(), told.occurrence, raised, subject.time_of()));
        out.settled_changed = true;
    }
}

impl WatchedChannel {
    /// Says whether history raised something that nobody may have been told of.
    fn step(&mut self, feed: &Feed<'_>, live: bool, at: &ReadingAt, out: &mut Outcome) -> bool {
        let mut untold = false;
        for position in 0..self.rules.len() {
            let Some(watched) = self.rules.get_mut(position) else { break };
            if live {
                let before = watched.live.clone();
                let transition = watched.rule.step(&mut watched.live, at);
                out.live_changed |= before != watched.live;
                if let Some(transition) = transition {
                    self.live(position, feed, &transition, out);
                }
            }
            let Some(watched) = self.rules.get_mut(position).filter(|_| feed.settle) else { continue };
            let before = watched.settled.clone();
            let transition = watched.rule.step(&mut watched.settled, at);
            out.settled_changed |= before != watched.settled;
            if let Some(transition) = transition {
                untold |= self.settled(position, feed, &transition, out);
            }
        }
        untold
    }

    /// A notification.
    fn live(&mut self, position: usize, feed: &Feed<'_>, transition: &Transition, out: &mut Outcome) {
        let subject = self.subject(feed);
        let Some(WatchedRule { rule, told, .. }) = self.rules.get_mut(position) else { return };
        let standing = Standing { provisional: true, late: false };
        let mut event = AlarmEvent::new(rule, subject.place(), transition, standing, subject.time_of());
        let seq = transition.trigger.seq.0;
        if transition.kind == TransitionKind::Raise {
            match told.covering(seq, seq) {
                // History knew it first.
                Some(known) => event.continues = Some(known.occurrence),
                None => told.raised(Told {
                    occurrence: event.occurrence,
                    raised: seq,
                    onset: transition.onset.seq.0,
                    cleared: None,
                }),
            }
        } else {
            told.cleared(seq);
        }
        out.settled_changed = true;
        out.live.push(event);
    }

    /// History. What is over and was not told is told now, late; what goes on is told once all is settled that is there.
    fn settled(
        &mut self,
        position: usize,
        feed: &Feed<'_>,
        transition: &Transition,
        out: &mut Outcome,
    ) -> bool {
        let subject = self.subject(feed);
        let Some(WatchedRule { rule, told, .. }) = self.rules.get_mut(position) else { return false };
        let (here, raised) = (transition.trigger.seq.0, &transition.raised);
        let is_over = transition.kind == TransitionKind::Clear;
        if is_over {
            match told.covering(raised.at.seq.0, here) {
                Some(known) => amend(known, rule, raised, &subject, out),
                None => {
                    let standing = Standing { provisional: false, late: true };
                    let place = subject.place();
                    out.late.push(AlarmEvent::late_raise(rule, place, raised, subject.time_of()));
                    out.late.push(AlarmEvent::new(rule, place, transition, standing, subject.time_of()));
                }
            }
            told.forget_before(here);
        }
        let rule = Arc::clone(rule);
        let cleared = Some(transition.trigger).filter(|_| is_over);
        out.history.push(self.occurrence(feed.site, feed.origin, &rule, raised, cleared));
        !is_over
    }

    /// Says whether there is something to come back to.
    fn tell_standing(&mut self, feed: &Feed<'_>, out: &mut Outcome) -> bool {
        let subject = self.subject(feed);
        let mut untold = false;
        for WatchedRule { rule, live, settled, told } in &mut self.rules {
            let Some(raised) = settled.raised() else { continue };
            let seq = raised.at.seq.0;
            if let Some(known) = told.covering(seq, u64::MAX) {
                amend(known, rule, raised, &subject, out);
            } else if !live.is_active() && live.pending_since().is_none() {
                let event = AlarmEvent::late_raise(rule, subject.place(), raised, subject.time_of());
                let (occurrence, onset) = (event.occurrence, raised.onset.seq.0);
                told.raised(Told { occurrence, raised: seq, onset, cleared: None });
                out.late.push(event);
                out.settled_changed = true;
            } else {
                // Live evaluation is about to raise it, or has.
                untold |= !live.is_active();
            }
        }
        untold
    }

    fn subject<'a>(&self, feed: &Feed<'a>) -> Subject<'a> {
        Subject { feed: *feed, channel: self.name, unit: self.unit.clone() }
    }

    fn occurrence(
        &self,
        site: SiteId,
        origin: Origin,
        rule: &Rule,
        raised: &Raised,
        cleared: Option<Point>,
    ) -> Occurrence {
        Occurrence {
            site,
            device: origin.device,
            channel: self.name,
            unit: self.unit.clone(),
            rule: rule.id().clone(),
            revision: raised.revision,
            priority: rule.priority(),
            onset: raised.onset,
            raised: raised.at,
            cleared,
            peak: raised.peak,
        }
    }

    fn states(&self, of: impl Fn(&WatchedRule) -> State) -> Vec<RuleState> {
        let states = self.rules.iter().map(|watched| RuleState {
            rule: watched.rule.id().clone(),
            revision: watched.rule.revision(),
            state: of(watched),
        });
        states.filter(|known| known.state != State::default()).collect()
    }
}
