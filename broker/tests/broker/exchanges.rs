//! Exchanges of MQTT 3.1.1 that show only in the bytes: packet ids, DUP, what is repeated and in which order, sizes.

use crate::raw::{Raw, connect_with, publish, subscribe, unsubscribe};
use crate::support::{broker, broker_with, config};

/// User, password, and a session that is kept.
const KEPT: u8 = 0xc0;

/// Connects with a kept session; gives the CONNACK's session present flag too.
async fn kept(broker: &tidegate_broker::Running, id: &str) -> (Raw, bool) {
    let mut raw = Raw::open(broker).await;
    raw.send(&connect_with(KEPT, "operator", id, 60)).await;
    let connack = raw.packet().await.expect("CONNACK");
    assert_eq!((&connack[..2], connack[3]), (&[0x20, 2][..], 0), "the first packet, and let in");
    (raw, connack[2] == 1)
}

#[tokio::test]
async fn a_duplicate_flag_is_not_handed_on() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker, "operator", "o", 60).await;
    raw.send(&subscribe(1, &[("home/+", 2)])).await;
    raw.packet().await.expect("SUBACK");
    for (first, id, answer) in [(0x3a, 7, [0x40, 2, 0, 7]), (0x3c, 8, [0x50, 2, 0, 8])] {
        raw.send(&publish(first, "home/x", id, b"x")).await;
        let mut two = [raw.packet().await.expect("one"), raw.packet().await.expect("two")];
        two.sort_by_key(|packet| packet[0] >> 4 == 3);
        assert_eq!(two[0], answer);
        assert_eq!(two[1][0], first & !0x08, "the same, without DUP");
    }
}

#[tokio::test]
async fn an_id_may_be_used_again_once_its_exchange_is_over() {
    let broker = broker().await;
    let mut subscriber = Raw::connect(&broker, "operator", "s", 60).await;
    subscriber.send(&subscribe(1, &[("home/x", 0)])).await;
    subscriber.packet().await.expect("SUBACK");
    let mut publisher = Raw::connect(&broker, "operator", "p", 60).await;
    // After PUBACK and PUBCOMP even a duplicate is a new message.
    for _ in 0..2 {
        publisher.send(&publish(0x3a, "home/x", 5, b"at least once")).await;
        assert_eq!(publisher.packet().await, Some(vec![0x40, 2, 0, 5]));
        publisher.send(&publish(0x3c, "home/x", 5, b"exactly once")).await;
        assert_eq!(publisher.packet().await, Some(vec![0x50, 2, 0, 5]));
        publisher.send(&[0x62, 2, 0, 5]).await;
        assert_eq!(publisher.packet().await, Some(vec![0x70, 2, 0, 5]));
    }
    for payload in [&b"at least once"[..], b"exactly once"].repeat(2) {
        assert_eq!(subscriber.packet().await, Some(publish(0x30, "home/x", 0, payload)));
    }
}

#[tokio::test]
async fn a_release_of_what_nobody_remembers_is_answered_all_the_same() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker, "operator", "o", 60).await;
    raw.send(&[0x62, 2, 0x12, 0x34]).await;
    assert_eq!(raw.packet().await, Some(vec![0x70, 2, 0x12, 0x34]));
    raw.send(&[0x50, 2, 0x12, 0x34]).await;
    assert_eq!(raw.packet().await, Some(vec![0x62, 2, 0x12, 0x34]));
}

#[tokio::test]
async fn ids_that_wait_for_their_acknowledgement_are_not_given_again() {
    const WINDOW: usize = 4;
    let mut config = config();
    config.limits.session.max_inflight = WINDOW as u16;
    let broker = broker_with(config).await;
    let mut subscriber = Raw::connect(&broker, "operator", "s", 60).await;
    subscriber.send(&subscribe(1, &[("home/x", 1)])).await;
    subscriber.packet().await.expect("SUBACK");
    let mut publisher = Raw::connect(&broker, "operator", "p", 60).await;
    for count in 0..10 {
        publisher.send(&publish(0x30, "home/x", 0, &[count])).await;
        publisher.send(&publish(0x32, "home/x", 1, &[count])).await;
        assert_eq!(publisher.packet().await, Some(vec![0x40, 2, 0, 1]));
    }
    let mut open = std::collections::VecDeque::new();
    let mut sent = Vec::new();
    while sent.len() < 20 {
        let packet = subscriber.packet().await.expect("a message");
        sent.push(packet[packet.len() - 1]);
        // QoS 0 needs no id, and waits for nothing but its turn.
        if packet[0] == 0x32 {
            let id = [packet[10], packet[11]];
            assert!(id != [0, 0] && !open.contains(&id), "{id:?} is free, but not {open:?}");
            open.push_back(id);
        }
        if open.len() == WINDOW {
            let [high, low] = open.pop_back().expect("four");
            subscriber.send(&[0x40, 2, high, low]).await;
        }
    }
    assert!(sent.is_sorted(), "in the order in which they were published: {sent:?}");
}

