//! The ingest's core: what becomes of every block. Pure: no clock, file, socket or random number; time comes with the
//! events, everything to be done leaves as an [`Effect`], and its result comes back as an [`Event`].
//!
//! ```text
//! event     all that can happen, all that is wanted done
//! ledger    one origin: stored, lost, outstanding
//! origins   all origins, by number and name      batch     what one commit writes
//! blocks    a block against the ledger           records   what travels beside readings
//! room      how many origins there may be, and whose
//! alarming  rules over an origin's readings, live and settled     evaluating   one reading through its channel's rules
//! silence   what nobody says: stale channels, gateways that are gone     hearing   when a channel was heard last
//! system    identities used twice, certificates that end     grouping  many devices at once
//! epochs    whether one process speaks under a gateway's name
//! rulebook  rules change                         current   which boot of a device is live
//! presence  a device that is alive at two gateways     set_back  a gateway whose queue is younger than it was
//! settling  history, behind filled holes too     retelling    a part of it told again     told  what needs no telling
//! acks      outcomes and credit
//! verifying blocks that came again, compared with their originals
//! desired   what is wanted of channels, and told to gateways     gateways  who they are
//! lifecycle what operators do with alarms, and when shelves end
//! retire    an operator closes a device's holes
//! seal      origins that have ended shrink to a row
//! commits   when a batch is written, and what follows from its success or failure
//! ```
//!
//! One batch is being written while the next one is filled, so that intake never waits for a disk. Every outcome
//! waits for the commit that holds its readings, a duplicate's for the one that holds the original. After a failed commit
//! all of this state is thrown away and read again from the store, under a new incarnation, so that agents send
//! again what was in flight.

mod acks;
pub mod alarming;
pub mod batch;
mod blocks;
pub mod bringing;
mod commits;
mod counters;
mod current;
mod damage;
pub mod desired;
mod epochs;
mod evaluating;
mod event;
mod gateways;
mod grouping;
mod hearing;
pub mod ledger;
pub mod lifecycle;
pub mod origins;
pub mod presence;
mod records;
mod retelling;
pub mod retire;
pub mod room;
pub mod rulebook;
pub mod seal;
pub mod set_back;
mod settling;
pub mod silence;
pub mod system;
pub mod told;
pub mod verdicts;
mod verifying;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidegate_alarms::RuleBook;
use tidegate_protocol::{block::Decoder, topic::GatewayPath};

use self::{
    acks::{Credits, Outbox},
    batch::{Batch, OriginNo},
    blocks::Fate,
    bringing::Bringing,
    commits::Mode,
    desired::Desired,
    gateways::Gateway,
    lifecycle::Lifecycles,
    origins::{OriginState, Origins},
    retire::Waiting,
    room::OriginBounds,
    silence::Silence,
    system::System,
    verdicts::Accounts,
    verifying::Verifying,
};
pub use self::{
    counters::Counters,
    event::{Effect, Event, Loaded, Snapshot},
    settling::MAX_LOADS,
    silence::SilenceSettings,
    system::SystemSettings,
    verifying::{MAX_VERIFYING, VerifyJob},
};

/// Bounds and rhythm of the core.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How much all agents together may have unacknowledged, alarms apart.
    pub credit_total_bytes: u32,
    /// A batch lingers at most this long for more to join it.
    pub linger_ms: u64,
    /// Above this use of the store only the alarm lane is taken.
    pub quota_bytes: u64,
}

/// A batch of this size does not linger.
const EAGER_BATCH_BYTES: usize = 256 * 1024;
/// At this size the shell must not bring more blocks until the batch before has been written.
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

pub struct Core {
    settings: Settings,
    /// What the rules are, and were.
    book: RuleBook,
    edition: u64,
    ruling: Vec<rulebook::Waiting>,
    incarnation: u64,
    decoder: Decoder,
    mode: Mode,
    failures_in_a_row: u32,
    no_room: bool,
    origins: Origins,
    bounds: OriginBounds,
    gateways: BTreeMap<GatewayPath, Gateway>,
    dirty_origins: Vec<OriginNo>,
    building: Batch,
    building_bytes: usize,
    building_since_ms: Option<u64>,
    urgent: bool,
    in_flight: Option<u64>,
    next_position: u64,
    used_bytes: u64,
    /// In the order of their barriers.
    fates: VecDeque<Fate>,
    verifying: Verifying,
    to_load: BTreeSet<OriginNo>,
    loading: BTreeSet<OriginNo>,
    /// Those whose last look back brought nothing: the next commit tries them again, or else the time below.
    stalled_loads: BTreeSet<OriginNo>,
    retry_loads_at_ms: Option<u64>,
    /// Asked for, and not done yet.
    seal_before_unix_ms: Option<i64>,
    /// Operators' orders, in the order of their batches.
    retiring: Vec<Waiting>,
    desired: Desired,
    bringing: Bringing,
    verdicts: Accounts,
    lifecycles: Lifecycles,
    silence: Silence,
    system: System,
    /// Positions of damaged entries, and the batch that takes each out.
    damaged: BTreeMap<u64, u64>,
    outbox: Outbox,
    credits: Credits,
    effects: VecDeque<Effect>,
    counters: Counters,
}

