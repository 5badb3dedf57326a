//! What the API asks. Every answer is a look at one committed state; only `latest` and the gateways' presence are
//! kept in memory. Calls read LMDB and Parquet and therefore block: call them off the async threads.

use tidegate_protocol::{BootId, ChannelName, DeviceId, SiteId};

use crate::view::{
    AuditView, ChannelsView, DevicesView, Figures, GatewaysView, HealthView, LatestView, ReadingsView,
};

/// Which devices and channels; what is absent matches all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub site: Option<SiteId>,
    pub device: Option<DeviceId>,
    pub channel: Option<ChannelName>,
}

/// A page of one device's readings. Times are unix milliseconds, `since` included, `until` excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingsRequest {
    pub site: Option<SiteId>,
    pub device: DeviceId,
    pub channel: Option<ChannelName>,
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub boot: Option<BootId>,
    /// 1 to [`MAX_READINGS_PAGE`]; more is cut to that.
    pub limit: usize,
    pub cursor: Option<String>,
}

/// The largest page of readings.
pub const MAX_READINGS_PAGE: usize = 10_000;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the cursor is not one that this API gave out")]
    Cursor,
    #[error("the store cannot be read: {0}")]
    Store(String),
    #[error("the lake cannot be read: {0}")]
    Lake(String),
}

/// Answers questions; cheap to clone.
#[derive(Clone)]
pub struct Query {}

impl Query {
    pub fn devices(&self) -> Result<DevicesView, QueryError> {
        Ok(DevicesView::default())
    }

    pub fn channels(&self) -> Result<ChannelsView, QueryError> {
        Ok(ChannelsView::default())
    }

    pub fn latest(&self, _selection: &Selection) -> Result<LatestView, QueryError> {
        Ok(LatestView::default())
    }

    /// Readings in (boot first seen, seq) order, journal and lake together, none twice.
    pub fn readings(&self, _request: &ReadingsRequest) -> Result<ReadingsView, QueryError> {
        Ok(ReadingsView::default())
    }

    /// Where every reading is; `selection.channel` is not looked at.
    pub fn audit(&self, _selection: &Selection) -> Result<AuditView, QueryError> {
        Ok(AuditView::default())
    }

    pub fn gateways(&self) -> Result<GatewaysView, QueryError> {
        Ok(GatewaysView::default())
    }

    pub fn health(&self) -> HealthView {
        HealthView {
            status: "ok",
            version: env!("CARGO_PKG_VERSION"),
            broker_connected: false,
            position: 0,
            problems: Vec::new(),
        }
    }

    pub fn figures(&self) -> Figures {
        Figures::default()
    }
}
