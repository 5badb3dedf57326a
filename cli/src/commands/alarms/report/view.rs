//! The report as the API gives it: the library's, and what stands now, as far as people are shown it.

use serde::Deserialize;
use tidegate_alarms::{
    AlarmState, Priority,
    report::{AlarmName, Report},
};

#[derive(Debug, Deserialize)]
pub struct ReportView {
    #[serde(flatten)]
    pub report: Report,
    pub now: Now,
}

#[derive(Debug, Deserialize)]
pub struct Now {
    pub at_unix_ms: i64,
    pub priorities: Vec<PriorityNow>,
    pub standing: Listed,
    pub stale_unacknowledged: Listed,
    pub shelved: Listed,
}

#[derive(Debug, Deserialize)]
pub struct PriorityNow {
    pub priority: Priority,
    pub active: u64,
    pub unacknowledged: u64,
}

#[derive(Debug, Deserialize)]
pub struct Listed {
    pub count: u64,
    pub alarms: Vec<Standing>,
}

#[derive(Debug, Deserialize)]
pub struct Standing {
    #[serde(flatten)]
    pub alarm: AlarmName,
    pub priority: Priority,
    pub state: AlarmState,
    pub raised_unix_ms: Option<i64>,
    pub shelved_until_unix_ms: Option<i64>,
}
