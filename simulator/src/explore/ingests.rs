//! The ingest at work: events into its core, its effects carried out by an imaginary store.

use tidegate_ingest::core::{
    Effect, Event, Loaded,
    batch::{Batch, Damaged},
};
use tidegate_protocol::status::GatewayStatus;

use super::{
    cloud::{Look, Parcel},
    coverage::Fault,
    store::Refused,
    world::{Happening, World},
};

impl World {
    pub fn ingest_unix_ms(&self) -> i64 {
        1_800_000_000_000 + self.ingest_now_ms() as i64
    }

    fn ingest_now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    pub fn ingest_starts(&mut self, life: u64) {
        if self.cloud.life != life || self.cloud.core.is_some() {
            return;
        }
        let incarnation = self.dice.bits();
        if let Err(error) = self.cloud.start(incarnation) {
            return self.violate("memory", error.to_string());
        }
        self.note(30, incarnation, || format!("the ingest starts (incarnation {incarnation:016x})"));
        let life = self.cloud.life;
        let after = self.dice.between(1_000, 100_000);
        self.plan_in(after, Happening::IngestConnects { life });
        self.lake_starts();
        self.ingest_effects();
    }

    pub fn ingest_connects(&mut self, life: u64) {
        if self.cloud.life != life || self.cloud.connected || self.cloud.core.is_none() {
            return;
        }
        self.cloud.connected = true;
        self.cloud.connection += 1;
        self.note(31, self.cloud.connection, || "the ingest reaches the broker".to_owned());
        self.ingest_event(Event::BrokerConnected);
        // What is retained: births, and last wills.
        for gateway in 0..self.gateways.len() {
            let Some(uplink) = self.gateways.get(gateway).map(|gateway| &gateway.uplink) else { continue };
            let (online, connection) = (uplink.up, self.cloud.connection);
            if uplink.connection > 1 || online {
                self.plan_in(1_000, Happening::StatusUp { connection, gateway, online });
            }
        }
    }

    pub fn ingest_loses_broker(&mut self) {
        if !self.cloud.connected {
            return;
        }
        self.cloud.connected = false;
        let life = self.cloud.life;
        let after = self.dice.between(50_000, 800_000);
        self.plan_in(after, Happening::IngestConnects { life });
    }

    pub fn status_up(&mut self, connection: u64, at: usize, online: bool) {
        if !self.cloud.connected || self.cloud.connection != connection {
            return;
        }
        let Some(gateway) = self.gateways.get(at) else { return };
        let epoch = gateway.process.as_ref().map_or(0, |process| process.epoch);
        let status = GatewayStatus {
            online,
            version: "explored".to_owned(),
            epoch: format!("{epoch:016x}"),
            queue: gateway.queue_age(),
            ..GatewayStatus::default()
        };
        let from = gateway.path;
        let unix_ms = self.ingest_unix_ms();
        self.ingest_event(Event::Status { from, status, unix_ms });
    }

    pub fn block_up(&mut self, life: u64, connection: u64, parcel: Parcel) {
        if self.cloud.life != life || !self.cloud.connected || self.cloud.connection != connection {
            return;
        }
        let Some(from) = self.gateways.get(parcel.gateway).map(|gateway| gateway.path) else { return };
        let Parcel { gateway, lane, number, bytes } = parcel;
        let len = bytes.len();
        self.note(32, number, || {
            format!("the ingest gets {lane} block {number} of gateway {gateway} ({len} bytes)")
        });
        let arrival_unix_ms = self.ingest_unix_ms();
        self.ingest_event(Event::Block { from, lane, bytes, arrival_unix_ms });
    }

    pub fn ingest_event(&mut self, event: Event) {
        let now_ms = self.ingest_now_ms();
        let Some(core) = &mut self.cloud.core else { return };
        core.handle(now_ms, event);
        self.ingest_effects();
    }

    fn ingest_effects(&mut self) {
        while let Some(effect) = self.cloud.core.as_mut().and_then(|core| core.poll()) {
            self.ingest_effect(effect);
        }
        let now_ms = self.ingest_now_ms();
        let Some(core) = &self.cloud.core else { return };
        let conflicts = core.counters().readings_conflicting;
        if conflicts > self.cloud.seen_conflicts {
            self.coverage.add(Fault::BootConflict, conflicts - self.cloud.seen_conflicts);
            self.cloud.seen_conflicts = conflicts;
        }
        let Some(wakes_ms) = core.next_wakeup() else { return };
        let (wakes_us, life) = (wakes_ms.max(now_ms) * 1_000, self.cloud.life);
        if self.cloud.wakes_at_us.is_none_or(|planned| wakes_us < planned) {
            self.cloud.wakes_at_us = Some(wakes_us);
            self.plan_at(wakes_us, Happening::IngestWakes { life });
        }
    }

