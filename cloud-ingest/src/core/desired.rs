//! What is wanted of channels, and what gateways reported of it.
//!
//! An order gives a channel's settings a new revision. Once that is committed, every gateway of the site that is there is
//! told, each time it is born, and after a start of this ingest or a failed commit. A gateway answers each message; it is asked again,
//! at growing intervals, until it has every revision and every channel has a board's answer: a message that is lost costs time only.
//! An answer counts for its own revision: one of an earlier revision changes nothing. One of a later revision was given under a
//! number that a restore from a backup forgot, so the numbers go on above it. Answers are committed like all else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_protocol::{
    ChannelName, DeviceId, GatewayId, SiteId,
    settings::{
        ChannelSettings, DesiredChannel, DesiredSettings, MAX_SETTINGS, ReportedChannel, ReportedSettings,
        SettingsOutcome,
    },
    topic::GatewayPath,
};

use super::{Core, Effect, Mode};

/// How long after a message a gateway is told again; doubled each time, up to the longest.
const FIRST_ASK_MS: u64 = 1_000;
const LONGEST_ASK_MS: u64 = 300_000;

/// A channel as the cloud names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey {
    pub site: SiteId,
    pub device: DeviceId,
    pub channel: ChannelName,
}

/// What is wanted of a channel, and the last answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsRecord {
    /// 0: nothing was ever wanted.
    pub revision: u32,
    pub desired: Option<ChannelSettings>,
    pub set_unix_ms: i64,
    /// Of the highest revision that was answered.
    pub answer: Option<SettingsAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsAnswer {
    pub revision: u32,
    pub outcome: SettingsOutcome,
    /// Who reported it.
    pub gateway: GatewayId,
    pub unix_ms: i64,
}

impl SettingsRecord {
    /// The answer to what is wanted now.
    pub fn present_answer(&self) -> Option<&SettingsAnswer> {
        self.answer.as_ref().filter(|answer| answer.revision == self.revision)
    }

    fn is_pending(&self) -> bool {
        self.desired.is_some() && self.present_answer().is_none()
    }
}

/// What somebody wants of a channel from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsOrder {
    pub key: ChannelKey,
    /// None: nothing any more.
    pub settings: Option<ChannelSettings>,
    /// Only if the present revision is one of these.
    pub expected: Option<Vec<u32>>,
    pub unix_ms: i64,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsDone {
    /// It is committed, or what it wants was wanted already.
    Wanted(SettingsRecord),
    /// Somebody was faster: this is the present revision.
    Elsewhere { revision: u32 },
    /// There is no revision above the present one.
    Exhausted,
    /// The store did not take it, and nothing was changed.
    NotCommitted,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    barrier: u64,
    done: SettingsRecord,
}

/// What a gateway has, as far as it said since it was born, and when it is told next.
#[derive(Debug, Default)]
struct Asking {
    held: BTreeMap<(DeviceId, ChannelName), u32>,
    due_ms: Option<u64>,
    pause_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Desired {
    sites: BTreeMap<SiteId, BTreeMap<(DeviceId, ChannelName), SettingsRecord>>,
    /// Revisions that no gateway may hear of before these batches are committed.
    uncommitted: BTreeMap<ChannelKey, u64>,
    gateways: BTreeMap<GatewayPath, Asking>,
    /// The soonest of theirs.
    next_due_ms: Option<u64>,
    waiting: Vec<Waiting>,
}

impl Desired {
    fn get(&self, key: ChannelKey) -> Option<&SettingsRecord> {
        self.sites.get(&key.site)?.get(&(key.device, key.channel))
    }

    fn put(&mut self, key: ChannelKey, record: SettingsRecord) {
        self.sites.entry(key.site).or_default().insert((key.device, key.channel), record);
    }

