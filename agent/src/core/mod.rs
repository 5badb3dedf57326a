//! The agent's core: custody of readings between sources and cloud. It never touches a clock, a random number, a
//! file, a socket or a task; the shell tells it what happened, performs what it asks for, and reports back.
//!
//! ```text
//! Event::Board ─▶ boards ─▶ origin (what is new?) ─▶ packer ─▶ outbox ─▶ Effect::Publish
//!                                                        └──▶ custody ─▶ Effect::Commit
//! Event::Acked ─▶ delivery ─▶ origin (safe) ─▶ Effect::Send(Ack)          backlog ◀─ Effect::Load
//! ```
//! - event: all that can happen, all that can be asked      - origin, origins: what is known of each origin
//! - boards, hello, local: sources come in                   - admission: which boards are welcomed, which held
//! - twins: whether what came before is this board's     - pending, packer, merge: readings into blocks
//! - outbox, window, parcel: blocks on their way             - delivery: answers of the cloud
//! - custody, quota, ceiling: what is committed, and when it is too much   - failure: when the disk does not take it
//! - thin: summaries of what is given up
//! - backlog: out of the queue again                       - caps: what a metered link may carry
//! - clock: wall time, and anchors once it is better        - backoff: when a lost link is tried again
//! - account: told anew after a restore of the cloud, or damage to the queue   - retire: ended origins are forgotten
//! - desired: settings for boards' channels, and what became of them
//! - rules: alarm rules that the cloud brings
//! - watch, local_alarms: which readings are urgent, and which rules are active here
//! - verdicts: the cloud is told what is active here
//! - view, pace: figures for people
//!
//! Memory is bounded by `ram_limit_bytes`: at the bound [`Core::takes_frames`] says no, boards are not read, and their
//! rings fill. Nothing is dropped in memory.

mod account;
mod admission;
mod backlog;
mod backoff;
mod boards;
mod caps;
mod ceiling;
mod clock;
mod custody;
mod damage;
mod delivery;
mod desired;
mod event;
mod failure;
mod hello;
mod jitter;
mod local;
mod local_alarms;
mod merge;
mod origin;
mod origins;
mod outbox;
mod pace;
mod packer;
mod parcel;
mod pending;
mod quota;
mod retire;
mod rules;

#[cfg(test)]
mod tests;
mod thin;
mod time;
mod twins;
mod verdicts;
mod view;
mod watch;
mod window;

use std::collections::VecDeque;

use tidegate_alarms::RuleSet;
use tidegate_protocol::{Reading, SiteId, block::Decoder, topic::Lane};
use tidegate_service::Mutant;

pub use admission::{Admit, Held, LinkFrom, MAX_PENDING, PendingDevice, Permit, Permits};
pub use backlog::BacklogOrder;
pub use backoff::Backoff;
pub use caps::{LaneCap, LaneCaps, PUBLISH_OVERHEAD_BYTES, SentToday};
pub use damage::{Losses, blocks_of_records, losses_of, losses_of_damaged};
pub use desired::MAX_DESIRED;
pub use event::{
    ALARM_KEYS, Batch, BoardFrame, CommitFailure, ENTRY_HEAD_BYTES, Effect, Entry, Event, Key, LinkId,
    OriginRecord, Put, Quarantined, Recovered, Totals, footprint, is_alarm, number_of,
};
pub use local_alarms::{AlarmKey, LocalAlarm, MAX_LOCAL_ALARMS};
pub use outbox::MAX_UNPUBACKED;
pub use pace::Rates;
pub use quota::Policy;
pub use rules::{BroughtRules, RulesView};
pub use time::{Now, Time};
pub use view::{Counters, DeviceView, View};

use account::Account;
use admission::Admission;
use backlog::Backlog;
use caps::Meters;
use clock::WallClock;
use custody::Custodian;
use desired::Desired;
use jitter::Jitter;
use local_alarms::LocalAlarms;
use origins::Origins;
use outbox::Outbox;
use pace::Pace;
use packer::{Awaited, Packer};
use parcel::Due;
use rules::Rules;
use verdicts::Telling;

