//! A client of each identity, with a password or a certificate, and packets that no library would send.

use tidegate_broker::{Config, Role, Running, User, Users};
use tidegate_trust::authority::{Issued, When};

use super::oracle::Who;
use super::role;
use crate::raw::{Raw, packet};
use crate::trusted::Trusted;

pub const WELCOME: [u8; 4] = [0x20, 2, 0, 0];

pub fn users() -> Vec<User> {
    Who::ALL.iter().map(|who| User::new(who.user(), who.user(), role(who))).collect()
}

/// No bound is reached by what a test asks.
pub fn config(anonymous: Option<Role>) -> Config {
    let mut config = crate::support::config();
    config.users = Users::new(users(), anonymous);
    (config.limits.max_filters, config.limits.session.max_filters) = (100_000, 100_000);
    config
}

/// How a client shows who it is.
pub enum Credentials {
    None,
    User(&'static str),
    Certificate(Issued),
}

pub struct Door<'a> {
    pub broker: &'a Running,
    pub trusted: Option<&'a Trusted>,
    pub credentials: Credentials,
}

pub struct Will<'a> {
    pub topic: &'a [u8],
    pub payload: &'a str,
    pub qos: u8,
    pub retain: bool,
}

impl<'a> Door<'a> {
    pub fn password(broker: &'a Running, who: &Who) -> Self {
        Self { broker, trusted: None, credentials: Credentials::User(who.user()) }
    }

    pub fn anonymous(broker: &'a Running) -> Self {
        Self { broker, trusted: None, credentials: Credentials::None }
    }

    pub fn certificate(broker: &'a Running, trusted: &'a Trusted, uri: &str) -> Self {
        let issued = trusted.authority.client(&[uri], When::Now);
        Self { broker, trusted: Some(trusted), credentials: Credentials::Certificate(issued) }
    }

    /// Sends a CONNECT; what comes of it is to be read.
    pub async fn knock(&self, id: &str, will: Option<&Will<'_>>) -> Raw {
        let mut raw = match (&self.credentials, self.trusted) {
            (Credentials::Certificate(issued), Some(trusted)) => {
                trusted.open(self.broker, Some(issued)).await.expect("it trusts the broker").0
            }
            _ => Raw::open(self.broker).await,
        };
        let user = if let Credentials::User(user) = self.credentials { Some(user) } else { None };
        raw.send(&connect(user, id, will)).await;
        raw
    }

    pub async fn enter(&self, id: &str) -> Raw {
        let mut raw = self.knock(id, None).await;
        assert_eq!(raw.packet().await.as_deref(), Some(&WELCOME[..]), "{id} is let in");
        raw
    }
}

fn connect(user: Option<&str>, id: &str, will: Option<&Will<'_>>) -> Vec<u8> {
    let mut flags = 0x02;
    if user.is_some() {
        flags |= 0xc0;
    }
    if let Some(will) = will {
        flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
    }
    let mut body = b"\0\x04MQTT\x04".to_vec();
    body.extend([flags, 0, 0]);
    let will = will.map(|will| [will.topic, will.payload.as_bytes()]);
    let user = user.map(|user| [user.as_bytes(), user.as_bytes()]);
    for field in
        std::iter::once(id.as_bytes()).chain(will.into_iter().flatten()).chain(user.into_iter().flatten())
    {
        sized(&mut body, field);
    }
    packet(0x10, &body)
}

fn sized(body: &mut Vec<u8>, field: &[u8]) {
    body.extend(u16::try_from(field.len()).expect("MQTT has no longer names").to_be_bytes());
    body.extend(field);
}

pub const PACKET_ID: [u8; 2] = [0x12, 0x34];

pub fn publish(topic: &[u8], qos: u8, retain: bool, payload: &str) -> Vec<u8> {
    let mut body = Vec::new();
    sized(&mut body, topic);
    if qos > 0 {
        body.extend(PACKET_ID);
    }
    body.extend(payload.as_bytes());
    packet(0x30 | qos << 1 | u8::from(retain), &body)
}

pub fn subscribe(filter: &[u8], qos: u8) -> Vec<u8> {
    let mut body = PACKET_ID.to_vec();
    sized(&mut body, filter);
    body.push(qos);
    packet(0x82, &body)
}

pub fn unsubscribe(filter: &[u8]) -> Vec<u8> {
    let mut body = PACKET_ID.to_vec();
    sized(&mut body, filter);
    packet(0xa2, &body)
}
