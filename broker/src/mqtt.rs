//! MQTT 3.1.1 on the wire: what a client may send, and what the broker answers.
//!
//! A codec of our own, because the two at hand do not fit: rumqttd's keeps the packet id and QoS of a PUBLISH to
//! itself, rumqttc's allocates a string per topic. This one borrows topic and payload from the read buffer (who keeps them copies them),
//! refuses what the standard calls malformed, and allocates nothing before a length has been checked.
//!
//! Source: OASIS MQTT 3.1.1, sections 2 to 4.

mod decode;
mod encode;
mod topic;

use std::fmt;

use bytes::Bytes;

pub use decode::{Decoded, Malformed, decode};
pub use encode::{ConnectCode, SUBSCRIBE_REFUSED, connack, pingresp, publish, short_ack, suback};
pub use topic::{Topic, covers, filter_problem, matches};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum QoS {
    #[default]
    AtMostOnce = 0,
    AtLeastOnce = 1,
    ExactlyOnce = 2,
}

impl QoS {
    pub fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// An application message, on its way in or out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: Topic,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
}

impl Message {
    /// Topic and payload: what bounds of memory count.
    pub fn bytes(&self) -> usize {
        self.topic.bytes().len() + self.payload.len()
    }
}

/// As a client shows it; kept out of every debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Bytes);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    pub client_id: String,
    pub clean_session: bool,
    pub keep_alive_s: u16,
    pub will: Option<Message>,
    pub user: Option<String>,
    pub password: Option<Password>,
}

/// What a client may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Connect(Box<Connect>),
    /// `id` is 0 for QoS 0.
    Publish {
        message: Message,
        id: u16,
    },
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    Subscribe {
        id: u16,
        filters: Vec<(String, QoS)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    PingReq,
    Disconnect,
}

/// The packets that carry nothing but an id, as the broker sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortAck {
    PubAck = 0x40,
    PubRec = 0x50,
    PubRel = 0x62,
    PubComp = 0x70,
    UnsubAck = 0xb0,
}
