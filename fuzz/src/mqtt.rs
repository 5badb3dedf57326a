//! What clients send a broker: the codec in front of the router, cut out of a stream in whatever pieces it comes.

use bytes::{BufMut, Bytes, BytesMut};
use tidegate_broker::mqtt::{
    self, Connect, Decoded, Malformed, Message, Packet, Password, QoS, ShortAck, Topic,
};

/// Below what the longest input can say, so that the bound is met too.
const MAX_PACKET_BYTES: usize = 1_000;

/// The first byte says how the others are cut.
pub fn mqtt(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let whole = read(std::iter::once(stream));
    assert_eq!(
        read(stream.chunks(usize::from(cut % 32) + 1)),
        whole,
        "packets do not depend on how they come"
    );
    let (packets, _) = whole;
    for packet in &packets {
        bounded(packet);
        let mut again = BytesMut::new();
        encode(packet, &mut again);
        let length = again.len();
        assert_eq!(mqtt::decode(&mut again, length), Ok(Decoded::Packet(packet.clone())));
        assert!(again.is_empty());
        forwarded(packet);
    }
}

/// Packets up to the end or the first that is none.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Packet>, Option<Malformed>) {
    let (mut buffer, mut packets) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            match mqtt::decode(&mut buffer, MAX_PACKET_BYTES) {
                Ok(Decoded::Packet(packet)) => {
                    assert!(buffer.len() < before && before - buffer.len() <= MAX_PACKET_BYTES);
                    packets.push(packet);
                }
                Ok(Decoded::Incomplete(more)) => {
                    assert!(more > 0 && buffer.len() == before);
                    assert!(buffer.len() + more <= MAX_PACKET_BYTES, "nobody waits for more than the bound");
                    break;
                }
                Err(malformed) => return (packets, Some(malformed)),
            }
        }
    }
    (packets, None)
}

fn bounded(packet: &Packet) {
    let held = match packet {
        Packet::Connect(connect) => {
            connect.client_id.len()
                + connect.user.as_ref().map_or(0, String::len)
                + connect.password.as_ref().map_or(0, |Password(bytes)| bytes.len())
                + connect.will.as_ref().map_or(0, |will| will.topic.bytes().len() + will.payload.len())
        }
        Packet::Publish { message, .. } => message.topic.bytes().len() + message.payload.len(),
        Packet::Subscribe { filters, .. } => filters.iter().map(|(filter, _)| filter.len() + 3).sum(),
        Packet::Unsubscribe { filters, .. } => filters.iter().map(|filter| filter.len() + 2).sum(),
        _ => 0,
    };
    assert!(held <= MAX_PACKET_BYTES);
}

/// What a broker sends on is what came.
fn forwarded(packet: &Packet) {
    let Packet::Publish { message, id } = packet else { return };
    let mut out = BytesMut::new();
    mqtt::publish(&mut out, message, (*id != 0).then_some(*id), *id != 0);
    let length = out.len();
    assert_eq!(mqtt::decode(&mut out, length), Ok(Decoded::Packet(packet.clone())));
}

