//! The validated configuration.

mod local_alarms;
mod sources;

use std::{
    fmt::Display,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;
use tidegate_alarms::{RuleSet, RulesSettings};
use tidegate_protocol::{
    GatewayId, SiteId,
    topic::{GatewayPath, Lane},
};
use tidegate_service::{
    SettingsError,
    settings::{load_named, load_with_env, read_secret},
};

use tidegate_trust::{
    ClientFiles,
    settings::{open_page, transport},
};

use crate::{
    core::{Admit, BacklogOrder, LaneCap, LaneCaps, Policy},
    local_actions::ActionSettings,
    settings::{
        BrokerSettings, CapSettings, CapsSettings, LimitSettings, LinkSettings, QueueSettings, Settings,
    },
    sources::{board_serial::SerialSettings, host::HostSettings},
};

/// The prefix of environment variables that override the file.
pub const ENVIRONMENT_PREFIX: &str = "TIDEGATE_AGENT";

const DEVICES_FILE: &str = "devices.toml";
/// LMDB itself, and what is written to make room, need this much.
const LEAST_MAP_BYTES: u64 = 1 << 20;
const LEAST_QUOTA_BYTES: u64 = 64 << 10;
/// Below these a lane would not even carry what keeps the link's own books.
const LEAST_BYTES_PER_S: u64 = 16;
const LEAST_BYTES_PER_DAY: u64 = 64 << 10;
const LEAST_RAM_BYTES: u64 = 256 << 10;

#[derive(Clone, Debug)]
pub struct Config {
    pub path: GatewayPath,
    pub data_dir: PathBuf,
    pub rules: RuleSet,
    pub broker: Broker,
    pub status_listen: SocketAddr,
    pub queue: Queue,
    pub limits: Limits,
    pub link: Link,
    pub devices: Devices,
    pub local_actions: ActionSettings,
    pub sources: Vec<Source>,
}

#[derive(Clone, Debug)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    /// None: in clear.
    pub tls: Option<ClientFiles>,
    pub credentials: Option<(String, SecretString)>,
    pub keep_alive: Duration,
    pub longest_backoff: Duration,
}

#[derive(Clone, Debug)]
pub struct Queue {
    pub map_size_bytes: usize,
    pub quota_bytes: u64,
    pub policy: Policy,
    pub flush_interval_ms: u64,
    pub outage_flush_interval_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Limits {
    pub ram_limit_bytes: u64,
    pub max_in_flight_bytes: u64,
    pub max_origins: usize,
    pub block_readings: usize,
    pub linger_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Link {
    pub backlog_order: BacklogOrder,
    pub caps: LaneCaps,
}

#[derive(Clone, Debug)]
pub struct Devices {
    pub admit: Admit,
    pub file: PathBuf,
}

#[derive(Clone, Copy, Debug)]
pub struct BoardTcp {
    pub listen: SocketAddr,
    pub max_links: usize,
    pub max_links_per_address: usize,
}

#[derive(Clone, Debug)]
pub enum Source {
    BoardTcp(BoardTcp),
    BoardSerial(SerialSettings),
    Host(HostSettings),
}

impl Config {
    /// The entries for serial lines, in the order of the file.
    pub fn serial(&self) -> Vec<SerialSettings> {
        let serial = self.sources.iter().filter_map(|source| match source {
            Source::BoardSerial(settings) => Some(settings.clone()),
            Source::BoardTcp(_) | Source::Host(_) => None,
        });
        serial.collect()
    }
}

/// Says where a value stands when it is refused.
struct Checked<'a> {
    file: &'a Path,
}

impl Checked<'_> {
    fn refuse(&self, key: &str, problem: impl Display, remedy: impl Display) -> SettingsError {
        SettingsError::invalid(self.file, key, problem, remedy)
    }

    fn between(&self, key: &str, value: u64, least: u64, most: u64) -> Result<u64, SettingsError> {
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(self.refuse(key, format_args!("{value} is out of range"), format_args!("give {least} to {most}")))
    }

