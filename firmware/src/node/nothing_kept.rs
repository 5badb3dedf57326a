//! A node without a queue in flash: what `kept` knows of one, for one that there is not.

use tidegate_protocol::{
    BootId, Tick,
    frame::{HelloMark, Standing},
    id::Seq,
};

use super::Node;

impl<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>> Node<'_, CHANNELS, S> {
    pub(super) const fn kept_end(&self) -> Seq {
        self.floor
    }

    pub(super) const fn standing(&self) -> Standing {
        Standing::Present
    }

    pub(super) const fn kept_waiting(&self) -> bool {
        false
    }

    pub(super) const fn send_kept_again(&mut self, _until: Seq) {}

    pub(super) const fn repeat_kept(&mut self) {}

    pub(super) const fn kept_is_acknowledged(&mut self) {}

    pub(super) const fn forget_kept(&mut self) {}

    pub(super) const fn greet_for_former(&mut self, _now: Tick) {}

    pub(super) const fn former_is_welcomed(
        &mut self,
        _now: Tick,
        _answers: Option<HelloMark>,
        _boot: BootId,
    ) -> bool {
        false
    }

    pub(super) const fn former_is_acknowledged(&mut self, _now: Tick, _boot: BootId, _up_to: Seq) -> bool {
        false
    }

    pub(super) const fn fetch_at(&self, _now: Tick) -> Option<Tick> {
        None
    }
}
