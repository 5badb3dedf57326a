//! What the alarms of a stretch of time were like: the measures of EEMUA 191 and ISA-18.2.
//!
//! ```text
//! load      raises an hour and in ten minutes, floods
//! nuisance  alarms that chatter or are gone at once, and what would quiet them
//! times     how long it took to acknowledge
//! ```
//!
//! Fed with committed events in the order of their cursors, those of a while before the stretch first: they tell what an
//! acknowledgement or a clear belongs to, and are not counted. An event counts at its own time, or else when it was learned.
//!
//! - Late raises count as others do, at the time they are of, and are counted apart too. One that `continues` what was told as late
//!   is the same raise again; an amendment is no raise.
//! - Suppressed raises are counted apart and nowhere else: nobody was told of them.
//! - A late event and a live one of an alarm are never taken for neighbours.
//!
//! Bounds: [`MAX_WINDOW_MS`] in steps of [`STEP_MS`] are 1 MiB; each of [`MAX_ALARMS`] alarms at most 2 KiB, those beyond are in
//! the sums alone. Times to acknowledge are counted in at most 4 times 3,776 classes.

mod load;
mod nuisance;
mod times;

use alloc::{collections::BTreeMap, vec::Vec};

use serde::{Deserialize, Serialize};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

pub use load::{FLOOD_BEGINS, FLOOD_ENDS, Flood, Load, Rate, STEP_MS};
pub use nuisance::{CHATTER_MS, FLEETING_MS, Nuisance, Suggestion};
pub use times::Times;

use crate::{
    event::AlarmEvent,
    rule::{Priority, RuleId},
    step::TransitionKind,
};
use load::Steps;
use nuisance::Tracked;
use times::Histogram;

/// The longest stretch that is reported on.
pub const MAX_WINDOW_MS: u64 = 30 * 24 * 3_600_000;
/// How many alarms are looked at each for itself.
pub const MAX_ALARMS: usize = 10_000;
/// How many bad actors are named (EEMUA 191: the top ten).
pub const BAD_ACTORS: usize = 10;
/// How many alarms that chatter, and that are gone at once, are named.
pub const NUISANCES: usize = 20;

