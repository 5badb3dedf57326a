//! Settings for channels: what the cloud wants of them, and what became of that.
//!
//! A channel is named here as the cloud knows it, by device and name: its index is of one boot, and whoever wants
//! something does not know which boot is running. The gateway that the board is joined to finds the index. Revisions
//! count per channel; of two the higher one holds.
//!
//! Both messages are [`sealed`](crate::sealed), of at most [`MAX_SETTINGS_BYTES`] with at most [`MAX_SETTINGS`] channels.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    frame::{Deadband, Settings, SettingsCode},
    id::{ChannelIndex, ChannelName, DeviceId},
    reading::{MAX_SCALE, Value},
    sealed::{SealError, seal, unseal_counted},
};

/// The largest message, in bytes.
pub const MAX_SETTINGS_BYTES: usize = 32 * 1024;
/// How many channels one message speaks of at most; with names of full length that many still fit.
pub const MAX_SETTINGS: usize = 256;

/// How a channel is to be measured and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSettings {
    pub enabled: bool,
    /// 0 for a channel that is not polled.
    pub period_ms: u32,
    /// None reports every sample.
    pub report_deadband: Option<Deadband>,
    /// Report at least this often whatever the deadband; 0 for no such limit.
    pub max_silence_ms: u32,
}

impl ChannelSettings {
    /// As a board is told, under the index that the channel has in its boot.
    pub const fn for_board(self, channel: ChannelIndex, revision: u32) -> Settings {
        let Self { enabled, period_ms, report_deadband, max_silence_ms } = self;
        Settings { revision, channel: channel.0, enabled, period_ms, report_deadband, max_silence_ms }
    }

    const fn is_sound(&self) -> bool {
        !matches!(self.report_deadband, Some(Deadband::Absolute(Value::Decimal { scale, .. })) if scale > MAX_SCALE)
    }
}

/// What the cloud wants of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredChannel {
    pub device: DeviceId,
    pub channel: ChannelName,
    pub revision: u32,
    /// None: nothing any more. The board goes on as it does until it starts anew.
    pub settings: Option<ChannelSettings>,
}

/// From the ingest to a gateway, on `…/down/settings`. A gateway answers for every channel it takes, each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredSettings {
    pub channels: Vec<DesiredChannel>,
}

/// What became of the settings of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedChannel {
    pub device: DeviceId,
    pub channel: ChannelName,
    /// Of the settings that the gateway has, which may be newer or older than those that it was told last.
    pub revision: u32,
    pub outcome: SettingsOutcome,
}

/// From a gateway to the ingest, on `…/up/settings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedSettings {
    pub channels: Vec<ReportedChannel>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingsOutcome {
    /// The gateway has them; the board has not answered, or is not there.
    Held,
    /// The board measures by them.
    Applied,
    /// The board has no channel of that name.
    UnknownChannel,
    /// The period is out of the board's range.
    BadPeriod,
    /// The deadband's kind is not the channel's.
    BadDeadband,
    /// The device is no board but a source of the gateway's own, which takes no settings.
    NotSettable,
    /// Nothing is wanted of the channel any more, and the gateway knows.
    Cleared,
}

impl SettingsOutcome {
    pub const ALL: [Self; 7] = [
        Self::Held,
        Self::Applied,
        Self::UnknownChannel,
        Self::BadPeriod,
        Self::BadDeadband,
        Self::NotSettable,
        Self::Cleared,
    ];

    /// As JSON and people have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Applied => "applied",
            Self::UnknownChannel => "unknown-channel",
            Self::BadPeriod => "bad-period",
            Self::BadDeadband => "bad-deadband",
            Self::NotSettable => "not-settable",
            Self::Cleared => "cleared",
        }
    }

    /// An answer of a board, or for one: nothing more is to come of these settings.
    pub const fn is_answer(self) -> bool {
        !matches!(self, Self::Held | Self::Cleared)
    }

    pub const fn is_refusal(self) -> bool {
        self.is_answer() && !matches!(self, Self::Applied)
    }
}

impl From<SettingsCode> for SettingsOutcome {
    fn from(code: SettingsCode) -> Self {
        match code {
            SettingsCode::Applied => Self::Applied,
            SettingsCode::UnknownChannel => Self::UnknownChannel,
            SettingsCode::BadPeriod => Self::BadPeriod,
            SettingsCode::BadDeadband => Self::BadDeadband,
        }
    }
}

impl DesiredSettings {
    pub fn encode(&self) -> Result<Vec<u8>, SealError> {
        self.check()?;
        sealed(self, self.channels.len())
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        let desired: Self = unseal_counted(bytes, MAX_SETTINGS_BYTES, MAX_SETTINGS)?;
        desired.check()?;
        Ok(desired)
    }

    /// What both sides refuse: a deadband whose scale does not exist.
    fn check(&self) -> Result<(), SealError> {
        let settings = self.channels.iter().filter_map(|channel| channel.settings.as_ref());
        if settings.into_iter().all(ChannelSettings::is_sound) { Ok(()) } else { Err(SealError::Malformed) }
    }
}

impl ReportedSettings {
    pub fn encode(&self) -> Result<Vec<u8>, SealError> {
        sealed(self, self.channels.len())
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        unseal_counted(bytes, MAX_SETTINGS_BYTES, MAX_SETTINGS)
    }
}

fn sealed(message: &impl Serialize, channels: usize) -> Result<Vec<u8>, SealError> {
    if channels > MAX_SETTINGS {
        return Err(SealError::TooMany(MAX_SETTINGS as u64));
    }
    seal(message, MAX_SETTINGS_BYTES)
}
