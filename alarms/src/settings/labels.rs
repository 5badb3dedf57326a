//! `[[labels]]`: what the file says of channels beyond their names.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};

use super::{
    LabelsSettings, MAX_LABELS, MAX_RULE_ID, MAX_TEXT,
    problem::{RuleError, RuleProblem, Section},
    validate::{Notes, slug_character},
};
use crate::select::GivenLabel;

/// In the order of the file.
#[derive(Debug, Default)]
pub(super) struct GivenLabels {
    all: Vec<GivenLabel>,
    /// Those of entries with something wrong in them too, so that rules are not blamed for it.
    keys: BTreeSet<String>,
    /// What was asked for, by the labels.
    asked: BTreeMap<Vec<String>, Arc<[GivenLabel]>>,
}

impl GivenLabels {
    pub fn validate(settings: Vec<LabelsSettings>, found: &mut Vec<RuleError>) -> Self {
        let mut given = Self::default();
        for (index, entry) in settings.into_iter().enumerate() {
            let mut notes = Notes { section: Section::Labels, index, id: "", found: Vec::new() };
            if index >= MAX_LABELS {
                notes.add("set", RuleProblem::TooManyLabels);
                found.append(&mut notes.found);
                break;
            }
            given.add(entry, &mut notes);
            found.append(&mut notes.found);
        }
        given
    }

    fn add(&mut self, entry: LabelsSettings, notes: &mut Notes<'_>) {
        if !entry.select.labels.is_empty() {
            notes.add("select.labels", RuleProblem::LabelsByLabels);
        }
        if entry.set.is_empty() {
            notes.add("set", RuleProblem::NoLabels);
        }
        let to = entry.select.names(notes);
        for (key, value) in entry.set {
            let path = format!("set.{key}");
            if key.is_empty() || key.len() > MAX_RULE_ID || !key.chars().all(slug_character) {
                notes.add("set", RuleProblem::LabelKey(key));
                continue;
            }
            if value.is_empty() {
                notes.add(path, RuleProblem::EmptyLabel);
            } else if value.len() > MAX_TEXT {
                notes.add(path, RuleProblem::TooLong);
            } else if let Some(to) = &to {
                self.all.push(GivenLabel { to: to.clone(), key: key.clone(), value });
            }
            self.keys.insert(key);
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Who has any of these labels. Many rules may ask for the same ones of many.
    pub fn of(&mut self, keys: Vec<String>) -> Arc<[GivenLabel]> {
        if let Some(known) = self.asked.get(&keys) {
            return Arc::clone(known);
        }
        let given = self.all.iter().filter(|given| keys.contains(&given.key));
        let given: Arc<[GivenLabel]> = given.cloned().collect();
        self.asked.insert(keys, Arc::clone(&given));
        given
    }
}
