//! The router's thread dies, or hangs: it is said, counted, and another takes its place, whatever clients do meanwhile.

use super::siege::{Besieged, Flow, THERE};
use crate::raw::{HERE, Raw, connect, connect_with, publish, subscribe};

const FAILED: &str = "THE ROUTER FAILED";
const RESTARTS: &str = "tidegate_broker_router_restarts_total";
const PROBE: &str = "probe.interval_ms = 50\nprobe.timeout_ms = 1000\n";

async fn provoke(broker: &Besieged) {
    let mut unlucky = broker.enter(HERE, "operator", "unlucky").await;
    unlucky.send(&publish(0x30, "home/x", 0, b"x")).await;
    assert!(unlucky.is_cut_off().await, "all clients are disconnected");
}

#[tokio::test]
async fn a_router_that_dies_is_replaced_as_often_as_it_does() {
    const TIMES: u64 = 3;
    // Each message from a client.
    let environment = [("TIDEGATE_FAILPOINT", "broker-router-dies:*1")];
    let broker = Besieged::start_with(PROBE, &environment);
    broker.until("tidegate_broker_up", |up| up == 1).await;
    for times in 1..=TIMES {
        provoke(&broker).await;
        broker.until(RESTARTS, |restarts| restarts == times).await;
        broker.until("tidegate_broker_up", |up| up == 1).await;
    }
    assert_eq!(broker.logged(FAILED) as u64, TIMES);
    assert_eq!(broker.metric("tidegate_broker_probe_failures_total").await, TIMES);
}

#[tokio::test]
async fn a_kept_session_comes_back_at_another_router_as_far_as_that_has_filters_for_it() {
    const KEPT: u8 = 0xc0;
    // Each message from a client. Of three filters, guests have two.
    let environment = [("TIDEGATE_FAILPOINT", "broker-router-dies:*1")];
    let broker = Besieged::start_with(&format!("limits.max_filters = 3\n{PROBE}"), &environment);
    broker.until("tidegate_broker_up", |up| up == 1).await;
    let come_back = async || {
        let mut raw = Raw::dial(broker.mqtt, HERE).await;
        raw.send(&connect_with(KEPT, "operator", "kept", 0)).await;
        let connack = raw.packet().await.expect("CONNACK");
        assert_eq!((connack[0], connack[3]), (0x20, 0), "it is let in");
        (raw, connack[2] == 1)
    };
    let subscribed = async |raw: &mut Raw, filters: &[(&str, u8)]| {
        raw.send(&subscribe(1, filters)).await;
        raw.packet().await.expect("SUBACK")[4..].to_vec()
    };
    let (mut kept, is_known) = come_back().await;
    assert!(!is_known);
    assert_eq!(subscribed(&mut kept, &[("home/a", 0), ("home/b", 0)]).await, [0, 0]);
    drop(kept);
    broker.until("tidegate_broker_kept_sessions", |kept| kept == 1).await;

    provoke(&broker).await;
    broker.until(RESTARTS, |restarts| restarts == 1).await;
    let (kept, is_known) = come_back().await;
    assert!(is_known, "there is room for it");
    drop(kept);
    broker.until("tidegate_broker_kept_sessions", |kept| kept == 1).await;

    provoke(&broker).await;
    broker.until(RESTARTS, |restarts| restarts == 2).await;
    let mut first = broker.enter(THERE, "operator", "first").await;
    assert_eq!(subscribed(&mut first, &[("home/c", 0)]).await, [0]);
    let (mut kept, is_known) = come_back().await;
    assert!(!is_known, "it is told that its subscriptions are gone");
    assert_eq!(broker.logged("it ends"), 1);
    assert_eq!(subscribed(&mut kept, &[("home/a", 0), ("home/b", 0)]).await, [0, 0x80]);
    assert_eq!(broker.metric("tidegate_broker_authorisation_refusals_total{action=\"subscribe\"}").await, 2);
}

#[tokio::test]
async fn a_router_that_hangs_is_replaced_though_all_clients_go_on_talking_and_new_ones_come() {
    const TALKING: usize = 200;
    const LEAVING: usize = 800;
    const COMING: usize = 60;
    let environment = [("TIDEGATE_FAILPOINT", "broker-router-hangs:1")];
    let limits = "limits.max_connections_per_address = 2000\nlimits.max_connections = 2000\n";
    let broker = Besieged::start_with(&format!("{PROBE}{limits}"), &environment);
    broker.until("tidegate_broker_up", |up| up == 1).await;
    let (mut talking, mut leaving) = (Vec::new(), Vec::new());
    for number in 0..TALKING + LEAVING {
        let raw = broker.enter(THERE, "operator", &format!("c{number}")).await;
        if number < TALKING { talking.push(raw) } else { leaving.push(raw) }
    }
    // The first of these is the last that the router sees.
    for raw in &mut talking {
        for _ in 0..10 {
            raw.send(&publish(0x30, "home/x", 0, b"x")).await;
        }
    }
    // More goodbyes and Hellos than there are places in its queue.
    drop(leaving);
    let mut coming = Vec::new();
    for number in 0..COMING {
        let mut raw = Raw::dial(broker.mqtt, HERE).await;
        raw.send(&connect("operator", &format!("new{number}"), 0)).await;
        coming.push(raw);
    }
    broker.until(RESTARTS, |restarts| restarts == 1).await;
    broker.until("tidegate_broker_up", |up| up == 1).await;
    assert_eq!(broker.logged(FAILED), 1);
    for mut raw in talking {
        assert!(raw.is_cut_off().await);
    }
    broker.until("tidegate_broker_connections", |open| open <= COMING as u64).await;
    // Everybody may come back, and is served.
    let flow = Flow::start(&broker).await;
    for number in 0..COMING {
        assert!(broker.enter(HERE, "operator", &format!("back{number}")).await.is_alive().await);
    }
    flow.ends_whole().await;
    assert_eq!(broker.metric(RESTARTS).await, 1);
}
