//! What happened, in numbers, for the metrics page.

/// What the core counts since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub blocks_received: u64,
    pub bytes_received: u64,
    pub readings_stored: u64,
    pub readings_duplicate: u64,
    pub readings_conflicting: u64,
    pub blocks_rejected_corrupt: u64,
    pub blocks_rejected_undescribed: u64,
    pub blocks_rejected_sealed: u64,
    pub blocks_rejected_unsupported: u64,
    pub blocks_refused_full: u64,
    pub blocks_refused_verifying: u64,
    /// There was no room for the new origins in them.
    pub blocks_refused_origins: u64,
    pub descriptions_refused: u64,
    pub ranges_refused: u64,
    /// Readings of sealed origins.
    pub readings_refused_sealed: u64,
    /// Losses, ends and the like of sealed origins.
    pub records_refused_sealed: u64,
    pub origins_sealed: u64,
    /// Lost readings that arrived after all, and could not be told in history: what lies before them has expired.
    pub histories_left: u64,
    /// Readings that rules were evaluated over for history; those that were told again count again.
    pub readings_settled: u64,
    pub commits: u64,
    pub commit_failures: u64,
    pub acks_sent: u64,
    pub alarm_events_provisional: u64,
    /// As they stand, by priority, the most urgent first.
    pub alarms_active: [u64; 4],
    pub alarms_unacknowledged: [u64; 4],
    /// Verdicts of gateways that differ as it stands, and how often one began to.
    pub verdicts_differing: u64,
    pub verdict_differences: u64,
    pub uncommitted_bytes: u64,
    /// Origins that are not sealed.
    pub origins_open: u64,
}
