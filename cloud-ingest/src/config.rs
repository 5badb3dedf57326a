//! Checked settings: what the ingest is started with.

mod http;

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use tidegate_alarms::RuleSet;
use tidegate_protocol::block::MAX_RECORDS;
use tidegate_service::{SettingsError, settings};
use tidegate_trust::{ClientFiles, settings::transport};

use crate::{
    certificate::CertificateKey,
    core,
    delivery::{Receiver, heartbeat::Heartbeat, receiver::receivers},
    lake::RollSettings,
    retention::Retention,
    rules_file::{RulesFile, WrongRules},
    settings::{
        BrokerSettings, JournalSettings, RetentionSettings, Settings, SilenceSettings, SystemAlarmSettings,
    },
};

pub use http::{Http, HttpTls};

/// Variables with this prefix override the file: `TIDEGATE_INGEST__HTTP__LISTEN=…`.
pub const ENVIRONMENT_PREFIX: &str = "TIDEGATE_INGEST";

#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    /// Of the rules file; none where there is no such file.
    pub rules: RuleSet,
    /// `None`: the rules are those that the API was given.
    pub rules_file: Option<RulesFile>,
    pub broker: Broker,
    pub http: Http,
    pub max_event_streams: usize,
    pub journal: Journal,
    pub lake_folder: PathBuf,
    /// `None`: the journal keeps everything.
    pub lake: Option<RollSettings>,
    /// `None`: no certificates are given.
    pub certificate_key: Option<CertificateKey>,
    pub retention: Retention,
    pub silence: core::SilenceSettings,
    pub system: core::SystemSettings,
    pub receivers: Vec<Receiver>,
    pub heartbeat: Heartbeat,
}

#[derive(Clone, Debug)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    /// None: in clear.
    pub tls: Option<ClientFiles>,
    pub client_id: String,
    pub login: Option<(String, SecretString)>,
}

#[derive(Clone, Copy, Debug)]
pub struct Journal {
    pub map_size_bytes: u64,
    pub quota_bytes: u64,
    pub commit_interval_ms: u64,
    pub credit_bytes: u32,
    pub max_origins_per_gateway: usize,
}

/// Room for the tables' own pages and one full batch.
const MIN_MAP_SIZE_BYTES: u64 = 64 * 1024 * 1024;
/// One block must fit.
const MIN_CREDIT_BYTES: u32 = 512 * 1024;
/// What one block may bring must fit; and four gateways at least fill what there is in all.
const ORIGINS_PER_GATEWAY: RangeInclusive<usize> = MAX_RECORDS..=1_000_000;
const MAX_COMMIT_INTERVAL_MS: u64 = 1_000;
/// What was never tried is not promised.
const MAX_EVENT_STREAMS: usize = 65_535;
const MIN_ROLL_INTERVAL_MS: u64 = 100;
/// A link that is lost and found again at once is no news; what is told an hour late is none either.
const SILENCE_MS: RangeInclusive<u64> = 1_000..=3_600_000;
const QUIET_MS: std::ops::RangeInclusive<u64> = 1_000..=604_800_000;
const EXPIRY_DAYS: std::ops::RangeInclusive<u32> = 1..=3_650;
/// A hundred years.
const MAX_RETENTION_DAYS: u32 = 36_500;

impl Config {
    /// Reads and checks a settings file and the rules file that it names.
    pub fn load(file: &Path) -> Result<Self, SettingsError> {
        Self::from_settings(file, settings::load_with_env(file, ENVIRONMENT_PREFIX)?)
    }

