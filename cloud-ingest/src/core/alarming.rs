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
    event::{Place, Standing, WallTime},
    step::Point,
};
use tidegate_protocol::{ChannelName, ClockAnchor, Origin, Reading, SiteId, block::Description};
use tidegate_service::Mutant;

use super::batch::{Checkpoint, LiveChannel, Occurrence, RuleState, States};

/// What is watched of one origin.
#[derive(Debug, Default)]
pub struct Watch {
    /// By channel index.
    channels: Vec<WatchedChannel>,
    /// Whether any rule selects any of them.
    any: bool,
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
    pub live_changed: bool,
    pub settled_changed: bool,
}

impl Watch {
    /// Looks the rules up for channels that are newly described.
    pub fn describe(&mut self, site: SiteId, origin: Origin, description: &Description, rules: &RuleSet) {
        for channel in description.channels.iter().skip(self.channels.len()) {
            let matching = rules.matching(site, origin.device, channel.name, &channel.unit);
            let rules = matching.rules.into_iter().map(|rule| WatchedRule {
                rule,
                live: State::default(),
                settled: State::default(),
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
            channel.step(feed, live, &ReadingAt::new(feed.origin.boot, reading), out);
        }
    }

    /// A newer boot goes on where this one's live states are.
    pub fn hand_over(&self, newer: &mut Self) {
        for (name, watched) in newer.rules_mut() {
            let before =
                self.rules().find(|(known, old)| *known == name && Arc::ptr_eq(&old.rule, &watched.rule));
            watched.live = before.map(|(_, old)| old.live).unwrap_or_default();
        }
    }

    /// After a restart: what is stored up to `end` counts as seen.
    pub fn seen_up_to(&mut self, end: u64) {
        self.channels.iter_mut().for_each(|channel| channel.last = end.checked_sub(1));
    }

    pub fn live_states(&self) -> Vec<LiveChannel> {
        let states = |channel: &WatchedChannel| channel.states(|rule| rule.live);
        let channels = self
            .channels
            .iter()
            .map(|channel| LiveChannel { channel: channel.name, states: states(channel) });
        channels.filter(|channel| !channel.states.is_empty()).collect()
    }

    pub fn settled_states(&self) -> States {
        let channels =
            self.channels.iter().map(|channel| (channel.name, channel.states(|rule| rule.settled)));
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
        states.iter().find(same).map(|known| known.state)
    }
}

impl WatchedChannel {
    fn step(&mut self, feed: &Feed<'_>, live: bool, at: &ReadingAt, out: &mut Outcome) {
        for position in 0..self.rules.len() {
            let Some(watched) = self.rules.get_mut(position) else { return };
            let mut transitions = (None, None);
            if live {
                let before = watched.live;
                transitions.0 = watched.rule.step(&mut watched.live, at);
                out.live_changed |= before != watched.live;
            }
            if feed.settle {
                let before = watched.settled;
                transitions.1 = watched.rule.step(&mut watched.settled, at);
                out.settled_changed |= before != watched.settled;
            }
            let rule = Arc::clone(&watched.rule);
            if let Some(transition) = &transitions.0 {
                out.live.push(self.event(
                    feed,
                    &rule,
                    transition,
                    Standing { provisional: true, late: false },
                ));
            }
            if let Some(transition) = &transitions.1 {
                let cleared = Some(transition.trigger).filter(|_| transition.kind == TransitionKind::Clear);
                out.history.push(self.occurrence(feed.site, feed.origin, &rule, &transition.raised, cleared));
                if !live {
                    out.late.push(self.event(
                        feed,
                        &rule,
                        transition,
                        Standing { provisional: false, late: true },
                    ));
                }
            }
        }
    }

    fn event(&self, feed: &Feed<'_>, rule: &Rule, transition: &Transition, standing: Standing) -> AlarmEvent {
        let place =
            Place { site: feed.site, device: feed.origin.device, channel: self.name, unit: &self.unit };
        AlarmEvent::new(rule, place, transition, standing, |point: Point| match feed.anchor {
            // Another boot has ticks of its own.
            Some(anchor) if point.boot == feed.origin.boot => {
                WallTime { unix_ms: Some(anchor.unix_ms_at(point.tick)), quality: anchor.quality }
            }
            _ => WallTime::UNKNOWN,
        })
    }

    fn occurrence(
        &self,
        site: SiteId,
        origin: Origin,
        rule: &Rule,
        raised: &tidegate_alarms::step::Raised,
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