    fn socket(&self, key: &str, text: &str) -> Result<SocketAddr, SettingsError> {
        text.parse().map_err(|_| {
            let problem = format_args!("\"{text}\" is no address and port");
            self.refuse(key, problem, "write it as \"127.0.0.1:7780\"; port 0 takes any free one")
        })
    }

    fn name<T: std::str::FromStr<Err: Display>>(&self, key: &str, text: &str) -> Result<T, SettingsError> {
        text.parse().map_err(|error: T::Err| {
            self.refuse(
                key,
                format_args!("\"{text}\" cannot be a name: {error}"),
                "choose a name like \"gw-a\"",
            )
        })
    }
}

impl Config {
    /// Reads and validates a file, with the environment's overrides.
    pub fn load(file: &Path) -> Result<Self, SettingsError> {
        Self::validate(file, load_with_env(file, ENVIRONMENT_PREFIX)?)
    }

    /// `file` is named in messages, and is where relative paths start.
    pub fn validate(file: &Path, settings: Settings) -> Result<Self, SettingsError> {
        let check = Checked { file };
        let site: SiteId = check.name("site", &settings.site)?;
        let gateway: GatewayId = check.name("gateway", &settings.gateway)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let local = settings.local_alarms.map(|local| local_alarms::local_alarms(&check, local, folder));
        Ok(Self {
            path: GatewayPath::new(site, gateway),
            data_dir: folder.join(&settings.data_dir),
            rules: settings.rules.map_or(Ok(RuleSet::default()), |path| rules(file, &folder.join(path)))?,
            broker: broker(&check, settings.broker)?,
            status_listen: open_page(
                file,
                "status",
                check.socket("status.listen", &settings.status.listen)?,
                settings.status.insecure,
            )?,
            queue: queue(&check, &settings.queue)?,
            limits: limits(&check, &settings.limits)?,
            link: link(&check, &settings.link)?,
            devices: Devices {
                admit: settings.devices.admit,
                file: match settings.devices.file {
                    Some(file) => folder.join(file),
                    None => folder.join(&settings.data_dir).join(DEVICES_FILE),
                },
            },
            local_actions: local.transpose()?.unwrap_or_default(),
            sources: sources::sources(&check, settings.sources, &settings.status.listen)?,
        })
    }
}

fn rules(settings_file: &Path, path: &Path) -> Result<RuleSet, SettingsError> {
    let raw: RulesSettings = load_named(settings_file, "rules", path)?;
    RuleSet::from_settings(raw).map_err(|errors| {
        let error = errors.first();
        let more = match errors.more() {
            0 => String::new(),
            more => format!(" (and {more} more, which `tidegate rules check` lists)"),
        };
        let problem = format!("rule \"{}\": {}{more}", error.id, error.problem);
        SettingsError::invalid(path, &error.key_path(), problem, error.problem.remedy())
    })
}

fn broker(check: &Checked<'_>, settings: BrokerSettings) -> Result<Broker, SettingsError> {
    let BrokerSettings {
        address,
        tls,
        insecure,
        user,
        password,
        password_file,
        keep_alive_ms,
        reconnect_max_ms,
    } = settings;
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = match parts {
        Some((host, port)) if !host.is_empty() && port > 0 => (host.to_owned(), port),
        _ => {
            let problem = format_args!("\"{address}\" is no host and port");
            return Err(check.refuse("broker.address", problem, "write it as \"broker.example:1883\""));
        }
    };
    let tls = transport(check.file, "broker", &host, tls, insecure)?;
    let secret = match (password, password_file) {
        (Some(_), Some(_)) => {
            let problem = "there is a password and a password_file";
            return Err(check.refuse("broker.password", problem, "keep one of them"));
        }
        (None, Some(path)) => Some(read_secret(check.file, "broker.password_file", &path)?),
        (password, None) => password,
    };
    let credentials = match (user, secret) {
        (Some(user), Some(secret)) => Some((user, secret)),
        (None, None) => None,
        (Some(_), None) => {
            let remedy = "add broker.password_file or broker.password";
            return Err(check.refuse("broker.user", "there is a user without a password", remedy));
        }
        (None, Some(_)) => {
            return Err(check.refuse("broker", "there is a password without a user", "add broker.user"));
        }
    };
    Ok(Broker {
        host,
        port,
        tls,
        credentials,
        keep_alive: Duration::from_millis(check.between(
            "broker.keep_alive_ms",
            keep_alive_ms,
            1_000,
            3_600_000,
        )?),
        longest_backoff: Duration::from_millis(check.between(
            "broker.reconnect_max_ms",
            reconnect_max_ms,
            100,
            3_600_000,
        )?),
    })
}

