//! What is wrong with a setting, where it stands, and what to do about it.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

use super::key_path::KeyPath;

/// `<file>: <key.path> (line N): <what is wrong>; <remedy>`. Key and line are left out where there is none.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{place}{problem}; {remedy}")]
pub struct SettingsError {
    place: Place,
    problem: String,
    remedy: String,
}

#[derive(Debug, Clone)]
enum Place {
    File { file: PathBuf, key: String, line: Option<usize> },
    Environment { variable: String, key: String },
}

impl SettingsError {
    /// For a program's own validation. `key` is dotted, list entries count from 0: `users[1].role`.
    /// The file is read once more to name the line; when it cannot be, the line is left out.
    pub fn invalid(file: &Path, key: &str, problem: impl Display, remedy: impl Display) -> Self {
        let line = std::fs::read_to_string(file).ok().and_then(|text| KeyPath::parse(key).line_in(&text));
        let place = Place::File { file: file.to_owned(), key: key.to_owned(), line };
        Self { place, problem: problem.to_string(), remedy: remedy.to_string() }
    }

    /// The key that is wrong, dotted; empty when it is the file as a whole.
    pub fn key(&self) -> &str {
        match &self.place {
            Place::File { key, .. } | Place::Environment { key, .. } => key,
        }
    }

    /// Where it stands in the file, from 1.
    pub fn line(&self) -> Option<usize> {
        match self.place {
            Place::File { line, .. } => line,
            Place::Environment { .. } => None,
        }
    }

    /// What is wrong, without where.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// What is wrong and what to do, without where.
    pub fn advice(&self) -> String {
        format!("{}; {}", self.problem, self.remedy)
    }

    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let (problem, remedy) = match error.kind() {
            io::ErrorKind::NotFound => {
                ("there is no such file".to_owned(), "create it, or name another with --config")
            }
            io::ErrorKind::InvalidData => ("it is not UTF-8 text".to_owned(), "save it as UTF-8"),
            _ => (format!("it cannot be read ({error})"), "give this program's user the right to read it"),
        };
        Self { place: Place::whole(file, None), problem, remedy: remedy.to_owned() }
    }

    pub(super) fn not_toml(file: &Path, line: Option<usize>, message: &str) -> Self {
        let problem = format!("it is not valid TOML: {}", message.trim_end().replace('\n', " "));
        let remedy = "correct that line; text needs quotes, keys are set with =".to_owned();
        Self { place: Place::whole(file, line), problem, remedy }
    }

    pub(super) fn in_file(file: &Path, line: Option<usize>, explanation: Explanation) -> Self {
        let place = Place::File { file: file.to_owned(), key: explanation.path.to_string(), line };
        Self { place, problem: explanation.problem, remedy: explanation.remedy }
    }

    pub(super) fn in_environment(variable: &str, explanation: Explanation) -> Self {
        let place = Place::Environment { variable: variable.to_owned(), key: explanation.path.to_string() };
        Self { place, problem: explanation.problem, remedy: explanation.remedy }
    }
}

impl Place {
    fn whole(file: &Path, line: Option<usize>) -> Self {
        Place::File { file: file.to_owned(), key: String::new(), line }
    }
}

impl Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, key, line } => {
                write!(out, "{}: ", file.display())?;
                match (key.is_empty(), line) {
                    (false, Some(line)) => write!(out, "{key} (line {line}): "),
                    (false, None) => write!(out, "{key}: "),
                    (true, Some(line)) => write!(out, "(line {line}): "),
                    (true, None) => Ok(()),
                }
            }
            Place::Environment { variable, key } => write!(out, "environment {variable}: {key}: "),
        }
    }
}

/// serde's message, in the words of someone who edits a file.
#[derive(Debug, Clone)]
pub(super) struct Explanation {
    pub(super) path: KeyPath,
    pub(super) problem: String,
    pub(super) remedy: String,
}

impl Explanation {
    /// `path` is where deserialising stopped; for an unknown or missing key that may be its parent. A value that is `secret` is not repeated.
    pub(super) fn of(mut path: KeyPath, message: &str, secret: bool) -> Self {
        let message = message.trim_end();
        // The last one: a value may have it in it.
        let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
        let (problem, remedy) = if let Some(key) = in_backticks(found, "unknown field ") {
            if !path.ends_with_key(key) {
                path.push_key(key);
            }
            ("unknown key".to_owned(), nearest(key, expected, "remove it"))
        } else if let Some(value) = in_backticks(found, "unknown variant ") {
            let problem =
                if secret { "unknown value".to_owned() } else { format!("unknown value \"{value}\"") };
            (problem, nearest(value, expected, "choose another"))
        } else if let Some(key) = in_backticks(message, "missing field ") {
            path.push_key(key);
            ("missing".to_owned(), format!("add `{key} = …`"))
        } else if expected.is_empty() {
            let problem = if secret { "it does not fit here" } else { message };
            (problem.to_owned(), "correct this value".to_owned())
        } else {
            let found = found.strip_prefix("invalid type: ").or(found.strip_prefix("invalid value: "));
            let found = found.unwrap_or(message);
            let found = if secret { kind_of(found).to_owned() } else { found.replace('`', "") };
            (format!("{found} does not fit here"), format!("give {}", in_plain_words(expected)))
        };
        Self { path, problem, remedy }
    }
}

/// "string" of `string "…"`.
fn kind_of(found: &str) -> &str {
    found.split(['"', '`']).next().unwrap_or_default().trim_end()
}

fn in_backticks<'m>(message: &'m str, start: &str) -> Option<&'m str> {
    message.strip_prefix(start)?.split('`').nth(1)
}

/// Names the known word nearest to `given` among those in backticks, or else all of them.
fn nearest(given: &str, expected: &str, otherwise: &str) -> String {
    /// Below this likeness (Jaro-Winkler, 0 to 1) a suggestion confuses more than it helps.
    const LIKE_ENOUGH: f64 = 0.75;
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let likeness = |word: &&str| strsim::jaro_winkler(given, word);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best {
        Some(word) if likeness(&word) >= LIKE_ENOUGH => format!("did you mean \"{word}\"?"),
        Some(_) => format!("known here: {}", known.join(", ")),
        None => otherwise.to_owned(),
    }
}

fn in_plain_words(expected: &str) -> String {
    match expected {
        "a string" | "str" | "string" => "text in quotes".to_owned(),
        "a boolean" | "bool" => "true or false".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" => "a list in square brackets".to_owned(),
        other => match other.strip_prefix("struct ") {
            Some(_) => "a [section] with its keys".to_owned(),
            None => other.replace('`', ""),
        },
    }
}
