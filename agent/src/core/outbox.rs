//! Blocks on their way to the cloud: which goes next, what is in flight, and what must be sent again.
//!
//! Lanes are spent strictly in their order. What is in flight is bounded three times: by the credit the ingest gives (all lanes but alarm; at
//! none, one block at a time probes; at some, one live block may always be under way), by a window per lane that follows the link's
//! rate, and by [`MAX_UNPUBACKED`] publishes that the broker has not taken. A lane that the link or the credit holds back holds
//! back those below it; one that its own cap holds back does not.

mod contents;
mod figures;
mod flights;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidegate_protocol::{
    ack::{BlockAck, Credit},
    block::{self, Stamp},
    topic::Lane,
};
use tidegate_service::Mutant;

use super::{
    caps::Meters,
    event::Effect,
    jitter::Jitter,
    parcel::{Custody, Parcel},
    time::Time,
    window::{RoundTrip, Window},
};
use flights::{Flight, Flights};

/// Publishes that the broker has not taken; far below what the MQTT client may have in flight.
pub const MAX_UNPUBACKED: usize = 100;
/// How many of them may be backlog: live data always finds a place.
const MAX_UNPUBACKED_BACKLOG: usize = MAX_UNPUBACKED / 2;
/// Extra delay that live data may cause, and at most what backlog may.
const LIVE_TARGET_US: u64 = 250_000;
const LEAST_BACKLOG_TARGET_US: u64 = 5_000;
/// The ingest answers a gateway's birth; what is older than this when it does was sent before it listened.
const FIRST_WORD_US: u64 = 1_000_000;
/// The newest transmissions of a block that an answer can name. Older ones were sent minutes before: an answer to one is
/// as good as none, since the block is sent again.
const KEPT_NUMBERS: usize = 8;

pub type ParcelId = u64;

#[derive(Debug)]
struct Sent {
    parcel: ParcelId,
    at: Time,
}

#[derive(Debug)]
pub struct Outbox {
    epoch: u64,
    next_number: u64,
    next_id: ParcelId,
    parcels: BTreeMap<ParcelId, Parcel>,
    /// By lane, oldest first: a block that must be sent again stands before younger ones.
    ready: [BTreeSet<ParcelId>; 4],
    /// Only in memory, oldest first.
    unsafe_parcels: BTreeSet<ParcelId>,
    numbers: HashMap<u64, Sent>,
    unpubacked: HashMap<u64, Lane>,
    flights: Flights,
    ready_bytes: [u64; 4],
    held_bytes: u64,
    link_up: bool,
    /// Ends of boots are stored first.
    holds_ends: bool,
    credit: Credit,
    initial_credit_bytes: u32,
    incarnation: Option<u64>,
    windows: [Window; 4],
    rtt: RoundTrip,
    jitter: Jitter,
    pub meters: Meters,
    pub sent: u64,
    pub sent_bytes: [u64; 4],
    pub resent: u64,
}

const fn index(lane: Lane) -> usize {
    lane as usize
}

impl Outbox {
    pub fn new(
        epoch: u64,
        max_in_flight_bytes: u64,
        initial_credit_bytes: u32,
        jitter: Jitter,
        meters: Meters,
    ) -> Self {
        Self {
            epoch,
            next_number: 0,
            next_id: 0,
            parcels: BTreeMap::new(),
            ready: Default::default(),
            unsafe_parcels: BTreeSet::new(),
            numbers: HashMap::new(),
            unpubacked: HashMap::new(),
            flights: Flights::default(),
            ready_bytes: [0; 4],
            held_bytes: 0,
            link_up: false,
            holds_ends: true,
            credit: Credit { seq: 0, window_bytes: initial_credit_bytes },
            initial_credit_bytes,
            incarnation: None,
            windows: std::array::from_fn(|_| Window::new(max_in_flight_bytes)),
            rtt: RoundTrip::default(),
            jitter,
            meters,
            sent: 0,
            sent_bytes: [0; 4],
            resent: 0,
        }
    }

    pub fn add(&mut self, parcel: Parcel) -> ParcelId {
        let id = self.next_id;
        self.next_id += 1;
        self.held_bytes += parcel.len();
        if matches!(parcel.custody, Custody::Ram(_)) {
            self.unsafe_parcels.insert(id);
        }
        let is_held = self.holds_ends && !Mutant::EndUnwritten.is_on() && parcel.is_unwritten_end();
        if !is_held {
            self.make_ready(id, parcel.lane, parcel.len());
        }
        self.parcels.insert(id, parcel);
        id
    }

