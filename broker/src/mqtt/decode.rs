//! From bytes to packets.

use bytes::{Buf, Bytes, BytesMut};

use super::{Connect, Message, Packet, Password, QoS, Topic};

/// What a look at the read buffer gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    Packet(Packet),
    /// The packet is not complete; at least so many more bytes are needed.
    Incomplete(usize),
}

/// Why a client's bytes are not MQTT 3.1.1. All of them end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error(
        "a packet of {bytes} bytes is over the limit of {limit}; send smaller ones or raise limits.max_packet_bytes"
    )]
    Oversize { bytes: usize, limit: usize },
    #[error("the remaining length has more than four bytes")]
    Length,
    #[error("a packet of type {0} does not come from a client")]
    Type(u8),
    #[error("the fixed header's flags are not those of its packet type")]
    Flags,
    #[error("the packet ends before its content")]
    Short,
    #[error("the packet goes on after its content")]
    Long,
    #[error("text that is not UTF-8 or holds a NUL")]
    Text,
    #[error("a topic name that is empty or holds a wildcard")]
    Topic,
    #[error("QoS 3")]
    QoS,
    #[error("packet id 0")]
    Id,
    #[error("a SUBSCRIBE or UNSUBSCRIBE without filters")]
    NoFilters,
    #[error("CONNECT for another protocol; this broker speaks MQTT 3.1.1 (level 4)")]
    Protocol,
    #[error("CONNECT with flags that contradict each other")]
    ConnectFlags,
}

/// Takes the next packet off the buffer's front. After an error the stream is of no further use.
pub fn decode(buffer: &mut BytesMut, max_packet_bytes: usize) -> Result<Decoded, Malformed> {
    let (header_bytes, body_bytes) = match frame(buffer)? {
        Some(lengths) => lengths,
        None => return Ok(Decoded::Incomplete(1)),
    };
    let frame_bytes = header_bytes + body_bytes;
    if frame_bytes > max_packet_bytes {
        return Err(Malformed::Oversize { bytes: frame_bytes, limit: max_packet_bytes });
    }
    if buffer.len() < frame_bytes {
        return Ok(Decoded::Incomplete(frame_bytes - buffer.len()));
    }
    let mut frame = buffer.split_to(frame_bytes).freeze();
    let first = frame.get_u8();
    frame.advance(header_bytes - 1);
    packet(first, Body(frame)).map(Decoded::Packet)
}

/// The fixed header's length and the remaining length, once they are there.
fn frame(buffer: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut body_bytes = 0;
    for (position, &byte) in buffer.iter().skip(1).take(4).enumerate() {
        body_bytes |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Ok(Some((position + 2, body_bytes)));
        }
    }
    if buffer.len() > 4 { Err(Malformed::Length) } else { Ok(None) }
}

fn packet(first: u8, mut body: Body) -> Result<Packet, Malformed> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let expected_flags = match kind {
        3 => flags,
        6 | 8 | 10 => 0b0010,
        _ => 0,
    };
    if flags != expected_flags {
        return Err(Malformed::Flags);
    }
    let packet = match kind {
        1 => Packet::Connect(Box::new(connect(&mut body)?)),
        3 => return publish(flags, body),
        4 => Packet::PubAck(body.id()?),
        5 => Packet::PubRec(body.id()?),
        6 => Packet::PubRel(body.id()?),
        7 => Packet::PubComp(body.id()?),
        8 => {
            Packet::Subscribe { id: body.id()?, filters: body.list(|body| Ok((body.text()?, body.qos()?)))? }
        }
        10 => Packet::Unsubscribe { id: body.id()?, filters: body.list(Body::text)? },
        12 => Packet::PingReq,
        14 => Packet::Disconnect,
        other => return Err(Malformed::Type(other)),
    };
    if body.0.is_empty() { Ok(packet) } else { Err(Malformed::Long) }
}

