//! What the API asks. Every answer is a look at one committed state; only the newest readings and the broker's presence are
//! kept in memory. Calls read LMDB and Parquet and therefore block: call them off the async threads.
//!
//! ```text
//! readings  latest, and a range          audit   where every reading is
//! alarms    alarms now, history, events  shapes  records as views
//! alarm_report  what the alarms of a stretch of time were like
//! certificate  what a completeness certificate states
//! operations  what operators did, and can do    selection  the devices that a question selects
//! desired   what is wanted of channels   rules   what is watched for
//! verdicts  what gateways say is active
//! quarantine  what was not taken
//! snapshot  all alarms that stand as of one cursor      failure   why there is no answer
//! summaries what stands for thinned readings   source  all of it as what the API asks
//! ```

mod alarm_report;
#[cfg(test)]
mod alarm_report_tests;
mod alarms;
#[cfg(test)]
mod alarms_tests;
mod audit;
mod certificate;
mod desired;
mod failure;
mod operations;
mod quarantine;
mod readings;
mod rules;
mod selection;
#[cfg(test)]
mod served;
mod shapes;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
mod source;
mod summaries;
mod verdicts;

pub use alarm_report::{AlarmReportRequest, AlarmReportView, AlarmsNowView};
pub use certificate::CertificateRequest;
pub use failure::QueryError;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use tidegate_alarms::AlarmEvent;
use tidegate_protocol::{BootId, ChannelName, DeviceId, SiteId};
use tidegate_trust::ClientFiles;
use tokio::sync::broadcast;

use crate::{
    certificate::{Certificate, CertificateKey},
    core::{desired::ChannelKey, lifecycle::AlarmKey},
    delivery::Desk,
    desired::{SettingsListView, SettingsView},
    events::{
        AlarmDetailView, AlarmLogPage, AlarmSelection, AlarmsView, ChangedPage, Cursor, EventSender,
        HistorySelection, HistoryView, LogSelection, StandingPage, Streamed,
    },
    lake::Lake,
    operations::{AlarmRequest, OperationsView, RetireRequest, RetireView},
    orders::Orders,
    shown::{Shown, count},
    store::LmdbStore,
    view::{
        AuditView, ChannelView, ChannelsView, DevicesView, Figures, GatewayView, GatewaysView, HealthView,
        LatestView, ReadingsView, SummariesView,
    },
};

use selection::{current_boots, selected, selected_owners, selects};
pub use summaries::SummariesRequest;

/// Which devices and channels; what is absent matches all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub site: Option<SiteId>,
    pub device: Option<DeviceId>,
    pub channel: Option<ChannelName>,
}

/// A page of one device's readings. Times are unix milliseconds, `since` included, `until` excluded; readings of a boot
/// without a clock anchor have no time and are left out where a time is asked for.
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

/// Answers questions; cheap to clone.
#[derive(Clone)]
pub struct Query {
    store: Arc<LmdbStore>,
    lake: Lake,
    shown: Arc<Shown>,
    events: EventSender,
    key: Option<Arc<CertificateKey>>,
    orders: Arc<Orders>,
    desk: Arc<Desk>,
    /// Whose rules they are, if not the API's.
    rules_file: Option<Arc<str>>,
    broker_tls: Option<Arc<ClientFiles>>,
}

impl Query {
    pub fn new(
        store: Arc<LmdbStore>,
        lake: Lake,
        shown: Arc<Shown>,
        events: EventSender,
        orders: Arc<Orders>,
    ) -> Self {
        let desk = Arc::new(Desk::new(Arc::clone(&store), Vec::new()));
        Self { store, lake, shown, events, key: None, orders, desk, rules_file: None, broker_tls: None }
    }

    /// The key that certificates are signed with.
    pub fn with_key(self, key: Option<CertificateKey>) -> Self {
        Self { key: key.map(Arc::new), ..self }
    }

    /// Where deliveries are asked for; without one there are no receivers.
    pub fn with_desk(self, desk: Arc<Desk>) -> Self {
        Self { desk, ..self }
    }

    /// The file that owns the rules; without one they are changed here.
    pub fn with_rules_file(self, file: Option<&Path>) -> Self {
        Self { rules_file: file.map(|file| file.display().to_string().into()), ..self }
    }

    /// What the broker is shown.
    pub fn with_broker_tls(self, files: Option<ClientFiles>) -> Self {
        Self { broker_tls: files.map(Arc::new), ..self }
    }

    /// Until when the certificate lasts that the next connection to the broker takes.
    pub fn certificate_expiry(&self) -> Option<i64> {
        self.broker_tls.as_ref()?.certificate_expiry()
    }

