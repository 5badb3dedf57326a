//! Bytes that are not MQTT, too many of them, or nobody who reads. Each test ends with an honest client still being served.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rumqttc::QoS;
use tidegate_broker::Running;

use crate::raw::{Raw, connect, connect_with, packet, publish, subscribe, unsubscribe};
use crate::service::until_metric;
use crate::support::{Client, broker, broker_with, config};

async fn assert_an_honest_client_is_served(broker: &Running) {
    let mut honest = Client::new(broker, "operator", "honest").await;
    honest.subscribe("home/honest", QoS::AtLeastOnce).await;
    honest.publish("home/honest", "served", QoS::ExactlyOnce, false).await;
    assert_eq!(honest.message().await, "home/honest served");
    until_metric(broker, "tidegate_broker_router_restarts_total 0").await;
}

#[tokio::test]
async fn a_packet_over_the_limit_ends_the_connection_before_it_is_read() {
    let mut config = config();
    config.limits.max_packet_bytes = 4096;
    let broker = broker_with(config).await;
    let mut raw = Raw::connect(&broker, "operator", "o", 60).await;
    raw.send(&publish(0x32, "home/x", 1, &[0; 4000])).await;
    assert_eq!(raw.packet().await, Some(vec![0x40, 2, 0, 1]));
    // Only the header: the broker must not wait for the rest.
    raw.send(&publish(0x32, "home/x", 2, &[0; 4096])[..5]).await;
    assert!(raw.is_cut_off().await);
    // Before the CONNECT the limit is lower.
    let mut stranger = Raw::open(&broker).await;
    stranger.send(&[0x10, 0xff, 0xff, 0xff, 0x7f]).await;
    assert!(stranger.is_cut_off().await);
    assert_an_honest_client_is_served(&broker).await;
}

#[tokio::test]
async fn a_connect_that_dawdles_is_cut_off() {
    let mut config = config();
    config.limits.connect_timeout = Duration::from_millis(200);
    let broker = broker_with(config).await;
    let mut mute = Raw::open(&broker).await;
    let mut dawdling = Raw::open(&broker).await;
    dawdling.send(&connect("viewer", "v", 60)[..7]).await;
    assert!(mute.is_cut_off().await && dawdling.is_cut_off().await);
    until_metric(&broker, "tidegate_broker_connections_refused_total{reason=\"connect-timeout\"} 2").await;
}

#[tokio::test]
async fn connections_over_the_caps_are_closed_and_places_come_back() {
    let mut config = config();
    config.limits.max_connections_per_address = 2;
    let broker = broker_with(config).await;
    let first = Raw::connect(&broker, "viewer", "1", 60).await;
    let mut second = Raw::connect(&broker, "viewer", "2", 60).await;
    assert!(Raw::open(&broker).await.is_cut_off().await);
    drop(first);
    until_metric(&broker, "tidegate_broker_connections 1").await;
    let mut third = Raw::connect(&broker, "viewer", "3", 60).await;
    assert!(second.is_alive().await && third.is_alive().await);
}

