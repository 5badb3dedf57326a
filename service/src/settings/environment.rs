//! Environment variables as overrides of settings keys.

use std::ffi::OsString;

use toml::{Table, Value};

use super::key_path::{KeyPath, Segment};

/// One variable, not yet laid over the file.
#[derive(Debug, Clone)]
pub(super) struct Override {
    pub(super) variable: String,
    pub(super) path: KeyPath,
    pub(super) text: String,
}

/// The variables that start with `prefix__`, in the order of their names so that errors are stable.
pub(super) fn overrides(
    prefix: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<Override> {
    let prefix = format!("{prefix}__");
    let mut found: Vec<Override> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter_map(|(variable, text)| {
            let path = path_of(variable.strip_prefix(&prefix)?);
            Some(Override { variable, path, text })
        })
        .collect();
    found.sort_by(|a, b| a.variable.cmp(&b.variable));
    found
}

fn path_of(name: &str) -> KeyPath {
    let segments = name.split("__").filter(|part| !part.is_empty());
    let as_segment = |part: &str| match part.parse() {
        Ok(index) => Segment::Index(index),
        Err(_) => Segment::Key(part.to_ascii_lowercase()),
    };
    KeyPath(segments.map(as_segment).collect())
}

/// A number, boolean, array or inline table as TOML has them; everything else is text as it stands.
pub(super) fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    match parsed.ok().and_then(|mut table| if table.len() == 1 { table.remove("value") } else { None }) {
        // "2026-01-01" is far more often a name than a date.
        Some(Value::Datetime(_)) | None => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

/// Puts `value` at `path`, creating tables on the way. `Err` says why it has no place there.
pub(super) fn lay_over(table: &mut Table, path: &KeyPath, value: Value) -> Result<(), String> {
    let Some((Segment::Key(first), rest)) = path.0.split_first() else {
        return Err("names no key".to_owned());
    };
    let mut slot = table.entry(first.as_str()).or_insert_with(|| Value::Table(Table::new()));
    for segment in rest {
        slot = match (segment, slot) {
            (Segment::Key(key), Value::Table(inner)) => {
                inner.entry(key.as_str()).or_insert_with(|| Value::Table(Table::new()))
            }
            (Segment::Index(index), Value::Array(items)) => {
                let length = items.len();
                items.get_mut(*index).ok_or_else(|| {
                    format!("asks for entry {index}, and the file has {length} (they count from 0)")
                })?
            }
            (Segment::Index(_), _) => return Err("gives a number where the file has no list".to_owned()),
            (Segment::Key(key), _) => return Err(format!("looks for \"{key}\" inside a plain value")),
        };
    }
    *slot = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{KeyPath, lay_over, overrides, value_of};
    use toml::{Table, Value};

    #[test]
    fn only_variables_of_the_prefix_count_and_become_lower_case_keys() {
        let variables = [
            ("TIDEGATE_AGENT__UPLINK__HOST", "h"),
            ("TIDEGATE_AGENT_OTHER", "no"),
            ("TIDEGATE_BROKER__LISTEN", "no"),
            ("TIDEGATE_AGENT__USERS__0__NAME", "n"),
        ];
        let found = overrides("TIDEGATE_AGENT", variables.map(|(name, value)| (name.into(), value.into())));
        let keys: Vec<String> = found.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(keys, ["uplink.host", "users[0].name"]);
    }

    #[test]
    fn values_are_toml_where_they_can_be_and_text_otherwise() {
        assert_eq!(value_of("64"), Value::Integer(64));
        assert_eq!(value_of("true"), Value::Boolean(true));
        assert_eq!(value_of("\"64\""), Value::String("64".into()));
        assert_eq!(value_of("127.0.0.1:1883"), Value::String("127.0.0.1:1883".into()));
        assert_eq!(value_of("1\nother = 2"), Value::String("1\nother = 2".into()));
        assert_eq!(value_of("2026-01-01"), Value::String("2026-01-01".into()));
    }

    #[test]
    fn an_override_reaches_into_lists_but_does_not_lengthen_them() {
        let mut table: Table = toml::from_str("[[users]]\nname = 'a'\n").expect("valid TOML");
        lay_over(&mut table, &KeyPath::parse("users[0].name"), Value::String("b".into())).expect("it exists");
        assert_eq!(table["users"][0]["name"].as_str(), Some("b"));
        let beyond = lay_over(&mut table, &KeyPath::parse("users[1].name"), Value::String("c".into()));
        assert_eq!(beyond.unwrap_err(), "asks for entry 1, and the file has 1 (they count from 0)");
    }
}
