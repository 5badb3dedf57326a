//! Which boot of a device is live: its readings raise and clear alarms, and its live states are the device's.

use std::collections::HashMap;

use tidegate_protocol::{DeviceId, SiteId, topic::Lane};

use super::{
    Core,
    batch::{LiveRecord, OriginNo},
    origins::OriginState,
};

impl Core {
    /// Whether the origin's readings are the device's live ones; a newer boot takes over the live states.
    pub(super) fn make_current(&mut self, now_ms: u64, no: OriginNo, lane: Lane) -> bool {
        let Some(state) = self.origins.get(no) else { return false };
        let (site, device) = (state.record.site, state.record.origin.device);
        let Some(current) = self.origins.current(site, device) else {
            self.origins.set_current(site, device, no);
            self.put_live(no);
            return true;
        };
        if current == no {
            return true;
        }
        let Some((old, new)) = self.origins.pair_mut(current, no) else { return false };
        // A boot that was passed over wrongly comes back once the one before it has ended.
        let returns = is_live(lane) && has_ended(old) && !has_ended(new);
        if (new.record.superseded && !returns) || !is_newer(old, new, lane) {
            return false;
        }
        old.record.superseded = true;
        new.record.superseded = false;
        old.presence.passed_over(now_ms);
        new.presence.is_present();
        old.watch.hand_over(&mut new.watch, site, device);
        self.origins.set_current(site, device, no);
        self.mark_dirty(current);
        self.mark_dirty(no);
        self.put_live(no);
        true
    }

    /// Who is live, as it was committed. Of a device without a row (stores of before did not note a first boot whose alarms
    /// never changed) it is the newest boot with readings, one that goes on before one that has ended.
    pub(super) fn adopt_live(&mut self, live: Vec<((SiteId, DeviceId), LiveRecord)>) {
        for ((site, device), live) in live {
            self.origins.set_current(site, device, live.current);
            if let Some(state) = self.origins.get_mut(live.current) {
                state.watch.restore_live(&live.channels);
            }
        }
        let mut newest: HashMap<_, (bool, OriginNo)> = HashMap::new();
        for (no, state) in self.origins.iter() {
            let (site, device) = (state.record.site, state.record.origin.device);
            let has_readings = !state.record.ledger.stored().is_empty();
            if has_readings && !state.record.superseded && self.origins.current(site, device).is_none() {
                let rank = (!has_ended(state), no);
                let known = newest.entry((site, device)).or_insert(rank);
                *known = rank.max(*known);
            }
        }
        for ((site, device), (_, no)) in newest {
            self.origins.set_current(site, device, no);
            self.put_live(no);
        }
    }

    pub(super) fn put_live(&mut self, no: OriginNo) {
        let Some(state) = self.origins.get(no) else { return };
        let key = (state.record.site, state.record.origin.device);
        let record = LiveRecord { current: no, channels: state.watch.live_states() };
        self.building.live.push((key, record));
    }
}

/// Which of two boots of a device is the later one. A boot that ended is not later than one that goes on; else anchors tell,
/// if a synchronised clock made both (another one may have jumped between them); else what comes live is the later.
fn is_newer(old: &OriginState, new: &OriginState, lane: Lane) -> bool {
    match (has_ended(old), has_ended(new)) {
        (false, true) => false,
        (true, false) => true,
        _ => match (old.started_by_synced_clock(), new.started_by_synced_clock()) {
            (Some(old_start), Some(new_start)) => new_start > old_start,
            _ => is_live(lane),
        },
    }
}

pub(super) fn has_ended(state: &OriginState) -> bool {
    state.record.ledger.tail().is_some()
}

pub(super) fn is_live(lane: Lane) -> bool {
    matches!(lane, Lane::Alarm | Lane::Live)
}
