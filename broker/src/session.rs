//! One client's session: what the standard makes the broker remember and answer. Pure: packets and messages in;
//! bytes to write and effects for the router out.
//!
//! Acknowledgements are flow control (custody is end to end, from the agent's queue to the ingest's journal): a
//! PUBACK or PUBREC leaves once the message is on its way to the router.
//!
//! Bounds: `max_filters` subscriptions, as many looked at in one SUBSCRIBE, and as many SUBSCRIBEs that wait for the router; `max_inflight` messages out and as many
//! QoS 2 exchanges in; `max_backlog` retained messages that wait for room, and `max_backlog_bytes` of them.

use std::collections::{HashSet, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::access::{Identity, PROBE_ROOT};
use crate::catalogue::Catalogue;
use crate::mqtt::{self, Message, Packet, QoS, SUBSCRIBE_REFUSED, ShortAck, Topic, filter_problem};
use crate::window::Window;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    pub max_filters: usize,
    pub max_inflight: u16,
    pub max_backlog: usize,
    /// Topics and payloads together.
    pub max_backlog_bytes: usize,
}

#[derive(Debug)]
pub struct Session {
    identity: Identity,
    limits: SessionLimits,
    subscriptions: Vec<Subscription>,
    next_subscription: usize,
    /// SUBSCRIBEs of this connection that the router has not carried out.
    unconfirmed: Vec<Unconfirmed>,
    window: Window,
    /// QoS 2 ids received and not yet released.
    received: HashSet<u16>,
    /// Retained messages that wait for room.
    backlog: VecDeque<Message>,
    backlog_bytes: usize,
    /// Topics that were authorised before, so that a steady publisher is not checked again and again.
    allowed_topics: HashSet<Bytes>,
}

#[derive(Debug)]
struct Subscription {
    filter: String,
    qos: QoS,
    number: usize,
    /// The router has carried it out.
    is_confirmed: bool,
    /// The offset that the router's log should deliver next; `None` before the first.
    next_offset: Option<u64>,
}

/// A SUBSCRIBE whose answer waits for the router: after a SUBACK nothing that is published may be missed.
#[derive(Debug, Default)]
struct Unconfirmed {
    id: u16,
    codes: Vec<u8>,
    awaited: Vec<usize>,
    /// Looked for only then, so that what is retained meanwhile is found.
    retained: Vec<(String, QoS)>,
}

/// What the shell does on the session's behalf, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    Publish(Message),
    /// Ask the router for a filter; what arrives on it carries the number.
    Subscribe {
        filter: String,
        number: usize,
    },
    /// Find the retained messages for a filter and give them to [`Session::send_retained`].
    FindRetained {
        filter: String,
        qos: QoS,
    },
    Unsubscribe {
        filter: String,
    },
    /// Nothing but a note for the log: this filter was answered with 0x80.
    Refused {
        filter: String,
    },
}

/// A message from the router's log.
#[derive(Debug)]
pub struct Arrived {
    pub message: Message,
    pub subscription: usize,
    pub offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    GoesOn,
    /// The client said goodbye: its will is void.
    Ends,
}

/// What a client must not do; the connection ends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("not authorised to publish on {0}")]
    PublishRefused(String),
    #[error("the broker knows limits.max_topics topics and refuses the new one {0}")]
    TooManyTopics(String),
    #[error("more than limits.max_inflight QoS 2 messages without a PUBREL")]
    TooManyUnreleased,
    #[error("asks for retained messages faster than it takes them")]
    TooMuchBacklog,
    #[error("a second CONNECT")]
    SecondConnect,
}

/// What became of a message from the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    pub sent: bool,
    /// Messages that the log dropped before this one, because the client lagged too far behind.
    pub skipped: u64,
}

