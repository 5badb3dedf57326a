//! What can be wrong with a rules file, and what to do about it.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use super::{MAX_LABELS, MAX_RULE_ID, MAX_RULES, MAX_TEXT, MAX_VALUES};
use crate::message::TemplateError;

/// Which of the file's lists an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Labels,
    Rule,
}

impl Section {
    pub const fn key(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Rule => "rule",
        }
    }
}

/// What is wrong with the rules: which entry, which key, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleError {
    pub section: Section,
    /// The entry's place in its list, from 0.
    pub index: usize,
    /// The rule's id; of labels, none.
    pub id: String,
    /// The key within the entry: `select.device`.
    pub key: String,
    pub problem: RuleProblem,
}

impl core::error::Error for RuleError {}

impl RuleError {
    /// The key's path in the file: `rule[2].select.device`.
    pub fn key_path(&self) -> String {
        format!("{}[{}].{}", self.section.key(), self.index, self.key)
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section {
            Section::Rule => write!(f, "rule \"{}\": ", self.id)?,
            Section::Labels => write!(f, "labels[{}]: ", self.index)?,
        }
        write!(f, "{}: {}; {}", self.key, self.problem, self.problem.remedy())
    }
}

/// Everything that is wrong with a file, in its order; not empty.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleErrors {
    first: Box<RuleError>,
    others: Vec<RuleError>,
}

impl core::error::Error for RuleErrors {}

impl RuleErrors {
    /// Nothing, if nothing is wrong.
    pub(crate) fn of(mut all: Vec<RuleError>) -> Option<Self> {
        all.sort_by_key(|error| (error.section, error.index));
        let mut all = all.into_iter();
        Some(Self { first: Box::new(all.next()?), others: all.collect() })
    }

    pub fn first(&self) -> &RuleError {
        &self.first
    }

    pub fn iter(&self) -> impl Iterator<Item = &RuleError> {
        core::iter::once(&*self.first).chain(&self.others)
    }

    /// How many there are besides the first.
    pub fn more(&self) -> usize {
        self.others.len()
    }
}

