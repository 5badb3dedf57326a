//! The rules that must hold at every moment (invariants 1 to 8 and rules a to j, as far as they show at the cores'
//! edges). The first violation ends a schedule. The checker sees all disks, both ends of every line, and what was really
//! measured, none of which the cores do.

mod live;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use tidegate_agent::core::{BoardFrame, Effect, LinkId};
use tidegate_alarms::AlarmEvent;
use tidegate_protocol::{
    BootId, DeviceId, LossReason, Origin, RangeSet, Reading, SeqRange,
    ack::{BlockAck, Outcome, RejectReason},
    block::read_stamp,
    topic::Lane,
};

use super::{contents::Contents, coverage::Fault, disk, store, world::World};

/// A live reading must leave the gateway within this time while the link is up and nothing goes wrong: the linger time,
/// the patience with blocks that were lost before, and what it takes a window to open again.
const LIVE_BOUND_US: u64 = 3_000_000;
/// How long after the last fault the bound on live readings begins to hold: what was lost on the way before is missed
/// and sent again.
pub const LIVE_GRACE_US: u64 = 2_000_000;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: &'static str,
    pub words: String,
    pub at_us: u64,
}

#[derive(Default)]
pub struct Checker {
    pub violation: Option<Violation>,
    pub epochs: BTreeSet<u64>,
    /// What was sent under each (epoch, number).
    sent: HashMap<(u64, u64), Rc<Contents>>,
    /// Below this, all of an origin has been found safe.
    safe_below: BTreeMap<Origin, u64>,
    /// Readings below this are late at a gateway: it had newer ones, or they were measured before their board said Hello.
    heard: BTreeMap<(usize, Origin), u64>,
    /// When a gateway first heard a live reading; nothing once it has sent it.
    live: BTreeMap<(usize, Origin, u64), Option<u64>>,
    pub live_from_us: Option<u64>,
    /// When a gateway was last seen in an outage.
    outages: BTreeMap<usize, u64>,
    pub slowest_live_us: u64,
    /// The newest seq of each live alarm's events, by run of the ingest.
    live_events: BTreeMap<(u64, LiveAlarm), u64>,
}

/// Device, boot, channel, rule.
type LiveAlarm = (DeviceId, BootId, String, String);

impl Checker {
    /// Origins, and below which seq boards were told to forget.
    pub fn acknowledged(&self) -> Vec<(Origin, u64)> {
        self.safe_below.iter().map(|(origin, next)| (*origin, *next)).collect()
    }
}

impl World {
    pub fn violate(&mut self, rule: &'static str, words: String) {
        let at_us = self.now_us;
        self.checker.violation.get_or_insert(Violation { rule, words, at_us });
    }

    /// Invariant 2, rule c: a board is told that everything below a seq is safe.
    pub fn check_board_ack(&mut self, at: usize, link: LinkId, boot: BootId, up_to: u64) {
        let here =
            |board: &&super::board::Board| board.lines.get(at).is_some_and(|line| line.link == Some(link));
        let Some(device) = self.boards.iter().find(here).map(|board| board.device) else { return };
        let origin = Origin::new(device, boot);
        self.note(40, up_to, || format!("gateway {at} acknowledges {origin} below {up_to}"));
        self.check_safe("ack-after-commit", origin, up_to);
    }

    pub fn note_hellos(&mut self, at: usize, link: LinkId, frames: &[BoardFrame]) {
        let now_us = self.now_us;
        let Some(gateway) = self.gateways.get_mut(at) else { return };
        let now = gateway.now(now_us).at;
        let Some(process) = gateway.process.as_mut() else { return };
        for frame in frames {
            if let BoardFrame::Hello { device, boot: Some(boot), next, .. } = frame {
                let (name, number) = (device.to_string(), boot.to_string());
                let view = process.core.view(now);
                let known = view.devices.iter().find(|known| known.device == name && known.boot == number);
                let acked = known.map_or(0, |known| known.acknowledged);
                process.hellos.insert(link, (Origin::new(*device, *boot), *next, acked));
            }
        }
    }

    /// Rule b: numbers that went back get a fresh boot, as far as the agent can remember.
    pub fn check_welcome(&mut self, at: usize, link: LinkId, boot: BootId) {
        let process = self.gateways.get(at).and_then(|gateway| gateway.process.as_ref());
        let said = process.and_then(|process| process.hellos.get(&link).copied());
        if let Some((origin, next, acked)) = said
            && origin.boot == boot
            && next < acked
        {
            let words =
                format!("gateway {at} acknowledged {origin} below {acked} and lets it go on at {next}");
            self.violate("numbers-went-back", words);
        }
    }

