//! Patterns over names: `*` stands for any run of characters, `?` for exactly one, everything else for itself.

use alloc::{string::String, vec::Vec};
use core::fmt;

/// A compiled pattern. Names are ASCII, so it works on bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let (mut pattern, mut name) = (self.pattern.as_bytes(), name.as_bytes());
        // Where to go on when what follows the last `*` did not fit: that star takes one byte more.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern.split_first(), name.split_first()) {
                (None, None) => return true,
                (Some((b'*', after)), _) => {
                    retry = Some((after, name));
                    pattern = after;
                    continue;
                }
                (Some((p, after)), Some((n, rest))) if *p == b'?' || p == n => {
                    (pattern, name) = (after, rest);
                    continue;
                }
                _ => {}
            }
            match retry.and_then(|(after, from)| from.split_first().map(|(_, rest)| (after, rest))) {
                Some((after, rest)) => {
                    retry = Some((after, rest));
                    (pattern, name) = (after, rest);
                }
                None => return false,
            }
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
