//! Invariant 4: what a gateway hears while it is fresh leaves it soon.

use tidegate_agent::core::BoardFrame;
use tidegate_protocol::{Origin, SeqRange};

use super::{LIVE_BOUND_US, World};

impl World {
    fn is_in_outage(&self, at: usize) -> bool {
        let Some(gateway) = self.gateways.get(at) else { return true };
        let view = gateway.process.as_ref().map(|process| process.core.view(gateway.now(self.now_us).at));
        !gateway.uplink.up || view.is_none_or(|view| view.outage)
    }

    /// Live readings that arrive while nothing goes wrong.
    pub fn frames_for_checker(&mut self, at: usize, frames: &[BoardFrame]) {
        let fresh = frames.iter().flat_map(|frame| self.fresh(at, frame)).collect::<Vec<_>>();
        if self.checker.live_from_us.is_none_or(|from_us| self.now_us < from_us) {
            return;
        }
        // While nobody answers what is in flight, the gateway is in an outage, whatever its connection says: what was
        // swallowed before the calm fills its window until it is missed and sent again.
        if self.is_in_outage(at) {
            self.checker.outages.insert(at, self.now_us);
            return;
        }
        for (origin, seq) in fresh {
            if !self.cloud.store.accepted.get(&origin).is_some_and(|stored| stored.contains(seq)) {
                self.checker.live.entry((at, origin, seq)).or_insert(Some(self.now_us));
            }
        }
    }

    /// The readings of a frame that a gateway hears in time.
    fn fresh(&mut self, at: usize, frame: &BoardFrame) -> Vec<(Origin, u64)> {
        let measured_from_us = self.checker.live_from_us.unwrap_or(u64::MAX);
        match frame {
            BoardFrame::Hello { device, boot: Some(boot), next, .. } => {
                let heard = self.checker.heard.entry((at, Origin::new(*device, *boot))).or_default();
                *heard = (*heard).max(*next);
                Vec::new()
            }
            BoardFrame::Readings { readings, .. } => {
                let (Some(first), Some(last)) = (readings.first(), readings.last()) else {
                    return Vec::new();
                };
                let board = self.boards.iter().find(|board| {
                    let known = board.origin().and_then(|origin| self.truth.get(origin));
                    known.is_some_and(|truth| truth.was_measured(first))
                });
                let Some((board, origin)) = board.and_then(|board| Some((board, board.origin()?))) else {
                    return Vec::new();
                };
                let heard = self.checker.heard.entry((at, origin)).or_default();
                let is_late = last.seq.0 < *heard;
                *heard = (*heard).max(last.seq.0 + 1);
                let readings = readings.iter().filter(|_| !is_late);
                let in_time = readings.filter(|reading| board.time_of(reading.tick) >= measured_from_us);
                in_time.map(|reading| (origin, reading.seq.0)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Readings that should have left long ago and have not.
    pub fn check_live_waiting(&mut self) {
        let late = self.checker.live.iter().find(|((at, ..), since)| {
            let outage = self.checker.outages.get(at).copied().unwrap_or_default();
            let late = |since: u64| self.now_us > since + LIVE_BOUND_US && since > outage;
            since.is_some_and(late) && !self.is_in_outage(*at)
        });
        let Some(((at, origin, seq), _)) = late else { return };
        // It may have arrived by way of the other gateway, or have been known here before.
        let (key, origin, seq) = ((*at, *origin, *seq), *origin, *seq);
        let at = key.0;
        let missing = self.nowhere(origin, SeqRange::new(seq, seq + 1));
        if missing.is_empty() {
            self.checker.live.insert(key, None);
            return;
        }
        self.violate("live-first", format!("{origin} {seq} waits at gateway {at} and is not sent"));
    }
}
