//! What one alarm did: whether it chatters or is gone at once, and what would have kept it quiet.
//!
//! A suggestion is made of what was seen, for [`JOINED_PERCENT`] of it: the newest [`SAMPLES`] pauses after which the alarm was
//! back within a minute, and the newest [`SAMPLES`] occurrences that were gone at once. It is counted as rules count, from
//! where the condition (or its end) began; so it is the whole delay, not what to add to the present one.

use alloc::{collections::VecDeque, vec::Vec};

use serde::{Deserialize, Serialize};

use super::AlarmName;
use crate::{
    digest::EventId,
    event::{AlarmEvent, EventPoint},
    rule::Priority,
};

/// An alarm chatters when it is raised three times within this (ISA-18.2).
pub const CHATTER_MS: i64 = 60_000;
/// Cleared sooner than this after its raise, an alarm was gone at once.
pub const FLEETING_MS: i64 = 5_000;
/// How many pauses, occurrences and values a suggestion rests on at most.
pub const SAMPLES: usize = 32;

const JOINED_PERCENT: usize = 90;

/// An alarm that tells people nothing as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nuisance {
    #[serde(flatten)]
    pub alarm: AlarmName,
    pub priority: Priority,
    pub raises: u64,
    /// Raises that were at least the third within a minute.
    pub chattering_raises: u64,
    /// Occurrences that cleared within five seconds.
    pub fleeting: u64,
    pub suggestion: Suggestion,
}

/// What would have kept it quiet; each of them alone. Null where what was seen says nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// At this off-delay, nine of ten pauses would not have ended the occurrence.
    pub off_delay_ms: Option<u64>,
    /// At this deadband, nine of ten would not have cleared where they did.
    pub deadband: Option<f64>,
    /// At this on-delay, nine of ten that were gone at once would not have been raised.
    pub on_delay_ms: Option<u64>,
    /// How many pauses off-delay and deadband rest on.
    pub pauses: u64,
    /// How many occurrences the on-delay rests on.
    pub occurrences: u64,
}

/// The newest few.
#[derive(Clone, Debug)]
struct Newest<T>(VecDeque<T>);

impl<T: Copy> Newest<T> {
    const fn new() -> Self {
        Self(VecDeque::new())
    }

    fn push(&mut self, sample: T) {
        if self.0.len() >= SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// The least sample that [`JOINED_PERCENT`] of them do not exceed.
    fn joining(&self, order: impl Fn(&T, &T) -> core::cmp::Ordering) -> Option<T> {
        let mut sorted: Vec<T> = self.0.iter().copied().collect();
        sorted.sort_by(order);
        sorted.get((sorted.len() * JOINED_PERCENT).div_ceil(100).checked_sub(1)?).copied()
    }
}

/// A raise or clear, as far as the next one needs it.
#[derive(Clone, Debug)]
struct Turn {
    occurrence: EventId,
    at: i64,
    trigger: (u64, u64),
    onset: EventPoint,
    /// How far the value was beyond the limit (its sign says on which side).
    beyond: Option<f64>,
}

impl Turn {
    fn of(event: &AlarmEvent, at: i64) -> Self {
        let beyond = event.value.map(|value| value - event.limit).filter(|beyond| beyond.is_finite());
        let trigger = (event.boot.0, event.seq.0);
        Self { occurrence: event.occurrence, at, trigger, onset: event.onset.clone(), beyond }
    }

    /// From where it began to where the next began, by the origin's ticks; over its boots, by wall time.
    fn until(&self, next: &Self) -> Option<u64> {
        let (one, other) = (&self.onset, &next.onset);
        if one.boot == other.boot {
            return other.tick_ms.checked_sub(one.tick_ms);
        }
        u64::try_from(other.time_unix_ms?.checked_sub(one.time_unix_ms?)?).ok()
    }
}

/// Live events of an alarm, or late ones.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// The last two raises that were told, newest first.
    raises: [Option<i64>; 2],
    raised: Option<Turn>,
    cleared: Option<Turn>,
    acknowledged: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub priority: Priority,
    pub raises: u64,
    pub chattering: u64,
    pub fleeting: u64,
    lanes: [Lane; 2],
    pauses: Newest<u64>,
    held: Newest<u64>,
    /// How far from the limit it cleared.
    dips: Newest<f64>,
    /// Of a raise and a clear; others are another signal than one of two values.
    first: [Option<f64>; 2],
    varies: bool,
    /// A limit is a limit of the value itself, and was crossed.
    crosses: Option<bool>,
}

// Of the 2 KiB that are promised, the tree has its part.
const _: () =
    assert!(size_of::<Tracked>() + size_of::<AlarmName>() + 3 * SAMPLES * size_of::<u64>() <= 2_048 * 3 / 4);

impl Tracked {
    pub const fn new(priority: Priority) -> Self {
        const LANE: Lane = Lane { raises: [None; 2], raised: None, cleared: None, acknowledged: false };
        Self {
            priority,
            raises: 0,
            chattering: 0,
            fleeting: 0,
            lanes: [LANE; 2],
            pauses: Newest::new(),
            held: Newest::new(),
            dips: Newest::new(),
            first: [None; 2],
            varies: false,
            crosses: None,
        }
    }