    /// The disk takes nothing any more: ends leave as they are.
    pub fn hold_no_ends(&mut self) {
        self.holds_ends = false;
        let held = self.parcels.iter().filter(|(_, parcel)| parcel.is_unwritten_end());
        let held: Vec<_> = held.map(|(id, parcel)| (*id, parcel.lane, parcel.len())).collect();
        held.into_iter().for_each(|(id, lane, len)| self.make_ready(id, lane, len));
    }

    fn make_ready(&mut self, id: ParcelId, lane: Lane, len: u64) {
        if self.ready[index(lane)].insert(id) {
            self.ready_bytes[index(lane)] += len;
        }
    }

    fn unready(&mut self, id: ParcelId, lane: Lane, len: u64) {
        if self.ready[index(lane)].remove(&id) {
            self.ready_bytes[index(lane)] -= len;
        }
    }

    pub fn get(&self, id: ParcelId) -> Option<&Parcel> {
        self.parcels.get(&id)
    }

    pub fn get_mut(&mut self, id: ParcelId) -> Option<&mut Parcel> {
        self.parcels.get_mut(&id)
    }

    /// Parcels that are only in memory, oldest first.
    pub fn unsafe_parcels(&self) -> impl Iterator<Item = (ParcelId, &Parcel)> {
        self.unsafe_parcels.iter().filter_map(|id| Some((*id, self.parcels.get(id)?)))
    }

    /// What becomes of a parcel's custody; keeps the list of unsafe ones true.
    pub fn set_custody(&mut self, id: ParcelId, custody: Custody) {
        let Some(parcel) = self.parcels.get_mut(&id) else { return };
        match custody {
            Custody::Ram(_) => self.unsafe_parcels.insert(id),
            Custody::Committing(_) | Custody::Stored(_) => self.unsafe_parcels.remove(&id),
        };
        parcel.custody = custody;
        // An end that was held until it was stored.
        if matches!(parcel.custody, Custody::Stored(_)) && parcel.flight.is_none() {
            let (lane, len) = (parcel.lane, parcel.len());
            self.make_ready(id, lane, len);
        }
    }

    /// Takes a parcel out with all its numbers.
    pub fn remove(&mut self, id: ParcelId) -> Option<Parcel> {
        let parcel = self.parcels.remove(&id)?;
        self.held_bytes -= parcel.len();
        self.unsafe_parcels.remove(&id);
        self.unready(id, parcel.lane, parcel.len());
        self.land(parcel.flight, parcel.lane);
        for number in &parcel.numbers {
            self.numbers.remove(number);
            self.unpubacked.remove(number);
        }
        Some(parcel)
    }

    /// Nothing more is expected of this transmission.
    fn land(&mut self, flight: Option<u64>, lane: Lane) {
        if let Some(number) = flight {
            self.flights.lands(lane, number);
            self.flights.rest_if_empty();
        }
    }

    /// The next block to publish, if the link can take one.
    pub fn publish(&mut self, now: Time) -> Option<Effect> {
        let probe = self.probe(now);
        if !self.link_up || self.unpubacked.len() >= MAX_UNPUBACKED {
            return None;
        }
        if let Some(id) = probe {
            return self.transmit(now, id);
        }
        let mut lanes = Lane::ALL;
        if Mutant::LiveBehindBacklog.is_on() {
            lanes.reverse();
        }
        for lane in lanes {
            let Some(&id) = self.ready[index(lane)].first() else { continue };
            let len = self.parcels.get(&id).map_or(0, Parcel::len);
            if !self.meters.allows(now, lane, len) {
                continue;
            }
            // A lane that must wait holds back those below it.
            if !self.fits(lane, len) {
                return None;
            }
            self.unready(id, lane, len);
            return self.transmit(now, id);
        }
        None
    }

    /// A block to break a silence with. It takes the place of its own last transmission, so it needs no other; if
    /// something that goes before it waits for that place, it may have it.
    fn probe(&mut self, now: Time) -> Option<ParcelId> {
        if Mutant::NeverResent.is_on() {
            return None;
        }
        let patience_us = self.patience_us();
        let (lane, number) = self.flights.probe(now, patience_us)?;
        let goes_before = self.ready.iter().take(index(lane)).any(|ready| !ready.is_empty());
        if goes_before {
            self.send_again(vec![(lane, number)]);
            return None;
        }
        let id = self.numbers.get(&number)?.parcel;
        let parcel = self.parcels.get(&id)?;
        self.meters.allows(now, lane, parcel.len()).then_some(id)
    }

