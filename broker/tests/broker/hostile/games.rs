//! Client ids that are none, acknowledgements of nothing, QoS 2 out of order, wills.

use super::siege::{Besieged, Flow, THERE};
use crate::raw::{HERE, Raw, connect_with, connect_with_will, packet, publish, subscribe};
use crate::support::gateway_path;

const CLEAN_WITH_PASSWORD: u8 = 0xc2;

#[tokio::test]
async fn ids_that_are_none_are_refused_as_often_as_they_come() {
    /// Rejected with a code, or not even MQTT.
    const REJECTED: Option<&[u8]> = Some(&[0x20, 2, 0, 2]);
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let long = vec![b'x'; 0xffff];
    let ids: [(&[u8], Option<&[u8]>); 18] = [
        (b"+", REJECTED),
        (b"#", REJECTED),
        (b"$", REJECTED),
        (b"/", REJECTED),
        (b"$SYS/broker", REJECTED),
        (b"a/+/#", REJECTED),
        (b"$share/g/a", REJECTED),
        (b"plant.gw1", REJECTED),
        (b"plant.gw1.more", REJECTED),
        (&long[..65], REJECTED),
        (&long[..16_000], REJECTED),
        (&long, None),
        (b"\xff\xfe", None),
        (b"\xc0\x80", None),
        (b"\xed\xa0\x80", None),
        (b"a\0b", None),
        (b"\xf4\x90\x80\x80", None),
        (b"\xe2\x82", None),
    ];
    for _ in 0..3 {
        for (id, answer) in ids {
            let mut raw = Raw::dial(broker.mqtt, THERE).await;
            raw.send(&connect_with(CLEAN_WITH_PASSWORD, "operator", id, 0)).await;
            assert_eq!(raw.packet().await.as_deref(), answer, "{:?}", String::from_utf8_lossy(id));
            assert!(raw.is_cut_off().await);
        }
    }
    // In its own name it is another matter, and one id is taken over as often as somebody likes.
    let mut same = Vec::new();
    for _ in 0..50 {
        let mut raw = broker.enter(THERE, "operator", "same").await;
        raw.send(&subscribe(1, &[("home/#", 1)])).await;
        same.push(raw);
    }
    assert!(same.pop().expect("the last").packet().await.is_some());
    broker.assert_withstood(flow, before, 0).await;
}

#[tokio::test]
async fn acknowledgements_of_nothing_change_nothing() {
    const PUBACK: u8 = 0x40;
    const PUBREC: u8 = 0x50;
    const PUBREL: u8 = 0x62;
    const PUBCOMP: u8 = 0x70;
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut raw = broker.enter(THERE, "operator", "games").await;
    raw.send(&subscribe(1, &[("home/#", 2)])).await;
    raw.packet().await.expect("SUBACK");
    for id in [1_u16, 2, 255, 256, 257, 0xffff] {
        for kind in [PUBACK, PUBREC, PUBREL, PUBCOMP, PUBCOMP, PUBACK] {
            raw.send(&packet(kind, &id.to_be_bytes())).await;
            // To what it never sent the broker says what ends the exchange of whoever remembers one.
            let answer = match kind {
                PUBREC => 0x62,
                PUBREL => 0x70,
                _ => continue,
            };
            assert_eq!(raw.packet().await, Some(packet(answer, &id.to_be_bytes())), "{kind:x} {id}");
        }
    }
    // The window is whole: 256 exchanges, none opened or closed by those. Acknowledged twice, in the wrong order, and with the
    // wrong word, each counts once.
    let mut other = broker.enter(THERE, "operator", "other").await;
    for round in 0..3 {
        let mut ids = Vec::new();
        for number in 0..256_u32 {
            other.send(&publish(0x32, "home/x", 1, &number.to_be_bytes())).await;
            other.packet().await.expect("PUBACK");
        }
        for number in 0..256_u32 {
            let found = raw.packet().await.expect("a message");
            assert_eq!((found[0], &found[12..]), (0x32, &number.to_be_bytes()[..]), "round {round}");
            ids.push([found[10], found[11]]);
        }
        for id in ids.iter().rev() {
            raw.send(&packet(PUBCOMP, id)).await;
            raw.send(&packet(PUBACK, id).repeat(2)).await;
        }
    }
    assert!(raw.is_alive().await);
    // Packet id 0 is no id.
    raw.send(&packet(PUBACK, &[0, 0])).await;
    assert!(raw.is_cut_off().await);
    broker.assert_withstood(flow, before, 0).await;
}

