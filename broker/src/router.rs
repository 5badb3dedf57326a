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
//! nearly full. What comes beyond that (of clients that were let read before it filled, and goodbyes) waits without
//! keeping anybody: a thread that waits for a router that hangs would be lost, and with it all the tasks on it.
//!
//! - A link that finds no place for its wake-up says so again ([`Link::catch_up`]).
//! - Links are opened, and said goodbye to, by one thread for each router, its porter. With a router that hangs
//!   it hangs too, and with one that is replaced it is forgotten.
//!
//! The router's thread cannot be ended from outside: each router that was replaced or drained leaves one
//! idle thread until the process ends, and one that hangs two.

mod names;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

#[cfg(any(test, debug_assertions))]
use bytes::Bytes;
use futures_util::FutureExt;
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{
    Disconnect, DisconnectReasonCode, Filter, Packet, Publish, PublishProperties, QoS as RouterQoS,
    RetainForwardRule, Subscribe, SubscribeProperties, Unsubscribe,
};
use rumqttd::{Forward, Notification, RouterConfig, SegmentConfig};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::names::{guarded_copy, guarded_filter, unguarded_topic};
#[cfg(any(test, debug_assertions))]
use crate::failpoint::RouterFault;
use crate::mqtt::{Message, QoS, Topic};
use crate::session::Arrived;

/// How many messages the router reads off a log at once. Its queue for a link holds 200 of them and one read more.
const READ_MESSAGES: u64 = 100;
/// Of the router's event queue (1000 places), the rest is left to connects and disconnects.
const MAX_WAITING_EVENTS: usize = 500;
/// And no link sends a wake-up beyond this: the last places are for the porter, and for links that look at the same time.
const FULL_EVENTS: usize = 900;
const MAX_WAITING_PACKETS: usize = 512;

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

/// What the porter does, in order.
enum Errand {
    Open(Router, oneshot::Sender<Result<Link, RouterGone>>),
    /// Of no use any more: its slot is free for the next.
    Close(LinkTx, usize),
}

/// Gives links the numbers of those that are gone: the router keeps something for every name for ever.
#[derive(Default)]
struct Slots {
    free: Vec<usize>,
    made: usize,
}

impl Slots {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.made += 1;
            self.made
        })
    }
}

type Opened = Result<(LinkTx, LinkRx), RouterGone>;

/// Until nobody has the router any more. Each step may wait for the router.
fn run_porter(errands: Receiver<Errand>, open: &dyn Fn(&str) -> Opened) {
    let mut slots = Slots::default();
    for errand in errands {
        match errand {
            Errand::Open(router, answer) => {
                if answer.is_closed() {
                    continue;
                }
                let slot = slots.take();
                let link = open(&format!("link-{slot}")).map(|(tx, rx)| Link::new(tx, rx, slot, router));
                // Who does not wait any more has no use for it: dropped, it comes back to be closed.
                let _unwanted = answer.send(link);
            }
            // Without the goodbye the router would keep the link for ever. The slot is free only once that is queued, so that
            // the next link of this name comes after it.
            Errand::Close(mut tx, slot) => {
                let disconnect = Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection };
                let sent = tx.send(Packet::Disconnect(disconnect, None)).now_or_never();
                if sent.is_some_and(|sent| sent.is_ok()) {
                    slots.free.push(slot);
                }
            }
        }
    }
}

/// One running router. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    porter: Sender<Errand>,
    waiting_events: Arc<dyn Fn() -> usize + Send + Sync>,
    lost: CancellationToken,
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
        let (porter, errands) = channel();
        let router =
            Self { porter, waiting_events: Arc::new(move || waiting.len()), lost: CancellationToken::new() };
        let open = move |name: &str| {
            let opened = LinkBuilder::new(name, events.clone()).build();
            opened.map(|(tx, rx, _connack)| (tx, rx)).map_err(|_| RouterGone)
        };
        let lost = router.lost.clone();
        let started =
            std::thread::Builder::new().name("porter".to_owned()).spawn(move || run_porter(errands, &open));
        if started.is_err() {
            // No more threads: the supervisor tries again with another router.
            lost.cancel();
        }
        router
    }

    /// Opens a link.
    pub async fn link(&self) -> Result<Link, RouterGone> {
        let (answer, opened) = oneshot::channel();
        let asked = self.porter.send(Errand::Open(self.clone(), answer));
        let opened = async {
            asked.map_err(|_| RouterGone)?;
            opened.await.unwrap_or(Err(RouterGone))
        };
        tokio::select! {
            link = opened => link.inspect_err(|_| self.lost.cancel()),
            () = self.lost.cancelled() => Err(RouterGone),
        }
    }

    /// Resolves when somebody found that this router no longer works. Its links are of no more use then.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    fn is_full(&self) -> bool {
        (self.waiting_events)() >= FULL_EVENTS
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
    /// None once it is being dropped.
    tx: Option<LinkTx>,
    rx: LinkRx,
    /// Packets wait for the router, which was not told so.
    is_unheard: bool,
    /// The router waits until it is told that what it handed over was taken.
    is_paused: bool,
    /// Subscriptions that the router has not confirmed; it does so in their order.
    unconfirmed: VecDeque<usize>,
    slot: usize,
    router: Router,
}

