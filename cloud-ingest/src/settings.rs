//! The settings file as it is written. `config` checks it.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use tidegate_trust::{ClientTlsSettings, Version, settings::only_the_newest};

use crate::{
    core,
    delivery::settings::{HeartbeatSettings, ReceiverSettings},
    door::settings::AuthSettings,
};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where journal, ledger and lake live.
    pub data_dir: PathBuf,
    /// The alarm rules; relative to this file. Without it there are no rules.
    pub rules: Option<PathBuf>,
    #[serde(default)]
    pub broker: BrokerSettings,
    #[serde(default)]
    pub http: HttpSettings,
    /// With it, everybody who comes to the HTTP door is asked who they are.
    pub auth: Option<AuthSettings>,
    #[serde(default)]
    pub journal: JournalSettings,
    #[serde(default)]
    pub lake: LakeSettings,
    #[serde(default)]
    pub certificate: CertificateSettings,
    #[serde(default)]
    pub retention: RetentionSettings,
    #[serde(default)]
    pub silence: SilenceSettings,
    #[serde(default)]
    pub system_alarms: SystemAlarmSettings,
    /// Who gets alarm events.
    #[serde(default)]
    pub receiver: Vec<ReceiverSettings>,
    #[serde(default)]
    pub heartbeat: HeartbeatSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateSettings {
    /// The private key that completeness certificates are signed with, from `tidegate keys init`; relative to this file.
    /// Without it none are given.
    pub key_file: Option<PathBuf>,
}

/// How long things are kept, in days; 0 keeps them for ever.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSettings {
    /// Lake files, by the day on which their readings arrived.
    pub lake_days: u32,
    /// Alarm events, cleared alarm history, quarantined blocks.
    pub events_days: u32,
    /// Ledgers of ended boots without holes: then they shrink to counts.
    pub ledger_days: u32,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { lake_days: 0, events_days: 0, ledger_days: 30 }
    }
}

/// When gateways and channels are called silent, in milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SilenceSettings {
    /// A gateway that is gone for so long raises `gateway-offline`.
    pub gateway_offline_after_ms: u64,
    /// After the broker was found, or the ingest was behind, no channel is called silent for so long.
    pub settle_ms: u64,
    /// The ingest is behind while live readings are older than this when they arrive.
    pub behind_after_ms: u64,
}

impl Default for SilenceSettings {
    fn default() -> Self {
        let core::SilenceSettings { offline_after_ms, settle_ms, lag_ms } = core::SilenceSettings::default();
        Self { gateway_offline_after_ms: offline_after_ms, settle_ms, behind_after_ms: lag_ms }
    }
}

/// When alarms of the system itself are raised and end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SystemAlarmSettings {
    /// `identity-conflict`, `gateway-cloned`, `device-at-two-gateways` and `too-many-origins` end when nothing was wrong for so long.
    pub identity_quiet_ms: u64,
    /// A certificate that lasts no longer than this raises `certificate-expiry-warning`.
    pub certificate_warning_days: u32,
    /// And `certificate-expiry-critical`.
    pub certificate_critical_days: u32,
}

impl Default for SystemAlarmSettings {
    fn default() -> Self {
        Self { identity_quiet_ms: 3_600_000, certificate_warning_days: 30, certificate_critical_days: 7 }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerSettings {
    /// `host:port`
    pub address: String,
    /// Without it, the link is in clear.
    pub tls: Option<ClientTlsSettings>,
    /// In clear to another machine too.
    pub insecure: bool,
    /// Each ingest of a broker has another. The broker keeps ids that begin with `tidegate-ingest` for the role `ingest`; under any
    /// other, who comes first may keep the ingest out.
    pub client_id: String,
    pub user: Option<String>,
    pub password: Option<SecretString>,
    /// A file with the password; relative to this file.
    pub password_file: Option<PathBuf>,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:1883".to_owned(),
            tls: None,
            insecure: false,
            client_id: "tidegate-ingest".to_owned(),
            user: None,
            password: None,
            password_file: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// `address:port`; port 0 takes any that is free.
    pub listen: String,
    /// Without it, the API and the page are in clear.
    pub tls: Option<HttpTlsSettings>,
    /// From other machines too in clear.
    pub insecure: bool,
    /// How many event streams are open at most; each is a file descriptor.
    pub max_event_streams: usize,
    /// How many connections one address has at most. A proxy in front is one address.
    pub max_connections_per_address: usize,
}

/// Relative paths start at this file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTlsSettings {
    /// The server's, with what lies between it and its authority, in PEM.
    pub certificate: PathBuf,
    pub key: PathBuf,
    #[serde(default = "only_the_newest")]
    pub versions: Vec<Version>,
    /// How often it is looked whether the files changed.
    #[serde(default = "default_reload_interval_ms")]
    pub reload_interval_ms: u64,
}

const fn default_reload_interval_ms() -> u64 {
    5_000
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            tls: None,
            insecure: false,
            max_event_streams: 16_384,
            max_connections_per_address: crate::api::CONNECTIONS_OF_ADDRESS,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSettings {
    /// The most the store's file may grow to. The file grows as it fills; it never shrinks.
    pub map_size_bytes: u64,
    /// Above this use, only alarms are taken; default: four fifths of the map.
    pub quota_bytes: Option<u64>,
    /// A commit lingers at most this long for more blocks to join it.
    pub commit_interval_ms: u64,
    /// How much all agents together may have in flight, alarms apart.
    pub credit_bytes: u32,
    /// How many boots that are not sealed one gateway may have been the first to speak of.
    pub max_origins_per_gateway: usize,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            map_size_bytes: 16 * 1024 * 1024 * 1024,
            quota_bytes: None,
            commit_interval_ms: 2,
            credit_bytes: 8 * 1024 * 1024,
            max_origins_per_gateway: core::room::OriginBounds::default().of_gateway,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeSettings {
    pub enabled: bool,
    /// Default: `lake` in `data_dir`.
    pub folder: Option<PathBuf>,
    /// Readings go to the lake at the latest this long after their arrival.
    pub roll_interval_ms: u64,
    /// And when the journal holds more than this.
    pub roll_bytes: u64,
}

impl Default for LakeSettings {
    fn default() -> Self {
        Self { enabled: true, folder: None, roll_interval_ms: 60_000, roll_bytes: 64 * 1024 * 1024 }
    }
}