fn queue(check: &Checked<'_>, settings: &QueueSettings) -> Result<Queue, SettingsError> {
    let map =
        check.between("queue.map_size_bytes", settings.map_size_bytes, LEAST_MAP_BYTES, isize::MAX as u64)?;
    // LMDB wants whole pages.
    let map = map / 4096 * 4096;
    let most = map / 4 * 3;
    let quota = settings.quota_bytes.unwrap_or(map / 2);
    if quota > most {
        let problem =
            format_args!("{quota} leaves no room in a map of {map}: deletes and loss records must fit too");
        let remedy =
            format_args!("give at most {most}, or raise queue.map_size_bytes to {}", quota.saturating_mul(2));
        return Err(check.refuse("queue.quota_bytes", problem, remedy));
    }
    let flush = check.between("queue.flush_interval_ms", settings.flush_interval_ms, 0, 60_000)?;
    let outage =
        check.between("queue.outage_flush_interval_ms", settings.outage_flush_interval_ms, 0, 600_000)?;
    if outage < flush {
        let problem = format_args!("{outage} is below queue.flush_interval_ms ({flush})");
        return Err(check.refuse("queue.outage_flush_interval_ms", problem, "give at least as much"));
    }
    Ok(Queue {
        map_size_bytes: map as usize,
        quota_bytes: check.between("queue.quota_bytes", quota, LEAST_QUOTA_BYTES, most)?,
        policy: settings.policy,
        flush_interval_ms: flush,
        outage_flush_interval_ms: outage,
    })
}

fn limits(check: &Checked<'_>, settings: &LimitSettings) -> Result<Limits, SettingsError> {
    let key = |name: &str| format!("limits.{name}");
    let in_range = |name, value, least, most| check.between(&key(name), value, least, most);
    Ok(Limits {
        ram_limit_bytes: in_range("ram_limit_bytes", settings.ram_limit_bytes, LEAST_RAM_BYTES, 16 << 30)?,
        max_in_flight_bytes: in_range(
            "max_in_flight_bytes",
            settings.max_in_flight_bytes,
            4 << 10,
            64 << 20,
        )?,
        max_origins: in_range("max_origins", settings.max_origins as u64, 1, 1 << 20)? as usize,
        block_readings: in_range("block_readings", settings.block_readings as u64, 1, 16_384)? as usize,
        linger_ms: in_range("linger_ms", settings.linger_ms, 0, 10_000)?,
    })
}

fn link(check: &Checked<'_>, settings: &LinkSettings) -> Result<Link, SettingsError> {
    let CapsSettings { alarm, live, backlog, bulk } = settings.caps;
    let cap = |lane: Lane, cap: CapSettings| -> Result<LaneCap, SettingsError> {
        let least = |name: &str, value: Option<u64>, least| {
            let key = format!("link.caps.{}.{name}", lane.name());
            value.map(|value| check.between(&key, value, least, 1 << 40)).transpose()
        };
        Ok(LaneCap {
            bytes_per_s: least("bytes_per_s", cap.bytes_per_s, LEAST_BYTES_PER_S)?,
            bytes_per_day: least("bytes_per_day", cap.bytes_per_day, LEAST_BYTES_PER_DAY)?,
        })
    };
    let caps = [
        cap(Lane::Alarm, alarm)?,
        cap(Lane::Live, live)?,
        cap(Lane::Backlog, backlog)?,
        cap(Lane::Bulk, bulk)?,
    ];
    Ok(Link { backlog_order: settings.backlog_order, caps })
}