/// One a line.
impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others.iter().try_for_each(|error| write!(f, "\n{error}"))
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleProblem {
    #[error("this is not a rule's name")]
    Id,
    #[error("rule[{first}] has this id already")]
    DuplicateId { first: usize },
    #[error("rule[{first}] is this rule from the same time on")]
    DuplicateTime { first: usize },
    #[error("{0:?} is no time")]
    Time(String),
    #[error("the file has more than {MAX_RULES} rules")]
    TooMany,
    #[error("the pattern is empty and selects nothing")]
    EmptyPattern,
    #[error("the text is longer than {MAX_TEXT} bytes")]
    TooLong,
    #[error("no {what} has {found:?} in its name, so this selects nothing")]
    ImpossiblePattern { what: &'static str, found: String },
    #[error("no [[labels]] gives the label {0:?}, so this selects nothing")]
    UnknownLabel(String),
    #[error("the rule has no condition")]
    NoCondition,
    #[error("the rule has two conditions, {first} and {second}")]
    TwoConditions { first: &'static str, second: &'static str },
    #[error("{0} is not a limit")]
    NotFinite(f64),
    #[error("the first limit, {low}, is above the second, {high}")]
    Swapped { low: f64, high: f64 },
    #[error("the value {below} for below is above the value {above} for above")]
    Crossed { below: f64, above: f64 },
    #[error("it has no limit")]
    NoLimit { one_of: &'static str },
    #[error("it has two limits, above and outside")]
    TwoLimits,
    #[error("{0} is no distance from a mean")]
    Distance(f64),
    #[error("the list is empty")]
    NoValues,
    #[error("the list has more than {MAX_VALUES} values")]
    TooManyValues,
    #[error("{0:?} is no length of time")]
    Duration(String),
    #[error("no time at all is too short")]
    NoTime,
    #[error("{key} is given too")]
    GivenTwice { key: &'static str },
    #[error("{0} is no number of intervals")]
    After(f64),
    #[error("this does nothing in a rule with {condition}")]
    Idle { condition: &'static str },
    #[error("a group needs either a count or a fraction")]
    Quorum,
    #[error("{0} is no count of devices")]
    Count(u32),
    #[error("{0} is no fraction")]
    Fraction(f64),
    #[error("{0} is not a deadband")]
    Deadband(f64),
    #[error("with a deadband of {deadband} no value between {low} and {high} clears the alarm")]
    NeverClears { deadband: f64, low: f64, high: f64 },
    #[error("the unit is empty")]
    EmptyUnit,
    #[error("{0:?} is no time of day")]
    TimeOfDay(String),
    #[error("they begin and end at {0}")]
    NoHours(String),
    #[error("{0:?} is no day of the week")]
    Day(String),
    #[error("no day is given")]
    NoDays,
    #[error("{0:?} is no name of a time zone")]
    Zone(String),
    #[error("{0}")]
    Message(TemplateError),
    #[error("the file has more than {MAX_LABELS} [[labels]]")]
    TooManyLabels,
    #[error("labels are given to channels by their names, not by labels")]
    LabelsByLabels,
    #[error("no label is given")]
    NoLabels,
    #[error("{0:?} is not a label's name")]
    LabelKey(String),
    #[error("the label is empty")]
    EmptyLabel,
}

impl RuleProblem {
    /// What the user can do.
    pub fn remedy(&self) -> String {
        let fixed = match self {
            Self::Id | Self::LabelKey(_) => return format!("use 1 to {MAX_RULE_ID} of a-z, 0-9 and -"),
            Self::Swapped { low, high } => return format!("write [{high}, {low}]"),
            Self::NeverClears { low, high, .. } => return format!("give at most {}", (high - low) / 2.0),
            Self::Message(error) => return error.remedy(),
            Self::NoLimit { one_of } => return format!("add {one_of}"),
            Self::UnknownLabel(key) => {
                return format!("add a [[labels]] with set = {{ {key} = \"…\" }}, or correct the name");
            }
            Self::DuplicateId { .. } => {
                "give each rule an id of its own, or say with effective_from when each revision of it begins"
            }
            Self::DuplicateTime { .. } => "keep one, or let them begin at different times",
            Self::Time(_) => "write date, time and zone, as \"2026-11-27T00:00:00Z\"",
            Self::TooMany => "join rules by wider selectors",
            Self::EmptyPattern => "leave it out, or write \"*\", to select all",
            Self::TooLong => "shorten it",
            Self::ImpossiblePattern { what: "channel", .. } => {
                "use a-z, 0-9, -, _ and ., with * and ? as wildcards"
            }
            Self::ImpossiblePattern { .. } => "use a-z, 0-9 and -, with * and ? as wildcards",
            Self::NoCondition => {
                "add one of above = x, below = x, outside = [low, high], inside = [low, high], equals = x, \
                 not_equals = x, rate = { … }, deviation = { … }, stale = { … }"
            }
            Self::TwoConditions { .. } => "keep one and put the other into a rule of its own",
            Self::NotFinite(_) => "give a finite number",
            Self::Crossed { .. } => "below must be the lesser of the two",
            Self::TwoLimits => "keep one; above = 5 is outside = [-5, 5]",
            Self::Distance(_) => "give a number of 0 or more",
            Self::NoValues => "list at least one value",
            Self::TooManyValues => "use inside = [low, high] for a range",
            Self::Duration(_) => {
                "write a whole number and a unit, as \"250ms\", \"5s\", \"10m\", \"1h\" or \"7d\""
            }
            Self::NoTime => "give at least \"1ms\"",
            Self::GivenTwice { .. } => "keep one of the two",
            Self::After(_) => "give a finite number above 0, as 3.0",
            Self::Idle { .. } => "leave it out",
            Self::Quorum => "write { count = 3 } or { fraction = 0.5 }",
            Self::Count(_) => "give at least 1",
            Self::Fraction(_) => "give a number above 0 and at most 1",
            Self::Deadband(_) => "give a finite number, 0 or more",
            Self::EmptyUnit => "leave it out to take any unit, or name one, as \"Cel\"",
            Self::TimeOfDay(_) => "write hours and minutes, as \"22:00\"",
            Self::NoHours(_) => {
                "for the whole day write from = \"00:00\" and to = \"23:59\", or use a lower priority"
            }
            Self::Day(_) => "use mon, tue, wed, thu, fri, sat and sun",
            Self::NoDays => "leave it out for all days",
            Self::Zone(_) => "name one of the IANA database, as \"Europe/Berlin\" or \"UTC\"",
            Self::TooManyLabels => "join them by wider selectors",
            Self::LabelsByLabels => "select by site, device, channel or tag",
            Self::NoLabels => "write set = { area = \"boiler-house\" }",
            Self::EmptyLabel => "leave it out, or give it a text",
        };
        fixed.into()
    }
}
