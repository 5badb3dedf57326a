//! Alarm latency: from the frame's last byte leaving the board to the event at a watcher of the stream.

use std::time::{Duration, Instant};

use tidegate_service::Shutdown;
use tidegate_simulator::{BootPlan, Fleet, FleetPlan, Proxy};
use tidegate_tests::{api::Api, chain::Chain};

use super::{
    outage,
    probe::{self, Seen},
    process::MemoryWatch,
    report::{Report, quantile},
    throughput::{QUIET_RULES, with_default_intervals},
};

const CROSSINGS: u64 = 400;
const PERIOD: Duration = Duration::from_millis(25);
const BOARDS: u64 = 200;
const READINGS_PER_S_EACH: f64 = 50.0;
const BACKLOG_READINGS: u64 = 1_000_000;

pub async fn measure(report: &mut Report) {
    let mut chain = Chain::new(&format!("{QUIET_RULES}{}", probe::RULE));
    with_default_intervals(&mut chain);
    chain.start_broker();
    let proxy = Proxy::start(chain.mqtt()).await.expect("a free port");
    chain.connect_agent(proxy.addr());
    chain.ingest.start();
    chain.agent.start();
    let memory = MemoryWatch::start(chain.agent.daemon().id());
    let shutdown = Shutdown::new();
    let fleet = Fleet::spawn(&fleet_plan(), chain.board_link(), &shutdown).expect("a good plan");
    let idle = probe::run(&chain.api(), chain.board_link(), CROSSINGS, PERIOD).await;
    show(report, "at 10,000 readings/s", &idle);
    report.row("agent's peak anonymous memory at 10,000 readings/s", memory.peak_bytes() as f64 / 1e6, "MB");

    proxy.cut();
    outage::queue(&chain, "backlog", BACKLOG_READINGS).await;
    let restored = Instant::now();
    proxy.restore();
    let (api, status) = (chain.api(), chain.agent_status());
    let crossings = probe::run(&api, chain.board_link(), CROSSINGS, PERIOD);
    let (draining, connected) = tokio::join!(crossings, connected(&status));
    // What crosses before waits for the agent's next attempt, whose pause is drawn.
    let draining: Vec<Seen> = draining.into_iter().filter(|seen| seen.is_sent_after(connected)).collect();
    show(report, "the same, from the link's return with 1,000,000 readings behind it", &draining);
    let pause_ms = connected.duration_since(restored).as_secs_f64() * 1e3;
    report.row("end of the cut to the agent's next connection, a pause drawn at random", pause_ms, "ms");
    let status = fleet.finish(Duration::from_secs(60)).await;
    assert_eq!(status.lost, 0, "the load is within what the chain can take");
}

fn fleet_plan() -> FleetPlan {
    FleetPlan {
        boards: BOARDS,
        rate: READINGS_PER_S_EACH,
        seed: 1,
        prefix: "load".to_owned(),
        ring_bytes: 1 << 20,
        boot: BootPlan::Random,
    }
}

/// When the agent has its broker again.
async fn connected(status: &Api) -> Instant {
    while status.try_get("/health").await.ok().is_none_or(|health| health["uplink"] != "up") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Instant::now()
}

fn show(report: &mut Report, when: &str, seen: &[Seen]) {
    type Event = fn(&Seen) -> Option<Instant>;
    let events: [(&str, Event); 2] =
        [("provisional", |seen| seen.provisional), ("committed", |seen| seen.committed)];
    for (event, of) in events {
        let mut values: Vec<f64> = seen.iter().filter_map(|seen| seen.latency_ms(of(seen))).collect();
        report.row(format!("frame to {event} event, p50, {when}"), quantile(&mut values, 0.5), "ms");
        report.row(format!("frame to {event} event, p99, {when}"), quantile(&mut values, 0.99), "ms");
    }
}
