//! What is told of the lanes.

use tidegate_protocol::topic::Lane;

use super::{Outbox, Time};

/// Smaller blocks than this are rare.
const LEAST_BLOCK_BYTES: u64 = 256;

impl Outbox {
    pub const fn link_is_up(&self) -> bool {
        self.link_up
    }

    /// When what is under way wants to be looked at.
    pub fn next_deadline(&self) -> Option<Time> {
        self.flights.next_wakeup()
    }

    pub const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub const fn ready_bytes(&self, lane: Lane) -> u64 {
        self.ready_bytes[lane as usize]
    }

    pub const fn in_flight_bytes(&self, lane: Lane) -> u64 {
        self.flights.bytes(lane)
    }

    pub fn in_flight(&self) -> usize {
        self.flights.count()
    }

    pub const fn window_bytes(&self, lane: Lane) -> u64 {
        self.windows[lane as usize].bytes()
    }

    pub const fn credit_bytes(&self) -> u32 {
        self.credit.window_bytes
    }

    pub const fn rtt_us(&self) -> Option<u64> {
        self.rtt.smoothed_us()
    }

    #[cfg(test)]
    pub fn numbers_kept(&self) -> usize {
        self.numbers.len()
    }

    /// When a lane that only its rate holds back may go on; live is asked for too while its readings are in no block yet.
    pub fn cap_opens_at(&self, live_waits: bool) -> Option<Time> {
        if !self.link_up {
            return None;
        }
        let waits = |lane: Lane| !self.ready[lane as usize].is_empty() || (lane == Lane::Live && live_waits);
        Lane::ALL.into_iter().filter(|lane| waits(*lane)).filter_map(|lane| self.meters.opens_at(lane)).min()
    }

    /// Today's budget of a lane has no room for what waits in it, or for any block worth sending.
    pub fn is_spent(&self, lane: Lane) -> bool {
        let next = self.ready[lane as usize].first().and_then(|id| self.parcels.get(id));
        self.meters.is_spent(lane, next.map_or(LEAST_BLOCK_BYTES, super::Parcel::len))
    }
}
