//! Names as the router can take them, and messages as it may keep them.

use bytes::Bytes;

use crate::mqtt::Message;

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

/// Topic and payload, copied. What a client sends is read in large pieces, and a slice of one holds all of it, while the router's
/// logs count topic and payload alone: with what else stood in the piece they would hold a multiple of their bounds.
pub(super) fn guarded_copy(message: &Message) -> (Bytes, Bytes) {
    let topic = message.topic.bytes();
    let guard: &[u8] = if needs_guard(topic) { &[GUARD] } else { &[] };
    let mut payload = Bytes::from([guard, topic, &message.payload].concat());
    let topic = payload.split_to(guard.len() + topic.len());
    (topic, payload)
}

pub(super) fn unguarded_topic(topic: Bytes) -> Bytes {
    if topic.first() == Some(&GUARD) { topic.slice(1..) } else { topic }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::{QoS, Topic};

    #[test]
    fn a_guarded_topic_matches_what_the_bare_one_would_and_comes_back() {
        let names = ["é/x", "é", "\u{1}é/x", "\u{1}", "x/é", "日本/x"];
        let guarded = |name: &str| {
            let topic = Topic::new(Bytes::copy_from_slice(name.as_bytes())).expect("a topic");
            let payload = Bytes::from_static(b"p");
            let (topic, payload) =
                guarded_copy(&Message { topic, payload, qos: QoS::AtMostOnce, retain: false });
            assert_eq!(payload, "p");
            topic
        };
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
