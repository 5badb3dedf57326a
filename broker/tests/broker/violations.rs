//! What the standard forbids a client, byte by byte: the connection ends without an answer, and nothing of it goes further.
//! Client libraries cannot be made to send most of this.

use tidegate_broker::{Config, Role, Running, User, Users};

use crate::raw::{Raw, connect, connect_with, packet, publish, subscribe};
use crate::support::{broker, broker_with, config};

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// Ill-formed: no UTF-8 at all, a surrogate, an overlong form, beyond U+10FFFF, cut short; and NUL.
const NO_TEXTS: [&[u8]; 6] =
    [b"a\xff", b"a\xed\xa0\x80", b"a\xc0\xaf", b"\xf4\x90\x80\x80", b"a\xe6\x97", b"a\0b"];

/// Each with what is wrong.
fn forbidden_packets() -> Vec<(String, Vec<u8>)> {
    let mut all = vec![
        ("a second CONNECT".to_owned(), connect("operator", "rude", 60)),
        ("QoS 3".to_owned(), packet(0x36, b"\0\x06home/x\0\x01x")),
        ("DUP at QoS 0".to_owned(), publish(0x38, "home/x", 0, b"x")),
        ("a PUBLISH without its id".to_owned(), packet(0x32, b"\0\x06home/x")),
        ("SUBSCRIBE without filters".to_owned(), packet(0x82, b"\0\x01")),
        ("UNSUBSCRIBE without filters".to_owned(), packet(0xa2, b"\0\x01")),
        ("a SUBSCRIBE whose filter has no QoS".to_owned(), packet(0x82, b"\0\x01\0\x06home/x")),
        ("a filter that ends after the packet".to_owned(), packet(0x82, b"\0\x01\0\x09home/x\0")),
        ("bytes after an id".to_owned(), packet(0x40, b"\0\x01\0")),
        ("bytes in a PINGREQ".to_owned(), packet(0xc0, b"x")),
        ("a remaining length of five bytes".to_owned(), vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01]),
    ];
    for kind in [0, 2, 9, 11, 13, 15] {
        all.push((format!("type {kind}"), packet(kind << 4, b"\0\x01")));
    }
    for (kind, right, body) in [
        (4, 0, &b"\0\x01"[..]),
        (5, 0, b"\0\x01"),
        (6, 2, b"\0\x01"),
        (7, 0, b"\0\x01"),
        (8, 2, b"\0\x01\0\x06home/x\0"),
        (10, 2, b"\0\x01\0\x06home/x"),
        (12, 0, b""),
        (14, 0, b""),
    ] {
        for flags in (0..16).filter(|flags| *flags != right) {
            all.push((format!("type {kind} with flags {flags:04b}"), packet(kind << 4 | flags, body)));
        }
    }
    for (first, name) in [(0x32, "QoS 1"), (0x34, "QoS 2")] {
        all.push((format!("id 0 at {name}"), packet(first, b"\0\x06home/x\0\0x")));
    }
    for first in [0x40, 0x50, 0x62, 0x70] {
        all.push((format!("id 0 in {first:#x}"), packet(first, b"\0\0")));
    }
    all.push(("id 0 in SUBSCRIBE".to_owned(), packet(0x82, b"\0\0\0\x06home/x\0")));
    all.push(("id 0 in UNSUBSCRIBE".to_owned(), packet(0xa2, b"\0\0\0\x06home/x")));
    for options in [0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
        let body = [&b"\0\x01\0\x06home/x"[..], &[options]].concat();
        all.push((format!("SUBSCRIBE with options {options:#x}"), packet(0x82, &body)));
    }
    for topic in NO_TEXTS.into_iter().chain([&b""[..], b"home/+", b"#", b"home/a+b"]) {
        all.push((format!("the topic {:?}", topic.escape_ascii()), packet(0x30, &text(topic))));
    }
    for filter in NO_TEXTS {
        let shown = filter.escape_ascii();
        let body = [&b"\0\x01"[..], &text(filter)].concat();
        all.push((format!("UNSUBSCRIBE {shown}"), packet(0xa2, &body)));
        all.push((format!("SUBSCRIBE {shown}"), packet(0x82, &[&body[..], b"\0"].concat())));
    }
    all
}