fn publish(flags: u8, mut body: Body) -> Result<Packet, Malformed> {
    let qos = QoS::from_bits(flags >> 1 & 0b11).ok_or(Malformed::QoS)?;
    if qos == QoS::AtMostOnce && flags & 0b1000 != 0 {
        return Err(Malformed::Flags);
    }
    let topic = Topic::new(body.bytes()?)?;
    let id = if qos == QoS::AtMostOnce { 0 } else { body.id()? };
    Ok(Packet::Publish { message: Message { topic, payload: body.0, qos, retain: flags & 1 != 0 }, id })
}

fn connect(body: &mut Body) -> Result<Connect, Malformed> {
    let name = body.bytes()?;
    let level = body.byte()?;
    if name != b"MQTT"[..] || level != 4 {
        return Err(Malformed::Protocol);
    }
    let flags = body.byte()?;
    let flag = |bit: u8| flags & (1 << bit) != 0;
    let (will_qos, has_will, has_user, has_password) = (flags >> 3 & 0b11, flag(2), flag(7), flag(6));
    let will_details_without_will = !has_will && (will_qos != 0 || flag(5));
    if flag(0) || will_details_without_will || (has_password && !has_user) {
        return Err(Malformed::ConnectFlags);
    }
    let keep_alive_s = body.u16()?;
    let client_id = body.text()?;
    let will = if has_will {
        let qos = QoS::from_bits(will_qos).ok_or(Malformed::QoS)?;
        let topic = Topic::new(body.bytes()?)?.detached();
        let payload = Bytes::copy_from_slice(&body.bytes()?);
        Some(Message { topic, payload, qos, retain: flag(5) })
    } else {
        None
    };
    let user = if has_user { Some(body.text()?) } else { None };
    let password = if has_password { Some(Password(body.bytes()?)) } else { None };
    Ok(Connect { client_id, clean_session: flag(1), keep_alive_s, will, user, password })
}

/// A packet's variable header and payload.
struct Body(Bytes);

