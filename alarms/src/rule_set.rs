//! All rules of a site's cloud or gateway, and which of them watch a channel.

use alloc::{string::String, sync::Arc, vec::Vec};

use tidegate_protocol::{ChannelName, DeviceId, SiteId, unit};

use crate::rule::{Rule, RuleId};

/// Rules in the order of their file. Immutable: a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
}

/// What watches one channel. Look this up once per (site, device, channel, unit) and keep it: it costs a glob per
/// rule, while a reading costs a comparison.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    pub rules: Vec<Arc<Rule>>,
    /// Rules that select the channel by name but ask for another unit. They do not watch it; say so to the user.
    pub other_unit: Vec<Arc<Rule>>,
}

impl RuleSet {
    pub(crate) fn new(rules: Vec<Arc<Rule>>) -> Self {
        Self { rules }
    }

    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.id().as_str() == id)
    }

    pub fn matching(&self, site: SiteId, device: DeviceId, channel: ChannelName, unit: &str) -> Matching {
        let mut matching = Matching::default();
        for rule in self.rules.iter().filter(|rule| rule.selector().selects(site, device, channel)) {
            let fits = rule.unit().is_none_or(|wanted| wanted == unit);
            let list = if fits { &mut matching.rules } else { &mut matching.other_unit };
            list.push(Arc::clone(rule));
        }
        matching
    }

    /// Rules that ask for a unit which SenML does not know. They work, but only for channels with that very unit.
    pub fn unknown_units(&self) -> impl Iterator<Item = (&RuleId, &str)> {
        self.rules.iter().filter_map(|rule| {
            let unit = rule.unit().filter(|unit| !unit::is_known(unit))?;
            Some((rule.id(), unit))
        })
    }
}

/// The same rules with the same content, whatever their order in the file.
impl PartialEq for RuleSet {
    fn eq(&self, other: &Self) -> bool {
        let revisions = |set: &Self| {
            let mut all: Vec<(String, u64)> =
                set.rules.iter().map(|rule| (rule.id().clone().into(), rule.revision().0)).collect();
            all.sort();
            all
        };
        revisions(self) == revisions(other)
    }
}
