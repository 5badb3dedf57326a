//! One client's connection, from accept to the end. One task reads, writes and listens to the router, so that an
//! answer never waits for another task; what one wake-up gives rise to leaves in one write.
//!
//! Bounds: twice `limits.max_packet_bytes` of a packet being read, and twice [`MAX_READ_BYTES`] without one; [`OUT_FILL_BYTES`] and one packet of messages being
//! written, [`OUT_READ_BYTES`] with answers. Beyond the first no more messages are taken from the router, beyond the
//! second nothing is read; a client that reads nothing for `limits.write_timeout_ms` is dropped.

mod clock;

use std::time::Duration;

use bytes::BytesMut;
use tidegate_trust::Failure;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use self::clock::Clock;
use crate::broker::Broker;
use crate::failpoint::FailPoint;
#[cfg(debug_assertions)]
use crate::failpoint::RouterFault;
use crate::handshake::{Admitted, Refusal, admit, read_connect};
use crate::mqtt::{self, ConnectCode, Decoded, Malformed, Message, SUBSCRIBE_REFUSED, decode};
use crate::registry::Admission;
use crate::router::{Heard, Link, RouterGone};
use crate::session::{Arrived, Effect, Flow, Session, Violation};
use crate::transport::Caller;

const OUT_FILL_BYTES: usize = 256 * 1024;
const OUT_READ_BYTES: usize = 512 * 1024;
/// What a read asks for at first; it doubles while the client fills it.
const MIN_READ_BYTES: usize = 4 * 1024;
const MAX_READ_BYTES: usize = 128 * 1024;
/// How long a connection that ends may take to write what it still has.
const FAREWELL: Duration = Duration::from_millis(500);
/// How soon a connection looks whether an overloaded router has room again; each time it waits twice as long.
const FIRST_ROOM_CHECK: Duration = Duration::from_millis(1);
const LAST_ROOM_CHECK: Duration = Duration::from_millis(64);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client said goodbye")]
    Goodbye,
    #[error("the client closed the connection")]
    Closed,
    #[error("nothing was heard for one and a half times the keep-alive")]
    KeepAlive,
    #[error("the client does not read: nothing could be written for limits.write_timeout_ms")]
    Stalled,
    #[error("a packet did not come to its end within limits.packet_timeout_ms")]
    Dawdled,
    #[error("another connection took the client id over")]
    TakenOver,
    #[error("its certificate does not count any more: {0}")]
    Distrusted(Failure),
    #[error("the broker is shutting down")]
    Shutdown,
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Violation(#[from] Violation),
    #[error("{0}")]
    Router(#[from] RouterGone),
}

impl End {
    fn reason(&self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::Closed => "closed",
            Self::KeepAlive => "keep-alive",
            Self::Stalled => "stalled",
            Self::Dawdled => "packet-timeout",
            Self::TakenOver => "taken-over",
            Self::Distrusted(_) => "distrusted",
            Self::Shutdown => "shutdown",
            Self::Malformed(_) => "protocol",
            Self::Violation(Violation::PublishRefused(_)) => "unauthorised",
            Self::Violation(_) => "protocol",
            Self::Router(_) => "router",
        }
    }

    fn is_the_clients_fault(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::Violation(_) | Self::Stalled | Self::Dawdled | Self::Distrusted(_)
        )
    }
}

/// Serves one client until it ends.
pub async fn serve<S: AsyncRead + AsyncWrite>(
    broker: &Broker,
    stream: S,
    caller: Caller,
    mut admission: Admission,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut inbox = BytesMut::with_capacity(MIN_READ_BYTES);
    let peer = caller.address;
    let admitted = welcome(broker, &mut reader, &mut inbox, &caller).await;
    match admitted {
        Err(refusal) => {
            broker.metrics.refuse(refusal.reason());
            tracing::info!(%peer, reason = %refusal, "client refused");
            if let Some(code) = refusal.code() {
                let mut out = BytesMut::new();
                mqtt::connack(&mut out, false, code);
                farewell(&mut writer, &mut out).await;
            }
        }
        Ok(admitted) => {
            admission.known();
            broker.metrics.accepted.inc();
            tracing::debug!(%peer, client = admitted.held.client_id(), "client connected");
            converse(broker, reader, writer, inbox, admitted, caller).await;
        }
    }
}

