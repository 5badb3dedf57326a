//! Filters, topics and retained messages up to the brim: what is the gateways' stays theirs.

use super::siege::{Besieged, Flow, MIB, THERE};
use crate::raw::{HERE, Raw, connect, publish, subscribe};
use crate::support::gateway_path;

#[tokio::test]
async fn who_may_choose_among_filters_leaves_some_for_gateways() {
    const MAX_FILTERS: usize = 128;
    const CLIENTS: usize = 40;
    let mut broker = Besieged::start(&format!("limits.max_filters = {MAX_FILTERS}\n"));
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let (mut granted, mut refused, mut open) = (0, 0, Vec::new());
    for number in 0..CLIENTS {
        // The least of roles may do this.
        let mut raw = broker.enter(THERE, "viewer", &format!("flood{number}")).await;
        let filters: Vec<_> = (0..32).map(|filter| format!("tidegate/v1/{number}/{filter}/#")).collect();
        let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
        raw.send(&subscribe(1, &filters)).await;
        let suback = raw.packet().await.expect("SUBACK");
        granted += suback[4..].iter().filter(|code| **code == 0).count();
        refused += suback[4..].iter().filter(|code| **code == 0x80).count();
        open.push(raw);
    }
    assert_eq!((granted, refused), (MAX_FILTERS / 2, CLIENTS * 32 - MAX_FILTERS / 2));
    flow.goes_on().await;
    // A gateway that nobody has seen before.
    let newcomer = Flow::start_of(&broker, "gw2").await;
    // Of each filter the router holds one log; what flows here is on those of the honest alone.
    broker.assert_grew_by_at_most(before, MAX_FILTERS as u64 * 64 * 1024);
    broker.assert_unharmed().await;
    newcomer.ends_whole().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn who_may_choose_among_topics_leaves_some_for_gateways() {
    const MAX_TOPICS: usize = 2_000;
    let mut broker = Besieged::start(&format!("limits.max_topics = {MAX_TOPICS}\n"));
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut taken = 0;
    for client in 0.. {
        let mut raw = broker.enter(THERE, "operator", &format!("flood{client}")).await;
        let mut acknowledged = 0;
        for topic in 0..300 {
            raw.send(&publish(0x32, &format!("home/{client}/{topic}"), 1, b"x")).await;
            match raw.packet().await {
                Some(packet) => assert_eq!(packet, [0x40, 2, 0, 1]),
                None => break,
            }
            acknowledged += 1;
        }
        taken += acknowledged;
        if acknowledged < 300 {
            break;
        }
    }
    assert_eq!(taken, MAX_TOPICS / 2);
    // The ones it knows go on, and so does whoever is new and has its own.
    let mut known = broker.enter(THERE, "operator", "known").await;
    known.send(&publish(0x32, "home/0/0", 1, b"x")).await;
    assert_eq!(known.packet().await.expect("PUBACK"), [0x40, 2, 0, 1]);
    flow.goes_on().await;
    let newcomer = Flow::start_of(&broker, "gw2").await;
    broker.assert_grew_by_at_most(before, MAX_TOPICS as u64 * 1024);
    broker.assert_unharmed().await;
    newcomer.ends_whole().await;
    flow.ends_whole().await;
}

const MAX_RETAINED: usize = 1_000;
const MAX_RETAINED_BYTES: usize = 4 << 20;

fn small_store() -> String {
    format!(
        "limits.max_retained_messages = {MAX_RETAINED}\nlimits.max_retained_bytes = {MAX_RETAINED_BYTES}\n"
    )
}

async fn fill_with_retained(broker: &Besieged, payload: &[u8], count: usize) {
    let mut raw = broker.enter(THERE, "operator", "filling").await;
    for number in 0..count {
        raw.send(&publish(0x33, &format!("home/{number}"), 1, payload)).await;
        assert_eq!(raw.packet().await.expect("PUBACK"), [0x40, 2, 0, 1]);
    }
}

#[tokio::test]
async fn the_store_of_retained_messages_fills_and_still_has_room_for_births() {
    let mut broker = Besieged::start(&small_store());
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    fill_with_retained(&broker, &[7; 100], 3 * MAX_RETAINED).await;
    assert_eq!(broker.metric("tidegate_broker_retained_messages").await, MAX_RETAINED as u64 / 2);
    assert_eq!(
        broker.metric("tidegate_broker_retained_refused_total").await,
        (3 * MAX_RETAINED - MAX_RETAINED / 2) as u64
    );
    // Larger ones in the place of those: the bytes count too.
    fill_with_retained(&broker, &[8; 60_000], MAX_RETAINED / 2).await;
    let held = MAX_RETAINED_BYTES / 2 / 60_000;
    let refused = (3 * MAX_RETAINED - MAX_RETAINED / 2 + MAX_RETAINED / 2 - held) as u64;
    let counted = broker.metric("tidegate_broker_retained_refused_total").await;
    assert!(counted.abs_diff(refused) < 3, "{counted} of {refused}");

    let birth = format!("{}/status", gateway_path("gw2").root());
    let mut gateway = broker.enter(HERE, "gw2", "plant.gw2").await;
    gateway.send(&publish(0x33, &birth, 1, b"born")).await;
    gateway.packet().await.expect("PUBACK");
    let mut late = broker.enter(HERE, "viewer", "late").await;
    late.send(&subscribe(1, &[(&birth, 0)])).await;
    late.packet().await.expect("SUBACK");
    assert_eq!(late.packet().await.expect("the birth"), publish(0x31, &birth, 0, b"born"));
    flow.goes_on().await;
    // The log of every filter that matches, of which "home" has none, and the store.
    broker.assert_grew_by_at_most(before, MAX_RETAINED_BYTES as u64);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn who_asks_for_all_that_is_retained_and_takes_none_is_cut_off() {
    const GREEDY: usize = 50;
    let mut broker = Besieged::start(&small_store());
    let mut flow = Flow::start(&broker).await;
    fill_with_retained(&broker, &[7; 4_000], MAX_RETAINED / 2).await;
    let before = broker.resident();
    let mut greedy = Vec::new();
    for number in 0..GREEDY {
        let mut raw = Raw::dial(broker.mqtt, THERE).await;
        raw.send(&connect("viewer", &format!("greedy{number}"), 0)).await;
        raw.packet().await.expect("CONNACK");
        greedy.push(raw);
    }
    let mut operators = Vec::new();
    for number in 0..GREEDY {
        let mut raw = broker.enter(THERE, "operator", &format!("asking{number}")).await;
        raw.send(&subscribe(1, &[("#", 0)]).repeat(100)).await;
        operators.push(raw);
    }
    flow.goes_on().await;
    let ended = "tidegate_broker_connections_ended_total{reason=\"protocol\"}";
    broker.until(ended, |count| count == GREEDY as u64).await;
    // A place in a list for each message, twice so many as there may be, and half a mebibyte of written ones.
    let each = 2 * MAX_RETAINED as u64 * 256 + MIB / 2;
    broker.assert_grew_by_at_most(before, GREEDY as u64 * each);
    broker.assert_unharmed().await;
    drop((greedy, operators));
    flow.ends_whole().await;
}
