//! `[[receiver]]` and `[heartbeat]` as they are written. `receiver` and `heartbeat` check them.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use tidegate_alarms::Priority;

/// Keys of both types; which belong to which, `receiver` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSettings {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: ReceiverKind,
    /// Events below it are not sent.
    #[serde(default = "lowest")]
    pub min_priority: Priority,
    #[serde(default)]
    pub select: SelectSettings,
    /// Default: all.
    pub transitions: Option<Vec<String>>,
    /// Whether several events may come as one message; default: to people (email), not to programs (webhook).
    pub digest: Option<bool>,
    pub quiet_hours: Option<QuietHoursSettings>,
    /// A certificate authority to believe beside the system's; PEM, relative to this file.
    pub ca_file: Option<PathBuf>,
    /// Without encryption.
    pub insecure: Option<bool>,

    pub url: Option<String>,
    /// The first signs, and so do the others: for rotation.
    pub secrets: Option<Vec<SecretString>>,
    /// Files with a secret each; relative to this file.
    pub secret_files: Option<Vec<PathBuf>>,
    /// Addresses of this machine and its networks too.
    pub allow_internal: Option<bool>,

    /// `host:port`
    pub server: Option<String>,
    pub tls: Option<TlsSettings>,
    pub user: Option<String>,
    pub password: Option<SecretString>,
    /// Relative to this file.
    pub password_file: Option<PathBuf>,
    pub from: Option<String>,
    pub to: Option<Vec<String>>,
}

const fn lowest() -> Priority {
    Priority::Low
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiverKind {
    Webhook,
    Email,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsSettings {
    /// Plain at first, encrypted before anything is said; usual on port 587.
    Starttls,
    /// Encrypted from the first byte; usual on port 465.
    Tls,
    None,
}

/// Patterns with `*` and `?`; what is not said selects everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectSettings {
    pub site: String,
    pub device: String,
    pub channel: String,
    pub rule: String,
}

impl Default for SelectSettings {
    fn default() -> Self {
        let all = || "*".to_owned();
        Self { site: all(), device: all(), channel: all(), rule: all() }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHoursSettings {
    /// `22:00`
    pub from: String,
    /// On the next day where it is not after `from`.
    pub to: String,
    /// On which they begin; default: all.
    pub days: Option<Vec<String>>,
    /// As `Europe/Berlin`; default: UTC.
    pub zone: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeartbeatSettings {
    /// Called while the ingest is well. Without it, the metric tells alone.
    pub url: Option<String>,
    /// `60s`, `5m`
    pub interval: String,
    pub allow_internal: bool,
    pub insecure: bool,
    /// A certificate authority to believe beside the system's; PEM, relative to this file.
    pub ca_file: Option<PathBuf>,
}

impl Default for HeartbeatSettings {
    fn default() -> Self {
        Self { url: None, interval: "60s".to_owned(), allow_internal: false, insecure: false, ca_file: None }
    }
}
