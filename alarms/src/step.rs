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
//! - Bad and NaN readings are passed over, as if they had not been measured.
//! - Delays are counted in the origin's ticks, from the onset (the first reading of an unbroken run) to the reading that
//!   triggers. Nothing happens between readings.
//! - A new boot has ticks of its own: the alarm's state goes on, a pending delay starts again.
//! - The peak is the worst value of the occurrence; of equals, the first.
//!
//! Readings must come in the order of their seq within a boot; the caller sees to it.

use serde::{Deserialize, Serialize};
use tidegate_protocol::{BootId, Quality, Reading, Seq, Tick, Value};

use crate::{digest::Revision, rule::Rule};

/// Where in a channel's readings something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub boot: BootId,
    pub seq: Seq,
    pub tick: Tick,
}

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

    fn point(&self) -> Point {
        Point { boot: self.boot, seq: self.seq, tick: self.tick }
    }
}

/// The worst value of an occurrence, and where it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    pub at: Point,
    pub value: f64,
}

/// An occurrence that was raised and not cleared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    pub onset: Point,
    /// The reading that triggered it; with the revision it names the occurrence.
    pub at: Point,
    pub revision: Revision,
    pub peak: Peak,
}

/// An alarm on one channel. Small and plain: keep it beside the channel, store it with the readings it has seen.
/// Keep it in a format that holds every double (postcard does; JSON loses infinities).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum State {
    #[default]
    Normal,
    /// Raising readings without a break since `onset`, not yet for the whole on-delay.
    Pending {
        onset: Point,
        peak: Peak,
    },
    Active(Raised),
    /// Clearing readings without a break since `since`, not yet for the whole off-delay.
    Clearing {
        raised: Raised,
        since: Point,
    },
}

impl State {
    /// Raised and not cleared, off-delay included.
    pub fn is_active(&self) -> bool {
        self.raised().is_some()
    }

    pub fn raised(&self) -> Option<&Raised> {
        match self {
            Self::Normal | Self::Pending { .. } => None,
            Self::Active(raised) | Self::Clearing { raised, .. } => Some(raised),
        }
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
    /// The occurrence: as it was raised, with the peak so far.
    pub raised: Raised,
}

impl Rule {
    /// Takes one reading. Costs a comparison or two unless something happens.
    #[inline]
    pub fn step(&self, state: &mut State, reading: &ReadingAt) -> Option<Transition> {
        let value = reading.value.as_f64();
        if reading.quality == Quality::Bad || value.is_nan() {
            return None;
        }
        match *state {
            State::Normal if !self.band.raises(value) => None,
            State::Normal => self.violated(state, reading, value, None),
            State::Pending { .. } if !self.band.raises(value) => {
                *state = State::Normal;
                None
            }
            State::Pending { onset, peak } if onset.boot == reading.boot => {
                self.violated(state, reading, value, Some((onset, peak)))
            }
            State::Pending { .. } => self.violated(state, reading, value, None),
            State::Active(raised) => self.active(state, reading, value, raised, None),
            State::Clearing { raised, since } => {
                let since = Some(since).filter(|since| since.boot == reading.boot);
                self.active(state, reading, value, raised, since)
            }
        }
    }

    fn violated(
        &self,
        state: &mut State,
        reading: &ReadingAt,
        value: f64,
        pending: Option<(Point, Peak)>,
    ) -> Option<Transition> {
        let here = reading.point();
        let (onset, peak) = pending.unwrap_or((here, Peak { at: here, value }));
        let peak = self.worse(peak, here, value);
        if waited_ms(onset, here) < self.on_delay_ms() {
            *state = State::Pending { onset, peak };
            return None;
        }
        let raised = Raised { onset, at: here, revision: self.revision(), peak };
        *state = State::Active(raised);
        Some(Transition { kind: TransitionKind::Raise, onset, trigger: here, value: reading.value, raised })
    }

    fn active(
        &self,
        state: &mut State,
        reading: &ReadingAt,
        value: f64,
        mut raised: Raised,
        clearing: Option<Point>,
    ) -> Option<Transition> {
        let here = reading.point();
        raised.peak = self.worse(raised.peak, here, value);
        if !self.band.clears(value) {
            *state = State::Active(raised);
            return None;
        }
        let since = clearing.unwrap_or(here);
        if waited_ms(since, here) < self.off_delay_ms() {
            *state = State::Clearing { raised, since };
            return None;
        }
        *state = State::Normal;
        Some(Transition {
            kind: TransitionKind::Clear,
            onset: since,
            trigger: here,
            value: reading.value,
            raised,
        })
    }

    fn worse(&self, peak: Peak, here: Point, value: f64) -> Peak {
        let is_worse = self.band.severity(value) > self.band.severity(peak.value);
        if is_worse { Peak { at: here, value } } else { peak }
    }
}

/// A tick that goes backward within a boot counts as no time.
fn waited_ms(from: Point, to: Point) -> u64 {
    to.tick.0.saturating_sub(from.tick.0)
}