    fn transmit(&mut self, now: Time, id: ParcelId) -> Option<Effect> {
        let parcel = self.parcels.get_mut(&id)?;
        let number = self.next_number;
        let mut block = parcel.block.to_vec();
        // A block always has a header to stamp: it was encoded here or checked when it was loaded.
        block::stamp(&mut block, Stamp { lane: parcel.lane, epoch: self.epoch, number }).ok()?;
        self.next_number += 1;
        let (lane, len) = (parcel.lane, parcel.len());
        let flight = Flight::new(now, len, parcel.overtaken);
        self.resent += u64::from(parcel.attempts > 0);
        self.sent += 1;
        self.sent_bytes[index(lane)] += len;
        self.meters.spend(now, lane, len);
        parcel.attempts = parcel.attempts.saturating_add(1);
        let before = parcel.flight.replace(number);
        parcel.numbers.push(number);
        if parcel.numbers.len() > KEPT_NUMBERS {
            self.numbers.remove(&parcel.numbers.remove(0));
        }
        if let Some(before) = before {
            self.flights.lands(lane, before);
        }
        let patience_us = self.patience_us();
        self.flights.departs(lane, number, flight, patience_us);
        self.numbers.insert(number, Sent { parcel: id, at: now });
        self.unpubacked.insert(number, lane);
        Some(Effect::Publish { lane, number, block })
    }

    /// How long an answer is waited for, spread so that gateways do not ask all at once.
    fn patience_us(&mut self) -> u64 {
        let patience_us = self.rtt.patience_us();
        patience_us + self.jitter.up_to(patience_us / 4)
    }

    fn fits(&mut self, lane: Lane, len: u64) -> bool {
        if lane == Lane::Alarm {
            return self.windows[index(lane)].fits(self.flights.bytes(lane), len);
        }
        if lane > Lane::Live && self.unpubacked.len() >= MAX_UNPUBACKED_BACKLOG {
            return false;
        }
        let (own, all) = (self.flights.bytes(lane), self.flights.bytes_on_credit());
        // Backlog leaves half of the credit to live data.
        let share = if lane == Lane::Live { 1 } else { 2 };
        // However small its window, live never waits for the answer to a block of backlog.
        let probe = if lane == Lane::Live && self.credit.window_bytes > 0 { own == 0 } else { all == 0 };
        let credited = probe || all.saturating_add(len) <= u64::from(self.credit.window_bytes) / share;
        credited && self.windows[index(lane)].fits(own, len)
    }

    /// Live data may go at once: the broker took all that was sent of it.
    pub fn live_is_idle(&self) -> bool {
        self.link_up
            && self.ready[index(Lane::Live)].is_empty()
            && self.unpubacked.len() < MAX_UNPUBACKED
            && !self.unpubacked.values().any(|lane| *lane == Lane::Live)
    }

    /// A block of about `len` bytes would leave at once in this lane.
    pub fn would_leave(&mut self, now: Time, lane: Lane, len: u64) -> bool {
        self.link_up
            && self.meters.allows(now, lane, len)
            && self.ready[index(lane)].is_empty()
            && self.unpubacked.len() < MAX_UNPUBACKED
            && self.fits(lane, len)
    }

    pub fn pubacked(&mut self, number: u64) {
        self.unpubacked.remove(&number);
    }

    /// The parcel with this number, and its round trip is noted.
    pub fn answered(&mut self, now: Time, number: u64) -> Option<ParcelId> {
        let &Sent { parcel: id, at } = self.numbers.get(&number)?;
        let rtt_us = now.us_since(at);
        if self.rtt.sample(now, rtt_us) {
            let usual_us = self.rtt.smoothed_us().unwrap_or(rtt_us);
            self.windows.iter_mut().for_each(|window| window.run_empty(now, usual_us));
        }
        let patience_us = self.patience_us();
        let parcel = self.parcels.get(&id)?;
        self.flights.answered(now, parcel.lane, number, &self.rtt, patience_us);
        let least = self.rtt.least_us();
        let target = match parcel.lane {
            Lane::Alarm | Lane::Live => LIVE_TARGET_US,
            Lane::Backlog | Lane::Bulk => (least * 2).clamp(LEAST_BACKLOG_TARGET_US, LIVE_TARGET_US),
        };
        self.windows[index(parcel.lane)].acked(now, parcel.len(), rtt_us, least, target);
        Some(id)
    }

