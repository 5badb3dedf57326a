//! When a batch is written, and what follows: acknowledgements after success, a fresh start after failure.

use tidegate_protocol::{Origin, SeqRange, ack::RejectReason, topic::GatewayPath};

use super::{
    Core, EAGER_BATCH_BYTES, Effect, Mode, Snapshot,
    acks::Rejection,
    batch::{Batch, OriginNo, Quarantined},
};

/// How long to wait after a failed commit: doubled with each failure in a row, up to the longest.
const FIRST_BACK_OFF_MS: u64 = 250;
const LONGEST_BACK_OFF_MS: u64 = 30_000;

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
        self.release_fates();
        self.request_loads();
    }

    /// Lets go of the outcomes that wait for nothing any more.
    pub(super) fn release_fates(&mut self) {
        // Numbers ascend: everything below the batch in flight, or else below the one being filled, is committed.
        let open = self.in_flight.unwrap_or(self.building.number);
        while let Some(mut fate) = self.fates.pop_front_if(|fate| fate.barrier < open) {
            match fate.verify.take() {
                None => self.outbox.push(fate.to, fate.epoch, fate.number, fate.rejection),
                Some(job) => {
                    let ticket = self.next_ticket;
                    self.next_ticket += 1;
                    self.verifying.insert(ticket, fate);
                    self.effects.push_back(Effect::Verify { ticket, job });
                }
            }
        }
        self.send_acks();
    }

    pub(super) fn verified(&mut self, now_ms: u64, ticket: u64, differing: Option<Vec<(Origin, SeqRange)>>) {
        let Some(mut fate) = self.verifying.remove(&ticket) else { return };
        // Unreadable: no answer, and the agent sends again.
        let Some(differing) = differing else { return };
        if differing.is_empty() {
            self.outbox.push(fate.to, fate.epoch, fate.number, fate.rejection);
            return self.send_acks();
        }
        for (origin, range) in &differing {
            self.counters.readings_conflicting += range.len();
            let Some(no) = self.origins.number(fate.to.site, *origin) else { continue };
            if let Some(state) = self.origins.get_mut(no) {
                state.record.conflicts.insert(*range);
                state.record.duplicates = state.record.duplicates.saturating_sub(range.len());
            }
            self.mark_dirty(no);
        }
        let because = format!("{} ranges differ from what is stored under the same boot", differing.len());
        self.building.quarantine.push(Quarantined {
            from: fate.to,
            arrival_unix_ms: self
                .gateways
                .get(&fate.to)
                .and_then(|known| known.record.last_block_unix_ms)
                .unwrap_or(0),
            reason: RejectReason::BootConflict,
            because,
            bytes: fate.block.to_vec(),
        });
        self.building_bytes += fate.block.len();
        let mut rejection = fate
            .rejection
            .take()
            .unwrap_or(Rejection { reason: RejectReason::BootConflict, parts: Vec::new() });
        rejection.parts.extend(differing);
        fate.rejection = Some(rejection);
        fate.barrier = self.building.number;
        self.touch_batch(now_ms);
        self.fates.push_back(fate);
    }

    fn send_acks(&mut self) {
        let gateways = self.gateways.values().filter(|gateway| gateway.heard).count();
        let full = self.is_full();
        for (to, epoch, outcomes) in self.outbox.take() {
            let ack = self.credits.message(self.incarnation, epoch, outcomes, gateways, full);
            self.counters.acks_sent += 1;
            self.effects.push_back(Effect::Ack { to, ack });
        }
    }

    /// Tells a gateway which incarnation it speaks to.
    pub(super) fn announce(&mut self, to: GatewayPath) {
        let gateways = self.gateways.values().filter(|gateway| gateway.heard).count();
        let full = self.is_full() || self.mode != Mode::Taking;
        let ack = self.credits.message(self.incarnation, 0, Vec::new(), gateways, full);
        self.effects.push_back(Effect::Ack { to, ack });
    }

    pub(super) fn announce_to_all(&mut self) {
        for path in self.gateways.keys().copied().collect::<Vec<_>>() {
            self.announce(path);
        }
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
        self.incarnation = incarnation;
        self.adopt(snapshot);
        let doubled = FIRST_BACK_OFF_MS << self.failures_in_a_row.saturating_sub(1).min(16);
        self.mode = Mode::BackingOff { until_ms: now_ms.saturating_add(doubled.min(LONGEST_BACK_OFF_MS)) };
    }

    /// Takes blocks again, and has the agents send what was dropped.
    pub(super) fn end_back_off(&mut self, now_ms: u64) {
        if let Mode::BackingOff { until_ms } = self.mode
            && now_ms >= until_ms
        {
            self.mode = Mode::Taking;
            self.announce_to_all();
        }
    }
}
