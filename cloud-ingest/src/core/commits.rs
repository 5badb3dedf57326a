//! When a batch is written, and what follows: acknowledgements after success, a fresh start after failure.

use tidegate_alarms::RuleBook;
use tidegate_protocol::topic::GatewayPath;
use tidegate_service::Mutant;

use super::{
    Core, EAGER_BATCH_BYTES, Effect, Snapshot,
    batch::{Batch, OriginNo},
};

/// How long to wait after a failed commit: doubled with each failure in a row, up to the longest.
const FIRST_BACK_OFF_MS: u64 = 250;
const LONGEST_BACK_OFF_MS: u64 = 30_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Taking,
    /// After a failed commit, until the committed state is back. Blocks are dropped: they were never acknowledged.
    Reloading,
    /// The state is back; wait before trying the disk again.
    BackingOff {
        until_ms: u64,
    },
}

impl Core {
    pub(super) fn mark_dirty(&mut self, no: OriginNo) {
        if let Some(state) = self.origins.get_mut(no).filter(|state| !state.dirty) {
            state.dirty = true;
            self.dirty_origins.push(no);
        }
    }

    pub(super) fn touch_batch(&mut self, now_ms: u64) {
        self.building_since_ms.get_or_insert(now_ms);
    }

    /// Whether the batch being filled holds anything.
    pub(super) fn has_content(&self) -> bool {
        !self.building.is_empty() || !self.dirty_origins.is_empty()
    }

