//! The link to the broker, over rumqttc. No other file of the agent names it.
//!
//! Each connection has a fresh event loop and a clean session: rumqttc forgets what it held when a session is new, and
//! a publish that collided once would block for ever, so nothing is left to it. What was not acknowledged by the cloud
//! is sent again by the core. One task owns the event loop and does nothing but poll it.
//!
//! A connection counts as up once acknowledgements are subscribed to. Publishes never wait: the core keeps fewer in
//! flight than the request channel takes. Connecting is tried again with back-off and full jitter, without end.
//!
//! Certificate, key and authorities are read anew for each connection, so that it takes what was renewed meanwhile. Wrong
//! files are a link that is down, and no reason to stop measuring.

mod link;
pub mod trial;

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rumqttc::{
    AsyncClient, Event as Polled, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS,
    SubscribeReasonCode, Transport,
};
use secrecy::{ExposeSecret, SecretString};
use tidegate_protocol::{
    ack::BlockAck,
    rules::{RulesDown, RulesUp, Verdicts},
    sealed::SealError,
    settings::{DesiredSettings, ReportedSettings},
    status::GatewayStatus,
    topic::{Down, GatewayPath, Lane},
};
use tidegate_service::Shutdown;
use tidegate_trust::ClientFiles;
use tokio::{sync::mpsc::Sender, task::JoinHandle, time::Instant};

use crate::{
    clock::ShellClock,
    core::{Backoff, Event, MAX_UNPUBACKED},
    failpoint::FailPoint,
    queue::Age,
};

/// Requests that wait for the event loop: more than the core ever has unacknowledged.
const REQUESTS: usize = 4 * MAX_UNPUBACKED;
/// Far above what is in flight, so that packet ids never collide.
const INFLIGHT: u16 = 8 * MAX_UNPUBACKED as u16;
/// Above the largest block, with its topic.
const MAX_PACKET_BYTES: usize = 1024 * 1024;
/// A connection that held this long starts the back-off anew.
const STEADY: Duration = Duration::from_secs(10);
/// How often it looks whether there is something to tell anew, which the cloud raises alarms by.
const LOOK_FOR_NEWS: Duration = Duration::from_secs(10);
/// A link that stands for long is told how old the queue is so often: a copy of a younger one is known as such later.
const TELL_AGE: Duration = Duration::from_secs(6 * 3_600);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where the broker is and who we are to it.
#[derive(Clone, Debug)]
pub struct UplinkSettings {
    pub host: String,
    pub port: u16,
    /// None: in clear.
    pub tls: Option<ClientFiles>,
    pub credentials: Option<(String, SecretString)>,
    pub path: GatewayPath,
    pub epoch: u64,
    pub queue: Age,
    pub keep_alive: Duration,
    pub longest_backoff: Duration,
}

/// Hands blocks to the connection that is up, if one is.
pub struct Uplink {
    shared: Arc<Mutex<Option<Connection>>>,
    topics: [String; 4],
    settings_topic: String,
    rules_topic: String,
    verdicts_topic: String,
    settings: UplinkSettings,
    clock: ShellClock,
    stop: Shutdown,
    task: JoinHandle<()>,
}

struct Connection {
    client: AsyncClient,
    /// What was handed over and has no packet id yet, in order; none for what is no block.
    unnumbered: VecDeque<Option<u64>>,
}

impl Connection {
    /// What is no block.
    fn publish(&mut self, topic: String, retain: bool, bytes: Vec<u8>) {
        self.unnumbered.push_back(None);
        if let Err(error) = self.client.try_publish(topic, QoS::AtLeastOnce, retain, bytes) {
            tracing::debug!(%error, "a message was not taken");
            self.unnumbered.pop_back();
        }
    }
}

impl Uplink {
    pub fn start(settings: UplinkSettings, clock: ShellClock, events: Sender<Event>) -> Self {
        let stop = Shutdown::new();
        let shared = Arc::default();
        let topics = Lane::ALL.map(|lane| settings.path.up(lane));
        let (rules_topic, verdicts_topic) = (settings.path.up_rules(), settings.path.up_verdicts());
        let settings_topic = settings.path.up_settings();
        let runner = Runner {
            settings: settings.clone(),
            clock,
            events,
            stop: stop.clone(),
            shared: Arc::clone(&shared),
        };
        let task = tokio::spawn(runner.run());
        Self { shared, topics, settings_topic, rules_topic, verdicts_topic, settings, clock, stop, task }
    }

