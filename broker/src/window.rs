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
    /// Of `inflight`, so many from the end on were not sent again since the client came back.
    to_resend: usize,
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
        let (inflight, free_ids) = (VecDeque::new(), (1..=max_inflight).collect());
        Self { inflight, free_ids, keeps_messages, to_resend: 0 }
    }

    /// Whether nothing more may be sent: without an id, or before what must be sent again.
    pub fn is_full(&self) -> bool {
        self.free_ids.is_empty() || self.to_resend > 0
    }

    /// Writes a message of QoS 1 or 2. `false`: the window is full and nothing was written.
    pub fn send(&mut self, message: Message, out: &mut BytesMut) -> bool {
        if self.is_full() {
            return false;
        }
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

    /// The client has come back: everything unacknowledged is to be sent once more.
    pub fn resume(&mut self) {
        self.to_resend = self.inflight.len();
    }

    /// What is to be sent again, in order, until `out` is full.
    pub fn resend(&mut self, out: &mut BytesMut, out_limit_bytes: usize) {
        while out.len() < out_limit_bytes && self.to_resend > 0 {
            let next = self.inflight.len().saturating_sub(self.to_resend);
            match self.inflight.get(next) {
                Some(InFlight { id, message: Some(message), .. }) => {
                    mqtt::publish(out, message, Some(*id), true)
                }
                Some(InFlight { id, .. }) => mqtt::short_ack(out, ShortAck::PubRel, *id),
                None => {}
            }
            self.to_resend -= 1;
        }
    }

    fn finish(&mut self, id: u16, stage: Stage) {
        // Clients acknowledge in order, so this is nearly always the first.
        let position = self.inflight.iter().position(|entry| entry.id == id && entry.stage == stage);
        let sent_again = self.inflight.len().saturating_sub(self.to_resend);
        if position.is_some_and(|position| position >= sent_again) {
            // Of before, when the client was here last.
            self.to_resend -= 1;
        }
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
        window.resume();
        window.resend(&mut out, 1000);
        assert_eq!(out[..], [0x3a, 6, 0, 1, b't', 0, 1, b'p', 0x62, 2, 0, 2]);
        assert!(window.send(message(QoS::AtLeastOnce), &mut out));
    }

    #[test]
    fn a_resend_waits_for_room_and_what_is_new_waits_for_it() {
        let mut window = Window::new(9, true);
        let send = |window: &mut Window| window.send(message(QoS::AtLeastOnce), &mut BytesMut::new());
        for _ in 0..5 {
            assert!(send(&mut window));
        }
        window.resume();
        let sent_again = |window: &mut Window| {
            let mut out = BytesMut::new();
            window.resend(&mut out, 1);
            out.get(6).copied()
        };
        assert_eq!(sent_again(&mut window), Some(1));
        assert!(window.is_full() && !send(&mut window));
        // One that was sent again, and one that was not, and need not be any more.
        window.pub_ack(1);
        window.pub_ack(3);
        assert_eq!([(); 4].map(|()| sent_again(&mut window)), [Some(2), Some(4), Some(5), None]);
        assert!(!window.is_full() && send(&mut window));
        // Once more, from the beginning.
        window.resume();
        window.pub_ack(2);
        assert_eq!(sent_again(&mut window), Some(4));
    }
}
