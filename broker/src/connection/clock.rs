//! How long a client has been silent, has not read, or has not come to the end of a packet. Pure: it is told the time.

use std::time::Duration;

use tokio::time::Instant;

use super::End;
use crate::config::Limits;

pub struct Clock {
    silence_limit: Option<Duration>,
    write_timeout: Duration,
    packet_timeout: Duration,
    last_heard: Instant,
    /// Since when there is something to write of which nothing was taken.
    unwritten: Option<Instant>,
    /// When the packet began that has not ended.
    begun: Option<Instant>,
}

impl Clock {
    pub fn new(now: Instant, silence_limit: Option<Duration>, limits: &Limits) -> Self {
        let Limits { write_timeout, packet_timeout, .. } = *limits;
        Self { silence_limit, write_timeout, packet_timeout, last_heard: now, unwritten: None, begun: None }
    }

    /// `ended`: a packet came to its end. `more`: another has begun.
    pub fn heard(&mut self, now: Instant, ended: bool, more: bool) {
        self.last_heard = now;
        let begun = self.begun.take().filter(|_| !ended);
        self.begun = more.then(|| begun.unwrap_or(now));
    }

    /// Something was taken of what is to be written.
    pub fn wrote(&mut self) {
        self.unwritten = None;
    }

    /// Whether there is anything to write.
    pub fn owes(&mut self, now: impl FnOnce() -> Instant, something: bool) {
        self.unwritten = something.then(|| self.unwritten.unwrap_or_else(now));
    }

    /// When to look again. What begins meanwhile cannot end before that.
    pub fn next_check(&self, now: Instant) -> Instant {
        let shortest = self.write_timeout.min(self.packet_timeout);
        let due = [
            self.silence_limit.map(|limit| self.last_heard + limit),
            self.unwritten.map(|since| since + self.write_timeout),
            self.begun.map(|begun| begun + self.packet_timeout),
        ];
        due.into_iter().flatten().fold(now + shortest, Instant::min)
    }

    pub fn check(&self, now: Instant) -> Option<End> {
        let is_over =
            |since: Option<Instant>, limit: Duration| since.is_some_and(|since| now >= since + limit);
        if self.silence_limit.is_some_and(|limit| now >= self.last_heard + limit) {
            Some(End::KeepAlive)
        } else if is_over(self.begun, self.packet_timeout) {
            Some(End::Dawdled)
        } else if is_over(self.unwritten, self.write_timeout) {
            Some(End::Stalled)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock(start: Instant, silence_limit: Option<Duration>) -> Clock {
        let limits = Limits { write_timeout: 10 * SECOND, packet_timeout: 20 * SECOND, ..Limits::default() };
        Clock::new(start, silence_limit, &limits)
    }

    #[test]
    fn the_silent_are_those_who_promised_to_speak() {
        let start = Instant::now();
        let mut promised = clock(start, Some(15 * SECOND));
        assert!(promised.check(start + 14 * SECOND).is_none());
        promised.heard(start + 14 * SECOND, true, false);
        assert!(promised.check(start + 28 * SECOND).is_none());
        assert!(matches!(promised.check(start + 29 * SECOND), Some(End::KeepAlive)));
        assert!(clock(start, None).check(start + 10_000 * SECOND).is_none());
    }

    #[test]
    fn who_was_owed_nothing_for_long_has_all_the_time_for_what_comes_then() {
        let start = Instant::now();
        let mut clock = clock(start, None);
        let later = start + 100 * SECOND;
        clock.owes(|| later, true);
        clock.owes(|| later + 5 * SECOND, true);
        assert!(clock.check(later + 9 * SECOND).is_none());
        assert!(matches!(clock.check(later + 10 * SECOND), Some(End::Stalled)));
        clock.wrote();
        clock.owes(|| later + 9 * SECOND, true);
        assert!(clock.check(later + 18 * SECOND).is_none());
        clock.owes(|| later, false);
        assert!(clock.check(later + 100 * SECOND).is_none());
    }

    #[test]
    fn a_packet_has_its_time_from_its_own_beginning() {
        let start = Instant::now();
        let mut clock = clock(start, None);
        clock.heard(start, false, true);
        clock.heard(start + 15 * SECOND, false, true);
        assert!(matches!(clock.check(start + 20 * SECOND), Some(End::Dawdled)));
        clock.heard(start + 19 * SECOND, true, true);
        assert!(clock.check(start + 38 * SECOND).is_none());
        assert!(matches!(clock.check(start + 39 * SECOND), Some(End::Dawdled)));
        clock.heard(start + 38 * SECOND, true, false);
        assert!(clock.check(start + 100 * SECOND).is_none());
    }

    #[test]
    fn nothing_is_due_before_the_next_look() {
        let start = Instant::now();
        let mut clock = clock(start, Some(4 * SECOND));
        assert_eq!(clock.next_check(start), start + 4 * SECOND);
        clock.heard(start + 100 * SECOND, true, true);
        clock.silence_limit = None;
        assert_eq!(clock.next_check(start + 101 * SECOND), start + 111 * SECOND);
        assert_eq!(clock.next_check(start + 115 * SECOND), start + 120 * SECOND);
    }
}
