//! The configuration file as it is written; [`crate::config`] validates it.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use tidegate_alarms::Priority;
use tidegate_trust::ClientTlsSettings;

use crate::core::{Admit, BacklogOrder, Policy};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub site: String,
    pub gateway: String,
    /// Where the queue lives; a relative path starts at the configuration file's folder.
    pub data_dir: PathBuf,
    /// Alarm rules of this gateway's own, in the form that the ingest reads; without a file those that the cloud brings hold.
    /// What they raise or clear at leaves first.
    pub rules: Option<PathBuf>,
    pub broker: BrokerSettings,
    #[serde(default)]
    pub status: StatusSettings,
    #[serde(default)]
    pub queue: QueueSettings,
    #[serde(default)]
    pub limits: LimitSettings,
    #[serde(default)]
    pub link: LinkSettings,
    #[serde(default)]
    pub devices: DevicesSettings,
    /// What is done here, whatever the link is like, while rules are active.
    pub local_alarms: Option<LocalAlarmSettings>,
    #[serde(default, rename = "source")]
    pub sources: Vec<SourceSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSettings {
    /// `host:port`
    pub address: String,
    /// Without it, the link is in clear.
    pub tls: Option<ClientTlsSettings>,
    /// In clear to another machine too.
    #[serde(default)]
    pub insecure: bool,
    pub user: Option<String>,
    pub password: Option<SecretString>,
    /// A file with the password on one line, beside the configuration file or with a full path.
    pub password_file: Option<PathBuf>,
    #[serde(default = "default_keep_alive_ms")]
    pub keep_alive_ms: u64,
    /// The longest pause between two attempts to connect.
    #[serde(default = "default_reconnect_max_ms")]
    pub reconnect_max_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatusSettings {
    /// Where `/status`, `/metrics` and `/health` are served; port 0 takes any free one.
    pub listen: String,
    /// Let it be read from other machines, in clear and by everybody.
    pub insecure: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// The most the queue's file may grow to.
    pub map_size_bytes: u64,
    /// What readings may take of it; by default half.
    pub quota_bytes: Option<u64>,
    pub policy: Policy,
    pub flush_interval_ms: u64,
    pub outage_flush_interval_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Readings and blocks in memory; at the bound boards are not read.
    pub ram_limit_bytes: u64,
    /// Blocks under way to the cloud, whatever it grants.
    pub max_in_flight_bytes: u64,
    /// Devices and their boots that are known at once.
    pub max_origins: usize,
    /// Readings in a full block.
    pub block_readings: usize,
    /// How long live readings wait for company while the link is busy.
    pub linger_ms: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevicesSettings {
    /// Which boards are welcomed that are not on the list.
    pub admit: Admit,
    /// The list, with keys; by default `devices.toml` in `data_dir`.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSettings {
    /// Which of the blocks in the queue leave first.
    pub backlog_order: BacklogOrder,
    pub caps: CapsSettings,
}

/// What a metered link may carry, lane by lane.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CapsSettings {
    pub alarm: CapSettings,
    pub live: CapSettings,
    pub backlog: CapSettings,
    pub bulk: CapSettings,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CapSettings {
    pub bytes_per_s: Option<u64>,
    pub bytes_per_day: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalAlarmSettings {
    /// Where the alarms that are active are written, as JSON.
    pub state_file: Option<PathBuf>,
    #[serde(default, rename = "output")]
    pub outputs: Vec<OutputSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSettings {
    pub line: LineSettings,
    /// It is on while an alarm of this priority or a more urgent one is active.
    #[serde(default = "default_min_priority")]
    pub min_priority: Priority,
    #[serde(default)]
    pub active_low: bool,
    #[serde(default)]
    pub select: OutputSelectSettings,
    /// How the line is left when the agent ends.
    #[serde(default)]
    pub fail_safe: FailSafe,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSettings {
    pub chip: PathBuf,
    pub offset: u32,
}

/// Patterns with `*` and `?`; what is not said selects everything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputSelectSettings {
    pub device: String,
    pub channel: String,
    pub tag: String,
    pub rule: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailSafe {
    On,
    #[default]
    Off,
}

/// A `[[source]]` section. Which keys it may have depends on its type; [`crate::config`] checks that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    #[serde(rename = "type")]
    pub kind: SourceKind,
    pub listen: Option<String>,
    /// Boards that are connected at once, in all and from one address.
    pub max_links: Option<usize>,
    pub max_links_per_address: Option<usize>,
    /// One serial line.
    pub path: Option<PathBuf>,
    /// All serial lines of a folder whose names fit.
    pub pattern: Option<String>,
    pub baud: Option<u32>,
    pub flow_control: Option<FlowControl>,
    pub device: Option<String>,
    pub interval_ms: Option<u64>,
    pub flush_interval_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    BoardTcp,
    BoardSerial,
    Host,
}

/// XON/XOFF is not among them: the bytes of frames may have any value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowControl {
    #[default]
    None,
    /// RTS and CTS.
    Hardware,
}

const fn default_min_priority() -> Priority {
    Priority::Low
}

impl Default for OutputSelectSettings {
    fn default() -> Self {
        let [device, channel, tag, rule] = ["*"; 4].map(str::to_owned);
        Self { device, channel, tag, rule }
    }
}

const fn default_keep_alive_ms() -> u64 {
    10_000
}

const fn default_reconnect_max_ms() -> u64 {
    5_000
}

impl Default for StatusSettings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:7781".to_owned(), insecure: false }
    }
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self { backlog_order: BacklogOrder::OldestFirst, caps: CapsSettings::default() }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        // A 32-bit process has no room for a larger map.
        let map_size_bytes = if cfg!(target_pointer_width = "32") { 256 << 20 } else { 1 << 30 };
        Self {
            map_size_bytes,
            quota_bytes: None,
            policy: Policy::Refuse,
            flush_interval_ms: 1_000,
            outage_flush_interval_ms: 15_000,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            ram_limit_bytes: 12 << 20,
            max_in_flight_bytes: 1 << 20,
            max_origins: 4_096,
            block_readings: 1_000,
            linger_ms: 50,
        }
    }
}
