//! Alarm events on their way to watchers, and the views of alarms that the API shows.
//!
//! The core sends each event into one bounded broadcast channel: provisional ones as they happen, committed ones after
//! their commit, in the order of their cursors. A watcher that falls more than [`EVENTS_WAITING`] behind has missed some;
//! it goes on from its cursor with the events in the store, which is the truth.

use std::{cmp::Reverse, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidegate_alarms::{
    AlarmEvent, AlarmKind, AlarmState, EventId, Glob, Lifecycle, Priority, Revision, RuleId,
    event::EventPoint,
};
use tidegate_protocol::{BootId, ChannelName, DeviceId, Seq, SiteId};
use tokio::sync::broadcast;

use crate::{core::lifecycle::AlarmKey, store::alarms::AlarmLogEntry, verdicts::VerdictView};

/// How many events wait for the slowest watcher before it is told that it missed some.
pub const EVENTS_WAITING: usize = 4_096;

/// A committed event's place in the stream: strictly ascending, never given twice. The first is 1, so that 0 stands
/// before all.
pub type Cursor = u64;

#[derive(Clone, Debug, PartialEq)]
pub enum Streamed {
    /// Not committed yet: no cursor, and it may come again.
    Provisional(Arc<AlarmEvent>),
    Committed(Cursor, Arc<AlarmEvent>),
}

pub type EventSender = broadcast::Sender<Streamed>;

/// The channel that the core sends into; the API subscribes to it.
pub fn channel() -> EventSender {
    broadcast::Sender::new(EVENTS_WAITING)
}

/// Patterns of names; what is absent matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmNames {
    pub site: Option<Glob>,
    pub device: Option<Glob>,
    pub channel: Option<Glob>,
    pub rule: Option<Glob>,
}

impl AlarmNames {
    /// One alarm alone.
    pub fn exactly(key: &AlarmKey) -> Self {
        // No name holds a wildcard.
        let glob = |name: &str| Some(Glob::new(name));
        Self {
            site: glob(key.site.as_str()),
            device: glob(key.device.as_str()),
            channel: glob(key.channel.as_str()),
            rule: glob(key.rule.as_str()),
        }
    }

    pub fn select(&self, site: SiteId, device: DeviceId, channel: ChannelName, rule: &RuleId) -> bool {
        let fits = |glob: &Option<Glob>, name: &str| glob.as_ref().is_none_or(|glob| glob.matches(name));
        fits(&self.site, site.as_str())
            && fits(&self.device, device.as_str())
            && fits(&self.channel, channel.as_str())
            && fits(&self.rule, rule.as_str())
    }
}

/// Which alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmSelection {
    pub names: AlarmNames,
    pub states: States,
    /// Empty: of any.
    pub priorities: Vec<Priority>,
    /// Empty: of any.
    pub kinds: Vec<AlarmKind>,
    /// Only those that wait to be acknowledged, whatever else they are.
    pub unacknowledged: bool,
    /// 1 to [`MAX_ALARMS_PAGE`].
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<AlarmMark>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum States {
    All,
    #[default]
    Active,
    /// All but those that are normal: what an operator has to keep in mind.
    Standing,
    These(Vec<AlarmState>),
}

/// Which occurrences of history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistorySelection {
    pub names: AlarmNames,
    /// 1 to [`MAX_ALARMS_PAGE`].
    pub limit: usize,
    /// Where the page before began: pages go back in time.
    pub after: Option<HistoryMark>,
}

/// Which lines of the operator log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSelection {
    pub names: AlarmNames,
    pub limit: usize,
    /// The last line's number of the page before.
    pub after: Option<u64>,
}

/// The most alarms or occurrences in one answer.
pub const MAX_ALARMS_PAGE: usize = 10_000;

/// An alarm's place in the order of the list, newest raise first. As text it is opaque.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AlarmMark(
    pub Reverse<Option<i64>>,
    pub Reverse<u64>,
    pub SiteId,
    pub DeviceId,
    pub ChannelName,
    pub RuleId,
);

/// An occurrence's place in the order of raising: by time where it is known, then by place and seq, so that the order does not
/// depend on which boot was heard of first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HistoryMark(pub Option<i64>, pub SiteId, pub DeviceId, pub BootId, pub Seq, pub RuleId);

/// A mark as text.
pub fn mark_as_text(mark: &impl Serialize) -> String {
    // Names and numbers always encode.
    postcard::to_stdvec(mark).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default()
}

pub fn mark_from_text<T: DeserializeOwned>(text: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    postcard::from_bytes(&bytes).ok()
}

/// Alarms as they are known now, newest raise first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AlarmsView {
    pub alarms: Vec<AlarmView>,
    /// Give it back as `after` to go on; null at the end.
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlarmView {
    /// The latest; null where it was never raised.
    pub occurrence: Option<EventId>,
    /// What `device` names.
    pub kind: AlarmKind,
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: RuleId,
    pub priority: Priority,
    pub state: AlarmState,
    pub lifecycle: Lifecycle,
    pub raised: Option<AlarmEvent>,
    pub cleared: Option<AlarmEvent>,
    /// What was done with it last.
    pub done: Option<AlarmEvent>,
}

/// Some of the alarms that are not normal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandingPage {
    pub alarms: Vec<AlarmView>,
    /// The last that was looked at; `None` at the end.
    pub next: Option<AlarmKey>,
    /// The newest event's when this was read.
    pub cursor: Cursor,
}

/// Alarms that events changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangedPage {
    /// As they are now, which may be normal; each once.
    pub alarms: Vec<AlarmView>,
    pub events: Vec<EventId>,
    /// The last of these events'.
    pub cursor: Cursor,
    /// There are no further events: all that was read is as of this cursor.
    pub is_complete: bool,
}

/// One alarm in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlarmDetailView {
    /// Its newest event; the `ETag`.
    #[serde(skip)]
    pub newest: EventId,
    #[serde(flatten)]
    pub alarm: AlarmView,
    /// What gateways say of it.
    pub verdicts: Vec<VerdictView>,
    /// What operators did with it, newest first; the last [`DETAIL_LINES`].
    pub log: Vec<AlarmLogView>,
    /// Its last occurrences in settled history, in the order of raising; at most [`DETAIL_LINES`].
    pub occurrences: Vec<OccurrenceView>,
}

pub const DETAIL_LINES: usize = 20;

/// The operator log of alarms, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AlarmLogPage {
    pub log: Vec<AlarmLogView>,
    /// Give it back as `after` to go on; null at the end.
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlarmLogView {
    pub number: u64,
    #[serde(flatten)]
    pub entry: AlarmLogEntry,
}

/// Settled history, in the order of raising.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HistoryView {
    pub occurrences: Vec<OccurrenceView>,
    /// Give it back as `after` to have what was raised before; null at the beginning.
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OccurrenceView {
    pub occurrence: EventId,
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: RuleId,
    pub revision: Revision,
    pub priority: Priority,
    pub onset: EventPoint,
    pub clear: Option<EventPoint>,
    pub peak: PeakView,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PeakView {
    pub seq: u64,
    pub value: Option<f64>,
}
