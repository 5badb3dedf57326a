//! QoS 0, 1 and 2, retained messages, wills.

use rumqttc::QoS;

use crate::raw::{Raw, publish, subscribe, unsubscribe};
use crate::support::{Client, broker, gateway_path, options, will};

#[tokio::test]
async fn every_qos_arrives_once_and_in_order_at_the_lower_of_both() {
    let broker = broker().await;
    let mut subscriber = Client::new(&broker, "operator", "s").await;
    let mut publisher = Client::new(&broker, "operator", "p").await;
    const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    for granted in ALL {
        let filter = format!("home/{}/#", granted as u8);
        subscriber.subscribe(&filter, granted).await;
        for sent in ALL {
            let topic = format!("home/{}/{}", granted as u8, sent as u8);
            for count in 0..3 {
                publisher.publish(&topic, &count.to_string(), sent, false).await;
            }
            for count in 0..3 {
                let received = subscriber.publish_event().await;
                assert_eq!(received.topic, topic);
                assert_eq!(received.payload, count.to_string());
                assert_eq!(
                    received.qos as u8,
                    (granted as u8).min(sent as u8),
                    "granted {granted:?}, sent {sent:?}"
                );
                assert!(!received.retain);
            }
        }
    }
}

#[tokio::test]
async fn a_qos_2_exchange_repeated_by_the_client_is_delivered_once() {
    let broker = broker().await;
    let mut subscriber = Raw::connect(&broker, "operator", "s", 60).await;
    subscriber.send(&subscribe(1, &[("home/#", 0)])).await;
    assert_eq!(subscriber.packet().await, Some(vec![0x90, 3, 0, 1, 0]));
    let mut publisher = Raw::connect(&broker, "operator", "p", 60).await;
    let first = publish(0x34, "home/a", 9, b"once");
    let again = publish(0x3c, "home/a", 9, b"once");
    publisher.send(&[first, again].concat()).await;
    assert_eq!(publisher.packet().await, Some(vec![0x50, 2, 0, 9]));
    assert_eq!(publisher.packet().await, Some(vec![0x50, 2, 0, 9]));
    publisher.send(&[0x62, 2, 0, 9]).await;
    assert_eq!(publisher.packet().await, Some(vec![0x70, 2, 0, 9]));
    publisher.send(&publish(0x30, "home/b", 0, b"next")).await;
    assert_eq!(subscriber.packet().await, Some(publish(0x30, "home/a", 0, b"once")));
    assert_eq!(subscriber.packet().await, Some(publish(0x30, "home/b", 0, b"next")));
}

#[tokio::test]
async fn acknowledgements_in_any_order_keep_the_window_open() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker, "operator", "s", 60).await;
    raw.send(&subscribe(1, &[("home/x", 1)])).await;
    raw.packet().await.expect("SUBACK");
    // Twice as many as the window holds, acknowledged backwards in pairs.
    for round in 0..256_u16 {
        let two = [
            publish(0x32, "home/x", 1, &round.to_be_bytes()),
            publish(0x32, "home/x", 2, &round.to_be_bytes()),
        ];
        raw.send(&two.concat()).await;
        let (mut ids, mut acks) = (Vec::new(), 0);
        while ids.len() < 2 || acks < 2 {
            let packet = raw.packet().await.expect("the connection lives");
            match packet[0] {
                0x40 => acks += 1,
                0x32 => ids.push([packet[10], packet[11]]),
                other => panic!("unexpected packet {other:#x}"),
            }
        }
        for id in ids.iter().rev() {
            raw.send(&[0x40, 2, id[0], id[1]]).await;
        }
    }
    assert!(raw.is_alive().await);
}

#[tokio::test]
async fn a_late_subscriber_gets_every_retained_message_however_many() {
    const TOPICS: usize = 600;
    let broker = broker().await;
    let mut ingest = Client::new(&broker, "ingest", "i").await;
    for count in 0..TOPICS {
        let topic = format!("tidegate/v1/alarms/plant/d{count}/c/r");
        ingest.publish(&topic, "raised", QoS::AtLeastOnce, true).await;
    }
    ingest.publish("tidegate/v1/alarms/plant/d0/c/r", "cleared", QoS::AtLeastOnce, true).await;
    ingest.publish("tidegate/v1/alarms/plant/d1/c/r", "", QoS::AtLeastOnce, true).await;
    let mut viewer = Client::new(&broker, "viewer", "v").await;
    viewer.subscribe("tidegate/v1/alarms/#", QoS::AtLeastOnce).await;
    let mut received = std::collections::BTreeMap::new();
    for _ in 0..TOPICS - 1 {
        let message = viewer.publish_event().await;
        assert!(message.retain && message.qos == QoS::AtLeastOnce);
        received.insert(message.topic, message.payload);
    }
    assert_eq!(received.len(), TOPICS - 1);
    assert_eq!(received["tidegate/v1/alarms/plant/d0/c/r"], "cleared");
    assert!(!received.contains_key("tidegate/v1/alarms/plant/d1/c/r"), "an empty payload clears a topic");
    ingest.publish("tidegate/v1/alarms/plant/d2/c/r", "live", QoS::AtLeastOnce, true).await;
    let live = viewer.publish_event().await;
    assert_eq!(
        (live.payload, live.retain),
        ("live".into(), false),
        "to present subscribers it is not retained"
    );
}

#[tokio::test]
async fn a_will_is_published_when_a_client_vanishes_and_void_when_it_says_goodbye() {
    let broker = broker().await;
    let status = gateway_path("gw1").status();
    let mut viewer = Client::new(&broker, "viewer", "v").await;
    viewer.subscribe(&status, QoS::AtLeastOnce).await;
    let with_will = || {
        let mut options = options(&broker, "gw1", "plant.gw1");
        will(&mut options, &status, "gone", true);
        Client::connect(options)
    };

    let mut polite = with_will().await.expect("let in");
    polite.publish(&status, "born 1", QoS::AtLeastOnce, true).await;
    polite.goodbye().await;
    let mut vanishing = with_will().await.expect("let in");
    vanishing.publish(&status, "born 2", QoS::AtLeastOnce, true).await;
    drop(vanishing);

    for expected in ["born 1", "born 2", "gone"] {
        assert_eq!(viewer.message().await, format!("{status} {expected}"));
    }
    let mut late = Client::new(&broker, "viewer", "late").await;
    late.subscribe(&status, QoS::AtLeastOnce).await;
    assert_eq!(late.message().await, format!("{status} gone"), "the will was retained");
}

#[tokio::test]
async fn nothing_comes_after_an_unsubscribe() {
    let broker = broker().await;
    let mut raw = Raw::connect(&broker, "operator", "s", 60).await;
    raw.send(&subscribe(1, &[("home/a", 0), ("home/b", 0)])).await;
    raw.packet().await.expect("SUBACK");
    raw.send(&unsubscribe(2, "home/a")).await;
    assert_eq!(raw.packet().await, Some(vec![0xb0, 2, 0, 2]));
    raw.send(&[publish(0x30, "home/a", 0, b"1"), publish(0x30, "home/b", 0, b"2")].concat()).await;
    assert_eq!(raw.packet().await, Some(publish(0x30, "home/b", 0, b"2")));
}