/// With a will, by which its end can be seen.
async fn rude(broker: &Running) -> Raw {
    let fields: [&[u8]; 5] = [b"rude", b"will/rude", b"gone", b"operator", b"operator"];
    let mut body = b"\0\x04MQTT\x04\xc6\0\x3c".to_vec();
    body.extend(fields.into_iter().flat_map(text));
    let mut raw = Raw::open(broker).await;
    raw.send(&packet(0x10, &body)).await;
    assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]));
    raw
}

#[tokio::test]
async fn each_forbidden_packet_ends_its_connection_without_an_answer() {
    let broker = broker().await;
    let mut witness = Raw::connect(&broker, "operator", "witness", 0).await;
    witness.send(&subscribe(1, &[("#", 0)])).await;
    witness.packet().await.expect("SUBACK");
    let forbidden = forbidden_packets();
    assert!(forbidden.len() > 150);
    for (what, bytes) in forbidden {
        let mut raw = rude(&broker).await;
        // What follows it must not be looked at.
        raw.send(&[bytes, publish(0x30, "home/x", 0, b"after it")].concat()).await;
        assert_eq!(raw.packet().await, None, "{what}");
        assert_eq!(witness.packet().await, Some(publish(0x30, "will/rude", 0, b"gone")), "{what}");
    }
}

/// A CONNECT of these flags and fields.
fn odd_connect(flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04".to_vec();
    body.push(flags);
    body.extend([0, 60]);
    body.extend(fields.iter().flat_map(|field| text(field)));
    packet(0x10, &body)
}

#[tokio::test]
async fn each_connect_that_breaks_the_standard_is_closed_without_a_connack() {
    const USER: &[u8] = b"operator";
    let broker = broker().await;
    let mut cases = vec![
        ("another first packet".to_owned(), publish(0x30, "home/x", 0, b"x")),
        ("a ping first".to_owned(), vec![0xc0, 0]),
        ("flags in its header".to_owned(), [&[0x11], &connect("operator", "c", 60)[1..]].concat()),
        ("the reserved flag".to_owned(), odd_connect(0xc3, &[b"c", USER, USER])),
        ("a will's QoS without a will".to_owned(), odd_connect(0xca, &[b"c", USER, USER])),
        ("a will's RETAIN without a will".to_owned(), odd_connect(0xe2, &[b"c", USER, USER])),
        ("a will of QoS 3".to_owned(), odd_connect(0xde, &[b"c", b"will/c", b"", USER, USER])),
        ("a password without a user name".to_owned(), odd_connect(0x42, &[b"c", USER])),
        ("a will that is missing".to_owned(), odd_connect(0x06, &[b"c"])),
        ("a will without a message".to_owned(), odd_connect(0x06, &[b"c", b"will/c"])),
        ("a user name that is missing".to_owned(), odd_connect(0x82, &[b"c"])),
        ("a password that is missing".to_owned(), odd_connect(0xc2, &[b"c", USER])),
        ("no client id".to_owned(), odd_connect(0x02, &[])),
        ("a will without its flag".to_owned(), odd_connect(0xc2, &[b"c", b"will/c", b"gone", USER, USER])),
        ("a user name without its flag".to_owned(), odd_connect(0x02, &[b"c", USER])),
        ("a password without its flag".to_owned(), odd_connect(0x82, &[b"c", USER, USER])),
        ("no name of a protocol".to_owned(), packet(0x10, b"")),
    ];
    for bad in NO_TEXTS {
        let shown = bad.escape_ascii();
        cases.push((format!("the client id {shown}"), odd_connect(0xc2, &[bad, USER, USER])));
        cases.push((format!("the will's topic {shown}"), odd_connect(0xc6, &[b"c", bad, b"", USER, USER])));
        cases.push((format!("the user name {shown}"), odd_connect(0xc2, &[b"c", bad, USER])));
    }
    for topic in [&b""[..], b"will/+", b"#"] {
        let shown = topic.escape_ascii();
        cases.push((format!("the will's topic {shown}"), odd_connect(0xc6, &[b"c", topic, b"", USER, USER])));
    }
    for (what, bytes) in cases {
        let mut raw = Raw::open(&broker).await;
        raw.send(&bytes).await;
        assert_eq!(raw.packet().await, None, "{what}");
    }
    // The very same with nothing wrong.
    let mut raw = Raw::open(&broker).await;
    raw.send(&odd_connect(0xf6, &[b"c", b"will/c", b"\0\xff", USER, USER])).await;
    assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]));
}

