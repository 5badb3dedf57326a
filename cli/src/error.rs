//! Why a command ended without doing what was asked. Each message is one line that says what to do.

use std::{io, path::PathBuf};

use tidegate_enrolment::authority::{AuthorityError, service::ServeError};
use tidegate_ingest::certificate::KeyError;
use tidegate_simulator::recording::RecordingError;

use crate::{client::ClientError, demo::DemoError};

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error("no device `{device}` is known; `tidegate devices` lists those that are")]
    UnknownDevice { device: String },
    #[error("the name `{device}` is used at several sites ({}); name one with --site", sites.join(", "))]
    SeveralSites { device: String, sites: Vec<String> },
    #[error("nothing is wanted of this channel yet: give its --period, or 0 where it is not polled")]
    NoPeriod,
    #[error(
        "the board has not answered for `{channel}` in time; it is asked again, and `tidegate settings show` tells what came of it"
    )]
    Unanswered { channel: String },
    #[error("`{name}` names no alarm; write SITE/DEVICE/CHANNEL/RULE, or the first digits of an occurrence")]
    AlarmName { name: String },
    #[error(
        "no alarm's latest occurrence begins with {prefix}; `tidegate alarms list --all` lists what is known"
    )]
    UnknownOccurrence { prefix: String },
    #[error("{} alarms have an occurrence that begins with {prefix} ({}); give more digits", names.len(), names.join(", "))]
    SeveralOccurrences { prefix: String, names: Vec<String> },
    #[error("{name} was never raised: there is nothing to acknowledge")]
    NeverRaised { name: String },
    #[error("a comment says something: give it with --comment")]
    NoComment,
    #[error("say who you are: with --as NAME, or with a token in --token-file or TIDEGATE_TOKEN")]
    NoName,
    #[error("the password: {0}")]
    Asked(io::Error),
    #[error("--full-screen needs a terminal; leave it out to have one line for each event")]
    NoTerminal,
    #[error("`{address}` is no MQTT address; write it as host:port, for example 127.0.0.1:1883")]
    MqttAddress { address: String },
    #[error(
        "readings and passwords would go to {host} in clear; give --mqtt-ca, or --insecure if nobody else can be on that network"
    )]
    MqttInClear { host: String },
    #[error(
        "the broker at {address} refuses this client ({reason}); name a user that may read with --user and --password"
    )]
    MqttRefused { address: String, reason: String },
    #[error(transparent)]
    Rules(#[from] tidegate_service::SettingsError),
    #[error("{} has {problems} that `tidegate rules check` lists", file.display())]
    WrongRules { file: PathBuf, problems: String },
    #[error("`{id}` is no rule's name: those are of a-z, 0-9 and -; `tidegate rules list` lists them")]
    RuleId { id: String },
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("--timezone {name}: no such time zone; write it as Europe/Berlin")]
    TimeZone { name: String },
    #[error("nothing to test the rules on: {why}")]
    NoSeries { why: String },
    #[error("cannot write {}: {error}", file.display())]
    Chart { file: PathBuf, error: io::Error },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    CertificateFile(#[from] tidegate_trust::FileError),
    #[error("{0}; a role is ingest, observer or operator, with or without /NAME")]
    Role(#[from] tidegate_trust::IdentityError),
    #[error("{}: {why}", file.display())]
    Certificate { file: PathBuf, why: String },
    #[error(transparent)]
    Demo(Box<DemoError>),
    /// What `audit` makes of any other error, so that scripts can tell "missing" from "unknown".
    #[error("could not check: {0}")]
    CouldNotCheck(Box<CliError>),
}

impl CliError {
    /// Wraps what kept `audit` from looking; a closed pipe stays what it is.
    pub fn could_not_check(self) -> Self {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::Output(error),
            other => Self::CouldNotCheck(Box::new(other)),
        }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CouldNotCheck(_)
            | Self::Demo(_)
            | Self::MqttAddress { .. }
            | Self::MqttInClear { .. }
            | Self::AlarmName { .. }
            | Self::NoComment
            | Self::NoName
            | Self::NoTerminal
            | Self::Client(
                ClientError::Url { .. }
                | ClientError::Authority(_)
                | ClientError::Token(_)
                | ClientError::TokenFile { .. }
                | ClientError::TokenInClear { .. },
            ) => 2,
            _ => 1,
        }
    }
}