    /// Publishes a block; without a connection it is dropped, and the core will hear of the lost link.
    pub fn publish(&self, lane: Lane, number: u64, block: Vec<u8>) {
        let [alarm, live, backlog, bulk] = &self.topics;
        let topic = match lane {
            Lane::Alarm => alarm,
            Lane::Live => live,
            Lane::Backlog => backlog,
            Lane::Bulk => bulk,
        };
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = shared.as_mut() else { return };
        connection.unnumbered.push_back(Some(number));
        if let Err(error) = connection.client.try_publish(topic, QoS::AtLeastOnce, false, block) {
            // The event loop is gone, or it is stuck; a block without an answer is sent again.
            tracing::debug!(%error, number, "a publish was not taken");
            connection.unnumbered.pop_back();
        }
        drop(shared);
        FailPoint::AfterPublish.hit();
    }

    /// Tells what became of settings; without a connection nobody is told, and the cloud will ask again.
    pub fn report(&self, reported: &ReportedSettings) {
        self.tell(&self.settings_topic, reported.encode());
    }

    /// The same of rules.
    pub fn answer_rules(&self, answer: &RulesUp) {
        self.tell(&self.rules_topic, answer.encode());
    }

    pub fn tell_verdicts(&self, verdicts: &Verdicts) {
        self.tell(&self.verdicts_topic, verdicts.encode());
    }

    /// What is no block, and may be lost.
    fn tell(&self, topic: &str, encoded: Result<Vec<u8>, SealError>) {
        let bytes = match encoded {
            Ok(bytes) => bytes,
            Err(error) => return tracing::error!(topic, %error, "a message does not encode"),
        };
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = shared.as_mut() else { return };
        connection.publish(topic.to_owned(), false, bytes);
    }

