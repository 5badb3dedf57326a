//! A source of made-up data behind the API: what it shows is set by hand, and events are "committed" by a call.

use std::sync::{Mutex, mpsc::Receiver};

use tidegate_alarms::{
    AlarmEvent, AlarmState, Lifecycle, ReadingAt, RuleBook, RuleSet, RulesSettings, State,
    event::{Place, Standing, WallTime},
    report::Reporter,
};
use tidegate_ingest::{
    api::{DeliverySource, Source},
    certificate::Certificate,
    core::{
        desired::{ChannelKey, SettingsRecord},
        lifecycle::AlarmKey,
    },
    delivery::{
        desk::DeskError,
        view::{DeliveriesView, DeliverySelection, ReceiversView, TestView},
    },
    desired::{SettingsListView, SettingsRequest, SettingsView},
    events::{
        AlarmDetailView, AlarmLogPage, AlarmSelection, AlarmView, AlarmsView, ChangedPage, Cursor,
        EventSender, HistorySelection, HistoryView, LogSelection, StandingPage, Streamed,
    },
    operations::{AlarmRequest, OperationsView, RetireRequest, RetireView},
    quarantine::{QuarantineSelection, QuarantineView, QuarantinedDetailView, QuarantinedView},
    query::{
        AlarmReportRequest, AlarmReportView, AlarmsNowView, CertificateRequest, QueryError, ReadingsRequest,
        Selection, SummariesRequest,
    },
    rules::{RuleView, RulesChangeView, RulesLogView, RulesRequest, RulesView},
    verdicts::{VerdictSelection, VerdictView, VerdictsView},
    view::{
        AuditView, ChannelsView, DevicesView, Figures, GatewaysView, HealthView, LatestView, ReadingsView,
        SummariesView,
    },
};
use tidegate_protocol::{BootId, ChannelName, DeviceId, GatewayId, Quality, Seq, SiteId, Tick, Value};
use tokio::sync::{broadcast, mpsc::UnboundedSender};

/// What the API shows.
#[derive(Default)]
pub struct World {
    pub devices: DevicesView,
    pub channels: ChannelsView,
    pub latest: LatestView,
    pub readings: ReadingsView,
    pub audit: AuditView,
    pub gateways: GatewaysView,
    pub quarantine: QuarantineView,
    pub verdicts: Vec<VerdictView>,
    pub figures: Figures,
    pub alarms: AlarmsView,
    pub history: HistoryView,
    /// The cursor is the place, from 1.
    pub events: Vec<AlarmEvent>,
    /// So many of the oldest events are not kept any more.
    pub events_gone: usize,
    pub operations: OperationsView,
    pub receivers: ReceiversView,
    pub deliveries: DeliveriesView,
    /// Answered to readings, or to settings that are wanted, instead, once.
    pub refusal: Option<QueryError>,
    /// Announced and committed when events, or what they changed, are next read, before the answer.
    pub meanwhile: Vec<AlarmEvent>,
    /// The next thing that is done with an alarm says that it has begun, and waits until it is let go.
    pub gate: Option<(UnboundedSender<()>, Receiver<()>)>,
    /// How often something was done with an alarm.
    pub acts: u32,
    /// What was asked last.
    pub asked: String,
}

pub struct MadeUp {
    pub world: Mutex<World>,
    pub live: EventSender,
}

/// A block that came with another content than what is stored.
fn quarantined(number: u64) -> QuarantinedView {
    let gateway = GatewayId::new("gw-a").unwrap();
    QuarantinedView {
        number,
        content: "0".repeat(64),
        site: SiteId::new("plant").unwrap(),
        gateway,
        arrival_unix_ms: 0,
        times: 1,
        last_gateway: gateway,
        last_unix_ms: 0,
        reason: "boot-conflict",
        because: String::new(),
        bytes: 0,
        stamp: None,
        readings: None,
        holds: Vec::new(),
    }
}

impl MadeUp {
    /// `events_waiting`: how far a watcher may fall behind.
    pub fn new(events_waiting: usize) -> Self {
        let quarantine = QuarantineView { blocks: vec![quarantined(7)], ..QuarantineView::default() };
        let world = Mutex::new(World { quarantine, ..World::default() });
        Self { world, live: broadcast::Sender::new(events_waiting) }
    }

    pub fn commit(&self, event: AlarmEvent) -> Cursor {
        // Locked until it is sent, so that events are sent in the order of their cursors.
        let mut world = self.world.lock().unwrap();
        world.events.push(event.clone());
        let cursor = world.events.len() as Cursor;
        // Nobody may be watching.
        let _ = self.live.send(Streamed::Committed(cursor, event.into()));
        cursor
    }

