//! Differential decoding: seeded packets, whole and spoilt, go through our codec and npm mqtt-packet. Both must say the
//! same; where they do not, the difference must be one of those in `explained`.

mod explained;
mod packets;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use explained::Class;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tidegate_broker::mqtt::{
    self, ConnectCode, Decoded, Malformed, Message, Packet, ShortAck, Topic, decode,
};
use tidegate_tests::node::node_with;
use tidegate_tests::programs::workspace;

/// What our decoder takes at most here; few packets are over it.
const MAX_PACKET_BYTES: usize = 300;

fn count(usual: usize) -> usize {
    if std::env::var_os("TIDEGATE_TEST_LONG").is_some() { usual * 20 } else { usual }
}

/// mqtt-packet's answer to each question.
fn ask(questions: &[Value]) -> Vec<Value> {
    let mut node = node_with("mqtt-packet");
    node.arg(workspace().join("tests/clients/codec.js")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().expect("it ran a moment ago");
    let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
    let mut input = node.stdin.take().expect("it is piped");
    let asking = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = BufReader::new(node.stdout.take().expect("it is piped"));
    let answers = output.lines().map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"));
    let answers: Vec<Value> = answers.collect();
    asking.join().expect("no panic").expect("node reads to the end");
    assert!(node.wait().expect("it ends").success());
    assert_eq!(answers.len(), questions.len(), "one answer for each question");
    answers
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

fn encoded(answer: &Value) -> Vec<u8> {
    unhex(answer["bytes"].as_str().unwrap_or_else(|| panic!("mqtt-packet refuses to write: {answer}")))
}

/// A packet of ours as `codec.js` shows one of theirs.
fn shown(packet: &Packet) -> Value {
    let message = |message: &Message| {
        let Message { topic, payload, qos, retain } = message;
        json!({ "topic": topic.as_str(), "payload": hex(payload), "qos": *qos as u8, "retain": retain })
    };
    let with_id = |kind, id: &u16| json!({ "type": kind, "id": id });
    match packet {
        Packet::Connect(connect) => json!({
            "type": "connect", "protocolId": "MQTT", "protocolVersion": 4, "bridge": false,
            "clean": connect.clean_session, "keepalive": connect.keep_alive_s, "clientId": connect.client_id,
            "will": connect.will.as_ref().map(message), "username": connect.user,
            "password": connect.password.as_ref().map(|password| hex(&password.0)),
        }),
        Packet::Publish { message: published, id } => {
            let mut all = message(published);
            all["type"] = "publish".into();
            all["id"] = if *id == 0 { Value::Null } else { (*id).into() };
            all
        }
        Packet::PubAck(id) => with_id("puback", id),
        Packet::PubRec(id) => with_id("pubrec", id),
        Packet::PubRel(id) => with_id("pubrel", id),
        Packet::PubComp(id) => with_id("pubcomp", id),
        Packet::Subscribe { id, filters } => {
            let filters: Vec<_> = filters.iter().map(|(filter, qos)| json!([filter, *qos as u8])).collect();
            json!({ "type": "subscribe", "id": id, "filters": filters })
        }
        Packet::Unsubscribe { id, filters } => json!({ "type": "unsubscribe", "id": id, "filters": filters }),
        Packet::PingReq => json!({ "type": "pingreq" }),
        Packet::Disconnect => json!({ "type": "disconnect" }),
    }
}

/// Theirs without DUP, which the broker has no use for.
fn comparable(theirs: &Value) -> Value {
    let mut theirs = theirs.clone();
    if let Some(fields) = theirs.as_object_mut() {
        fields.remove("dup");
    }
    theirs
}

fn ours(bytes: &[u8]) -> Result<Decoded, Malformed> {
    decode(&mut BytesMut::from(bytes), MAX_PACKET_BYTES)
}

#[test]
fn what_mqtt_packet_writes_both_read_alike() {
    let random = &mut ChaCha8Rng::seed_from_u64(311);
    let packets: Vec<Value> = (0..count(3000)).map(|_| packets::from_a_client(random)).collect();
    let questions: Vec<Value> = packets.iter().map(|packet| json!({ "encode": packet })).collect();
    let written: Vec<Vec<u8>> = ask(&questions).iter().map(encoded).collect();
    let questions: Vec<Value> = written.iter().map(|bytes| json!({ "decode": hex(bytes) })).collect();
    for ((packet, bytes), answer) in packets.iter().zip(&written).zip(ask(&questions)) {
        assert_eq!(&answer["packet"], packet, "mqtt-packet reads what it wrote");
        match ours(bytes) {
            Ok(Decoded::Packet(read)) => assert_eq!(shown(&read), comparable(packet), "{}", hex(bytes)),
            other => panic!("{other:?} for {packet}, {}", hex(bytes)),
        }
    }
}

#[test]
fn where_mqtt_packet_and_we_differ_on_spoilt_packets_the_standard_says_why() {
    let random = &mut ChaCha8Rng::seed_from_u64(312);
    let questions: Vec<Value> =
        (0..count(1000)).map(|_| json!({ "encode": packets::from_a_client(random) })).collect();
    let whole: Vec<Vec<u8>> = ask(&questions).iter().map(encoded).collect();
    let spoilt: Vec<Vec<u8>> = (0..count(40_000))
        .map(|_| packets::spoilt(&whole[random.random_range(0..whole.len())], random))
        .collect();
    let questions: Vec<Value> = spoilt.iter().map(|bytes| json!({ "decode": hex(bytes) })).collect();
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    for (bytes, theirs) in spoilt.iter().zip(ask(&questions)) {
        let ours = ours(bytes);
        let why = match explained::difference(bytes, &ours, &theirs) {
            Ok(why) => why,
            Err(()) => {
                unexplained.push(format!("{}: ours {ours:?}, theirs {theirs}", hex(bytes)));
                continue;
            }
        };
        *met.entry(why).or_default() += 1;
    }
    assert!(unexplained.is_empty(), "{} unexplained:\n{}", unexplained.len(), unexplained.join("\n"));
    for class in &explained::CLASSES {
        let Class { name, reference, .. } = class;
        assert!(met.contains_key(name), "{name} ({reference}) is explained, but was never met: {met:?}");
    }
    for alike in explained::ALIKE {
        assert!(met.get(alike).is_some_and(|count| count * 20 > spoilt.len()), "too few {alike}: {met:?}");
    }
}

#[test]
fn what_we_write_mqtt_packet_reads() {
    let random = &mut ChaCha8Rng::seed_from_u64(313);
    let (mut questions, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..count(2000) {
        let mut out = BytesMut::new();
        expected.push(write_one(random, &mut out));
        questions.push(json!({ "decode": hex(&out) }));
    }
    for (expected, answer) in expected.iter().zip(ask(&questions)) {
        assert_eq!(&answer["packet"], expected);
    }
}

/// Writes a packet that the broker sends; gives what should be read.
fn write_one(random: &mut ChaCha8Rng, out: &mut BytesMut) -> Value {
    const CODES: [ConnectCode; 6] = [
        ConnectCode::Accepted,
        ConnectCode::ProtocolVersion,
        ConnectCode::ClientId,
        ConnectCode::Unavailable,
        ConnectCode::BadCredentials,
        ConnectCode::NotAuthorised,
    ];
    const ACKS: [(ShortAck, &str); 5] = [
        (ShortAck::PubAck, "puback"),
        (ShortAck::PubRec, "pubrec"),
        (ShortAck::PubRel, "pubrel"),
        (ShortAck::PubComp, "pubcomp"),
        (ShortAck::UnsubAck, "unsuback"),
    ];
    let id = random.random_range(1..=u16::MAX);
    match random.random_range(0..5) {
        0 => {
            let code = CODES[random.random_range(0..CODES.len())];
            let present = code == ConnectCode::Accepted && random.random();
            mqtt::connack(out, present, code);
            json!({ "type": "connack", "sessionPresent": present, "returnCode": code as u8 })
        }
        1 => {
            let codes: Vec<u8> = (0..random.random_range(1..200))
                .map(|_| [0, 1, 2, 0x80][random.random_range(0..4)])
                .collect();
            mqtt::suback(out, id, &codes);
            json!({ "type": "suback", "id": id, "codes": codes })
        }
        2 => {
            mqtt::pingresp(out);
            json!({ "type": "pingresp" })
        }
        3 => {
            let (kind, name) = ACKS[random.random_range(0..ACKS.len())];
            mqtt::short_ack(out, kind, id);
            json!({ "type": name, "id": id })
        }
        _ => {
            let topic = packets::topic(random);
            let payload = packets::payload(random, 20_000);
            let qos = mqtt::QoS::from_bits(random.random_range(0..3)).expect("0 to 2");
            let retain = random.random();
            let id = (qos != mqtt::QoS::AtMostOnce).then_some(id);
            let dup = id.is_some() && random.random();
            let read = json!({
                "type": "publish", "topic": topic, "payload": hex(&payload), "qos": qos as u8,
                "retain": retain, "dup": dup, "id": id,
            });
            let topic = Topic::new(Bytes::from(topic)).expect("a topic");
            let message = Message { topic, payload: payload.into(), qos, retain };
            mqtt::publish(out, &message, id, dup);
            read
        }
    }
}
