//! A rules file with all that is wrong with it. The parser stops at the first entry that does not fit; here such an
//! entry is taken out, line by line in its place, and the rest is read again.

use std::path::Path;

use tidegate_alarms::{RuleSet, RulesSettings, settings::RuleProblem, settings::Section};
use tidegate_service::{SettingsError, settings};

/// Something to say about a file.
#[derive(Debug)]
pub struct Note {
    pub line: Option<usize>,
    pub is_problem: bool,
    pub text: String,
}

pub struct RulesFile {
    /// If nothing is wrong.
    pub rules: Option<RuleSet>,
    /// In the order of the file.
    pub notes: Vec<Note>,
}

impl RulesFile {
    pub fn problems(&self) -> usize {
        self.notes.iter().filter(|note| note.is_problem).count()
    }

    pub fn warnings(&self) -> usize {
        self.notes.len() - self.problems()
    }
}

pub fn read(path: &Path) -> Result<RulesFile, SettingsError> {
    Ok(check(path, &settings::read(path)?))
}

/// What was read of a file.
pub fn check(path: &Path, text: &str) -> RulesFile {
    let mut notes = Vec::new();
    let (settings, masked) = entries(path, text, &mut notes);
    let Some(settings) = settings else { return RulesFile { rules: None, notes } };
    let note = |is_problem, key: &str, text: String| {
        let line = SettingsError::invalid(path, key, "", "").line();
        Note { line, is_problem, text }
    };
    let rules = match RuleSet::from_settings(settings) {
        Ok(rules) => {
            let warnings = rules.warnings();
            let said = warnings.iter().filter_map(|warning| {
                let rule = rules.written().get(warning.index).map(|(_, rule)| rule.id())?;
                let text = format!("rule \"{rule}\": {}: {}", warning.key, warning.what);
                Some(note(false, &warning.key_path(), text))
            });
            notes.extend(said);
            Some(rules)
        }
        Err(errors) => {
            let labels_masked = masked.iter().any(|(section, _)| *section == Section::Labels);
            let own = errors.iter().filter(|error| {
                let of_masked = masked.contains(&(error.section, error.index));
                // A label may be given by the very entry that could not be read.
                let unsure = labels_masked && matches!(error.problem, RuleProblem::UnknownLabel(_));
                !of_masked && !unsure
            });
            notes.extend(own.map(|error| note(true, &error.key_path(), error.to_string())));
            None
        }
    };
    notes.sort_by_key(|note| note.line);
    RulesFile { rules: rules.filter(|_| masked.is_empty()), notes }
}

type Masked = Vec<(Section, usize)>;

/// What can be read, and which entries of it only stand in for those that cannot.
fn entries(path: &Path, text: &str, notes: &mut Vec<Note>) -> (Option<RulesSettings>, Masked) {
    let (mut text, mut masked) = (text.to_owned(), Masked::new());
    loop {
        let error = match settings::parse::<RulesSettings>(path, &text) {
            Ok(settings) => return (Some(settings), masked),
            Err(error) => error,
        };
        let key = error.key();
        let whole = if key.is_empty() { String::new() } else { format!("{key}: ") };
        notes.push(Note { line: error.line(), is_problem: true, text: format!("{whole}{}", error.advice()) });
        let entry = entry_of(key).filter(|entry| !masked.contains(entry));
        match entry.and_then(|entry| Some((entry, mask(&text, entry)?))) {
            Some((entry, without)) => {
                masked.push(entry);
                text = without;
            }
            None => return (None, masked),
        }
    }
}

/// `rule[2].above` is of the third rule.
fn entry_of(key: &str) -> Option<(Section, usize)> {
    let (list, rest) = key.split_once('[')?;
    let section = [Section::Rule, Section::Labels].into_iter().find(|section| section.key() == list)?;
    Some((section, rest.split(']').next()?.parse().ok()?))
}

/// The text with an entry that is surely read in the place of this one, and all others on their lines.
fn mask(text: &str, (section, index): (Section, usize)) -> Option<String> {
    let header = format!("[[{}]]", section.key());
    let is_header = |line: &str| line.split('#').next().is_some_and(|line| line.trim() == header);
    let mut lines: Vec<&str> = text.lines().collect();
    let (first, _) = lines.iter().enumerate().filter(|(_, line)| is_header(line)).nth(index)?;
    let entry = lines.get_mut(first + 1..)?;
    let end = entry.iter().position(|line| line.trim_start().starts_with("[[")).unwrap_or(entry.len());
    let stand_in = match section {
        Section::Rule => format!("id = \"unread-{index}\""),
        Section::Labels => "set = { unread = \"unread\" }".to_owned(),
    };
    let (place, rest) = entry.get_mut(..end)?.split_first_mut()?;
    *place = &stand_in;
    rest.fill("");
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(text: &str) -> Vec<(Option<usize>, bool, String)> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rules.toml");
        std::fs::write(&path, text).expect("it writes");
        let file = read(&path).expect("it reads");
        assert_eq!(file.rules.is_some(), file.problems() == 0);
        file.notes.into_iter().map(|note| (note.line, note.is_problem, note.text)).collect()
    }

    #[test]
    fn every_problem_is_found_on_its_line() {
        let text = "[[labels]]\nset = 3\n\n[[rule]] # first\nid = \"a\"\nabvoe = 1\n\n[[rule]]\nid = \"b\"\n\
                    above = \"hot\"\nunit = 3\n[[rule]]\nid = \"c\"\nabove = 1\nbelow = 2\n\
                    select.labels.area = \"x\"\n[[rule]]\nid = \"C\"\nabove = 1\n";
        let found = notes(text);
        let lines: Vec<_> = found.iter().map(|(line, ..)| line.expect("a line")).collect();
        assert_eq!(lines, [2, 6, 10, 15, 18], "{found:?}");
        assert!(found[1].2.contains("did you mean \"above\"?"), "{found:?}");
        assert!(found[3].2.starts_with("rule \"c\": below: the rule has two conditions"), "{found:?}");
    }

    #[test]
    fn text_that_is_no_toml_is_one_problem() {
        let found = notes("[[rule]]\nid = \n");
        assert!(found.len() == 1 && found[0].0 == Some(2), "{found:?}");
    }

    #[test]
    fn warnings_leave_the_rules_as_they_are() {
        let found = notes("[[rule]]\nid = \"a\"\nabove = 1\nunit = \"degC\"\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == Some(4) && !found[0].1 && found[0].2.contains("no SenML unit"), "{found:?}");
    }
}