#[tokio::test]
async fn qos_2_out_of_order_is_delivered_once_or_cut_off() {
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut listener = broker.enter(HERE, "operator", "listener").await;
    listener.send(&subscribe(1, &[("home/#", 0)])).await;
    listener.packet().await.expect("SUBACK");
    let mut raw = broker.enter(THERE, "operator", "games").await;
    // A release of nothing, then one id with two contents: the first counts until it is released.
    raw.send(&packet(0x62, &[0, 9])).await;
    assert_eq!(raw.packet().await, Some(packet(0x70, &[0, 9])));
    for (payload, delivered) in [("first", true), ("second", false), ("third", false)] {
        raw.send(&publish(0x34, "home/x", 9, payload.as_bytes())).await;
        assert_eq!(raw.packet().await, Some(packet(0x50, &[0, 9])));
        if delivered {
            assert_eq!(listener.packet().await, Some(publish(0x30, "home/x", 0, payload.as_bytes())));
        }
    }
    raw.send(&packet(0x62, &[0, 9]).repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(raw.packet().await, Some(packet(0x70, &[0, 9])));
    }
    raw.send(&publish(0x34, "home/x", 9, b"anew")).await;
    assert_eq!(raw.packet().await, Some(packet(0x50, &[0, 9])));
    assert_eq!(listener.packet().await, Some(publish(0x30, "home/x", 0, b"anew")), "none between");

    // Never released: 256 may be open, of which one is, and the next ends the connection.
    for id in 10..265_u16 {
        raw.send(&publish(0x34, "home/x", id, b"open")).await;
        assert_eq!(raw.packet().await, Some(packet(0x50, &id.to_be_bytes())));
    }
    raw.send(&publish(0x34, "home/x", 20, b"again")).await;
    assert_eq!(raw.packet().await, Some(packet(0x50, &[0, 20])), "one that is open may be repeated");
    raw.send(&publish(0x34, "home/x", 300, b"one more")).await;
    assert!(raw.is_cut_off().await);
    broker.assert_withstood(flow, before, 0).await;
}

#[tokio::test]
async fn wills_are_as_long_as_a_connect_at_most_and_nobody_elses() {
    const VANISHING: usize = 200;
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let others = format!("{}/status", gateway_path("gw1").root());
    for (user, id, topic, length) in [
        ("operator", "o", &others[..], 10),
        ("viewer", "v", "home/x", 10),
        ("gw2", "plant.gw2", &others, 10),
        ("ingest", "i", &others, 10),
    ] {
        let mut raw = Raw::dial(broker.mqtt, THERE).await;
        raw.send(&connect_with_will(user, id, topic, &vec![7; length])).await;
        assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 5][..]), "{user}: {topic}");
    }
    for length in [17_000, 0xffff] {
        let mut huge = Raw::dial(broker.mqtt, THERE).await;
        huge.send(&connect_with_will("operator", "huge", "home/x", &vec![7; length])).await;
        assert!(huge.is_cut_off().await);
    }
    let mut vanishing = Vec::new();
    for number in 0..VANISHING {
        let mut raw = Raw::dial(broker.mqtt, THERE).await;
        raw.send(&connect_with_will("operator", &format!("w{number}"), "home/will", &[7; 16_000])).await;
        assert_eq!(raw.packet().await.as_deref(), Some(&[0x20, 2, 0, 0][..]));
        vanishing.push(raw);
    }
    drop(vanishing);
    broker.until("tidegate_broker_wills_published_total", |count| count == VANISHING as u64).await;
    broker.assert_withstood(flow, before, VANISHING as u64 * 32 * 1024).await;
}
