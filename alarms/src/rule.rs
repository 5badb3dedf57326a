//! One validated rule: a threshold with deadband and delays on the channels that it selects.

use alloc::{string::String, sync::Arc};
use core::{fmt, ops::Deref};

use serde::{Deserialize, Serialize};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

use crate::{band::Band, digest::Digest, digest::Revision, glob::Glob, message::Template};

/// A rule's name: a slug `[a-z0-9-]`, unique among the rules. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct RuleId(Arc<str>);

impl RuleId {
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for RuleId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.0.deref().into()
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How soon somebody must act. Ordered: the more urgent is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    Low,
    #[default]
    Medium,
    High,
    Critical,
}

impl Priority {
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// When a value is wrong. Limits are finite, and the first of a pair is not above the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// Raised when value > limit; cleared when value <= limit - deadband.
    Above(f64),
    /// Raised when value < limit; cleared when value >= limit + deadband.
    Below(f64),
    /// Raised when value < low or value > high; cleared when low + deadband <= value <= high - deadband.
    Outside(f64, f64),
    /// Raised when low <= value <= high; cleared when value < low - deadband or value > high + deadband.
    Inside(f64, f64),
}

/// Which channels a rule watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub site: Glob,
    pub device: Glob,
    pub channel: Glob,
}

impl Selector {
    pub fn selects(&self, site: SiteId, device: DeviceId, channel: ChannelName) -> bool {
        self.channel.matches(channel.as_str())
            && self.device.matches(device.as_str())
            && self.site.matches(site.as_str())
    }
}

/// What a rule says, validated by [`crate::settings`].
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub id: RuleId,
    pub select: Selector,
    pub condition: Condition,
    pub unit: Option<String>,
    pub deadband: f64,
    pub on_delay_ms: u64,
    pub off_delay_ms: u64,
    pub priority: Priority,
    pub message: Option<Template>,
}

/// A rule, ready to be evaluated by [`Rule::step`].
#[derive(Clone, Debug)]
pub struct Rule {
    content: Content,
    pub(crate) band: Band,
    revision: Revision,
}

impl Rule {
    pub(crate) fn new(content: Content) -> Self {
        let band = Band::new(content.condition, content.deadband);
        let revision = revision_of(&content);
        Self { content, band, revision }
    }

    pub fn id(&self) -> &RuleId {
        &self.content.id
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn selector(&self) -> &Selector {
        &self.content.select
    }

    pub fn condition(&self) -> Condition {
        self.content.condition
    }

    /// The unit a channel must have; `None`: any.
    pub fn unit(&self) -> Option<&str> {
        self.content.unit.as_deref()
    }

    pub fn deadband(&self) -> f64 {
        self.content.deadband
    }

    /// In the origin's ticks.
    pub fn on_delay_ms(&self) -> u64 {
        self.content.on_delay_ms
    }

    /// In the origin's ticks.
    pub fn off_delay_ms(&self) -> u64 {
        self.content.off_delay_ms
    }

    pub fn priority(&self) -> Priority {
        self.content.priority
    }

    pub(crate) fn message(&self) -> Option<&Template> {
        self.content.message.as_ref()
    }
}

fn revision_of(content: &Content) -> Revision {
    let (kind, low, high) = match content.condition {
        Condition::Above(limit) => ("above", limit, limit),
        Condition::Below(limit) => ("below", limit, limit),
        Condition::Outside(low, high) => ("outside", low, high),
        Condition::Inside(low, high) => ("inside", low, high),
    };
    let digest = Digest::new("rule")
        .text(content.id.as_str())
        .text(content.select.site.as_str())
        .text(content.select.device.as_str())
        .text(content.select.channel.as_str())
        .text(kind)
        .float(low)
        .float(high)
        .number(u64::from(content.unit.is_some()))
        .text(content.unit.as_deref().unwrap_or_default())
        .float(content.deadband)
        .number(content.on_delay_ms)
        .number(content.off_delay_ms)
        .text(content.priority.name())
        .text(content.message.as_ref().map_or("", Template::source))
        .finish();
    Revision(digest as u64)
}