async fn welcome(
    broker: &Broker,
    reader: &mut (impl AsyncRead + Unpin),
    inbox: &mut BytesMut,
    caller: &Caller,
) -> Result<Admitted, Refusal> {
    let read = timeout_at(caller.deadline, read_connect(reader, inbox));
    let connect = tokio::select! {
        connect = read => connect.unwrap_or(Err(Refusal::Timeout))?,
        () = broker.shutdown.wait() => return Err(Refusal::Closed),
    };
    admit(broker, connect, caller.certificate.as_ref()).await
}

async fn converse<S: AsyncRead + AsyncWrite>(
    broker: &Broker,
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    inbox: BytesMut,
    admitted: Admitted,
    mut caller: Caller,
) {
    let Admitted { held, mut session, link, resumed, clean_session, will, silence_limit } = admitted;
    let mut out = BytesMut::with_capacity(MIN_READ_BYTES);
    mqtt::connack(&mut out, resumed, ConnectCode::Accepted);
    session.resume();
    let mut connection = Connection {
        broker,
        session,
        link,
        inbox,
        out,
        effects: Vec::new(),
        publishes: Vec::new(),
        read_bytes: MIN_READ_BYTES,
        inbox_bytes: MIN_READ_BYTES,
        packets: 0,
        is_tls: caller.is_tls,
        unflushed: false,
    };
    let clock = Clock::new(Instant::now(), silence_limit, &broker.config.limits);
    let mut writer = writer;
    let peer = caller.address;
    let ousted = async {
        tokio::select! {
            () = held.takeover().cancelled() => End::TakenOver,
            failure = caller.distrusted() => End::Distrusted(failure),
        }
    };
    let end = connection.run(reader, &mut writer, clock, ousted).await;
    broker.metrics.end(end.reason());
    let client = held.client_id();
    if end.is_the_clients_fault() {
        tracing::warn!(%peer, client, reason = %end, "connection ended");
    } else {
        tracing::debug!(%peer, client, reason = %end, "connection ended");
    }
    if let (Some(will), false) = (will, matches!(end, End::Goodbye | End::Shutdown)) {
        connection.publish_will(will);
    }
    if !matches!(end, End::Router(_)) {
        farewell(&mut writer, &mut connection.out).await;
    }
    let Connection { session, link, .. } = connection;
    if !clean_session && !matches!(end, End::Shutdown) {
        held.keep(session, link);
    }
}

/// Writes what is left and closes, if the client lets us.
async fn farewell(writer: &mut (impl AsyncWrite + Unpin), out: &mut BytesMut) {
    let goodbye = async {
        writer.write_all_buf(out).await?;
        writer.shutdown().await
    };
    // A client that is gone or does not read is simply cut off.
    let _cut_off = timeout(FAREWELL, goodbye).await;
}

/// How much was written; none where all was, and what was held back has left.
async fn write_or_flush(
    writer: &mut (impl AsyncWrite + Unpin),
    out: &mut BytesMut,
) -> std::io::Result<Option<usize>> {
    match out.is_empty() {
        true => writer.flush().await.map(|()| None),
        false => writer.write_buf(out).await.map(Some),
    }
}

struct Connection<'b> {
    broker: &'b Broker,
    session: Session,
    link: Link,
    inbox: BytesMut,
    out: BytesMut,
    /// Both are empty between wake-ups.
    effects: Vec<Effect>,
    publishes: Vec<Message>,
    read_bytes: usize,
    /// What the inbox had room for at the most, since it was new.
    inbox_bytes: usize,
    /// So many came.
    packets: u64,
    /// TLS lies between, which may hold back what it took.
    is_tls: bool,
    unflushed: bool,
}

