//! Blocks in, acknowledgements out, over MQTT 3.1.1. The only file that names rumqttc.
//!
//! Each connection has a fresh client and a clean session: what was in flight in a lost one is the agents' to send again,
//! and nothing here depends on a broker's memory. One task polls and does nothing else. Inwards the bound is the
//! inbox: when it is full the poll waits, and so does the sender's TCP. Outwards it is [`OUTGOING_WAITING`]; what finds
//! no place, or no broker, is dropped: an agent without an acknowledgement sends again, and alarms' retained
//! messages are published anew at each connection.
//!
//! Certificate, key and authorities are read anew for each connection, so that it takes what was renewed meanwhile.

use std::{future::Future, sync::Arc, sync::atomic::Ordering, time::Duration};

use rumqttc::{
    AsyncClient, Event as MqttEvent, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS,
    SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use secrecy::ExposeSecret;
use tidegate_protocol::{
    block::MAX_BLOCK_BYTES,
    topic::{ALL_BLOCKS, ALL_STATUS},
};
use tidegate_trust::{Failure, Side};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::{clock::Clock, config::Broker, core::Event, heard, inbox::Postbox, shown::Shown};

/// Messages to the broker that wait at most.
pub const OUTGOING_WAITING: usize = 8_192;
/// Of those, what the client takes at a time.
const CLIENT_REQUESTS: usize = 64;
/// Unacknowledged publishes of ours at most.
const INFLIGHT: u16 = 1_000;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT_S: u64 = 5;
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(3);
/// Topic and header beside the largest block.
const MAX_PACKET_BYTES: usize = MAX_BLOCK_BYTES + 4_096;
/// How long the last messages may take to leave when the ingest stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// A message to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: String,
    pub retain: bool,
    pub payload: Vec<u8>,
}

/// Where blocks come from and acknowledgements go. The seam along which another carrier could be put in place.
pub trait Intake: Send + 'static {
    /// Brings events until `outgoing` is closed and sent, connecting again as often as needed.
    fn run(self, events: Postbox, outgoing: mpsc::Receiver<Outgoing>) -> impl Future<Output = ()> + Send;
}

pub struct MqttIntake {
    pub broker: Broker,
    pub clock: Clock,
    pub shown: Arc<Shown>,
}

/// How a connection ended.
enum End {
    Lost,
    /// There is nothing more to send, for good.
    Finished,
}

impl Intake for MqttIntake {
    async fn run(self, events: Postbox, mut outgoing: mpsc::Receiver<Outgoing>) {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let since = Instant::now();
            if let End::Finished = self.connection(&events, &mut outgoing).await {
                return;
            }
            if since.elapsed() > LONGEST_BACK_OFF {
                back_off = FIRST_BACK_OFF;
            }
            let until = Instant::now() + back_off;
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
            // What would be sent meanwhile has no one to go to.
            loop {
                tokio::select! {
                    () = sleep_until(until) => break,
                    message = outgoing.recv() => if message.is_none() { return },
                }
            }
        }
    }
}

impl MqttIntake {
    async fn connection(&self, events: &Postbox, outgoing: &mut mpsc::Receiver<Outgoing>) -> End {
        let (client, eventloop) = match self.transport().await {
            Ok(transport) => self.client(transport),
            Err(wrong) => {
                tracing::warn!(error = wrong, "no connection to the broker; trying again");
                return End::Lost;
            }
        };
        let poll = Poll {
            events: events.clone(),
            clock: self.clock,
            shown: Arc::clone(&self.shown),
            client: client.clone(),
        };
        let mut polling = tokio::spawn(poll.run(eventloop));
        let end = loop {
            let message = tokio::select! {
                _ = &mut polling => break End::Lost,
                message = outgoing.recv() => message,
            };
            let Some(Outgoing { topic, retain, payload }) = message else { break End::Finished };
            if !self.shown.broker_connected.load(Ordering::Relaxed) {
                continue;
            }
            // Waits while the client's own queue is full; its task goes on polling meanwhile.
            tokio::select! {
                _ = &mut polling => break End::Lost,
                sent = client.publish(topic, QoS::AtLeastOnce, retain, payload) => if sent.is_err() { break End::Lost },
            }
        };
        if let End::Finished = end {
            farewell(&client, &mut polling).await;
        }
        polling.abort();
        self.shown.broker_connected.store(false, Ordering::Relaxed);
        events.put(Event::BrokerLost).await;
        end
    }

    /// Of the files as they are now. An error is in words.
    async fn transport(&self) -> Result<Transport, String> {
        let Some(files) = self.broker.tls.clone() else { return Ok(Transport::Tcp) };
        let loaded = tokio::task::spawn_blocking(move || files.load()).await;
        let loaded = loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(Transport::Tls(TlsConfiguration::Rustls(loaded.config)))
    }

    fn client(&self, transport: Transport) -> (AsyncClient, EventLoop) {
        let Broker { host, port, client_id, login, .. } = &self.broker;
        let mut options = MqttOptions::new(client_id, host, *port);
        options
            .set_clean_session(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_inflight(INFLIGHT)
            .set_transport(transport)
            .set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES);
        if let Some((user, password)) = login {
            options.set_credentials(user, password.expose_secret());
        }
        let (client, mut eventloop) = AsyncClient::new(options, CLIENT_REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        eventloop.set_network_options(network);
        (client, eventloop)
    }
}

/// Lets what was published leave before the connection closes.
async fn farewell(client: &AsyncClient, polling: &mut JoinHandle<()>) {
    let leave = async {
        if client.disconnect().await.is_ok() {
            let _ended_either_way = polling.await;
        }
    };
    if tokio::time::timeout(FAREWELL, leave).await.is_err() {
        tracing::warn!("the broker did not take the last acknowledgements in time; agents will send again");
    }
}

/// The task that polls one connection.
struct Poll {
    events: Postbox,
    clock: Clock,
    shown: Arc<Shown>,
    client: AsyncClient,
}

impl Poll {
    async fn run(self, mut eventloop: EventLoop) {
        loop {
            match eventloop.poll().await {
                Ok(MqttEvent::Incoming(packet)) => {
                    if !self.packet(packet).await {
                        return;
                    }
                }
                Ok(MqttEvent::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
                Ok(MqttEvent::Outgoing(_)) => {}
                Err(error) => {
                    let error = Failure::in_words(Side::Client, &error);
                    tracing::warn!(error, "no connection to the broker; trying again");
                    return;
                }
            }
        }
    }

    /// Says whether to go on.
    async fn packet(&self, packet: Packet) -> bool {
        match packet {
            Packet::ConnAck(_) => {
                let filters = [ALL_BLOCKS, ALL_STATUS]
                    .map(|filter| SubscribeFilter::new(filter.to_owned(), QoS::AtLeastOnce));
                self.client.try_subscribe_many(filters).is_ok()
            }
            Packet::SubAck(ack) => {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    tracing::error!("the broker refused the subscription; give this user the ingest role");
                    return false;
                }
                tracing::info!("connected to the broker");
                self.shown.broker_connected.store(true, Ordering::Relaxed);
                self.shown.broker_connects.fetch_add(1, Ordering::Relaxed);
                self.events.put(Event::BrokerConnected).await;
                true
            }
            Packet::Publish(publish) => {
                let Publish { topic, payload, .. } = publish;
                if let Some(event) = heard::event(&topic, payload, self.clock.unix_ms()) {
                    self.events.put(event).await;
                }
                true
            }
            _ => true,
        }
    }
}
