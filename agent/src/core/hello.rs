//! A board says who it is: which boot it gets, and what becomes of the boot before.

use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, LossReason, Origin,
    block::{Description, Record, Tail},
};
use tidegate_service::Mutant;

use super::{
    Core,
    event::LinkId,
    origin::{OriginState, Slot},
    packer::{self, Awaited},
};

/// What a Hello says.
#[derive(Debug)]
pub(super) struct Introduction {
    pub device: DeviceId,
    pub tag: String,
    pub firmware: String,
    pub boot: Option<BootId>,
    pub fresh: BootId,
    pub floor: u64,
    pub next: u64,
    pub channels: Vec<ChannelDecl<String>>,
}

impl Core {
    pub(super) fn hello(&mut self, link: LinkId, who: Introduction) {
        let boot = self.boot_for(link, &who);
        let origin = Origin::new(who.device, boot);
        let description =
            Description { origin, tag: who.tag, firmware: who.firmware, channels: who.channels };
        let slot = match self.origins.slot(origin) {
            Some(slot) => {
                self.goes_on(slot, description);
                slot
            }
            None if self.origins.len() >= self.settings.max_origins => {
                // Not welcomed, so the board keeps its readings. What comes on is not of whoever spoke here before.
                self.counters.origins_refused += 1;
                self.origins.detach(link);
                return;
            }
            None => self.origins.add(OriginState::new(description)),
        };
        // Whatever boots were open, of the last run too: the device is in this one.
        for old in self.origins.open_boots(who.device, slot) {
            self.close_unclean(old);
        }
        // A fresh boot starts its own numbering; what the Hello says is of the one before.
        if let Some(state) = self.origins.get_mut(slot) {
            if who.boot == Some(boot) {
                state.reports(who.floor, who.next);
            }
            self.declare_below_floor(slot);
        }
        self.origins.attach(link, slot);
        self.origins.owe_ack(slot);
        self.welcome(link, boot);
    }

    /// The boot the board is to number under: its own, unless it has none or its numbers went back, which would give
    /// two readings one identity.
    fn boot_for(&self, link: LinkId, who: &Introduction) -> BootId {
        let Some(boot) = who.boot else {
            return self.unused_boot_on(link, who.device).unwrap_or(who.fresh);
        };
        let known = self.origins.slot(Origin::new(who.device, boot)).and_then(|slot| self.origins.get(slot));
        match known {
            Some(state)
                if who.next < state.received.end().max(state.acked) && !Mutant::BootReused.is_on() =>
            {
                self.unused_boot_on(link, who.device).unwrap_or(who.fresh)
            }
            _ => boot,
        }
    }

    /// A boot assigned on this link before, whose Welcome got lost: nothing was numbered under it yet.
    fn unused_boot_on(&self, link: LinkId, device: DeviceId) -> Option<BootId> {
        let state = self.origins.linked(link).and_then(|slot| self.origins.get(slot))?;
        let unused = state.origin().device == device && state.next == 0 && state.received.is_empty();
        unused.then(|| state.boot())
    }

    fn goes_on(&mut self, slot: Slot, description: Description) {
        let Some(state) = self.origins.get_mut(slot) else { return };
        state.reopen();
        if state.description != description {
            state.description = description;
            state.described = false;
            state.unrecorded = true;
        }
    }

    /// The device is in a new boot: what this one still held is gone, how much it measured is not known.
    pub(super) fn close_unclean(&mut self, slot: Slot) {
        let due = self.due_unstretched();
        let Some(state) = self.origins.get_mut(slot).filter(|state| !state.closed) else { return };
        let closing = Awaited::Closing(state.close());
        let (origin, tail, next) = (state.origin(), state.unclean_tail(), state.next);
        let tail = if Mutant::TailForgotten.is_on() { Vec::new() } else { tail };
        for record in packer::losses(origin, tail, LossReason::UncleanTail) {
            if let Record::Loss(loss) = &record {
                self.counters.lost(LossReason::UncleanTail, loss.range.len());
            }
            self.packer.record_came(record, Awaited::Nothing, due);
        }
        self.packer.record_came(Record::Closed { origin, tail: Tail::AtLeast(next) }, closing, due);
        self.custodian.may_be_due(due);
    }
}