impl Connection<'_> {
    async fn run<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut reader: ReadHalf<S>,
        writer: &mut WriteHalf<S>,
        mut clock: Clock,
        ousted: impl Future<Output = End>,
    ) -> End {
        let lost = self.link.router().lost().clone();
        let ends = async {
            tokio::select! {
                end = ousted => end,
                () = self.broker.shutdown.wait() => End::Shutdown,
                () = lost.cancelled() => End::Router(RouterGone),
            }
        };
        tokio::pin!(ends);
        let timer = sleep_until(clock.next_check(Instant::now()));
        tokio::pin!(timer);
        // What came together with the CONNECT.
        if let Some(end) = self.take_inbox().unwrap_or_else(Some) {
            return end;
        }
        let mut room_check = FIRST_ROOM_CHECK;
        loop {
            if let Err(end) = self.fill_out() {
                return end;
            }
            self.make_room_to_read();
            clock.owes(Instant::now, !self.out.is_empty() || self.unflushed);
            let reads = self.out.len() < OUT_READ_BYTES;
            let router_has_room = self.link.has_room() && !self.link.is_unheard();
            if router_has_room {
                room_check = FIRST_ROOM_CHECK;
            }
            let delivers = self.out.len() < OUT_FILL_BYTES && self.session.has_room();
            tokio::select! {
                end = &mut ends => return end,
                read = reader.read_buf(&mut self.inbox), if reads && router_has_room => match read {
                    Ok(0) | Err(_) => return End::Closed,
                    Ok(bytes) => {
                        self.broker.metrics.bytes_in.inc_by(bytes as u64);
                        let before = self.packets;
                        if let Some(end) = self.take_inbox().unwrap_or_else(Some) {
                            return end;
                        }
                        clock.heard(Instant::now(), self.packets > before, !self.inbox.is_empty());
                    }
                },
                written = write_or_flush(writer, &mut self.out), if !self.out.is_empty() || self.unflushed => match written {
                    Ok(Some(0)) | Err(_) => return End::Closed,
                    Ok(None) => self.unflushed = false,
                    Ok(Some(bytes)) => {
                        clock.wrote();
                        self.unflushed = self.is_tls;
                        FailPoint::AfterWrite.hit();
                        self.broker.metrics.bytes_out.inc_by(bytes as u64);
                    }
                },
                heard = self.link.next(), if delivers => {
                    if let Some(end) = heard.map_err(End::from).and_then(|heard| self.take(heard)).err() {
                        return end;
                    }
                }
                () = sleep(room_check), if !router_has_room => {
                    room_check = (room_check * 2).min(LAST_ROOM_CHECK);
                    if let Err(gone) = self.link.catch_up() {
                        return gone.into();
                    }
                }
                () = &mut timer => {
                    let now = Instant::now();
                    if let Some(end) = clock.check(now) {
                        return end;
                    }
                    timer.as_mut().reset(clock.next_check(now));
                }
            }
        }
    }

    /// Handles every complete packet that has been read. `Ok(Some)` and `Err` end the connection alike.
    fn take_inbox(&mut self) -> Result<Option<End>, End> {
        let result = self.handle_packets();
        // What came before a bad packet is valid and goes its way.
        if !self.publishes.is_empty() {
            FailPoint::BeforeRoute.hit();
            #[cfg(debug_assertions)]
            if let Some(fault) = RouterFault::due() {
                self.link.break_router(fault)?;
            }
            self.link.publish(&mut self.publishes)?;
        }
        result
    }

    fn handle_packets(&mut self) -> Result<Option<End>, End> {
        loop {
            let packet = match decode(&mut self.inbox, self.broker.config.limits.max_packet_bytes)? {
                Decoded::Packet(packet) => packet,
                Decoded::Incomplete(missing) => {
                    self.read_bytes = self.read_bytes.max(missing.min(MAX_READ_BYTES));
                    return Ok(None);
                }
            };
            self.packets += 1;
            let catalogue = &self.broker.catalogue;
            let flow = self.session.handle(packet, catalogue, &mut self.out, &mut self.effects);
            let flow = flow.inspect_err(|violation| {
                if matches!(violation, Violation::PublishRefused(_)) {
                    self.broker.metrics.refuse_action("publish", 1);
                }
            })?;
            self.perform_effects()?;
            if flow == Flow::Ends {
                return Ok(Some(End::Goodbye));
            }
        }
    }

    fn perform_effects(&mut self) -> Result<(), End> {
        let mut refused = 0;
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Publish(message) => {
                    if message.retain {
                        self.broker.retain(&message);
                    }
                    self.broker.metrics.messages_in.inc();
                    self.publishes.push(message);
                }
                Effect::Subscribe { filter, number } => self.link.subscribe(filter, number)?,
                Effect::Unsubscribe { filter } => self.link.unsubscribe(filter)?,
                Effect::FindRetained { filter, qos } => {
                    let found = self.broker.retained().matching(&filter);
                    self.session.send_retained(found, qos)?;
                }
                Effect::Refused { filter } => {
                    // One line for a packet; a client may ask for a great many.
                    if refused == 0 {
                        let user = &*self.session.identity().user;
                        tracing::warn!(user, filter, code = SUBSCRIBE_REFUSED, "subscription refused");
                    }
                    refused += 1;
                }
            }
        }
        if refused > 0 {
            self.broker.metrics.refuse_action("subscribe", refused);
        }
        Ok(())
    }

    /// Takes what is already here, so that it leaves in one write.
    fn fill_out(&mut self) -> Result<(), End> {
        let sent = self.session.write_backlog(&mut self.out, OUT_FILL_BYTES);
        self.broker.metrics.messages_out.inc_by(sent);
        while self.out.len() < OUT_FILL_BYTES && self.session.has_room() {
            let Some(heard) = self.link.try_next()? else { break };
            self.take(heard)?;
        }
        Ok(())
    }

    fn take(&mut self, heard: Heard) -> Result<(), End> {
        match heard {
            Heard::Message(arrived) => self.deliver(arrived),
            Heard::Subscribed(number) => {
                self.session.subscribed(number, &mut self.out, &mut self.effects);
                self.perform_effects()?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, arrived: Arrived) {
        FailPoint::BeforeDelivery.hit();
        let delivered = self.session.deliver(arrived, &mut self.out);
        self.broker.metrics.messages_out.inc_by(u64::from(delivered.sent));
        if delivered.skipped > 0 {
            self.broker.metrics.skipped.inc_by(delivered.skipped);
            let user = &*self.session.identity().user;
            tracing::warn!(user, skipped = delivered.skipped, "a lagging subscriber missed messages");
        }
    }

    /// The inbox grows with what the client sends, and is used again once that is through: what is kept of it is copied. What a
    /// large packet took is given back.
    fn make_room_to_read(&mut self) {
        if self.inbox.is_empty() && self.inbox_bytes > 2 * MAX_READ_BYTES {
            (self.inbox, self.inbox_bytes) = (BytesMut::new(), 0);
        }
        let free = self.inbox.capacity() - self.inbox.len();
        if free < self.read_bytes / 4 || free == 0 {
            self.inbox.reserve(self.read_bytes);
            self.inbox_bytes = self.inbox_bytes.max(self.inbox.capacity());
            self.read_bytes = (self.read_bytes * 2).min(MAX_READ_BYTES);
        }
        if self.out.is_empty() && self.out.capacity() > OUT_FILL_BYTES {
            self.out = BytesMut::with_capacity(MIN_READ_BYTES);
        }
    }

    fn publish_will(&mut self, will: Message) {
        if will.retain {
            self.broker.retain(&will);
        }
        self.broker.metrics.wills.inc();
        // Without a router there is nobody who could hear it now.
        let _nobody_hears = self.link.publish(&mut vec![will]);
    }
}
