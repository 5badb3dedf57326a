//! One reading through the rules of its channel, live and settled, each under the revision in force at the reading's own
//! time; and the events and the history that come of it.

use std::sync::Arc;

use tidegate_alarms::{
    AlarmEvent, Evaluated, ReadingAt, RevisedRule, Rule, RuleKind, State, Stepped, Transition,
    TransitionKind,
    event::{Place, Standing, WallTime},
    step::{Point, Raised},
};
use tidegate_protocol::{ChannelName, Origin, SiteId};

use super::{
    alarming::{Feed, Outcome},
    batch::{Occurrence, RuleState},
    grouping::MemberChange,
    hearing::Hearing,
    told::{Told, ToldOf},
};

#[derive(Debug)]
pub(super) struct WatchedChannel {
    pub name: ChannelName,
    pub unit: String,
    /// The newest seq that was evaluated live.
    pub last: Option<u64>,
    pub rules: Vec<WatchedRule>,
    /// Where any rule watches for its silence.
    pub hearing: Option<Hearing>,
}

#[derive(Debug)]
pub(super) struct WatchedRule {
    pub rule: Arc<RevisedRule>,
    pub live: Evaluated,
    pub settled: Evaluated,
    pub told: ToldOf,
}

impl WatchedRule {
    pub fn new(rule: Arc<RevisedRule>) -> Self {
        let (live, settled, told) = Default::default();
        Self { rule, live, settled, told }
    }

    /// Whether any revision watches for silence.
    pub fn is_of_silence(&self) -> bool {
        let rules = self.rule.revisions().iter().filter_map(|revised| revised.rule.as_ref());
        rules.into_iter().any(|rule| rule.rule_kind() == RuleKind::Stale)
    }

    /// The newest revision that says anything.
    pub fn newest(&self) -> Option<&Arc<Rule>> {
        self.rule.revisions().iter().rev().find_map(|revised| revised.rule.as_ref())
    }

    /// A stored state, unless it is of a revision that nobody knows.
    pub fn restored(&self, states: &[RuleState]) -> Evaluated {
        let known = states.iter().find(|known| known.rule == *self.rule.id());
        let known = known.and_then(|known| Some((known, self.rule.revision(known.revision)?)));
        let evaluated =
            |(known, rule): (&RuleState, _)| Evaluated::restored(known.state.clone(), Arc::clone(rule));
        known.map(evaluated).unwrap_or_default()
    }
}

/// What is in force for a reading of a channel.
fn in_force<'a>(rule: &'a RevisedRule, feed: &Feed<'_>, at: &ReadingAt) -> Option<&'a Arc<Rule>> {
    let constant = rule.constant();
    let rule = constant.or_else(|| rule.at(feed.anchor.map(|anchor| anchor.unix_ms_at(at.tick))));
    rule.filter(|rule| rule.rule_kind() != RuleKind::Stale)
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
    pub fn step(&mut self, feed: &Feed<'_>, live: bool, at: &ReadingAt, out: &mut Outcome) -> bool {
        let mut untold = false;
        for position in 0..self.rules.len() {
            let Some(watched) = self.rules.get_mut(position) else { break };
            if live {
                // What was withdrawn is not raised again by readings on their way from before.
                let in_force = in_force(&watched.rule, feed, at).filter(|_| watched.rule.at(None).is_some());
                let Stepped { changed, happened } = watched.live.step(in_force, at);
                out.live_changed |= changed;
                match happened {
                    Some((rule, transition)) if rule.rule_kind() == RuleKind::Group => {
                        out.members.push(MemberChange { rule, at: transition.trigger });
                    }
                    Some((rule, transition)) => self.live(position, feed, &rule, &transition, out),
                    None => {}
                }
            }
            let Some(watched) = self.rules.get_mut(position).filter(|_| feed.settle) else { continue };
            let in_force =
                in_force(&watched.rule, feed, at).filter(|rule| rule.rule_kind() == RuleKind::Channel);
            let Stepped { changed, happened } = watched.settled.step(in_force, at);
            out.settled_changed |= changed;
            if let Some((rule, transition)) = happened {
                untold |= self.settled(position, feed, &rule, &transition, out);
            }
        }
        untold
    }

    /// A notification.
    fn live(
        &mut self,
        position: usize,
        feed: &Feed<'_>,
        rule: &Rule,
        transition: &Transition,
        out: &mut Outcome,
    ) {
        let subject = self.subject(feed);
        let Some(WatchedRule { told, .. }) = self.rules.get_mut(position) else { return };
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
        rule: &Rule,
        transition: &Transition,
        out: &mut Outcome,
    ) -> bool {
        let subject = self.subject(feed);
        let Some(WatchedRule { told, .. }) = self.rules.get_mut(position) else { return false };
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
        let cleared = Some(transition.trigger).filter(|_| is_over);
        out.history.push(self.occurrence(feed.site, feed.origin, rule, raised, cleared));
        !is_over
    }

    /// What is raised ends, by the ingest's clock: no reading did it.
    pub fn withdraw_retired(&mut self, unix_ms: i64, feed: &Feed<'_>, out: &mut Outcome) {
        let subject = self.subject(feed);
        for WatchedRule { rule, live, told, .. } in &mut self.rules {
            if rule.at(Some(unix_ms)).is_some() {
                continue;
            }
            if let Some((rule, raised)) = std::mem::take(live).raised() {
                let event = AlarmEvent::withdrawn(rule, subject.place(), raised, unix_ms, subject.time_of());
                told.cleared(raised.at.seq.0);
                out.live_changed = true;
                out.settled_changed = true;
                out.live.push(event);
            }
        }
    }

    /// Says whether there is something to come back to.
    pub fn tell_standing(&mut self, feed: &Feed<'_>, out: &mut Outcome) -> bool {
        let subject = self.subject(feed);
        let mut untold = false;
        for WatchedRule { live, settled, told, .. } in &mut self.rules {
            let Some((rule, raised)) = settled.raised() else { continue };
            let seq = raised.at.seq.0;
            if let Some(known) = told.covering(seq, u64::MAX) {
                amend(known, rule, raised, &subject, out);
            } else if live.is_normal() {
                let event = AlarmEvent::late_raise(rule, subject.place(), raised, subject.time_of());
                let (occurrence, onset) = (event.occurrence, raised.onset.seq.0);
                told.raised(Told { occurrence, raised: seq, onset, cleared: None });
                out.late.push(event);
                out.settled_changed = true;
            } else {
                // Live evaluation is about to raise it, or has.
                untold |= live.raised().is_none();
            }
        }
        untold
    }

    fn subject<'a>(&self, feed: &Feed<'a>) -> Subject<'a> {
        Subject { feed: *feed, channel: self.name, unit: self.unit.clone() }
    }

    pub fn occurrence(
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

    pub fn states(&self, of: impl Fn(&WatchedRule) -> &Evaluated) -> Vec<RuleState> {
        let states = self.rules.iter().filter_map(|watched| {
            let state = of(watched).state();
            let (rule, revision) = (watched.rule.id().clone(), of(watched).under()?.revision());
            (*state != State::default()).then(|| RuleState { rule, revision, state: state.clone() })
        });
        states.collect()
    }
}
