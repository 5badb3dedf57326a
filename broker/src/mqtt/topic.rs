//! Topic names and topic filters (MQTT 3.1.1, section 4.7).

use std::fmt;

use bytes::Bytes;

use super::Malformed;

/// A valid topic name: UTF-8, not empty, without wildcards and NUL. A slice of the buffer it was read from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Topic(Bytes);

impl Topic {
    pub fn new(bytes: Bytes) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(&bytes).map_err(|_| Malformed::Text)?;
        if text.is_empty() || text.bytes().any(|byte| matches!(byte, 0 | b'+' | b'#')) {
            return Err(Malformed::Topic);
        }
        Ok(Self(bytes))
    }

    pub fn as_str(&self) -> &str {
        // Checked when it was made; an empty name would match no filter but "#".
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// A copy that does not keep the read buffer alive.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.as_str())
    }
}

/// What is wrong with a filter, if anything.
pub fn filter_problem(filter: &str) -> Option<&'static str> {
    if filter.is_empty() {
        return Some("an empty filter");
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.len() > 1 && level.contains(['+', '#']) {
            return Some("a wildcard must fill its level");
        }
        if level == "#" && levels.peek().is_some() {
            return Some("# must be the last level");
        }
    }
    None
}

/// Whether a topic is one of those that a filter asks for. A leading wildcard does not match `$…` topics.
pub fn matches(filter: &str, topic: &str) -> bool {
    !(topic.starts_with('$') && filter.starts_with(['+', '#'])) && covers(filter, topic)
}

/// Whether every topic that `narrow` (a filter or a topic) asks for is asked for by `wide` too.
pub fn covers(wide: &str, narrow: &str) -> bool {
    let mut narrow_levels = narrow.split('/');
    for wide_level in wide.split('/') {
        if wide_level == "#" {
            return true;
        }
        match narrow_levels.next() {
            // "#" asks for more than any single level gives.
            None | Some("#") => return false,
            Some(level) if wide_level == "+" || wide_level == level => {}
            Some(_) => return false,
        }
    }
    narrow_levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching_follows_the_standards_examples() {
        for (filter, topic) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "anything/at/all"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("sport/+", "sport/"),
            ("$SYS/#", "$SYS/monitor"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/monitor"),
            ("+/monitor", "$SYS/monitor"),
            ("a/b", "a"),
            ("a", "a/b"),
        ] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn a_filter_covers_only_what_is_narrower() {
        for (wide, narrow) in [
            ("a/+/c", "a/+/c"),
            ("a/+/c", "a/b/c"),
            ("a/#", "a/+/c/#"),
            ("a/#", "a"),
            ("a/#", "a/#"),
            ("#", "+/x"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in
            [("a/+/c", "a/#"), ("a/b", "a/+"), ("a/+", "a/+/#"), ("a/#", "#"), ("a/#", "+/#"), ("+", "#")]
        {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    #[test]
    fn wildcards_stand_alone_and_last() {
        for filter in ["a", "/", "a//b", "+/+/#", "#", "+", "a/+/b"] {
            assert_eq!(filter_problem(filter), None, "{filter}");
        }
        for filter in ["", "a#", "a/b+", "#/a", "a/#/b", "++"] {
            assert!(filter_problem(filter).is_some(), "{filter}");
        }
    }
}
