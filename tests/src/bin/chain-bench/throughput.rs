//! Pre-encoded board frames, as fast as they are acknowledged.

use tidegate_simulator::{Blast, BlastPlan};
use tidegate_tests::{
    api::{Api, number},
    chain::Chain,
};

use super::{
    process::{MemoryWatch, cpu_seconds, written_bytes},
    report::Report,
};

const RUNS: usize = 3;
const DEVICES: u64 = 8;
const READINGS_PER_DEVICE: u64 = 2_000_000;
const WINDOW_READINGS: u64 = 100_000;

/// Rules that look at one of eight channels and are never met.
pub const QUIET_RULES: &str = r#"
[[rule]]
id = "too-hot"
select = { channel = "temperature" }
above = 100000.0
"#;

pub async fn measure(report: &mut Report) {
    let mut rates = Vec::new();
    let mut last = None;
    for run in 0..RUNS {
        let mut chain = Chain::new(QUIET_RULES);
        with_default_intervals(&mut chain);
        chain.start();
        let agent = chain.agent.daemon().id();
        let (wrote, memory) = (written_bytes(agent), MemoryWatch::start(agent));
        let plan = BlastPlan {
            devices: DEVICES,
            prefix: "blast".to_owned(),
            readings_per_device: READINGS_PER_DEVICE,
            window_readings: WINDOW_READINGS,
            seed: run as u64,
        };
        let blast = Blast::prepare(&plan).expect("a good plan");
        let sent = blast.run(chain.board_link()).await.expect("everything is acknowledged");
        let everything = format!("{} stored", sent.readings);
        chain
            .api()
            .get_when(&everything, "/api/v1/audit", |audit| number(audit, "/totals/stored") >= sent.readings)
            .await;
        rates.push(sent.readings_per_s());
        let seconds = [&mut chain.broker, &mut chain.agent, &mut chain.ingest]
            .map(|part| cpu_seconds(part.daemon().id()) * 1e9 / sent.readings as f64);
        last = Some((
            block_bytes_sent(&chain.agent_status()).await / sent.readings as f64,
            (written_bytes(agent) - wrote) as f64 / sent.readings as f64,
            memory.peak_bytes(),
            seconds,
        ));
    }
    rates.sort_by(f64::total_cmp);
    report.row(
        "board frame to durable acknowledgement, whole chain (median of 3)",
        rates[RUNS / 2],
        "readings/s",
    );
    let Some((wire, disk, memory, [broker, agent, ingest])) = last else { return };
    report.row("on the wire, agent to broker, blocks as the load packs them", wire, "B/reading");
    report.row("written to disk by the agent, healthy link, at full load", disk, "B/reading");
    report.row("agent's peak anonymous memory at full load", memory as f64 / 1e6, "MB");
    report.row("processor time, agent", agent, "ns/reading");
    report.row("processor time, broker", broker, "ns/reading");
    report.row("processor time, ingest", ingest, "ns/reading");
    report.note(
        "Readings are 8 channels of 8 devices; load generator and all programs share the machine's cores.",
    );
}

/// The agent as people run it: the suites shorten its intervals.
pub fn with_default_intervals(chain: &mut Chain) {
    chain.agent.settings.remove("queue");
    if let Some(lake) = chain.ingest.settings.get_mut("lake").and_then(|lake| lake.as_table_mut()) {
        lake.remove("roll_interval_ms");
    }
}

pub async fn block_bytes_sent(agent: &Api) -> f64 {
    number(&agent.get("/status").await, "/link/block_bytes_sent") as f64
}
