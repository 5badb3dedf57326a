//! The rules file as it is written, and its validation.
//!
//! ```toml
//! [[rule]]
//! id = "too-cold"
//! select = { site = "*", device = "*", channel = "temperature" }
//! below = 40.0            # exactly one of above, below, outside = [low, high], inside = [low, high]
//! unit = "Cel"
//! deadband = 0.5
//! on_delay_ms = 0
//! off_delay_ms = 0
//! priority = "high"
//! message = "{device} {channel} is {value} {unit}"   # of the raise; of both if it has {transition}
//! ```
//!
//! Reading the text is the caller's (any serde format serves); [`RuleSet::from_settings`] validates it as a whole and
//! names the first thing that is wrong.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use serde::Deserialize;

use crate::{
    band::Band,
    glob::Glob,
    message::{Template, TemplateError},
    rule::{Condition, Content, Priority, Rule, RuleId, Selector},
    rule_set::RuleSet,
};

/// How many rules one set may hold.
pub const MAX_RULES: usize = 4_096;
/// The longest rule id, in bytes.
pub const MAX_RULE_ID: usize = 64;
/// The longest message template, in bytes.
pub const MAX_MESSAGE: usize = 512;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesSettings {
    #[serde(default)]
    pub rule: Vec<RuleSettings>,
}

/// One `[[rule]]`, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    pub id: String,
    #[serde(default)]
    pub select: SelectSettings,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub outside: Option<[f64; 2]>,
    pub inside: Option<[f64; 2]>,
    pub unit: Option<String>,
    #[serde(default)]
    pub deadband: f64,
    #[serde(default)]
    pub on_delay_ms: u64,
    #[serde(default)]
    pub off_delay_ms: u64,
    #[serde(default)]
    pub priority: Priority,
    pub message: Option<String>,
}

/// `select = { … }`; what is not said selects everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectSettings {
    pub site: String,
    pub device: String,
    pub channel: String,
}

impl Default for SelectSettings {
    fn default() -> Self {
        let all = || "*".to_string();
        Self { site: all(), device: all(), channel: all() }
    }
}

/// What is wrong with the rules: which rule, which key, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("rule \"{id}\": {key}: {problem}; {remedy}", key = .problem.key(), remedy = .problem.remedy())]
pub struct RuleError {
    /// The rule's place in the file, from 0.
    pub index: usize,
    pub id: String,
    pub problem: RuleProblem,
}

