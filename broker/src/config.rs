//! The validated configuration.

mod transport;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tidegate_protocol::topic::GatewayPath;
use tidegate_protocol::{GatewayId, SiteId};
use tidegate_service::SettingsError;
use tidegate_service::settings::{load_with_env, read_secret};
use tidegate_trust::settings::open_page;

use crate::access::{GatewayAccess, Role};
use crate::retained::RetainedLimits;
use crate::router::{LogSizes, Segments};
use crate::session::SessionLimits;
use crate::settings::{Anonymous, LimitSettings, RoleName, Settings, UserSettings};
use crate::users::{User, Users};

pub use transport::{JUDGE_INTERVAL, Tls};

/// The prefix of environment variables that override the file.
pub const ENVIRONMENT_PREFIX: &str = "TIDEGATE_BROKER";

#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// None: clients speak in clear.
    pub tls: Option<Tls>,
    /// In clear from other machines too.
    pub insecure: bool,
    pub metrics_listen: SocketAddr,
    pub users: Users,
    pub limits: Limits,
    pub probe: Probe,
}

#[derive(Debug, Clone, Copy)]
pub struct Probe {
    pub interval: Duration,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub max_handshakes: usize,
    pub max_handshakes_per_address: usize,
    pub max_packet_bytes: usize,
    pub connect_timeout: Duration,
    /// How long a client may leave bytes unread before it is dropped.
    pub write_timeout: Duration,
    /// How long a packet may take from its first byte to its last.
    pub packet_timeout: Duration,
    pub max_filters: usize,
    pub max_topics: usize,
    pub session: SessionLimits,
    pub retained: RetainedLimits,
    pub max_kept_sessions: usize,
    pub kept_session_expiry: Duration,
    pub logs: LogSizes,
}

impl Config {
    /// Reads and validates a file, with the environment's overrides.
    pub fn load(file: &Path) -> Result<Self, SettingsError> {
        Self::validate(file, load_with_env(file, ENVIRONMENT_PREFIX)?)
    }

    /// `file` is named in messages, and is where relative password files start.
    pub fn validate(file: &Path, settings: Settings) -> Result<Self, SettingsError> {
        let anonymous = match settings.allow_anonymous {
            Anonymous::None => None,
            Anonymous::Observer => Some(Role::Observer),
            Anonymous::Operator => Some(Role::Operator),
        };
        let interval = positive_ms(file, "probe.interval_ms", settings.probe.interval_ms)?;
        let timeout = positive_ms(file, "probe.timeout_ms", settings.probe.timeout_ms)?;
        let users = users(file, &settings.users)?;
        let listen = address(file, "listen", &settings.listen)?;
        let tls = settings.tls.map(|tls| transport::tls(file, tls)).transpose()?;
        transport::check_plaintext(file, listen, tls.as_ref(), settings.insecure)?;
        let by_certificate = tls.as_ref().is_some_and(Tls::tells_clients_apart);
        if users.is_empty() && anonymous.is_none() && !by_certificate {
            let problem =
                "nobody could connect: there is no user, and clients without credentials are refused";
            return Err(SettingsError::invalid(
                file,
                "users",
                problem,
                "add a [[users]] section, set tls.client_ca, or set allow_anonymous",
            ));
        }
        Ok(Self {
            listen,
            tls,
            insecure: settings.insecure,
            metrics_listen: open_page(
                file,
                "metrics",
                address(file, "metrics.listen", &settings.metrics.listen)?,
                settings.metrics.insecure,
            )?,
            users: Users::new(users, anonymous),
            limits: limits(file, &settings.limits)?,
            probe: Probe { interval, timeout },
        })
    }

    /// A broker for demonstrations and tests: default limits, metrics on any free loop-back port.
    pub fn demo(listen: SocketAddr, users: Vec<User>) -> Self {
        Self {
            listen,
            tls: None,
            insecure: false,
            metrics_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            users: Users::new(users, Some(Role::Observer)),
            limits: Limits::default(),
            probe: Probe { interval: Duration::from_secs(1), timeout: Duration::from_secs(5) },
        }
    }
}

