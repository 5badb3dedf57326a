//! Closed origins are forgotten once nothing of them is held, so that boards may restart for years.

use super::{
    Core,
    origin::{OriginState, Slot},
};

impl Core {
    pub(super) fn forget_finished_origins(&mut self) {
        // What is ended must be told of as well when the cloud has forgotten it.
        if self.custodian.is_busy() || !self.account.is_idle() {
            return;
        }
        let is_packed = |state: &OriginState| state.live.is_empty() && state.late.is_empty();
        let closed = self.origins.iter().filter(|(_, state)| state.closing_safe && is_packed(state));
        let finished: Vec<Slot> = closed
            .filter(|(slot, state)| {
                !self.packer.concerns(state.origin())
                    && !self.outbox.concerns(*slot, state.last_number)
                    && state.last_number.is_none_or(|number| self.backlog.is_beyond(number))
            })
            .map(|(slot, _)| slot)
            .collect();
        for slot in finished {
            if let Some(state) = self.origins.get(slot)
                && let Some(anchored) = state.anchored
            {
                self.clock.origin_ends(state.origin(), anchored);
            }
            if let Some(origin) = self.origins.forget(slot) {
                self.custodian.forget(origin);
            }
        }
    }
}
