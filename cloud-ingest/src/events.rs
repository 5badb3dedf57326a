//! Alarm events on their way to watchers, and the views of alarms that the API shows.
//!
//! The core sends each event into one bounded broadcast channel: provisional ones as they happen, committed ones after
//! their commit, in the order of their cursors. A watcher that falls more than [`EVENTS_WAITING`] behind has missed some;
//! it goes on from its cursor with the events in the store, which is the truth.

use std::sync::Arc;

use serde::Serialize;
use tidegate_alarms::{AlarmEvent, EventId, Priority, Revision, RuleId, event::EventPoint};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};
use tokio::sync::broadcast;

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

/// Which alarms; what is absent matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmSelection {
    pub site: Option<SiteId>,
    pub device: Option<DeviceId>,
    pub channel: Option<ChannelName>,
    pub rule: Option<RuleId>,
    /// Without those that are cleared.
    pub active_only: bool,
    /// 1 to [`MAX_ALARMS_PAGE`]: the newest so many.
    pub limit: usize,
}

/// The most alarms or occurrences in one answer.
pub const MAX_ALARMS_PAGE: usize = 10_000;

/// Alarms as they are known now, newest raise first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AlarmsView {
    pub alarms: Vec<AlarmView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlarmView {
    pub occurrence: EventId,
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
    pub rule: RuleId,
    pub priority: Priority,
    pub state: AlarmState,
    pub raised: AlarmEvent,
    pub cleared: Option<AlarmEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmState {
    Active,
    Cleared,
}

/// Settled history, in the order of raising.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HistoryView {
    pub occurrences: Vec<OccurrenceView>,
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
