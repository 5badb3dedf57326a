//! What an alarm's device names.

use serde::{Deserialize, Serialize};

use crate::rule::{Rule, RuleKind};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// A device, one of whose channels was judged by its readings. Events of before said nothing of it.
    #[default]
    Channel,
    /// A device, one of whose channels says nothing.
    Stale,
    /// None: many devices of the site.
    Group,
    /// A gateway that is gone.
    Gateway,
    /// What is wrong with the system itself: an identity that is used twice, a certificate that ends.
    System,
}

impl AlarmKind {
    pub const ALL: [Self; 5] = [Self::Channel, Self::Stale, Self::Group, Self::Gateway, Self::System];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Stale => "stale",
            Self::Group => "group",
            Self::Gateway => "gateway",
            Self::System => "system",
        }
    }
}

impl From<&Rule> for AlarmKind {
    fn from(rule: &Rule) -> Self {
        match rule.rule_kind() {
            RuleKind::Channel => Self::Channel,
            RuleKind::Stale => Self::Stale,
            RuleKind::Group => Self::Group,
        }
    }
}