#[tokio::test]
async fn filters_over_the_clients_limit_are_refused() {
    let mut config = config();
    config.limits.session.max_filters = 2;
    let broker = broker_with(config).await;
    let mut raw = Raw::connect(&broker, "operator", "o", 60).await;
    raw.send(&subscribe(1, &[("a", 0), ("b", 1)])).await;
    assert_eq!(raw.packet().await, Some(vec![0x90, 4, 0, 1, 0, 1]));
    raw.send(&subscribe(2, &[("c", 2)])).await;
    assert_eq!(raw.packet().await, Some(vec![0x90, 3, 0, 2, 0x80]));
    raw.send(&unsubscribe(2, "a")).await;
    raw.packet().await.expect("UNSUBACK");
    raw.send(&subscribe(3, &[("c", 2)])).await;
    assert_eq!(raw.packet().await, Some(vec![0x90, 3, 0, 3, 2]));
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_holds_nobody_up_and_is_told_what_it_missed() {
    const ROUNDS: usize = 160;
    const BATCH: usize = 50;
    let broker = broker().await;
    let mut stuck = Raw::connect(&broker, "operator", "stuck", 0).await;
    stuck.send(&subscribe(1, &[("home/x", 0)])).await;
    stuck.packet().await.expect("SUBACK");
    let mut reader = Raw::connect(&broker, "operator", "reader", 0).await;
    reader.send(&subscribe(1, &[("home/x", 0)])).await;
    reader.packet().await.expect("SUBACK");
    let mut publisher = Raw::connect(&broker, "operator", "publisher", 0).await;
    let message = publish(0x30, "home/x", 0, &[7; 2000]);
    for _ in 0..ROUNDS {
        publisher.send(&message.repeat(BATCH)).await;
        for _ in 0..BATCH {
            assert_eq!(reader.packet().await.as_ref(), Some(&message), "the reader misses nothing");
        }
    }
    until_metric(&broker, "tidegate_broker_messages_skipped_total 0").await;
    // Only when the stuck one reads on does it meet the gap.
    assert!(!stuck.drain(Duration::from_millis(500)).await, "it was not cut off");
    publisher.send(&message).await;
    let skipped =
        |line: &str| line.starts_with("tidegate_broker_messages_skipped_total ") && !line.ends_with(" 0");
    assert!(crate::service::get(&broker, "/metrics").await.lines().any(skipped));
    assert_an_honest_client_is_served(&broker).await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_answers_is_dropped() {
    let mut config = config();
    config.limits.write_timeout = Duration::from_millis(300);
    let broker = broker_with(config).await;
    let mut raw = Raw::connect(&broker, "operator", "o", 0).await;
    raw.send(&subscribe(1, &[("home/x", 0)])).await;
    let message = publish(0x30, "home/x", 0, &[7; 60_000]);
    for _ in 0..400 {
        let sent = tokio::time::timeout(Duration::from_millis(200), raw.send(&message)).await;
        if sent.is_err() {
            break;
        }
    }
    until_metric(&broker, "tidegate_broker_connections_ended_total{reason=\"stalled\"} 1").await;
    assert_an_honest_client_is_served(&broker).await;
}

/// Packets of all kinds, good ones and nearly good ones.
fn plausible(random: &mut ChaCha8Rng) -> Vec<u8> {
    let topics =
        ["home/x", "home/é", "é/x", "tidegate/v1/x", "$SYS/x", "a/b/c/d/e", "/", "tidegate-broker/probe"];
    let filters = ["#", "+", "home/+", "$share/g/home/x", "a/#/b", "é/#", "$SYS/#", "", "/+/"];
    let topic = topics[random.random_range(0..topics.len())];
    let filter = filters[random.random_range(0..filters.len())];
    let id = random.random_range(0..4);
    match random.random_range(0..12) {
        0 => connect("operator", "fuzz", random.random_range(0..3)),
        1 => connect_with(random.random(), "operator", "fuzz", 60),
        2 => publish(0x30, topic, 0, b"x"),
        3 => publish(0x33, topic, id, b"retained"),
        4 => publish(0x34, topic, id, b""),
        5 => subscribe(id, &[(filter, random.random_range(0..4))]),
        6 => unsubscribe(id, filter),
        7 => packet(0x40, &id.to_be_bytes()),
        8 => packet(0x50, &id.to_be_bytes()),
        9 => packet(0x62, &id.to_be_bytes()),
        10 => packet(0x70, &id.to_be_bytes()),
        _ => packet([0xc0, 0xe0, 0xf0, 0x00][random.random_range(0..4)], b""),
    }
}

fn mutated(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = plausible(random);
    match random.random_range(0..4) {
        0 => {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        1 => bytes.truncate(random.random_range(0..bytes.len())),
        2 => bytes.extend((0..random.random_range(1..20)).map(|_| random.random::<u8>())),
        _ => {}
    }
    bytes
}

#[tokio::test]
async fn random_and_mutated_packets_leave_the_broker_standing() {
    const SEEDS: u64 = 150;
    let broker = broker().await;
    for seed in 0..SEEDS {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = if random.random_bool(0.8) { connect("operator", "fuzz", 60) } else { Vec::new() };
        for _ in 0..random.random_range(1..40) {
            let more = if random.random_bool(0.1) {
                (0..random.random_range(1..100)).map(|_| random.random()).collect()
            } else {
                mutated(random)
            };
            bytes.extend(more);
        }
        let mut raw = Raw::open(&broker).await;
        raw.send(&bytes).await;
        raw.drain(Duration::from_millis(2)).await;
        let mut honest = Raw::connect(&broker, "viewer", "probe", 60).await;
        assert!(honest.is_alive().await, "after seed {seed}");
    }
    assert_an_honest_client_is_served(&broker).await;
}
