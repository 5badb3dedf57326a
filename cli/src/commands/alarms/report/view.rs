//! The report as the API gives it, as far as people are shown it.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Report {
    pub from_unix_ms: i64,
    pub to_unix_ms: i64,
    pub raises: u64,
    pub late_raises: u64,
    pub suppressed_raises: u64,
    pub untimed_raises: u64,
    pub untracked_raises: u64,
    pub clears: u64,
    pub acknowledgements: u64,
    pub alarms_raised: u64,
    pub priorities: Vec<Priority>,
    pub load: Load,
    pub bad_actors: Vec<Named>,
    pub chattering_alarms: u64,
    pub chattering: Vec<Nuisance>,
    pub fleeting_alarms: u64,
    pub fleeting: Vec<Nuisance>,
    pub time_to_acknowledge: Times,
    pub now: Now,
}

#[derive(Debug, Deserialize)]
pub struct Priority {
    pub priority: String,
    pub raises: u64,
    pub share: f64,
    pub guide_share: f64,
    pub time_to_acknowledge: Times,
}

#[derive(Debug, Deserialize)]
pub struct Times {
    pub count: u64,
    pub p50_ms: Option<i64>,
    pub p90_ms: Option<i64>,
    pub max_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Load {
    pub per_hour: Rate,
    pub per_10_minutes: Rate,
    pub flood_count: u64,
    pub flooded_ms: i64,
    pub floods: Vec<Flood>,
}

#[derive(Debug, Deserialize)]
pub struct Rate {
    pub average: f64,
    pub peak: u64,
}

#[derive(Debug, Deserialize)]
pub struct Flood {
    pub began_unix_ms: i64,
    pub ended_unix_ms: Option<i64>,
    pub raises: u64,
    pub peak_per_10_minutes: u64,
}

/// A bad actor.
#[derive(Debug, Deserialize)]
pub struct Named {
    #[serde(flatten)]
    pub alarm: Name,
    pub priority: String,
    pub raises: u64,
    pub share: f64,
}

#[derive(Debug, Deserialize)]
pub struct Name {
    pub site: String,
    pub device: String,
    pub channel: String,
    pub rule: String,
}

#[derive(Debug, Deserialize)]
pub struct Nuisance {
    #[serde(flatten)]
    pub alarm: Name,
    pub priority: String,
    pub raises: u64,
    pub chattering_raises: u64,
    pub fleeting: u64,
    pub suggestion: Suggestion,
}

#[derive(Debug, Deserialize)]
pub struct Suggestion {
    pub off_delay_ms: Option<u64>,
    pub deadband: Option<f64>,
    pub on_delay_ms: Option<u64>,
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
    pub priority: String,
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
    pub alarm: Name,
    pub priority: String,
    pub state: String,
    pub raised_unix_ms: Option<i64>,
    pub shelved_until_unix_ms: Option<i64>,
}