/// How often an origin is anchored to wall time, and its board told the time.
const ANCHOR_INTERVAL_MS: u64 = 60_000;
/// How long the cloud may be behind on an origin's `next` without readings to carry it.
const MEASURED_INTERVAL_MS: u64 = 5_000;
/// A frame that names no known origin is answered once in this time.
const IDENTIFY_INTERVAL_MS: u64 = 1_000;
/// Bytes in flight before the ingest has granted credit on a connection: of live and of backlog one block each. It grants
/// as soon as it hears of the gateway; until then a thousand that come at once must not flood the broker.
pub const INITIAL_CREDIT_BYTES: u32 = 1;
/// What one waiting reading takes in memory.
const READING_BYTES: u64 = size_of::<Reading>() as u64;

/// Named bounds and times of the core.
#[derive(Clone, Debug)]
pub struct CoreSettings {
    /// Random, one per process start: block numbers count within it.
    pub epoch: u64,
    pub jitter_seed: u64,
    pub flush_interval_ms: u64,
    pub outage_flush_interval_ms: u64,
    pub block_readings: usize,
    /// How long live readings may wait for the broker to take the ones before.
    pub linger_ms: u64,
    pub quota_bytes: u64,
    pub policy: Policy,
    pub ram_limit_bytes: u64,
    pub max_in_flight_bytes: u64,
    /// Bytes in flight before the ingest granted any credit.
    pub initial_credit_bytes: u32,
    pub max_origins: usize,
    pub backlog_order: BacklogOrder,
    pub caps: LaneCaps,
    pub site: SiteId,
    /// This gateway's own; without any the cloud's are taken. What they raise or clear at goes ahead of everything.
    pub rules: RuleSet,
    /// Which boards are welcomed that are not on the list of devices.
    pub admit: Admit,
    /// That list, as it is at the start.
    pub permits: Permits,
}

pub struct Core {
    settings: CoreSettings,
    now: Now,
    clock: WallClock,
    admission: Admission,
    origins: Origins,
    packer: Packer,
    outbox: Outbox,
    custodian: Custodian,
    backlog: Backlog,
    account: Account,
    desired: Desired,
    rules: Rules,
    local_alarms: LocalAlarms,
    verdicts: Telling,
    decoder: Decoder,
    counters: Counters,
    pace: Pace,
    effects: VecDeque<Effect>,
    /// When live readings began to wait.
    waiting_since: Option<Time>,
    /// The same of late ones.
    late_since: Option<Time>,
    rounds_at: Time,
    identified: std::collections::HashMap<LinkId, Time>,
    /// It said that it cannot read our blocks, and has taken none since.
    cloud_is_behind: bool,
}

/// What so many readings take in a block, roughly.
const fn about_bytes(readings: usize) -> u64 {
    readings as u64 * 3 + 200
}

impl Core {
    /// Starts with what the queue holds. Fails only when zstd gets no memory for its contexts.
    pub fn new(settings: CoreSettings, recovered: Recovered, now: Now) -> std::io::Result<Self> {
        let jitter = Jitter::new(settings.jitter_seed);
        let Recovered { keys, next_key, totals, origins, sent_today, ledger, account_due, desired, rules } =
            recovered;
        let meters = Meters::new(settings.caps, sent_today, now);
        let (most, credit) = (settings.max_in_flight_bytes, settings.initial_credit_bytes);
        let outbox = Outbox::new(settings.epoch, most, credit, jitter, meters);
        let mut core = Self {
            packer: Packer::new(settings.block_readings)?,
            decoder: Decoder::new()?,
            outbox,
            custodian: Custodian::new(next_key, totals),
            backlog: Backlog::new(keys, settings.backlog_order),
            account: Account::recovered(ledger, account_due),
            desired: Desired::recovered(desired),
            rules: Rules::recovered(&settings.rules, settings.quota_bytes, rules),
            local_alarms: LocalAlarms::default(),
            verdicts: Telling::default(),
            admission: Admission::new(settings.admit, settings.permits.clone()),
            origins: Origins::recovered(origins.clone(), next_key),
            clock: WallClock::new(now),
            counters: Counters::default(),
            pace: Pace::new(now.at),
            effects: VecDeque::new(),
            waiting_since: None,
            late_since: None,
            rounds_at: now.at.plus_ms(MEASURED_INTERVAL_MS),
            identified: Default::default(),
            cloud_is_behind: false,
            settings,
            now,
        };
        core.end_boots_of_the_last_run(&origins);
        Ok(core)
    }

