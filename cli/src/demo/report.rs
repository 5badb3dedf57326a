//! What the demo found out, as one JSON object.

use serde::Serialize;

use super::latency::Percentiles;
use crate::commands::audit::verdict::{Finding, Verdict};

#[derive(Debug, Serialize)]
pub struct Report {
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
    pub seconds: f64,
    pub measured: u64,
    pub stored: u64,
    pub lost_declared: u64,
    pub outstanding: u64,
    /// Readings that came more than once and were stored once.
    pub duplicates: u64,
    pub conflicts: u64,
    pub alarms_raised: u64,
    pub alarms_cleared: u64,
    pub alarm_latency_ms: Percentiles,
    /// From where to where `alarm_latency_ms` was taken.
    pub alarm_latency_of: &'static str,
    /// MQTT bytes from the agents to the broker, for each stored reading.
    pub wire_bytes_per_reading: Option<f64>,
    /// What the agents' queues wrote, for each stored reading.
    pub agent_disk_bytes_per_reading: Option<f64>,
    pub outage_seconds: Option<f64>,
    /// From the link's return until nothing that was measured before it was outstanding.
    pub backlog_drain_seconds: Option<f64>,
}

/// To two decimals; absent when nothing was stored.
pub fn per_reading(bytes: u64, readings: u64) -> Option<f64> {
    (readings > 0).then(|| (bytes as f64 / readings as f64 * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_out_to_readings() {
        assert_eq!(per_reading(1_000, 300), Some(3.33));
        assert_eq!(per_reading(1_000, 0), None);
    }
}