    pub fn announce(&self, event: AlarmEvent) {
        let _ = self.live.send(Streamed::Provisional(event.into()));
    }

    fn meanwhile(&self) {
        let meanwhile = std::mem::take(&mut self.world.lock().unwrap().meanwhile);
        for event in meanwhile {
            self.announce(AlarmEvent { provisional: true, ..event.clone() });
            self.commit(event);
        }
    }

    fn see<T: Clone>(&self, asked: String, part: impl Fn(&World) -> &T) -> Result<T, QueryError> {
        let mut world = self.world.lock().unwrap();
        world.asked = asked;
        Ok(part(&world).clone())
    }
}

impl Source for MadeUp {
    fn devices(&self) -> Result<DevicesView, QueryError> {
        self.see("devices".into(), |world| &world.devices)
    }

    fn channels(&self) -> Result<ChannelsView, QueryError> {
        self.see("channels".into(), |world| &world.channels)
    }

    fn latest(&self, selection: &Selection) -> Result<LatestView, QueryError> {
        self.see(format!("{selection:?}"), |world| &world.latest)
    }

    fn readings(&self, request: &ReadingsRequest) -> Result<ReadingsView, QueryError> {
        let refusal = self.world.lock().unwrap().refusal.take();
        refusal.map_or(Ok(()), Err)?;
        self.see(format!("{request:?}"), |world| &world.readings)
    }

    fn audit(&self, selection: &Selection, each: bool) -> Result<AuditView, QueryError> {
        self.see(format!("{selection:?}, each sealed one: {each}"), |world| &world.audit)
    }

    fn certificate(&self, request: &CertificateRequest) -> Result<Certificate, QueryError> {
        self.world.lock().unwrap().asked = format!("{request:?}");
        let certificate = serde_json::json!({
            "statement": {
                "format": "tidegate-completeness/1", "issued": "2026-11-22T20:00:00Z", "issuer": "made up",
                "journal_position": 0, "ledger": 0, "site": "plant", "device": "a", "boots": [], "sealed": [],
                "totals": { "readings": 0, "stored": 0, "lost": 0, "outstanding": 0, "conflicts": 0 },
            },
            "signature": { "algorithm": "Ed25519", "key_id": "", "value": "" },
        });
        Ok(serde_json::from_value(certificate).unwrap())
    }

    fn operations(&self) -> Result<OperationsView, QueryError> {
        self.see("operations".into(), |world| &world.operations)
    }

    fn retire(&self, request: &RetireRequest) -> Result<RetireView, QueryError> {
        self.world.lock().unwrap().asked = format!("{request:?}");
        Ok(RetireView {
            site: request.site,
            device: request.device,
            dry_run: !request.confirmed,
            written_off: 0,
            boots: Vec::new(),
            last_heard_unix_ms: Some(1),
        })
    }

    fn settings(&self, selection: &Selection) -> Result<SettingsListView, QueryError> {
        self.world.lock().unwrap().asked = format!("{selection:?}");
        Ok(SettingsListView::default())
    }

    fn settings_of(&self, key: ChannelKey) -> Result<SettingsView, QueryError> {
        Ok(SettingsView::new(key, None, &SettingsRecord { revision: 3, ..SettingsRecord::default() }))
    }

    fn want_settings(&self, request: &SettingsRequest) -> Result<SettingsView, QueryError> {
        let refusal = self.world.lock().unwrap().refusal.take();
        refusal.map_or(Ok(()), Err)?;
        self.world.lock().unwrap().asked = format!("{request:?}");
        let record = SettingsRecord { revision: 4, ..SettingsRecord::default() };
        Ok(SettingsView::new(request.key, None, &record))
    }

    fn summaries(&self, request: &SummariesRequest) -> Result<SummariesView, QueryError> {
        self.world.lock().unwrap().asked = format!("{request:?}");
        Ok(SummariesView::default())
    }

    fn quarantine(&self, selection: &QuarantineSelection) -> Result<QuarantineView, QueryError> {
        self.see(format!("{selection:?}"), |world| &world.quarantine)
    }

    fn quarantined(&self, number: u64) -> Result<QuarantinedDetailView, QueryError> {
        let mut world = self.world.lock().unwrap();
        world.asked = format!("block {number}");
        let found = world.quarantine.blocks.iter().find(|block| block.number == number).cloned();
        let block = found.ok_or(QueryError::NotInQuarantine(number))?;
        Ok(QuarantinedDetailView { block, content: Vec::new() })
    }

    fn gateways(&self) -> Result<GatewaysView, QueryError> {
        self.see("gateways".into(), |world| &world.gateways)
    }

