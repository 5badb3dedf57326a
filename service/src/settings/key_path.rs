//! `users[1].role`: a place in a settings file, and the line where it stands.

use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyPath(pub(super) Vec<Segment>);

impl KeyPath {
    /// Reads the dotted form; an index that is no number counts as a key.
    pub(super) fn parse(dotted: &str) -> Self {
        let mut segments = Vec::new();
        for part in dotted.split('.').filter(|part| !part.is_empty()) {
            let (key, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
            if !key.is_empty() {
                segments.push(Segment::Key(key.to_owned()));
            }
            for index in indices.split(['[', ']']).filter(|index| !index.is_empty()) {
                segments.push(match index.parse() {
                    Ok(index) => Segment::Index(index),
                    Err(_) => Segment::Key(index.to_owned()),
                });
            }
        }
        Self(segments)
    }

    pub(super) fn push_key(&mut self, key: &str) {
        self.0.push(Segment::Key(key.to_owned()));
    }

    pub(super) fn ends_with_key(&self, key: &str) -> bool {
        matches!(self.0.last(), Some(Segment::Key(last)) if last == key)
    }

    /// Whether what stands there is for nobody's eyes, whatever is wrong with it.
    pub(super) fn is_secret(&self) -> bool {
        const SECRETS: [&str; 3] = ["key", "password", "secrets"];
        self.0.iter().any(|segment| matches!(segment, Segment::Key(key) if SECRETS.contains(&key.as_str())))
    }

    /// The line (from 1) where this key stands, or else the nearest table around it that is in the text.
    pub(super) fn line_in(&self, text: &str) -> Option<usize> {
        let table = DeTable::parse(text).ok()?;
        let mut value: Option<&DeValue<'_>> = None;
        let mut found: Option<Range<usize>> = None;
        for segment in &self.0 {
            let step = match (segment, value) {
                (Segment::Key(key), None) => table.get_ref().get_key_value(key.as_str()),
                (Segment::Key(key), Some(DeValue::Table(inner))) => inner.get_key_value(key.as_str()),
                (Segment::Index(index), Some(DeValue::Array(items))) => {
                    let Some(item) = items.get(*index) else { break };
                    found = Some(item.span());
                    value = Some(item.get_ref());
                    continue;
                }
                _ => None,
            };
            let Some((key, inner)) = step else { break };
            found = Some(key.span());
            value = Some(inner.get_ref());
        }
        found.map(|span| line_of_offset(text, span.start))
    }
}

pub(super) fn line_of_offset(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

impl fmt::Display for KeyPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if position > 0 => write!(out, ".{key}")?,
                Segment::Key(key) => out.write_str(key)?,
                Segment::Index(index) => write!(out, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::KeyPath;

    #[test]
    fn a_dotted_key_reads_back_as_it_was_written() {
        for dotted in ["listen", "limits.max", "users[1].role", "grid[0][2]"] {
            assert_eq!(KeyPath::parse(dotted).to_string(), dotted);
        }
    }

    #[test]
    fn a_line_is_found_for_keys_array_tables_and_the_nearest_parent() {
        let text = "a = 1\n[limits]\nmax = 2\n[[users]]\nname = 'x'\n[[users]]\nname = 'y'\n";
        let line = |dotted| KeyPath::parse(dotted).line_in(text);
        assert_eq!(line("a"), Some(1));
        assert_eq!(line("limits.max"), Some(3));
        assert_eq!(line("users[1].name"), Some(7));
        assert_eq!(line("users[1].role"), Some(6));
        assert_eq!(line("nowhere"), None);
    }
}