impl Core {
    pub fn new(
        settings: Settings,
        rules: impl Into<RuleBook>,
        decoder: Decoder,
        snapshot: Snapshot,
        incarnation: u64,
    ) -> Self {
        let mut core = Self {
            settings,
            book: rules.into(),
            edition: 0,
            ruling: Vec::new(),
            incarnation,
            decoder,
            mode: Mode::Taking,
            failures_in_a_row: 0,
            no_room: false,
            origins: Origins::default(),
            bounds: OriginBounds::default(),
            gateways: BTreeMap::new(),
            dirty_origins: Vec::new(),
            building: Batch { number: 1, ..Batch::default() },
            building_bytes: 0,
            building_since_ms: None,
            urgent: false,
            in_flight: None,
            next_position: 0,
            used_bytes: 0,
            fates: VecDeque::new(),
            verifying: Verifying::default(),
            to_load: BTreeSet::new(),
            loading: BTreeSet::new(),
            stalled_loads: BTreeSet::new(),
            retry_loads_at_ms: None,
            seal_before_unix_ms: None,
            retiring: Vec::new(),
            desired: Desired::default(),
            bringing: Bringing::default(),
            verdicts: Accounts::default(),
            lifecycles: Lifecycles::default(),
            silence: Silence::default(),
            system: System::default(),
            damaged: BTreeMap::new(),
            outbox: Outbox::default(),
            credits: Credits::new(settings.credit_total_bytes),
            effects: VecDeque::new(),
            counters: Counters::default(),
        };
        core.adopt(snapshot);
        core
    }

    pub fn handle(&mut self, now_ms: u64, event: Event) {
        self.lifecycles.set_now(now_ms);
        match event {
            Event::Block { from, lane, bytes, arrival_unix_ms } => {
                self.block(now_ms, from, lane, bytes, arrival_unix_ms)
            }
            Event::Status { from, status, unix_ms } => self.status(now_ms, from, status, unix_ms),
            Event::SettingsReported { from, reported, unix_ms } => {
                self.settings_reported(now_ms, from, &reported, unix_ms)
            }
            Event::RulesAnswered { from, up, unix_ms } => self.rules_answered(now_ms, from, up, unix_ms),
            Event::Verdicts { from, verdicts } => self.verdicts_came(now_ms, from, verdicts),
            Event::BrokerLost => self.broker_lost(),
            Event::BrokerConnected => {
                self.broker_found(now_ms);
                self.announce_to_all();
                self.ask_everyone(now_ms);
                self.offer_rules_to_all(now_ms);
            }
            Event::Committed { batch, used_bytes } => self.committed(batch, used_bytes),
            Event::StoreFull { batch } => self.store_full(batch),
            Event::CommitFailed { batch } => self.commit_failed(batch),
            Event::Reloaded { snapshot, incarnation } => self.reloaded(now_ms, *snapshot, incarnation),
            Event::Verified { ticket, differing } => self.verified(now_ms, ticket, differing),
            Event::Loaded { origin, loaded } => self.loaded(now_ms, origin, loaded),
            Event::Rewound { origin, to, checkpoint } => self.rewound(now_ms, origin, to, checkpoint),
            Event::Damaged(damaged) => self.entry_damaged(now_ms, damaged),
            Event::Trimmed { used_bytes } => self.trimmed(used_bytes),
            Event::Retire { ticket, order } => self.retire(now_ms, ticket, *order),
            Event::WantSettings { ticket, order } => self.want_settings(now_ms, ticket, *order),
            Event::ChangeRules { ticket, order } => self.change_rules(now_ms, ticket, *order),
            Event::AlarmAction { ticket, order } => self.alarm_action(now_ms, ticket, *order),
            Event::Time { unix_ms } => self.lifecycles.set_clock(now_ms, unix_ms),
            Event::CertificateShown { whose, expires_unix_s } => {
                self.certificate_shown(now_ms, whose, expires_unix_s)
            }
            Event::Expired { ranges } => self.expired(now_ms, &ranges),
            Event::Seal { before_unix_ms } => self.seal_before_unix_ms = Some(before_unix_ms),
            Event::Wakeup => {
                self.end_back_off(now_ms);
                self.retry_loads(now_ms);
            }
        }
        self.expire_shelves(now_ms);
        self.look_for_silence(now_ms);
        self.end_troubles(now_ms);
        self.compare_verdicts(now_ms);
        self.seal_if_asked(now_ms);
        self.commit_if_due(now_ms);
        self.tell_gateways(now_ms);
        self.bring_rules(now_ms);
    }

    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to come back with [`Event::Wakeup`] at the latest.
    pub fn next_wakeup(&self) -> Option<u64> {
        match self.mode {
            Mode::Reloading => None,
            Mode::BackingOff { until_ms } => Some(until_ms),
            Mode::Taking if self.in_flight.is_some() => None,
            Mode::Taking => {
                let lingered =
                    self.building_since_ms.map(|since| since.saturating_add(self.settings.linger_ms));
                let told = [self.desired.next_wakeup(), self.bringing.next_wakeup()];
                let judged =
                    [self.lifecycles.next_wakeup(), self.silence.next_wakeup(), self.verdicts.next_wakeup()];
                [lingered, self.retry_loads_at_ms, self.system.next_wakeup()]
                    .into_iter()
                    .chain(told)
                    .chain(judged)
                    .flatten()
                    .min()
            }
        }
    }

