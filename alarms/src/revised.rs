//! One rule through time: its revisions, each from a moment on.

use alloc::{sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

use crate::{
    digest::Revision,
    rule::{Rule, RuleId},
    settings::{MAX_RULE_ID, slug_character},
};

/// From when on a rule says what it says, by the readings' own wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectiveFrom {
    /// Before every time.
    Always,
    UnixMs(i64),
}

impl EffectiveFrom {
    pub fn unix_ms(self) -> Option<i64> {
        match self {
            Self::Always => None,
            Self::UnixMs(unix_ms) => Some(unix_ms),
        }
    }

    pub fn is_by(self, unix_ms: i64) -> bool {
        self <= Self::UnixMs(unix_ms)
    }
}

/// What a rule says from a moment on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revised {
    pub from: EffectiveFrom,
    /// `None`: it says nothing more.
    pub rule: Option<Arc<Rule>>,
    /// The moment was written in a file, not that of a merge.
    pub is_dated: bool,
}

/// All revisions of one rule, in the order of their time, no two from the same moment; not empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisedRule {
    id: RuleId,
    revisions: Vec<Revised>,
}

impl RevisedRule {
    pub(crate) fn new(id: RuleId) -> Self {
        Self { id, revisions: Vec::new() }
    }

    pub fn id(&self) -> &RuleId {
        &self.id
    }

    pub fn revisions(&self) -> &[Revised] {
        &self.revisions
    }

    /// What is in force at this time; where none is known, the newest. Nothing before the first and after it is retired.
    pub fn at(&self, unix_ms: Option<i64>) -> Option<&Arc<Rule>> {
        let revised = match unix_ms {
            None => self.revisions.last(),
            Some(_) if self.revisions.len() == 1 && self.begins_always() => self.revisions.first(),
            Some(unix_ms) => {
                let end = self.revisions.partition_point(|revised| revised.from.is_by(unix_ms));
                end.checked_sub(1).and_then(|last| self.revisions.get(last))
            }
        };
        revised?.rule.as_ref()
    }

    /// The times from which on something else is in force, ascending.
    pub fn boundaries(&self) -> impl Iterator<Item = i64> {
        self.revisions.iter().filter_map(|revised| revised.from.unix_ms())
    }

    /// From which moment on another says something else.
    pub fn differs_from(&self, other: &Self) -> Option<EffectiveFrom> {
        let mut moments: Vec<EffectiveFrom> =
            [self, other].iter().flat_map(|rule| rule.revisions.iter().map(|revised| revised.from)).collect();
        moments.sort_unstable();
        let said = |rule: &Self, from: EffectiveFrom| {
            let end = rule.revisions.partition_point(|revised| revised.from <= from);
            let last = end.checked_sub(1).and_then(|last| rule.revisions.get(last));
            last.and_then(|revised| revised.rule.as_ref()).map(|rule| rule.revision())
        };
        moments.into_iter().find(|from| said(self, *from) != said(other, *from))
    }

    /// The revision of that name.
    pub fn revision(&self, revision: Revision) -> Option<&Arc<Rule>> {
        self.revisions
            .iter()
            .filter_map(|revised| revised.rule.as_ref())
            .find(|rule| rule.revision() == revision)
    }

    /// What it says last, or said before it was retired.
    pub fn newest(&self) -> Option<&Arc<Rule>> {
        self.revisions.iter().rev().find_map(|revised| revised.rule.as_ref())
    }

    /// What says the same at all times.
    pub fn constant(&self) -> Option<&Arc<Rule>> {
        match self.revisions.as_slice() {
            [only] if only.from == EffectiveFrom::Always => only.rule.as_ref(),
            _ => None,
        }
    }

    /// The same with those revisions only that watch this channel, and nothing in force where another is; `None` if none
    /// does.
    pub(crate) fn watching(
        self: &Arc<Self>,
        site: SiteId,
        device: DeviceId,
        channel: ChannelName,
        unit: &str,
        tag: &str,
    ) -> Option<Arc<Self>> {
        let watches =
            |rule: &Arc<Rule>| rule.takes_unit(unit) && rule.selector().selects(site, device, channel, tag);
        let rules = || self.revisions.iter().filter_map(|revised| revised.rule.as_ref());
        let (watching, all) = (rules().filter(|rule| watches(rule)).count(), rules().count());
        if watching == 0 {
            return None;
        }
        if watching == all {
            return Some(Arc::clone(self));
        }
        let only = |revised: &Revised| Revised {
            rule: revised.rule.as_ref().filter(|rule| watches(rule)).cloned(),
            ..revised.clone()
        };
        Some(Arc::new(Self { id: self.id.clone(), revisions: self.revisions.iter().map(only).collect() }))
    }

    /// Its newest revisions, and nothing in force where another is than asked for; `None` if none is.
    pub(crate) fn newest_few(&self, most: usize, is_asked: impl Fn(&Rule) -> bool) -> Option<Self> {
        let newest = self.revisions.get(self.revisions.len().saturating_sub(most)..)?;
        let only = |revised: &Revised| Revised {
            rule: revised.rule.as_ref().filter(|rule| is_asked(rule)).cloned(),
            ..revised.clone()
        };
        let revisions: Vec<_> = newest.iter().map(only).collect();
        let any = revisions.iter().any(|revised| revised.rule.is_some());
        any.then(|| Self { id: self.id.clone(), revisions })
    }

    /// What holds of every rule that was made here, and need not of one that was read.
    pub(crate) fn is_sound(&self, most: usize) -> bool {
        let ascends = self.revisions.is_sorted_by(|one, next| one.from < next.from);
        let is_of_id = |rule: &Arc<Rule>| *rule.id() == self.id;
        let id = self.id.as_str();
        ascends
            && (1..=most).contains(&self.revisions.len())
            && (1..=MAX_RULE_ID).contains(&id.len())
            && id.chars().all(slug_character)
            && self.revisions.iter().filter_map(|revised| revised.rule.as_ref()).all(is_of_id)
    }

    /// Puts a revision in its place; one of the same moment goes.
    pub(crate) fn put(&mut self, revised: Revised) {
        let at = self.revisions.partition_point(|known| known.from < revised.from);
        match self.revisions.get_mut(at).filter(|known| known.from == revised.from) {
            Some(known) => *known = revised,
            None => self.revisions.insert(at, revised),
        }
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Revised) -> bool) {
        self.revisions.retain(keep);
    }

    fn begins_always(&self) -> bool {
        self.revisions.first().is_some_and(|first| first.from == EffectiveFrom::Always)
    }
}