    /// Rule g: live evaluation goes forward, within one run of the ingest.
    pub fn check_live_event(&mut self, event: &AlarmEvent) {
        let channel = (event.device, event.boot, event.channel.to_string(), event.rule.to_string());
        let last = self.checker.live_events.entry((self.cloud.incarnation, channel)).or_default();
        let before = std::mem::replace(last, event.seq.0);
        if event.seq.0 < before {
            let words = format!("{} tells seq {} after seq {before}", event.message, event.seq);
            self.violate("late-data-is-not-live", words);
        }
    }

    /// The board forgets what is below this seq.
    pub fn check_released(&mut self, origin: Origin, up_to: u64) {
        self.check_safe("released-is-safe", origin, up_to);
    }

    fn check_safe(&mut self, rule: &'static str, origin: Origin, up_to: u64) {
        let from = self.checker.safe_below.get(&origin).copied().unwrap_or_default();
        if up_to <= from {
            return;
        }
        let missing = self.nowhere(origin, SeqRange::new(from, up_to));
        if !missing.is_empty() {
            let words = format!(
                "{origin} is acknowledged below {up_to}, but {:?} is in no queue and not at the cloud",
                missing.ranges()
            );
            return self.violate(rule, words);
        }
        self.checker.safe_below.insert(origin, up_to);
    }

    /// Invariant 4: of what leaves at one moment, the more urgent leaves first.
    pub fn check_lanes(&mut self, at: usize, effects: &[Effect]) {
        let lanes = effects.iter().filter_map(|effect| match effect {
            Effect::Publish { lane, .. } => Some(*lane),
            _ => None,
        });
        if !lanes.is_sorted() {
            self.violate("live-first", format!("gateway {at} sends backlog before live data"));
        }
    }

    /// Rule d, and invariant 4.
    pub fn check_published(&mut self, at: usize, lane: Lane, number: u64, block: &[u8]) {
        let Some(contents) = self.library.contents(block) else {
            return self.violate("blocks-decode", format!("gateway {at} sends a block that does not decode"));
        };
        let Some(process) = self.gateways.get_mut(at).and_then(|gateway| gateway.process.as_mut()) else {
            return;
        };
        let epoch = process.epoch;
        let again = process.last_number.is_some_and(|last| number <= last);
        process.last_number = Some(number);
        let (credit, bytes) = (process.credit_bytes, block.len() as u64);
        let writes = !process.poisoned;
        let unwritten = |origin: &Origin| {
            writes && !self.gateways.get(at).is_some_and(|gateway| gateway.disk.knows_end(*origin))
        };
        if let Some((origin, _)) = contents.closed.iter().find(|(origin, _)| unwritten(origin)) {
            let words = format!("gateway {at} tells the end of {origin}, which is not on its disk");
            return self.violate("end-is-written", words);
        }
        if again {
            return self.violate("numbers-are-new", format!("gateway {at} sends number {number} again"));
        }
        let stamped = read_stamp(block).map(|stamp| (stamp.epoch, stamp.number, stamp.lane));
        if stamped != Ok((epoch, number, lane)) {
            return self.violate("numbers-are-new", format!("block {number} is stamped {stamped:?}"));
        }
        if u64::from(credit) < bytes {
            self.coverage.count(Fault::CreditStarved);
        }
        self.note(41, number, || {
            let readings = contents.block.reading_count();
            format!("gateway {at} sends {lane} block {number}: {readings} readings")
        });
        for (origin, ranges) in &contents.readings {
            for seq in ranges.iter().flat_map(|range| range.start..range.end) {
                let heard = self.checker.live.get_mut(&(at, *origin, seq));
                if let Some(since) = heard.and_then(Option::take) {
                    if self.checker.outages.get(&at).is_some_and(|outage| *outage >= since) {
                        continue;
                    }
                    let waited = self.now_us - since;
                    self.checker.slowest_live_us = self.checker.slowest_live_us.max(waited);
                    if waited > LIVE_BOUND_US {
                        let words = format!("{origin} {seq} waited {} ms to be sent", waited / 1_000);
                        return self.violate("live-first", words);
                    }
                }
            }
        }
        self.checker.sent.insert((epoch, number), contents);
    }

