//! What operators order, and the log of it, as the API takes and shows them.

use serde::Serialize;
use tidegate_alarms::{EventId, lifecycle::Action};
use tidegate_protocol::{BootId, DeviceId, SiteId};

use crate::{
    core::{
        lifecycle::{AlarmKey, AlarmOrder, KnownAlarm},
        retire::RetireOrder,
    },
    view::boot_as_text,
};

/// Close a device's origins, or the one, and write off what is missing of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireRequest {
    pub site: SiteId,
    pub device: DeviceId,
    pub boot: Option<BootId>,
    pub operator: String,
    pub reason: String,
    /// Else it is only said what would be done.
    pub confirmed: bool,
}

impl RetireRequest {
    pub fn order(&self) -> RetireOrder {
        RetireOrder {
            site: self.site,
            device: self.device,
            boot: self.boot,
            operator: self.operator.clone(),
            reason: self.reason.clone(),
            unix_ms: 0,
        }
    }
}

/// Do something with an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmRequest {
    pub key: AlarmKey,
    pub deed: Deed,
    pub operator: String,
    /// Empty: none.
    pub comment: String,
    /// Only if the alarm's newest event is one of these.
    pub expected: Option<Vec<EventId>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Act(Action),
    /// From now on, by the ingest's clock.
    ShelveForMs(i64),
}

impl AlarmRequest {
    pub fn order(&self, committed: Option<KnownAlarm>, unix_ms: i64) -> AlarmOrder {
        let action = match self.deed {
            Deed::Act(action) => action,
            Deed::ShelveForMs(ms) => Action::Shelve { until_unix_ms: unix_ms.saturating_add(ms) },
        };
        AlarmOrder {
            key: self.key.clone(),
            action,
            operator: self.operator.clone(),
            comment: self.comment.clone(),
            expected: self.expected.clone(),
            committed: committed.map(Box::new),
            unix_ms,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetireView {
    pub site: SiteId,
    pub device: DeviceId,
    /// Nothing was changed.
    pub dry_run: bool,
    pub written_off: u64,
    /// Those that are changed by it.
    pub boots: Vec<RetiredBootView>,
    /// When the device was last heard of; absent in the answer to an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heard_unix_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetiredBootView {
    #[serde(serialize_with = "boot_as_text")]
    pub boot: BootId,
    /// It had not ended before.
    pub closed: bool,
    pub written_off: u64,
    /// The first 32, half-open.
    pub ranges: Vec<(u64, u64)>,
}

/// Newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperationsView {
    pub operations: Vec<OperationView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationView {
    pub number: u64,
    /// `retire`
    pub operation: &'static str,
    pub unix_ms: i64,
    pub operator: String,
    pub reason: String,
    pub site: SiteId,
    pub device: DeviceId,
    pub written_off: u64,
    pub boots: Vec<RetiredBootView>,
}
