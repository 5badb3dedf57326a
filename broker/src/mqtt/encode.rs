//! What the broker sends. Every function appends to the connection's write buffer, which is flushed once a wake-up.

use bytes::{BufMut, BytesMut};

use super::{Message, ShortAck};

/// CONNACK return codes (section 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectCode {
    Accepted = 0,
    ProtocolVersion = 1,
    ClientId = 2,
    Unavailable = 3,
    BadCredentials = 4,
    NotAuthorised = 5,
}

/// The SUBACK code for a filter that is not granted (section 3.9.3).
pub const SUBSCRIBE_REFUSED: u8 = 0x80;

pub fn connack(out: &mut BytesMut, session_present: bool, code: ConnectCode) {
    out.put_slice(&[0x20, 2, u8::from(session_present), code as u8]);
}

pub fn short_ack(out: &mut BytesMut, kind: ShortAck, id: u16) {
    out.put_slice(&[kind as u8, 2]);
    out.put_u16(id);
}

pub fn suback(out: &mut BytesMut, id: u16, codes: &[u8]) {
    out.put_u8(0x90);
    remaining_length(out, 2 + codes.len());
    out.put_u16(id);
    out.put_slice(codes);
}

pub fn pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0]);
}

/// `id` is `None` for QoS 0.
pub fn publish(out: &mut BytesMut, message: &Message, id: Option<u16>, duplicate: bool) {
    let topic = message.topic.bytes();
    let qos = if id.is_some() { message.qos as u8 } else { 0 };
    let length = 2 + topic.len() + if id.is_some() { 2 } else { 0 } + message.payload.len();
    out.reserve(5 + length);
    out.put_u8(0x30 | u8::from(duplicate) << 3 | qos << 1 | u8::from(message.retain));
    remaining_length(out, length);
    out.put_u16(topic.len() as u16);
    out.put_slice(topic);
    if let Some(id) = id {
        out.put_u16(id);
    }
    out.put_slice(&message.payload);
}

fn remaining_length(out: &mut BytesMut, mut length: usize) {
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        out.put_u8(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}
