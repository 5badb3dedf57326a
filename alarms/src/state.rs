//! Where an alarm on one channel stands, as it is kept between readings and stored.

use alloc::boxed::Box;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_protocol::{BootId, Seq, Tick};

use crate::{
    condition::ConditionKind,
    digest::Revision,
    rule::Rule,
    window::{Span, Window},
};

/// Where in a channel's readings something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub boot: BootId,
    pub seq: Seq,
    pub tick: Tick,
}

/// The worst of an occurrence, and where it was: a value, or what the rule compares with its limits instead (a rate, a
/// deviation).
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Phase {
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

/// An alarm on one channel. Small and plain but for the window of a rule that has one, which is boxed: keep it beside the
/// channel, store it with the readings it has seen. Keep it in a format that holds every double (postcard does; JSON
/// loses infinities).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) phase: Phase,
    /// Of the rule that brought it into a phase other than normal.
    pub(crate) kind: Option<ConditionKind>,
    pub(crate) window: Option<Box<Window>>,
}

impl State {
    /// Raised and not cleared, off-delay included.
    pub fn is_active(&self) -> bool {
        self.raised().is_some()
    }

    pub fn raised(&self) -> Option<&Raised> {
        match &self.phase {
            Phase::Normal | Phase::Pending { .. } => None,
            Phase::Active(raised) | Phase::Clearing { raised, .. } => Some(raised),
        }
    }

    /// Where the run of raising readings began that is not yet as long as the on-delay.
    pub fn pending_since(&self) -> Option<Point> {
        match self.phase {
            Phase::Pending { onset, .. } => Some(onset),
            _ => None,
        }
    }

    /// Whether raised, pending or clearing is the same, whatever the windows hold.
    pub fn is_in_phase_of(&self, other: &Self) -> bool {
        self.phase == other.phase
    }

    /// The reading's rate or deviation; NaN where the window is too short to say.
    pub(crate) fn measure(&mut self, span: Span, boot: BootId, tick: Tick, value: f64) -> f64 {
        match &mut self.window {
            Some(window) if window.is_of(span) => window.take(boot, tick, value),
            other => other.insert(Box::new(Window::new(span, boot))).take(boot, tick, value),
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase, kind: ConditionKind) {
        self.kind = (phase != Phase::Normal).then_some(kind);
        self.phase = phase;
    }
}

impl Rule {
    /// Goes on under this revision with a state that another revision of the rule left. An active alarm stays active, and
    /// its occurrence keeps the name that its own revision gave it. A delay goes on where the condition is of the same
    /// kind, a window where it is the same window; else they begin anew.
    pub fn adopt(&self, state: State) -> State {
        let State { phase, kind, window } = state;
        let window = window.filter(|window| self.span().is_some_and(|span| window.is_of(span)));
        let same_kind = kind == Some(self.kind());
        let same_quantity = kind.is_none_or(|kind| kind.quantity() == self.kind().quantity());
        let keep = |mut raised: Raised| {
            if !same_quantity {
                // A rate is no worse or better than a value: the next reading is the peak.
                raised.peak.value = f64::NAN;
            }
            raised
        };
        let phase = match phase {
            Phase::Pending { .. } if !same_kind => Phase::Normal,
            Phase::Clearing { raised, .. } if !same_kind => Phase::Active(keep(raised)),
            Phase::Active(raised) => Phase::Active(keep(raised)),
            unchanged => unchanged,
        };
        let mut adopted = State { phase: Phase::Normal, kind: None, window };
        adopted.enter(phase, self.kind());
        adopted
    }
}

/// As stored. The first four are what was written before there were windows, and what was not normal then is still
/// read; of what has neither phase nor window the first is written still.
#[derive(Serialize, Deserialize)]
enum Stored<W> {
    Normal,
    Pending { onset: Point, peak: Peak },
    Active(Raised),
    Clearing { raised: Raised, since: Point },
    Kept { phase: Phase, kind: Option<ConditionKind>, window: Option<W> },
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { phase, kind, window } = self;
        let stored: Stored<&Window> = match (phase, window) {
            (Phase::Normal, None) => Stored::Normal,
            (phase, window) => Stored::Kept { phase: *phase, kind: *kind, window: window.as_deref() },
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let before = |phase| Self { phase, kind: None, window: None };
        Ok(match Stored::<Window>::deserialize(deserializer)? {
            Stored::Normal => Self::default(),
            Stored::Pending { onset, peak } => before(Phase::Pending { onset, peak }),
            Stored::Active(raised) => before(Phase::Active(raised)),
            Stored::Clearing { raised, since } => before(Phase::Clearing { raised, since }),
            Stored::Kept { phase, kind, window } => Self { phase, kind, window: window.map(Box::new) },
        })
    }
}
