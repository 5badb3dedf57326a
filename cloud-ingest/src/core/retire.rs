//! An operator closes what nobody else will: a device's origins end, and their holes are declared lost (rule h). Ledger,
//! operator log and what follows for the alarm history commit in one batch; the answer waits for it. What is closed and
//! whole already is left as it is, so that the same order again changes nothing and is not logged again.

use serde::{Deserialize, Serialize};
use tidegate_protocol::{BootId, DeviceId, LossReason, SeqRange, SiteId, block::Tail};
use tidegate_service::Mutant;

use super::{
    Core, Effect, Mode,
    batch::{OriginNo, OriginRecord},
};

/// How many ranges of an origin the operator log lists; it counts them all.
pub const MAX_RANGES_LOGGED: usize = 32;

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireOrder {
    pub site: SiteId,
    pub device: DeviceId,
    /// Only this one; else all of the device.
    pub boot: Option<BootId>,
    pub operator: String,
    pub reason: String,
    pub unix_ms: i64,
}

/// A line of the operator log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub unix_ms: i64,
    pub operator: String,
    pub reason: String,
    pub site: SiteId,
    pub device: DeviceId,
    /// Those that it changed.
    pub boots: Vec<RetiredBoot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredBoot {
    pub boot: BootId,
    /// It had not ended before.
    pub closed: bool,
    pub written_off: u64,
    /// The first [`MAX_RANGES_LOGGED`].
    pub ranges: Vec<SeqRange>,
}

/// An answer that waits for its batch.
#[derive(Debug)]
pub(super) struct Waiting {
    ticket: u64,
    barrier: u64,
    done: Operation,
}

/// Closes an origin and its holes, and says what that changed; nothing where there is nothing to do.
pub fn write_off(record: &mut OriginRecord) -> Option<RetiredBoot> {
    let ledger = &mut record.ledger;
    let closed = ledger.tail().is_none() && ledger.close(Tail::AtLeast(ledger.next()));
    // Holes lie between ranges that found room: there is room for them.
    let holes: Vec<SeqRange> = ledger.outstanding().iter().collect();
    let lost = holes.into_iter().filter(|hole| ledger.lose(*hole, LossReason::WrittenOff));
    let lost: Vec<SeqRange> = lost.collect();
    if !closed && lost.is_empty() {
        return None;
    }
    let written_off = lost.iter().fold(0, |sum: u64, range| sum.saturating_add(range.len()));
    let ranges = lost.into_iter().take(MAX_RANGES_LOGGED).collect();
    Some(RetiredBoot { boot: record.origin.boot, closed, written_off, ranges })
}

impl Core {
    pub(super) fn retire(&mut self, now_ms: u64, ticket: u64, order: RetireOrder) {
        if self.mode != Mode::Taking {
            self.effects.push_back(Effect::Retired { ticket, done: None });
            return;
        }
        let of_device = self.origins.iter().filter(|(_, state)| {
            let (site, origin) = (state.record.site, state.record.origin);
            site == order.site
                && origin.device == order.device
                && order.boot.is_none_or(|boot| boot == origin.boot)
        });
        let numbers: Vec<OriginNo> = of_device.map(|(no, _)| no).collect();
        let boots = numbers.iter().filter_map(|no| self.retire_boot(*no)).collect();
        numbers.into_iter().for_each(|no| self.end_silence_of(now_ms, no));
        let RetireOrder { site, device, operator, reason, unix_ms, .. } = order;
        let done = Operation { unix_ms, operator, reason, site, device, boots };
        if !done.boots.is_empty() {
            self.building.operations.push(done.clone());
            self.touch_batch(now_ms);
        }
        let barrier = if Mutant::RetiredEarly.is_on() { 0 } else { self.barrier() };
        self.retiring.push(Waiting { ticket, barrier, done });
        self.answer_orders();
    }

    fn retire_boot(&mut self, no: OriginNo) -> Option<RetiredBoot> {
        let state = self.origins.get_mut(no)?;
        let retired = write_off(&mut state.record)?;
        self.mark_dirty(no);
        self.settle_on(no);
        self.request_loads();
        Some(retired)
    }

    /// Answers the orders whose batches are committed.
    pub(super) fn answer_orders(&mut self) {
        let open = self.in_flight.unwrap_or(self.building.number);
        for waiting in self.retiring.extract_if(.., |waiting| waiting.barrier < open) {
            self.effects.push_back(Effect::Retired { ticket: waiting.ticket, done: Some(waiting.done) });
        }
    }

    /// What waits after a failed commit was not done.
    pub(super) fn refuse_orders(&mut self) {
        for Waiting { ticket, .. } in self.retiring.drain(..) {
            self.effects.push_back(Effect::Retired { ticket, done: None });
        }
    }
}
