//! Messages on their way to one client at QoS 1 and 2, until it has acknowledged them.
//!
//! Bound: `max_inflight` messages; while it is reached nothing more is taken from the router. Acknowledgements may
//! come in any order; one that fits nothing is ignored, as a client may repeat itself after a reconnect.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::mqtt::{self, Message, QoS, ShortAck};

#[derive(Debug)]
pub struct Window {
    inflight: VecDeque<InFlight>,
    /// Ids not in use, the longest unused first, so that an id is reused as late as possible.
    free_ids: VecDeque<u16>,
    /// Whether messages are kept for a resend after the client's return.
    keeps_messages: bool,
}

#[derive(Debug)]
struct InFlight {
    id: u16,
    stage: Stage,
    message: Option<Message>,
}

/// What the client has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// QoS 1, PUBLISH sent.
    Acknowledge,
    /// QoS 2, PUBLISH sent.
    Receive,
    /// QoS 2, PUBREL sent.
    Complete,
}

impl Window {
    pub fn new(max_inflight: u16, keeps_messages: bool) -> Self {
        Self { inflight: VecDeque::new(), free_ids: (1..=max_inflight).collect(), keeps_messages }
    }

    pub fn is_full(&self) -> bool {
        self.free_ids.is_empty()
    }

    /// Writes a message of QoS 1 or 2. `false`: the window is full and nothing was written.
    pub fn send(&mut self, message: Message, out: &mut BytesMut) -> bool {
        let Some(id) = self.free_ids.pop_front() else { return false };
        mqtt::publish(out, &message, Some(id), false);
        let stage = if message.qos == QoS::ExactlyOnce { Stage::Receive } else { Stage::Acknowledge };
        self.inflight.push_back(InFlight { id, stage, message: self.keeps_messages.then_some(message) });
        true
    }

    pub fn pub_ack(&mut self, id: u16) {
        self.finish(id, Stage::Acknowledge);
    }

    pub fn pub_comp(&mut self, id: u16) {
        self.finish(id, Stage::Complete);
    }

    /// The answer is a PUBREL even for an unknown id: it lets the client close an exchange that only it remembers.
    pub fn pub_rec(&mut self, id: u16, out: &mut BytesMut) {
        let awaited = |entry: &&mut InFlight| entry.id == id && entry.stage == Stage::Receive;
        if let Some(entry) = self.inflight.iter_mut().find(awaited) {
            entry.stage = Stage::Complete;
            entry.message = None;
        }
        mqtt::short_ack(out, ShortAck::PubRel, id);
    }

    /// Everything unacknowledged once more, in order, after the client has come back.
    pub fn resend(&self, out: &mut BytesMut) {
        for entry in &self.inflight {
            match &entry.message {
                Some(message) => mqtt::publish(out, message, Some(entry.id), true),
                None => mqtt::short_ack(out, ShortAck::PubRel, entry.id),
            }
        }
    }

    fn finish(&mut self, id: u16, stage: Stage) {
        // Clients acknowledge in order, so this is nearly always the first.
        let position = self.inflight.iter().position(|entry| entry.id == id && entry.stage == stage);
        if let Some(entry) = position.and_then(|position| self.inflight.remove(position)) {
            self.free_ids.push_back(entry.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mqtt::Topic;

    fn message(qos: QoS) -> Message {
        let topic = Topic::new(Bytes::from_static(b"t")).expect("a topic");
        Message { topic, payload: Bytes::from_static(b"p"), qos, retain: false }
    }

    #[test]
    fn the_window_fills_and_opens_with_acknowledgements_in_any_order() {
        let mut window = Window::new(2, false);
        let mut out = BytesMut::new();
        assert!(window.send(message(QoS::AtLeastOnce), &mut out));
        assert!(window.send(message(QoS::AtLeastOnce), &mut out));
        assert!(window.is_full());
        let written = out.len();
        assert!(!window.send(message(QoS::AtLeastOnce), &mut out));
        assert_eq!(out.len(), written);
        window.pub_ack(2);
        window.pub_ack(2);
        window.pub_ack(77);
        assert!(!window.is_full());
        assert!(window.send(message(QoS::AtLeastOnce), &mut out));
        assert!(window.is_full());
    }

    #[test]
    fn qos_2_holds_its_place_until_pubcomp() {
        let mut window = Window::new(1, false);
        let mut out = BytesMut::new();
        assert!(window.send(message(QoS::ExactlyOnce), &mut out));
        window.pub_ack(1);
        window.pub_comp(1);
        assert!(window.is_full());
        out.clear();
        window.pub_rec(1, &mut out);
        assert_eq!(out[..], [0x62, 2, 0, 1]);
        assert!(window.is_full());
        window.pub_comp(1);
        assert!(!window.is_full());
    }

    #[test]
    fn a_resend_repeats_publishes_as_duplicates_and_releases_as_they_were() {
        let mut window = Window::new(3, true);
        let mut out = BytesMut::new();
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            assert!(window.send(message(qos), &mut out));
        }
        window.pub_rec(2, &mut out);
        out.clear();
        window.resend(&mut out);
        assert_eq!(out[..], [0x3a, 6, 0, 1, b't', 0, 1, b'p', 0x62, 2, 0, 2]);
    }
}
