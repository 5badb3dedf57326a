//! A board says who it is: which boot it gets, and what becomes of the boot before.

use tidegate_protocol::{
    BootId, ChannelDecl, DeviceId, LossReason, Origin, Seq,
    block::{Description, Record, Tail},
    frame::{Down, HelloMark, Standing, Welcome},
};
use tidegate_service::Mutant;

use super::{
    Core,
    event::{Effect, LinkId},
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
    pub standing: Standing,
    pub proven: bool,
    pub fresh: BootId,
    pub floor: u64,
    pub next: u64,
    pub channels: Vec<ChannelDecl<String>>,
}

impl Core {
    pub(super) fn hello(&mut self, link: LinkId, who: Introduction) {
        let answers = HelloMark::of(who.boot, Seq(who.next));
        let Some(boot) = who.boot.filter(|&boot| self.goes_on_under(boot, &who)) else {
            // An offer. Nothing is kept of it until the board says that it took it, perhaps from another gateway.
            self.origins.detach(link);
            return self.welcome(link, answers, who.fresh);
        };
        let Introduction { device, tag, firmware, standing, floor, next, channels, .. } = who;
        let origin = Origin::new(device, boot);
        let description = Description { origin, tag, firmware, channels };
        let slot = match self.origins.slot(origin) {
            Some(slot) => {
                self.goes_on(slot, description);
                slot
            }
            None if self.origins.len() >= self.settings.max_origins => {
                // Not welcomed, so the board keeps its readings. What comes on is not of whoever spoke here before.
                self.counters.origins_refused += 1;
                if standing != Standing::Former {
                    self.origins.detach(link);
                }
                return;
            }
            None => self.origins.add(OriginState::new(description)),
        };
        if standing == Standing::Present {
            // Whatever boots were open, of the last run too: the device is in this one, and has nothing of them.
            for old in self.origins.open_boots(device, slot) {
                self.close_unclean(old);
            }
        }
        if let Some(state) = self.origins.get_mut(slot) {
            state.greets(floor, next);
        }
        self.declare_below_floor(slot);
        match standing {
            Standing::Present | Standing::Keeping => self.origins.attach(link, slot),
            Standing::Former => self.origins.attach_former(link, slot),
        }
        self.origins.owe_ack(slot);
        self.welcome(link, answers, boot);
        self.tell_new_boot(who.device);
    }

    /// Whether the board may number on under the boot it says: not if its numbers went back, which would give two
    /// readings one identity, if it holds again what it had let go, or if two boards have that boot. Neither `next` nor `floor` of
    /// one board ever falls. A former boot numbers nothing any more, and what its board sent last it need not have kept.
    fn goes_on_under(&mut self, boot: BootId, who: &Introduction) -> bool {
        if who.standing == Standing::Former {
            return true;
        }
        let known = self.origins.slot(Origin::new(who.device, boot)).and_then(|slot| self.origins.get(slot));
        let Some(state) = known.filter(|_| !Mutant::BootReused.is_on()) else { return true };
        let told_next = state.received.end().max(state.acked).max(state.next);
        if !state.contested && who.next >= told_next && who.floor >= state.floor {
            return true;
        }
        self.counters.hellos_gone_back += 1;
        tracing::warn!(
            device = %who.device, %boot, floor = who.floor, next = who.next,
            known_floor = state.floor, known_next = told_next, contested = state.contested,
            "a board does not go on where this boot is, and gets another: it was set back, it is a second board with the same name and \
             boot, or this is an old copy of a Hello"
        );
        false
    }

    fn welcome(&mut self, link: LinkId, answers: Option<HelloMark>, boot: BootId) {
        let (unix_ms, error_ms) = (self.now.unix_ms, self.clock.error_ms());
        let frame = Down::Welcome(Welcome { answers, boot, unix_ms, error_ms });
        self.effects.push_back(Effect::Send { link, frame });
    }

    fn goes_on(&mut self, slot: Slot, description: Description) {
        let Some(state) = self.origins.get_mut(slot) else { return };
        state.reopen();
        if state.description != description {
            state.description = description;
            state.watch = None;
            state.described = false;
            state.unrecorded = true;
        }
    }

    /// The device is in a new boot: what this one still held is gone, how much it measured is not known.
    /// That it ended is written at once: if the agent is killed, nobody may ever say so again.
    pub(super) fn close_unclean(&mut self, slot: Slot) {
        let due = self.due_in(0, 0);
        let Some(state) = self.origins.get_mut(slot).filter(|state| !state.closed) else { return };
        let closing = Awaited::Closing(state.close());
        let (origin, next) = (state.origin(), state.next);
        let lost = state.unclean_tail().iter().map(|range| range.len()).sum();
        if !Mutant::TailForgotten.is_on() {
            self.declare_tail(slot);
            self.counters.lost(LossReason::UncleanTail, lost);
        }
        self.packer.record_came(Record::Closed { origin, tail: Tail::AtLeast(next) }, closing, due);
        self.custodian.may_be_due(due);
    }

    /// What nobody can deliver any more of a boot that ended. Said twice it is no different.
    pub(super) fn declare_tail(&mut self, slot: Slot) {
        let due = self.due_unstretched();
        let Some(state) = self.origins.get(slot) else { return };
        for record in packer::losses(state.origin(), state.unclean_tail(), LossReason::UncleanTail) {
            self.packer.record_came(record, Awaited::Nothing, due);
            self.custodian.may_be_due(due);
        }
    }
}
