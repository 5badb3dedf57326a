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
/// Of the alarms' own table: enough that one in a thousand is more than one.
const MANY_CROSSINGS: u64 = 4_000;
const SHORT_PERIOD: Duration = Duration::from_millis(5);
/// Boards, readings/s of each, and what that is together.
const LOADS: [(u64, f64, &str); 3] = [(20, 50.0, "1,000"), (200, 50.0, "10,000"), (200, 500.0, "100,000")];
const MEDIAN_AND_TAIL: &[(&str, f64)] = &[("p50", 0.5), ("p99", 0.99)];
const LONG_TAIL: &[(&str, f64)] = &[("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// At each load on a chain of its own, and then beside a backlog that drains.
pub async fn measure_loads(report: &mut Report) {
    for (boards, rate, together) in LOADS {
        let mut chain = Chain::new(&format!("{QUIET_RULES}{}", probe::RULE));
        with_default_intervals(&mut chain);
        chain.start();
        let plan = FleetPlan { boards, rate, ..fleet_plan() };
        let shutdown = Shutdown::new();
        let fleet = Fleet::spawn(&plan, chain.board_link(), &shutdown).expect("a good plan");
        let begun = (Instant::now(), fleet.status().measured);
        let seen = probe::run(&chain.api(), chain.board_link(), MANY_CROSSINGS, SHORT_PERIOD).await;
        let measured = (fleet.status().measured - begun.1) as f64 / begun.0.elapsed().as_secs_f64();
        report.row(format!("readings/s that the boards really gave, of {together}"), measured, "readings/s");
        show(report, &format!("at {together} readings/s"), &seen, LONG_TAIL);
        let status = fleet.finish(Duration::from_secs(60)).await;
        assert_eq!(status.lost, 0, "the load is within what the chain can take");
    }
    beside_a_backlog(report, MANY_CROSSINGS, SHORT_PERIOD, LONG_TAIL).await;
}

pub async fn measure(report: &mut Report) {
    beside_a_backlog(report, CROSSINGS, PERIOD, MEDIAN_AND_TAIL).await;
}

/// At 10,000 readings/s, idle and from the link's return with a backlog.
async fn beside_a_backlog(report: &mut Report, crossings: u64, period: Duration, shares: &[(&str, f64)]) {
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
    let idle = probe::run(&chain.api(), chain.board_link(), crossings, period).await;
    show(report, "at 10,000 readings/s, before the link is cut", &idle, shares);
    report.row("agent's peak anonymous memory at 10,000 readings/s", memory.peak_bytes() as f64 / 1e6, "MB");

    proxy.cut();
    outage::queue(&chain, "backlog", BACKLOG_READINGS).await;
    let restored = Instant::now();
    proxy.restore();
    let (api, status) = (chain.api(), chain.agent_status());
    let probing = probe::run(&api, chain.board_link(), crossings, period);
    let (draining, connected) = tokio::join!(probing, connected(&status));
    // What crosses before waits for the agent's next attempt, whose pause is drawn.
    let draining: Vec<Seen> = draining.into_iter().filter(|seen| seen.is_sent_after(connected)).collect();
    show(report, "the same, from the link's return with 1,000,000 readings behind it", &draining, shares);
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

fn show(report: &mut Report, when: &str, seen: &[Seen], shares: &[(&str, f64)]) {
    type Event = fn(&Seen) -> Option<Instant>;
    let events: [(&str, Event); 2] =
        [("provisional", |seen| seen.provisional), ("committed", |seen| seen.committed)];
    for (event, of) in events {
        let mut values: Vec<f64> = seen.iter().filter_map(|seen| seen.latency_ms(of(seen))).collect();
        for (name, share) in shares {
            report.row(
                format!("frame to {event} event, {name}, {when}"),
                quantile(&mut values, *share),
                "ms",
            );
        }
    }
}
