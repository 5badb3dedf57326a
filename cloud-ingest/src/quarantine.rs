//! What is in quarantine, as the API shows it.

use serde::Serialize;
use tidegate_protocol::{BootId, DeviceId, GatewayId, Quality, SiteId, topic::Lane};

use crate::view::{ValueView, boot_as_text};

/// How many blocks a page has at most, and how many it passes over to find them.
pub const MAX_QUARANTINE_PAGE: usize = 200;
pub const MAX_PASSED_OVER: usize = 2_000;
/// How many ranges are named of a block.
pub const MAX_HELD_RANGES: usize = 32;
/// How many readings are shown of one.
pub const MAX_SHOWN_READINGS: usize = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineSelection {
    pub site: Option<SiteId>,
    pub gateway: Option<GatewayId>,
    /// As it is called in answers.
    pub reason: Option<&'static str>,
    /// The first number to look at.
    pub from: u64,
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QuarantineView {
    /// Oldest first.
    pub blocks: Vec<QuarantinedView>,
    /// Give it back as `from` to go on; null at the end.
    pub next: Option<u64>,
    pub size: QuarantineSize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuarantineSize {
    pub blocks: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuarantinedView {
    pub number: u64,
    /// SHA-256 of the block but for its stamp, in hex.
    pub content: String,
    pub site: SiteId,
    /// Who brought it first, and when.
    pub gateway: GatewayId,
    pub arrival_unix_ms: i64,
    /// How often it came, and who brought it last.
    pub times: u64,
    pub last_gateway: GatewayId,
    pub last_unix_ms: i64,
    pub reason: &'static str,
    pub because: String,
    pub bytes: u64,
    /// Null where its head cannot be read.
    pub stamp: Option<StampView>,
    /// How many readings it holds; null where it does not decode.
    pub readings: Option<u64>,
    /// The first [`MAX_HELD_RANGES`].
    pub holds: Vec<HeldView>,
}

/// Which transmission it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StampView {
    pub lane: Lane,
    /// 16 hexadecimal digits: the process that sent it.
    pub epoch: String,
    pub number: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldView {
    pub device: DeviceId,
    #[serde(serialize_with = "boot_as_text")]
    pub boot: BootId,
    /// Half-open.
    pub range: (u64, u64),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuarantinedDetailView {
    pub block: QuarantinedView,
    /// The first [`MAX_SHOWN_READINGS`].
    pub content: Vec<QuarantinedReadingView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuarantinedReadingView {
    pub device: DeviceId,
    #[serde(serialize_with = "boot_as_text")]
    pub boot: BootId,
    pub seq: u64,
    pub channel_index: u8,
    pub tick_ms: u64,
    pub value: ValueView,
    pub quality: Quality,
}