    fn lane(&mut self, late: bool) -> &mut Lane {
        let [live, of_late] = &mut self.lanes;
        if late { of_late } else { live }
    }

    /// `counts`: it is of the stretch, and people were told of it as news.
    pub fn raise(&mut self, event: &AlarmEvent, at: i64, counts: bool) {
        self.priority = event.priority;
        let turn = Turn::of(event, at);
        let lane = self.lane(event.late);
        let cleared = lane.cleared.take();
        lane.acknowledged = false;
        if event.suppressed {
            lane.raised = None;
            return;
        }
        lane.raised = Some(turn.clone());
        let is_third =
            lane.raises[1].is_some_and(|before| (before..=before.saturating_add(CHATTER_MS)).contains(&at));
        if event.continues.is_none() {
            lane.raises = [Some(at), lane.raises[0]];
        }
        if !counts {
            return;
        }
        self.raises += 1;
        self.chattering += u64::from(is_third);
        self.note_value(0, &turn);
        // Of a rate or a deviation, the peak is not the value.
        if event.peak.seq == event.seq && event.peak.boot == event.boot {
            let is_of_value =
                event.peak.value == event.value && turn.beyond.is_some_and(|beyond| beyond != 0.0);
            self.crosses = Some(is_of_value && self.crosses.unwrap_or(true));
        }
        let Some(cleared) = cleared else { return };
        let back_within = cleared.at..=cleared.at.saturating_add(CHATTER_MS);
        if let Some(pause) = cleared.until(&turn).filter(|_| back_within.contains(&at)) {
            self.pauses.push(pause);
            self.note_value(1, &cleared);
            // It cleared on the other side of the limit than it raised on.
            if let (Some(raised), Some(beyond)) = (turn.beyond, cleared.beyond) {
                self.crosses = self.crosses.map(|crosses| crosses && raised * beyond <= 0.0);
                self.dips.push(beyond.abs());
            }
        }
    }

    fn note_value(&mut self, which: usize, turn: &Turn) {
        let Some(first) = self.first.get_mut(which) else { return };
        self.varies |= first.is_some() && *first != turn.beyond;
        *first = first.or(turn.beyond);
    }

    pub fn clear(&mut self, event: &AlarmEvent, at: i64, counts: bool) {
        let turn = Turn::of(event, at);
        let lane = self.lane(event.late);
        let raised = lane.raised.as_ref().filter(|raised| raised.occurrence == event.occurrence).cloned();
        // What is withdrawn with its rule was not cleared by a reading.
        let is_withdrawn = raised.as_ref().is_some_and(|raised| raised.trigger == turn.trigger);
        lane.cleared = Some(turn.clone()).filter(|_| raised.is_some() && !is_withdrawn);
        let Some(raised) = raised.filter(|_| counts && !is_withdrawn) else { return };
        if (0..FLEETING_MS).contains(&at.saturating_sub(raised.at)) {
            self.fleeting += 1;
            if let Some(held) = raised.until(&turn) {
                self.held.push(held);
            }
        }
    }

    /// How long after its raise; for a raise once.
    pub fn acknowledge(&mut self, occurrence: EventId, at: i64) -> Option<u64> {
        let [live, _] = &mut self.lanes;
        let raised = live.raised.as_ref().filter(|raised| raised.occurrence == occurrence)?;
        if core::mem::replace(&mut live.acknowledged, true) {
            return None;
        }
        // The cloud's clock may be behind the reading's.
        Some(u64::try_from(at.saturating_sub(raised.at)).unwrap_or_default())
    }

    pub fn nuisance(&self, name: &AlarmName) -> Nuisance {
        let is_of_limit = self.varies && self.crosses == Some(true);
        let dip = self.dips.joining(f64::total_cmp).filter(|dip| is_of_limit && *dip > 0.0);
        Nuisance {
            alarm: name.clone(),
            priority: self.priority,
            raises: self.raises,
            chattering_raises: self.chattering,
            fleeting: self.fleeting,
            suggestion: Suggestion {
                off_delay_ms: self.pauses.joining(u64::cmp).map(round_delay),
                deadband: dip.map(just_above),
                on_delay_ms: self.held.joining(u64::cmp).map(round_delay),
                pauses: self.pauses.0.len() as u64,
                occurrences: self.held.0.len() as u64,
            },
        }
    }
}

/// Up, to what people write: tenths of a second below one, else seconds.
fn round_delay(ms: u64) -> u64 {
    let step = if ms < 1_000 { 100 } else { 1_000 };
    ms.max(1).next_multiple_of(step)
}

/// The next number of two digits above it.
fn just_above(distance: f64) -> f64 {
    let (mut unit, mut parts) = (1.0, 1.0);
    while distance >= unit * 100.0 {
        unit *= 10.0;
    }
    while distance * parts < 10.0 && parts < 1e300 {
        parts *= 10.0;
    }
    // 0.29 is 28.999… hundredths.
    let digits = (distance / unit * parts + 1e-9) as u64 + 1;
    digits as f64 / parts * unit
}
