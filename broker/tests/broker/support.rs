//! A broker with one user of each kind, and rumqttc clients for it.

use std::collections::VecDeque;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, LastWill, MqttOptions,
    Outgoing, Publish, QoS, SubscribeReasonCode,
};
use tidegate_broker::access::GatewayAccess;
use tidegate_broker::{Config, Role, Running, User};
use tidegate_protocol::topic::GatewayPath;
use tidegate_protocol::{GatewayId, SiteId};
use tokio::time::timeout;

/// Far beyond what anything here takes; only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn gateway_path(gateway: &str) -> GatewayPath {
    GatewayPath::new(SiteId::new("plant").expect("a site"), GatewayId::new(gateway).expect("a gateway"))
}

/// Every user's password is its name.
pub fn config() -> Config {
    let gateway = |name: &str| User::new(name, name, Role::Gateway(GatewayAccess::new(gateway_path(name))));
    let plain = |name: &str, role| User::new(name, name, role);
    let users = vec![
        gateway("gw1"),
        gateway("gw2"),
        plain("ingest", Role::Ingest),
        plain("viewer", Role::Observer),
        plain("operator", Role::Operator),
    ];
    Config::demo(([127, 0, 0, 1], 0).into(), users)
}

pub async fn broker() -> Running {
    broker_with(config()).await
}

pub async fn broker_with(config: Config) -> Running {
    tidegate_broker::start(config).await.expect("loop-back has free ports")
}

pub fn options(broker: &Running, user: &str, client_id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, broker.mqtt.ip().to_string(), broker.mqtt.port());
    options.set_credentials(user, user).set_max_packet_size(1 << 20, 1 << 20);
    options
}

pub fn will(options: &mut MqttOptions, topic: &str, payload: &str, retain: bool) {
    options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, retain));
}

pub struct Client {
    pub client: AsyncClient,
    events: EventLoop,
    /// Publishes that came while something else was awaited.
    early: VecDeque<Publish>,
}

impl Client {
    pub async fn new(broker: &Running, user: &str, client_id: &str) -> Self {
        Self::connect(options(broker, user, client_id)).await.expect("the client is let in")
    }

    /// `Err` is the CONNACK's refusal.
    pub async fn connect(options: MqttOptions) -> Result<Self, ConnectReturnCode> {
        let (client, mut events) = AsyncClient::new(options, 100);
        match timeout(PATIENCE, events.poll()).await.expect("an answer to CONNECT") {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => Ok(Self { client, events, early: VecDeque::new() }),
            Err(ConnectionError::ConnectionRefused(code)) => Err(code),
            other => panic!("no CONNACK but {other:?}"),
        }
    }

    async fn event(&mut self) -> Result<Event, ConnectionError> {
        timeout(PATIENCE, self.events.poll()).await.expect("an event")
    }

    /// Polls until `pick` finds what it looks for; publishes on the way are kept for [`Client::message`].
    async fn find<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            let event = self.event().await.expect("the connection lives");
            if let Some(found) = pick(&event) {
                return found;
            }
            if let Event::Incoming(Incoming::Publish(publish)) = event {
                self.early.push_back(publish);
            }
        }
    }

    pub async fn subscribe(&mut self, filter: &str, qos: QoS) -> SubscribeReasonCode {
        self.client.subscribe(filter, qos).await.expect("queued");
        self.find(|event| match event {
            Event::Incoming(Incoming::SubAck(suback)) => suback.return_codes.first().copied(),
            _ => None,
        })
        .await
    }

    /// Publishes and waits for the last acknowledgement that its QoS asks for.
    pub async fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) {
        self.client.publish(topic, qos, retain, payload).await.expect("queued");
        self.find(|event| match (event, qos) {
            (Event::Outgoing(Outgoing::Publish(_)), QoS::AtMostOnce)
            | (Event::Incoming(Incoming::PubAck(_)), QoS::AtLeastOnce)
            | (Event::Incoming(Incoming::PubComp(_)), QoS::ExactlyOnce) => Some(()),
            _ => None,
        })
        .await;
    }

    /// Publishes what the broker will refuse, and waits for the end of the connection.
    pub async fn publish_refused(&mut self, topic: &str) {
        self.client.publish(topic, QoS::AtLeastOnce, false, "refused").await.expect("queued");
        self.until_cut_off().await;
    }

    pub async fn until_cut_off(&mut self) {
        while self.event().await.is_ok() {}
    }

    pub async fn publish_event(&mut self) -> Publish {
        if let Some(early) = self.early.pop_front() {
            return early;
        }
        self.find(|event| match event {
            Event::Incoming(Incoming::Publish(publish)) => Some(publish.clone()),
            _ => None,
        })
        .await
    }

    /// The next message as `topic payload`.
    pub async fn message(&mut self) -> String {
        let publish = self.publish_event().await;
        format!("{} {}", publish.topic, String::from_utf8_lossy(&publish.payload))
    }

    /// Says goodbye, so that no will is published.
    pub async fn goodbye(mut self) {
        self.client.disconnect().await.expect("queued");
        self.until_cut_off().await;
    }
}
