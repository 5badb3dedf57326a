//! What the API asks of the ingest. A trait, so that the API is tested, and the page looked at, over made-up data.

use tidegate_alarms::AlarmEvent;
use tokio::sync::broadcast;

use crate::{
    certificate::Certificate,
    core::{desired::ChannelKey, lifecycle::AlarmKey},
    delivery::{
        desk::DeskError,
        view::{DeliveriesView, DeliverySelection, ReceiverView, ReceiversView, TestView},
    },
    desired::{SettingsListView, SettingsRequest, SettingsView},
    events::{
        AlarmDetailView, AlarmLogPage, AlarmSelection, AlarmsView, ChangedPage, Cursor, HistorySelection,
        HistoryView, LogSelection, StandingPage, Streamed,
    },
    operations::{AlarmRequest, OperationsView, RetireRequest, RetireView},
    quarantine::{QuarantineSelection, QuarantineView, QuarantinedDetailView},
    query::{
        AlarmReportRequest, AlarmReportView, CertificateRequest, QueryError, ReadingsRequest, Selection,
        SummariesRequest,
    },
    rules::{RuleView, RulesChangeView, RulesLogView, RulesRequest, RulesView},
    verdicts::{VerdictSelection, VerdictsView},
    view::{
        AuditView, ChannelsView, DevicesView, Figures, GatewaysView, HealthView, LatestView, ReadingsView,
        SummariesView,
    },
};

/// Calls may block; `Api::ask` takes them off the async threads.
pub trait Source: Send + Sync + 'static {
    fn devices(&self) -> Result<DevicesView, QueryError>;
    fn channels(&self) -> Result<ChannelsView, QueryError>;
    fn latest(&self, selection: &Selection) -> Result<LatestView, QueryError>;
    fn readings(&self, request: &ReadingsRequest) -> Result<ReadingsView, QueryError>;
    fn audit(&self, selection: &Selection, each: bool) -> Result<AuditView, QueryError>;
    fn certificate(&self, request: &CertificateRequest) -> Result<Certificate, QueryError>;
    /// A page of what is in quarantine.
    fn quarantine(&self, selection: &QuarantineSelection) -> Result<QuarantineView, QueryError>;
    /// One block in it, with its readings.
    fn quarantined(&self, number: u64) -> Result<QuarantinedDetailView, QueryError>;
    fn operations(&self) -> Result<OperationsView, QueryError>;
    /// Changes something only where the request is confirmed.
    fn retire(&self, request: &RetireRequest) -> Result<RetireView, QueryError>;
    fn settings(&self, selection: &Selection) -> Result<SettingsListView, QueryError>;
    fn settings_of(&self, key: ChannelKey) -> Result<SettingsView, QueryError>;
    /// Changes what is wanted of a channel.
    fn want_settings(&self, request: &SettingsRequest) -> Result<SettingsView, QueryError>;
    fn summaries(&self, request: &SummariesRequest) -> Result<SummariesView, QueryError>;
    fn gateways(&self) -> Result<GatewaysView, QueryError>;
    /// What gateways say is active, beside this ingest's verdict.
    fn verdicts(&self, selection: &VerdictSelection) -> VerdictsView;
    fn health(&self) -> HealthView;
    fn figures(&self) -> Figures;
    /// When the certificate ends that the broker is shown, in Unix seconds; none without one.
    fn certificate_expiry(&self) -> Option<i64> {
        None
    }
    fn alarms(&self, selection: &AlarmSelection) -> Result<AlarmsView, QueryError>;
    fn alarm(&self, key: &AlarmKey) -> Result<AlarmDetailView, QueryError>;
    fn alarm_history(&self, selection: &HistorySelection) -> Result<HistoryView, QueryError>;
    fn alarm_report(&self, request: &AlarmReportRequest) -> Result<AlarmReportView, QueryError>;
    fn alarm_log(&self, selection: &LogSelection) -> Result<AlarmLogPage, QueryError>;
    /// Does something with an alarm; answers once it is committed.
    fn act_on_alarm(&self, request: &AlarmRequest) -> Result<AlarmEvent, QueryError>;
    /// All rules, retired ones too.
    fn rules(&self) -> Result<RulesView, QueryError>;
    /// One of them, and the edition of all.
    fn rule(&self, id: &str) -> Result<(RuleView, u64), QueryError>;
    fn rules_log(&self, limit: usize) -> Result<RulesLogView, QueryError>;
    /// Changes the rules, unless it is only asked what that would change; answers once it is committed.
    fn put_rules(&self, request: &RulesRequest) -> Result<RulesChangeView, QueryError>;
    /// At most `limit` committed events after the cursor, in its order; fewer only at the end.
    fn events_after(&self, cursor: Cursor, limit: usize) -> Result<Vec<(Cursor, AlarmEvent)>, QueryError>;
    /// Of at most `limit` alarms behind this one, by name, those that are not normal.
    fn standing_alarms(&self, after: Option<&AlarmKey>, limit: usize) -> Result<StandingPage, QueryError>;
    /// The alarms that at most `limit` events behind the cursor changed, as they are now.
    fn changed_alarms(&self, since: Cursor, limit: usize) -> Result<ChangedPage, QueryError>;
    /// The newest committed event's cursor; 0 before the first.
    fn newest_cursor(&self) -> Result<Cursor, QueryError>;
    /// Receivers, and what waits for them.
    fn delivery(&self) -> &dyn DeliverySource;
    /// Events from now on. A committed event is sent after it can be read by [`Source::events_after`].
    fn subscribe(&self) -> broadcast::Receiver<Streamed>;
}

/// What the API asks of those who deliver. Calls may block.
pub trait DeliverySource {
    fn receivers(&self) -> Result<ReceiversView, DeskError>;
    fn deliveries(&self, selection: &DeliverySelection) -> Result<DeliveriesView, DeskError>;
    fn replay(&self, receiver: &str, cursor: Cursor) -> Result<(), DeskError>;
    fn enable(&self, receiver: &str) -> Result<(), DeskError>;
    fn test(&self, receiver: &str) -> Result<TestView, DeskError>;

    fn receiver(&self, id: &str) -> Result<ReceiverView, DeskError> {
        let found = self.receivers()?.receivers.into_iter().find(|known| known.id == id);
        found.ok_or_else(|| DeskError::UnknownReceiver(id.to_owned()))
    }
}
