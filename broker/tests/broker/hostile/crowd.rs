//! Ten thousand at once, and one more than there may be.

use std::net::{Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use super::siege::{Besieged, Flow, THERE};
use crate::raw::{Raw, dial, subscribe};
use crate::trusted::{self, Trusted};

/// What an idle client with one subscription may cost, as docs/broker.md says.
const BYTES_OF_ONE: u64 = 64 * 1024;
/// And under TLS.
const BYTES_OF_ONE_TRUSTED: u64 = 80 * 1024;

fn allow_descriptors(wanted: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        assert!(raised.is_ok(), "this test needs {wanted} file descriptors, the system allows {maximum:?}");
    }
}

/// Clients of a crowd come from many addresses.
fn address(number: u16) -> Ipv4Addr {
    const OF_AN_ADDRESS: u16 = 200;
    let [high, low] = (number / OF_AN_ADDRESS).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low + 1)
}

async fn subscribed(mut raw: Raw) -> Raw {
    raw.send(&subscribe(1, &[("tidegate/v1/alarms/#", 0)])).await;
    assert_eq!(raw.packet().await.expect("SUBACK"), [0x90, 3, 0, 1, 0]);
    raw
}

async fn enter(broker: SocketAddr, number: u16) -> Raw {
    subscribed(Raw::enter(broker, address(number), "viewer", &format!("c{number}"), 0).await).await
}

/// All that `enter` lets come, by their numbers.
async fn all_of<F: Future<Output = Raw> + Send + 'static>(count: u16, enter: impl Fn(u16) -> F) -> Vec<Raw> {
    /// At a time, so that none waits for longer than it may.
    const COMING: u16 = 50;
    let mut all = Vec::with_capacity(usize::from(count));
    for first in (0..count).step_by(usize::from(COMING)) {
        let mut coming = JoinSet::new();
        for number in first..count.min(first + COMING) {
            coming.spawn(enter(number));
        }
        all.extend(coming.join_all().await);
    }
    all
}

async fn crowd(broker: &Besieged, count: u16) -> Vec<Raw> {
    let broker = broker.mqtt;
    all_of(count, |number| enter(broker, number)).await
}

#[tokio::test]
async fn ten_thousand_are_served_in_little_memory_and_may_all_vanish_at_once() {
    const CROWD: u16 = 10_000;
    allow_descriptors(u64::from(CROWD) + 1_000);
    let mut broker = Besieged::start("limits.max_connections = 10500\n");
    let mut flow = Flow::start(&broker).await;
    let before = broker.resident();
    let mut all = crowd(&broker, CROWD).await;
    assert_eq!(broker.metric("tidegate_broker_connections").await, u64::from(CROWD) + 2);
    println!("each {} bytes", (broker.resident() - before) / u64::from(CROWD));
    broker.assert_grew_by_at_most(before, u64::from(CROWD) * BYTES_OF_ONE);
    flow.goes_on().await;
    for raw in all.iter_mut().step_by(500) {
        assert!(raw.is_alive().await);
    }
    drop(all);
    broker.until("tidegate_broker_connections", |open| open == 2).await;
    flow.goes_on().await;
    // Their places are good for others, and cost no more than before.
    let again = crowd(&broker, CROWD / 10).await;
    broker.assert_grew_by_at_most(before, u64::from(CROWD) * BYTES_OF_ONE);
    drop(again);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn a_thousand_with_certificates_are_served_in_the_memory_that_tls_takes() {
    const CROWD: u16 = 1_000;
    allow_descriptors(u64::from(CROWD) + 1_000);
    let trusted = Trusted::new();
    let mut broker = Besieged::start_trusted(&trusted, "");
    let mut flow = Flow::start_trusted(&broker, &trusted).await;
    let before = broker.resident();
    let (eva, mqtt) = (trusted.connector(Some(&trusted.client("tidegate:role/observer/eva"))), broker.mqtt);
    let mut all = all_of(CROWD, |number| {
        let eva = eva.clone();
        async move {
            let stream = dial(mqtt, address(number)).await;
            subscribed(trusted::enter(&eva, stream, &format!("c{number}")).await).await
        }
    })
    .await;
    assert_eq!(broker.metric("tidegate_broker_connections").await, u64::from(CROWD) + 2);
    println!("each {} bytes", (broker.resident() - before) / u64::from(CROWD));
    broker.assert_grew_by_at_most(before, u64::from(CROWD) * BYTES_OF_ONE_TRUSTED);
    flow.goes_on().await;
    for raw in all.iter_mut().step_by(100) {
        assert!(raw.is_alive().await);
    }
    drop(all);
    broker.until("tidegate_broker_connections", |open| open == 2).await;
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}

#[tokio::test]
async fn one_more_than_there_may_be_is_closed_and_counted_and_the_others_stay() {
    const MORE: u64 = 20;
    let mut broker = Besieged::start("");
    let mut flow = Flow::start(&broker).await;
    // 1024 by default, two of whom are honest.
    let mut all = crowd(&broker, 1_022).await;
    for _ in 0..MORE {
        assert!(Raw::dial(broker.mqtt, THERE).await.is_cut_off().await);
    }
    broker
        .until("tidegate_broker_connections_refused_total{reason=\"max-connections\"}", |n| n == MORE)
        .await;
    flow.goes_on().await;
    for raw in all.iter_mut().step_by(100) {
        assert!(raw.is_alive().await);
    }
    drop(all.pop());
    broker.until("tidegate_broker_connections", |open| open == 1_023).await;
    assert!(broker.enter(THERE, "viewer", "after").await.is_alive().await);
    broker.assert_unharmed().await;
    flow.ends_whole().await;
}
