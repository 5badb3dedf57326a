//! The health probe and the router's supervisor.
//!
//! A link of our own sends a message through the router and waits for it. When it does not come back in time, or
//! the router's thread has ended, the router is replaced: every client loses its connection (and comes back by
//! itself), retained messages and kept sessions stay. Messages that were in the old router are gone; their
//! senders hold them until the next hop has committed them, and send again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::broker::Broker;
use crate::mqtt::{Message, QoS, Topic};
use crate::router::{Heard, Link, Router};

/// Below [`crate::access::PROBE_ROOT`], which no client may use.
const PROBE_TOPIC: &str = "tidegate-broker/probe";

#[derive(Debug, Default)]
pub struct Health {
    up: AtomicBool,
    last_latency_us: AtomicU64,
    restarts: AtomicU64,
}

impl Health {
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub fn document(&self, connections: usize) -> Value {
        json!({
            "status": if self.is_up() { "ok" } else { "failing" },
            "probe_latency_ms": self.last_latency_us.load(Ordering::Relaxed) as f64 / 1000.0,
            "router_restarts": self.restarts(),
            "connections": connections,
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum ProbeFailure {
    #[error("the router's thread has ended")]
    Gone,
    #[error("the probe did not come back within probe.timeout_ms")]
    Silent,
}

/// Watches over the router until the broker shuts down.
pub async fn supervise(broker: &Broker) {
    loop {
        let router = broker.router();
        let failure = tokio::select! {
            failure = probe_until_it_fails(broker, &router) => failure,
            () = broker.shutdown.wait() => return,
        };
        set_up(broker, false);
        broker.metrics.probe_failures.inc();
        broker.metrics.router_restarts.inc();
        broker.health.restarts.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            reason = %failure,
            connections = broker.registry.connections(),
            "THE ROUTER FAILED: starting a new one; all clients are disconnected and must come back"
        );
        broker.replace_router();
        // A router that dies at once must not spin this loop.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn probe_until_it_fails(broker: &Broker, router: &Router) -> ProbeFailure {
    let probe = broker.config.probe;
    let opened = timeout(probe.timeout, router.link()).await;
    let Ok(opened) = opened else { return ProbeFailure::Silent };
    let Ok(mut link) = opened else { return ProbeFailure::Gone };
    if link.subscribe(PROBE_TOPIC.to_owned(), 1).is_err() {
        return ProbeFailure::Gone;
    }
    let mut ticks = interval(probe.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            () = router.lost().cancelled() => return ProbeFailure::Gone,
        }
        let started = Instant::now();
        match timeout(probe.timeout, round_trip(&mut link, count)).await {
            Ok(Some(())) => note_success(broker, started.elapsed()),
            Ok(None) => return ProbeFailure::Gone,
            Err(_) => return ProbeFailure::Silent,
        }
        let expired = broker.registry.expire(Instant::now());
        if expired > 0 {
            tracing::info!(expired, "kept sessions ended: their clients did not come back in time");
        }
    }
    ProbeFailure::Silent
}

async fn round_trip(link: &mut Link, count: u64) -> Option<()> {
    let payload = Bytes::copy_from_slice(&count.to_be_bytes());
    let topic = Topic::new(Bytes::from_static(PROBE_TOPIC.as_bytes())).ok()?;
    let message = Message { topic, payload: payload.clone(), qos: QoS::AtMostOnce, retain: false };
    link.publish(&mut vec![message]).ok()?;
    loop {
        match link.next().await.ok()? {
            Heard::Message(arrived) if arrived.message.payload == payload => break,
            _ => {}
        }
    }
    Some(())
}

fn note_success(broker: &Broker, latency: Duration) {
    broker.health.last_latency_us.store(latency.as_micros() as u64, Ordering::Relaxed);
    broker.metrics.probe_latency.observe(latency.as_secs_f64());
    if !broker.health.is_up() {
        tracing::info!("the router is up");
    }
    set_up(broker, true);
}

fn set_up(broker: &Broker, up: bool) {
    broker.health.up.store(up, Ordering::Relaxed);
    broker.metrics.up.set(f64::from(u8::from(up)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Probe};
    use crate::failpoint::RouterFault;

    async fn until(condition: impl Fn() -> bool) {
        let watched = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), watched).await.expect("it comes true");
    }

    #[tokio::test]
    async fn a_dead_router_is_replaced_and_the_new_one_routes() {
        let probe = Probe { interval: Duration::from_millis(20), timeout: Duration::from_secs(5) };
        let config = Config { probe, ..Config::demo(([127, 0, 0, 1], 0).into(), Vec::new()) };
        let broker = std::sync::Arc::new(Broker::new(config).expect("no files are needed"));
        let supervised = std::sync::Arc::clone(&broker);
        let supervisor = tokio::spawn(async move { supervise(&supervised).await });
        until(|| broker.health.is_up()).await;

        let dead = broker.router();
        let mut link = dead.link().await.expect("the router runs");
        let mut breaking = dead.link().await.expect("the router runs");
        breaking.break_router(RouterFault::Dies).expect("the router runs");
        until(|| broker.health.restarts() == 1 && broker.health.is_up()).await;

        assert!(dead.lost().is_cancelled());
        assert!(link.next().await.is_err(), "links of the dead router end");
        let mut link = broker.router().link().await.expect("the new router runs");
        assert_eq!(round_trip_on(&mut link).await, Some(()));
        broker.shutdown.trigger();
        supervisor.await.expect("the supervisor ends with the broker");
    }

    async fn round_trip_on(link: &mut Link) -> Option<()> {
        link.subscribe(PROBE_TOPIC.to_owned(), 1).ok()?;
        timeout(Duration::from_secs(5), round_trip(link, u64::MAX)).await.ok()?
    }
}
