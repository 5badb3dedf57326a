//! Frames of boards: readings, heartbeats and losses that a board declares.

use tidegate_protocol::{
    BootTag, ClockQuality, LossReason, Origin, Reading, SeqRange,
    block::Record,
    frame::{BoardTime, Down, Heartbeat},
};
use tidegate_service::Mutant;

use super::{
    ANCHOR_INTERVAL_MS, Core, IDENTIFY_INTERVAL_MS,
    clock::Anchored,
    event::{BoardFrame, Effect, LinkId},
    hello::Introduction,
    origin::Slot,
    packer::{self, Awaited},
    time::Time,
};

/// How long a frame may have been under way, on top of the gateway clock's own error.
const FRAME_DELAY_MS: u32 = 50;
/// The same for a reading that stands for "now" because the board has not said its tick yet.
const READING_DELAY_MS: u32 = 1_000;

impl Core {
    pub(super) fn board_frames(&mut self, link: LinkId, arrived: Time, frames: Vec<BoardFrame>) {
        for frame in frames {
            match frame {
                BoardFrame::Hello {
                    device,
                    tag,
                    firmware,
                    boot,
                    standing,
                    proven,
                    fresh,
                    floor,
                    next,
                    channels,
                } => {
                    let who = Introduction {
                        device,
                        tag,
                        firmware,
                        boot,
                        standing,
                        proven,
                        fresh,
                        floor,
                        next,
                        channels,
                    };
                    if self.admits(link, &who) {
                        self.hello(link, who);
                    }
                }
                BoardFrame::Called { device, held } => self.called(link, device, held),
                BoardFrame::Bad(error) => self.counters.bad_frame(error),
                BoardFrame::SettingsResult { boot, result } => {
                    self.on_link(link, boot, |core, slot| core.settings_answered(link, slot, result));
                }
                BoardFrame::Unidentified => self.identify(link),
                BoardFrame::Readings { boot, floor, next, readings } => {
                    self.on_link(link, boot, |core, slot| {
                        core.readings(slot, link, arrived, floor, next, readings)
                    });
                }
                BoardFrame::Heartbeat(heartbeat) => {
                    self.on_link(link, heartbeat.boot, |core, slot| {
                        core.heartbeat(slot, arrived, &heartbeat);
                        core.tell_again(link);
                    });
                }
                BoardFrame::Lost { boot, range, reason, floor, next } => {
                    self.on_link(link, boot, |core, slot| core.lost(slot, range, reason, floor, next));
                }
            }
        }
    }

    /// Takes a frame for a boot that its link speaks for. One of another boot is not taken, so its board keeps what it holds:
    /// it was on its way when the board was given a new boot, or this gateway missed a Hello on a line that it shares.
    fn on_link(&mut self, link: LinkId, boot: BootTag, then: impl FnOnce(&mut Self, Slot)) {
        let linked = self.origins.linked(link);
        let is_of_it = |slot: &Slot| {
            let spoken_for = self.origins.get(*slot).map(|state| state.boot().tag());
            spoken_for == Some(boot) || Mutant::BootTagIgnored.is_on()
        };
        match [linked, self.origins.former(link)].into_iter().flatten().find(is_of_it) {
            Some(slot) => then(self, slot),
            None => {
                self.counters.frames_misaddressed += u64::from(linked.is_some());
                self.identify(link);
            }
        }
    }

    /// Asks who is speaking, but not for every frame.
    pub(super) fn identify(&mut self, link: LinkId) {
        let asked = self.identified.get(&link).copied();
        if asked.is_none_or(|at| self.now.at >= at.plus_ms(IDENTIFY_INTERVAL_MS)) {
            self.identified.insert(link, self.now.at);
            self.effects.push_back(Effect::Send { link, frame: Down::Identify });
        }
    }

