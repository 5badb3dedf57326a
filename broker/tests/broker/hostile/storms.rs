//! What everybody may do, without end.

use std::time::Duration;

use super::siege::{Besieged, Flow, MIB, THERE};
use crate::raw::{Raw, connect, connect_with, publish, subscribe, unsubscribe};

#[tokio::test]
async fn subscribing_and_unsubscribing_without_end_leaves_nothing_behind() {
    const ROUNDS: usize = 2_000;
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut raw = broker.enter(THERE, "operator", "storm").await;
    for round in 0..ROUNDS {
        let filter = format!("home/{}/#", round % 32);
        raw.send(&[subscribe(1, &[(&filter, 0)]), unsubscribe(2, &filter)].concat()).await;
        let (mut suback, mut unsuback) = (false, false);
        while !(suback && unsuback) {
            match raw.packet().await.expect("an answer")[0] {
                0x90 => suback = true,
                0xb0 => unsuback = true,
                other => panic!("{other:x}"),
            }
        }
    }
    // And all at once, without waiting for an answer: what is too much is refused, and answered.
    raw.send(&subscribe(1, &[("home/x/#", 0)]).repeat(1_000)).await;
    for _ in 0..1_000 {
        assert_eq!(raw.packet().await.expect("SUBACK")[..4], [0x90, 3, 0, 1]);
    }
    assert!(raw.is_alive().await);
    broker.assert_withstood(flow, before, 32 * MIB / 4).await;
}

#[tokio::test]
async fn one_id_fought_over_by_many_ends_with_one_of_them() {
    const FIGHTERS: usize = 20;
    const ROUNDS: usize = 20;
    let mut broker = Besieged::start("");
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut fighters = Vec::new();
    for number in 0..FIGHTERS {
        let address = broker.mqtt;
        fighters.push(tokio::spawn(async move {
            let mut last = None;
            for _ in 0..ROUNDS {
                let mut raw = Raw::dial(address, THERE).await;
                // Half of them want their session kept.
                raw.send(&connect_with(0xc0 | (number % 2 * 2) as u8, "operator", "fought-over", 0)).await;
                raw.send(&subscribe(1, &[("home/#", 1)])).await;
                raw.packet().await;
                last = Some(raw);
            }
            last
        }));
    }
    let mut alive = 0;
    let mut last = Vec::new();
    for fighter in fighters {
        last.extend(fighter.await.expect("none panics"));
    }
    flow.goes_on().await;
    broker.until("tidegate_broker_connections", |open| open <= 3).await;
    for raw in &mut last {
        raw.send(&[0xc0, 0]).await;
        while let Some(packet) = raw.packet().await {
            if packet == [0xd0, 0] {
                alive += 1;
                break;
            }
        }
    }
    assert_eq!(alive, 1);
    broker.assert_grew_by_at_most(before, MIB);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn pings_without_end_whose_answers_nobody_reads_are_bounded() {
    const STUCK: usize = 16;
    let mut broker = Besieged::start("limits.write_timeout_ms = 1000\n");
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut storms = Vec::new();
    for number in 0..STUCK {
        let mut raw = broker.enter(THERE, "viewer", &format!("ping{number}")).await;
        storms.push(tokio::spawn(async move {
            // Until it is cut off; what is sent into a closed connection is lost at once.
            while tokio::time::timeout(Duration::from_secs(30), raw.send(&[0xc0, 0].repeat(32 * 1024)))
                .await
                .is_ok_and(|()| raw.is_open())
            {}
        }));
    }
    flow.goes_on().await;
    let ended = "tidegate_broker_connections_ended_total{reason=\"stalled\"}";
    broker.until(ended, |count| count == STUCK as u64).await;
    broker.assert_grew_by_at_most(before, STUCK as u64 * MIB);
    broker.assert_unharmed().await;
    for storm in storms {
        storm.abort();
    }
    flow.ends_whole().await;
}

#[tokio::test]
async fn the_silent_are_cut_off_where_they_promised_to_speak_and_live_where_they_did_not() {
    let mut broker = Besieged::start("");
    let flow = Flow::start(&broker).await;
    let mut silent = broker.enter(THERE, "viewer", "no-promise").await;
    let mut promised = Raw::enter(broker.mqtt, THERE, "viewer", "promised", 1).await;
    // Half of a packet is no word.
    let mut begun = Raw::dial(broker.mqtt, THERE).await;
    begun
        .send(&[connect("operator", "begun", 1), publish(0x30, "home/x", 0, b"xyz")[..5].to_vec()].concat())
        .await;
    begun.packet().await.expect("CONNACK");
    assert!(promised.is_cut_off().await && begun.is_cut_off().await);
    let ended = "tidegate_broker_connections_ended_total{reason=\"keep-alive\"}";
    broker.until(ended, |count| count == 2).await;
    assert!(silent.is_alive().await);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}