    pub fn ingest_wakes(&mut self, life: u64) {
        if self.cloud.life != life {
            return;
        }
        self.cloud.wakes_at_us = None;
        let now_ms = self.ingest_now_ms();
        let due = |world: &Self| {
            let core = world.cloud.core.as_ref();
            core.and_then(|core| core.next_wakeup()).is_some_and(|at| at <= now_ms)
        };
        if due(self) {
            self.ingest_event(Event::Wakeup);
            if due(self) {
                self.violate("no-busy-loop", "the ingest's core would never sleep".to_owned());
            }
        } else {
            self.ingest_effects();
        }
    }

    fn ingest_effect(&mut self, effect: Effect) {
        let life = self.cloud.life;
        match effect {
            Effect::Commit(batch) => {
                if self.cloud.committing.replace(batch).is_some() {
                    return self.violate("one-commit", "the ingest commits twice at once".to_owned());
                }
                let after = self.store_time();
                self.plan_in(after, Happening::IngestDiskDone { life });
            }
            Effect::Ack { to, ack } => {
                if ack.credit.window_bytes == 0 {
                    self.coverage.count(Fault::IngestFull);
                }
                self.check_block_ack(&ack);
                self.answer_down(to, &ack);
            }
            Effect::Retired { done, .. } => self.check_retired(done),
            // Nothing is wanted of channels here, and nobody acts on alarms.
            Effect::Settings { .. }
            | Effect::SettingsDone { .. }
            | Effect::Rules { .. }
            | Effect::Compared(_)
            | Effect::AlarmDone { .. }
            | Effect::RulesDone { .. } => {}
            Effect::Provisional(event) => {
                self.coverage.count(Fault::AlarmRaised);
                self.check_live_event(&event);
            }
            Effect::Verify { ticket, job } => {
                let after = self.store_time();
                let look = Look::Verify { ticket, job };
                self.plan_in(after, Happening::IngestLooked { life, look });
            }
            Effect::Load { origin, range, .. } => {
                self.coverage.count(Fault::HoleFilled);
                let after = self.store_time();
                let look = Look::Load { origin, range };
                self.plan_in(after, Happening::IngestLooked { life, look });
            }
            Effect::Rewind { origin, to } => {
                let after = self.store_time();
                let look = Look::Rewind { origin, to };
                self.plan_in(after, Happening::IngestLooked { life, look });
            }
            Effect::Reload => {
                let incarnation = self.dice.bits();
                self.cloud.incarnation = incarnation;
                let snapshot = Box::new(self.cloud.store.snapshot(self.cloud.occupied_bytes));
                let now_ms = self.ingest_now_ms();
                if let Some(core) = &mut self.cloud.core {
                    core.handle(now_ms, Event::Reloaded { snapshot, incarnation });
                }
            }
        }
    }

    fn store_time(&mut self) -> u64 {
        let usual = self.plan.ingest_disk_us;
        let time = self.dice.between(usual / 2, usual * 2);
        if self.cloud.slow_until_us <= self.now_us {
            return time;
        }
        self.coverage.count(Fault::IngestSlow);
        time + self.dice.between(100_000, 2_500_000)
    }

    pub fn ingest_disk_done(&mut self, life: u64) {
        if self.cloud.life != life || self.cloud.core.is_none() {
            return;
        }
        let weather = self.plan.weather;
        if self.chance(weather.ingest_kill_at_commit) {
            return self.kill_ingest();
        }
        let Some(batch) = self.cloud.committing.take() else { return };
        let number = batch.number;
        if self.chance(weather.ingest_commit_failure) {
            // A failed commit may have reached the disk all the same.
            let written = self.dice.chance(0.4);
            self.coverage.count(Fault::IngestCommitFailed);
            if written {
                self.coverage.count(Fault::IngestCommitFailedWritten);
                self.commit_to_store(&batch);
            }
            self.note(33, number, || format!("the ingest's commit fails (written: {written})"));
            return self.ingest_event(Event::CommitFailed { batch: number });
        }
        if !self.commit_to_store(&batch) {
            return self.ingest_event(Event::CommitFailed { batch: number });
        }
        let used_bytes = self.cloud.used_bytes();
        self.ingest_event(Event::Committed { batch: number, used_bytes });
    }

