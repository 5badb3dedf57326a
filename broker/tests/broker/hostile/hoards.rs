//! Little that would hold much: what a client sends is read in large pieces, and none of them may stay for what was in it.

use super::siege::{Besieged, Flow, MIB, THERE};
use crate::raw::{Raw, connect_with, packet, publish, subscribe};
use crate::support::gateway_path;

/// An UNSUBSCRIBE of about so many bytes, which leaves nothing behind.
fn ballast(bytes: usize) -> Vec<u8> {
    const FILTER: u16 = 62_000;
    let filter = [&FILTER.to_be_bytes()[..], &[b'x'; FILTER as usize]].concat();
    packet(0xa2, &[&[0, 1], &filter.repeat(bytes / filter.len())[..]].concat())
}

#[tokio::test]
async fn a_small_message_holds_nothing_of_what_came_with_it() {
    const ROUNDS: u64 = 1_000;
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let topic = format!("{}/up/live", gateway_path("gw2").root());
    // As much as is read at once.
    let packets = [publish(0x32, &topic, 9, b""), ballast(125_000)].concat();
    let mut raw = broker.enter(THERE, "gw2", "plant.gw2").await;
    for _ in 0..ROUNDS {
        raw.send(&packets).await;
        for answer in [[0x40, 2, 0, 9], [0xb0, 2, 0, 1]] {
            assert_eq!(raw.packet().await.as_deref(), Some(&answer[..]));
        }
    }
    // They are all in the ingest's log.
    broker.assert_withstood(flow, before, ROUNDS * 1024).await;
}

#[tokio::test]
async fn large_messages_in_a_row_hold_what_they_are() {
    const ROUNDS: u64 = 200;
    const LARGE: usize = 200_000;
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let topic = format!("{}/up/live", gateway_path("gw2").root());
    // The first needs room for a mebibyte, and the other is read into the same.
    let packets = [ballast(1_000_000), publish(0x32, &topic, 9, &[7; LARGE])].concat();
    let mut raw = broker.enter(THERE, "gw2", "plant.gw2").await;
    for _ in 0..ROUNDS {
        raw.send(&packets).await;
        for answer in [[0xb0, 2, 0, 1], [0x40, 2, 0, 9]] {
            assert_eq!(raw.packet().await.as_deref(), Some(&answer[..]));
        }
    }
    broker.assert_withstood(flow, before, ROUNDS * (LARGE as u64 + 1024)).await;
}

#[tokio::test]
async fn who_sent_something_large_and_then_says_nothing_keeps_no_room_for_it() {
    const IDLE: u64 = 100;
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut idle = Vec::new();
    for number in 0..IDLE {
        let mut raw = broker.enter(THERE, "operator", &format!("idle{number}")).await;
        raw.send(&publish(0x32, "home/x", 9, &[7; 1_000_000])).await;
        assert_eq!(raw.packet().await.as_deref(), Some(&[0x40, 2, 0, 9][..]));
        idle.push(raw);
    }
    broker.assert_withstood(flow, before, IDLE * 256 * 1024).await;
}

const MAX_RETAINED_BYTES: usize = 4 << 20;

/// Of MQTT, nothing says how soon a message must be acknowledged.
#[tokio::test]
async fn who_asks_again_for_what_is_retained_anew_and_acknowledges_nothing_is_cut_off() {
    const ROUNDS: usize = 50;
    const LARGE: usize = 600_000;
    let mut broker = Besieged::start(&format!("limits.max_retained_bytes = {MAX_RETAINED_BYTES}\n"));
    let flow = Flow::start(&broker).await;
    let mut hoarding = broker.enter(THERE, "operator", "hoarding").await;
    let mut loud = broker.enter(THERE, "operator", "loud").await;
    hoarding.send(&subscribe(1, &[("home/x", 1), ("home/r/#", 1)])).await;
    hoarding.packet().await.expect("SUBACK");
    for _ in 0..256 {
        loud.send(&publish(0x32, "home/x", 1, b"never acknowledged")).await;
        loud.packet().await.expect("PUBACK");
        hoarding.packet().await.expect("a message");
    }
    let before = broker.resident();
    let mut rounds = 0;
    while rounds < ROUNDS {
        // Nearly as much as others than gateways and the ingest may have retained.
        for topic in ["home/r/1", "home/r/2", "home/r/3"] {
            loud.send(&publish(0x33, topic, 1, &vec![rounds as u8; LARGE])).await;
            loud.packet().await.expect("PUBACK");
        }
        hoarding.send(&subscribe(1, &[("home/r/#", 1)])).await;
        // The answer of before comes in any case.
        if hoarding.packet().await.is_none() || !hoarding.is_alive().await {
            break;
        }
        rounds += 1;
    }
    assert_eq!(rounds, 2 * MAX_RETAINED_BYTES / (3 * LARGE), "as often as twice the bound has room for");
    let ended = "tidegate_broker_connections_ended_total{reason=\"protocol\"}";
    broker.until(ended, |count| count == 1).await;
    // What is retained, what waited, and as much of the same from the router.
    broker.assert_withstood(flow, before, 5 * MAX_RETAINED_BYTES as u64).await;
}

#[tokio::test]
async fn who_comes_back_and_does_not_read_what_is_sent_again_holds_it_once() {
    const BACK: usize = 4;
    const LARGE: usize = 100_000;
    const WINDOW: usize = 256;
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let come = async |number: usize| {
        let mut raw = Raw::dial(broker.mqtt, THERE).await;
        raw.send(&connect_with(0xc0, "operator", format!("back{number}"), 0)).await;
        raw.packet().await.expect("CONNACK");
        raw
    };
    let mut loud = broker.enter(THERE, "operator", "loud").await;
    let mut away = Vec::new();
    for number in 0..BACK {
        let mut raw = come(number).await;
        raw.send(&subscribe(1, &[("home/x", 1)])).await;
        raw.packet().await.expect("SUBACK");
        away.push(raw);
    }
    for _ in 0..WINDOW {
        loud.send(&publish(0x32, "home/x", 1, &[7; LARGE])).await;
        loud.packet().await.expect("PUBACK");
        for raw in &mut away {
            raw.packet().await.expect("a message");
        }
    }
    drop(away);
    broker.until("tidegate_broker_kept_sessions", |kept| kept == BACK as u64).await;
    let before = broker.resident();
    let mut back = Vec::new();
    for number in 0..BACK {
        back.push(come(number).await);
    }
    // Of what waits to be written, half a mebibyte each.
    broker.assert_grew_by_at_most(before, BACK as u64 * MIB);
    let last = back.last_mut().expect("the last");
    for _ in 0..WINDOW {
        assert_eq!(last.packet().await.expect("again")[0], 0x3a, "a duplicate");
    }
    assert!(last.is_alive().await);
    broker.assert_withstood(flow, before, BACK as u64 * MIB).await;
}
