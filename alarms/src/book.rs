//! All revisions of all rules. A reading is judged by the revision in force at its own time, whenever it arrives; so a
//! changed rules file changes what comes, and not what was.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

use crate::{
    revised::{EffectiveFrom, Revised, RevisedRule},
    rule::{Rule, RuleId},
    rule_set::RuleSet,
};

/// Grows with every change of a rule, and never forgets one that was in force. Equal books say the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleBook {
    rules: BTreeMap<RuleId, Arc<RevisedRule>>,
}

/// What a merge did, by the rules' ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<RuleId>,
    pub changed: Vec<RuleId>,
    pub retired: Vec<RuleId>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.retired.is_empty()
    }
}

impl RuleBook {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// In the order of their ids.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<RevisedRule>> {
        self.rules.values()
    }

    pub fn get(&self, id: &RuleId) -> Option<&Arc<RevisedRule>> {
        self.rules.get(id)
    }

    /// Puts rules as they were kept.
    pub fn restore(rules: impl IntoIterator<Item = RevisedRule>) -> Self {
        Self { rules: rules.into_iter().map(|rule| (rule.id().clone(), Arc::new(rule))).collect() }
    }

    /// Those that another book has not, or has otherwise.
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Arc<RevisedRule>> {
        self.rules().filter(|rule| before.get(rule.id()) != Some(rule))
    }

    /// The rules of which any revision watches this channel, of every kind, in the order of their ids. `tag` is the
    /// device's free text. Look this up once per channel and keep it.
    pub fn matching(
        &self,
        site: SiteId,
        device: DeviceId,
        channel: ChannelName,
        unit: &str,
        tag: &str,
    ) -> Vec<Arc<RevisedRule>> {
        self.rules.values().filter_map(|rule| rule.watching(site, device, channel, unit, tag)).collect()
    }

    /// Takes over what a rules file says, from `now_unix_ms` on:
    ///
    /// - a revision with a time of its own is in force from that time, which may be past or to come;
    /// - a rule without one is in force from now if what it says is new, and for all time where the book is empty;
    /// - a rule that the file has no more is retired from now;
    /// - what is announced for a time to come and not in the file any more is withdrawn.
    ///
    /// In the end, what the file says for now is in force now. Merging the same file again changes nothing. A clock that
    /// went back makes no difference to the order: nothing is put before what an earlier merge put.
    pub fn merge(&mut self, file: &RuleSet, now_unix_ms: i64) -> Changes {
        let mut changes = Changes::default();
        let is_first = self.is_empty();
        let gone: Vec<RuleId> =
            self.rules.keys().filter(|id| file.get(id.as_str()).is_none()).cloned().collect();
        for id in gone {
            if self.change(&id, &[], now_unix_ms, is_first) {
                changes.retired.push(id);
            }
        }
        for (id, written) in file.by_id() {
            let is_new = !self.rules.contains_key(id);
            if self.change(id, &written, now_unix_ms, is_first) {
                let list = if is_new { &mut changes.added } else { &mut changes.changed };
                list.push(id.clone());
            }
        }
        changes
    }

    /// Makes a rule say what is written; says whether anything is different now.
    fn change(
        &mut self,
        id: &RuleId,
        written: &[(EffectiveFrom, Arc<Rule>)],
        now: i64,
        is_first: bool,
    ) -> bool {
        let before = self.rules.get(id);
        let mut revised = before.map_or_else(|| RevisedRule::new(id.clone()), |rule| (**rule).clone());
        let is_written = |from| written.iter().any(|(written, _)| *written == from);
        let merges = revised.revisions().iter().filter(|known| !known.is_dated);
        let newest_merge = merges.filter_map(|known| known.from.unix_ms()).max();
        // A clock that went back would put a change before an older one, or in its place.
        let now = newest_merge.map_or(now, |newest| now.max(newest.saturating_add(1)));

        revised.retain(|known| !known.is_dated || known.from.is_by(now) || is_written(known.from));
        for (from, rule) in written {
            if *from != EffectiveFrom::Always {
                revised.put(Revised { from: *from, rule: Some(Arc::clone(rule)), is_dated: true });
            } else if is_first {
                revised.put(Revised { from: *from, rule: Some(Arc::clone(rule)), is_dated: false });
            }
        }
        let due = written.iter().filter(|(from, _)| from.is_by(now)).max_by_key(|(from, _)| *from);
        let due = due.map(|(_, rule)| rule);
        if revised.at(Some(now)) != due {
            let from = EffectiveFrom::UnixMs(now);
            revised.put(Revised { from, rule: due.cloned(), is_dated: false });
        }
        if revised.revisions().is_empty() {
            return self.rules.remove(id).is_some();
        }
        let is_different = self.rules.get(id).is_none_or(|before| **before != revised);
        if is_different {
            self.rules.insert(id.clone(), Arc::new(revised));
        }
        is_different
    }
}

/// Rules that are in force at all times, but for what is dated.
impl From<RuleSet> for RuleBook {
    fn from(rules: RuleSet) -> Self {
        let mut book = Self::default();
        book.merge(&rules, i64::MAX);
        book
    }
}