    /// Credit and incarnation; true when all that is in flight must be sent again.
    pub fn heard(&mut self, now: Time, ack: &BlockAck) -> bool {
        let is_new = self.incarnation != Some(ack.incarnation);
        let restarted = is_new && self.incarnation.is_some();
        let was_closed = self.credit.window_bytes == 0;
        if is_new || ack.credit.seq >= self.credit.seq {
            self.credit = ack.credit;
        }
        self.incarnation = Some(ack.incarnation);
        // A full ingest gives no answer to what it refuses, so what was sent to it waits for one in vain, and would
        // hold live data back until its back-off ended.
        let opened = was_closed && self.credit.window_bytes > 0;
        if restarted || opened {
            self.take_back(|_| true);
        } else if is_new {
            // The first word of it at all: what was sent long before may have met nobody.
            self.take_back(|flight| now >= flight.since.plus_us(FIRST_WORD_US));
        }
        restarted
    }

    /// Sends again what was lost.
    pub fn resend_lost(&mut self, now: Time) {
        let rtt_us = self.rtt.patience_us();
        let lost = self.flights.lost(now);
        for (lane, number) in &lost {
            self.windows[index(*lane)].cut(now, rtt_us);
            let sent = self.numbers.get(number);
            if let Some(parcel) = sent.and_then(|sent| self.parcels.get_mut(&sent.parcel)) {
                parcel.overtaken = parcel.overtaken.saturating_add(1);
            }
        }
        self.send_again(lost);
    }

    fn take_back(&mut self, which: impl Fn(&Flight) -> bool) {
        let taken = self.flights.which(which);
        self.send_again(taken);
    }

    /// Makes flights ready again. Silence goes on: that it is tried again is no answer.
    fn send_again(&mut self, flights: Vec<(Lane, u64)>) {
        if Mutant::NeverResent.is_on() {
            return;
        }
        for (lane, number) in flights {
            self.flights.lands(lane, number);
            let Some(&Sent { parcel: id, .. }) = self.numbers.get(&number) else { continue };
            let Some(parcel) = self.parcels.get_mut(&id) else { continue };
            parcel.flight = None;
            let len = parcel.len();
            self.make_ready(id, lane, len);
        }
    }

    /// Sends one parcel again, with other bytes that hold the same and more.
    pub fn replace(&mut self, id: ParcelId, block: std::sync::Arc<[u8]>) {
        let Some(parcel) = self.parcels.get_mut(&id) else { return };
        parcel.rewritten_at = self.next_number;
        let (lane, len, flight) = (parcel.lane, parcel.len(), parcel.flight.take());
        parcel.block = block;
        let new_len = parcel.len();
        self.unready(id, lane, len);
        self.land(flight, lane);
        self.held_bytes = self.held_bytes - len + new_len;
        self.make_ready(id, lane, new_len);
    }

    /// What was granted before the link went was for those that were there then: the ingest answers each arrival anew.
    pub const fn is_up(&self) -> bool {
        self.link_up
    }

    pub fn link_came_up(&mut self) {
        self.link_up = true;
        self.credit.window_bytes = self.credit.window_bytes.min(self.initial_credit_bytes);
        if Mutant::BlockNumbersReused.is_on() {
            self.next_number = 0;
        }
    }

    /// Nothing is in flight any more; returns the parcels that the queue holds too, taken out of memory.
    pub fn link_went_down(&mut self) -> Vec<Parcel> {
        self.link_up = false;
        self.unpubacked.clear();
        self.take_back(|_| true);
        self.flights.rest();
        let stored = self.parcels.iter().filter(|(_, parcel)| matches!(parcel.custody, Custody::Stored(_)));
        let ids: Vec<ParcelId> = stored.map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Nobody answers: the link is down, or what is in flight has waited too long.
    pub fn is_outage(&self, now: Time) -> bool {
        !self.link_up || self.silent_from().is_some_and(|at| now >= at)
    }

    /// When silence becomes an outage.
    pub fn silent_from(&self) -> Option<Time> {
        self.flights.silent_since().map(|since| since.plus_us(self.rtt.outage_us()))
    }
}