/// A client's side, which the broker has no use for.
pub fn encode(packet: &Packet, out: &mut BytesMut) {
    let mut body = BytesMut::new();
    let first = match packet {
        Packet::Connect(connect) => {
            put_connect(connect, &mut body);
            0x10
        }
        Packet::Publish { message, id } => {
            put(&mut body, message.topic.bytes());
            if message.qos != QoS::AtMostOnce {
                body.put_u16(*id);
            }
            body.put_slice(&message.payload);
            0x30 | (message.qos as u8) << 1 | u8::from(message.retain)
        }
        Packet::PubAck(id) => short(&mut body, ShortAck::PubAck, *id),
        Packet::PubRec(id) => short(&mut body, ShortAck::PubRec, *id),
        Packet::PubRel(id) => short(&mut body, ShortAck::PubRel, *id),
        Packet::PubComp(id) => short(&mut body, ShortAck::PubComp, *id),
        Packet::Subscribe { id, filters } => {
            body.put_u16(*id);
            for (filter, qos) in filters {
                put(&mut body, filter.as_bytes());
                body.put_u8(*qos as u8);
            }
            0x82
        }
        Packet::Unsubscribe { id, filters } => {
            body.put_u16(*id);
            filters.iter().for_each(|filter| put(&mut body, filter.as_bytes()));
            0xa2
        }
        Packet::PingReq => 0xc0,
        Packet::Disconnect => 0xe0,
    };
    out.put_u8(first);
    let mut length = body.len();
    while length > 0x7f {
        out.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
    out.put_slice(&body);
}

fn short(body: &mut BytesMut, kind: ShortAck, id: u16) -> u8 {
    body.put_u16(id);
    kind as u8
}

fn put_connect(connect: &Connect, body: &mut BytesMut) {
    let Connect { client_id, clean_session, keep_alive_s, will, user, password } = connect;
    body.put_slice(b"\0\x04MQTT\x04");
    let will_flags = will.as_ref().map_or(0, |will| 4 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    body.put_u8(
        u8::from(*clean_session) << 1
            | will_flags
            | u8::from(user.is_some()) << 7
            | u8::from(password.is_some()) << 6,
    );
    body.put_u16(*keep_alive_s);
    put(body, client_id.as_bytes());
    if let Some(Message { topic, payload, .. }) = will {
        put(body, topic.bytes());
        put(body, payload);
    }
    user.iter().for_each(|user| put(body, user.as_bytes()));
    password.iter().for_each(|Password(bytes)| put(body, bytes));
}

fn put(body: &mut BytesMut, bytes: &[u8]) {
    body.put_u16(bytes.len() as u16);
    body.put_slice(bytes);
}

/// One of each kind, as a stream of its own, and all of them behind one another.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let message = |topic: &'static str, qos| Message {
        topic: Topic::new(Bytes::from_static(topic.as_bytes())).expect("a topic"),
        payload: Bytes::from_static(b"21.5"),
        qos,
        retain: qos == QoS::AtLeastOnce,
    };
    let will = message("tidegate/v1/4b/plant/gw-a/status", QoS::AtLeastOnce);
    let connect = |will, user: Option<&str>| {
        Packet::Connect(Box::new(Connect {
            client_id: "plant.gw-a".to_owned(),
            clean_session: true,
            keep_alive_s: 60,
            will,
            user: user.map(str::to_owned),
            password: user.map(|_| Password(Bytes::from_static(b"secret"))),
        }))
    };
    let all = [
        ("connect", connect(None, None)),
        ("connect-whole", connect(Some(will), Some("gateway"))),
        ("publish-0", Packet::Publish { message: message("home/lamp", QoS::AtMostOnce), id: 0 }),
        ("publish-1", Packet::Publish { message: message("home/lamp", QoS::AtLeastOnce), id: 7 }),
        ("publish-2", Packet::Publish { message: message("home/lamp", QoS::ExactlyOnce), id: 8 }),
        ("puback", Packet::PubAck(7)),
        ("pubrec", Packet::PubRec(8)),
        ("pubrel", Packet::PubRel(8)),
        ("pubcomp", Packet::PubComp(8)),
        (
            "subscribe",
            Packet::Subscribe {
                id: 1,
                filters: vec![
                    ("tidegate/v1/4b/plant/gw-a/down/#".to_owned(), QoS::AtLeastOnce),
                    ("+/é".to_owned(), QoS::AtMostOnce),
                ],
            },
        ),
        ("unsubscribe", Packet::Unsubscribe { id: 2, filters: vec!["home/+".to_owned()] }),
        ("pingreq", Packet::PingReq),
        ("disconnect", Packet::Disconnect),
    ];
    let encoded = |packet: &Packet, cut: u8| {
        let mut out = BytesMut::from(&[cut][..]);
        encode(packet, &mut out);
        out.to_vec()
    };
    let session = all.iter().flat_map(|(_, packet)| encoded(packet, 0).split_off(1)).collect::<Vec<_>>();
    let mut seeds: Vec<_> =
        (0..).zip(&all).map(|(cut, (name, packet))| ((*name).to_owned(), encoded(packet, cut))).collect();
    seeds.push(("session".to_owned(), [&[2][..], &session].concat()));
    seeds
}