    /// Rule a: an outcome leaves after the commit that holds what it speaks of.
    pub fn check_block_ack(&mut self, ack: &BlockAck) {
        for outcome in &ack.outcomes {
            let Some(contents) = self.checker.sent.get(&(ack.epoch, outcome.number)).cloned() else {
                let words = format!("block {} of epoch {:016x} was never sent", outcome.number, ack.epoch);
                return self.violate("outcomes-of-sent-blocks", words);
            };
            if matches!(&outcome.outcome, Outcome::Rejected { reason: RejectReason::Sealed, .. }) {
                self.coverage.count(Fault::SealedRefused);
            }
            let rejected: Option<&[(Origin, SeqRange)]> = match &outcome.outcome {
                Outcome::Durable => None,
                Outcome::Rejected { parts, .. } if parts.is_empty() => continue,
                Outcome::Rejected { parts, .. } => Some(parts),
            };
            let wrong = self.not_committed(&contents, rejected.unwrap_or_default());
            if let Some(words) = wrong {
                let words = format!("block {} is answered as durable, but {words}", outcome.number);
                return self.violate("outcome-after-commit", words);
            }
        }
    }

    fn not_committed(&self, contents: &Contents, rejected: &[(Origin, SeqRange)]) -> Option<String> {
        let store = &self.cloud.store;
        for (origin, ranges) in &contents.readings {
            let mut missing: RangeSet = ranges.iter().copied().collect();
            rejected.iter().filter(|(of, _)| of == origin).for_each(|(_, range)| missing.remove(*range));
            if let Some(stored) = store.accepted.get(origin) {
                stored.iter().for_each(|range| missing.remove(range));
            }
            if !missing.is_empty() {
                return Some(format!("{origin} {:?} is not stored", missing.ranges()));
            }
        }
        for sent in &contents.block.origins {
            let refused = |seq| rejected.iter().any(|(of, range)| *of == sent.origin && range.contains(seq));
            let Some((no, _)) = store.record(sent.origin) else { continue };
            let end = sent.readings.last().map_or(0, |last| last.seq.0 + 1);
            let start = sent.readings.first().map_or(0, |first| first.seq.0);
            let stored = store.written(no, SeqRange::new(start, end));
            let other = sent.readings.iter().filter(|reading| !refused(reading.seq.0)).find(|reading| {
                let at = stored.binary_search_by_key(&reading.seq, |stored| stored.seq);
                at.ok().and_then(|at| stored.get(at)).is_some_and(|stored| stored != *reading)
            });
            if let Some(reading) = other {
                return Some(format!("{} {} is stored with another content", sent.origin, reading.seq));
            }
        }
        // What is still said of a sealed origin is counted and dropped, claims of all that was ever had among it.
        let is_open = |origin: &Origin| !store.is_sealed(*origin);
        let claims = |reason| matches!(reason, LossReason::RolledBack | LossReason::Unaccounted);
        for loss in contents.losses.iter().filter(|loss| is_open(&loss.origin) || !claims(loss.reason)) {
            let mut missing: RangeSet = [loss.range].into_iter().collect();
            rejected
                .iter()
                .filter(|(of, _)| *of == loss.origin)
                .for_each(|(_, range)| missing.remove(*range));
            store.cover(loss.origin, &mut missing);
            if !missing.is_empty() {
                return Some(format!("the loss of {} {:?} is not stored", loss.origin, missing.ranges()));
            }
        }
        for (origin, next) in contents.measured.iter().filter(|(origin, _)| is_open(origin)) {
            if store.record(*origin).is_none_or(|(_, record)| record.ledger.next() < *next) {
                return Some(format!("that {origin} measured up to {next} is not stored"));
            }
        }
        for (origin, _) in contents.closed.iter().filter(|(origin, _)| is_open(origin)) {
            if store.record(*origin).is_none_or(|(_, record)| record.ledger.tail().is_none()) {
                return Some(format!("the end of {origin} is not stored"));
            }
        }
        let undescribed = contents.described.iter().find(|origin| !store.is_described(**origin));
        undescribed.map(|origin| format!("the description of {origin} is not stored"))
    }