    /// The batch is at its bound: bring no more blocks until a commit has ended.
    pub fn is_at_bound(&self) -> bool {
        self.building_bytes >= MAX_BATCH_BYTES
    }

    /// Nothing waits for a commit or a look at the store.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none()
            && self.building.is_empty()
            && self.dirty_origins.is_empty()
            && self.verifying.is_empty()
    }

    pub fn counters(&self) -> Counters {
        let waiting: usize = self.fates.iter().map(|fate| fate.block.len()).sum();
        let (alarms_active, alarms_unacknowledged) = self.lifecycles.standing();
        Counters {
            uncommitted_bytes: (waiting + self.verifying.bytes()) as u64,
            origins_open: self.origins.open() as u64,
            alarms_active,
            alarms_unacknowledged,
            ..self.counters
        }
    }

    /// Starts over from committed state.
    fn adopt(&mut self, snapshot: Snapshot) {
        self.next_position = snapshot.next_position;
        self.used_bytes = snapshot.used_bytes;
        self.credits.ledger = snapshot.ledger;
        self.origins = Origins::default();
        for (no, site, origin) in snapshot.sealed {
            self.origins.put_sealed(no, site, origin);
        }
        for (no, record, description) in snapshot.origins {
            let end = record.ledger.stored().end();
            let mut state = OriginState::new(record);
            if let Some(description) = description {
                state.describe(&description, &self.book);
                state.watch.seen_up_to(end);
            }
            self.origins.put(no, state);
        }
        for (no, ranges) in snapshot.expired {
            if let Some(state) = self.origins.get_mut(no) {
                state.expired = ranges;
            }
        }
        self.adopt_live(snapshot.live);
        for (no, settled) in snapshot.settled {
            if let Some(state) = self.origins.get_mut(no) {
                state.watch.restore_settled(&settled.states);
                state.watch.restore_told(&settled.told);
                state.retelling = settled.retelling;
            }
        }
        for (no, readings) in snapshot.latest {
            if let Some(state) = self.origins.get_mut(no) {
                readings.iter().for_each(|reading| state.seen_latest(reading));
                state.latest_changed = false;
            }
        }
        let untold = self.adopt_gateways(snapshot.gateways);
        self.adopt_settings(snapshot.settings);
        self.adopt_alarms(snapshot.alarms, snapshot.next_deed);
        self.adopt_system();
        untold.into_iter().for_each(|path| self.tell_set_back(self.lifecycles.now_ms(), path));
        self.adopt_rules(snapshot.rules, snapshot.rules_edition);
        self.stalled_loads.clear();
        self.retry_loads_at_ms = None;
        self.to_load =
            self.origins.iter().filter(|(_, state)| state.can_settle()).map(|(no, _)| no).collect();
        self.request_loads();
    }
}
