//! The table of origins, and which device and link each belongs to.

use std::collections::{BTreeMap, HashMap};

use tidegate_protocol::{DeviceId, Origin};

use super::{
    event::{Key, LinkId, OriginRecord},
    origin::{OriginState, Slot},
};

#[derive(Debug, Default)]
pub struct Origins {
    /// Ordered, since they are gone through: a core that is told the same does the same.
    states: BTreeMap<Slot, OriginState>,
    by_origin: HashMap<Origin, Slot>,
    /// The boot a device is in now.
    current: HashMap<DeviceId, Slot>,
    links: HashMap<LinkId, Slot>,
    /// The boot before, whose readings come on a link as well.
    formers: HashMap<LinkId, Slot>,
    next_slot: u32,
    /// Origins that owe their boards an acknowledgement, perhaps.
    ack_due: Vec<Slot>,
}

impl Origins {
    pub fn recovered(records: Vec<OriginRecord>, next_key: Key) -> Self {
        let mut origins = Self::default();
        for record in records {
            let is_open = !record.closed;
            let state = OriginState::recovered(record, next_key);
            if is_open {
                origins.add_current(state)
            } else {
                origins.add(state)
            };
        }
        origins
    }

    /// Adds the boot that its device is in.
    pub fn add_current(&mut self, state: OriginState) -> Slot {
        let device = state.origin().device;
        let slot = self.add(state);
        self.current.insert(device, slot);
        slot
    }

    pub fn add(&mut self, state: OriginState) -> Slot {
        let slot = Slot(self.next_slot);
        self.next_slot += 1;
        let origin = state.origin();
        self.by_origin.insert(origin, slot);
        self.states.insert(slot, state);
        slot
    }

    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn slot(&self, origin: Origin) -> Option<Slot> {
        self.by_origin.get(&origin).copied()
    }

    pub fn current(&self, device: DeviceId) -> Option<Slot> {
        self.current.get(&device).copied()
    }

    pub fn get(&self, slot: Slot) -> Option<&OriginState> {
        self.states.get(&slot)
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut OriginState> {
        self.states.get_mut(&slot)
    }

    /// The device's boots that are not closed, but for `slot`.
    pub fn open_boots(&self, device: DeviceId, slot: Slot) -> Vec<Slot> {
        let others = self
            .states
            .iter()
            .filter(|(other, state)| **other != slot && !state.closed && state.origin().device == device);
        others.map(|(slot, _)| *slot).collect()
    }

    pub fn linked(&self, link: LinkId) -> Option<Slot> {
        self.links.get(&link).copied()
    }

    pub fn former(&self, link: LinkId) -> Option<Slot> {
        self.formers.get(&link).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Slot, &OriginState)> {
        self.states.iter().map(|(slot, state)| (*slot, state))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut OriginState)> {
        self.states.iter_mut().map(|(slot, state)| (*slot, state))
    }

    /// From now on this link speaks for this origin.
    pub fn attach(&mut self, link: LinkId, slot: Slot) {
        self.detach(link);
        self.one_link(slot, link);
        self.links.insert(link, slot);
        if let Some(state) = self.states.get_mut(&slot) {
            state.link = Some(link);
            self.current.insert(state.origin().device, slot);
        }
    }

    /// The same for a boot that its device is not in any more, beside the one that it is in.
    pub fn attach_former(&mut self, link: LinkId, slot: Slot) {
        self.one_link(slot, link);
        if let Some(before) = self.formers.insert(link, slot) {
            self.unlink(before, link);
        }
        if let Some(state) = self.states.get_mut(&slot) {
            state.link = Some(link);
        }
    }

    /// Whoever spoke for it before does no more: from two links came what two boards say.
    fn one_link(&mut self, slot: Slot, link: LinkId) {
        let before = self.states.get(&slot).and_then(|state| state.link).filter(|before| *before != link);
        let Some(before) = before else { return };
        for links in [&mut self.links, &mut self.formers] {
            if links.get(&before) == Some(&slot) {
                links.remove(&before);
            }
        }
    }

    pub fn detach(&mut self, link: LinkId) {
        let slots = [self.links.remove(&link), self.formers.remove(&link)];
        slots.into_iter().flatten().for_each(|slot| self.unlink(slot, link));
    }

    fn unlink(&mut self, slot: Slot, link: LinkId) {
        if let Some(state) = self.states.get_mut(&slot).filter(|state| state.link == Some(link)) {
            state.link = None;
        }
    }

    /// Notes that an acknowledgement may be due.
    pub fn owe_ack(&mut self, slot: Slot) {
        if let Some(state) = self.states.get_mut(&slot) {
            state.ack_due = true;
            if self.ack_due.last() != Some(&slot) {
                self.ack_due.push(slot);
            }
        }
    }

    pub fn take_owed(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.ack_due)
    }

    pub fn forget(&mut self, slot: Slot) -> Option<Origin> {
        let origin = self.states.remove(&slot)?.origin();
        self.by_origin.remove(&origin);
        if self.current.get(&origin.device) == Some(&slot) {
            self.current.remove(&origin.device);
        }
        self.links.retain(|_, linked| *linked != slot);
        self.formers.retain(|_, linked| *linked != slot);
        Some(origin)
    }
}
