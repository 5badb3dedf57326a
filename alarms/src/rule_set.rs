//! All rules of a site's cloud or gateway, and which of them watch a channel.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use tidegate_protocol::{ChannelName, DeviceId, SiteId, unit};

use crate::{
    revised::EffectiveFrom,
    rule::{Rule, RuleId, RuleKind},
};

/// Rules in the order of their file. Immutable: a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Of each rule, the newest revision.
    rules: Vec<Arc<Rule>>,
    /// All revisions.
    written: Vec<(EffectiveFrom, Arc<Rule>)>,
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
    pub(crate) fn new(written: Vec<(EffectiveFrom, Arc<Rule>)>) -> Self {
        let mut newest: BTreeMap<&RuleId, EffectiveFrom> = BTreeMap::new();
        for (from, rule) in &written {
            let known = newest.entry(rule.id()).or_insert(*from);
            *known = (*known).max(*from);
        }
        let is_newest = |(from, rule): &&(EffectiveFrom, Arc<Rule>)| newest.get(rule.id()) == Some(from);
        let rules = written.iter().filter(is_newest).map(|(_, rule)| Arc::clone(rule)).collect();
        Self { rules, written }
    }

    /// Of each rule the newest revision, whether it is in force yet or not: for those who know no time.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// All revisions of all rules, in the order of the file.
    pub fn written(&self) -> &[(EffectiveFrom, Arc<Rule>)] {
        &self.written
    }

    pub(crate) fn by_id(&self) -> BTreeMap<&RuleId, Vec<(EffectiveFrom, Arc<Rule>)>> {
        let mut by_id: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (from, rule) in &self.written {
            by_id.entry(rule.id()).or_default().push((*from, Arc::clone(rule)));
        }
        by_id
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.id().as_str() == id)
    }

    /// The rules whose alarms are on this channel, reading by reading. `tag` is the device's free text.
    pub fn matching(
        &self,
        site: SiteId,
        device: DeviceId,
        channel: ChannelName,
        unit: &str,
        tag: &str,
    ) -> Matching {
        let mut matching = Matching::default();
        let rules = self.rules.iter().filter(|rule| rule.rule_kind() == RuleKind::Channel);
        for rule in rules.filter(|rule| rule.selector().selects(site, device, channel, tag)) {
            let list = if rule.takes_unit(unit) { &mut matching.rules } else { &mut matching.other_unit };
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
            let revisions =
                set.written.iter().map(|(from, rule)| (rule.id().clone(), *from, rule.revision()));
            revisions.collect::<BTreeSet<_>>()
        };
        revisions(self) == revisions(other)
    }
}