    /// Checks settings; `file` is where relative paths start, and what messages name.
    pub fn from_settings(file: &Path, settings: Settings) -> Result<Self, SettingsError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let rules_file = settings.rules.map(|path| RulesFile::new(folder.join(path), file));
        let rules = rules_file.as_ref().map_or(Ok(RuleSet::default()), RulesFile::read);
        let rules = rules.map_err(WrongRules::first)?;
        let data_dir = folder.join(settings.data_dir);
        let lake = settings.lake;
        if lake.roll_interval_ms < MIN_ROLL_INTERVAL_MS {
            let problem = format!("{} would make a file for almost every block", lake.roll_interval_ms);
            let remedy = format!("give at least {MIN_ROLL_INTERVAL_MS}");
            return Err(SettingsError::invalid(file, "lake.roll_interval_ms", problem, remedy));
        }
        Ok(Self {
            rules,
            rules_file,
            broker: broker(file, settings.broker)?,
            http: Http::from_settings(file, &settings.http, settings.auth.as_ref())?,
            max_event_streams: max_event_streams(file, settings.http.max_event_streams)?,
            journal: journal(file, &settings.journal)?,
            lake_folder: lake.folder.map_or_else(|| data_dir.join("lake"), |path| folder.join(path)),
            lake: lake
                .enabled
                .then_some(RollSettings { interval_ms: lake.roll_interval_ms, bytes: lake.roll_bytes }),
            certificate_key: certificate_key(file, folder, settings.certificate.key_file)?,
            retention: retention(file, &settings.retention)?,
            silence: silence(file, &settings.silence)?,
            system: system_alarms(file, &settings.system_alarms)?,
            receivers: receivers(file, settings.receiver)?,
            heartbeat: Heartbeat::from_settings(file, settings.heartbeat)?,
            data_dir,
        })
    }
}

fn certificate_key(
    file: &Path,
    folder: &Path,
    key_file: Option<PathBuf>,
) -> Result<Option<CertificateKey>, SettingsError> {
    let Some(path) = key_file.map(|path| folder.join(path)) else { return Ok(None) };
    let refused = |error| {
        let remedy = "make a pair with `tidegate keys init` and name its certificate.key";
        SettingsError::invalid(file, "certificate.key_file", error, remedy)
    };
    CertificateKey::read(&path).map(Some).map_err(refused)
}

fn max_event_streams(file: &Path, given: usize) -> Result<usize, SettingsError> {
    if (1..=MAX_EVENT_STREAMS).contains(&given) {
        return Ok(given);
    }
    let problem = format!("{given} is not a number of event streams that can be open");
    let remedy = format!("give 1 to {MAX_EVENT_STREAMS}");
    Err(SettingsError::invalid(file, "http.max_event_streams", problem, remedy))
}

fn broker(file: &Path, raw: BrokerSettings) -> Result<Broker, SettingsError> {
    let address =
        raw.address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = address.filter(|(host, port)| !host.is_empty() && *port > 0) else {
        let problem = format!("\"{}\" is not host:port", raw.address);
        return Err(SettingsError::invalid(
            file,
            "broker.address",
            problem,
            "write it as \"127.0.0.1:1883\"",
        ));
    };
    let tls = transport(file, "broker", host, raw.tls, raw.insecure)?;
    let password = match (raw.password, raw.password_file) {
        (Some(_), Some(_)) => {
            let problem = "broker.password is given as well";
            return Err(SettingsError::invalid(file, "broker.password_file", problem, "keep one of the two"));
        }
        (Some(password), None) => Some(password),
        (None, Some(path)) => Some(settings::read_secret(file, "broker.password_file", &path)?),
        (None, None) => None,
    };
    let login = match (raw.user, password) {
        (Some(user), password) => Some((user, password.unwrap_or_default())),
        (None, None) => None,
        (None, Some(_)) => {
            let problem = "there is a password and no user";
            return Err(SettingsError::invalid(file, "broker.user", problem, "add `user = \"ingest\"`"));
        }
    };
    Ok(Broker { host: host.to_owned(), port, tls, client_id: raw.client_id, login })
}

