//! What the API shows, field by field as it goes out in JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_protocol::{BootId, ChannelName, ClockQuality, DeviceId, GatewayId, Quality, SiteId, ValueKind};

use crate::{
    core::{bringing::RulesStanding, set_back::SetBack},
    quarantine::QuarantineSize,
};

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DevicesView {
    pub devices: Vec<DeviceView>,
}

/// A device in its most recently seen boot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceView {
    pub site: SiteId,
    pub device: DeviceId,
    pub tag: String,
    pub firmware: String,
    #[serde(serialize_with = "boot_as_text")]
    pub boot: BootId,
    pub channels: Vec<DeviceChannelView>,
    /// Who has brought readings of this boot.
    pub gateways: Vec<GatewayId>,
    pub last_arrival_unix_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceChannelView {
    pub index: u8,
    pub name: ChannelName,
    pub unit: String,
    pub kind: ValueKind,
    pub scale: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChannelsView {
    pub channels: Vec<ChannelView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelView {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub unit: String,
    pub kind: ValueKind,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LatestView {
    pub readings: Vec<ReadingView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReadingsView {
    pub readings: Vec<ReadingView>,
    /// Readings of the device (or of the boot that was asked for) that were stored, and have left with the lake's oldest files,
    /// whatever their time and channel.
    pub expired: u64,
    /// Give it back to go on where this page ended; absent at the end.
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadingView {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub unit: String,
    #[serde(serialize_with = "boot_as_text")]
    pub boot: BootId,
    pub seq: u64,
    pub tick_ms: u64,
    /// RFC 3339, in UTC; absent while no anchor ties the origin's ticks to wall time.
    pub time: Option<String>,
    pub time_unix_ms: Option<i64>,
    pub time_quality: ClockQuality,
    /// How far the time may be off: the anchor's error, and what the device's clock may have drifted since. Null where
    /// nobody knows.
    pub time_error_ms: Option<u64>,
    /// When it was stored, the best anchor known was worse than the present one: of a lower quality, or off by more than
    /// its error.
    pub time_corrected: bool,
    pub value: ValueView,
    pub quality: Quality,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SummariesView {
    pub summaries: Vec<SummaryView>,
    /// Give it back to go on where this page ended; absent at the end.
    pub next_cursor: Option<String>,
}

/// What a run of thinned readings of one channel was like. Figures are null where none of them had a value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryView {
    pub site: SiteId,
    pub device: DeviceId,
    /// Absent as long as the origin is not described.
    pub channel: Option<ChannelName>,
    pub channel_index: u8,
    pub unit: String,
    #[serde(serialize_with = "boot_as_text")]
    pub boot: BootId,
    /// Whose queue had no room.
    pub gateway: GatewayId,
    /// Half-open, all channels' seqs included.
    pub range: (u64, u64),
    /// Of the channel's first and last reading.
    pub ticks_ms: (u64, u64),
    pub first_unix_ms: Option<i64>,
    pub last_unix_ms: Option<i64>,
    pub count: u64,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub mean: Option<f64>,
    pub crossings: u64,
}

/// A number, true or false; null for what JSON cannot say (NaN, infinities).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ValueView {
    Bool(bool),
    Number(f64),
    None,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AuditView {
    /// The journal's position that this look saw.
    pub position: u64,
    /// Sealed ones only where they were asked for one by one, or conflict.
    pub origins: Vec<OriginAudit>,
    /// Sealed origins that are not listed.
    pub sealed: SealedAudit,
    /// Of all origins, sealed ones included.
    pub totals: AuditTotals,
    /// What was not taken, of all devices.
    pub quarantine: QuarantineSize,
    /// Gateways whose queue was found to be younger than it was, at the selected site. What only the newer one held, of boots that nobody
    /// spoke of since, is in no account.
    pub set_back: Vec<GatewaySetBack>,
    /// Gateways under whose name two processes spoke at once, at the selected site.
    pub cloned: Vec<GatewayCloned>,
    /// Nothing is outstanding, and nothing conflicts.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GatewaySetBack {
    pub site: SiteId,
    pub gateway: GatewayId,
    #[serde(flatten)]
    pub last: SetBack,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GatewayCloned {
    pub site: SiteId,
    /// As its alarm names it.
    pub gateway: DeviceId,
    /// The alarm, last.
    pub raised_unix_ms: i64,
    /// It has not ended.
    pub goes_on: bool,
}

/// Where every reading of an origin is, as far as the cloud has heard of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OriginAudit {
    pub site: SiteId,
    pub device: DeviceId,
    #[serde(serialize_with = "boot_as_text")]
    pub boot: BootId,
    pub measured: Measured,
    pub stored: u64,
    /// Of the stored ones, those that have left with the lake's oldest files.
    pub expired: u64,
    /// By reason; reasons without a loss are left out.
    pub lost: BTreeMap<&'static str, u64>,
    /// How many summaries stand for what was thinned.
    pub summaries: u64,
    pub outstanding: u64,
    /// The first [`MAX_OUTSTANDING_RANGES`], half-open.
    pub outstanding_ranges: Vec<(u64, u64)>,
    pub closed: bool,
    /// Readings that came with another content too; that one is in quarantine.
    pub conflicts: u64,
    /// The first [`MAX_OUTSTANDING_RANGES`], half-open; none of a sealed one.
    pub conflict_ranges: Vec<(u64, u64)>,
    /// Readings that were declared lost and arrived after all.
    pub recovered: u64,
    /// Its ledger shrank to these counts: readings of it that come now are refused.
    pub sealed: bool,
    /// Readings that came after it was sealed.
    pub refused: u64,
    /// SHA-256 of the sealed ledger, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    pub last_arrival_unix_ms: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SealedAudit {
    pub origins: u64,
    pub measured: u64,
    pub stored: u64,
    pub expired: u64,
    pub lost: u64,
}

/// How many outstanding ranges one origin's audit lists.
pub const MAX_OUTSTANDING_RANGES: usize = 32;

/// How many readings are known to have been measured; `exact` only once the origin closed with a known tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    pub count: u64,
    pub exact: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditTotals {
    pub measured: u64,
    pub stored: u64,
    /// Of the stored ones, those that have left with the lake's oldest files.
    pub expired: u64,
    pub lost: u64,
    pub outstanding: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    /// Readings that came after their origins were sealed.
    pub refused: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GatewaysView {
    pub gateways: Vec<GatewayView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GatewayView {
    pub site: SiteId,
    pub gateway: GatewayId,
    pub online: bool,
    /// Empty until its birth message was seen.
    pub version: String,
    pub last_block_unix_ms: Option<i64>,
    /// What it made of the alarm rules that it was offered last.
    pub rules: Option<RulesStanding>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthView {
    /// `ok`, `degraded` (see `problems`).
    pub status: &'static str,
    pub version: &'static str,
    pub broker_connected: bool,
    /// The journal's next position.
    pub position: u64,
    /// What an operator should know, in words; empty when all is well.
    pub problems: Vec<String>,
}

/// Figures for a metrics page. Counters start at zero with the process; gauges are as of the look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    pub blocks_received: u64,
    pub bytes_received: u64,
    pub readings_stored: u64,
    pub readings_duplicate: u64,
    pub readings_conflicting: u64,
    pub blocks_rejected_corrupt: u64,
    pub blocks_rejected_undescribed: u64,
    pub blocks_refused_full: u64,
    /// Came again while too many such blocks were being compared; the agents send again.
    pub blocks_refused_verifying: u64,
    /// There was no room for the boots that were new in them; the agents send again.
    pub blocks_refused_origins: u64,
    /// Channel lists that use a name twice.
    pub descriptions_refused: u64,
    /// Stored or lost ranges that would tear more holes into an origin than are kept of one.
    pub ranges_refused: u64,
    pub blocks_rejected_sealed: u64,
    /// Of a version of the wire that this ingest does not read; the agents send again.
    pub blocks_rejected_unsupported: u64,
    /// Readings, and losses and the like, that came after their origins were sealed.
    pub readings_refused_sealed: u64,
    pub records_refused_sealed: u64,
    pub origins_sealed: u64,
    /// Lost readings that arrived after all, and could not be told in history: what lies before them has expired.
    pub histories_left: u64,
    /// Readings that rules were evaluated over for history; those that were told again count again.
    pub readings_settled: u64,
    pub commits: u64,
    pub commit_failures: u64,
    pub last_commit_micros: u64,
    /// Blocks in quarantine, and the bytes that they take.
    pub quarantine: QuarantineSize,
    pub acks_sent: u64,
    /// Found no place on their way to the broker; the agents send again.
    pub acks_dropped: u64,
    pub alarm_events_provisional: u64,
    pub alarm_events_committed: u64,
    /// By priority, the most urgent first; so are the gauges of alarms.
    pub alarm_raises: [u64; 4],
    pub alarms_active: [u64; 4],
    pub alarms_unacknowledged: [u64; 4],
    /// Verdicts of gateways that differ, and how often one began to.
    pub verdicts_differing: u64,
    pub verdict_differences: u64,
    pub lake_files_written: u64,
    pub lake_rows_written: u64,
    /// Journal entries that could not be read and went to quarantine.
    pub journal_entries_damaged: u64,
    pub broker_connects: u64,
    /// When the ingest was well last; 0: never yet.
    pub heartbeat_unix_ms: i64,
    /// Gauges.
    pub uncommitted_bytes: u64,
    /// Boots that are not sealed.
    pub origins_open: u64,
    pub map_used_bytes: u64,
    pub map_size_bytes: u64,
}

pub(crate) fn boot_as_text<S: serde::Serializer>(boot: &BootId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(boot)
}
