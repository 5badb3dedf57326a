//! One reading through one rule.
//!
//! ```text
//!            raises                on-delay over
//!   Normal ─────────▶ Pending ───────────────────▶ Active ◀──────────────┐
//!     ▲                  │ does not raise             │ clears           │ does not clear
//!     ├──────────────────┘                            ▼                  │
//!     └───────────────────────────────────────── Clearing ───────────────┘
//!                       off-delay over
//! ```
//!
//! - Bad and NaN readings are passed over, as if they had not been measured. So are those of which a window is too short
//!   to say anything.
//! - Delays are counted in the origin's ticks, from the onset (the first reading of an unbroken run) to the reading that
//!   triggers. Nothing happens between readings.
//! - A new boot has ticks of its own: the alarm's state goes on, a pending delay and a window start again.
//! - The peak is the worst measure of the occurrence (value, rate or deviation); of equals, the first.
//!
//! Readings must come in the order of their seq within a boot; the caller sees to it.

use serde::{Deserialize, Serialize};
use tidegate_protocol::{BootId, Quality, Reading, Seq, Tick, Value};

pub use crate::state::{Peak, Point, Raised, State};
use crate::{judge::Judged, rule::Rule, state::Phase};

/// A reading of the channel that a rule watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingAt {
    pub boot: BootId,
    pub seq: Seq,
    pub tick: Tick,
    pub value: Value,
    pub quality: Quality,
}

impl ReadingAt {
    pub fn new(boot: BootId, reading: &Reading) -> Self {
        let Reading { seq, tick, value, quality, .. } = *reading;
        Self { boot, seq, tick, value, quality }
    }

    pub fn point(&self) -> Point {
        Point { boot: self.boot, seq: self.seq, tick: self.tick }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransitionKind {
    Raise,
    Clear,
    /// Late data changed how an occurrence began that was told already.
    Amend,
    // What follows is not evaluation's: operators, and time, move an alarm too (`lifecycle`).
    Acknowledge,
    Shelve,
    Unshelve,
    /// The shelf's time was over.
    ShelfExpired,
    Suppress,
    Unsuppress,
    OutOfService,
    InService,
    Reset,
    Comment,
    /// A gateway's verdict on the alarm differs from the cloud's.
    Disagree,
    /// It does not any more.
    Agree,
}

impl TransitionKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::Clear => "clear",
            Self::Amend => "amend",
            Self::Acknowledge => "acknowledge",
            Self::Shelve => "shelve",
            Self::Unshelve => "unshelve",
            Self::ShelfExpired => "shelf-expired",
            Self::Suppress => "suppress",
            Self::Unsuppress => "unsuppress",
            Self::OutOfService => "out-of-service",
            Self::InService => "in-service",
            Self::Reset => "reset",
            Self::Comment => "comment",
            Self::Disagree => "disagree",
            Self::Agree => "agree",
        }
    }

    /// Of the evaluation: the alarm became active, or normal.
    pub const fn is_of_process(self) -> bool {
        matches!(self, Self::Raise | Self::Clear)
    }
}

/// An alarm was raised or cleared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    pub kind: TransitionKind,
    /// The first reading of the delay; the triggering one where there is no delay.
    pub onset: Point,
    /// The reading that raised or cleared.
    pub trigger: Point,
    /// Its value.
    pub value: Value,
    /// What was compared with the limits: the value as a double, the rate per `per`, or the deviation.
    pub measure: f64,
    /// The occurrence: as it was raised, with the peak so far.
    pub raised: Raised,
}

impl Rule {
    /// Takes one reading. Costs a comparison or two unless something happens; with a window, some twenty additions. A
    /// stale rule takes no notice of readings.
    #[inline]
    pub fn step(&self, state: &mut State, reading: &ReadingAt) -> Option<Transition> {
        let value = reading.value.as_f64();
        if reading.quality == Quality::Bad || value.is_nan() {
            return None;
        }
        let measure = match self.span() {
            None => value,
            Some(span) => {
                let measure = state.measure(span, reading.boot, reading.tick, value) * self.per();
                if measure.is_nan() {
                    return None;
                }
                measure
            }
        };
        let judged = Judged { value: reading.value, measure };
        match state.phase {
            Phase::Normal if !self.judge.raises(judged) => None,
            Phase::Normal => self.violated(state, reading, measure, None),
            Phase::Pending { .. } if !self.judge.raises(judged) => {
                state.enter(Phase::Normal, self.kind());
                None
            }
            Phase::Pending { onset, peak } if onset.boot == reading.boot => {
                self.violated(state, reading, measure, Some((onset, peak)))
            }
            Phase::Pending { .. } => self.violated(state, reading, measure, None),
            Phase::Active(raised) => self.active(state, reading, judged, raised, None),
            Phase::Clearing { raised, since } => {
                let since = Some(since).filter(|since| since.boot == reading.boot);
                self.active(state, reading, judged, raised, since)
            }
        }
    }

    fn violated(
        &self,
        state: &mut State,
        reading: &ReadingAt,
        measure: f64,
        pending: Option<(Point, Peak)>,
    ) -> Option<Transition> {
        let here = reading.point();
        let (onset, peak) = pending.unwrap_or((here, Peak { at: here, value: measure }));
        let peak = self.worse(peak, here, measure);
        if waited_ms(onset, here) < self.on_delay_ms() {
            state.enter(Phase::Pending { onset, peak }, self.kind());
            return None;
        }
        let raised = Raised { onset, at: here, revision: self.revision(), peak };
        state.enter(Phase::Active(raised), self.kind());
        let kind = TransitionKind::Raise;
        Some(Transition { kind, onset, trigger: here, value: reading.value, measure, raised })
    }

    fn active(
        &self,
        state: &mut State,
        reading: &ReadingAt,
        judged: Judged,
        mut raised: Raised,
        clearing: Option<Point>,
    ) -> Option<Transition> {
        let here = reading.point();
        raised.peak = self.worse(raised.peak, here, judged.measure);
        if !self.judge.clears(judged) {
            state.enter(Phase::Active(raised), self.kind());
            return None;
        }
        let since = clearing.unwrap_or(here);
        if waited_ms(since, here) < self.off_delay_ms() {
            state.enter(Phase::Clearing { raised, since }, self.kind());
            return None;
        }
        state.enter(Phase::Normal, self.kind());
        Some(Transition {
            kind: TransitionKind::Clear,
            onset: since,
            trigger: here,
            value: reading.value,
            measure: judged.measure,
            raised,
        })
    }

    /// A peak that is NaN is none yet.
    fn worse(&self, peak: Peak, here: Point, measure: f64) -> Peak {
        let is_worse = peak.value.is_nan() || self.judge.severity(measure) > self.judge.severity(peak.value);
        if is_worse { Peak { at: here, value: measure } } else { peak }
    }
}

/// A tick that goes backward within a boot counts as no time.
fn waited_ms(from: Point, to: Point) -> u64 {
    to.tick.0.saturating_sub(from.tick.0)
}