    fn verdicts(&self, selection: &VerdictSelection) -> VerdictsView {
        let mut world = self.world.lock().unwrap();
        world.asked = format!("{selection:?}");
        VerdictsView { verdicts: world.verdicts.clone() }
    }

    fn health(&self) -> HealthView {
        HealthView {
            status: "ok",
            version: "0.1.0",
            broker_connected: true,
            position: self.world.lock().unwrap().audit.position,
            problems: Vec::new(),
        }
    }

    fn figures(&self) -> Figures {
        self.world.lock().unwrap().figures
    }

    fn alarms(&self, selection: &AlarmSelection) -> Result<AlarmsView, QueryError> {
        self.see(format!("{selection:?}"), |world| &world.alarms)
    }

    fn alarm(&self, key: &AlarmKey) -> Result<AlarmDetailView, QueryError> {
        self.world.lock().unwrap().asked = format!("{key:?}");
        let raised = raise(1);
        let (site, device, channel, rule) = (key.site, key.device, key.channel, key.rule.clone());
        let raised = AlarmEvent { site, device, channel, rule, ..raised };
        let alarm = alarm(raised.clone());
        let (verdicts, log, occurrences) =
            (self.world.lock().unwrap().verdicts.clone(), Vec::new(), Vec::new());
        Ok(AlarmDetailView { newest: raised.id, alarm, verdicts, log, occurrences })
    }

    fn alarm_report(&self, request: &AlarmReportRequest) -> Result<AlarmReportView, QueryError> {
        // The time of now is not to be known.
        let AlarmReportRequest { names, from_unix_ms, to_unix_ms, now_unix_ms: _ } = request;
        self.world.lock().unwrap().asked = format!("{names:?}, {from_unix_ms} to {to_unix_ms}");
        let mut reporter = Reporter::new(request.from_unix_ms, request.to_unix_ms);
        self.world.lock().unwrap().events.iter().for_each(|event| reporter.take(event));
        let now = AlarmsNowView::nothing(request.now_unix_ms);
        Ok(AlarmReportView { report: reporter.finish(), now })
    }

    fn alarm_log(&self, selection: &LogSelection) -> Result<AlarmLogPage, QueryError> {
        self.world.lock().unwrap().asked = format!("{selection:?}");
        Ok(AlarmLogPage::default())
    }

    fn act_on_alarm(&self, request: &AlarmRequest) -> Result<AlarmEvent, QueryError> {
        let gate = self.world.lock().unwrap().gate.take();
        if let Some((entered, released)) = gate {
            entered.send(()).unwrap();
            released.recv().unwrap();
        }
        let mut world = self.world.lock().unwrap();
        world.acts += 1;
        let refusal = world.refusal.take();
        refusal.map_or(Ok(()), Err)?;
        world.asked = format!("{request:?}");
        Ok(raise(u64::from(world.acts)))
    }

    fn alarm_history(&self, selection: &HistorySelection) -> Result<HistoryView, QueryError> {
        self.see(format!("{selection:?}"), |world| &world.history)
    }

    fn rules(&self) -> Result<RulesView, QueryError> {
        let book = RuleBook::from(rules());
        let rules = book.rules().filter_map(|rule| RuleView::new(rule, 0)).collect();
        Ok(RulesView { edition: 5, owner: "api", rules })
    }

    fn rule(&self, id: &str) -> Result<(RuleView, u64), QueryError> {
        let RulesView { edition, rules, .. } = Source::rules(self)?;
        let found = rules.into_iter().find(|rule| rule.id.as_str() == id);
        Ok((found.ok_or(QueryError::UnknownRule)?, edition))
    }

    fn rules_log(&self, limit: usize) -> Result<RulesLogView, QueryError> {
        self.world.lock().unwrap().asked = format!("the last {limit} lines of the log of rules");
        Ok(RulesLogView::default())
    }

    fn put_rules(&self, request: &RulesRequest) -> Result<RulesChangeView, QueryError> {
        let mut world = self.world.lock().unwrap();
        let refusal = world.refusal.take();
        refusal.map_or(Ok(()), Err)?;
        world.asked = format!("{request:?}");
        Ok(RulesChangeView { dry_run: request.dry_run, edition: 6, ..RulesChangeView::default() })
    }

    fn events_after(&self, cursor: Cursor, limit: usize) -> Result<Vec<(Cursor, AlarmEvent)>, QueryError> {
        self.meanwhile();
        let world = self.world.lock().unwrap();
        let all = world.events.iter().zip(1..).map(|(event, cursor)| (cursor, event.clone()));
        Ok(all.skip(world.events_gone.max(cursor as usize)).take(limit).collect())
    }

