//! What rules would have raised. Alarms go on over boots, as live alarms do; each reading is judged by the revision of
//! its own time.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_alarms::{
    Condition, ConditionKind, Priority, RevisedRule, Rule, RuleBook, RuleId, RuleKind, State, TransitionKind,
    settings::duration_text, step::Point,
};
use tidegate_protocol::SiteId;

use super::{
    group::{self, Member},
    series::{Sample, Series},
    stale,
};

/// An episode of one alarm.
#[derive(Clone, Debug)]
pub struct Occurrence {
    pub rule: RuleId,
    pub priority: Priority,
    pub site: SiteId,
    /// Empty for a group.
    pub device: String,
    pub channel: String,
    /// On the line of time of [`Sample::moment`].
    pub onset: i64,
    pub raised: i64,
    /// `None`: the readings end before it does.
    pub cleared: Option<i64>,
    pub peak: f64,
    /// The peak as people read it.
    pub peak_text: String,
}

impl Occurrence {
    /// Up to where it is known to last, from its onset.
    pub fn lasted_ms(&self, end: i64) -> u64 {
        u64::try_from(self.cleared.unwrap_or(end).saturating_sub(self.onset)).unwrap_or(0)
    }
}

#[derive(Debug, Default)]
pub struct Tried {
    /// By onset.
    pub occurrences: Vec<Occurrence>,
    /// How many of the series each rule watches.
    pub watched: BTreeMap<RuleId, usize>,
    pub readings: u64,
    /// The last moment of any series.
    pub end: i64,
}

pub fn run(book: &RuleBook, series: &[Series]) -> Tried {
    let mut tried = Tried { end: i64::MIN, ..Tried::default() };
    for rule in book.rules() {
        tried.watched.insert(rule.id().clone(), 0);
    }
    let mut members: BTreeMap<(RuleId, SiteId), Vec<Member>> = BTreeMap::new();
    for series in series {
        tried.readings += series.samples.len() as u64;
        series.samples.for_each(|sample| tried.end = tried.end.max(sample.moment()));
        for rule in watching(book, series) {
            *tried.watched.entry(rule.id().clone()).or_default() += 1;
            match rule.at(None).map(|newest| newest.rule_kind()) {
                Some(RuleKind::Stale) => tried.occurrences.extend(stale::run(&rule, series)),
                Some(RuleKind::Group) => {
                    let occurrences = step(&rule, series);
                    let member = Member { device: series.device, occurrences };
                    members.entry((rule.id().clone(), series.site)).or_default().push(member);
                }
                _ => tried.occurrences.extend(step(&rule, series)),
            }
        }
    }
    for ((id, site), members) in members {
        if let Some(rule) = book.get(&id).and_then(|rule| rule.at(None)) {
            tried.occurrences.extend(group::run(rule, site, &members));
        }
    }
    tried.occurrences.sort_by(|a, b| (a.onset, &a.rule).cmp(&(b.onset, &b.rule)));
    tried
}

/// The rules that concern a series.
fn watching(book: &RuleBook, series: &Series) -> Vec<Arc<RevisedRule>> {
    if series.is_anybodys {
        return book.rules().cloned().collect();
    }
    book.matching(series.site, series.device, series.channel, &series.unit, &series.tag)
}

fn step(revised: &RevisedRule, series: &Series) -> Vec<Occurrence> {
    let mut found: Vec<Occurrence> = Vec::new();
    let mut state = State::default();
    let mut before: Option<&Arc<Rule>> = None;
    series.samples.for_each(|sample| {
        let rule = revised.at(sample.unix_ms);
        if !same(before, rule) {
            state = match rule {
                Some(rule) => rule.adopt(std::mem::take(&mut state)),
                None => {
                    // Retired: what was raised ends here.
                    if let Some(open) = found.last_mut().filter(|open| open.cleared.is_none()) {
                        open.cleared = Some(sample.moment());
                    }
                    State::default()
                }
            };
            before = rule;
        }
        let Some(rule) = rule else { return };
        let Some(transition) = rule.step(&mut state, &sample.at) else { return };
        if transition.kind == TransitionKind::Raise {
            let (onset, peak) = (moment_of(transition.onset, sample), transition.raised.peak.value);
            found.push(occurrence(rule, series, onset, sample.moment(), peak));
        } else if let Some(open) = found.last_mut() {
            let peak = transition.raised.peak.value;
            (open.cleared, open.peak) = (Some(sample.moment()), peak);
            open.peak_text = peak_text(rule, peak, &series.unit);
        }
    });
    if let (Some(raised), Some(open), Some(rule)) = (state.raised(), found.last_mut(), before) {
        open.peak = raised.peak.value;
        open.peak_text = peak_text(rule, raised.peak.value, &series.unit);
    }
    found
}

fn same(a: Option<&Arc<Rule>>, b: Option<&Arc<Rule>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// An earlier reading's moment, by the time and tick of a later one.
fn moment_of(point: Point, sample: &Sample) -> i64 {
    let later = if point.boot == sample.at.boot { sample.at.tick.0.saturating_sub(point.tick.0) } else { 0 };
    sample.moment().saturating_sub_unsigned(later)
}

pub fn occurrence(rule: &Rule, series: &Series, onset: i64, raised: i64, peak: f64) -> Occurrence {
    Occurrence {
        rule: rule.id().clone(),
        priority: rule.priority(),
        site: series.site,
        device: series.device.to_string(),
        channel: series.channel.to_string(),
        onset,
        raised,
        cleared: None,
        peak,
        peak_text: peak_text(rule, peak, &series.unit),
    }
}

fn peak_text(rule: &Rule, peak: f64, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    match (rule.kind(), rule.condition()) {
        (ConditionKind::Stale, _) => duration_text(peak as u64),
        (_, Condition::Rate(rate)) => format!("{peak:.3}{space}{unit} per {}", duration_text(rate.per_ms)),
        (ConditionKind::Deviation, _) => format!("{peak:+.3}{space}{unit}"),
        _ => format!("{}{space}{unit}", (peak * 1e6).round() / 1e6),
    }
}