impl Session {
    pub fn new(identity: Identity, limits: SessionLimits, clean: bool) -> Self {
        Self {
            identity,
            limits,
            subscriptions: Vec::new(),
            next_subscription: 1,
            unconfirmed: Vec::new(),
            window: Window::new(limits.max_inflight, !clean),
            received: HashSet::new(),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            allowed_topics: HashSet::new(),
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the router has to know again after it was restarted; its offsets start anew, and so does the catalogue. `None`: it has
    /// no room for all of that, and the session is of no further use.
    pub fn resubscribe(&mut self, catalogue: &Catalogue) -> Option<Vec<Effect>> {
        let claim = self.identity.role.claim();
        if !self.subscriptions.iter().all(|known| catalogue.admits_filter(&known.filter, claim)) {
            return None;
        }
        self.allowed_topics.clear();
        let again = |subscription: &mut Subscription| {
            subscription.next_offset = None;
            subscription.is_confirmed = false;
            Effect::Subscribe { filter: subscription.filter.clone(), number: subscription.number }
        };
        Some(self.subscriptions.iter_mut().map(again).collect())
    }

    /// After the client came back to a kept session.
    pub fn resume(&mut self) {
        self.unconfirmed.clear();
        self.window.resume();
    }

    /// Whether anything more may be taken from the router.
    pub fn has_room(&self) -> bool {
        self.backlog.is_empty() && !self.window.is_full()
    }

    pub fn handle(
        &mut self,
        packet: Packet,
        catalogue: &Catalogue,
        out: &mut BytesMut,
        effects: &mut Vec<Effect>,
    ) -> Result<Flow, Violation> {
        match packet {
            Packet::Connect(_) => return Err(Violation::SecondConnect),
            Packet::Publish { message, id } => self.publish(message, id, catalogue, out, effects)?,
            Packet::PubAck(id) => self.window.pub_ack(id),
            Packet::PubRec(id) => self.window.pub_rec(id, out),
            Packet::PubComp(id) => self.window.pub_comp(id),
            Packet::PubRel(id) => {
                self.received.remove(&id);
                mqtt::short_ack(out, ShortAck::PubComp, id);
            }
            Packet::Subscribe { id, filters } => {
                let mut subscribing = Unconfirmed { id, ..Unconfirmed::default() };
                let asked = filters.len();
                // Repeated faster than the router answers, they would pile up.
                let looked_at = if self.unconfirmed.len() < self.limits.max_filters {
                    self.limits.max_filters
                } else {
                    0
                };
                for (filter, qos) in filters.into_iter().take(looked_at) {
                    let code = self.subscribe(filter, qos, catalogue, &mut subscribing, effects);
                    subscribing.codes.push(code);
                }
                subscribing.codes.resize(asked, SUBSCRIBE_REFUSED);
                if subscribing.awaited.is_empty() {
                    subscribing.confirm(out, effects);
                } else {
                    self.unconfirmed.push(subscribing);
                }
            }
            Packet::Unsubscribe { id, filters } => {
                for filter in filters {
                    self.unsubscribe(filter, effects);
                }
                mqtt::short_ack(out, ShortAck::UnsubAck, id);
            }
            Packet::PingReq => mqtt::pingresp(out),
            Packet::Disconnect => return Ok(Flow::Ends),
        }
        Ok(Flow::GoesOn)
    }

    fn publish(
        &mut self,
        message: Message,
        id: u16,
        catalogue: &Catalogue,
        out: &mut BytesMut,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        self.authorise(&message.topic, catalogue)?;
        match message.qos {
            QoS::AtMostOnce => effects.push(Effect::Publish(message)),
            QoS::AtLeastOnce => {
                effects.push(Effect::Publish(message));
                mqtt::short_ack(out, ShortAck::PubAck, id);
            }
            QoS::ExactlyOnce => {
                if self.received.len() >= usize::from(self.limits.max_inflight)
                    && !self.received.contains(&id)
                {
                    return Err(Violation::TooManyUnreleased);
                }
                if self.received.insert(id) {
                    effects.push(Effect::Publish(message));
                }
                mqtt::short_ack(out, ShortAck::PubRec, id);
            }
        }
        Ok(())
    }

    /// The rule for publishes, which is that for wills too.
    pub fn authorise(&mut self, topic: &Topic, catalogue: &Catalogue) -> Result<(), Violation> {
        /// A gateway has eight topics; an ingest with more gateways than this is merely checked again.
        const REMEMBERED_TOPICS: usize = 256;
        if self.allowed_topics.contains(topic.bytes()) {
            return Ok(());
        }
        let name = topic.as_str();
        if !self.identity.role.may_publish(name) {
            return Err(Violation::PublishRefused(name.to_owned()));
        }
        if !catalogue.admits_topic(name, self.identity.role.claim()) {
            return Err(Violation::TooManyTopics(name.to_owned()));
        }
        if self.allowed_topics.len() >= REMEMBERED_TOPICS {
            self.allowed_topics.clear();
        }
        self.allowed_topics.insert(Bytes::copy_from_slice(topic.bytes()));
        Ok(())
    }

    /// The SUBACK code. A filter that is subscribed already changes its QoS and sends the retained messages again.
    fn subscribe(
        &mut self,
        filter: String,
        qos: QoS,
        catalogue: &Catalogue,
        subscribing: &mut Unconfirmed,
        effects: &mut Vec<Effect>,
    ) -> u8 {
        if filter_problem(&filter).is_some() || !self.identity.role.may_subscribe(&filter) {
            effects.push(Effect::Refused { filter });
            return SUBSCRIBE_REFUSED;
        }
        if let Some(known) = self.subscriptions.iter_mut().find(|known| known.filter == filter) {
            known.qos = qos;
            if !known.is_confirmed {
                subscribing.awaited.push(known.number);
            }
        } else {
            let is_admitted = || catalogue.admits_filter(&filter, self.identity.role.claim());
            if self.subscriptions.len() >= self.limits.max_filters || !is_admitted() {
                effects.push(Effect::Refused { filter });
                return SUBSCRIBE_REFUSED;
            }
            let number = self.next_subscription;
            self.next_subscription += 1;
            let (is_confirmed, next_offset) = (false, None);
            self.subscriptions.push(Subscription {
                filter: filter.clone(),
                qos,
                number,
                is_confirmed,
                next_offset,
            });
            effects.push(Effect::Subscribe { filter: filter.clone(), number });
            subscribing.awaited.push(number);
        }
        subscribing.retained.push((filter, qos));
        qos as u8
    }

    /// The router has carried out [`Effect::Subscribe`].
    pub fn subscribed(&mut self, number: usize, out: &mut BytesMut, effects: &mut Vec<Effect>) {
        if let Some(known) = self.subscriptions.iter_mut().find(|known| known.number == number) {
            known.is_confirmed = true;
        }
        self.unconfirmed.iter_mut().for_each(|waiting| waiting.awaited.retain(|awaited| *awaited != number));
        for confirmed in self.unconfirmed.extract_if(.., |waiting| waiting.awaited.is_empty()) {
            confirmed.confirm(out, effects);
        }
    }

    fn unsubscribe(&mut self, filter: String, effects: &mut Vec<Effect>) {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|subscription| subscription.filter != filter);
        if self.subscriptions.len() < before {
            effects.push(Effect::Unsubscribe { filter });
        }
    }

    /// Queues what [`Effect::FindRetained`] asked for.
    pub fn send_retained(&mut self, messages: Vec<Message>, qos: QoS) -> Result<(), Violation> {
        let bytes = messages.iter().fold(self.backlog_bytes, |sum, new| sum.saturating_add(new.bytes()));
        let count = self.backlog.len().saturating_add(messages.len());
        if count > self.limits.max_backlog || bytes > self.limits.max_backlog_bytes {
            return Err(Violation::TooMuchBacklog);
        }
        self.backlog_bytes = bytes;
        let granted = |message: Message| Message { qos: message.qos.min(qos), ..message };
        self.backlog.extend(messages.into_iter().map(granted));
        Ok(())
    }

    /// Writes what is to be sent again, then queued retained messages, until the window or `out` is full. Gives the number of
    /// those.
    pub fn write_backlog(&mut self, out: &mut BytesMut, out_limit_bytes: usize) -> u64 {
        self.window.resend(out, out_limit_bytes);
        let mut sent = 0;
        while out.len() < out_limit_bytes && !self.window.is_full() {
            let Some(message) = self.backlog.pop_front() else { break };
            self.backlog_bytes = self.backlog_bytes.saturating_sub(message.bytes());
            self.write(message, out);
            sent += 1;
        }
        sent
    }

    /// Writes a message from the router, at the lower of its own and the granted QoS. Call it only while
    /// [`Session::has_room`]. What comes on a filter that was unsubscribed meanwhile is dropped, as is the
    /// broker's own probe.
    pub fn deliver(&mut self, arrived: Arrived, out: &mut BytesMut) -> Delivered {
        let Arrived { mut message, subscription, offset } = arrived;
        // Numbers ascend, so the list is sorted by them.
        let found = self.subscriptions.binary_search_by_key(&subscription, |known| known.number);
        let Some(known) = found.ok().and_then(|index| self.subscriptions.get_mut(index)) else {
            return Delivered::default();
        };
        let expected = known.next_offset.replace(offset.saturating_add(1));
        let skipped = expected.map_or(0, |expected| offset.saturating_sub(expected));
        if message.topic.as_str().starts_with(PROBE_ROOT) {
            return Delivered { sent: false, skipped };
        }
        message.qos = message.qos.min(known.qos);
        Delivered { sent: self.write(message, out), skipped }
    }

    fn write(&mut self, message: Message, out: &mut BytesMut) -> bool {
        if message.qos == QoS::AtMostOnce {
            mqtt::publish(out, &message, None, false);
            return true;
        }
        self.window.send(message, out)
    }
}

impl Unconfirmed {
    fn confirm(self, out: &mut BytesMut, effects: &mut Vec<Effect>) {
        mqtt::suback(out, self.id, &self.codes);
        effects.extend(self.retained.into_iter().map(|(filter, qos)| Effect::FindRetained { filter, qos }));
    }
}

#[cfg(test)]
mod tests;
