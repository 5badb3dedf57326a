//! Retained messages: the last one per topic, for whoever subscribes later.
//!
//! Kept here and not by the router: its own store hands a subscriber at most one window of them, drops one on any
//! empty payload, and dies with its thread. Bound: [`RetainedLimits`]. When full, a message still reaches the present
//! subscribers but is not kept, and the caller counts that; what its topic had is gone, as nobody must take an old message
//! for the last one. What is not Tidegate's own gets half of both at most, so that births of gateways and alarms always find room.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::mqtt::{Message, QoS, Topic, matches};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainedLimits {
    pub max_messages: usize,
    /// Topics and payloads together.
    pub max_bytes: usize,
}

/// Below it only gateways and the ingest publish.
const OWN_ROOT: &str = "tidegate/v1/";

impl RetainedLimits {
    fn half(self) -> Self {
        Self { max_messages: self.max_messages.div_ceil(2), max_bytes: self.max_bytes.div_ceil(2) }
    }
}

#[derive(Debug)]
pub struct Retained {
    limits: RetainedLimits,
    messages: BTreeMap<String, Kept>,
    all: Held,
    /// Of those, what is not Tidegate's own.
    of_guests: Held,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    messages: usize,
    bytes: usize,
}

impl Held {
    fn with(self, new: usize) -> Self {
        Self { messages: self.messages + 1, bytes: self.bytes + new }
    }

    fn without(self, old: usize) -> Self {
        Self { messages: self.messages.saturating_sub(1), bytes: self.bytes.saturating_sub(old) }
    }

    fn is_within(self, limits: RetainedLimits) -> bool {
        self.messages <= limits.max_messages && self.bytes <= limits.max_bytes
    }
}

#[derive(Debug)]
struct Kept {
    topic: Topic,
    payload: Bytes,
    qos: QoS,
}

/// The store is full: the message was not kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Retained {
    pub fn new(limits: RetainedLimits) -> Self {
        Self { limits, messages: BTreeMap::new(), all: Held::default(), of_guests: Held::default() }
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Keeps a copy of the message as its topic's last one; an empty payload clears the topic.
    pub fn keep(&mut self, message: &Message) -> Result<(), Full> {
        let key = message.topic.as_str();
        let is_own = key.starts_with(OWN_ROOT);
        if let Some(kept) = self.messages.remove(key) {
            let old = key.len() + kept.payload.len();
            self.all = self.all.without(old);
            self.of_guests = if is_own { self.of_guests } else { self.of_guests.without(old) };
        }
        if message.payload.is_empty() {
            return Ok(());
        }
        let new = message.bytes();
        let all = self.all.with(new);
        let of_guests = if is_own { self.of_guests } else { self.of_guests.with(new) };
        if !all.is_within(self.limits) || (!is_own && !of_guests.is_within(self.limits.half())) {
            return Err(Full);
        }
        let payload = Bytes::copy_from_slice(&message.payload);
        let kept = Kept { topic: message.topic.detached(), payload, qos: message.qos };
        self.messages.insert(key.to_owned(), kept);
        (self.all, self.of_guests) = (all, of_guests);
        Ok(())
    }

    /// What a new subscriber gets, in the order of the topics.
    pub fn matching(&self, filter: &str) -> Vec<Message> {
        let literal = filter.find(['+', '#']).and_then(|wildcard| filter.get(..wildcard)).unwrap_or(filter);
        // "a/#" asks for "a" too, which sorts before "a/".
        let start = literal.strip_suffix('/').unwrap_or(literal);
        self.messages
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(start))
            .filter(|(topic, _)| matches(filter, topic))
            .map(|(_, kept)| Message {
                topic: kept.topic.clone(),
                payload: kept.payload.clone(),
                qos: kept.qos,
                retain: true,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &'static str, payload: &str) -> Message {
        let topic = Topic::new(Bytes::from_static(topic.as_bytes())).expect("a topic");
        Message {
            topic,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            qos: QoS::AtLeastOnce,
            retain: true,
        }
    }

    fn found(store: &Retained, filter: &str) -> Vec<String> {
        let text = |message: &Message| String::from_utf8_lossy(&message.payload).into_owned();
        store.matching(filter).iter().map(text).collect()
    }

    #[test]
    fn the_last_message_of_each_matching_topic_is_found() {
        let mut store = Retained::new(RetainedLimits { max_messages: 20, max_bytes: 1000 });
        for (topic, payload) in
            [("a", "1"), ("a/b", "2"), ("a/c", "3"), ("ab", "4"), ("z/b", "5"), ("a/b", "6")]
        {
            assert_eq!(store.keep(&message(topic, payload)), Ok(()));
        }
        assert_eq!(found(&store, "a/#"), ["1", "6", "3"]);
        assert_eq!(found(&store, "+/b"), ["6", "5"]);
        assert_eq!(found(&store, "a"), ["1"]);
        assert_eq!(found(&store, "#").len(), 5);
        assert_eq!(store.keep(&message("a/b", "")), Ok(()));
        assert_eq!(found(&store, "a/+"), ["3"]);
    }

    #[test]
    fn both_bounds_hold_and_room_is_given_back() {
        let mut store = Retained::new(RetainedLimits { max_messages: 2, max_bytes: 38 });
        assert_eq!(store.keep(&message("tidegate/v1/a", "1")), Ok(()));
        assert_eq!(store.keep(&message("tidegate/v1/b", "12345678")), Ok(()));
        assert_eq!(store.keep(&message("tidegate/v1/c", "1")), Err(Full));
        assert_eq!(store.keep(&message("tidegate/v1/a", "12345")), Err(Full));
        assert!(found(&store, "tidegate/v1/a").is_empty(), "what was the last message is so no more");
        assert_eq!(store.keep(&message("tidegate/v1/a", "1234")), Ok(()));
        assert_eq!(store.keep(&message("tidegate/v1/b", "")), Ok(()));
        assert_eq!(store.keep(&message("tidegate/v1/b", "")), Ok(()), "what is not there");
        assert_eq!(store.keep(&message("tidegate/v1/c", "12345678")), Ok(()));
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn others_get_half_and_leave_the_rest_to_gateways_and_alarms() {
        let mut store = Retained::new(RetainedLimits { max_messages: 4, max_bytes: 60 });
        assert_eq!(store.keep(&message("home/a", "1")), Ok(()));
        assert_eq!(store.keep(&message("home/b", &"x".repeat(23))), Err(Full), "30 bytes are theirs");
        assert_eq!(store.keep(&message("home/b", "1")), Ok(()));
        assert_eq!(store.keep(&message("home/c", "1")), Err(Full), "and 2 messages");
        assert_eq!(store.keep(&message("tidegate/v1/a", &"x".repeat(20))), Ok(()));
        assert_eq!(store.keep(&message("home/a", "")), Ok(()));
        assert_eq!(store.keep(&message("home/c", "1")), Ok(()));
        assert_eq!(store.keep(&message("home/c", &"x".repeat(20))), Err(Full));
    }
}
