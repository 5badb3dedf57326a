//! From what is written to what is meant: all rules, with everything that is wrong with them.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, btree_map::Entry},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};

use super::{
    GroupSettings, MAX_RULE_ID, MAX_RULES, MAX_TEXT, RuleSettings, RulesSettings, SelectSettings,
    duration::duration_ms,
    labels::GivenLabels,
    problem::{RuleError, RuleErrors, RuleProblem, Section},
};
use crate::{
    condition::Condition,
    glob::Glob,
    group::Quorum,
    instant::unix_ms,
    message::Template,
    revised::EffectiveFrom,
    rule::{Content, Rule, RuleId},
    rule_set::RuleSet,
    select::{LabelPattern, Names, Selector},
};

/// Where problems of one entry are noted.
pub(super) struct Notes<'a> {
    pub section: Section,
    pub index: usize,
    pub id: &'a str,
    pub found: Vec<RuleError>,
}

impl Notes<'_> {
    pub fn add(&mut self, key: impl Into<String>, problem: RuleProblem) {
        let Self { section, index, id, .. } = *self;
        self.found.push(RuleError { section, index, id: id.to_owned(), key: key.into(), problem });
    }

    /// Notes the problem and gives nothing.
    pub fn refuse<T>(&mut self, key: impl Into<String>, problem: RuleProblem) -> Option<T> {
        self.add(key, problem);
        None
    }
}

impl RuleSet {
    /// Validates the whole file, and gives all that is wrong with it.
    pub fn from_settings(settings: RulesSettings) -> Result<Self, RuleErrors> {
        let RulesSettings { labels, rule } = settings;
        let mut found = Vec::new();
        let mut labels = GivenLabels::validate(labels, &mut found);
        let mut rules = Vec::with_capacity(rule.len().min(MAX_RULES));
        let mut places: BTreeMap<(String, EffectiveFrom), usize> = BTreeMap::new();
        for (index, raw) in rule.into_iter().enumerate() {
            let id = raw.id.clone();
            let mut notes = Notes { section: Section::Rule, index, id: &id, found: Vec::new() };
            if index >= MAX_RULES {
                notes.add("id", RuleProblem::TooMany);
                found.append(&mut notes.found);
                break;
            }
            let from = effective_from(raw.effective_from.as_deref(), &mut notes);
            if let Some(from) = from {
                match places.entry((id.clone(), from)) {
                    Entry::Vacant(place) => {
                        place.insert(index);
                    }
                    Entry::Occupied(place) if from == EffectiveFrom::Always => {
                        notes.add("id", RuleProblem::DuplicateId { first: *place.get() });
                    }
                    Entry::Occupied(place) => {
                        notes.add("effective_from", RuleProblem::DuplicateTime { first: *place.get() });
                    }
                }
            }
            let content = raw.validate(&mut labels, &mut notes);
            if let (Some(content), Some(from)) = (content, from) {
                rules.push((from, Arc::new(Rule::from(content))));
            }
            found.append(&mut notes.found);
        }
        RuleErrors::of(found).map_or_else(|| Ok(Self::new(rules)), Err)
    }
}

impl RuleSettings {
    /// What it means; nothing where that cannot be said. What it notes must be looked at in either case.
    fn validate(self, labels: &mut GivenLabels, notes: &mut Notes<'_>) -> Option<Content> {
        if self.id.is_empty() || self.id.len() > MAX_RULE_ID || !self.id.chars().all(slug_character) {
            notes.add("id", RuleProblem::Id);
        }
        let select = self.select.validate(labels, notes);
        let condition = self.condition(notes);
        if let Some(condition) = &condition {
            self.check_deadband(condition, notes);
            self.check_idle(condition, notes);
        }
        if self.unit.as_deref() == Some("") {
            notes.add("unit", RuleProblem::EmptyUnit);
        }
        let on_delay_ms = delay("on_delay", "on_delay_ms", self.on_delay.as_deref(), self.on_delay_ms, notes);
        let off_delay_ms =
            delay("off_delay", "off_delay_ms", self.off_delay.as_deref(), self.off_delay_ms, notes);
        let message = self.message.as_deref().map(Template::new).transpose();
        let message = message.unwrap_or_else(|error| notes.refuse("message", RuleProblem::Message(error)));
        if let (Some(condition), Some(message)) = (&condition, &message)
            && let Err(error) = message.suits(condition.kind(), self.group.is_some())
        {
            notes.add("message", RuleProblem::Message(error));
        }
        let group = self.group.as_ref().and_then(|group| group.validate(notes));
        let quiet_hours = self.quiet_hours.and_then(|quiet| quiet.validate(notes));
        Some(Content {
            id: RuleId::new(&self.id),
            select: select?,
            condition: condition?,
            group,
            unit: self.unit,
            deadband: self.deadband,
            on_delay_ms,
            off_delay_ms,
            priority: self.priority,
            latching: self.latching,
            quiet_hours,
            message,
        })
    }

