//! Which readings have been sent, and when some are sent again.
//!
//! New readings go out in order. When nothing was acknowledged for a while, a short stretch from the floor is
//! repeated, with back-off, while new readings go on: the gateway acknowledges up to the first hole, so the repeat
//! fills it, and the next acknowledgement jumps over all that did arrive. An agent that merely takes its time (it
//! may hold acknowledgements back for many seconds in an outage) thus costs a board little.

use tidegate_protocol::{Tick, id::Seq};

use crate::{node::NodeConfig, ring::Cursor};

/// How many readings one repeat covers at most.
const REPEAT_READINGS: u64 = 256;

#[derive(Debug)]
pub(crate) struct Window {
    /// Where first transmissions go on.
    pub(crate) sent: Cursor,
    /// Readings that are being repeated: from here up to `repeat_end`.
    pub(crate) repeat: Cursor,
    pub(crate) repeat_end: Seq,
    /// What had been sent when the last repeat began; acknowledgements below it mean that there are more holes.
    recover: Seq,
    /// The end of the lost range as last declared to this gateway, and when.
    announced: Seq,
    announced_at: Tick,
    /// When something unacknowledged was first sent, or the acknowledgement last moved.
    progress_at: Tick,
    timeout_ms: u32,
    /// The highest seq that was sent or declared lost, plus one: no true acknowledgement goes beyond.
    told: Seq,
}

impl Window {
    pub(crate) fn new(start: Cursor, config: &NodeConfig) -> Self {
        Self {
            sent: start,
            repeat: start,
            repeat_end: start.seq,
            recover: start.seq,
            announced: Seq(0),
            announced_at: Tick(0),
            progress_at: Tick(0),
            timeout_ms: config.resend_after_ms,
            told: start.seq,
        }
    }

    /// A gateway that may know nothing of what was sent before: all from the oldest again.
    pub(crate) fn rewind(&mut self, start: Cursor, now: Tick, config: &NodeConfig) {
        let told = self.told;
        *self = Self { told, progress_at: now, ..Self::new(start, config) };
    }

    /// Another boot: what was told before counts for nothing.
    pub(crate) fn forget(&mut self) {
        self.told = Seq(0);
    }

    pub(crate) fn told(&self) -> Seq {
        self.told
    }

    pub(crate) fn tell(&mut self, floor: Seq, up_to: Seq, now: Tick) {
        if self.told <= floor {
            self.progress_at = now;
        }
        self.told = self.told.max(up_to);
    }

    /// The end of a declared range that this gateway has been told of.
    pub(crate) fn announce(&mut self, end: Seq, now: Tick) {
        self.announced = end;
        self.announced_at = now;
    }

    /// When a lost range that ends at `end` is to be declared; None if it is known already.
    pub(crate) fn declare_at(&self, end: Seq, config: &NodeConfig) -> Option<Tick> {
        if self.announced == Seq(0) {
            Some(Tick(0))
        } else if self.announced < end {
            Some(after(self.announced_at, config.lost_interval_ms))
        } else {
            None
        }
    }

    /// When the next repeat begins, if nothing is acknowledged before.
    pub(crate) fn timeout_at(&self, floor: Seq) -> Option<Tick> {
        (floor < self.told).then(|| after(self.progress_at, self.timeout_ms))
    }

    pub(crate) fn timed_out(&mut self, oldest: Cursor, now: Tick, config: &NodeConfig) {
        self.timeout_ms = self.timeout_ms.saturating_mul(2).min(config.resend_after_max_ms);
        self.progress_at = now;
        self.announced = Seq(0);
        self.recover = self.sent.seq;
        self.start_repeat(oldest);
    }

    pub(crate) fn acknowledged(&mut self, up_to: Seq, oldest: Cursor, now: Tick, config: &NodeConfig) {
        self.progress_at = now;
        self.timeout_ms = config.resend_after_ms;
        if up_to < self.recover {
            self.start_repeat(oldest);
        }
    }

    fn start_repeat(&mut self, oldest: Cursor) {
        self.repeat = oldest;
        self.repeat_end = Seq(oldest.seq.0.saturating_add(REPEAT_READINGS)).min(self.sent.seq);
    }
}

pub(crate) fn after(tick: Tick, delay_ms: u32) -> Tick {
    Tick(tick.0.saturating_add(u64::from(delay_ms)))
}
