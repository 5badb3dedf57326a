//! Takeover, keep-alive, and sessions that outlive their connection.

use std::time::Duration;

use rumqttc::QoS;

use crate::raw::{Raw, connect_with, publish, subscribe};
use crate::support::{Client, broker, broker_with, config, gateway_path, options, will};

#[tokio::test]
async fn a_second_connection_takes_the_first_ones_place_as_often_as_it_likes() {
    let broker = broker().await;
    let mut current = Raw::connect(&broker, "operator", "same", 60).await;
    for _ in 0..20 {
        let next = Raw::connect(&broker, "operator", "same", 60).await;
        assert!(current.is_cut_off().await);
        current = next;
    }
    current.send(&subscribe(1, &[("home/x", 0)])).await;
    current.packet().await.expect("SUBACK");
    current.send(&publish(0x30, "home/x", 0, b"1")).await;
    assert_eq!(current.packet().await, Some(publish(0x30, "home/x", 0, b"1")));
    assert_eq!(broker.connections(), 1);
}

#[tokio::test]
async fn the_will_of_a_displaced_connection_comes_before_the_new_ones_birth() {
    let broker = broker().await;
    let status = gateway_path("gw1").status();
    let mut viewer = Client::new(&broker, "viewer", "v").await;
    viewer.subscribe(&status, QoS::AtLeastOnce).await;
    let mut options = options(&broker, "gw1", "plant.gw1");
    will(&mut options, &status, "gone", true);
    let _displaced = Client::connect(options.clone()).await.expect("let in");
    let mut second = Client::connect(options).await.expect("let in");
    second.publish(&status, "born", QoS::AtLeastOnce, true).await;
    assert_eq!(viewer.message().await, format!("{status} gone"));
    assert_eq!(viewer.message().await, format!("{status} born"));
}

#[tokio::test]
async fn keep_alive_0_is_accepted_and_another_one_is_enforced() {
    let broker = broker().await;
    let mut patient = Raw::connect(&broker, "viewer", "patient", 0).await;
    let mut silent = Raw::connect(&broker, "viewer", "silent", 1).await;
    assert!(silent.is_cut_off().await, "silent for longer than 1.5 s");
    assert!(patient.is_alive().await);
}

#[tokio::test]
async fn a_kept_session_gets_what_it_missed_and_what_it_did_not_acknowledge() {
    const KEPT: u8 = 0xc0;
    let broker = broker().await;
    let mut raw = Raw::open(&broker).await;
    raw.send(&connect_with(KEPT, "operator", "kept", 60)).await;
    assert_eq!(raw.packet().await, Some(vec![0x20, 2, 0, 0]), "no session yet");
    raw.send(&subscribe(1, &[("home/x", 1)])).await;
    raw.packet().await.expect("SUBACK");
    let mut publisher = Client::new(&broker, "operator", "p").await;
    publisher.publish("home/x", "unacknowledged", QoS::AtLeastOnce, false).await;
    assert_eq!(raw.packet().await, Some(publish(0x32, "home/x", 1, b"unacknowledged")));
    raw.send(&[0xe0, 0]).await;
    assert!(raw.is_cut_off().await);
    publisher.publish("home/x", "missed", QoS::AtLeastOnce, false).await;

    let mut raw = Raw::open(&broker).await;
    raw.send(&connect_with(KEPT, "operator", "kept", 60)).await;
    assert_eq!(raw.packet().await, Some(vec![0x20, 2, 1, 0]), "session present");
    assert_eq!(raw.packet().await, Some(publish(0x3a, "home/x", 1, b"unacknowledged")), "a duplicate");
    assert_eq!(raw.packet().await, Some(publish(0x32, "home/x", 2, b"missed")));

    let clean = Raw::connect(&broker, "operator", "kept", 60).await;
    drop(clean);
    let mut raw = Raw::open(&broker).await;
    raw.send(&connect_with(KEPT, "operator", "kept", 60)).await;
    assert_eq!(raw.packet().await, Some(vec![0x20, 2, 0, 0]), "a clean session ends the kept one");
}

#[tokio::test]
async fn kept_sessions_are_bounded_and_the_oldest_goes() {
    const KEPT: u8 = 0xc0;
    let mut config = config();
    config.limits.max_kept_sessions = 2;
    let broker = broker_with(config).await;
    let session_present = async |id: &str| {
        let mut raw = Raw::open(&broker).await;
        raw.send(&connect_with(KEPT, "viewer", id, 60)).await;
        let connack = raw.packet().await.expect("CONNACK");
        raw.send(&[0xe0, 0]).await;
        assert!(raw.is_cut_off().await);
        connack[2] == 1
    };
    for id in ["a", "b", "c"] {
        assert!(!session_present(id).await);
    }
    assert!(session_present("c").await);
    assert!(session_present("b").await);
    assert!(!session_present("a").await, "it was the oldest of three");
}

#[tokio::test]
async fn a_kept_session_expires() {
    let mut config = config();
    config.limits.kept_session_expiry = Duration::from_millis(1);
    config.probe.interval = Duration::from_millis(10);
    let broker = broker_with(config).await;
    let mut raw = Raw::open(&broker).await;
    raw.send(&connect_with(0xc0, "viewer", "kept", 60)).await;
    raw.packet().await.expect("CONNACK");
    raw.send(&[0xe0, 0]).await;
    assert!(raw.is_cut_off().await);
    crate::service::until_metric(&broker, "tidegate_broker_kept_sessions 0").await;
}

/// The standard knows no bound for what a kept session misses; the router has two: what it holds ready for a client, and its logs.
#[tokio::test]
async fn what_a_kept_sessions_log_cannot_hold_is_skipped_and_counted() {
    const COUNT: u16 = 1000;
    let mut config = config();
    config.limits.logs.other.bytes = 4096;
    config.limits.logs.other.count = 2;
    let broker = broker_with(config).await;
    let kept = async || {
        let mut raw = Raw::open(&broker).await;
        raw.send(&connect_with(0xc0, "operator", "kept", 60)).await;
        raw.packet().await.expect("CONNACK");
        raw
    };
    let mut away = kept().await;
    away.send(&subscribe(1, &[("home/x", 1)])).await;
    away.packet().await.expect("SUBACK");
    let mut publisher = Raw::connect(&broker, "operator", "p", 60).await;
    // From the first message on it is known where in the log the session is.
    publisher.send(&publish(0x32, "home/x", COUNT + 1, &[0, 0])).await;
    publisher.packet().await.expect("PUBACK");
    let first = away.packet().await.expect("a message");
    away.send(&[&[0x40, 2][..], &first[10..12], &[0xe0, 0]].concat()).await;
    assert!(away.is_cut_off().await);

    for count in 1..=COUNT {
        let payload = [&count.to_be_bytes()[..], &[7; 100]].concat();
        publisher.send(&publish(0x32, "home/x", count, &payload)).await;
        publisher.packet().await.expect("PUBACK");
    }
    let mut back = kept().await;
    let mut received = Vec::new();
    while received.last() != Some(&COUNT) {
        let packet = back.packet().await.expect("a message");
        received.push(u16::from_be_bytes([packet[12], packet[13]]));
        back.send(&[0x40, 2, packet[10], packet[11]]).await;
    }
    assert!(
        received.is_sorted() && received.len() < usize::from(COUNT),
        "in order, with a hole: {received:?}"
    );
    let skipped = usize::from(COUNT) - received.len();
    let counted = format!("tidegate_broker_messages_skipped_total {skipped}");
    crate::service::until_metric(&broker, &counted).await;
}
