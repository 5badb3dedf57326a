//! Sources of this machine. They cannot resend, and their boot ends with the process.

use tidegate_protocol::{
    ChannelIndex, Origin, Quality, Reading, Seq, Tick, Value,
    block::{Description, Record, Tail},
};

use super::{Core, Time, clock::Anchored, event::OriginRecord, origin::OriginState, packer::Awaited};

impl Core {
    /// Nothing can continue a local boot of the last run: all that is left of it is in the queue. Nor can anybody deliver what
    /// the last run held in memory alone of a boot that had ended.
    pub(super) fn end_boots_of_the_last_run(&mut self, records: &[OriginRecord]) {
        for record in records {
            match self.origins.slot(record.description.origin) {
                Some(slot) if record.closed => self.declare_tail(slot),
                Some(slot) if record.local => self.close_unclean(slot),
                _ => {}
            }
        }
    }

    pub(super) fn local_opened(&mut self, description: Description, flush_interval_ms: u64) {
        if let Some(old) = self.origins.current(description.origin.device) {
            self.close_unclean(old);
        }
        let mut state = OriginState::new(description);
        state.local_flush_ms = Some(flush_interval_ms);
        self.origins.add_current(state);
    }

    /// Numbers the values and takes them in. While memory is full nothing is measured: no number is used up.
    pub(super) fn local_sample(
        &mut self,
        origin: Origin,
        tick: Tick,
        taken: Time,
        values: &[(ChannelIndex, Value, Quality)],
    ) {
        if !self.takes_frames() {
            self.counters.local_samples_skipped += 1;
            return;
        }
        let Some(slot) = self.origins.slot(origin) else { return };
        let Some(state) = self.origins.get_mut(slot).filter(|state| !state.closed) else { return };
        let flush_ms = state.local_flush_ms.unwrap_or(self.settings.flush_interval_ms);
        let first = state.next;
        let readings: Vec<Reading> = (first..)
            .zip(values)
            .map(|(seq, &(channel, value, quality))| Reading { seq: Seq(seq), channel, tick, value, quality })
            .collect();
        let next = first + readings.len() as u64;
        // Nobody else has custody of what a source of this machine measured: its floor stays at the beginning.
        state.reports(0, next);
        let urgent = self.urgent(slot, &readings);
        let Some(state) = self.origins.get_mut(slot) else { return };
        let (lane, new) = state.take(readings, Vec::new());
        let anchor_due =
            state.anchored.is_none_or(|last| taken >= last.at.plus_ms(super::ANCHOR_INTERVAL_MS));
        self.counters.readings_received += new as u64;
        if anchor_due {
            self.anchor(slot, Anchored { tick, at: taken, delay_ms: 0 });
        }
        let due = self.due_in(flush_ms, flush_ms);
        self.packer.readings_came(&mut self.origins, slot, lane, new, due);
        self.custodian.may_be_due(due);
        urgent.into_iter().for_each(|range| self.promote(slot, lane, range));
    }

    pub(super) fn local_closed(&mut self, origin: Origin) {
        let due = self.due_in(0, 0);
        let Some(slot) = self.origins.slot(origin) else { return };
        let Some(state) = self.origins.get_mut(slot).filter(|state| !state.closed) else { return };
        let closing = Awaited::Closing(state.close());
        let tail = Tail::Known(state.next);
        self.packer.record_came(Record::Closed { origin, tail }, closing, due);
        self.custodian.may_be_due(due);
    }
}
