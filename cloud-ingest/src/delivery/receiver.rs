//! Receivers, checked.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper::Uri;
use lettre::message::Mailbox;
use secrecy::{ExposeSecret, SecretString};
use tidegate_alarms::{Glob, TransitionKind};
use tidegate_service::{SettingsError, settings};
use tidegate_trust::settings::is_this_machine;

use super::{
    Filter,
    core::Policy,
    http::Place,
    quiet_hours::Nights,
    settings::{ReceiverKind, ReceiverSettings, SelectSettings, TlsSettings},
    signature::Secret,
    tls::Trust,
};

/// So many are served at a time, and each has its share of what is sent at a time: none takes another's.
pub const MAX_RECEIVERS: usize = 32;
const MAX_ID: usize = 32;
/// To one email receiver.
const MAX_RECIPIENTS: usize = 50;
const MAX_SECRETS: usize = 8;

#[derive(Clone, Debug)]
pub struct Receiver {
    pub id: String,
    pub filter: Filter,
    pub policy: Policy,
    pub target: Target,
}

#[derive(Clone, Debug)]
pub enum Target {
    Webhook(WebhookTarget),
    Email(EmailTarget),
}

impl Target {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
        }
    }

    /// Whoever is on the network can read along, because the settings say that it may be so.
    pub fn is_in_clear(&self) -> bool {
        match self {
            Self::Webhook(target) => target.place.is_in_clear(),
            Self::Email(target) => target.tls == TlsSettings::None && !is_this_machine(&target.host),
        }
    }

    /// Where it goes, without what is secret.
    pub fn place(&self) -> String {
        match self {
            Self::Webhook(target) => target.place.shown(),
            Self::Email(target) => {
                target.to.iter().map(|to| to.email.to_string()).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct WebhookTarget {
    pub place: Place,
    pub secrets: Vec<Secret>,
}

#[derive(Clone, Debug)]
pub struct EmailTarget {
    pub host: String,
    pub port: u16,
    pub tls: TlsSettings,
    pub login: Option<(String, SecretString)>,
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    pub ca: Option<Vec<u8>>,
}

/// Checks all receivers; `file` is where relative paths start, and what messages name.
pub fn receivers(file: &Path, raw: Vec<ReceiverSettings>) -> Result<Vec<Receiver>, SettingsError> {
    let mut receivers: Vec<Receiver> = Vec::with_capacity(raw.len().min(MAX_RECEIVERS));
    for (index, raw) in raw.into_iter().enumerate() {
        let at = At { file, index };
        if index >= MAX_RECEIVERS {
            return Err(at.wrong("id", format!("there are more than {MAX_RECEIVERS}"), "join some"));
        }
        if let Some(first) = receivers.iter().position(|known| known.id == raw.id) {
            let problem = format!("receiver[{first}] has this id already");
            return Err(at.wrong("id", problem, "give each receiver an id of its own"));
        }
        receivers.push(at.receiver(raw)?);
    }
    Ok(receivers)
}

/// Where a receiver stands in the file.
struct At<'a> {
    file: &'a Path,
    index: usize,
}

impl At<'_> {
    fn wrong(&self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) -> SettingsError {
        let key = format!("receiver[{}].{key}", self.index);
        SettingsError::invalid(self.file, &key, problem.into(), remedy.into())
    }

    fn receiver(&self, raw: ReceiverSettings) -> Result<Receiver, SettingsError> {
        let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if raw.id.is_empty() || raw.id.len() > MAX_ID || !raw.id.chars().all(slug) {
            let remedy = format!("use 1 to {MAX_ID} of a-z, 0-9 and -");
            return Err(self.wrong("id", "this is not a receiver's name", remedy));
        }
        self.only_keys_of(&raw)?;
        let digest = raw.digest.unwrap_or(raw.kind == ReceiverKind::Email);
        let quiet_hours = match &raw.quiet_hours {
            Some(_) if !digest => {
                let problem = "what is held in quiet hours comes as one digest, and digest is off";
                return Err(self.wrong("quiet_hours", problem, "set digest = true, or take quiet_hours out"));
            }
            Some(hours) => Some(Nights::from_settings(hours).map_err(|(key, problem, remedy)| {
                self.wrong(&format!("quiet_hours.{key}"), problem, remedy)
            })?),
            None => None,
        };
        Ok(Receiver {
            filter: self.filter(&raw)?,
            policy: Policy { digest, quiet_hours },
            target: match raw.kind {
                ReceiverKind::Webhook => Target::Webhook(self.webhook(&raw)?),
                ReceiverKind::Email => Target::Email(self.email(&raw)?),
            },
            id: raw.id,
        })
    }

    /// A key of the other type is a mistake.
    fn only_keys_of(&self, raw: &ReceiverSettings) -> Result<(), SettingsError> {
        let of_webhooks = [
            ("url", raw.url.is_some()),
            ("secrets", raw.secrets.is_some()),
            ("secret_files", raw.secret_files.is_some()),
            ("allow_internal", raw.allow_internal.is_some()),
        ];
        let of_emails = [
            ("server", raw.server.is_some()),
            ("tls", raw.tls.is_some()),
            ("user", raw.user.is_some()),
            ("password", raw.password.is_some()),
            ("password_file", raw.password_file.is_some()),
            ("from", raw.from.is_some()),
            ("to", raw.to.is_some()),
        ];
        let (others, kind) = match raw.kind {
            ReceiverKind::Webhook => (of_emails.as_slice(), "webhook"),
            ReceiverKind::Email => (of_webhooks.as_slice(), "email"),
        };
        match others.iter().find(|(_, given)| *given) {
            Some((key, _)) => {
                Err(self.wrong(key, format!("a receiver of type \"{kind}\" has none"), "take it out"))
            }
            None => Ok(()),
        }
    }

    fn filter(&self, raw: &ReceiverSettings) -> Result<Filter, SettingsError> {
        let SelectSettings { site, device, channel, rule } = &raw.select;
        let pattern = |key, text: &String| {
            let possible = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-*?".contains(c);
            let possible = |c| possible(c) || (key == "select.channel" && (c == '_' || c == '.'));
            if text.is_empty() || !text.chars().all(possible) {
                let problem = format!("the pattern \"{text}\" selects nothing");
                return Err(self.wrong(
                    key,
                    problem,
                    "use the characters of such names, with * and ? as wildcards",
                ));
            }
            Ok(Glob::new(text))
        };
        let transition = |name: &String| {
            let known = serde_json::from_value::<TransitionKind>(serde_json::Value::String(name.clone()));
            known.map_err(|_| {
                let problem = format!("\"{name}\" is no transition of an alarm");
                self.wrong(
                    "transitions",
                    problem,
                    "name some as \"raise\" and \"clear\", or leave it out for all",
                )
            })
        };
        let transitions = raw.transitions.as_ref().map(|names| names.iter().map(transition).collect());
        let transitions: Option<Vec<_>> = transitions.transpose()?;
        if transitions.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.wrong("transitions", "there is none in it", "leave it out for all"));
        }
        Ok(Filter {
            min_priority: raw.min_priority,
            site: pattern("select.site", site)?,
            device: pattern("select.device", device)?,
            channel: pattern("select.channel", channel)?,
            rule: pattern("select.rule", rule)?,
            transitions,
        })
    }

    fn webhook(&self, raw: &ReceiverSettings) -> Result<WebhookTarget, SettingsError> {
        let (allow_internal, insecure) = (raw.allow_internal.unwrap_or(false), raw.insecure.unwrap_or(false));
        let url = raw.url.as_deref().unwrap_or_default();
        let url = web_address(url, allow_internal || insecure)
            .map_err(|(problem, remedy)| self.wrong("url", problem, remedy))?;
        let mut secrets = Vec::new();
        let secret = |key: String, text: &SecretString| {
            Secret::parse(text.expose_secret()).map_err(|error| {
                let remedy =
                    "make one with: echo whsec_$(openssl rand -base64 32), and give the receiver the same";
                self.wrong(&key, error.to_string(), remedy)
            })
        };
        for (no, text) in raw.secrets.iter().flatten().enumerate() {
            secrets.push(secret(format!("secrets[{no}]"), text)?);
        }
        for (no, path) in raw.secret_files.iter().flatten().enumerate() {
            let key = format!("secret_files[{no}]");
            let text = settings::read_secret(self.file, &format!("receiver[{}].{key}", self.index), path)?;
            secrets.push(secret(key, &text)?);
        }
        if secrets.is_empty() || secrets.len() > MAX_SECRETS {
            let problem = format!("there are {} secrets to sign with", secrets.len());
            return Err(self.wrong("secrets", problem, format!("give 1 to {MAX_SECRETS}, as \"whsec_…\"")));
        }
        let trust = self.trust(raw.ca_file.as_deref())?;
        Ok(WebhookTarget { place: Place { url, allow_internal, trust }, secrets })
    }

    fn email(&self, raw: &ReceiverSettings) -> Result<EmailTarget, SettingsError> {
        let server = raw.server.as_deref().unwrap_or_default();
        let address =
            server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let Some((host, port)) = address.filter(|(host, port)| !host.is_empty() && *port > 0) else {
            let problem = format!("\"{server}\" is not host:port");
            return Err(self.wrong("server", problem, "write it as \"mail.example.org:587\""));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = raw.tls.unwrap_or(TlsSettings::Starttls);
        if tls == TlsSettings::None && !is_this_machine(&host) && !raw.insecure.unwrap_or(false) {
            let problem = "mail and password would cross the network for all to read";
            return Err(self.wrong("tls", problem, "use \"starttls\" or \"tls\", or say insecure = true"));
        }
        let password = match (&raw.password, &raw.password_file) {
            (Some(_), Some(_)) => {
                return Err(self.wrong("password_file", "password is given as well", "keep one of the two"));
            }
            (Some(password), None) => Some(password.clone()),
            (None, Some(path)) => {
                let key = format!("receiver[{}].password_file", self.index);
                Some(settings::read_secret(self.file, &key, path)?)
            }
            (None, None) => None,
        };
        let login = match (raw.user.clone(), password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(self.wrong("user", "there is a user and no password", "add password_file"));
            }
            (None, Some(_)) => return Err(self.wrong("user", "there is a password and no user", "add user")),
        };
        let mailbox = |key: &str, text: &str| {
            text.parse::<Mailbox>().map_err(|_| {
                let problem = format!("\"{text}\" is no address of mail");
                self.wrong(
                    key,
                    problem,
                    "write it as \"ops@example.org\" or \"Tidegate <alarms@example.org>\"",
                )
            })
        };
        let recipients = raw.to.as_deref().unwrap_or_default();
        if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
            let problem = format!("there are {} addresses to send to", recipients.len());
            return Err(self.wrong("to", problem, format!("give 1 to {MAX_RECIPIENTS}")));
        }
        let to = recipients.iter().enumerate().map(|(no, text)| mailbox(&format!("to[{no}]"), text));
        // Named where it cannot be used, before the first mail is due.
        let ca = match raw.ca_file.as_deref() {
            Some(path) => {
                self.trust(Some(path))?;
                std::fs::read(self.path(path)).ok()
            }
            None => None,
        };
        Ok(EmailTarget {
            host,
            port,
            tls,
            login,
            from: mailbox("from", raw.from.as_deref().unwrap_or_default())?,
            to: to.collect::<Result<_, _>>()?,
            ca,
        })
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    fn trust(&self, ca_file: Option<&Path>) -> Result<Arc<Trust>, SettingsError> {
        let trust = Trust::new(ca_file.map(|path| self.path(path)).as_deref());
        trust.map(Arc::new).map_err(|problem| {
            self.wrong(
                "ca_file",
                problem,
                "name a file with certificates in PEM, readable by this program's user",
            )
        })
    }
}

/// An address to post to, or what is wrong with it and what to do.
pub fn web_address(text: &str, plain_is_allowed: bool) -> Result<Uri, (String, String)> {
    let remedy = || "write it as \"https://example.org/hooks/tidegate\"".to_owned();
    let not_one = || (format!("\"{text}\" is no address to post to"), remedy());
    let url: Uri = text.parse().map_err(|_| not_one())?;
    let authority = url.authority().ok_or_else(not_one)?;
    if url.host().is_none_or(str::is_empty) {
        return Err(not_one());
    }
    if authority.as_str().contains('@') {
        return Err(("a name or password stands in the address".to_owned(), remedy()));
    }
    match url.scheme_str() {
        Some("https") => Ok(url),
        Some("http") if plain_is_allowed => Ok(url),
        Some("http") => Err((
            "alarms would cross the network for all to read".to_owned(),
            "use https, or say insecure = true, or allow_internal = true for your own network".to_owned(),
        )),
        _ => Err(not_one()),
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
