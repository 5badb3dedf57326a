//! Alarm latency: from the frame's last byte leaving the board to the event at a watcher of the stream.

use std::time::Duration;

use tidegate_service::Shutdown;
use tidegate_simulator::{BootPlan, Fleet, FleetPlan, Proxy};
use tidegate_tests::chain::Chain;

use super::{
    outage,
    probe::{self, Latencies},
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
    show(report, "at 10,000 readings/s", idle);
    report.row("agent's peak anonymous memory at 10,000 readings/s", memory.peak_bytes() as f64 / 1e6, "MB");

    proxy.cut();
    outage::queue(&chain, "backlog", BACKLOG_READINGS).await;
    proxy.restore();
    let draining = probe::run(&chain.api(), chain.board_link(), CROSSINGS, PERIOD).await;
    show(report, "the same, from the end of an outage with 1,000,000 readings behind it", draining);
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

fn show(report: &mut Report, when: &str, mut latencies: Latencies) {
    for (event, values) in
        [("provisional", &mut latencies.provisional), ("committed", &mut latencies.committed)]
    {
        report.row(format!("frame to {event} event, p50, {when}"), quantile(values, 0.5), "ms");
        report.row(format!("frame to {event} event, p99, {when}"), quantile(values, 0.99), "ms");
    }
}
