//! From text and overrides to the program's raw struct, keeping track of where a refused value came from.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::environment::{Override, lay_over, value_of};
use super::error::{Explanation, SettingsError};
use super::key_path::{KeyPath, line_of_offset};

pub(super) fn read<T: DeserializeOwned>(
    file: &Path,
    text: &str,
    overrides: Vec<Override>,
    all_is_secret: bool,
) -> Result<T, SettingsError> {
    let table: Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of_offset(text, span.start));
        SettingsError::not_toml(file, line, error.message())
    })?;
    let mut as_text = vec![false; overrides.len()];
    loop {
        let merged = merge(table.clone(), &overrides, &as_text)?;
        let refusal = match serde_path_to_error::deserialize::<_, T>(merged) {
            Ok(settings) => return Ok(settings),
            Err(refusal) => refusal,
        };
        let path = KeyPath::parse(&refusal.path().to_string());
        let culprit = overrides.iter().position(|entry| entry.path == path);
        // A password of digits looks like a number; where text was wanted, it is text. Each override
        // can turn only once, so this ends.
        if let Some(index) = culprit
            && refusal.inner().message().contains("expected a string")
            && !as_text[index]
        {
            as_text[index] = true;
            continue;
        }
        let secret = all_is_secret || path.is_secret();
        let explanation = Explanation::of(path, refusal.inner().message(), secret);
        return Err(match culprit.and_then(|index| overrides.get(index)) {
            Some(entry) => SettingsError::in_environment(&entry.variable, explanation),
            None => {
                let line = explanation.path.line_in(text);
                SettingsError::in_file(file, line, explanation)
            }
        });
    }
}

fn merge(mut table: Table, overrides: &[Override], as_text: &[bool]) -> Result<Value, SettingsError> {
    for (entry, &as_text) in overrides.iter().zip(as_text) {
        let value = if as_text { Value::String(entry.text.clone()) } else { value_of(&entry.text) };
        lay_over(&mut table, &entry.path, value).map_err(|problem| {
            let remedy = "name the section and key as in the file, joined by two underscores".to_owned();
            let explanation = Explanation { path: entry.path.clone(), problem, remedy };
            SettingsError::in_environment(&entry.variable, explanation)
        })?;
    }
    Ok(Value::Table(table))
}
