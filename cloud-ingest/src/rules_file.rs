//! The rules file of those who have one: it owns the rules. Read at the start, and again when somebody asks for it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_alarms::{RuleErrors, RuleId, RuleSet, RulesSettings, book::Changes};
use tidegate_service::{SettingsError, settings};

use crate::{
    core::rulebook::{RulesDone, RulesOrder},
    orders::{OrderError, Orders},
    rules::warnings,
};

/// Who changes the rules where the file does; for the log.
const OPERATOR: &str = "rules file";

#[derive(Clone, Debug)]
pub struct RulesFile {
    path: PathBuf,
    /// That names it.
    settings_file: PathBuf,
}

#[derive(Debug)]
pub enum WrongRules {
    Unreadable(SettingsError),
    Wrong { path: PathBuf, errors: RuleErrors },
}

impl RulesFile {
    pub fn new(path: PathBuf, settings_file: &Path) -> Self {
        Self { path, settings_file: settings_file.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks it as a whole.
    pub fn read(&self) -> Result<RuleSet, WrongRules> {
        let raw: RulesSettings =
            settings::load_named(&self.settings_file, "rules", &self.path).map_err(WrongRules::Unreadable)?;
        RuleSet::from_settings(raw).map_err(|errors| WrongRules::Wrong { path: self.path.clone(), errors })
    }

    /// Has the core take over what the file says now; a wrong one changes nothing. Blocks until that is committed.
    pub fn reload(&self, orders: &Arc<Orders>) {
        let file = self.path.display();
        let rules = match self.read() {
            Ok(rules) => rules,
            Err(wrong) => {
                let problems = wrong.each();
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!(%file, problems = problems.len(), "the rules file is wrong; the rules stay as they are");
                return;
            }
        };
        for warning in warnings(&rules) {
            tracing::warn!(%file, "{warning}");
        }
        let order = RulesOrder {
            rules,
            operator: OPERATOR.to_owned(),
            reason: file.to_string(),
            expected: None,
            unix_ms: 0,
        };
        match orders.change_rules(order) {
            Ok(RulesDone::Done { changes, edition }) if changes.is_empty() => {
                tracing::info!(%file, edition, "the rules file was read again; it says what it said");
            }
            Ok(RulesDone::Done { changes: Changes { added, changed, retired }, edition }) => {
                let [added, changed, retired] = [added, changed, retired].map(|ids| listed(&ids));
                tracing::info!(%file, edition, added, changed, retired, "the rules file was read again");
            }
            // It names no edition, and a failure to commit is an error.
            Ok(RulesDone::Changed { .. } | RulesDone::NotCommitted) => {
                not_taken(&file, OrderError::NotCommitted)
            }
            Err(error) => not_taken(&file, error),
        }
    }
}

fn not_taken(file: &std::path::Display<'_>, error: OrderError) {
    tracing::error!(%file, %error, "the rules file was not taken over; have it read again");
}

fn listed(ids: &[RuleId]) -> String {
    ids.iter().map(RuleId::as_str).collect::<Vec<_>>().join(", ")
}

impl WrongRules {
    /// The first problem, for whoever takes only one.
    pub fn first(self) -> SettingsError {
        match self {
            Self::Unreadable(error) => error,
            Self::Wrong { path, errors } => {
                let error = errors.first();
                let more = match errors.more() {
                    0 => String::new(),
                    more => format!(" (and {more} more, which `tidegate rules check` lists)"),
                };
                let problem = format!("rule \"{}\": {}{more}", error.id, error.problem);
                SettingsError::invalid(&path, &error.key_path(), problem, error.problem.remedy())
            }
        }
    }

    /// All that is wrong, in the order of the file.
    pub fn each(self) -> Vec<SettingsError> {
        match self {
            Self::Unreadable(error) => vec![error],
            Self::Wrong { path, errors } => {
                let each = errors.iter().map(|error| {
                    SettingsError::invalid(&path, &error.key_path(), &error.problem, error.problem.remedy())
                });
                each.collect()
            }
        }
    }
}
