//! Many agents and one ingest on one virtual clock: their real cores, with modelled disks, links and a broker between
//! them. It shows what a flood of agents does to the ingest, and a slow link to live readings.
//!
//! ```text
//! gateway   an agent's core with its disk, its board, and its link      world   all of them, the broker and the ingest
//! ```
//! No socket, no file, no real time; the same seed gives the same run.

mod gateway;
mod world;

use std::collections::BTreeMap;

use tidegate_agent::core::LaneCaps;

pub use world::run;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub gateways: usize,
    /// Blocks that wait in each gateway's queue when it starts, and the readings in each.
    pub backlog_blocks: usize,
    pub block_readings: usize,
    /// Each gateway's link, upward.
    pub link_bytes_per_s: u64,
    pub round_trip_ms: u64,
    pub caps: LaneCaps,
    /// From the broker to the ingest.
    pub ingest_bytes_per_s: u64,
    pub commit_ms: u64,
    pub credit_total_bytes: u32,
    pub live_interval_ms: u64,
    /// The broker goes at this time and comes back after so long.
    pub outage_ms: Option<(u64, u64)>,
    pub reconnect_max_ms: u64,
    /// Measuring ends then; the run ends when all has arrived, or fails at ten times as much.
    pub measure_ms: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// From a live reading's frame at the agent to its block at the ingest, of all that were taken while the link was up;
    /// milliseconds, ascending.
    pub live_waits_ms: Vec<u64>,
    /// Of those, the ones taken while blocks of the backlog waited.
    pub waits_beside_backlog_ms: Vec<u64>,
    /// The most bytes that were published and not acknowledged, all agents together.
    pub unacknowledged_most_bytes: u64,
    pub largest_block_bytes: u64,
    /// Connections that were made after the outage, by tenths of a second.
    pub connections: BTreeMap<u64, u32>,
    /// When the last of the backlog was acknowledged.
    pub drained_ms: u64,
    pub blocks_sent: u64,
    pub blocks_resent: u64,
    pub readings_measured: u64,
    pub readings_stored: u64,
}

impl Report {
    /// The wait that this share of live readings did not pass.
    pub fn wait_ms(waits: &[u64], share: f64) -> u64 {
        let at = ((waits.len().saturating_sub(1)) as f64 * share).round() as usize;
        waits.get(at).copied().unwrap_or_default()
    }
}
