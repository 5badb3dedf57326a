//! Rules that are allowed and hardly meant.

use alloc::{format, string::String, vec::Vec};

use tidegate_protocol::unit;

use crate::{
    condition::Condition,
    rule::{Rule, RuleKind},
    rule_set::RuleSet,
};

/// Something about a rule to tell the user.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleWarning {
    /// The rule's place in the file, from 0.
    pub index: usize,
    /// The key that it is about.
    pub key: &'static str,
    pub what: Doubt,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Doubt {
    #[error("\"{0}\" is no SenML unit; only channels with that very unit are watched")]
    UnknownUnit(String),
    #[error("no value in {unit} is ever {beyond} {limit}: this never raises")]
    NeverRaises { unit: String, beyond: &'static str, limit: f64 },
    #[error("no value in {unit} is ever {beyond} {limit}: once raised, this never clears")]
    NeverClears { unit: String, beyond: &'static str, limit: f64 },
    #[error("rule[{0}] has the same effect")]
    SameEffect(usize),
}

impl RuleSet {
    /// Of all that is written, in the order of the file.
    pub fn warnings(&self) -> Vec<RuleWarning> {
        let mut warnings = Vec::new();
        for (index, (from, rule)) in self.written().iter().enumerate() {
            let mut warn = |key, what| warnings.push(RuleWarning { index, key, what });
            if let Some(unit) = rule.unit().filter(|unit| !unit::is_known(unit)) {
                warn("unit", Doubt::UnknownUnit(unit.into()));
            }
            if let Some(doubt) = out_of_range(rule) {
                warn(rule.kind().name(), doubt);
            }
            // Revisions of one rule may well come back to what it said before.
            let before = self.written().iter().take(index);
            let mut others = before.enumerate().filter(|(_, (other_from, other))| {
                other.id() != rule.id() && other_from == from && rule.has_effect_of(other)
            });
            if let Some((other, _)) = others.next() {
                warn("id", Doubt::SameEffect(other));
            }
        }
        warnings
    }
}

/// What quantities of a unit can be at all.
fn range_of(unit: &str) -> Option<(f64, f64)> {
    match unit {
        "%RH" | "%EL" => Some((0.0, 100.0)),
        "K" | "count" | "lx" | "ppm" | "ppb" | "kg" | "mol" | "Hz" => Some((0.0, f64::INFINITY)),
        "Cel" => Some((-273.15, f64::INFINITY)),
        "pH" => Some((-2.0, 16.0)),
        _ => None,
    }
}

fn out_of_range(rule: &Rule) -> Option<Doubt> {
    let unit = rule.unit()?;
    let (least, most) = range_of(unit)?;
    if rule.rule_kind() == RuleKind::Stale {
        return None;
    }
    let deadband = rule.deadband();
    let never_raises = |beyond, limit| Some(Doubt::NeverRaises { unit: unit.into(), beyond, limit });
    let never_clears = |beyond, limit| Some(Doubt::NeverClears { unit: unit.into(), beyond, limit });
    match *rule.condition() {
        Condition::Above(limit) if limit >= most => never_raises("above", limit),
        Condition::Above(limit) if limit - deadband < least => never_clears("as low as", limit - deadband),
        Condition::Below(limit) if limit <= least => never_raises("below", limit),
        Condition::Below(limit) if limit + deadband > most => never_clears("as high as", limit + deadband),
        Condition::Outside(low, high) if low <= least && high >= most => never_raises("above", high),
        Condition::Inside(low, _) if low > most => never_raises("as high as", low),
        Condition::Inside(_, high) if high < least => never_raises("as low as", high),
        Condition::Inside(low, high) if low - deadband <= least && high + deadband >= most => {
            never_clears("above", high + deadband)
        }
        _ => None,
    }
}

impl RuleWarning {
    /// The key's path in the file: `rule[2].unit`.
    pub fn key_path(&self) -> String {
        format!("rule[{}].{}", self.index, self.key)
    }
}
