//! The alarms that are active, for other programs of this machine.
//!
//! The file is replaced as a whole: written beside its place, synced, and renamed. Whoever opens it reads one state, old or new. At
//! most [`MAX_LISTED`] alarms are listed, the most urgent first; the counts speak of all.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tidegate_alarms::{Priority, Revision};
use tidegate_protocol::topic::GatewayPath;

use super::Alarms;

/// The format; a reader refuses what it does not know.
const VERSION: u32 = 1;
pub const MAX_LISTED: usize = 256;

#[derive(Serialize)]
struct State<'a> {
    version: u32,
    written_unix_ms: i64,
    site: &'a str,
    gateway: &'a str,
    /// False: the agent ended, and nobody says any more whether these are active.
    running: bool,
    /// What is said here is of readings since then: the agent keeps nothing of before its start.
    since_start: String,
    highest_priority: Option<Priority>,
    active: usize,
    not_listed: usize,
    alarms: Vec<Listed<'a>>,
}

#[derive(Serialize)]
struct Listed<'a> {
    device: &'a str,
    channel: &'a str,
    rule: &'a str,
    revision: Revision,
    priority: Priority,
    since: String,
    /// Null: infinite.
    value: Option<f64>,
    peak: Option<f64>,
    message: &'a str,
}

pub struct StateFile {
    place: PathBuf,
    /// In the same folder, so that it can be renamed.
    fresh: PathBuf,
    path: GatewayPath,
    started_unix_ms: i64,
}

impl StateFile {
    pub fn new(place: &Path, path: GatewayPath, started_unix_ms: i64) -> Self {
        let mut fresh = place.as_os_str().to_owned();
        fresh.push(".new");
        Self { place: place.to_owned(), fresh: fresh.into(), path, started_unix_ms }
    }

    pub fn write(&self, alarms: &Alarms, running: bool, unix_ms: i64) -> io::Result<()> {
        if let Some(folder) = self.place.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&self.fresh)?;
        file.write_all(&self.text(alarms, running, unix_ms)?)?;
        file.sync_all()?;
        fs::rename(&self.fresh, &self.place)
    }

    fn text(&self, alarms: &Alarms, running: bool, written_unix_ms: i64) -> io::Result<Vec<u8>> {
        let mut order: Vec<_> = alarms.iter().collect();
        order.sort_by_key(|(key, alarm)| (std::cmp::Reverse(alarm.priority), alarm.since_unix_ms, *key));
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        let listed = order.iter().take(MAX_LISTED).map(|(key, alarm)| Listed {
            device: key.device.as_str(),
            channel: key.channel.as_str(),
            rule: key.rule.as_str(),
            revision: alarm.revision,
            priority: alarm.priority,
            since: time_text(alarm.since_unix_ms),
            value: finite(alarm.value),
            peak: finite(alarm.peak),
            message: &alarm.message,
        });
        let state = State {
            version: VERSION,
            written_unix_ms,
            site: self.path.site.as_str(),
            gateway: self.path.gateway.as_str(),
            running,
            since_start: time_text(self.started_unix_ms),
            highest_priority: order.first().map(|(_, alarm)| alarm.priority),
            active: order.len(),
            not_listed: order.len().saturating_sub(MAX_LISTED),
            alarms: listed.collect(),
        };
        let mut text = serde_json::to_vec_pretty(&state)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// RFC 3339, UTC. A clock that shows what no calendar has is at its beginning.
fn time_text(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