    fn readings(
        &mut self,
        slot: Slot,
        link: LinkId,
        arrived: Time,
        floor: u64,
        next: u64,
        readings: Vec<Reading>,
    ) {
        let due = self.due_in(self.settings.flush_interval_ms, self.settings.outage_flush_interval_ms);
        let Some(state) = self.origins.get_mut(slot) else { return };
        let (Some(first), Some(last)) = (readings.first().copied(), readings.last().copied()) else {
            state.reports(floor, next);
            return;
        };
        if !state.has_room_for(first.seq.0) {
            self.counters.frames_refused += 1;
            return;
        }
        let Some(again) = self.before(slot, link, &readings) else { return };
        let Some(state) = self.origins.get_mut(slot) else { return };
        state.reports(floor, next);
        let urgent = self.urgent(slot, &readings);
        let Some(state) = self.origins.get_mut(slot) else { return };
        let count = readings.len();
        let (lane, new) = state.take(readings, again);
        let first_heard = state.anchored.is_none() && last.seq.0 + 1 == state.next;
        let tight = state.ring_is_tight();
        self.counters.readings_received += count as u64;
        self.counters.readings_duplicate += (count - new) as u64;
        if new > 0 {
            self.packer.readings_came(&mut self.origins, slot, lane, new, due);
            self.custodian.may_be_due(due);
            urgent.into_iter().for_each(|range| self.promote(slot, lane, range));
        } else {
            if Mutant::ResendAckedEarly.is_on() {
                state.made_safe(&[SeqRange::new(first.seq.0, last.seq.0 + 1)], &[]);
            }
            // The acknowledgement may have been lost.
            self.origins.owe_ack(slot);
        }
        if tight && self.is_outage() {
            self.custodian.force();
        }
        if first_heard {
            self.anchor(slot, Anchored { tick: last.tick, at: arrived, delay_ms: READING_DELAY_MS });
        }
    }

    fn heartbeat(&mut self, slot: Slot, arrived: Time, heartbeat: &Heartbeat) {
        let Some(state) = self.origins.get_mut(slot) else { return };
        state.reports(heartbeat.floor.0, heartbeat.next.0);
        state.ring = Some((heartbeat.ring_free, heartbeat.next.0));
        self.counters
            .board_troubles(std::mem::replace(&mut state.troubles, heartbeat.counters), heartbeat.counters);
        let (tight, link, state_origin) = (state.ring_is_tight(), state.link, state.origin());
        let anchor_due = state.anchored.is_none_or(|anchored| {
            anchored.delay_ms > FRAME_DELAY_MS || arrived >= anchored.at.plus_ms(ANCHOR_INTERVAL_MS)
        });
        self.origins.owe_ack(slot);
        if tight && self.is_outage() {
            self.custodian.force();
        }
        if !anchor_due {
            return;
        }
        let moment = Anchored { tick: heartbeat.tick, at: arrived, delay_ms: FRAME_DELAY_MS };
        match heartbeat.clock {
            Some(BoardTime { tick, unix_ms, error_ms }) => {
                let (origin, quality) = (state_origin, ClockQuality::Synced);
                self.say_anchor(Record::Anchor { origin, tick, unix_ms, error_ms, quality });
                self.set_anchored(slot, moment);
            }
            None => self.anchor(slot, moment),
        }
        if let Some(link) = link
            && self.clock.quality() != ClockQuality::Unsynced
        {
            let frame = Down::Time { unix_ms: self.now.unix_ms, error_ms: self.clock.error_ms() };
            self.effects.push_back(Effect::Send { link, frame });
        }
    }

    /// Ties a tick to the gateway's clock, and remembers when it was.
    pub(super) fn anchor(&mut self, slot: Slot, anchored: Anchored) {
        if let Some(origin) = self.set_anchored(slot, anchored) {
            self.anchor_record(origin, anchored);
        }
    }

    fn set_anchored(&mut self, slot: Slot, anchored: Anchored) -> Option<Origin> {
        let state = self.origins.get_mut(slot)?;
        state.anchored = Some(anchored);
        Some(state.origin())
    }

    fn lost(&mut self, slot: Slot, range: SeqRange, reason: LossReason, floor: u64, next: u64) {
        let due = self.due_unstretched();
        let Some(state) = self.origins.get_mut(slot) else { return };
        if !state.has_room_for(range.start) {
            self.counters.frames_refused += 1;
            return;
        }
        // The gaps come first: what is below the new floor was not given to us because of that.
        let gaps = state.received.missing(range);
        state.reports(floor, next);
        state.received.insert(range);
        state.heard.insert(range);
        gaps.iter().for_each(|&gap| state.unsafe_losses.insert(gap));
        let origin = state.origin();
        for record in packer::losses(origin, gaps, reason) {
            if let Record::Loss(loss) = &record {
                self.counters.lost(reason, loss.range.len());
            }
            self.packer.record_came(record, Awaited::Loss, due);
            self.custodian.may_be_due(due);
        }
        self.origins.owe_ack(slot);
    }
}