    /// Says goodbye, so that the broker does not speak the last will, and ends the task.
    pub async fn stop(mut self) {
        self.stop.trigger();
        {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(connection) = shared.as_mut() {
                connection.unnumbered.push_back(None);
                let goodbye = status_json(&self.settings, &self.clock, false);
                let topic = self.settings.path.status();
                let said = connection.client.try_publish(topic, QoS::AtLeastOnce, true, goodbye);
                if let Err(error) = said.and_then(|()| connection.client.try_disconnect()) {
                    tracing::debug!(%error, "the goodbye was not taken");
                }
            }
        }
        if tokio::time::timeout(GOODBYE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn status_json(settings: &UplinkSettings, clock: &ShellClock, online: bool) -> Vec<u8> {
    let status = GatewayStatus {
        online,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: format!("{:016x}", settings.epoch),
        since_unix_ms: clock.now().unix_ms,
        // Of the file as it is: this connection takes it. Who is gone shows none.
        certificate_expires_unix_s: settings
            .tls
            .as_ref()
            .filter(|_| online)
            .and_then(|files| files.certificate_expiry()),
        queue: settings.queue.get(),
    };
    // A struct of texts and numbers always has a JSON form.
    serde_json::to_vec(&status).unwrap_or_default()
}

struct Runner {
    settings: UplinkSettings,
    clock: ShellClock,
    events: Sender<Event>,
    stop: Shutdown,
    shared: Arc<Mutex<Option<Connection>>>,
}

/// Why a connection ended.
enum Ended {
    Broken(String),
    /// The core is gone.
    Unheard,
}

impl Runner {
    async fn run(self) {
        let mut backoff = Backoff::new(self.settings.longest_backoff, crate::random::bits());
        while !self.stop.is_triggered() {
            let began = Instant::now();
            let ended = tokio::select! {
                // First: what the birth says is then no older than what is taken for told.
                biased;
                ended = self.connection() => ended,
                never = self.tell_news() => match never {},
            };
            let was_up = self.shared.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
            if was_up && self.events.send(Event::UplinkDown).await.is_err() {
                return;
            }
            match ended {
                Ended::Unheard => return,
                Ended::Broken(_) if self.stop.is_triggered() => return,
                Ended::Broken(reason) => tracing::warn!(reason, "no link to the broker"),
            }
            if was_up && began.elapsed() > STEADY {
                backoff.held();
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.pause()) => {}
                () = self.stop.wait() => {}
            }
        }
    }

    /// Gives the birth anew whenever another certificate lies there, and now and then; the link goes on with the one that it has.
    async fn tell_news(&self) -> Infallible {
        let expiry = || self.settings.tls.as_ref().and_then(|files| files.certificate_expiry());
        let mut told = (expiry(), Instant::now());
        loop {
            tokio::time::sleep(LOOK_FOR_NEWS).await;
            let now = (expiry(), Instant::now());
            if now.0 == told.0 && now.1.duration_since(told.1) < TELL_AGE {
                continue;
            }
            let birth = status_json(&self.settings, &self.clock, true);
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(connection) = shared.as_mut() else { continue };
            connection.publish(self.settings.path.status(), true, birth);
            told = now;
        }
    }

    fn options(&self, transport: Transport) -> MqttOptions {
        let UplinkSettings { host, port, credentials, path, keep_alive, .. } = &self.settings;
        let mut options = MqttOptions::new(format!("{}.{}", path.site, path.gateway), host, *port);
        options.set_keep_alive(*keep_alive).set_clean_session(true).set_inflight(INFLIGHT);
        options.set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES).set_transport(transport);
        let will = status_json(&self.settings, &self.clock, false);
        options.set_last_will(LastWill::new(path.status(), will, QoS::AtLeastOnce, true));
        if let Some((user, password)) = credentials {
            options.set_credentials(user, password.expose_secret());
        }
        options
    }

    /// One connection, from its birth to its end.
    async fn connection(&self) -> Ended {
        let transport = match link::transport(self.settings.tls.as_ref()).await {
            Ok(transport) => transport,
            Err(wrong) => return Ended::Broken(wrong),
        };
        let (client, mut polled) = AsyncClient::new(self.options(transport), REQUESTS);
        polled.set_network_options(link::network());
        let mut numbers: HashMap<u16, u64> = HashMap::new();
        if let Err(reason) = self.introduce(&client, &mut polled).await {
            return Ended::Broken(reason);
        }
        // The birth is the one publish before the blocks.
        let connection = Connection { client, unnumbered: VecDeque::new() };
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        tracing::info!(broker = %format_args!("{}:{}", self.settings.host, self.settings.port), "link to the broker is up");
        if self.events.send(Event::UplinkUp).await.is_err() {
            return Ended::Unheard;
        }
        loop {
            let event = match polled.poll().await {
                Ok(event) => self.understand(event, &mut numbers),
                Err(error) => return Ended::Broken(link::in_words(&error)),
            };
            if let Some(event) = event
                && self.events.send(event).await.is_err()
            {
                return Ended::Unheard;
            }
        }
    }

    /// Connects, subscribes to what comes down, announces the gateway, and waits until the broker took both.
    async fn introduce(&self, client: &AsyncClient, polled: &mut EventLoop) -> Result<(), String> {
        let birth = status_json(&self.settings, &self.clock, true);
        client
            .try_subscribe(self.settings.path.down_filter(), QoS::AtLeastOnce)
            .map_err(|e| e.to_string())?;
        client
            .try_publish(self.settings.path.status(), QoS::AtLeastOnce, true, birth)
            .map_err(|e| e.to_string())?;
        let (mut subscribed, mut born) = (false, false);
        while !(subscribed && born) {
            match polled.poll().await.map_err(|error| link::in_words(&error))? {
                Polled::Incoming(Packet::SubAck(ack)) => {
                    if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                        return Err(link::SUBSCRIPTION_REFUSED.into());
                    }
                    subscribed = true;
                }
                Polled::Incoming(Packet::PubAck(_)) => born = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn understand(&self, polled: Polled, numbers: &mut HashMap<u16, u64>) -> Option<Event> {
        match polled {
            Polled::Outgoing(Outgoing::Publish(packet_id)) => {
                let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                let number = shared.as_mut()?.unnumbered.pop_front()??;
                numbers.insert(packet_id, number);
                None
            }
            Polled::Incoming(Packet::PubAck(ack)) => {
                numbers.remove(&ack.pkid).map(|number| Event::PubAcked { number })
            }
            Polled::Incoming(Packet::Publish(publish)) => self.came_down(&publish.topic, &publish.payload),
            _ => None,
        }
    }

    fn came_down(&self, topic: &str, payload: &[u8]) -> Option<Event> {
        if topic == self.settings.path.down(Down::Settings) {
            return read("settings", DesiredSettings::decode(payload)).map(Event::SettingsWanted);
        }
        if topic == self.settings.path.down(Down::Rules) {
            return read("rules", RulesDown::decode(payload)).map(Event::Rules);
        }
        if topic != self.settings.path.down(Down::Ack) {
            tracing::debug!(topic, "nothing here knows what to do with this");
            return None;
        }
        match BlockAck::decode(payload) {
            Ok(ack) => {
                FailPoint::AfterBlockAck.hit();
                Some(Event::Acked(ack))
            }
            Err(error) => {
                tracing::warn!(%error, "an acknowledgement cannot be read; its blocks will be sent again");
                None
            }
        }
    }
}

fn read<T>(what: &str, decoded: Result<T, SealError>) -> Option<T> {
    decoded
        .inspect_err(
            |error| tracing::warn!(%error, "{what} from the cloud cannot be read; it will send them again"),
        )
        .ok()
}