#[tokio::test]
async fn each_refusal_has_its_code_and_no_session_and_is_the_last_word() {
    const KEPT: u8 = 0xc0;
    let users = [("operator", Role::Operator), ("viewer", Role::Observer)];
    let users = users.map(|(name, role)| User::new(name, name, role)).to_vec();
    let broker = broker_with(Config { users: Users::new(users, None), ..config() }).await;
    let mut kept = Raw::open(&broker).await;
    kept.send(&connect_with(KEPT, "operator", "kept", 60)).await;
    kept.packet().await.expect("CONNACK");
    kept.send(&[0xe0, 0]).await;
    assert!(kept.is_cut_off().await);

    let level = |name: &[u8], level: u8| {
        let mut body = text(name);
        body.extend([level, 0xc0, 0, 60]);
        body.extend([&b"kept"[..], b"operator", b"operator"].into_iter().flat_map(text));
        packet(0x10, &body)
    };
    let cases = [
        ("MQTT 3.1", level(b"MQIsdp", 3), 1),
        ("level 3", level(b"MQTT", 3), 1),
        ("MQTT 5", level(b"MQTT", 5), 1),
        ("a bridge", level(b"MQTT", 0x84), 1),
        ("another protocol", level(b"mqtt", 4), 1),
        ("no id and no clean session", connect_with(KEPT, "operator", "", 60), 2),
        ("an id that is taken by another user", connect_with(KEPT, "viewer", "kept", 60), 2),
        ("a wrong password", odd_connect(0xc0, &[b"kept", b"operator", b"wrong"]), 4),
        ("no user", odd_connect(0x00, &[b"kept"]), 5),
    ];
    for (what, bytes, code) in cases {
        let mut raw = Raw::open(&broker).await;
        // A retained message in the same breath, which must not be taken.
        raw.send(&[bytes, publish(0x31, "home/refused", 0, what.as_bytes())].concat()).await;
        assert_eq!(raw.packet().await, Some(vec![0x20, 2, 0, code]), "{what}");
        assert!(raw.is_cut_off().await, "{what}");
    }
    let mut kept = Raw::open(&broker).await;
    kept.send(&connect_with(KEPT, "operator", "kept", 60)).await;
    assert_eq!(kept.packet().await, Some(vec![0x20, 2, 1, 0]), "refusals cost nobody a session");
    kept.send(&subscribe(1, &[("home/#", 0)])).await;
    assert_eq!(kept.packet().await, Some(vec![0x90, 3, 0, 1, 0]));
    assert!(kept.is_alive().await, "no retained message comes before the answer");
}

/// A wildcard that stands where it must not is no subscription. The standard has a code for that, so nobody is cut off.
#[tokio::test]
async fn filters_with_misplaced_wildcards_are_refused_each_by_itself() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker, "operator", "o", 60).await;
    let filters = ["home/#", "home#", "#/home", "home/#/x", "home+", "+home/x", "home/++", ""];
    raw.send(&subscribe(1, &filters.map(|filter| (filter, 1)))).await;
    let answer = [&[0x90, 10, 0, 1, 1][..], &[0x80; 7]].concat();
    assert_eq!(raw.packet().await, Some(answer));
    raw.send(&publish(0x30, "home", 0, b"once")).await;
    assert_eq!(raw.packet().await, Some(publish(0x30, "home", 0, b"once")));
    assert!(raw.is_alive().await);
}
