//! The rules file as it is written; every key with its meaning is in `docs/rules.md`.
//!
//! ```toml
//! [[labels]]
//! select = { device = "boiler-*" }
//! set = { area = "boiler-house" }
//!
//! [[rule]]
//! id = "too-cold"
//! effective_from = "2026-11-27T00:00:00Z"   # several with one id are revisions of one rule
//! select = { site = "*", device = "*", channel = "temperature", tag = "*", labels = { area = "boiler*" } }
//! below = 40.0            # exactly one condition
//! unit = "Cel"
//! deadband = 0.5
//! on_delay = "5s"
//! off_delay = "0s"
//! priority = "high"
//! message = "{device} {channel} is {value} {unit}"   # of the raise; of both if it has {transition}
//! ```
//!
//! Reading the text is the caller's (any serde format serves); [`RuleSet::from_settings`](crate::RuleSet::from_settings)
//! validates it as a whole and names everything that is wrong.

mod condition;
mod duration;
mod labels;
mod problem;
mod quiet;
mod validate;

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::Deserialize;

pub use duration::{duration_ms, duration_text};
pub use problem::{RuleError, RuleErrors, RuleProblem, Section};
pub(crate) use validate::slug_character;

use crate::rule::Priority;

/// How many rules one set may hold.
pub const MAX_RULES: usize = 4_096;
/// How many `[[labels]]` one file may hold.
pub const MAX_LABELS: usize = 1_024;
/// The longest rule id, in bytes; of a label's key, too.
pub const MAX_RULE_ID: usize = 64;
/// The longest message template, in bytes.
pub const MAX_MESSAGE: usize = 512;
/// The longest tag, label or zone in the file, in bytes.
pub const MAX_TEXT: usize = 128;
/// How many values `equals` may list.
pub const MAX_VALUES: usize = 64;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesSettings {
    #[serde(default)]
    pub labels: Vec<LabelsSettings>,
    #[serde(default)]
    pub rule: Vec<RuleSettings>,
}

/// One `[[labels]]`, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelsSettings {
    #[serde(default)]
    pub select: SelectSettings,
    pub set: BTreeMap<String, String>,
}

/// One `[[rule]]`, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    pub id: String,
    pub effective_from: Option<String>,
    #[serde(default)]
    pub select: SelectSettings,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub outside: Option<[f64; 2]>,
    pub inside: Option<[f64; 2]>,
    pub equals: Option<ValuesSettings>,
    pub not_equals: Option<ValuesSettings>,
    pub rate: Option<RateSettings>,
    pub deviation: Option<DeviationSettings>,
    pub stale: Option<StaleSettings>,
    pub group: Option<GroupSettings>,
    pub unit: Option<String>,
    #[serde(default)]
    pub deadband: f64,
    pub on_delay: Option<String>,
    pub on_delay_ms: Option<u64>,
    pub off_delay: Option<String>,
    pub off_delay_ms: Option<u64>,
    #[serde(default)]
    pub priority: Priority,
    #[serde(default)]
    pub latching: bool,
    pub quiet_hours: Option<QuietHoursSettings>,
    pub message: Option<String>,
}

/// `select = { … }`; what is not said selects everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectSettings {
    pub site: String,
    pub device: String,
    pub channel: String,
    pub tag: String,
    pub labels: BTreeMap<String, String>,
}

impl Default for SelectSettings {
    fn default() -> Self {
        let [site, device, channel, tag] = ["*"; 4].map(String::from);
        Self { site, device, channel, tag, labels: BTreeMap::new() }
    }
}

/// `true`, `3`, or `[1, 2]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "true, false, a number, or a list of numbers such as [1, 2]")]
pub enum ValuesSettings {
    Bool(bool),
    Number(f64),
    Numbers(Vec<f64>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSettings {
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub per: String,
    pub over: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviationSettings {
    pub above: Option<f64>,
    pub outside: Option<[f64; 2]>,
    pub over: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleSettings {
    pub after: f64,
    pub interval: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSettings {
    pub count: Option<u32>,
    pub fraction: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHoursSettings {
    pub from: String,
    pub to: String,
    pub days: Option<Vec<String>>,
    pub zone: Option<String>,
}