impl Config {
    /// Passwords and readings could be read on a network, and nobody said that this is wanted.
    pub fn would_leak(&self) -> bool {
        transport::would_leak(self.listen, self.tls.as_ref(), self.insecure)
    }
}

impl Default for Limits {
    fn default() -> Self {
        unchecked_limits(&LimitSettings::default())
    }
}

fn address(file: &Path, key: &str, text: &str) -> Result<SocketAddr, SettingsError> {
    text.parse().map_err(|_| {
        let problem = format!("\"{text}\" is not an address with a port");
        SettingsError::invalid(file, key, problem, "write it as \"127.0.0.1:1883\" or \"[::1]:1883\"")
    })
}

fn positive_ms(file: &Path, key: &str, value: u64) -> Result<Duration, SettingsError> {
    if value == 0 {
        return Err(SettingsError::invalid(file, key, "0 is no time at all", "give milliseconds, 1 or more"));
    }
    Ok(Duration::from_millis(value))
}

fn limits(file: &Path, limits: &LimitSettings) -> Result<Limits, SettingsError> {
    /// The router's log refuses smaller ones by a panic.
    const MIN_SEGMENT_BYTES: usize = 1024;
    /// A CONNECT with a will and credentials, or a SUBSCRIBE with a few long filters, must fit.
    const MIN_PACKET_BYTES: usize = 1024;
    /// What MQTT's remaining length can say, and its header.
    const MAX_PACKET_BYTES: usize = 268_435_455 + 5;
    let at_least = |key: &str, value: usize, least: usize| {
        if value >= least {
            return Ok(());
        }
        let key = format!("limits.{key}");
        Err(SettingsError::invalid(
            file,
            &key,
            format!("{value} is too small"),
            format!("give at least {least}"),
        ))
    };
    at_least("max_connections", limits.max_connections, 1)?;
    at_least("max_connections_per_address", limits.max_connections_per_address, 1)?;
    at_least("max_handshakes", limits.max_handshakes, 1)?;
    at_least("max_handshakes_per_address", limits.max_handshakes_per_address, 1)?;
    at_least("max_packet_bytes", limits.max_packet_bytes, MIN_PACKET_BYTES)?;
    if limits.max_packet_bytes > MAX_PACKET_BYTES {
        let problem = format!("{} is more than MQTT can carry", limits.max_packet_bytes);
        let remedy = format!("give at most {MAX_PACKET_BYTES}");
        return Err(SettingsError::invalid(file, "limits.max_packet_bytes", problem, remedy));
    }
    at_least("max_filters_per_client", limits.max_filters_per_client, 1)?;
    at_least("max_inflight", limits.max_inflight.into(), 1)?;
    at_least("max_filters", limits.max_filters, 1)?;
    at_least("max_topics", limits.max_topics, 1)?;
    positive_ms(file, "limits.connect_timeout_ms", limits.connect_timeout_ms)?;
    positive_ms(file, "limits.write_timeout_ms", limits.write_timeout_ms)?;
    positive_ms(file, "limits.packet_timeout_ms", limits.packet_timeout_ms)?;
    for (class, bytes, count) in [
        ("blocks", limits.blocks_segment_bytes, limits.blocks_segments),
        ("down", limits.down_segment_bytes, limits.down_segments),
        ("other", limits.other_segment_bytes, limits.other_segments),
    ] {
        at_least(&format!("{class}_segment_bytes"), bytes, MIN_SEGMENT_BYTES)?;
        at_least(&format!("{class}_segments"), count, 1)?;
    }
    Ok(unchecked_limits(limits))
}

