//! Blocks on their way to the cloud: which goes next, what is in flight, and what must be sent again.
//!
//! Lanes are spent strictly in their order. What is in flight is bounded three times: by the credit the ingest gives
//! (all lanes but alarm; at none, one block at a time probes; at some, one live block may always be under way), by a window per lane that follows the link's rate, and by
//! [`MAX_UNPUBACKED`] publishes that the broker has not taken. A lane that the link or the credit holds back holds back
//! those below it; one that its own cap holds back does not.

mod figures;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidegate_protocol::{
    ack::{BlockAck, Credit},
    block::{self, Stamp},
    topic::Lane,
};
use tidegate_service::Mutant;

use super::{
    caps::Meters,
    event::{Effect, Key},
    jitter::Jitter,
    origin::Slot,
    parcel::{Custody, Flight, Parcel},
    time::Time,
    window::{RoundTrip, Window},
};

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
/// The longest time between two transmissions of one block.
const MAX_BACKOFF_US: u64 = 60_000_000;

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
    in_flight_bytes: [u64; 4],
    in_flight: usize,
    ready_bytes: [u64; 4],
    held_bytes: u64,
    link_up: bool,
    credit: Credit,
    initial_credit_bytes: u32,
    incarnation: Option<u64>,
    windows: [Window; 4],
    rtt: RoundTrip,
    /// Since when nothing was answered although something is in flight.
    unanswered_since: Option<Time>,
    next_deadline: Option<Time>,
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
            in_flight_bytes: [0; 4],
            in_flight: 0,
            ready_bytes: [0; 4],
            held_bytes: 0,
            link_up: false,
            credit: Credit { seq: 0, window_bytes: initial_credit_bytes },
            initial_credit_bytes,
            incarnation: None,
            windows: std::array::from_fn(|_| Window::new(max_in_flight_bytes)),
            rtt: RoundTrip::default(),
            unanswered_since: None,
            next_deadline: None,
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
        self.make_ready(id, parcel.lane, parcel.len());
        self.parcels.insert(id, parcel);
        id
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
    }

    /// Takes a parcel out with all its numbers.
    pub fn remove(&mut self, id: ParcelId) -> Option<Parcel> {
        let parcel = self.parcels.remove(&id)?;
        self.held_bytes -= parcel.len();
        self.unsafe_parcels.remove(&id);
        self.unready(id, parcel.lane, parcel.len());
        self.land(parcel.flight.is_some(), parcel.lane, parcel.len());
        for number in &parcel.numbers {
            self.numbers.remove(number);
            self.unpubacked.remove(number);
        }
        Some(parcel)
    }

    fn land(&mut self, was_in_flight: bool, lane: Lane, len: u64) {
        if was_in_flight {
            self.in_flight_bytes[index(lane)] -= len;
            self.in_flight -= 1;
            if self.in_flight == 0 {
                self.unanswered_since = None;
            }
        }
    }

    /// The next block to publish, if the link can take one.
    pub fn publish(&mut self, now: Time) -> Option<Effect> {
        if !self.link_up || self.unpubacked.len() >= MAX_UNPUBACKED {
            return None;
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

    fn transmit(&mut self, now: Time, id: ParcelId) -> Option<Effect> {
        let parcel = self.parcels.get_mut(&id)?;
        let number = self.next_number;
        let mut block = parcel.block.to_vec();
        // A block always has a header to stamp: it was encoded here or checked when it was loaded.
        block::stamp(&mut block, Stamp { lane: parcel.lane, epoch: self.epoch, number }).ok()?;
        self.next_number += 1;
        let patience = self.rtt.patience_us().saturating_mul(1 << parcel.attempts.min(5)).min(MAX_BACKOFF_US);
        let deadline = now.plus_us(patience + self.jitter.up_to(patience / 4));
        self.resent += u64::from(parcel.attempts > 0);
        self.sent += 1;
        self.sent_bytes[index(parcel.lane)] += parcel.len();
        self.meters.spend(now, parcel.lane, parcel.len());
        parcel.attempts = parcel.attempts.saturating_add(1);
        parcel.flight = Some(Flight { since: now, deadline });
        parcel.numbers.push(number);
        if parcel.numbers.len() > KEPT_NUMBERS {
            self.numbers.remove(&parcel.numbers.remove(0));
        }
        let (lane, len) = (parcel.lane, parcel.len());
        self.in_flight_bytes[index(lane)] += len;
        self.in_flight += 1;
        self.unanswered_since.get_or_insert(now);
        self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
        self.numbers.insert(number, Sent { parcel: id, at: now });
        self.unpubacked.insert(number, lane);
        Some(Effect::Publish { lane, number, block })
    }

    fn fits(&mut self, lane: Lane, len: u64) -> bool {
        if lane == Lane::Alarm {
            return true;
        }
        if lane > Lane::Live && self.unpubacked.len() >= MAX_UNPUBACKED_BACKLOG {
            return false;
        }
        let own = self.in_flight_bytes[index(lane)];
        let all: u64 = self.in_flight_bytes.iter().skip(1).sum();
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

    /// A live block of about `len` bytes would leave at once.
    pub fn live_fits(&mut self, now: Time, len: u64) -> bool {
        self.link_up
            && self.meters.allows(now, Lane::Live, len)
            && self.ready[index(Lane::Live)].is_empty()
            && self.unpubacked.len() < MAX_UNPUBACKED
            && self.fits(Lane::Live, len)
    }

    pub fn pubacked(&mut self, number: u64) {
        self.unpubacked.remove(&number);
    }

    /// The parcel with this number, and its round trip is noted.
    pub fn answered(&mut self, now: Time, number: u64) -> Option<ParcelId> {
        let &Sent { parcel: id, at } = self.numbers.get(&number)?;
        let rtt_us = now.us_since(at);
        if self.rtt.sample(now, rtt_us) {
            self.windows.iter_mut().for_each(|window| window.run_empty(now, rtt_us));
        }
        self.unanswered_since = (self.in_flight > 0).then_some(now);
        let parcel = self.parcels.get(&id)?;
        let least = self.rtt.least_us();
        let target = match parcel.lane {
            Lane::Alarm | Lane::Live => LIVE_TARGET_US,
            Lane::Backlog | Lane::Bulk => (least * 2).clamp(LEAST_BACKLOG_TARGET_US, LIVE_TARGET_US),
        };
        let len = parcel.len();
        self.windows[index(parcel.lane)].acked(now, len, rtt_us, least, target);
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

    /// Sends again what was not answered in time.
    pub fn resend_late(&mut self, now: Time) {
        if self.next_deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let rtt_us = self.rtt.patience_us();
        for lane in self.take_back(|flight| flight.deadline <= now) {
            self.windows[index(lane)].cut(now, rtt_us);
        }
    }

    /// Makes flights ready again; returns their lanes.
    fn take_back(&mut self, which: impl Fn(&Flight) -> bool) -> Vec<Lane> {
        if Mutant::NeverResent.is_on() {
            return Vec::new();
        }
        let mut taken = Vec::new();
        self.next_deadline = None;
        for (&id, parcel) in &mut self.parcels {
            match parcel.flight {
                Some(flight) if which(&flight) => {
                    parcel.flight = None;
                    taken.push((id, parcel.lane, parcel.len()));
                }
                Some(Flight { deadline, .. }) => {
                    self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
                }
                None => {}
            }
        }
        let unanswered_since = self.unanswered_since;
        for &(id, lane, len) in &taken {
            self.land(true, lane, len);
            self.make_ready(id, lane, len);
        }
        // Silence goes on: that it is tried again is no answer.
        self.unanswered_since = unanswered_since;
        taken.into_iter().map(|(_, lane, _)| lane).collect()
    }

    /// Sends one parcel again, with other bytes that hold the same and more.
    pub fn replace(&mut self, id: ParcelId, block: std::sync::Arc<[u8]>) {
        let Some(parcel) = self.parcels.get_mut(&id) else { return };
        parcel.rewritten_at = self.next_number;
        let (lane, len, flying) = (parcel.lane, parcel.len(), parcel.flight.take().is_some());
        parcel.block = block;
        let new_len = parcel.len();
        self.unready(id, lane, len);
        self.land(flying, lane, len);
        self.held_bytes = self.held_bytes - len + new_len;
        self.make_ready(id, lane, new_len);
    }

    /// What was granted before the link went was for those that were there then: the ingest answers each arrival anew.
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
        self.unanswered_since = None;
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
        self.unanswered_since.map(|since| since.plus_us(self.rtt.patience_us()))
    }

    /// What the blocks in memory hold that the queue holds too.
    pub fn stored_directories(&self) -> Vec<block::Directory> {
        let stored = self.parcels.values().filter(|parcel| matches!(parcel.custody, Custody::Stored(_)));
        stored.filter_map(|parcel| block::Decoder::directory(&parcel.block).ok()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Whether any parcel concerns this origin, or stands for a key up to the last one that may.
    pub fn concerns(&self, slot: Slot, last_key: Option<Key>) -> bool {
        self.parcels.values().any(|parcel| {
            let stored = match &parcel.custody {
                Custody::Stored(stored) => stored.iter().any(|stored| Some(stored.key) <= last_key),
                Custody::Ram(_) | Custody::Committing(_) => false,
            };
            stored || parcel.contents.iter().any(|content| content.slot == slot)
        })
    }
}