impl RuleError {
    /// The key's path in the file: `rule[2].select.device`.
    pub fn key_path(&self) -> String {
        format!("rule[{}].{}", self.index, self.problem.key())
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleProblem {
    #[error("this is not a rule's name")]
    Id,
    #[error("rule[{first}] has this id already")]
    DuplicateId { first: usize },
    #[error("the file has more than {MAX_RULES} rules")]
    TooMany,
    #[error("the pattern is empty and selects nothing")]
    EmptyPattern { key: &'static str },
    #[error("no {what} has {found:?} in its name, so this selects nothing")]
    ImpossiblePattern { key: &'static str, what: &'static str, found: String },
    #[error("the rule has no condition")]
    NoCondition,
    #[error("the rule has two conditions, {first} and {second}")]
    TwoConditions { first: &'static str, second: &'static str },
    #[error("{value} is not a limit")]
    NotFinite { key: &'static str, value: f64 },
    #[error("the first limit, {low}, is above the second, {high}")]
    Swapped { key: &'static str, low: f64, high: f64 },
    #[error("{0} is not a deadband")]
    Deadband(f64),
    #[error("with a deadband of {deadband} no value between {low} and {high} clears the alarm")]
    NeverClears { deadband: f64, low: f64, high: f64 },
    #[error("the unit is empty")]
    EmptyUnit,
    #[error("{0}")]
    Message(TemplateError),
}

impl RuleProblem {
    /// The key of the rule that is wrong.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Id | Self::DuplicateId { .. } | Self::TooMany => "id",
            Self::EmptyPattern { key } | Self::ImpossiblePattern { key, .. } => key,
            Self::NoCondition => "above",
            Self::TwoConditions { second, .. } => second,
            Self::NotFinite { key, .. } | Self::Swapped { key, .. } => key,
            Self::Deadband(_) | Self::NeverClears { .. } => "deadband",
            Self::EmptyUnit => "unit",
            Self::Message(_) => "message",
        }
    }

    /// What the user can do.
    pub fn remedy(&self) -> String {
        match self {
            Self::Id => format!("use 1 to {MAX_RULE_ID} of a-z, 0-9 and -"),
            Self::DuplicateId { .. } => "give each rule an id of its own".into(),
            Self::TooMany => "join rules by wider selectors".into(),
            Self::EmptyPattern { .. } => "leave it out, or write \"*\", to select all".into(),
            Self::ImpossiblePattern { what: "channel", .. } => {
                "use a-z, 0-9, -, _ and ., with * and ? as wildcards".into()
            }
            Self::ImpossiblePattern { .. } => "use a-z, 0-9 and -, with * and ? as wildcards".into(),
            Self::NoCondition => {
                "add one of above = x, below = x, outside = [low, high], inside = [low, high]".into()
            }
            Self::TwoConditions { .. } => "keep one and put the other into a rule of its own".into(),
            Self::NotFinite { .. } => "give a finite number".into(),
            Self::Swapped { low, high, .. } => format!("write [{high}, {low}]"),
            Self::Deadband(_) => "give a finite number, 0 or more".into(),
            Self::NeverClears { low, high, .. } => format!("give at most {}", (high - low) / 2.0),
            Self::EmptyUnit => "leave it out to take any unit, or name one, as \"Cel\"".into(),
            Self::Message(error) => error.remedy(),
        }
    }
}

impl RuleSet {
    pub fn from_settings(settings: RulesSettings) -> Result<Self, RuleError> {
        let mut rules: Vec<Arc<Rule>> = Vec::with_capacity(settings.rule.len().min(MAX_RULES));
        for (index, raw) in settings.rule.into_iter().enumerate() {
            let id = raw.id.clone();
            let refused = |problem| RuleError { index, id: id.clone(), problem };
            if index >= MAX_RULES {
                return Err(refused(RuleProblem::TooMany));
            }
            if let Some(first) = rules.iter().position(|rule| rule.id().as_str() == id) {
                return Err(refused(RuleProblem::DuplicateId { first }));
            }
            rules.push(Arc::new(Rule::new(raw.validate().map_err(refused)?)));
        }
        Ok(Self::new(rules))
    }
}

impl RuleSettings {
    fn validate(self) -> Result<Content, RuleProblem> {
        if self.id.is_empty() || self.id.len() > MAX_RULE_ID || !self.id.chars().all(slug_character) {
            return Err(RuleProblem::Id);
        }
        let condition = self.condition()?;
        if !self.deadband.is_finite() || self.deadband < 0.0 {
            return Err(RuleProblem::Deadband(self.deadband));
        }
        if let Condition::Outside(low, high) = condition
            && !Band::new(condition, self.deadband).can_clear()
        {
            return Err(RuleProblem::NeverClears { deadband: self.deadband, low, high });
        }
        if self.unit.as_deref() == Some("") {
            return Err(RuleProblem::EmptyUnit);
        }
        Ok(Content {
            id: RuleId::new(&self.id),
            select: self.select.validate()?,
            condition,
            unit: self.unit,
            deadband: self.deadband,
            on_delay_ms: self.on_delay_ms,
            off_delay_ms: self.off_delay_ms,
            priority: self.priority,
            message: self.message.as_deref().map(Template::new).transpose().map_err(RuleProblem::Message)?,
        })
    }

    fn condition(&self) -> Result<Condition, RuleProblem> {
        let mut given = [
            self.above.map(|limit| ("above", Condition::Above(limit), [limit, limit])),
            self.below.map(|limit| ("below", Condition::Below(limit), [limit, limit])),
            self.outside.map(|[low, high]| ("outside", Condition::Outside(low, high), [low, high])),
            self.inside.map(|[low, high]| ("inside", Condition::Inside(low, high), [low, high])),
        ]
        .into_iter()
        .flatten();
        let (key, condition, limits) = given.next().ok_or(RuleProblem::NoCondition)?;
        if let Some((second, ..)) = given.next() {
            return Err(RuleProblem::TwoConditions { first: key, second });
        }
        if let Some(value) = limits.into_iter().find(|limit| !limit.is_finite()) {
            return Err(RuleProblem::NotFinite { key, value });
        }
        let [low, high] = limits;
        if low > high { Err(RuleProblem::Swapped { key, low, high }) } else { Ok(condition) }
    }
}

impl SelectSettings {
    fn validate(self) -> Result<Selector, RuleProblem> {
        Ok(Selector {
            site: pattern(&self.site, "select.site", "site", slug_character)?,
            device: pattern(&self.device, "select.device", "device", slug_character)?,
            channel: pattern(&self.channel, "select.channel", "channel", channel_character)?,
        })
    }
}

fn pattern(
    text: &str,
    key: &'static str,
    what: &'static str,
    allowed: fn(char) -> bool,
) -> Result<Glob, RuleProblem> {
    let glob = Glob::new(text);
    let impossible = glob.impossible(allowed);
    if text.is_empty() {
        Err(RuleProblem::EmptyPattern { key })
    } else if !impossible.is_empty() {
        Err(RuleProblem::ImpossiblePattern { key, what, found: impossible.into_iter().collect() })
    } else {
        Ok(glob)
    }
}

fn slug_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn channel_character(c: char) -> bool {
    slug_character(c) || c == '_' || c == '.'
}
