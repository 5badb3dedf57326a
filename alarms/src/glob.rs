//! Patterns over names: `*` stands for any run of characters, `?` for exactly one, everything else for itself.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::Chars};

use serde::{Deserialize, Serialize};

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob {
    pattern: String,
}

impl Glob {
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.into() }
    }

    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole of `name` fits. Takes at most pattern × name steps, whatever the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut name) = (self.pattern.chars(), name.chars());
        // Where to go on when what follows the last `*` did not fit: that star takes one character more.
        let mut retry: Option<(Chars<'_>, Chars<'_>)> = None;
        loop {
            let (mut after, mut rest) = (pattern.clone(), name.clone());
            match (after.next(), rest.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    retry = Some((after.clone(), name.clone()));
                    pattern = after;
                    continue;
                }
                (Some(p), Some(n)) if p == '?' || p == n => {
                    (pattern, name) = (after, rest);
                    continue;
                }
                _ => {}
            }
            let Some((after, from)) = &mut retry else { return false };
            if from.next().is_none() {
                return false;
            }
            (pattern, name) = (after.clone(), from.clone());
        }
    }

    /// The characters that no name can hold, each once: a pattern with one never matches.
    pub(crate) fn impossible(&self, allowed: fn(char) -> bool) -> Vec<char> {
        let mut found = Vec::new();
        for c in self.pattern.chars() {
            if c != '*' && c != '?' && !allowed(c) && !found.contains(&c) {
                found.push(c);
            }
        }
        found
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("board-?", "board-7", true),
            ("board-?", "board-", false),
            ("board-?", "board-77", false),
            ("*-pump", "north-pump", true),
            ("*-pump", "north-pump-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("temp", "temperature", false),
            ("**", "x", true),
            ("*?*?*", "x", false),
            ("*?*?*", "xy", true),
            ("K?hler *", "Kühler 3", true),
            ("TT-*", "tt-101", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), fits, "{pattern} on {name}");
        }
    }

    /// The definition itself, exponential and obvious.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', after)), _) => (0..=name.len()).any(|taken| by_definition(after, &name[taken..])),
            (Some((p, after)), Some((n, rest))) => (*p == b'?' || p == n) && by_definition(after, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            let expected = by_definition(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Glob::new(&pattern).matches(&name), expected);
        }
    }
}
