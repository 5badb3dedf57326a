//! A rule with revisions, on one channel, reading by reading.

use alloc::sync::Arc;

use crate::{
    rule::Rule,
    state::{Raised, State},
    step::{ReadingAt, Transition, TransitionKind},
};

/// A state, and the revision under which it came to be.
#[derive(Clone, Debug, Default)]
pub struct Evaluated {
    state: State,
    under: Option<Arc<Rule>>,
}

/// What a reading did.
#[derive(Clone, Debug, Default)]
pub struct Stepped {
    /// The state is another now.
    pub changed: bool,
    /// What happened, and under which revision.
    pub happened: Option<(Arc<Rule>, Transition)>,
}

impl Evaluated {
    /// As it was kept.
    pub fn restored(state: State, under: Arc<Rule>) -> Self {
        Self { state, under: Some(under) }
    }

    pub fn raised(&self) -> Option<(&Arc<Rule>, &Raised)> {
        self.under.as_ref().zip(self.state.raised())
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn under(&self) -> Option<&Arc<Rule>> {
        self.under.as_ref()
    }

    pub fn is_normal(&self) -> bool {
        !self.state.is_active() && self.state.pending_since().is_none()
    }

    /// Takes one reading under what is in force for it; where nothing is, what was raised ends with this reading.
    pub fn step(&mut self, in_force: Option<&Arc<Rule>>, at: &ReadingAt) -> Stepped {
        let Some(rule) = in_force else { return self.withdraw(at) };
        if !self.under.as_ref().is_some_and(|under| Arc::ptr_eq(under, rule)) {
            self.state = rule.adopt(core::mem::take(&mut self.state));
            self.under = Some(Arc::clone(rule));
        }
        let before = (!self.is_normal()).then(|| self.state.clone());
        let transition = rule.step(&mut self.state, at);
        let is_in_phase = match before {
            None => self.is_normal(),
            Some(before) => before.is_in_phase_of(&self.state),
        };
        // A window is another one with every reading.
        let changed = rule.span().is_some() || !is_in_phase;
        Stepped { changed, happened: transition.map(|transition| (Arc::clone(rule), transition)) }
    }

    fn withdraw(&mut self, at: &ReadingAt) -> Stepped {
        let Self { state, under } = core::mem::take(self);
        let changed = state != State::default();
        let happened = under.zip(state.raised().copied()).map(|(rule, raised)| {
            let (onset, trigger) = (at.point(), at.point());
            let (value, measure) = (at.value, at.value.as_f64());
            (rule, Transition { kind: TransitionKind::Clear, onset, trigger, value, measure, raised })
        });
        Stepped { changed, happened }
    }
}
