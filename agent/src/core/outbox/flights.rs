//! What is on its way to the cloud and not answered: when it counts as lost, and when silence is asked about.
//!
//! As RFC 9002 (section 6) has it for packets. An answer to a block overtakes what left before it. In its own lane, and in
//! those that go before, the ingest would have answered that first: it is lost once it is older than a round trip may be.
//! What stands back for others may take longer. Where nothing is answered any more, one block is sent again as a probe,
//! ever more rarely; its answer overtakes all the others.

use std::collections::BTreeMap;

use tidegate_protocol::topic::Lane;

use crate::core::{time::Time, window::RoundTrip};

/// So often the time that a block or an answer is given doubles, at most.
const MAX_DOUBLINGS: u32 = 5;

/// One transmission.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    pub since: Time,
    pub len: u64,
    /// How often this block was overtaken and lost before. It is given twice the time each time, or one that is never
    /// answered would be sent again and again while all else is.
    before: u32,
    /// Once overtaken: lost from then on.
    lost_at: Option<Time>,
}

impl Flight {
    pub const fn new(since: Time, len: u64, before: u32) -> Self {
        Self { since, len, before, lost_at: None }
    }
}

#[derive(Debug, Default)]
pub struct Flights {
    /// By block number, thus oldest first.
    lanes: [BTreeMap<u64, Flight>; 4],
    bytes: [u64; 4],
    /// Since when nothing was answered although something is under way.
    silent_since: Option<Time>,
    /// Probes since the last answer.
    probes: u32,
    probe_at: Option<Time>,
    /// No overtaken flight is lost before.
    next_loss: Option<Time>,
}

impl Flights {
    pub fn departs(&mut self, lane: Lane, number: u64, flight: Flight, patience_us: u64) {
        self.silent_since.get_or_insert(flight.since);
        self.probe_at.get_or_insert(flight.since.plus_us(patience_us << self.probes.min(MAX_DOUBLINGS)));
        self.bytes[lane as usize] += flight.len;
        self.lanes[lane as usize].insert(number, flight);
    }

    /// It is under way no more, for whatever reason.
    pub fn lands(&mut self, lane: Lane, number: u64) {
        if let Some(flight) = self.lanes[lane as usize].remove(&number) {
            self.bytes[lane as usize] -= flight.len;
        }
    }

    /// Something was answered: the cloud hears us, and whatever left before this block is overtaken.
    pub fn answered(&mut self, now: Time, lane: Lane, number: u64, rtt: &RoundTrip, patience_us: u64) {
        self.silent_since = Some(now);
        self.probes = 0;
        self.probe_at = Some(now.plus_us(patience_us));
        let longest_us = rtt.patience_us();
        for (at, flights) in self.lanes.iter_mut().enumerate() {
            let first_us = if at <= lane as usize { rtt.at_most_us().min(longest_us) } else { longest_us };
            for flight in flights.range_mut(..number).map(|(_, flight)| flight) {
                let given_us = first_us << flight.before.min(MAX_DOUBLINGS);
                let lost_at = Some(flight.since.plus_us(given_us));
                flight.lost_at = flight.lost_at.or(lost_at).min(lost_at);
                self.next_loss = self.next_loss.or(lost_at).min(lost_at);
            }
        }
    }

    /// Where nothing is under way there is no answer to miss.
    pub fn rest_if_empty(&mut self) {
        if self.count() == 0 {
            (self.silent_since, self.probe_at) = (None, None);
        }
    }

    /// All was called off.
    pub fn rest(&mut self) {
        (self.silent_since, self.probe_at, self.probes, self.next_loss) = (None, None, 0, None);
    }

    /// What is lost by now.
    pub fn lost(&mut self, now: Time) -> Vec<(Lane, u64)> {
        if self.next_loss.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let overtaken = self.each().filter_map(|(.., flight)| flight.lost_at);
        self.next_loss = overtaken.filter(|lost_at| *lost_at > now).min();
        self.which(|flight| flight.lost_at.is_some_and(|lost_at| lost_at <= now))
    }

    pub fn which(&self, is_it: impl Fn(&Flight) -> bool) -> Vec<(Lane, u64)> {
        self.each().filter(|(.., flight)| is_it(flight)).map(|(lane, number, _)| (lane, number)).collect()
    }

    /// By lane, oldest first.
    fn each(&self) -> impl Iterator<Item = (Lane, u64, &Flight)> {
        let of = |lane: Lane| {
            self.lanes[lane as usize].iter().map(move |(number, flight)| (lane, *number, flight))
        };
        Lane::ALL.into_iter().flat_map(of)
    }

    /// Silence has lasted too long: what to ask about.
    pub fn probe(&mut self, now: Time, patience_us: u64) -> Option<(Lane, u64)> {
        self.probe_at.filter(|at| now >= *at)?;
        self.probes += 1;
        self.probe_at = Some(now.plus_us(patience_us << self.probes.min(MAX_DOUBLINGS)));
        self.each().next().map(|(lane, number, _)| (lane, number))
    }

    /// When one of the above has something to say.
    pub fn next_wakeup(&self) -> Option<Time> {
        self.next_loss.into_iter().chain(self.probe_at).min()
    }

    pub const fn silent_since(&self) -> Option<Time> {
        self.silent_since
    }

    pub const fn bytes(&self, lane: Lane) -> u64 {
        self.bytes[lane as usize]
    }

    /// All but the alarms.
    pub fn bytes_on_credit(&self) -> u64 {
        self.bytes.iter().skip(1).sum()
    }

    pub fn count(&self) -> usize {
        self.lanes.iter().map(BTreeMap::len).sum()
    }
}
