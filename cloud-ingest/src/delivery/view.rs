//! Receivers and deliveries as the API shows them.

use serde::Serialize;
use tidegate_alarms::AlarmEvent;

use super::core::{Reason, RowState};

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReceiversView {
    pub receivers: Vec<ReceiverView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReceiverView {
    pub id: String,
    /// `webhook`, `email`
    pub r#type: &'static str,
    /// Where it goes, without what is secret.
    pub to: String,
    pub state: ReceiverState,
    /// Events that wait, and those that were given up.
    pub waiting: u64,
    pub parked: u64,
    pub oldest_waiting_unix_ms: Option<i64>,
    pub last_success_unix_ms: Option<i64>,
    pub last_error_unix_ms: Option<i64>,
    pub last_error: Option<String>,
    /// Why nothing is sent to it until it is enabled.
    pub disabled: Option<String>,
    pub tally: TallyView,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiverState {
    Ok,
    /// The last attempt failed.
    Failing,
    Disabled,
}

/// Messages since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TallyView {
    pub delivered: u64,
    /// Attempts that are made again.
    pub failed: u64,
    pub parked: u64,
}

/// Which deliveries; what is absent matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliverySelection {
    pub receiver: Option<String>,
    pub state: Option<RowState>,
    /// 1 to [`MAX_DELIVERIES_PAGE`]: the oldest so many of each receiver.
    pub limit: usize,
}

pub const MAX_DELIVERIES_PAGE: usize = 10_000;

/// By receiver, and then in the order of events.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeliveriesView {
    pub deliveries: Vec<DeliveryView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeliveryView {
    pub receiver: String,
    pub cursor: u64,
    pub state: RowState,
    pub attempts: u32,
    pub queued_unix_ms: i64,
    /// When it is tried next; `null` when it is parked.
    pub due_unix_ms: Option<i64>,
    pub last_error: Option<String>,
    /// Why it comes together with others.
    pub digest: Option<Reason>,
    pub event: Option<AlarmEvent>,
}

/// What came of a test message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestView {
    pub receiver: String,
    pub delivered: bool,
    pub error: Option<String>,
}
