//! How long a client has been silent, has not read, or has not come to the end of a packet.

use std::time::Duration;

use tokio::time::Instant;

use super::End;
use crate::config::Limits;

pub struct Clock {
    silence_limit: Option<Duration>,
    write_timeout: Duration,
    packet_timeout: Duration,
    last_heard: Instant,
    last_wrote: Instant,
    /// When the packet began that has not ended.
    begun: Option<Instant>,
}

impl Clock {
    pub fn new(silence_limit: Option<Duration>, limits: &Limits) -> Self {
        let now = Instant::now();
        let Limits { write_timeout, packet_timeout, .. } = *limits;
        Self { silence_limit, write_timeout, packet_timeout, last_heard: now, last_wrote: now, begun: None }
    }

    /// `ended`: a packet came to its end. `more`: another has begun.
    pub fn heard(&mut self, ended: bool, more: bool) {
        let now = Instant::now();
        self.last_heard = now;
        let begun = self.begun.take().filter(|_| !ended);
        self.begun = more.then(|| begun.unwrap_or(now));
    }

    pub fn wrote(&mut self) {
        self.last_wrote = Instant::now();
    }

    pub fn next_check(&self) -> Instant {
        let writes = Instant::now() + self.write_timeout;
        let packet = self.begun.map_or(writes, |begun| begun + self.packet_timeout);
        let silent = self.silence_limit.map_or(writes, |limit| self.last_heard + limit);
        writes.min(packet).min(silent)
    }

    pub fn check(&mut self, nothing_to_write: bool) -> Option<End> {
        if self.silence_limit.is_some_and(|limit| self.last_heard.elapsed() >= limit) {
            return Some(End::KeepAlive);
        }
        if self.begun.is_some_and(|begun| begun.elapsed() >= self.packet_timeout) {
            return Some(End::Dawdled);
        }
        if nothing_to_write {
            self.last_wrote = Instant::now();
        } else if self.last_wrote.elapsed() >= self.write_timeout {
            return Some(End::Stalled);
        }
        None
    }
}