    /// Hands the batch over if nothing is being written and it has lingered, is large, or carries an alarm.
    pub(super) fn commit_if_due(&mut self, now_ms: u64) {
        if self.in_flight.is_some() || self.mode != Mode::Taking || !self.has_content() {
            return;
        }
        let since = *self.building_since_ms.get_or_insert(now_ms);
        let lingered = now_ms >= since.saturating_add(self.settings.linger_ms);
        if lingered || self.urgent || self.building_bytes >= EAGER_BATCH_BYTES {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let number = self.building.number;
        let mut batch =
            std::mem::replace(&mut self.building, Batch { number: number + 1, ..Batch::default() });
        if Mutant::DedupOutsideTransaction.is_on() && number % 2 == 1 {
            return self.hand_over(number, batch);
        }
        for no in std::mem::take(&mut self.dirty_origins) {
            let Some(state) = self.origins.get_mut(no) else { continue };
            state.dirty = false;
            batch.origins.push((no, state.record.clone()));
            if std::mem::take(&mut state.latest_changed) {
                batch.latest.push((no, state.latest.iter().copied().flatten().collect()));
            }
        }
        for (path, gateway) in &mut self.gateways {
            if std::mem::take(&mut gateway.dirty) {
                batch.gateways.push((*path, gateway.record.clone()));
            }
        }
        self.hand_over(number, batch);
    }

    fn hand_over(&mut self, number: u64, batch: Batch) {
        self.building_bytes = 0;
        self.building_since_ms = None;
        self.urgent = false;
        self.in_flight = Some(number);
        self.effects.push_back(Effect::Commit(Box::new(batch)));
    }

    pub(super) fn committed(&mut self, batch: u64, used_bytes: u64) {
        if self.in_flight != Some(batch) {
            return;
        }
        self.in_flight = None;
        self.failures_in_a_row = 0;
        self.used_bytes = used_bytes;
        self.counters.commits += 1;
        let had_room = !std::mem::take(&mut self.no_room);
        self.release_fates();
        if !had_room {
            self.announce_to_all();
        }
        self.unstall_loads();
    }

    /// Lets go of the outcomes that wait for nothing any more.
    pub(super) fn release_fates(&mut self) {
        // Numbers ascend: everything below the batch in flight, or else below the one being filled, is committed.
        let open = self.in_flight.unwrap_or(self.building.number);
        while let Some(mut fate) = self.fates.pop_front_if(|fate| fate.barrier < open) {
            match fate.verify.take() {
                None => self.outbox.push(fate.to, fate.epoch, fate.number, fate.rejection),
                Some(job) => self.verify(fate, job),
            }
        }
        self.send_acks();
        self.answer_orders();
        self.answer_settings_orders();
        self.answer_rules_orders();
        self.answer_alarm_orders();
    }

    /// The batch that must be committed before all that is in memory now is.
    pub(super) fn barrier(&self) -> u64 {
        if self.has_content() { self.building.number } else { self.in_flight.unwrap_or(0) }
    }

    /// How many gateways share the credit.
    fn present_gateways(&self) -> usize {
        self.gateways.values().filter(|gateway| gateway.heard).count()
    }

    pub(super) fn send_acks(&mut self) {
        let full = self.is_full();
        self.share_credit();
        for (to, epoch, outcomes) in self.outbox.take() {
            let ack = self.credits.message(self.incarnation, epoch, outcomes, true, full);
            self.counters.acks_sent += 1;
            self.effects.push_back(Effect::Ack { to, ack });
        }
    }

    /// Where more gateways share the credit than were told, all that are present are told; says whether.
    fn share_credit(&mut self) -> bool {
        let gateways = self.present_gateways();
        let are_more = self.credits.shared_by(gateways);
        if are_more {
            let present = self.gateways.iter().filter(|(_, gateway)| gateway.heard);
            for path in present.map(|(path, _)| *path).collect::<Vec<_>>() {
                self.tell_incarnation(path);
            }
        }
        are_more
    }

    /// Tells a gateway which incarnation it speaks to, and what it may send.
    pub(super) fn announce(&mut self, to: GatewayPath) {
        if !self.share_credit() {
            self.tell_incarnation(to);
        }
    }

    fn tell_incarnation(&mut self, to: GatewayPath) {
        let heard = self.gateways.get(&to).is_some_and(|gateway| gateway.heard);
        let full = self.is_full() || self.mode != Mode::Taking;
        let ack = self.credits.message(self.incarnation, 0, Vec::new(), heard, full);
        self.effects.push_back(Effect::Ack { to, ack });
    }

    pub(super) fn announce_to_all(&mut self) {
        // All that were there send again now: each must get its share of the credit, not all of it.
        self.gateways.values_mut().for_each(|gateway| gateway.heard |= gateway.record.online);
        self.credits.shared_by(self.present_gateways());
        for path in self.gateways.keys().copied().collect::<Vec<_>>() {
            self.tell_incarnation(path);
        }
    }

    /// Only the alarm lane is taken.
    pub(super) fn is_above_quota(&self) -> bool {
        self.used_bytes >= self.settings.quota_bytes
    }

    /// Nobody is granted credit. Without room on the disk blocks are taken all the same: the one with which each agent
    /// probes tries the disk again, and the first that it takes gives everyone their credit back.
    pub fn is_full(&self) -> bool {
        self.is_above_quota() || self.no_room
    }

    pub(super) fn trimmed(&mut self, used_bytes: u64) {
        let was_full = self.is_full();
        self.used_bytes = used_bytes;
        // Those who wait for credit need not find out by probing.
        if was_full && !self.is_full() {
            self.announce_to_all();
        }
    }

    pub(super) fn store_full(&mut self, batch: u64) {
        self.no_room |= self.in_flight == Some(batch);
        self.commit_failed(batch);
    }

    /// The overlay is worth nothing now (rule a): drop it all and ask for what is committed.
    pub(super) fn commit_failed(&mut self, batch: u64) {
        if self.in_flight != Some(batch) {
            return;
        }
        self.counters.commit_failures += 1;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.mode = Mode::Reloading;
        self.effects.retain(|effect| matches!(effect, Effect::Provisional(_)));
        self.effects.push_back(Effect::Reload);
    }

    pub(super) fn reloaded(&mut self, now_ms: u64, snapshot: Snapshot, incarnation: u64) {
        // Batch numbers go on, so that an answer about an old batch fits none.
        self.forget_undone_damage(self.in_flight.unwrap_or(self.building.number));
        self.building = Batch { number: self.building.number + 1, ..Batch::default() };
        self.building_bytes = 0;
        self.building_since_ms = None;
        self.urgent = false;
        self.in_flight = None;
        self.dirty_origins.clear();
        self.fates.clear();
        self.verifying.clear();
        self.loading.clear();
        self.outbox = super::Outbox::default();
        self.refuse_orders();
        self.refuse_settings_orders();
        if self.refuse_rules_orders() {
            self.book = RuleBook::restore(snapshot.rules.clone());
        }
        self.refuse_alarm_orders();
        self.incarnation = incarnation;
        if !Mutant::OverlayKept.is_on() {
            self.adopt(snapshot);
        }
        let doubled = FIRST_BACK_OFF_MS << self.failures_in_a_row.saturating_sub(1).min(16);
        self.mode = Mode::BackingOff { until_ms: now_ms.saturating_add(doubled.min(LONGEST_BACK_OFF_MS)) };
    }

    /// Takes blocks again, and has the agents send what was dropped.
    pub(super) fn end_back_off(&mut self, now_ms: u64) {
        if let Mode::BackingOff { until_ms } = self.mode
            && now_ms >= until_ms
        {
            self.mode = Mode::Taking;
            self.listen_anew(now_ms);
            self.announce_to_all();
            self.ask_everyone(now_ms);
        }
    }
}