impl Body {
    fn byte(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed::Short)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16().map_err(|_| Malformed::Short)
    }

    fn id(&mut self) -> Result<u16, Malformed> {
        match self.u16()? {
            0 => Err(Malformed::Id),
            id => Ok(id),
        }
    }

    fn qos(&mut self) -> Result<QoS, Malformed> {
        QoS::from_bits(self.byte()?).ok_or(Malformed::QoS)
    }

    fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::from(self.u16()?);
        if length > self.0.len() {
            return Err(Malformed::Short);
        }
        Ok(self.0.split_to(length))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Malformed::Text)?;
        if text.contains('\0') { Err(Malformed::Text) } else { Ok(text.to_owned()) }
    }

    /// Items to the packet's end, at least one. Their number is bounded by the packet's own size.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let mut items = Vec::new();
        while !self.0.is_empty() {
            items.push(item(self)?);
        }
        if items.is_empty() { Err(Malformed::NoFilters) } else { Ok(items) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt;

    const LIMIT: usize = 1 << 20;

    fn check(bytes: &[u8], expected: Result<Decoded, Malformed>) {
        assert_eq!(decode(&mut BytesMut::from(bytes), LIMIT), expected, "{bytes:02x?}");
    }

    #[test]
    fn malformed_packets_are_named() {
        check(&[0x30, 0xff, 0xff, 0xff, 0xff, 1], Err(Malformed::Length));
        check(&[0x30, 0xff, 0xff, 0x7f], Err(Malformed::Oversize { bytes: 2_097_155, limit: LIMIT }));
        check(&[0x00, 0], Err(Malformed::Type(0)));
        check(&[0x20, 2, 0, 0], Err(Malformed::Type(2)));
        check(&[0xf0, 0], Err(Malformed::Type(15)));
        check(&[0x80, 2, 0, 1], Err(Malformed::Flags));
        check(&[0x82, 2, 0, 1], Err(Malformed::NoFilters));
        check(&[0x82, 5, 0, 1, 0, 9, b'a'], Err(Malformed::Short));
        check(&[0x82, 6, 0, 1, 0, 1, b'a', 3], Err(Malformed::QoS));
        check(&[0x40, 2, 0, 0], Err(Malformed::Id));
        check(&[0x40, 3, 0, 1, 0], Err(Malformed::Long));
        check(&[0xc0, 1, 0], Err(Malformed::Long));
        check(&[0x36, 5, 0, 1, b'a', 0, 1], Err(Malformed::QoS));
        check(&[0x38, 3, 0, 1, b'a'], Err(Malformed::Flags));
        check(&[0x30, 3, 0, 1, b'#'], Err(Malformed::Topic));
        check(&[0x30, 3, 0, 1, 0xff], Err(Malformed::Text));
        check(&[0x30, 2, 0, 0], Err(Malformed::Topic));
        check(b"\x10\x0c\0\x06MQIsdp\x03\x02\0\0", Err(Malformed::Protocol));
        check(b"\x10\x0d\0\x04MQTT\x05\x02\0\0\0\0\0", Err(Malformed::Protocol));
        check(b"\x10\x0c\0\x04MQTT\x04\x03\0\0\0\0", Err(Malformed::ConnectFlags));
        check(b"\x10\x0c\0\x04MQTT\x04\x42\0\0\0\0", Err(Malformed::ConnectFlags));
        check(b"\x10\x0c\0\x04MQTT\x04\x22\0\0\0\0", Err(Malformed::ConnectFlags));
    }

    #[test]
    fn a_connect_is_read_whole() {
        let bytes = b"\x10\x1f\0\x04MQTT\x04\xee\0\x3c\0\x02id\0\x01w\0\x03bye\0\x04user\0\x01p";
        let will = Message {
            topic: Topic::new(Bytes::from_static(b"w")).expect("a topic"),
            payload: Bytes::from_static(b"bye"),
            qos: QoS::AtLeastOnce,
            retain: true,
        };
        let connect = Connect {
            client_id: "id".into(),
            clean_session: true,
            keep_alive_s: 60,
            will: Some(will),
            user: Some("user".into()),
            password: Some(Password(Bytes::from_static(b"p"))),
        };
        check(bytes, Ok(Decoded::Packet(Packet::Connect(Box::new(connect)))));
    }

    #[test]
    fn what_is_missing_is_told() {
        check(&[], Ok(Decoded::Incomplete(1)));
        check(&[0x30], Ok(Decoded::Incomplete(1)));
        check(&[0x30, 0x80], Ok(Decoded::Incomplete(1)));
        check(&[0x30, 10, 0], Ok(Decoded::Incomplete(9)));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_packets_a_wait_or_a_typed_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            loop {
                let before = buffer.len();
                match decode(&mut buffer, 100) {
                    Ok(Decoded::Packet(_)) => prop_assert!(buffer.len() < before),
                    Ok(Decoded::Incomplete(more)) => {
                        prop_assert!(more > 0);
                        prop_assert_eq!(buffer.len(), before);
                        break;
                    }
                    Err(_) => break,
                }
            }
        }

        #[test]
        fn a_publish_comes_back_as_it_was_sent(
            topic in "[a-zé/]{1,40}",
            payload in prop::collection::vec(any::<u8>(), 0..20_000),
            qos in 0u8..3,
            retain: bool,
            id in 1u16..,
            duplicate: bool,
        ) {
            let topic = Topic::new(Bytes::from(topic)).expect("no wildcard in it");
            let qos = QoS::from_bits(qos).expect("0 to 2");
            let message = Message { topic, payload: payload.into(), qos, retain };
            let sent_id = (qos != QoS::AtMostOnce).then_some(id);
            let mut buffer = BytesMut::new();
            mqtt::publish(&mut buffer, &message, sent_id, duplicate && sent_id.is_some());
            let expected = Packet::Publish { message, id: sent_id.unwrap_or(0) };
            prop_assert_eq!(decode(&mut buffer, LIMIT), Ok(Decoded::Packet(expected)));
            prop_assert!(buffer.is_empty());
        }
    }
}