    pub fn devices(&self) -> Result<DevicesView, QueryError> {
        let look = self.store.look()?;
        let mut devices = Vec::new();
        for (no, record) in current_boots(&look, &Selection::default())? {
            devices.push(shapes::device(&record, look.description(no)?));
        }
        Ok(DevicesView { devices })
    }

    pub fn channels(&self) -> Result<ChannelsView, QueryError> {
        let views = self.devices()?.devices.into_iter().flat_map(|device| {
            let (site, name) = (device.site, device.device);
            device.channels.into_iter().map(move |channel| ChannelView {
                site,
                device: name,
                channel: channel.name,
                unit: channel.unit,
                kind: channel.kind,
            })
        });
        Ok(ChannelsView { channels: views.collect() })
    }

    /// The newest committed reading of each channel, in its device's current boot.
    pub fn latest(&self, selection: &Selection) -> Result<LatestView, QueryError> {
        readings::latest(&self.store.look()?, &self.shown, selection)
    }

    /// Readings in (boot first seen, seq) order, journal and lake together, none twice.
    pub fn readings(&self, request: &ReadingsRequest) -> Result<ReadingsView, QueryError> {
        match readings::page(&self.store.look()?, &self.lake, request) {
            // A lake file left between the look and its opening: a new look knows that.
            Err(QueryError::Lake(_)) => readings::page(&self.store.look()?, &self.lake, request),
            Err(error @ QueryError::Entry(position)) => {
                // From now on the ledger is not to call its readings stored.
                self.orders.entries_damaged(self.store.look()?.damage_at(&[position].into())?);
                Err(error)
            }
            answer => answer,
        }
    }

    /// Where every reading is; `selection.channel` is not looked at. Sealed origins are listed where `each` says so, and
    /// else counted.
    pub fn audit(&self, selection: &Selection, each: bool) -> Result<AuditView, QueryError> {
        audit::audit(&self.store.look()?, selection, each)
    }

    /// A signed statement of where every reading of a device is. Reads all of them.
    pub fn certificate(&self, request: &CertificateRequest) -> Result<Certificate, QueryError> {
        let key = self.key.as_ref().ok_or(QueryError::NoKey)?;
        let told = certificate::statement(&self.store.look()?, &self.lake, request, jiff::Timestamp::now())?;
        Certificate::sign(told, key).map_err(|error| QueryError::Store(error.to_string()))
    }

    /// What stands for thinned readings.
    pub fn summaries(&self, request: &SummariesRequest) -> Result<SummariesView, QueryError> {
        summaries::page(&self.store.look()?, request)
    }

    pub fn gateways(&self) -> Result<GatewaysView, QueryError> {
        let look = self.store.look()?;
        let mut standing: HashMap<_, _> = look.rules_standing()?.into_iter().collect();
        let views = look.gateways()?.into_iter().map(|(path, record)| GatewayView {
            rules: standing.remove(&path),
            site: path.site,
            gateway: path.gateway,
            online: record.online,
            version: record.version,
            last_block_unix_ms: record.last_block_unix_ms,
        });
        Ok(GatewaysView { gateways: views.collect() })
    }

    /// What operators did, newest first.
    pub fn operations(&self) -> Result<OperationsView, QueryError> {
        operations::log(&self.store.look()?)
    }

    /// Closes a device's origins and writes their holes off, or only says what that would do.
    pub fn retire(&self, request: &RetireRequest) -> Result<RetireView, QueryError> {
        let plan = operations::plan(&self.store.look()?, request)?;
        if !request.confirmed {
            return Ok(plan);
        }
        let done = self.orders.carry_out(request.order())?;
        Ok(operations::retired(&done))
    }

    /// Of the channels that something is wanted of.
    pub fn settings(&self, selection: &Selection) -> Result<SettingsListView, QueryError> {
        desired::list(&self.store.look()?, selection)
    }

    /// Of a channel that a device has, or that something was ever wanted of.
    pub fn settings_of(&self, key: ChannelKey) -> Result<SettingsView, QueryError> {
        desired::one(&self.store.look()?, key)
    }

    pub fn alarms(&self, selection: &AlarmSelection) -> Result<AlarmsView, QueryError> {
        alarms::now(&self.store.look()?, selection)
    }

    pub fn alarm(&self, key: &AlarmKey) -> Result<AlarmDetailView, QueryError> {
        alarms::one(&self.store.look()?, key, self.verdicts_on(key))
    }

    pub fn alarm_history(&self, selection: &HistorySelection) -> Result<HistoryView, QueryError> {
        alarms::history(&self.store.look()?, selection)
    }

    /// Reads all events of the stretch, and of a week before.
    pub fn alarm_report(&self, request: &AlarmReportRequest) -> Result<AlarmReportView, QueryError> {
        alarm_report::report(&self.store.look()?, request)
    }

    pub fn alarm_log(&self, selection: &LogSelection) -> Result<AlarmLogPage, QueryError> {
        alarms::log(&self.store.look()?, selection)
    }

