//! Questions as the API asks them.

use tidegate_alarms::AlarmEvent;
use tokio::sync::broadcast;

use super::{
    AlarmReportRequest, AlarmReportView, CertificateRequest, Query, QueryError, ReadingsRequest, Selection,
    SummariesRequest,
};
use crate::{
    api,
    certificate::Certificate,
    core::{desired::ChannelKey, lifecycle::AlarmKey},
    desired::{SettingsListView, SettingsRequest, SettingsView},
    events::{
        AlarmDetailView, AlarmLogPage, AlarmSelection, AlarmsView, ChangedPage, Cursor, HistorySelection,
        HistoryView, LogSelection, StandingPage, Streamed,
    },
    operations::{AlarmRequest, OperationsView, RetireRequest, RetireView},
    quarantine::{QuarantineSelection, QuarantineView, QuarantinedDetailView},
    rules::{RuleView, RulesChangeView, RulesLogView, RulesRequest, RulesView},
    verdicts::{VerdictSelection, VerdictsView},
    view::{
        AuditView, ChannelsView, DevicesView, Figures, GatewaysView, HealthView, LatestView, ReadingsView,
        SummariesView,
    },
};

impl api::Source for Query {
    fn devices(&self) -> Result<DevicesView, QueryError> {
        Query::devices(self)
    }
    fn channels(&self) -> Result<ChannelsView, QueryError> {
        Query::channels(self)
    }
    fn latest(&self, selection: &Selection) -> Result<LatestView, QueryError> {
        Query::latest(self, selection)
    }
    fn readings(&self, request: &ReadingsRequest) -> Result<ReadingsView, QueryError> {
        Query::readings(self, request)
    }
    fn audit(&self, selection: &Selection, each: bool) -> Result<AuditView, QueryError> {
        Query::audit(self, selection, each)
    }
    fn certificate(&self, request: &CertificateRequest) -> Result<Certificate, QueryError> {
        Query::certificate(self, request)
    }
    fn quarantine(&self, selection: &QuarantineSelection) -> Result<QuarantineView, QueryError> {
        super::quarantine::list(&self.store.look()?, selection)
    }
    fn quarantined(&self, number: u64) -> Result<QuarantinedDetailView, QueryError> {
        super::quarantine::one(&self.store.look()?, number)
    }
    fn operations(&self) -> Result<OperationsView, QueryError> {
        Query::operations(self)
    }
    fn retire(&self, request: &RetireRequest) -> Result<RetireView, QueryError> {
        Query::retire(self, request)
    }
    fn settings(&self, selection: &Selection) -> Result<SettingsListView, QueryError> {
        Query::settings(self, selection)
    }
    fn settings_of(&self, key: ChannelKey) -> Result<SettingsView, QueryError> {
        Query::settings_of(self, key)
    }
    fn want_settings(&self, request: &SettingsRequest) -> Result<SettingsView, QueryError> {
        Query::want_settings(self, request)
    }
    fn summaries(&self, request: &SummariesRequest) -> Result<SummariesView, QueryError> {
        Query::summaries(self, request)
    }
    fn gateways(&self) -> Result<GatewaysView, QueryError> {
        Query::gateways(self)
    }
    fn verdicts(&self, selection: &VerdictSelection) -> VerdictsView {
        Query::verdicts(self, selection)
    }
    fn health(&self) -> HealthView {
        Query::health(self)
    }
    fn certificate_expiry(&self) -> Option<i64> {
        self.certificate_expiry()
    }

    fn figures(&self) -> Figures {
        Query::figures(self)
    }
    fn alarms(&self, selection: &AlarmSelection) -> Result<AlarmsView, QueryError> {
        Query::alarms(self, selection)
    }
    fn alarm(&self, key: &AlarmKey) -> Result<AlarmDetailView, QueryError> {
        Query::alarm(self, key)
    }
    fn alarm_report(&self, request: &AlarmReportRequest) -> Result<AlarmReportView, QueryError> {
        Query::alarm_report(self, request)
    }
    fn alarm_log(&self, selection: &LogSelection) -> Result<AlarmLogPage, QueryError> {
        Query::alarm_log(self, selection)
    }
    fn act_on_alarm(&self, request: &AlarmRequest) -> Result<AlarmEvent, QueryError> {
        Query::act_on_alarm(self, request)
    }
    fn alarm_history(&self, selection: &HistorySelection) -> Result<HistoryView, QueryError> {
        Query::alarm_history(self, selection)
    }
    fn rules(&self) -> Result<RulesView, QueryError> {
        Query::rules(self)
    }
    fn rule(&self, id: &str) -> Result<(RuleView, u64), QueryError> {
        Query::rule(self, id)
    }
    fn rules_log(&self, limit: usize) -> Result<RulesLogView, QueryError> {
        Query::rules_log(self, limit)
    }
    fn put_rules(&self, request: &RulesRequest) -> Result<RulesChangeView, QueryError> {
        Query::put_rules(self, request)
    }
    fn events_after(&self, cursor: Cursor, limit: usize) -> Result<Vec<(Cursor, AlarmEvent)>, QueryError> {
        Query::events_after(self, cursor, limit)
    }
    fn standing_alarms(&self, after: Option<&AlarmKey>, limit: usize) -> Result<StandingPage, QueryError> {
        Query::standing_alarms(self, after, limit)
    }
    fn changed_alarms(&self, since: Cursor, limit: usize) -> Result<ChangedPage, QueryError> {
        Query::changed_alarms(self, since, limit)
    }
    fn newest_cursor(&self) -> Result<Cursor, QueryError> {
        Query::newest_cursor(self)
    }
    fn subscribe(&self) -> broadcast::Receiver<Streamed> {
        Query::subscribe(self)
    }
    fn delivery(&self) -> &dyn api::DeliverySource {
        self.desk.as_ref()
    }
}
