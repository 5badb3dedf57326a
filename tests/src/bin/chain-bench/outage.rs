//! The cloud is away: what the agent writes and keeps in memory.

use tidegate_simulator::{Blast, BlastPlan};
use tidegate_tests::chain::Chain;

use super::{
    process::{MemoryWatch, written_bytes},
    report::Report,
    throughput::{QUIET_RULES, with_default_intervals},
};

const QUEUED_READINGS: u64 = 10_000_000;
const DEVICES: u64 = 8;
const WINDOW_READINGS: u64 = 50_000;

pub async fn measure(report: &mut Report) {
    let mut chain = Chain::new(QUIET_RULES);
    with_default_intervals(&mut chain);
    chain.start_broker();
    // No ingest: the broker takes everything and answers for nothing.
    chain.agent.start();
    let agent = chain.agent.daemon().id();
    let (wrote, memory) = (written_bytes(agent), MemoryWatch::start(agent));
    queue(&chain, "outage", QUEUED_READINGS).await;
    let wrote = (written_bytes(agent) - wrote) as f64;
    report.row("written to disk by the agent in an outage", wrote / QUEUED_READINGS as f64, "B/reading");
    let peak = memory.peak_bytes() as f64 / 1e6;
    report.row("agent's peak anonymous memory while 10,000,000 readings are queued", peak, "MB");
}

/// Has the agent commit `readings`; returns once all of them are acknowledged to their boards.
pub async fn queue(chain: &Chain, prefix: &str, readings: u64) {
    let plan = BlastPlan {
        devices: DEVICES,
        prefix: prefix.to_owned(),
        readings_per_device: readings / DEVICES,
        window_readings: WINDOW_READINGS,
        seed: 1,
    };
    let blast = Blast::prepare(&plan).expect("a good plan");
    blast.run(chain.board_link()).await.expect("the queue has room");
}