    /// Does something with an alarm; answers with the event that it became, once that is committed.
    pub fn act_on_alarm(&self, request: &AlarmRequest) -> Result<AlarmEvent, QueryError> {
        let committed = self.store.look()?.known_alarm(&request.key)?;
        alarms::acted(self.orders.act(request, committed)?)
    }

    /// Committed events behind a cursor, in order.
    pub fn events_after(
        &self,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Vec<(Cursor, AlarmEvent)>, QueryError> {
        Ok(self.store.look()?.events_after(cursor, limit)?)
    }

    /// A page of the alarms that are not normal, by name, and the cursor as of which it is.
    pub fn standing_alarms(
        &self,
        after: Option<&AlarmKey>,
        limit: usize,
    ) -> Result<StandingPage, QueryError> {
        snapshot::standing(&self.store.look()?, after, limit)
    }

    /// The alarms that events behind a cursor changed.
    pub fn changed_alarms(&self, since: Cursor, limit: usize) -> Result<ChangedPage, QueryError> {
        snapshot::changed(&self.store.look()?, since, limit)
    }

    pub fn newest_cursor(&self) -> Result<Cursor, QueryError> {
        Ok(self.store.look()?.last_cursor()?)
    }

    /// Events from now on; a committed one can be read from the store by then.
    pub fn subscribe(&self) -> broadcast::Receiver<Streamed> {
        self.events.subscribe()
    }

    pub fn health(&self) -> HealthView {
        let broker_connected = self.shown.broker_connected.load(Ordering::Relaxed);
        let mut problems: Vec<String> = self.shown.problem().into_iter().collect();
        if !broker_connected {
            problems.push("there is no connection to the broker".to_owned());
        }
        if count(&self.shown.used_bytes) >= count(&self.shown.quota_bytes) {
            problems.push("the store is above its quota: only alarms are taken".to_owned());
        }
        let position = self.store.look().and_then(|look| look.next_position()).unwrap_or_else(|error| {
            problems.push(error.to_string());
            0
        });
        let status = if problems.is_empty() { "ok" } else { "degraded" };
        HealthView { status, version: env!("CARGO_PKG_VERSION"), broker_connected, position, problems }
    }

    pub fn figures(&self) -> Figures {
        let counters = self.shown.counters();
        let shown = &self.shown;
        Figures {
            blocks_received: counters.blocks_received,
            bytes_received: counters.bytes_received,
            readings_stored: counters.readings_stored,
            readings_duplicate: counters.readings_duplicate,
            readings_conflicting: counters.readings_conflicting,
            blocks_rejected_corrupt: counters.blocks_rejected_corrupt,
            blocks_rejected_undescribed: counters.blocks_rejected_undescribed,
            blocks_refused_full: counters.blocks_refused_full,
            blocks_refused_verifying: counters.blocks_refused_verifying,
            blocks_refused_origins: counters.blocks_refused_origins,
            descriptions_refused: counters.descriptions_refused,
            ranges_refused: counters.ranges_refused,
            blocks_rejected_sealed: counters.blocks_rejected_sealed,
            blocks_rejected_unsupported: counters.blocks_rejected_unsupported,
            readings_refused_sealed: counters.readings_refused_sealed,
            records_refused_sealed: counters.records_refused_sealed,
            origins_sealed: counters.origins_sealed,
            histories_left: counters.histories_left,
            readings_settled: counters.readings_settled,
            commits: counters.commits,
            commit_failures: counters.commit_failures,
            last_commit_micros: count(&shown.last_commit_micros),
            quarantine: self
                .store
                .look()
                .ok()
                .and_then(|look| quarantine::size(&look).ok())
                .unwrap_or_default(),
            acks_sent: counters.acks_sent,
            acks_dropped: count(&shown.acks_dropped),
            alarm_events_provisional: counters.alarm_events_provisional,
            alarm_events_committed: count(&shown.events_committed),
            alarm_raises: shown.alarm_raises.each_ref().map(count),
            alarms_active: counters.alarms_active,
            alarms_unacknowledged: counters.alarms_unacknowledged,
            verdicts_differing: counters.verdicts_differing,
            verdict_differences: counters.verdict_differences,
            lake_files_written: count(&shown.lake_files),
            lake_rows_written: count(&shown.lake_rows),
            journal_entries_damaged: count(&shown.entries_damaged),
            broker_connects: count(&shown.broker_connects),
            heartbeat_unix_ms: shown.heartbeat_unix_ms.load(Ordering::Relaxed),
            uncommitted_bytes: counters.uncommitted_bytes,
            origins_open: counters.origins_open,
            map_used_bytes: count(&shown.used_bytes),
            map_size_bytes: self.store.map_size_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
