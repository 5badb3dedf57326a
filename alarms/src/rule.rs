//! One validated rule: a condition with deadband and delays on the channels that it selects.

use alloc::{string::String, sync::Arc};
use core::{fmt, ops::Deref};

use serde::{Deserialize, Serialize};

use crate::{
    condition::{Condition, ConditionKind, Deviation, Rate},
    digest::{Digest, Revision},
    group::Quorum,
    judge::Judge,
    message::Template,
    quiet_hours::QuietHours,
    select::Selector,
    stale::Stale,
    window::Span,
};

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

/// What a rule says, validated by [`crate::settings`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub id: RuleId,
    pub select: Selector,
    pub condition: Condition,
    pub group: Option<Quorum>,
    pub unit: Option<String>,
    pub deadband: f64,
    pub on_delay_ms: u64,
    pub off_delay_ms: u64,
    pub priority: Priority,
    pub latching: bool,
    pub quiet_hours: Option<QuietHours>,
    pub message: Option<Template>,
}

/// What a rule's alarms are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// A channel, reading by reading: [`Rule::step`].
    Channel,
    /// A channel that says nothing: [`Rule::stale`].
    Stale,
    /// The devices of a site: [`Rule::step`] for each of their channels, and [`Rule::quorum`].
    Group,
}

/// A rule, ready to be evaluated by [`Rule::step`]. Two are equal if they say the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Content", into = "Content")]
pub struct Rule {
    content: Content,
    pub(crate) judge: Judge,
    span: Option<Span>,
    revision: Revision,
}

impl From<Content> for Rule {
    fn from(content: Content) -> Self {
        let judge = Judge::new(&content.condition, content.deadband);
        let revision = revision_of(&content);
        Self { judge, span: content.condition.span(), revision, content }
    }
}

impl From<Rule> for Content {
    fn from(rule: Rule) -> Self {
        rule.content
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl Rule {
    pub fn id(&self) -> &RuleId {
        &self.content.id
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn selector(&self) -> &Selector {
        &self.content.select
    }

    pub fn condition(&self) -> &Condition {
        &self.content.condition
    }

    pub fn rule_kind(&self) -> RuleKind {
        match (&self.content.condition, self.content.group) {
            (Condition::Stale(_), _) => RuleKind::Stale,
            (_, Some(_)) => RuleKind::Group,
            (_, None) => RuleKind::Channel,
        }
    }

    pub fn stale(&self) -> Option<Stale> {
        match self.content.condition {
            Condition::Stale(stale) => Some(stale),
            _ => None,
        }
    }

    /// How many devices it takes, of a group rule.
    pub fn quorum(&self) -> Option<Quorum> {
        self.content.group
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

    /// Whether the alarm is to stay until somebody resets it. The latch is the life cycle's; the condition clears as ever.
    pub fn is_latching(&self) -> bool {
        self.content.latching
    }

    pub fn quiet_hours(&self) -> Option<&QuietHours> {
        self.content.quiet_hours.as_ref()
    }

    /// Whether it watches a channel of this unit, if it selects it.
    pub fn takes_unit(&self, unit: &str) -> bool {
        self.unit().is_none_or(|wanted| wanted == unit)
    }

    pub fn kind(&self) -> ConditionKind {
        self.content.condition.kind()
    }

    /// Whether both raise and clear at the same readings of the same channels.
    pub fn has_effect_of(&self, other: &Self) -> bool {
        let Content { id: _, select, condition, group, unit, deadband, on_delay_ms, off_delay_ms, .. } =
            &self.content;
        let Content { select: other_select, condition: other_condition, .. } = &other.content;
        let delays = [*on_delay_ms, *off_delay_ms];
        select == other_select
            && condition == other_condition
            && (*group, *deadband) == (other.quorum(), other.deadband())
            && unit.as_deref() == other.unit()
            && delays == [other.on_delay_ms(), other.off_delay_ms()]
    }

    /// The window that it looks at.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// What a measure of a window is multiplied with: a rate is written per minute or the like.
    pub(crate) fn per(&self) -> f64 {
        match &self.content.condition {
            Condition::Rate(rate) => rate.per_ms as f64,
            _ => 1.0,
        }
    }

    /// The message's template, as written.
    pub fn message_text(&self) -> Option<&str> {
        self.message().map(Template::source)
    }

    pub(crate) fn message(&self) -> Option<&Template> {
        self.content.message.as_ref()
    }
}

/// What was not there in earlier versions is digested only where it is used, so that a rule keeps its revision, and its
/// events their ids.
fn revision_of(content: &Content) -> Revision {
    let Content { id, select, condition, group, unit, .. } = content;
    let digest = select.digested(Digest::new("rule").text(id.as_str())).text(condition.kind().name());
    let digest = match condition {
        Condition::Above(limit) | Condition::Below(limit) => digest.float(*limit).float(*limit),
        Condition::Outside(low, high) | Condition::Inside(low, high) => digest.float(*low).float(*high),
        Condition::Equals(values) | Condition::NotEquals(values) => {
            values.iter().fold(digest.number(values.len() as u64), |digest, value| digest.float(*value))
        }
        Condition::Rate(Rate { above, below, per_ms, over_ms }) => {
            optional(optional(digest, *below), *above).number(*per_ms).number(*over_ms)
        }
        Condition::Deviation(Deviation { low, high, over_ms }) => {
            digest.float(*low).float(*high).number(*over_ms)
        }
        Condition::Stale(Stale { after, interval_ms }) => {
            digest.float(*after).number(u64::from(interval_ms.is_some())).number(interval_ms.unwrap_or(0))
        }
    };
    let mut digest = digest
        .number(u64::from(unit.is_some()))
        .text(unit.as_deref().unwrap_or_default())
        .float(content.deadband)
        .number(content.on_delay_ms)
        .number(content.off_delay_ms)
        .text(content.priority.name())
        .text(content.message.as_ref().map_or("", Template::source));
    digest = match group {
        None => digest,
        Some(Quorum::Count(count)) => digest.text("count").number(u64::from(*count)),
        Some(Quorum::Fraction(fraction)) => digest.text("fraction").float(*fraction),
    };
    if content.latching {
        digest = digest.text("latching");
    }
    if let Some(quiet) = &content.quiet_hours {
        digest = digest.text("quiet").number(u64::from(quiet.from_minute)).number(u64::from(quiet.to_minute));
        digest = quiet.days.iter().fold(digest, |digest, day| digest.text(day.name())).text(&quiet.zone);
    }
    Revision(digest.finish() as u64)
}

fn optional(digest: Digest, value: Option<f64>) -> Digest {
    digest.number(u64::from(value.is_some())).float(value.unwrap_or_default())
}