#[tokio::test]
async fn what_is_sent_again_keeps_its_order_and_ids_and_goes_on_after_an_unsubscribe() {
    let broker = broker().await;
    let (mut subscriber, _) = kept(&broker, "kept").await;
    subscriber.send(&subscribe(1, &[("home/+", 2)])).await;
    subscriber.packet().await.expect("SUBACK");
    let mut publisher = Raw::connect(&broker, "operator", "p", 60).await;
    for (first, topic) in [(0x32, "home/a"), (0x34, "home/b"), (0x34, "home/c"), (0x32, "home/d")] {
        publisher.send(&publish(first, topic, 1, b"x")).await;
        publisher.packet().await.expect("PUBACK or PUBREC");
        publisher.send(&[0x62, 2, 0, 1]).await;
        publisher.packet().await.expect("PUBCOMP");
    }
    for (first, topic, id) in
        [(0x32, "home/a", 1), (0x34, "home/b", 2), (0x34, "home/c", 3), (0x32, "home/d", 4)]
    {
        assert_eq!(subscriber.packet().await, Some(publish(first, topic, id, b"x")));
    }
    subscriber.send(&[0x50, 2, 0, 3]).await;
    assert_eq!(subscriber.packet().await, Some(vec![0x62, 2, 0, 3]));
    // What is on its way is brought to its end, subscription or not.
    subscriber.send(&unsubscribe(2, "home/+")).await;
    assert_eq!(subscriber.packet().await, Some(vec![0xb0, 2, 0, 2]));
    drop(subscriber);

    for _ in 0..2 {
        let (mut subscriber, is_present) = kept(&broker, "kept").await;
        assert!(is_present);
        let expected = [
            publish(0x3a, "home/a", 1, b"x"),
            publish(0x3c, "home/b", 2, b"x"),
            vec![0x62, 2, 0, 3],
            publish(0x3a, "home/d", 4, b"x"),
        ];
        for expected in expected {
            assert_eq!(subscriber.packet().await, Some(expected));
        }
        assert!(subscriber.is_alive().await, "and nothing more");
    }
}

#[tokio::test]
async fn a_qos_2_exchange_is_remembered_while_its_client_is_away() {
    let broker = broker().await;
    let mut subscriber = Raw::connect(&broker, "operator", "s", 60).await;
    subscriber.send(&subscribe(1, &[("home/x", 0)])).await;
    subscriber.packet().await.expect("SUBACK");
    let (mut publisher, _) = kept(&broker, "kept").await;
    publisher.send(&publish(0x34, "home/x", 9, b"once")).await;
    assert_eq!(publisher.packet().await, Some(vec![0x50, 2, 0, 9]));
    drop(publisher);
    let (mut publisher, is_present) = kept(&broker, "kept").await;
    assert!(is_present);
    publisher.send(&publish(0x3c, "home/x", 9, b"once")).await;
    assert_eq!(publisher.packet().await, Some(vec![0x50, 2, 0, 9]));
    publisher.send(&[0x62, 2, 0, 9]).await;
    assert_eq!(publisher.packet().await, Some(vec![0x70, 2, 0, 9]));
    publisher.send(&publish(0x30, "home/x", 0, b"end")).await;
    for payload in [&b"once"[..], b"end"] {
        assert_eq!(subscriber.packet().await, Some(publish(0x30, "home/x", 0, payload)));
    }
}

#[tokio::test]
async fn a_filter_subscribed_again_does_not_interrupt_what_flows() {
    const HALF: u8 = 100;
    let broker = broker().await;
    let mut subscriber = Raw::connect(&broker, "operator", "s", 60).await;
    subscriber.send(&subscribe(1, &[("home/x", 0)])).await;
    subscriber.packet().await.expect("SUBACK");
    let mut publisher = Raw::connect(&broker, "operator", "p", 60).await;
    let mut expected = Vec::new();
    for half in 0..2 {
        let messages: Vec<_> = (0..HALF).map(|count| publish(0x30, "home/x", 0, &[half, count])).collect();
        publisher.send(&messages.concat()).await;
        subscriber.send(&subscribe(2, &[("home/x", 0)])).await;
        expected.extend(messages);
    }
    let mut received = Vec::new();
    let mut answers = 0;
    while received.len() < expected.len() || answers < 2 {
        let packet = subscriber.packet().await.expect("the connection lives");
        if packet[0] == 0x90 { answers += 1 } else { received.push(packet) }
    }
    assert!(received == expected, "all of them, once and in order");
}