fn unchecked_limits(limits: &LimitSettings) -> Limits {
    Limits {
        max_connections: limits.max_connections,
        max_connections_per_address: limits.max_connections_per_address,
        max_handshakes: limits.max_handshakes,
        max_handshakes_per_address: limits.max_handshakes_per_address,
        max_packet_bytes: limits.max_packet_bytes,
        connect_timeout: Duration::from_millis(limits.connect_timeout_ms),
        write_timeout: Duration::from_millis(limits.write_timeout_ms),
        packet_timeout: Duration::from_millis(limits.packet_timeout_ms),
        max_filters: limits.max_filters,
        max_topics: limits.max_topics,
        session: SessionLimits {
            max_filters: limits.max_filters_per_client,
            max_inflight: limits.max_inflight,
            // Twice over: a client may subscribe to overlapping filters.
            max_backlog: limits.max_retained_messages.saturating_mul(2),
            max_backlog_bytes: limits.max_retained_bytes.saturating_mul(2),
        },
        retained: RetainedLimits {
            max_messages: limits.max_retained_messages,
            max_bytes: limits.max_retained_bytes,
        },
        max_kept_sessions: limits.max_kept_sessions,
        kept_session_expiry: Duration::from_secs(limits.kept_session_expiry_s),
        logs: LogSizes {
            blocks: Segments { bytes: limits.blocks_segment_bytes, count: limits.blocks_segments },
            down: Segments { bytes: limits.down_segment_bytes, count: limits.down_segments },
            other: Segments { bytes: limits.other_segment_bytes, count: limits.other_segments },
        },
    }
}

fn users(file: &Path, settings: &[UserSettings]) -> Result<Vec<User>, SettingsError> {
    let mut names = HashSet::new();
    settings
        .iter()
        .enumerate()
        .map(|(index, user)| {
            let refused = |key: &str, problem: String, remedy: &str| {
                SettingsError::invalid(file, &format!("users[{index}].{key}"), problem, remedy)
            };
            if user.name.is_empty() {
                return Err(refused(
                    "name",
                    "it is empty".into(),
                    "give the name that the client logs in with",
                ));
            }
            if user.name.starts_with("tidegate:") {
                let problem = format!("\"{}\" is how a certificate names its client", user.name);
                return Err(refused("name", problem, "choose a name that does not start with \"tidegate:\""));
            }
            if !names.insert(user.name.as_str()) {
                return Err(refused(
                    "name",
                    format!("\"{}\" is given twice", user.name),
                    "rename one of the two",
                ));
            }
            Ok(User::new(&user.name, password(file, index, user)?, role(user, &refused)?))
        })
        .collect()
}

fn password(file: &Path, index: usize, user: &UserSettings) -> Result<SecretString, SettingsError> {
    let key = format!("users[{index}].password");
    let remedy = "give either password or password_file";
    match (&user.password, &user.password_file) {
        (Some(password), None) if password.expose_secret().is_empty() => {
            Err(SettingsError::invalid(file, &key, "it is empty", "choose one"))
        }
        (Some(password), None) => Ok(password.clone()),
        (None, Some(path)) => read_secret(file, &format!("{key}_file"), path),
        (Some(_), Some(_)) => Err(SettingsError::invalid(file, &key, "password_file is given too", remedy)),
        (None, None) => Err(SettingsError::invalid(file, &key, "missing", remedy)),
    }
}

fn role(
    user: &UserSettings,
    refused: &dyn Fn(&str, String, &str) -> SettingsError,
) -> Result<Role, SettingsError> {
    let given = [("site", &user.site), ("gateway", &user.gateway)];
    if user.role != RoleName::Gateway
        && let Some((key, _)) = given.iter().find(|(_, value)| value.is_some())
    {
        return Err(refused(key, "only a user with role = \"gateway\" has one".into(), "remove it"));
    }
    let slug = "use 1 to 32 of a to z, 0 to 9 and -";
    let needed = |key: &str, value: &Option<String>| {
        value.clone().ok_or_else(|| refused(key, "a gateway needs one".into(), slug))
    };
    Ok(match user.role {
        RoleName::Ingest => Role::Ingest,
        RoleName::Observer => Role::Observer,
        RoleName::Operator => Role::Operator,
        RoleName::Gateway => {
            let (site, gateway) = (needed("site", &user.site)?, needed("gateway", &user.gateway)?);
            let invalid = |key: &str, text: &str| refused(key, format!("\"{text}\" is not a name"), slug);
            let site = SiteId::new(&site).map_err(|_| invalid("site", &site))?;
            let gateway = GatewayId::new(&gateway).map_err(|_| invalid("gateway", &gateway))?;
            Role::Gateway(GatewayAccess::new(GatewayPath::new(site, gateway)))
        }
    })
}