impl Link {
    fn new(tx: LinkTx, rx: LinkRx, slot: usize, router: Router) -> Self {
        let (is_unheard, is_paused, unconfirmed) = (false, false, VecDeque::new());
        Self { tx: Some(tx), rx, is_unheard, is_paused, unconfirmed, slot, router }
    }

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
            self.tx().ok_or(RouterGone)?.buffer().extend(messages.drain(..).map(into_packet));
        }
        self.push(into_packet(last))
    }

    /// Whether the router keeps up. Publish no more while it does not.
    pub fn has_room(&self) -> bool {
        let waiting = self.tx.as_ref().map_or(0, |tx| tx.buffer().len());
        (self.router.waiting_events)() < MAX_WAITING_EVENTS && waiting < MAX_WAITING_PACKETS
    }

    /// Tells the router of what it was too busy to be told of. Call it again while [`Link::is_unheard`].
    pub fn catch_up(&mut self) -> Result<(), RouterGone> {
        if !self.is_unheard || self.router.is_full() {
            return Ok(());
        }
        self.is_unheard = false;
        // Only with a packet can it be told. None is left where it looked for itself.
        let last = self.tx().and_then(|tx| tx.buffer().pop_back());
        last.map_or(Ok(()), |last| self.push(last))
    }

    pub fn is_unheard(&self) -> bool {
        self.is_unheard
    }

    /// The next word of the router. Cancel-safe.
    pub async fn next(&mut self) -> Result<Heard, RouterGone> {
        loop {
            if self.is_paused {
                // All of what it handed over has been taken by now.
                self.rx.wake().await.map_err(|_| self.gone())?;
                self.is_paused = false;
            }
            let notification = self.rx.next().await.map_err(|_| self.gone())?;
            match notification {
                Some(Notification::Forward(forward)) => {
                    if let Some(arrived) = into_arrived(forward) {
                        return Ok(Heard::Message(arrived));
                    }
                }
                // After 200 messages.
                Some(Notification::Unschedule) => self.is_paused = true,
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
        if self.router.lost.is_cancelled() {
            return Err(RouterGone);
        }
        let is_full = self.router.is_full();
        self.is_unheard |= is_full;
        let Some(tx) = self.tx() else { return Err(RouterGone) };
        if is_full {
            tx.buffer().push_back(packet);
            return Ok(());
        }
        // `send` queues the packet, and would block the thread while the router's event queue is full.
        match tx.send(packet).now_or_never() {
            Some(Ok(_)) => Ok(()),
            _ => Err(self.gone()),
        }
    }

    fn tx(&mut self) -> Option<&mut LinkTx> {
        self.tx.as_mut()
    }

    fn gone(&self) -> RouterGone {
        self.router.lost.cancel();
        RouterGone
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(tx) = self.tx.take().filter(|_| !self.router.lost.is_cancelled()) {
            // Without a porter there is no router either.
            let _gone = self.router.porter.send(Errand::Close(tx, self.slot));
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("slot", &self.slot).finish_non_exhaustive()
    }
}

fn into_packet(message: Message) -> Packet {
    let (topic, payload) = guarded_copy(&message);
    let publish = Publish::new(topic, payload, false);
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

/// For tests of what happens then. Never in a release build.
#[cfg(any(test, debug_assertions))]
impl Link {
    /// Makes the router's thread panic or hang, by a message that does so when the router lets go of it.
    pub fn break_router(&mut self, fault: RouterFault) -> Result<(), RouterGone> {
        struct Breaking(RouterFault);
        impl AsRef<[u8]> for Breaking {
            fn as_ref(&self) -> &[u8] {
                &[]
            }
        }
        impl Drop for Breaking {
            fn drop(&mut self) {
                match self.0 {
                    RouterFault::Dies => panic!("a test wants the router to die"),
                    RouterFault::Hangs => loop {
                        std::thread::park();
                    },
                }
            }
        }
        let publish = Publish::new(
            Bytes::from_static(b"tidegate-broker/fault"),
            Bytes::from_owner(Breaking(fault)),
            false,
        );
        self.push(Packet::Publish(publish, None))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::mqtt::{self, Decoded, decode};

    #[test]
    fn a_message_in_the_router_holds_nothing_of_what_it_was_read_into() {
        const LARGE: usize = 100_000;
        for length in [0, 1, 1_000, LARGE] {
            let mut inbox = BytesMut::with_capacity(2 * LARGE);
            let topic = Topic::new(Bytes::from_static("é/x".as_bytes())).expect("a topic");
            let payload = Bytes::from(vec![7; length]);
            let sent = Message { topic, payload, qos: QoS::AtLeastOnce, retain: false };
            mqtt::publish(&mut inbox, &sent, Some(1), false);
            let Ok(Decoded::Packet(mqtt::Packet::Publish { message, .. })) = decode(&mut inbox, 2 * LARGE)
            else {
                panic!("it is a PUBLISH");
            };
            let kept = into_packet(message);
            assert!(inbox.try_reclaim(2 * LARGE), "{length} bytes hold the whole buffer");
            let Packet::Publish(publish, _) = kept else { panic!("it is a PUBLISH") };
            assert_eq!(unguarded_topic(publish.topic), sent.topic.bytes());
            assert_eq!(publish.payload, sent.payload);
        }
    }
}
