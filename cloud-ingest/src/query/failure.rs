//! Why the API's questions have no answer.

use tidegate_alarms::{Lifecycle, lifecycle::Refusal};
use tidegate_protocol::{BootId, ChannelName, DeviceId, SiteId};

use crate::{
    delivery::desk::DeskError, desired::WrongSetting, orders::OrderError, readings::ReadError,
    store::StoreError,
};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the cursor is not one that this API gave out")]
    Cursor,
    #[error("no block {0} is in quarantine; /api/v1/quarantine lists those that are")]
    NotInQuarantine(u64),
    #[error("no device of that name is known; /api/v1/devices lists those that are")]
    UnknownDevice,
    #[error("devices of that name are at several sites; name the site")]
    SeveralSites,
    #[error("the window cannot be certified: {0}")]
    NotBracketed(String),
    #[error(
        "this ingest has no key to sign with; make one with `tidegate keys init` and name it in certificate.key_file"
    )]
    NoKey,
    #[error("no device {device} of site {site} is known{}", .boot.map(|boot| format!(" with a boot {boot}")).unwrap_or_default())]
    NothingToRetire { site: SiteId, device: DeviceId, boot: Option<BootId> },
    #[error("{device} has no channel {channel}; it has {known}")]
    UnknownChannel { device: DeviceId, channel: ChannelName, known: String },
    #[error(transparent)]
    WrongSetting(#[from] WrongSetting),
    #[error("the settings were changed meanwhile: they have revision {revision} now; look at them again")]
    SettingsChanged { revision: u32 },
    #[error("the channel's settings have no further revision")]
    NoRevision,
    #[error("no alarm of that name is known; /api/v1/alarms?state=all lists those that are")]
    UnknownAlarm,
    #[error("{refusal}")]
    AlarmRefused { refusal: Refusal, lifecycle: Box<Lifecycle> },
    #[error("the alarm was changed meanwhile; look at it again")]
    AlarmChanged,
    #[error("no rule of that name is known; /api/v1/rules lists those that are")]
    UnknownRule,
    #[error("the rules were changed meanwhile: they have edition {edition} now; look at them again")]
    RulesChanged { edition: u64 },
    #[error(
        "the rules are those of {file}: change that file and have it read again (SIGHUP); they are changed here only where \
         the ingest's settings name no rules file"
    )]
    RulesOfFile { file: String },
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error("the store cannot be read: {0}")]
    Store(String),
    #[error("the journal's entry {0} is damaged and goes to quarantine; ask again")]
    Entry(u64),
    #[error("the lake cannot be read: {0}")]
    Lake(String),
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Lake(error) => Self::Lake(error.to_string()),
            ReadError::Damaged { position } => Self::Entry(position),
        }
    }
}