    pub fn handle(&mut self, now: Now, event: Event) {
        self.now = now;
        if self.clock.looked_at(now) {
            self.counters.clock_steps += 1;
        }
        self.outbox.meters.clock(now, self.clock.quality());
        match event {
            Event::Board { link, arrived, frames } => self.board_frames(link, arrived, frames),
            Event::LinkOpened { link, from } => self.admission.opened(link, from),
            Event::Permits(permits) => self.permits_came(permits),
            Event::LinkClosed(link) => {
                self.admission.closed(link);
                self.origins.detach(link);
                self.identified.remove(&link);
            }
            Event::LocalOpened { description, flush_interval_ms } => {
                self.local_opened(description, flush_interval_ms);
            }
            Event::LocalSample { origin, tick, taken, values } => {
                self.local_sample(origin, tick, taken, &values);
            }
            Event::LocalClosed { origin } => self.local_closed(origin),
            Event::Clock { error_ms, quality } => self.clock_told(error_ms, quality),
            Event::UplinkUp => {
                self.outbox.link_came_up();
                self.verdicts_link_came_up();
            }
            Event::UplinkDown => self.uplink_went_down(),
            Event::PubAcked { number } => self.pubacked(number),
            Event::Acked(ack) => self.acked(&ack),
            Event::SettingsWanted(wanted) => self.settings_wanted(&wanted),
            Event::Rules(down) => self.rules_came(down),
            Event::Committed => self.committed(),
            Event::CommitFailed(_) if Mutant::FailedCommitTrusted.is_on() => self.committed(),
            Event::CommitFailed(failure) => self.commit_failed(failure),
            Event::Loaded { entries } => self.loaded(entries),
            Event::LoadFailed => self.load_failed(),
            Event::Flush => self.custodian.force_all(),
            Event::Tick => {}
        }
        self.proceed();
    }

    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether more frames of boards fit into memory. Samples of local sources are not taken either when not.
    pub fn takes_frames(&self) -> bool {
        self.ram_bytes() < self.settings.ram_limit_bytes
    }

    #[cfg(test)]
    fn numbers_kept(&self) -> usize {
        self.outbox.numbers_kept()
    }

    fn ram_bytes(&self) -> u64 {
        self.packer.readings() as u64 * READING_BYTES
            + self.outbox.held_bytes()
            + self.custodian.condemned_bytes()
    }

    /// No answer is to be expected for what is live: nobody answers, or today's budget for it is used up.
    fn is_outage(&self) -> bool {
        self.outbox.is_outage(self.now.at) || self.outbox.is_spent(Lane::Live)
    }

    fn proceed(&mut self) {
        self.pace.note(self.now.at, &self.counters, self.custodian.totals);
        self.make_rounds();
        self.outbox.resend_lost(self.now.at);
        self.pack_live();
        self.pack_late();
        self.advance_account();
        self.resume_counting();
        self.commit_what_is_due();
        // A commit may have packed what waited.
        while let Some(publish) = self.outbox.publish(self.now.at) {
            self.effects.push_back(publish);
        }
        self.load_backlog();
        self.send_acks();
        self.tell_verdicts();
    }

    /// Live readings leave at once while the broker keeps up; otherwise they wait until a block is full, the broker
    /// took what was sent, or the linger limit passed.
    fn pack_live(&mut self) {
        while self.packer.has_full_block(Lane::Live) {
            let parcel = self.packer.pack_live(&mut self.origins);
            self.take_parcel(parcel);
        }
        if !self.packer.has_live() {
            self.waiting_since = None;
            return;
        }
        let since = *self.waiting_since.get_or_insert(self.now.at);
        let about_bytes = about_bytes(self.packer.readings() - self.packer.late());
        if (self.outbox.live_is_idle() || self.has_lingered(since))
            && self.outbox.would_leave(self.now.at, Lane::Live, about_bytes)
        {
            while self.packer.has_live() {
                let parcel = self.packer.pack_live(&mut self.origins);
                self.take_parcel(parcel);
            }
            self.waiting_since = None;
        }
    }

