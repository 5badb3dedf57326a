//! Retained messages: the last one per topic, for whoever subscribes later.
//!
//! Kept here and not by the router: its own store hands a subscriber at most one window of them, drops one on any
//! empty payload, and dies with its thread. Bound: [`RetainedLimits`]. When full, a message still reaches the present
//! subscribers but is not kept, and the caller counts that; what its topic had is gone, as nobody must take an old message
//! for the last one.

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

#[derive(Debug)]
pub struct Retained {
    limits: RetainedLimits,
    messages: BTreeMap<String, Kept>,
    bytes: usize,
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
        Self { limits, messages: BTreeMap::new(), bytes: 0 }
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
        let replaced_bytes = self.messages.get(key).map_or(0, |kept| key.len() + kept.payload.len());
        self.bytes -= replaced_bytes;
        if message.payload.is_empty() {
            self.messages.remove(key);
            return Ok(());
        }
        let count = self.messages.len() + usize::from(replaced_bytes == 0);
        let bytes = self.bytes + key.len() + message.payload.len();
        if count > self.limits.max_messages || bytes > self.limits.max_bytes {
            self.messages.remove(key);
            return Err(Full);
        }
        let payload = Bytes::copy_from_slice(&message.payload);
        let kept = Kept { topic: message.topic.detached(), payload, qos: message.qos };
        self.messages.insert(key.to_owned(), kept);
        self.bytes = bytes;
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

    fn message(topic: &'static str, payload: &'static str) -> Message {
        let topic = Topic::new(Bytes::from_static(topic.as_bytes())).expect("a topic");
        Message {
            topic,
            payload: Bytes::from_static(payload.as_bytes()),
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
        let mut store = Retained::new(RetainedLimits { max_messages: 10, max_bytes: 1000 });
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
        let mut store = Retained::new(RetainedLimits { max_messages: 2, max_bytes: 10 });
        assert_eq!(store.keep(&message("a", "1")), Ok(()));
        assert_eq!(store.keep(&message("b", "1234567")), Ok(()));
        assert_eq!(store.keep(&message("c", "1")), Err(Full));
        assert_eq!(store.keep(&message("a", "123")), Err(Full));
        assert!(found(&store, "a").is_empty(), "what was the last message is so no more");
        assert_eq!(store.keep(&message("b", "")), Ok(()));
        assert_eq!(store.keep(&message("c", "123456")), Ok(()));
        assert_eq!(store.keep(&message("a", "12")), Ok(()));
        assert_eq!(store.keep(&message("a", "123")), Err(Full));
        assert_eq!(store.len(), 1);
    }
}