    fn standing_alarms(&self, after: Option<&AlarmKey>, limit: usize) -> Result<StandingPage, QueryError> {
        let world = self.world.lock().unwrap();
        let all = &world.alarms.alarms;
        let begin = after.map_or(0, |after| all.iter().position(|alarm| key(alarm) == *after).unwrap() + 1);
        let alarms: Vec<AlarmView> = all.iter().skip(begin).take(limit).cloned().collect();
        let next = alarms.last().filter(|_| begin + alarms.len() < all.len()).map(key);
        Ok(StandingPage { alarms, next, cursor: world.events.len() as Cursor })
    }

    fn changed_alarms(&self, since: Cursor, limit: usize) -> Result<ChangedPage, QueryError> {
        self.meanwhile();
        let world = self.world.lock().unwrap();
        let events: Vec<&AlarmEvent> = world.events.iter().skip(since as usize).take(limit).collect();
        let changed = |alarm: &&AlarmView| events.iter().any(|event| event.device == alarm.device);
        Ok(ChangedPage {
            alarms: world.alarms.alarms.iter().filter(changed).cloned().collect(),
            events: events.iter().map(|event| event.id).collect(),
            cursor: since + events.len() as Cursor,
            is_complete: events.len() < limit,
        })
    }

    fn newest_cursor(&self) -> Result<Cursor, QueryError> {
        Ok(self.world.lock().unwrap().events.len() as Cursor)
    }

    fn subscribe(&self) -> broadcast::Receiver<Streamed> {
        self.live.subscribe()
    }

    fn delivery(&self) -> &dyn DeliverySource {
        self
    }
}

/// One of which nothing was told but that it was raised.
pub fn alarm(raised: AlarmEvent) -> AlarmView {
    AlarmView {
        occurrence: Some(raised.id),
        kind: raised.kind,
        site: raised.site,
        device: raised.device,
        channel: raised.channel,
        rule: raised.rule.clone(),
        priority: raised.priority,
        state: AlarmState::Unacknowledged,
        lifecycle: Lifecycle::default(),
        raised: Some(raised),
        cleared: None,
        done: None,
    }
}

fn key(alarm: &AlarmView) -> AlarmKey {
    let AlarmView { site, device, channel, rule, .. } = alarm.clone();
    AlarmKey { site, device, channel, rule }
}

impl DeliverySource for MadeUp {
    fn receivers(&self) -> Result<ReceiversView, DeskError> {
        Ok(self.world.lock().unwrap().receivers.clone())
    }

    fn deliveries(&self, selection: &DeliverySelection) -> Result<DeliveriesView, DeskError> {
        let mut world = self.world.lock().unwrap();
        world.asked = format!("{selection:?}");
        Ok(world.deliveries.clone())
    }

    fn replay(&self, receiver: &str, cursor: Cursor) -> Result<(), DeskError> {
        self.world.lock().unwrap().asked = format!("replay {receiver} {cursor}");
        if cursor == 0 { Err(DeskError::UnknownEvent(cursor)) } else { Ok(()) }
    }

    fn enable(&self, receiver: &str) -> Result<(), DeskError> {
        self.world.lock().unwrap().asked = format!("enable {receiver}");
        Ok(())
    }

    fn test(&self, receiver: &str) -> Result<TestView, DeskError> {
        self.world.lock().unwrap().asked = format!("test {receiver}");
        Ok(TestView { receiver: receiver.to_owned(), delivered: false, error: Some("it is away".to_owned()) })
    }
}

/// One rule.
fn rules() -> RuleSet {
    let text: RulesSettings = serde_json::from_str(r#"{"rule":[{"id":"hot","above":60}]}"#).unwrap();
    RuleSet::from_settings(text).unwrap()
}

/// The raise that a reading with this seq triggers.
pub fn raise(seq: u64) -> AlarmEvent {
    let text: RulesSettings = serde_json::from_str(r#"{"rule":[{"id":"hot","above":1.0}]}"#).unwrap();
    let rules = RuleSet::from_settings(text).unwrap();
    let place = Place {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new("board-1").unwrap(),
        channel: ChannelName::new("temperature").unwrap(),
        unit: "Cel",
    };
    let reading = ReadingAt {
        boot: BootId(7),
        seq: Seq(seq),
        tick: Tick(seq * 10),
        value: Value::F64(2.0),
        quality: Quality::Good,
    };
    let rule = &rules.rules()[0];
    let transition = rule.step(&mut State::default(), &reading).unwrap();
    AlarmEvent::new(rule, place, &transition, Standing::default(), |_| WallTime::UNKNOWN)
}
