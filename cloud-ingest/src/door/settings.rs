//! Who is let in, as the settings have it: the sections `auth`, `http.tls` and `http.insecure`.

use std::{net::SocketAddr, path::Path};

use serde::Deserialize;
use tidegate_access::session::Limits;
use tidegate_service::SettingsError;
use tidegate_trust::settings::is_loopback;

/// With it, everybody is asked who they are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSettings {
    /// A session of the page ends when nothing was asked in it for so long.
    pub session_idle_minutes: u32,
    /// And after so long in any case.
    pub session_hours: u32,
    /// Let everybody read `/metrics`.
    pub open_metrics: bool,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self { session_idle_minutes: 60, session_hours: 12, open_metrics: false }
    }
}

const MAX_SESSION_HOURS: u32 = 7 * 24;

/// How the door is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Everybody is asked who they are. Else only this machine reaches the door; its users may read everything, and change it.
    pub asks: bool,
    pub open_metrics: bool,
    pub is_tls: bool,
    /// Nobody but this machine reaches the door.
    pub is_loopback: bool,
    pub sessions: Limits,
}

impl Policy {
    /// As it is for who says nothing in their settings.
    pub fn open_on_loopback() -> Self {
        let sessions = limits(&AuthSettings::default());
        Self { asks: false, open_metrics: false, is_tls: false, is_loopback: true, sessions }
    }

    pub fn from_settings(
        file: &Path,
        listen: SocketAddr,
        is_tls: bool,
        insecure: bool,
        auth: Option<&AuthSettings>,
    ) -> Result<Self, SettingsError> {
        let refused = |key: &str, problem: String, remedy: &str| {
            Err(SettingsError::invalid(file, key, problem, remedy))
        };
        let is_loopback = is_loopback(listen.ip());
        if !is_loopback && !insecure && !is_tls {
            let problem = format!("passwords, tokens and readings would come to {listen} in clear");
            let remedy = "add [http.tls] with `certificate` and `key`, listen on 127.0.0.1, or add `insecure = true` to [http] if nobody else can be on that network";
            return refused("http.listen", problem, remedy);
        }
        if !is_loopback && auth.is_none() {
            let problem = format!("whoever reaches {listen} could read everything");
            let remedy =
                "add [auth] and make a first user with `tidegate-ingest users add`, or listen on 127.0.0.1";
            return refused("http.listen", problem, remedy);
        }
        let default = AuthSettings::default();
        let auth_or = auth.unwrap_or(&default);
        if auth_or.session_hours == 0 || auth_or.session_hours > MAX_SESSION_HOURS {
            let problem = format!("{} hours are no session's length", auth_or.session_hours);
            return refused("auth.session_hours", problem, "give 1 to 168");
        }
        if auth_or.session_idle_minutes == 0 || auth_or.session_idle_minutes > auth_or.session_hours * 60 {
            let problem =
                format!("{} minutes are 0, or more than a session lasts", auth_or.session_idle_minutes);
            return refused(
                "auth.session_idle_minutes",
                problem,
                "give 1 or more, and no more than session_hours",
            );
        }
        let open_metrics = auth_or.open_metrics;
        Ok(Self { asks: auth.is_some(), open_metrics, is_tls, is_loopback, sessions: limits(auth_or) })
    }

    /// What is said at the start where it is not as safe as it could be.
    pub const fn warning(&self) -> Option<&'static str> {
        match (self.asks, self.is_loopback, self.is_tls) {
            (false, ..) => Some(
                "nobody is asked who they are: every user of this machine may read everything and change alarms, rules and \
                 settings; docs/ingest.md says how [auth] is set up",
            ),
            (true, false, false) => Some(
                "INSECURE: whoever is on the network can read passwords, tokens and readings; set up [http.tls] and remove \
                 `insecure = true`",
            ),
            (true, ..) => None,
        }
    }
}

fn limits(auth: &AuthSettings) -> Limits {
    Limits {
        idle_ms: u64::from(auth.session_idle_minutes) * 60_000,
        whole_ms: u64::from(auth.session_hours) * 3_600_000,
    }
}
