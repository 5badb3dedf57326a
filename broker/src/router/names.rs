//! Names as the router can take them.

use bytes::Bytes;

/// Stands before names that the router could not take: its matching slices a topic's first byte, and panics where a
/// character has more than one. Within the first level it changes nothing for wildcards. Names that begin with it get
/// one more, so that no two names become one.
const GUARD: u8 = 1;

fn needs_guard(name: &[u8]) -> bool {
    name.first().is_some_and(|first| !first.is_ascii() || *first == GUARD)
}

pub(super) fn guarded_filter(mut filter: String) -> String {
    if needs_guard(filter.as_bytes()) {
        filter.insert(0, char::from(GUARD));
    }
    filter
}

pub(super) fn guarded_topic(topic: &Bytes) -> Bytes {
    match needs_guard(topic) {
        true => [&[GUARD][..], topic].concat().into(),
        false => topic.clone(),
    }
}

pub(super) fn unguarded_topic(topic: Bytes) -> Bytes {
    if topic.first() == Some(&GUARD) { topic.slice(1..) } else { topic }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_topic_matches_what_the_bare_one_would_and_comes_back() {
        let names = ["é/x", "é", "\u{1}é/x", "\u{1}", "x/é", "日本/x"];
        let guarded = |name: &str| guarded_topic(&Bytes::copy_from_slice(name.as_bytes()));
        for name in names {
            assert!(guarded(name).first().is_some_and(u8::is_ascii), "{name:?}");
            assert_eq!(unguarded_topic(guarded(name)), name.as_bytes());
            assert_eq!(guarded_filter(name.to_owned()).as_bytes(), guarded(name));
            assert_eq!(names.iter().filter(|other| guarded(other) == guarded(name)).count(), 1, "{name:?}");
        }
        assert_eq!(guarded("home/x"), "home/x");
        assert_eq!(guarded_filter("+/x".to_owned()), "+/x");
    }
}