    /// What the gateway does not have, or what is to be asked for since no board answered.
    fn open_for(&self, path: GatewayPath, asking: &Asking) -> Vec<DesiredChannel> {
        let of_site = self.sites.get(&path.site).into_iter().flatten();
        let open = of_site.filter(|((device, channel), record)| {
            let key = ChannelKey { site: path.site, device: *device, channel: *channel };
            let held = asking.held.get(&(*device, *channel)).copied().unwrap_or(0);
            !self.uncommitted.contains_key(&key) && (held < record.revision || record.is_pending())
        });
        let open = open.map(|(&(device, channel), record)| {
            let SettingsRecord { revision, desired: settings, .. } = *record;
            DesiredChannel { device, channel, revision, settings }
        });
        open.collect()
    }

    /// When a gateway is to be told again.
    pub const fn next_wakeup(&self) -> Option<u64> {
        self.next_due_ms
    }

    /// A gateway is to be told at once, and soon again.
    fn is_due(&mut self, path: GatewayPath, now_ms: u64) -> &mut Asking {
        self.next_due_ms = Some(self.next_due_ms.map_or(now_ms, |due| due.min(now_ms)));
        let asking = self.gateways.entry(path).or_default();
        asking.due_ms = Some(now_ms);
        asking.pause_ms = FIRST_ASK_MS;
        asking
    }
}

impl Core {
    pub(super) fn adopt_settings(&mut self, settings: Vec<(ChannelKey, SettingsRecord)>) {
        // Whose answers wait was told that nothing was done.
        self.desired = Desired::default();
        for (key, record) in settings {
            self.desired.put(key, record);
        }
    }

    pub(super) fn want_settings(&mut self, now_ms: u64, ticket: u64, order: SettingsOrder) {
        let mut answer = |done| self.effects.push_back(Effect::SettingsDone { ticket, done });
        if self.mode != Mode::Taking {
            return answer(SettingsDone::NotCommitted);
        }
        let SettingsOrder { key, settings, expected, unix_ms } = order;
        let mut record = self.desired.get(key).cloned().unwrap_or_default();
        if expected.is_some_and(|expected| !expected.contains(&record.revision)) {
            return answer(SettingsDone::Elsewhere { revision: record.revision });
        }
        if record.desired != settings {
            let Some(revision) = record.revision.checked_add(1) else {
                return answer(SettingsDone::Exhausted);
            };
            record = SettingsRecord { revision, desired: settings, set_unix_ms: unix_ms, ..record };
            self.put_settings(now_ms, key, record.clone());
        }
        self.desired.waiting.push(Waiting { ticket, barrier: self.barrier(), done: record });
        self.answer_settings_orders();
    }

    /// A new revision: gateways hear of it once it is committed.
    fn put_settings(&mut self, now_ms: u64, key: ChannelKey, record: SettingsRecord) {
        self.desired.uncommitted.insert(key, self.building.number);
        self.write_settings(now_ms, key, record);
    }

    fn write_settings(&mut self, now_ms: u64, key: ChannelKey, record: SettingsRecord) {
        self.building.settings.push((key, record.clone()));
        self.desired.put(key, record);
        self.touch_batch(now_ms);
    }

    /// Answers the orders whose batches are committed.
    pub(super) fn answer_settings_orders(&mut self) {
        let open = self.in_flight.unwrap_or(self.building.number);
        for waiting in self.desired.waiting.extract_if(.., |waiting| waiting.barrier < open) {
            let done = SettingsDone::Wanted(waiting.done);
            self.effects.push_back(Effect::SettingsDone { ticket: waiting.ticket, done });
        }
    }

    /// What waits after a failed commit was not done.
    pub(super) fn refuse_settings_orders(&mut self) {
        for Waiting { ticket, .. } in self.desired.waiting.drain(..) {
            self.effects.push_back(Effect::SettingsDone { ticket, done: SettingsDone::NotCommitted });
        }
    }

    pub(super) fn settings_reported(
        &mut self,
        now_ms: u64,
        from: GatewayPath,
        reported: &ReportedSettings,
        unix_ms: i64,
    ) {
        // What is not taken now is asked for again.
        if self.mode != Mode::Taking {
            return;
        }
        for report in &reported.channels {
            self.channel_reported(now_ms, from, report, unix_ms);
        }
    }

