//! rumqttd's router behind a narrow door. The only file that names rumqttd.
//!
//! What the router does for us: it appends each message to the log of every matching filter, and lets each link
//! read those logs at its own pace. All else is ours, because its own versions lose messages or can be crashed by
//! a client: client ids (links are called by slot numbers), takeovers, QoS (links use QoS 0; the real one rides
//! along in a property), retained messages, wills, kept sessions.
//!
//! Bounds: a link holds at most 200 + [`READ_MESSAGES`] messages that its client has not taken; then it reads no
//! further, and once the log (segment size × count) has run past its place, it skips. Towards the router a
//! link waits ([`Link::has_room`]) while [`MAX_WAITING_PACKETS`] are unprocessed or the router's event queue is
//! nearly full.
//!
//! The router's thread cannot be ended from outside: each router that was replaced or drained leaves one
//! idle thread until the process ends.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{
    Disconnect, DisconnectReasonCode, Filter, Packet, Publish, PublishProperties, QoS as RouterQoS,
    RetainForwardRule, Subscribe, SubscribeProperties, Unsubscribe,
};
use rumqttd::{Forward, Notification, RouterConfig, SegmentConfig};
use tokio_util::sync::CancellationToken;

use crate::mqtt::{Message, QoS, Topic};
use crate::session::Arrived;

/// How many messages the router reads off a log at once. Its queue for a link holds 200 of them and one read more.
const READ_MESSAGES: u64 = 100;
/// Of the router's event queue (1000 places), the rest is left to connects and disconnects.
const MAX_WAITING_EVENTS: usize = 500;
const MAX_WAITING_PACKETS: usize = 512;
/// Stands before names that the router could not take: its matching slices a topic's first byte, and panics where a
/// character has more than one. Within the first level it changes nothing for wildcards. Names that begin with it get
/// one more, so that no two names become one.
const GUARD: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    pub bytes: usize,
    pub count: usize,
}

/// How much of each filter's messages stays readable. Three classes; no filter is in two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSizes {
    /// `tidegate/v1/+/+/+/up/+`: the ingest's.
    pub blocks: Segments,
    /// `tidegate/v1/{pp}/{site}/{gateway}/down/…`: one per gateway.
    pub down: Segments,
    pub other: Segments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the router's thread has ended")]
pub struct RouterGone;

type Connect = dyn Fn(&str) -> Result<(LinkTx, LinkRx), RouterGone> + Send + Sync;

/// One running router. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    connect: Arc<Connect>,
    waiting_events: Arc<dyn Fn() -> usize + Send + Sync>,
    /// The router keeps something for every link name for ever, so names are used again.
    free_slots: Arc<Mutex<Slots>>,
    lost: CancellationToken,
}

#[derive(Default)]
struct Slots {
    free: Vec<usize>,
    made: usize,
}

impl Router {
    /// Starts a router's thread. `max_links` beyond that are refused.
    pub fn start(max_links: usize, logs: LogSizes) -> Self {
        let segment = |segments: Segments| SegmentConfig {
            max_segment_size: segments.bytes,
            max_segment_count: segments.count,
        };
        let custom = HashMap::from([
            (tidegate_protocol::topic::ALL_BLOCKS.to_owned(), segment(logs.blocks)),
            ("tidegate/v1/+/+/+/down/#".to_owned(), segment(logs.down)),
        ]);
        let config = RouterConfig {
            max_connections: max_links,
            max_outgoing_packet_count: READ_MESSAGES,
            max_segment_size: logs.other.bytes,
            max_segment_count: logs.other.count,
            custom_segment: Some(custom),
            ..RouterConfig::default()
        };
        let events = rumqttd::Router::new(0, config).spawn();
        let waiting = events.clone();
        Self {
            connect: Arc::new(move |name| {
                let opened = LinkBuilder::new(name, events.clone()).build();
                opened.map(|(tx, rx, _connack)| (tx, rx)).map_err(|_| RouterGone)
            }),
            waiting_events: Arc::new(move || waiting.len()),
            free_slots: Arc::default(),
            lost: CancellationToken::new(),
        }
    }

    /// Opens a link. Blocks for the router's answer, so it runs on a blocking thread; a router that hangs is
    /// found by the probe, whose caller gives up waiting.
    pub async fn link(&self) -> Result<Link, RouterGone> {
        let router = self.clone();
        let opened = tokio::task::spawn_blocking(move || router.open());
        tokio::select! {
            link = opened => link.unwrap_or(Err(RouterGone)).inspect_err(|_| self.lost.cancel()),
            () = self.lost.cancelled() => Err(RouterGone),
        }
    }

    fn open(self) -> Result<Link, RouterGone> {
        let slot = {
            let mut slots = self.slots();
            slots.free.pop().unwrap_or_else(|| {
                slots.made += 1;
                slots.made
            })
        };
        let (tx, rx) = (self.connect)(&format!("link-{slot}"))?;
        Ok(Link { tx, rx, unconfirmed: VecDeque::new(), slot, router: self })
    }

    /// Resolves when somebody found that this router no longer works. Its links are of no more use then.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.free_slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Router").field("lost", &self.lost.is_cancelled()).finish_non_exhaustive()
    }
}

/// What the router says to a session.
#[derive(Debug)]
pub enum Heard {
    Message(Arrived),
    /// The filter of this number is subscribed: what is published from here on arrives.
    Subscribed(usize),
}

/// One session's place in the router.
pub struct Link {
    tx: LinkTx,
    rx: LinkRx,
    /// Subscriptions that the router has not confirmed; it does so in their order.
    unconfirmed: VecDeque<usize>,
    slot: usize,
    router: Router,
}