    fn check_deadband(&self, condition: &Condition, notes: &mut Notes<'_>) {
        let deadband = self.deadband;
        if !deadband.is_finite() || deadband < 0.0 {
            return notes.add("deadband", RuleProblem::Deadband(deadband));
        }
        match condition.band(deadband) {
            None if deadband > 0.0 => {
                notes.add("deadband", RuleProblem::Idle { condition: condition.kind().name() });
            }
            Some(band) if !band.can_clear() => {
                let (low, high) = band.limits();
                notes.add("deadband", RuleProblem::NeverClears { deadband, low, high });
            }
            _ => {}
        }
    }

    /// Keys that would be silently passed over.
    fn check_idle(&self, condition: &Condition, notes: &mut Notes<'_>) {
        if !matches!(condition, Condition::Stale(_)) {
            return;
        }
        for (key, is_given) in [
            ("group", self.group.is_some()),
            ("on_delay", self.on_delay.is_some()),
            ("on_delay_ms", self.on_delay_ms.is_some()),
            ("off_delay", self.off_delay.is_some()),
            ("off_delay_ms", self.off_delay_ms.is_some()),
        ] {
            if is_given {
                notes.add(key, RuleProblem::Idle { condition: "stale" });
            }
        }
    }
}

fn effective_from(text: Option<&str>, notes: &mut Notes<'_>) -> Option<EffectiveFrom> {
    let Some(text) = text else { return Some(EffectiveFrom::Always) };
    match unix_ms(text) {
        Some(unix_ms) => Some(EffectiveFrom::UnixMs(unix_ms)),
        None => notes.refuse("effective_from", RuleProblem::Time(text.to_owned())),
    }
}

impl GroupSettings {
    fn validate(&self, notes: &mut Notes<'_>) -> Option<Quorum> {
        match (self.count, self.fraction) {
            (Some(0), None) => notes.refuse("group.count", RuleProblem::Count(0)),
            (Some(count), None) => Some(Quorum::Count(count)),
            (None, Some(fraction)) if fraction > 0.0 && fraction <= 1.0 => Some(Quorum::Fraction(fraction)),
            (None, Some(fraction)) => notes.refuse("group.fraction", RuleProblem::Fraction(fraction)),
            _ => notes.refuse("group", RuleProblem::Quorum),
        }
    }
}

impl SelectSettings {
    fn validate(&self, labels: &mut GivenLabels, notes: &mut Notes<'_>) -> Option<Selector> {
        let names = self.names(notes);
        let mut patterns = Vec::new();
        for (key, value) in &self.labels {
            let path = format!("select.labels.{key}");
            if !labels.has(key) {
                notes.add(path, RuleProblem::UnknownLabel(key.clone()));
            } else if let Some(value) = text_pattern(value, &path, notes) {
                patterns.push(LabelPattern { key: key.clone(), value });
            }
        }
        let given = labels.of(patterns.iter().map(|pattern| pattern.key.clone()).collect());
        Some(Selector { names: names?, labels: patterns, given })
    }

    pub(super) fn names(&self, notes: &mut Notes<'_>) -> Option<Names> {
        let site = pattern(&self.site, "select.site", "site", slug_character, notes);
        let device = pattern(&self.device, "select.device", "device", slug_character, notes);
        let channel = pattern(&self.channel, "select.channel", "channel", channel_character, notes);
        let tag = text_pattern(&self.tag, "select.tag", notes);
        Some(Names { site: site?, device: device?, channel: channel?, tag: tag? })
    }
}

fn pattern(
    text: &str,
    key: &'static str,
    what: &'static str,
    allowed: fn(char) -> bool,
    notes: &mut Notes<'_>,
) -> Option<Glob> {
    let glob = Glob::new(text);
    let impossible = glob.impossible(allowed);
    if impossible.is_empty() {
        return text_pattern(text, key, notes);
    }
    notes.refuse(key, RuleProblem::ImpossiblePattern { what, found: impossible.into_iter().collect() })
}

/// A pattern on free text.
fn text_pattern(text: &str, key: &str, notes: &mut Notes<'_>) -> Option<Glob> {
    if text.is_empty() {
        notes.refuse(key, RuleProblem::EmptyPattern)
    } else if text.len() > MAX_TEXT {
        notes.refuse(key, RuleProblem::TooLong)
    } else {
        Some(Glob::new(text))
    }
}

/// A length of time in milliseconds, which may not be 0.
pub(super) fn some_time(text: &str, key: &str, notes: &mut Notes<'_>) -> Option<u64> {
    match duration_ms(text) {
        Some(0) => notes.refuse(key, RuleProblem::NoTime),
        Some(ms) => Some(ms),
        None => notes.refuse(key, RuleProblem::Duration(text.to_owned())),
    }
}

fn delay(
    key: &'static str,
    key_ms: &'static str,
    text: Option<&str>,
    ms: Option<u64>,
    notes: &mut Notes<'_>,
) -> u64 {
    match (text, ms) {
        (Some(_), Some(_)) => notes.add(key_ms, RuleProblem::GivenTwice { key }),
        (None, ms) => return ms.unwrap_or(0),
        (Some(text), None) => match duration_ms(text) {
            Some(ms) => return ms,
            None => notes.add(key, RuleProblem::Duration(text.to_owned())),
        },
    }
    0
}

pub(crate) fn slug_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn channel_character(c: char) -> bool {
    slug_character(c) || c == '_' || c == '.'
}