    /// Says whether it was committed.
    fn commit_to_store(&mut self, batch: &Batch) -> bool {
        match self.cloud.store.apply(batch, &mut self.library) {
            Err(Refused::Breaks(rule, words)) => {
                self.violate(rule, words);
                true
            }
            Err(Refused::Elsewhere) => {
                self.coverage.count(Fault::DamageToldLate);
                false
            }
            Ok(applied) => {
                let entries = batch.entries.len();
                self.note(34, entries as u64, || format!("the ingest commits {entries} entries"));
                self.coverage.add(Fault::OriginSealed, applied.sealed);
                self.logged(&batch.operations);
                self.coverage.add(Fault::JournalDamaged, applied.taken_out);
                self.check_store_commit(&applied);
                true
            }
        }
    }

    pub fn ingest_looked(&mut self, life: u64, look: Look) {
        if self.cloud.life != life {
            return;
        }
        let unreadable = self.chance(self.plan.weather.ingest_unreadable);
        if unreadable {
            self.coverage.count(Fault::IngestUnreadable);
        }
        let (event, met) = match look {
            Look::Verify { ticket, job } => {
                let (differing, met) = said(self.cloud.store.verify(&job, &mut self.library));
                (Event::Verified { ticket, differing: differing.filter(|_| !unreadable) }, met)
            }
            Look::Load { origin, range } => {
                let (readings, met) = said(self.cloud.store.load(origin, range));
                let checkpoints = self.cloud.store.checkpoints(origin, range);
                let occurrences = self.cloud.store.raised_in(origin, range);
                let loaded = readings.map(|readings| Loaded { readings, checkpoints, occurrences });
                (Event::Loaded { origin, loaded: loaded.filter(|_| !unreadable) }, met)
            }
            Look::Rewind { origin, to } => {
                let checkpoint = Some(self.cloud.store.checkpoint(origin, to.seq));
                (Event::Rewound { origin, to, checkpoint: checkpoint.filter(|_| !unreadable) }, None)
            }
        };
        match met {
            Some(position) if !unreadable => self.meet_damage(position, Some(Box::new(event))),
            _ => self.ingest_event(event),
        }
    }

    /// A look meets a damaged entry. Word of it takes its time.
    pub fn meet_damage(&mut self, position: u64, then: Option<Box<Event>>) {
        let life = self.cloud.life;
        let after = self.cloud.lake_dice.magnitude(1, 1_000) * 1_000;
        let met = self.cloud.store.holdings.damage_at(position);
        self.plan_in(after, Happening::IngestMeetsDamage { life, met, then });
    }

    pub fn ingest_meets_damage(&mut self, life: u64, met: Damaged, then: Option<Box<Event>>) {
        if self.cloud.life != life {
            return;
        }
        self.note(39, met.position, || format!("a look met damage: {met:?}"));
        self.ingest_event(Event::Damaged(met));
        if let Some(then) = then {
            self.ingest_event(*then);
        }
    }

    pub fn kill_ingest(&mut self) {
        if self.cloud.core.take().is_none() {
            return;
        }
        self.coverage.count(Fault::IngestKilled);
        let open = self.cloud.committing.take();
        let written = self.dice.chance(0.5);
        self.note(35, 0, || format!("the ingest is killed (commit under way: {})", open.is_some()));
        if let Some(batch) = open {
            let fault = if written { Fault::IngestKilledCommitted } else { Fault::IngestKilledUncommitted };
            self.coverage.count(fault);
            if written {
                self.commit_to_store(&batch);
            }
        }
        let rolling = self.cloud.store.holdings.intent.is_some();
        self.coverage.add(Fault::IngestKilledInRoll, u64::from(rolling));
        self.cloud.connected = false;
        let life = self.cloud.life;
        let after = self.dice.between(20_000, 1_500_000);
        self.plan_in(after, Happening::IngestStarts { life });
    }
}

/// What came of a look; or which entry cannot be read.
fn said<T>(looked: Result<T, u64>) -> (Option<T>, Option<u64>) {
    match looked {
        Ok(found) => (Some(found), None),
        Err(position) => (None, Some(position)),
    }
}