impl Link {
    /// Everything that arrives on `filter` will carry `number` (not 0). The router takes all that a link has for it at once, so a
    /// message of another link may still overtake this, until [`Heard::Subscribed`].
    pub fn subscribe(&mut self, filter: String, number: usize) -> Result<(), RouterGone> {
        let filter = Filter {
            path: guarded_filter(filter),
            qos: RouterQoS::AtMostOnce,
            nolocal: false,
            preserve_retain: false,
            retain_forward_rule: RetainForwardRule::Never,
        };
        let properties = SubscribeProperties { id: Some(number), user_properties: Vec::new() };
        self.unconfirmed.push_back(number);
        self.push(Packet::Subscribe(Subscribe { pkid: 0, filters: vec![filter] }, Some(properties)))
    }

    pub fn unsubscribe(&mut self, filter: String) -> Result<(), RouterGone> {
        let filters = vec![guarded_filter(filter)];
        self.push(Packet::Unsubscribe(Unsubscribe { pkid: 0, filters }, None))
    }

    /// Hands messages over in one go: one wake-up of the router for all of them.
    pub fn publish(&mut self, messages: &mut Vec<Message>) -> Result<(), RouterGone> {
        let Some(last) = messages.pop() else { return Ok(()) };
        if !messages.is_empty() {
            self.tx.buffer().extend(messages.drain(..).map(into_packet));
        }
        self.push(into_packet(last))
    }

    /// Whether the router keeps up. Publish no more while it does not.
    pub fn has_room(&self) -> bool {
        (self.router.waiting_events)() < MAX_WAITING_EVENTS && self.tx.buffer().len() < MAX_WAITING_PACKETS
    }

    /// The next word of the router. Cancel-safe.
    pub async fn next(&mut self) -> Result<Heard, RouterGone> {
        loop {
            let notification = self.rx.next().await.map_err(|_| self.gone())?;
            match notification {
                Some(Notification::Forward(forward)) => {
                    if let Some(arrived) = into_arrived(forward) {
                        return Ok(Heard::Message(arrived));
                    }
                }
                // The router paused this link after 200 messages; all of those have been taken by now.
                Some(Notification::Unschedule) => self.rx.ready().map_err(|_| self.gone())?,
                Some(acknowledgement) => {
                    // The others are of what the session acknowledged by itself already.
                    if let Some(Packet::SubAck(..)) = acknowledgement.into()
                        && let Some(number) = self.unconfirmed.pop_front()
                    {
                        return Ok(Heard::Subscribed(number));
                    }
                }
                None => {}
            }
        }
    }

    /// The next word of the router that is already here.
    pub fn try_next(&mut self) -> Result<Option<Heard>, RouterGone> {
        self.next().now_or_never().transpose()
    }

    pub fn router(&self) -> &Router {
        &self.router
    }

    fn push(&mut self, packet: Packet) -> Result<(), RouterGone> {
        // `send` never waits: it queues the packet and blocks only while the router's event queue is full.
        match self.tx.send(packet).now_or_never() {
            Some(Ok(_)) => Ok(()),
            _ => Err(self.gone()),
        }
    }

    fn gone(&self) -> RouterGone {
        self.router.lost.cancel();
        RouterGone
    }
}

impl Drop for Link {
    /// Without this the router would keep the link for ever. The slot is free only after the goodbye is queued, so
    /// that the next link of this name comes after it.
    fn drop(&mut self) {
        let disconnect = Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection };
        if !self.router.lost.is_cancelled() && self.push(Packet::Disconnect(disconnect, None)).is_ok() {
            self.router.slots().free.push(self.slot);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("slot", &self.slot).finish_non_exhaustive()
    }
}

fn needs_guard(name: &[u8]) -> bool {
    name.first().is_some_and(|first| !first.is_ascii() || *first == GUARD)
}

fn guarded_filter(mut filter: String) -> String {
    if needs_guard(filter.as_bytes()) {
        filter.insert(0, char::from(GUARD));
    }
    filter
}

fn guarded_topic(topic: &Bytes) -> Bytes {
    match needs_guard(topic) {
        true => [&[GUARD][..], topic].concat().into(),
        false => topic.clone(),
    }
}

fn unguarded_topic(topic: Bytes) -> Bytes {
    if topic.first() == Some(&GUARD) { topic.slice(1..) } else { topic }
}

fn into_packet(message: Message) -> Packet {
    let publish = Publish::new(guarded_topic(message.topic.bytes()), message.payload, false);
    // The router overwrites a message's QoS with the link's; this property passes through unchanged.
    let properties = PublishProperties {
        payload_format_indicator: Some(message.qos as u8),
        ..PublishProperties::default()
    };
    Packet::Publish(publish, Some(properties))
}

fn into_arrived(forward: Forward) -> Option<Arrived> {
    let properties = forward.properties?;
    let subscription = properties.subscription_identifiers.last().copied()?;
    let (_, offset) = forward.cursor?;
    let qos = QoS::from_bits(properties.payload_format_indicator?)?;
    let topic = Topic::new(unguarded_topic(forward.publish.topic)).ok()?;
    let message = Message { topic, payload: forward.publish.payload, qos, retain: false };
    Some(Arrived { message, subscription, offset })
}

/// For tests of what happens after the router's death.
#[cfg(test)]
impl Router {
    /// Makes the router's thread panic, by a message that no session of ours sends.
    pub async fn crash(&self) {
        let mut link = self.link().await.expect("the router runs");
        let goodbye = Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection };
        link.push(Packet::Disconnect(goodbye, None)).expect("the router runs");
        link.rx.ready().expect("the router runs");
    }
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
