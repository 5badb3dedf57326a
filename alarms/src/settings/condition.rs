//! The one condition of a rule.

use alloc::{string::String, vec::Vec};

use super::{
    DeviationSettings, MAX_VALUES, RateSettings, RuleSettings, StaleSettings, ValuesSettings,
    problem::RuleProblem,
    validate::{Notes, some_time},
};
use crate::{
    condition::{Condition, Deviation, Rate},
    stale::Stale,
};

impl RuleSettings {
    /// The condition; of several the first, with a note.
    pub(super) fn condition(&self, notes: &mut Notes<'_>) -> Option<Condition> {
        let given = [
            ("above", self.above.is_some()),
            ("below", self.below.is_some()),
            ("outside", self.outside.is_some()),
            ("inside", self.inside.is_some()),
            ("equals", self.equals.is_some()),
            ("not_equals", self.not_equals.is_some()),
            ("rate", self.rate.is_some()),
            ("deviation", self.deviation.is_some()),
            ("stale", self.stale.is_some()),
        ];
        let mut given = given.into_iter().filter_map(|(key, is_given)| is_given.then_some(key));
        let Some(first) = given.next() else { return notes.refuse("above", RuleProblem::NoCondition) };
        for second in given {
            notes.add(second, RuleProblem::TwoConditions { first, second });
        }
        if let Some(limit) = self.above {
            return limit_of("above", limit, notes).map(Condition::Above);
        }
        if let Some(limit) = self.below {
            return limit_of("below", limit, notes).map(Condition::Below);
        }
        if let Some(limits) = self.outside {
            return range("outside", limits, notes).map(|[low, high]| Condition::Outside(low, high));
        }
        if let Some(limits) = self.inside {
            return range("inside", limits, notes).map(|[low, high]| Condition::Inside(low, high));
        }
        if let Some(values) = &self.equals {
            return values.validate("equals", notes).map(Condition::Equals);
        }
        if let Some(values) = &self.not_equals {
            return values.validate("not_equals", notes).map(Condition::NotEquals);
        }
        if let Some(rate) = &self.rate {
            return rate.validate(notes).map(Condition::Rate);
        }
        if let Some(deviation) = &self.deviation {
            return deviation.validate(notes).map(Condition::Deviation);
        }
        self.stale.as_ref()?.validate(notes).map(Condition::Stale)
    }
}

impl ValuesSettings {
    fn validate(&self, key: &'static str, notes: &mut Notes<'_>) -> Option<Vec<f64>> {
        let values: Vec<f64> = match self {
            Self::Bool(value) => [f64::from(u8::from(*value))].into(),
            Self::Number(value) => [*value].into(),
            Self::Numbers(values) => values.clone(),
        };
        if values.is_empty() {
            return notes.refuse(key, RuleProblem::NoValues);
        }
        if values.len() > MAX_VALUES {
            return notes.refuse(key, RuleProblem::TooManyValues);
        }
        values.into_iter().map(|value| limit_of(key, value, notes)).collect()
    }
}

impl RateSettings {
    fn validate(&self, notes: &mut Notes<'_>) -> Option<Rate> {
        let per = some_time(&self.per, "rate.per", notes);
        let over = some_time(&self.over, "rate.over", notes);
        let above = optional("rate.above", self.above, notes);
        let below = optional("rate.below", self.below, notes);
        let (above, below) = (above?, below?);
        match (above, below) {
            (None, None) => {
                let one_of = "above = x or below = x, or both";
                return notes.refuse("rate", RuleProblem::NoLimit { one_of });
            }
            (Some(above), Some(below)) if below > above => {
                return notes.refuse("rate.below", RuleProblem::Crossed { below, above });
            }
            _ => {}
        }
        Some(Rate { above, below, per_ms: per?, over_ms: over? })
    }
}

impl DeviationSettings {
    fn validate(&self, notes: &mut Notes<'_>) -> Option<Deviation> {
        let over = some_time(&self.over, "deviation.over", notes);
        let limits = match (self.above, self.outside) {
            (Some(_), Some(_)) => notes.refuse("deviation.outside", RuleProblem::TwoLimits),
            (Some(above), None) if above < 0.0 => {
                notes.refuse("deviation.above", RuleProblem::Distance(above))
            }
            (Some(above), None) => limit_of("deviation.above", above, notes).map(|limit| [-limit, limit]),
            (None, Some(limits)) => range("deviation.outside", limits, notes),
            (None, None) => {
                let one_of = "above = x or outside = [low, high]";
                notes.refuse("deviation", RuleProblem::NoLimit { one_of })
            }
        };
        let [low, high] = limits?;
        Some(Deviation { low, high, over_ms: over? })
    }
}

impl StaleSettings {
    fn validate(&self, notes: &mut Notes<'_>) -> Option<Stale> {
        if !self.after.is_finite() || self.after <= 0.0 {
            notes.add("stale.after", RuleProblem::After(self.after));
        }
        let interval_ms = match &self.interval {
            None => None,
            Some(text) => Some(some_time(text, "stale.interval", notes)?),
        };
        Some(Stale { after: self.after, interval_ms })
    }
}

fn limit_of(key: impl Into<String>, limit: f64, notes: &mut Notes<'_>) -> Option<f64> {
    if limit.is_finite() { Some(limit) } else { notes.refuse(key, RuleProblem::NotFinite(limit)) }
}

/// Nothing where a limit is given and is none.
fn optional(key: &'static str, limit: Option<f64>, notes: &mut Notes<'_>) -> Option<Option<f64>> {
    match limit {
        None => Some(None),
        Some(limit) => limit_of(key, limit, notes).map(Some),
    }
}

fn range(key: &'static str, [low, high]: [f64; 2], notes: &mut Notes<'_>) -> Option<[f64; 2]> {
    let (first, second) = (limit_of(key, low, notes), limit_of(key, high, notes));
    let (low, high) = (first?, second?);
    if low > high { notes.refuse(key, RuleProblem::Swapped { low, high }) } else { Some([low, high]) }
}