    /// Late readings always wait for company, and leave with the backlog.
    fn pack_late(&mut self) {
        while self.packer.has_full_block(Lane::Backlog) {
            let parcel = self.packer.pack_late(&mut self.origins);
            self.take_parcel(parcel);
        }
        if self.packer.late() == 0 {
            self.late_since = None;
            return;
        }
        let since = *self.late_since.get_or_insert(self.now.at);
        let about_bytes = about_bytes(self.packer.late());
        if self.has_lingered(since) && self.outbox.would_leave(self.now.at, Lane::Backlog, about_bytes) {
            let parcel = self.packer.pack_late(&mut self.origins);
            self.take_parcel(parcel);
            self.late_since = None;
        }
    }

    fn has_lingered(&self, since: Time) -> bool {
        self.now.at >= since.plus_ms(self.settings.linger_ms)
    }

    fn take_parcel(&mut self, parcel: Option<parcel::Parcel>) {
        if let Some(parcel) = parcel {
            self.add_to_outbox(parcel);
        }
    }

    fn send_acks(&mut self) {
        for slot in self.origins.take_owed() {
            if let Some((link, frame)) = self.origins.get_mut(slot).and_then(origin::OriginState::take_ack) {
                self.effects.push_back(Effect::Send { link, frame });
            }
        }
    }

    /// By when something of this kind must be committed.
    fn due_in(&self, healthy_ms: u64, outage_ms: u64) -> Due {
        Due { healthy: self.now.at.plus_ms(healthy_ms), outage: self.now.at.plus_ms(outage_ms) }
    }

    /// Losses, closings, descriptions: never stretched in an outage.
    fn due_unstretched(&self) -> Due {
        self.due_in(self.settings.flush_interval_ms, self.settings.flush_interval_ms)
    }

    /// When [`Event::Tick`] is wanted, if nothing else happens before.
    pub fn next_wakeup(&self) -> Time {
        let mut next = self.rounds_at;
        let mut sooner = |at: Option<Time>| next = at.map_or(next, |at| next.min(at));
        sooner(self.outbox.next_deadline());
        let opens = self.outbox.cap_opens_at(self.waiting_since.is_some());
        sooner(opens.filter(|at| *at > self.now.at));
        // When the link is what holds live data back, only its answer can help.
        for since in [self.waiting_since, self.late_since].into_iter().flatten() {
            let lingered = since.plus_ms(self.settings.linger_ms);
            sooner(Some(lingered).filter(|at| *at > self.now.at));
        }
        sooner(self.custodian.next_wakeup(self.is_outage(), self.backlog.is_evicting()));
        for at in [self.desired.save_at(), self.rules.save_at(), self.verdicts.due_at()] {
            sooner(at.filter(|at| *at > self.now.at));
        }
        // Once silence has begun there is nothing to wake up for: time alone changes nothing more.
        sooner(self.outbox.silent_from().filter(|at| *at > self.now.at));
        next
    }

    /// All that happens by the clock alone: anchors, the time for boards, and `next` for the cloud.
    fn make_rounds(&mut self) {
        if self.now.at < self.rounds_at {
            return;
        }
        self.rounds_at = self.now.at.plus_ms(MEASURED_INTERVAL_MS);
        let due = self.due_in(self.settings.flush_interval_ms, self.settings.outage_flush_interval_ms);
        for (_, state) in self.origins.iter_mut() {
            if state.next > state.told_next && !state.closed {
                state.told_next = state.next;
                let record =
                    tidegate_protocol::block::Record::Measured { origin: state.origin(), next: state.next };
                self.packer.record_came(record, Awaited::Nothing, due);
            }
        }
        self.forget_finished_origins();
    }

    /// Nothing waits and nothing is on its way: what a drain waits for.
    pub fn is_drained(&self) -> bool {
        self.packer.is_empty()
            && self.outbox.is_empty()
            && self.backlog.is_empty()
            && self.custodian.is_idle()
            && self.account.is_idle()
    }

    /// All that was taken in is committed or acknowledged: the least a clean stop must reach.
    pub fn is_safe(&self) -> bool {
        self.packer.is_empty()
            && self.outbox.unsafe_parcels().next().is_none()
            && !self.custodian.is_busy()
            && !self.custodian.has_condemned()
    }
}