    /// Delete only after the next hop's acknowledgement, or with a loss record in the same transaction.
    pub fn check_queue_commit(&mut self, at: usize, applied: &disk::Applied) {
        let mut given_up: BTreeMap<Origin, RangeSet> = BTreeMap::new();
        for contents in &applied.deleted {
            for (origin, ranges) in &contents.readings {
                ranges.iter().for_each(|range| given_up.entry(*origin).or_default().insert(*range));
            }
        }
        let losses = applied.put.iter().flat_map(|contents| &contents.losses);
        for loss in losses {
            let truth = self.truth.entry(loss.origin);
            let (before, fault) = match loss.reason {
                LossReason::Evicted => (&mut truth.evicted, Fault::Evicted),
                LossReason::Thinned => (&mut truth.thinned, Fault::Thinned),
                _ => continue,
            };
            let mut unfounded: RangeSet = [loss.range].into_iter().collect();
            before.iter().for_each(|range| unfounded.remove(range));
            if let Some(ranges) = given_up.get(&loss.origin) {
                ranges.iter().for_each(|range| unfounded.remove(range));
            }
            before.insert(loss.range);
            self.coverage.count(fault);
            if !unfounded.is_empty() {
                let words = format!(
                    "gateway {at} declares {} {:?} {} and gives up something else",
                    loss.origin,
                    unfounded.ranges(),
                    loss.reason.name()
                );
                return self.violate("losses-are-exact", words);
            }
        }
        if let Some(words) = self.alarm_before_others(at, applied) {
            return self.violate("alarms-go-last", words);
        }
        for contents in &applied.deleted {
            let losses = contents.losses.iter().map(|loss| (loss.origin, loss.range));
            let readings = contents.readings.iter();
            let readings = readings.flat_map(|(origin, ranges)| ranges.iter().map(|range| (*origin, *range)));
            for (origin, range) in readings.chain(losses) {
                let missing = self.nowhere(origin, range);
                if !missing.is_empty() {
                    let words = format!(
                        "gateway {at} deletes {origin} {:?}, which is nowhere else and not declared",
                        missing.ranges()
                    );
                    return self.violate("delete-after-ack", words);
                }
            }
        }
    }

    /// Of an alarm that was evicted while other readings that the cloud does not have were in the queue.
    fn alarm_before_others(&self, at: usize, applied: &disk::Applied) -> Option<String> {
        let given_up = |(origin, ranges): &(Origin, Vec<SeqRange>)| {
            let losses = applied.put.iter().flat_map(|contents| &contents.losses);
            let mut evicted = losses.filter(|loss| {
                loss.origin == *origin && matches!(loss.reason, LossReason::Evicted | LossReason::Thinned)
            });
            // What the cloud has may be deleted in the same batch in which another copy of it is given up.
            let mut missing: RangeSet = ranges.iter().copied().collect();
            self.cloud.store.cover(*origin, &mut missing);
            evicted.any(|loss| missing.iter().any(|range| !range.intersection(loss.range).is_empty()))
        };
        let evicted = applied.deleted_alarms.iter().find(|alarm| alarm.readings.iter().any(given_up))?;
        let spared = applied.left_below_alarms.iter().find(|contents| {
            contents.readings.iter().any(|(origin, ranges)| {
                let mut missing: RangeSet = ranges.iter().copied().collect();
                self.cloud.store.cover(*origin, &mut missing);
                !missing.is_empty()
            })
        })?;
        let (evicted, spared) = (&evicted.readings, &spared.readings);
        Some(format!("gateway {at} gives the alarm {evicted:?} up, and has {spared:?}"))
    }

    /// Invariant 1: what is stored is what was measured; the ledger says what the journal holds, and stored beats lost.
    pub fn check_store_commit(&mut self, applied: &store::Applied) {
        for (origin, readings) in &applied.stored {
            let truth = self.truth.get(*origin);
            let wrong: Option<&Reading> =
                readings.iter().find(|reading| truth.is_none_or(|truth| !truth.was_measured(reading)));
            if let Some(reading) = wrong {
                return self.violate("stored-as-measured", format!("{origin} never measured {reading:?}"));
            }
        }
        for no in &applied.touched {
            let Some(record) = self.cloud.store.origins.get(no) else { continue };
            let origin = record.origin;
            let accepted = self.cloud.store.accepted.get(&origin).cloned().unwrap_or_default();
            if record.ledger.stored() != &accepted {
                let words = format!(
                    "{origin}: the ledger says {:?}, the journal holds {:?}",
                    record.ledger.stored().ranges(),
                    accepted.ranges()
                );
                return self.violate("ledger-is-journal", words);
            }
            let both = record
                .ledger
                .lost()
                .flat_map(|(_, lost)| lost.iter())
                .find(|range| accepted.iter().any(|stored| !stored.intersection(*range).is_empty()));
            if let Some(range) = both {
                return self.violate("stored-beats-lost", format!("{origin} {range} is stored and lost"));
            }
        }
    }
}
