//! The configuration file as it is written; [`crate::config`] validates it.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use tidegate_trust::{Version, settings::only_the_newest};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where MQTT clients connect, `address:port`; port 0 takes any free one.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// The role of clients that send no credentials.
    #[serde(default)]
    pub allow_anonymous: Anonymous,
    /// Let clients speak in clear from other machines.
    #[serde(default)]
    pub insecure: bool,
    /// Without it clients speak in clear.
    pub tls: Option<TlsSettings>,
    #[serde(default)]
    pub metrics: MetricsSettings,
    #[serde(default)]
    pub probe: ProbeSettings,
    #[serde(default)]
    pub limits: LimitSettings,
    #[serde(default)]
    pub users: Vec<UserSettings>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anonymous {
    #[default]
    None,
    Observer,
    Operator,
}

/// Relative paths start at the configuration file's folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The broker's, with what lies between it and its authority, in PEM.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities whose certificates say who a client is. Without it clients have passwords.
    pub client_ca: Option<PathBuf>,
    pub crl: Option<PathBuf>,
    #[serde(default = "yes")]
    pub require_client_certificate: bool,
    #[serde(default = "only_the_newest")]
    pub versions: Vec<Version>,
    /// How often it is looked whether the files changed.
    #[serde(default = "default_reload_interval_ms")]
    pub reload_interval_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Where `/metrics` and `/health` are served.
    pub listen: String,
    /// Let them be read from other machines, in clear and by everybody.
    pub insecure: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeSettings {
    pub interval_ms: u64,
    pub timeout_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    /// Connections that have not said who they are.
    pub max_handshakes: usize,
    pub max_handshakes_per_address: usize,
    pub max_packet_bytes: usize,
    pub max_filters_per_client: usize,
    pub max_inflight: u16,
    pub connect_timeout_ms: u64,
    pub write_timeout_ms: u64,
    /// How long a packet may take from its first byte to its last.
    pub packet_timeout_ms: u64,
    pub max_filters: usize,
    pub max_topics: usize,
    pub max_retained_messages: usize,
    pub max_retained_bytes: usize,
    pub max_kept_sessions: usize,
    pub kept_session_expiry_s: u64,
    pub blocks_segment_bytes: usize,
    pub blocks_segments: usize,
    pub down_segment_bytes: usize,
    pub down_segments: usize,
    pub other_segment_bytes: usize,
    pub other_segments: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    pub name: String,
    pub password: Option<SecretString>,
    pub password_file: Option<PathBuf>,
    pub role: RoleName,
    pub site: Option<String>,
    pub gateway: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleName {
    Gateway,
    Ingest,
    Observer,
    Operator,
}

fn default_listen() -> String {
    "127.0.0.1:1883".to_owned()
}

const fn yes() -> bool {
    true
}

const fn default_reload_interval_ms() -> u64 {
    5000
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9883".to_owned(), insecure: false }
    }
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { interval_ms: 1000, timeout_ms: 5000 }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_connections_per_address: 256,
            max_handshakes: 512,
            max_handshakes_per_address: 128,
            max_packet_bytes: 1 << 20,
            max_filters_per_client: 32,
            max_inflight: 256,
            connect_timeout_ms: 5000,
            write_timeout_ms: 30_000,
            packet_timeout_ms: 300_000,
            max_filters: 2048,
            max_topics: 100_000,
            max_retained_messages: 20_000,
            max_retained_bytes: 32 << 20,
            max_kept_sessions: 64,
            kept_session_expiry_s: 3600,
            blocks_segment_bytes: 16 << 20,
            blocks_segments: 4,
            down_segment_bytes: 64 << 10,
            down_segments: 2,
            other_segment_bytes: 256 << 10,
            other_segments: 2,
        }
    }
}