#[tokio::test]
async fn a_goodbye_is_the_last_that_is_looked_at() {
    let broker = broker().await;
    let mut witness = Raw::connect(&broker, "operator", "witness", 60).await;
    witness.send(&subscribe(1, &[("home/x", 0)])).await;
    witness.packet().await.expect("SUBACK");
    let mut raw = Raw::connect(&broker, "operator", "o", 60).await;
    raw.send(&[&[0xe0, 0], &publish(0x30, "home/x", 0, b"after it")[..]].concat()).await;
    assert!(raw.is_cut_off().await);
    witness.send(&publish(0x30, "home/x", 0, b"end")).await;
    assert_eq!(witness.packet().await, Some(publish(0x30, "home/x", 0, b"end")));
}

/// Of the four forms of the remaining length, the last is over the default limit of a packet.
#[tokio::test]
async fn packets_of_every_length_come_through_up_to_the_limit() {
    let mut config = config();
    config.limits.max_packet_bytes = 3 << 20;
    let broker = broker_with(config).await;
    let mut raw = Raw::connect(&broker, "operator", "o", 60).await;
    raw.send(&subscribe(1, &[("home/x", 0)])).await;
    raw.packet().await.expect("SUBACK");
    for length in [8, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        let message = publish(0x30, "home/x", 0, &vec![7; length - 8]);
        raw.send(&message).await;
        assert_eq!(raw.packet().await.map(|packet| packet == message), Some(true), "{length}");
    }
    let topic = "t".repeat(1024);
    raw.send(&subscribe(2, &[(&topic, 0)])).await;
    assert_eq!(raw.packet().await, Some(vec![0x90, 3, 0, 2, 0]));
    raw.send(&publish(0x30, &topic, 0, b"x")).await;
    assert_eq!(raw.packet().await, Some(publish(0x30, &topic, 0, b"x")));
    let longer = "t".repeat(1025);
    raw.send(&subscribe(3, &[(&longer, 0)])).await;
    assert_eq!(raw.packet().await, Some(vec![0x90, 3, 0, 3, 0x80]), "MQTT has up to 65,535; we do not");
    raw.send(&publish(0x30, &longer, 0, b"x")).await;
    assert!(raw.is_cut_off().await);
}

#[tokio::test]
async fn acknowledgements_come_in_the_order_of_what_they_answer() {
    let broker = broker().await;
    let ids = [9, 3, 7, 1, 8];
    let mut raw = Raw::connect(&broker, "operator", "o", 60).await;
    // At once, so that an order of its own would show.
    let at_once = |first| ids.iter().flat_map(|&id| publish(first, "home/x", id, b"x")).collect::<Vec<_>>();
    for (first, answer) in [(0x32, 0x40), (0x34, 0x50)] {
        raw.send(&at_once(first)).await;
        for id in ids {
            assert_eq!(raw.packet().await, Some(vec![answer, 2, 0, id as u8]));
        }
    }

    // And what the broker goes on with, in the order in which the other end took it.
    let mut subscriber = Raw::connect(&broker, "operator", "s", 60).await;
    subscriber.send(&subscribe(1, &[("home/y", 2)])).await;
    subscriber.packet().await.expect("SUBACK");
    for id in 1..=4 {
        raw.send(&publish(0x34, "home/y", id + 20, b"y")).await;
        raw.packet().await.expect("PUBREC");
        raw.send(&[0x62, 2, 0, id as u8 + 20]).await;
        raw.packet().await.expect("PUBCOMP");
    }
    let mut taken = Vec::new();
    for _ in 0..4 {
        let message = subscriber.packet().await.expect("a message");
        assert_eq!(message[0], 0x34);
        taken.push([message[message.len() - 3], message[message.len() - 2]]);
    }
    taken.swap(0, 2);
    subscriber.send(&taken.iter().flat_map(|[high, low]| [0x50, 2, *high, *low]).collect::<Vec<_>>()).await;
    for [high, low] in taken {
        assert_eq!(subscriber.packet().await, Some(vec![0x62, 2, high, low]));
    }
}

#[tokio::test]
async fn a_retained_message_at_qos_0_takes_the_place_of_that_of_before() {
    let broker = broker().await;
    let mut publisher = Raw::connect(&broker, "operator", "p", 60).await;
    publisher.send(&publish(0x33, "home/kept", 5, b"before")).await;
    publisher.packet().await.expect("PUBACK");
    publisher.send(&publish(0x31, "home/kept", 0, b"now")).await;
    // An answer says that the broker has taken what came before the question.
    publisher.send(&publish(0x32, "home/other", 6, b"x")).await;
    publisher.packet().await.expect("PUBACK");
    let mut subscriber = Raw::connect(&broker, "operator", "s", 60).await;
    subscriber.send(&subscribe(1, &[("home/kept", 1)])).await;
    subscriber.packet().await.expect("SUBACK");
    assert_eq!(subscriber.packet().await, Some(publish(0x31, "home/kept", 0, b"now")));
}
