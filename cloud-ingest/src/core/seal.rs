//! Origins that have ended shrink to a row (rule h): how much was stored and lost, and a digest of the ledger's ranges.
//!
//! Sealed is what has ended, has no hole, and was not heard of for the retention that the shell names. Ended is an origin
//! whose `Closed` came; also one that another boot has superseded, where a boot that was first heard of later has ended too:
//! nobody will close it any more. A hole is never closed here: that is for an operator, by retiring the device.
//! The boot whose alarms are live is never sealed, so that a device's present state outlives its ledger.
//!
//! What arrives of a sealed origin afterwards is `rejected(sealed)`: it cannot be told any more whether it is stored already.
//!
//! Bound: [`MAX_SEALED_AT_ONCE`] in one batch; the rest waits until the shell asks again. A batch that fails leaves the
//! origins as they were.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tidegate_protocol::{
    ClockAnchor, DeviceId, LossReason, Origin, RangeSet, SiteId,
    block::{Description, Tail},
};
use tidegate_service::Mutant;

use super::{
    Core, Mode,
    batch::{OriginNo, OriginRecord},
    origins::OriginState,
};

/// How many origins one batch seals at most.
pub const MAX_SEALED_AT_ONCE: usize = 512;

/// What is left of an origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRecord {
    pub site: SiteId,
    pub origin: Origin,
    /// Its readings are still read by it.
    pub anchor: Option<ClockAnchor>,
    /// One past the highest seq that anyone spoke of.
    pub next: u64,
    /// The device ended with a word about how much it had measured.
    pub exact: bool,
    pub stored: u64,
    /// By reason; reasons without a loss are left out.
    pub lost: Vec<(LossReason, u64)>,
    pub recovered: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    pub first_heard_unix_ms: i64,
    pub last_arrival_unix_ms: i64,
    pub last_heard_unix_ms: i64,
    /// [`super::ledger::Ledger::digest`] at the time of sealing.
    pub digest: [u8; 32],
    /// Readings that came after, sent again or for the first time, and were refused.
    pub refused: u64,
}

/// An origin on its way to its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub record: SealedRecord,
    /// As in [`OriginRecord`].
    pub corrected: RangeSet,
    pub description: Option<Description>,
}

impl SealedRecord {
    fn new(record: &OriginRecord) -> Self {
        let ledger = &record.ledger;
        let lost = ledger.lost().filter(|(_, ranges)| !ranges.is_empty());
        Self {
            site: record.site,
            origin: record.origin,
            anchor: record.anchor,
            next: ledger.next(),
            exact: matches!(ledger.tail(), Some(Tail::Known(_))),
            stored: ledger.stored().count(),
            lost: lost.map(|(reason, ranges)| (reason, ranges.count())).collect(),
            recovered: ledger.recovered(),
            duplicates: record.duplicates,
            conflicts: record.conflicts.count(),
            first_heard_unix_ms: record.first_heard_unix_ms,
            last_arrival_unix_ms: record.last_arrival_unix_ms,
            last_heard_unix_ms: record.last_heard_unix_ms,
            digest: ledger.digest(),
            refused: 0,
        }
    }

    /// So many of its stored readings cannot be read any more. The digest stays that of its sealing.
    pub fn corrupt(&mut self, count: u64) {
        self.stored = self.stored.saturating_sub(count);
        match self.lost.iter_mut().find(|(reason, _)| *reason == LossReason::Corrupt) {
            Some((_, lost)) => *lost = lost.saturating_add(count),
            None => {
                self.lost.push((LossReason::Corrupt, count));
                self.lost.sort_by_key(|(reason, _)| reason.code());
            }
        }
    }
}

/// The highest number of an ended boot, by device.
type Ended = HashMap<(SiteId, DeviceId), OriginNo>;

impl Core {
    /// Seals what was asked for, once nothing is being written: then what is not dirty is committed as it stands here.
    pub(super) fn seal_if_asked(&mut self, now_ms: u64) {
        if self.in_flight.is_some() || self.mode != Mode::Taking {
            return;
        }
        let Some(before_unix_ms) = self.seal_before_unix_ms.take() else { return };
        let ended = self.ended_boots();
        let ready = self.origins.iter().filter(|(no, state)| {
            state.record.last_heard_unix_ms < before_unix_ms && self.can_be_sealed(*no, state, &ended)
        });
        let ready: Vec<OriginNo> = ready.map(|(no, _)| no).take(MAX_SEALED_AT_ONCE).collect();
        if ready.is_empty() {
            return;
        }
        self.touch_batch(now_ms);
        for no in ready {
            let Some(state) = self.origins.seal(no) else { continue };
            let OriginState { record, description, .. } = *state;
            let sealed_record = SealedRecord::new(&record);
            let sealed = Sealed { record: sealed_record, corrected: record.corrected, description };
            self.building.sealed.push((no, Box::new(sealed)));
            self.counters.origins_sealed += 1;
        }
    }

    fn ended_boots(&self) -> Ended {
        let mut ended = Ended::new();
        for (no, state) in self.origins.iter().filter(|(_, state)| state.record.ledger.tail().is_some()) {
            // Numbers ascend.
            ended.insert((state.record.site, state.record.origin.device), no);
        }
        ended
    }

    fn can_be_sealed(&self, no: OriginNo, state: &OriginState, ended: &Ended) -> bool {
        let record = &state.record;
        let (site, device) = (record.site, record.origin.device);
        let later = || {
            let sealed = self.origins.newest_sealed(site, device);
            ended.get(&(site, device)).copied().max(sealed).is_some_and(|later| later > no)
        };
        let has_ended = record.ledger.tail().is_some() || (record.superseded && later());
        let is_told = !state.watch.any() || record.settled >= record.ledger.next();
        let is_whole = record.ledger.has_no_holes() && is_told;
        has_ended
            && (is_whole || Mutant::HolesSealed.is_on())
            && !state.dirty
            && self.origins.current(site, device) != Some(no)
            && !self.is_looked_at(no)
    }

    /// Whether an answer about it is awaited.
    fn is_looked_at(&self, no: OriginNo) -> bool {
        self.loading.contains(&no)
            || self.to_load.contains(&no)
            || self.stalled_loads.contains(&no)
            || self.verifying.concerns(no)
    }
}
