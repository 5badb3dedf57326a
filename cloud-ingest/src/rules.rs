//! The rules, as the API takes and shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_alarms::{
    Priority, RevisedRule, Revision, Rule, RuleId, RuleKind, RuleSet, book::Changes, quiet_hours::QuietHours,
};

use crate::{core::rulebook::RulesOperation, delivery::quiet_hours::Nights};

/// What the rules are to be.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesRequest {
    pub rules: RuleSet,
    pub operator: String,
    pub reason: String,
    /// Only if the present edition is one of these.
    pub expected: Option<Vec<u64>>,
    /// It is only said what would change.
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RulesView {
    /// Each change counts it up.
    pub edition: u64,
    /// `file`: they are changed there. `api`: here.
    pub owner: &'static str,
    /// In the order of their ids, retired ones too.
    pub rules: Vec<RuleView>,
}

/// A rule through time. Kind, priority and condition are those that are in force; of an announced rule those that will be
/// first, of a retired one those that were last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleView {
    pub id: RuleId,
    /// `in-force`, `announced` or `retired`
    pub state: &'static str,
    pub kind: RuleKind,
    pub priority: Priority,
    pub condition: String,
    /// In the order of their time.
    pub revisions: Vec<RevisionView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RevisionView {
    /// By the readings' own time; none: before every time.
    pub effective_from_unix_ms: Option<i64>,
    /// That time was written, and is not that of a change.
    pub dated: bool,
    /// None where the rule says nothing more.
    pub revision: Option<Revision>,
    pub says: Option<SaysView>,
}

/// As a rules file would have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SaysView {
    pub kind: RuleKind,
    pub priority: Priority,
    pub condition: String,
    pub group: Option<String>,
    pub select: SelectView,
    pub unit: Option<String>,
    pub deadband: f64,
    pub on_delay_ms: u64,
    pub off_delay_ms: u64,
    pub latching: bool,
    pub quiet_hours: Option<QuietHoursView>,
    pub message: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelectView {
    pub site: String,
    pub device: String,
    pub channel: String,
    pub tag: String,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuietHoursView {
    pub from: String,
    pub to: String,
    pub days: Vec<&'static str>,
    pub zone: String,
}

/// What an order changed, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RulesChangeView {
    /// Nothing was changed.
    pub dry_run: bool,
    /// The present one.
    pub edition: u64,
    pub added: Vec<RuleId>,
    pub changed: Vec<RuleId>,
    pub retired: Vec<RuleId>,
    /// What is allowed and hardly meant.
    pub warnings: Vec<String>,
}

/// Newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RulesLogView {
    pub log: Vec<RulesOperation>,
}

impl RuleView {
    /// None of a rule that never said anything.
    pub fn new(rule: &RevisedRule, now_unix_ms: i64) -> Option<Self> {
        // A change that was made is none to come, though its time may be ahead of the clock: two within a millisecond are
        // put one behind the other, and so is one after the clock was set back.
        let made = rule.revisions().iter().filter(|known| !known.is_dated);
        let now_unix_ms = made.filter_map(|known| known.from.unix_ms()).fold(now_unix_ms, i64::max);
        let says = || rule.revisions().iter().filter_map(|known| Some((known.from, known.rule.as_ref()?)));
        let announced = || says().find(|(from, _)| !from.is_by(now_unix_ms)).map(|(_, rule)| rule);
        let (state, shown) = match (rule.at(Some(now_unix_ms)), announced()) {
            (Some(rule), _) => ("in-force", rule),
            (None, Some(rule)) => ("announced", rule),
            (None, None) => ("retired", says().next_back()?.1),
        };
        let revisions = rule.revisions().iter().map(|known| RevisionView {
            effective_from_unix_ms: known.from.unix_ms(),
            dated: known.is_dated,
            revision: known.rule.as_ref().map(|rule| rule.revision()),
            says: known.rule.as_deref().map(SaysView::from),
        });
        Some(Self {
            id: rule.id().clone(),
            state,
            kind: shown.rule_kind(),
            priority: shown.priority(),
            condition: shown.condition().to_string(),
            revisions: revisions.collect(),
        })
    }
}

impl From<&Rule> for SaysView {
    fn from(rule: &Rule) -> Self {
        let names = &rule.selector().names;
        let labels = rule.selector().labels.iter();
        Self {
            kind: rule.rule_kind(),
            priority: rule.priority(),
            condition: rule.condition().to_string(),
            group: rule.quorum().map(|quorum| quorum.to_string()),
            select: SelectView {
                site: names.site.as_str().to_owned(),
                device: names.device.as_str().to_owned(),
                channel: names.channel.as_str().to_owned(),
                tag: names.tag.as_str().to_owned(),
                labels: labels.map(|label| (label.key.clone(), label.value.as_str().to_owned())).collect(),
            },
            unit: rule.unit().map(str::to_owned),
            deadband: rule.deadband(),
            on_delay_ms: rule.on_delay_ms(),
            off_delay_ms: rule.off_delay_ms(),
            latching: rule.is_latching(),
            quiet_hours: rule.quiet_hours().map(QuietHoursView::from),
            message: rule.message_text().map(str::to_owned),
        }
    }
}

impl From<&QuietHours> for QuietHoursView {
    fn from(quiet: &QuietHours) -> Self {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        Self {
            from: time(quiet.from_minute),
            to: time(quiet.to_minute),
            days: quiet.days.iter().map(|day| day.name()).collect(),
            zone: quiet.zone.clone(),
        }
    }
}

impl RulesChangeView {
    pub fn new(changes: Changes, edition: u64, request: &RulesRequest) -> Self {
        let Changes { added, changed, retired } = changes;
        Self {
            dry_run: request.dry_run,
            edition,
            added,
            changed,
            retired,
            warnings: warnings(&request.rules),
        }
    }
}

/// In words, each with the rule that it is about.
pub fn warnings(rules: &RuleSet) -> Vec<String> {
    let told = rules.warnings().into_iter().filter_map(|warning| {
        let (_, rule) = rules.written().get(warning.index)?;
        Some(format!("rule \"{}\": {}: {}", rule.id(), warning.key, warning.what))
    });
    let unknown_zones = rules.written().iter().filter_map(|(_, rule)| {
        let hours = rule.quiet_hours().filter(|hours| Nights::new((*hours).clone()).is_none())?;
        let (id, zone) = (rule.id(), &hours.zone);
        Some(format!(
            "rule \"{id}\": quiet_hours.zone: no time zone \"{zone}\" is known; nothing is withheld"
        ))
    });
    told.chain(unknown_zones).collect()
}