fn journal(file: &Path, raw: &JournalSettings) -> Result<Journal, SettingsError> {
    let refused =
        |key, problem: String, remedy: String| Err(SettingsError::invalid(file, key, problem, remedy));
    if raw.map_size_bytes < MIN_MAP_SIZE_BYTES {
        let problem = format!("{} bytes are too few for the journal's map", raw.map_size_bytes);
        return refused("journal.map_size_bytes", problem, format!("give at least {MIN_MAP_SIZE_BYTES}"));
    }
    let most = raw.map_size_bytes / 10 * 9;
    let quota_bytes = raw.quota_bytes.unwrap_or(raw.map_size_bytes / 5 * 4);
    if quota_bytes > most {
        let problem = format!("{quota_bytes} leaves no room in a map of {}", raw.map_size_bytes);
        return refused("journal.quota_bytes", problem, format!("give at most nine tenths of it, {most}"));
    }
    if raw.credit_bytes < MIN_CREDIT_BYTES {
        let problem = format!("{} bytes are less than one block", raw.credit_bytes);
        return refused("journal.credit_bytes", problem, format!("give at least {MIN_CREDIT_BYTES}"));
    }
    if raw.commit_interval_ms > MAX_COMMIT_INTERVAL_MS {
        let problem = format!("agents would wait {} ms for each acknowledgement", raw.commit_interval_ms);
        let remedy = format!("give at most {MAX_COMMIT_INTERVAL_MS}");
        return refused("journal.commit_interval_ms", problem, remedy);
    }
    if !ORIGINS_PER_GATEWAY.contains(&raw.max_origins_per_gateway) {
        let problem = format!("{} boots are no bound for one gateway", raw.max_origins_per_gateway);
        let remedy =
            format!("give {} (one block) to {}", ORIGINS_PER_GATEWAY.start(), ORIGINS_PER_GATEWAY.end());
        return refused("journal.max_origins_per_gateway", problem, remedy);
    }
    Ok(Journal {
        map_size_bytes: raw.map_size_bytes,
        quota_bytes,
        commit_interval_ms: raw.commit_interval_ms,
        credit_bytes: raw.credit_bytes,
        max_origins_per_gateway: raw.max_origins_per_gateway,
    })
}

fn silence(file: &Path, raw: &SilenceSettings) -> Result<core::SilenceSettings, SettingsError> {
    let ms = |key, given: u64| {
        if SILENCE_MS.contains(&given) {
            return Ok(given);
        }
        let problem = format!("{given} ms is no time after which something is called silent");
        let remedy = format!("give {} to {}", SILENCE_MS.start(), SILENCE_MS.end());
        Err(SettingsError::invalid(file, key, problem, remedy))
    };
    Ok(core::SilenceSettings {
        offline_after_ms: ms("silence.gateway_offline_after_ms", raw.gateway_offline_after_ms)?,
        settle_ms: ms("silence.settle_ms", raw.settle_ms)?,
        lag_ms: ms("silence.behind_after_ms", raw.behind_after_ms)?,
    })
}

fn system_alarms(file: &Path, raw: &SystemAlarmSettings) -> Result<core::SystemSettings, SettingsError> {
    const DAY_S: i64 = 86_400;
    let SystemAlarmSettings { identity_quiet_ms, certificate_warning_days, certificate_critical_days } = *raw;
    let refused = |key: &str, problem: String, remedy: String| {
        Err(SettingsError::invalid(file, &format!("system_alarms.{key}"), problem, remedy))
    };
    if !QUIET_MS.contains(&identity_quiet_ms) {
        let problem =
            format!("{identity_quiet_ms} ms is no time after which an identity counts as one again");
        let remedy = format!("give {} to {}", QUIET_MS.start(), QUIET_MS.end());
        return refused("identity_quiet_ms", problem, remedy);
    }
    if !EXPIRY_DAYS.contains(&certificate_warning_days) {
        let problem = format!("{certificate_warning_days} days are no time to renew a certificate in");
        let remedy = format!("give {} to {}", EXPIRY_DAYS.start(), EXPIRY_DAYS.end());
        return refused("certificate_warning_days", problem, remedy);
    }
    if !(1..=certificate_warning_days).contains(&certificate_critical_days) {
        let problem = format!("{certificate_critical_days} days are not within the warning's");
        let remedy = format!("give 1 to {certificate_warning_days}, which is certificate_warning_days");
        return refused("certificate_critical_days", problem, remedy);
    }
    Ok(core::SystemSettings {
        quiet_ms: identity_quiet_ms,
        certificate_warning_s: i64::from(certificate_warning_days) * DAY_S,
        certificate_critical_s: i64::from(certificate_critical_days) * DAY_S,
    })
}

fn retention(file: &Path, raw: &RetentionSettings) -> Result<Retention, SettingsError> {
    let days = |key, days: u32| {
        if days > MAX_RETENTION_DAYS {
            let problem = format!("{days} days are more than {MAX_RETENTION_DAYS}");
            return Err(SettingsError::invalid(file, key, problem, "give 0 to keep it for ever"));
        }
        Ok((days > 0).then_some(days))
    };
    Ok(Retention {
        lake_days: days("retention.lake_days", raw.lake_days)?,
        events_days: days("retention.events_days", raw.events_days)?,
        ledger_days: days("retention.ledger_days", raw.ledger_days)?,
    })
}