    fn channel_reported(&mut self, now_ms: u64, from: GatewayPath, report: &ReportedChannel, unix_ms: i64) {
        let ReportedChannel { device, channel, revision, outcome } = *report;
        let key = ChannelKey { site: from.site, device, channel };
        let known = self.desired.get(key).cloned();
        if known.is_none() && !self.is_channel(key) {
            return;
        }
        let mut record = known.unwrap_or_default();
        let held = self.desired.gateways.entry(from).or_default().held.entry((device, channel)).or_default();
        *held = revision.max(*held);
        if revision > record.revision {
            if let Some(revision) = revision.checked_add(1) {
                self.put_settings(now_ms, key, SettingsRecord { revision, ..record });
            }
            return;
        }
        let is_news = record
            .present_answer()
            .is_none_or(|answer| (answer.outcome, answer.gateway) != (outcome, from.gateway));
        if revision == record.revision && record.desired.is_some() && outcome.is_answer() && is_news {
            record.answer = Some(SettingsAnswer { revision, outcome, gateway: from.gateway, unix_ms });
            self.write_settings(now_ms, key, record);
        }
    }

    /// Some boot of the device has, or had, a channel of that name.
    fn is_channel(&self, key: ChannelKey) -> bool {
        let mut of_device = self
            .origins
            .iter()
            .filter(|(_, state)| state.record.site == key.site && state.record.origin.device == key.device);
        of_device.any(|(_, state)| state.channels().any(|name| name == key.channel))
    }

    /// It has nothing, as far as is known.
    pub(super) fn ask_gateway(&mut self, now_ms: u64, path: GatewayPath) {
        self.desired.is_due(path, now_ms).held.clear();
    }

    pub(super) fn ask_everyone(&mut self, now_ms: u64) {
        for path in self.gateways.keys().copied().collect::<Vec<_>>() {
            self.ask_gateway(now_ms, path);
        }
    }

    /// Tells gateways what is new and committed, and asks again where it is time.
    pub(super) fn tell_gateways(&mut self, now_ms: u64) {
        self.release_settings(now_ms);
        if self.mode != Mode::Taking || self.desired.next_due_ms.is_none_or(|due| due > now_ms) {
            return;
        }
        let mut gateways = std::mem::take(&mut self.desired.gateways);
        let is_due = |asking: &Asking| asking.due_ms.is_some_and(|due| due <= now_ms);
        for (path, asking) in gateways.iter_mut().filter(|(_, asking)| is_due(asking)) {
            let is_there = self.gateways.get(path).is_some_and(|gateway| gateway.heard);
            let open = if is_there { self.desired.open_for(*path, asking) } else { Vec::new() };
            asking.due_ms = (!open.is_empty()).then_some(now_ms.saturating_add(asking.pause_ms));
            asking.pause_ms = asking.pause_ms.saturating_mul(2).clamp(FIRST_ASK_MS, LONGEST_ASK_MS);
            for channels in open.chunks(MAX_SETTINGS) {
                let wanted = DesiredSettings { channels: channels.to_vec() };
                self.effects.push_back(Effect::Settings { to: *path, wanted });
            }
        }
        self.desired.next_due_ms = gateways.values().filter_map(|asking| asking.due_ms).min();
        self.desired.gateways = gateways;
    }

    /// What was committed may be told: to all gateways of its site, at once.
    fn release_settings(&mut self, now_ms: u64) {
        if self.desired.uncommitted.is_empty() {
            return;
        }
        let open = self.in_flight.unwrap_or(self.building.number);
        let released = self.desired.uncommitted.extract_if(.., |_, batch| *batch < open);
        let sites: std::collections::BTreeSet<SiteId> = released.map(|(key, _)| key.site).collect();
        for path in self.gateways.keys().filter(|path| sites.contains(&path.site)) {
            self.desired.is_due(*path, now_ms);
        }
    }
}
