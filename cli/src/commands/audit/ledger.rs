//! The ledger as `/api/v1/audit` shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub position: u64,
    pub origins: Vec<OriginAudit>,
    /// Those that are not listed.
    #[serde(default)]
    pub sealed: Sealed,
    pub totals: Totals,
    #[serde(default)]
    pub quarantine: Quarantine,
    #[serde(default)]
    pub set_back: Vec<SetBack>,
    #[serde(default)]
    pub cloned: Vec<Cloned>,
}

/// A gateway under whose name two processes spoke at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloned {
    pub site: String,
    pub gateway: String,
    pub raised_unix_ms: i64,
    pub goes_on: bool,
}

/// A gateway whose queue was found to be younger than it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBack {
    pub site: String,
    pub gateway: String,
    pub times: u32,
    pub last_unix_ms: i64,
    pub had_commits: u64,
    pub has_commits: u64,
}

/// What was not taken, of all devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    pub blocks: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginAudit {
    pub site: String,
    pub device: String,
    pub boot: String,
    pub measured: Measured,
    pub stored: u64,
    /// Of the stored ones, those that are past the lake's retention.
    #[serde(default)]
    pub expired: u64,
    pub lost: BTreeMap<String, u64>,
    /// How many summaries stand for what was thinned.
    #[serde(default)]
    pub summaries: u64,
    pub outstanding: u64,
    /// The first few of them, half-open.
    pub outstanding_ranges: Vec<(u64, u64)>,
    pub closed: bool,
    pub conflicts: u64,
    /// The first few of them, half-open.
    #[serde(default)]
    pub conflict_ranges: Vec<(u64, u64)>,
    pub recovered: u64,
    #[serde(default)]
    pub sealed: bool,
    /// Readings that came after it was sealed.
    #[serde(default)]
    pub refused: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    pub last_arrival_unix_ms: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    pub count: u64,
    /// The origin ended, and said how many readings it had taken.
    pub exact: bool,
}

/// Origins whose ledger shrank to counts: they ended whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub origins: u64,
    pub measured: u64,
    pub stored: u64,
    pub expired: u64,
    pub lost: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub measured: u64,
    pub stored: u64,
    #[serde(default)]
    pub expired: u64,
    pub lost: u64,
    pub outstanding: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    #[serde(default)]
    pub refused: u64,
}