/// An alarm: a rule on a channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AlarmName {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: RuleId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Included.
    pub from_unix_ms: i64,
    /// Excluded.
    pub to_unix_ms: i64,
    /// That people were told of, late ones included.
    pub raises: u64,
    pub late_raises: u64,
    /// Not among `raises`.
    pub suppressed_raises: u64,
    /// Whose time nobody knows; not among `raises`, and perhaps not of this stretch.
    pub untimed_raises: u64,
    /// Among `raises`, of alarms beyond the [`MAX_ALARMS`] that are looked at each for itself.
    pub untracked_raises: u64,
    pub clears: u64,
    pub acknowledgements: u64,
    /// How many alarms were raised.
    pub alarms_raised: u64,
    /// Most urgent first.
    pub priorities: [PriorityShare; 4],
    pub load: Load,
    /// Most raises first.
    pub bad_actors: Vec<BadActor>,
    pub chattering_alarms: u64,
    /// Those that chattered most first.
    pub chattering: Vec<Nuisance>,
    pub fleeting_alarms: u64,
    /// Those that were gone at once most often first.
    pub fleeting: Vec<Nuisance>,
    /// Of the acknowledgements whose raise is known; for each raise the first one.
    pub time_to_acknowledge: Times,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriorityShare {
    pub priority: Priority,
    pub raises: u64,
    /// Of all raises, from 0 to 1.
    pub share: f64,
    /// What ISA-18.2 has in mind; of critical ones less than this.
    pub guide_share: f64,
    pub time_to_acknowledge: Times,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BadActor {
    #[serde(flatten)]
    pub alarm: AlarmName,
    pub priority: Priority,
    pub raises: u64,
    /// Of all raises, from 0 to 1.
    pub share: f64,
}

/// A report that is being made.
#[derive(Debug)]
pub struct Reporter {
    from_unix_ms: i64,
    to_unix_ms: i64,
    steps: Steps,
    alarms: BTreeMap<AlarmName, Tracked>,
    late_raises: u64,
    suppressed_raises: u64,
    untimed_raises: u64,
    untracked_raises: u64,
    clears: u64,
    acknowledgements: u64,
    raises: [u64; 4],
    acknowledged: [Histogram; 4],
}

impl Reporter {
    /// A stretch that is longer than [`MAX_WINDOW_MS`] ends earlier.
    pub fn new(from_unix_ms: i64, to_unix_ms: i64) -> Self {
        let span_ms = to_unix_ms.saturating_sub(from_unix_ms).clamp(0, MAX_WINDOW_MS as i64);
        Self {
            from_unix_ms,
            to_unix_ms: from_unix_ms.saturating_add(span_ms),
            steps: Steps::new(span_ms as u64),
            alarms: BTreeMap::new(),
            late_raises: 0,
            suppressed_raises: 0,
            untimed_raises: 0,
            untracked_raises: 0,
            clears: 0,
            acknowledgements: 0,
            raises: [0; 4],
            acknowledged: Default::default(),
        }
    }

    pub fn take(&mut self, event: &AlarmEvent) {
        let Some(at) = event.time_unix_ms.or(event.learned_unix_ms) else {
            let is_raise = event.transition == TransitionKind::Raise && event.continues.is_none();
            self.untimed_raises += u64::from(is_raise && !event.suppressed);
            return;
        };
        if at >= self.to_unix_ms {
            return;
        }
        // What was before is known, and not counted.
        let counts = at >= self.from_unix_ms;
        match event.transition {
            TransitionKind::Raise => self.raise(event, at, counts),
            TransitionKind::Clear => {
                self.clears += u64::from(counts);
                if let Some(alarm) = self.tracked(event) {
                    alarm.clear(event, at, counts);
                }
            }
            TransitionKind::Acknowledge => {
                self.acknowledgements += u64::from(counts);
                let took = self.tracked(event).and_then(|alarm| alarm.acknowledge(event.occurrence, at));
                let took = took.filter(|_| counts);
                if let (Some(took_ms), Some(times)) =
                    (took, self.acknowledged.get_mut(place_of(event.priority)))
                {
                    times.add(took_ms);
                }
            }
            _ => {}
        }
    }

    fn raise(&mut self, event: &AlarmEvent, at: i64, counts: bool) {
        let is_told = !event.suppressed;
        // A late raise told of it, and was counted.
        let is_news = event.continues.is_none();
        self.suppressed_raises += u64::from(counts && is_news && !is_told);
        let counts = counts && is_told && is_news;
        if counts {
            self.late_raises += u64::from(event.late);
            self.steps.raise(at.saturating_sub(self.from_unix_ms) as u64);
            if let Some(raises) = self.raises.get_mut(place_of(event.priority)) {
                *raises += 1;
            }
        }
        match self.tracked(event) {
            Some(alarm) => alarm.raise(event, at, counts),
            None => self.untracked_raises += u64::from(counts),
        }
    }

    fn tracked(&mut self, event: &AlarmEvent) -> Option<&mut Tracked> {
        let AlarmEvent { site, device, channel, .. } = *event;
        let name = AlarmName { site, device, channel, rule: event.rule.clone() };
        if self.alarms.len() >= MAX_ALARMS && !self.alarms.contains_key(&name) {
            return None;
        }
        Some(self.alarms.entry(name).or_insert_with(|| Tracked::new(event.priority)))
    }

    pub fn finish(self) -> Report {
        let raises: u64 = self.raises.iter().sum();
        let share = |part: u64| if raises == 0 { 0.0 } else { part as f64 / raises as f64 };
        let of_all = self.acknowledged.iter().fold(Histogram::default(), |all, times| all.and(times));
        let mut priorities = Priority::ALL.map(|priority| PriorityShare {
            priority,
            raises: 0,
            share: 0.0,
            guide_share: guide_share(priority),
            time_to_acknowledge: Times::default(),
        });
        for (told, (count, times)) in priorities.iter_mut().zip(self.raises.iter().zip(&self.acknowledged)) {
            (told.raises, told.share, told.time_to_acknowledge) = (*count, share(*count), times.times());
        }
        let raised = || self.alarms.iter().filter(|(_, alarm)| alarm.raises > 0);
        let bad_actors = raised().map(|(name, alarm)| BadActor {
            alarm: name.clone(),
            priority: alarm.priority,
            raises: alarm.raises,
            share: share(alarm.raises),
        });
        let (chattering_alarms, chattering) = nuisances(&self.alarms, |alarm| alarm.chattering);
        let (fleeting_alarms, fleeting) = nuisances(&self.alarms, |alarm| alarm.fleeting);
        Report {
            from_unix_ms: self.from_unix_ms,
            to_unix_ms: self.to_unix_ms,
            raises,
            late_raises: self.late_raises,
            suppressed_raises: self.suppressed_raises,
            untimed_raises: self.untimed_raises,
            untracked_raises: self.untracked_raises,
            clears: self.clears,
            acknowledgements: self.acknowledgements,
            alarms_raised: raised().count() as u64,
            priorities,
            load: self.steps.load(self.from_unix_ms, self.to_unix_ms),
            bad_actors: most(bad_actors, BAD_ACTORS, |actor| actor.raises),
            chattering_alarms,
            chattering,
            fleeting_alarms,
            fleeting,
            time_to_acknowledge: of_all.times(),
        }
    }
}

/// The place of a priority in [`Priority::ALL`].
fn place_of(priority: Priority) -> usize {
    Priority::ALL.iter().position(|known| *known == priority).unwrap_or_default()
}

/// ISA-18.2: about 80 %, 15 % and 5 %; where there is a fourth, less than 1 %.
const fn guide_share(priority: Priority) -> f64 {
    match priority {
        Priority::Low => 0.8,
        Priority::Medium => 0.15,
        Priority::High => 0.05,
        Priority::Critical => 0.01,
    }
}

fn nuisances(alarms: &BTreeMap<AlarmName, Tracked>, count: impl Fn(&Tracked) -> u64) -> (u64, Vec<Nuisance>) {
    let such = || alarms.iter().filter(|(_, alarm)| count(alarm) > 0);
    let named = most(such(), NUISANCES, |(_, alarm)| count(alarm));
    let named = named.into_iter().map(|(name, alarm)| alarm.nuisance(name)).collect();
    (such().count() as u64, named)
}

/// The first of `all` by a count; of equals, the first by name.
fn most<T>(all: impl Iterator<Item = T>, limit: usize, count: impl Fn(&T) -> u64) -> Vec<T> {
    let mut most: Vec<T> = all.collect();
    most.sort_by_key(|each| core::cmp::Reverse(count(each)));
    most.truncate(limit);
    most
}
