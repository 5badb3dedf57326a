//! Which readings have been sent, and when some are sent again.
//!
//! New readings go out in order, ahead of all others. What was held when the gateway welcomed the board follows as far as the
//! line has room. When nothing was acknowledged for a while, a short stretch from the floor is repeated, with back-off: the
//! gateway acknowledges up to the first hole, so the repeat fills it, and the next acknowledgement jumps over all that did
//! arrive. An agent that merely takes its time (it may hold acknowledgements back for many seconds in an outage) thus costs a
//! board little.

use tidegate_protocol::{Tick, id::Seq};

use crate::{node::NodeConfig, ring::Cursor};

/// How many readings one repeat covers at most.
const REPEAT_READINGS: u64 = 256;
/// Frames of a repeat become an eighth as long at least.
const MOST_SHORTENED: u32 = 3;
/// They are long again when nothing had to be repeated for so long.
const CALM_MS: u32 = 60_000;

#[derive(Debug)]
pub(crate) struct Window {
    /// Where new readings go on.
    pub(crate) sent: Cursor,
    /// Older ones that are under way, again or for the first time to this gateway: from here up to `older_end`.
    pub(crate) older: Cursor,
    pub(crate) older_end: Seq,
    /// Of these, which have been sent before.
    pub(crate) repeated_below: Seq,
    /// What had been sent when the last repeat began; acknowledgements below it mean that there are more holes.
    recover: Seq,
    /// The end of the lost range as last declared to this gateway, and when.
    announced: Seq,
    announced_at: Tick,
    /// When something unacknowledged was first sent, or the acknowledgement last moved.
    progress_at: Tick,
    timeout_ms: u32,
    /// How often nothing was acknowledged in time since the line was last calm, and when it last was so.
    timeouts: u8,
    timed_out_at: Tick,
    /// The highest seq that was sent or declared lost, plus one: no true acknowledgement goes beyond.
    told: Seq,
}

impl Window {
    pub(crate) fn new(start: Cursor, config: &NodeConfig) -> Self {
        Self {
            sent: start,
            older: start,
            older_end: start.seq,
            repeated_below: start.seq,
            recover: start.seq,
            announced: Seq(0),
            announced_at: Tick(0),
            progress_at: Tick(0),
            timeout_ms: config.resend_after_ms,
            timeouts: 0,
            timed_out_at: Tick(0),
            told: start.seq,
        }
    }

    /// A gateway that may know nothing of what was sent before: all from the oldest again, behind what is measured from now on.
    pub(crate) fn rewind(&mut self, oldest: Cursor, newest: Cursor, now: Tick, config: &NodeConfig) {
        let Self { told, timeouts, timed_out_at, .. } = *self;
        let older = Self { older: oldest, older_end: newest.seq, ..Self::new(newest, config) };
        *self = Self { told, timeouts, timed_out_at, repeated_below: told, progress_at: now, ..older };
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

    /// `at_rest`: no older readings are under way. Returns whether the oldest are sent again.
    pub(crate) fn timed_out(
        &mut self,
        oldest: Cursor,
        at_rest: bool,
        now: Tick,
        config: &NodeConfig,
    ) -> bool {
        self.timeout_ms = self.timeout_ms.saturating_mul(2).min(config.resend_after_max_ms);
        self.timeouts = self.timeouts.saturating_add(1);
        self.progress_at = now;
        self.timed_out_at = now;
        self.announced = Seq(0);
        self.recover = self.sent.seq;
        if at_rest {
            self.start_repeat(oldest);
        }
        at_rest
    }

    pub(crate) fn acknowledged(
        &mut self,
        up_to: Seq,
        oldest: Cursor,
        at_rest: bool,
        now: Tick,
        config: &NodeConfig,
    ) -> bool {
        self.progress_at = now;
        self.timeout_ms = config.resend_after_ms;
        let has_holes = up_to < self.recover;
        if now >= after(self.timed_out_at, CALM_MS) {
            self.timeouts = 0;
        }
        if has_holes && at_rest {
            self.start_repeat(oldest);
        }
        has_holes && at_rest
    }

    /// Once for both who call it: it is not small.
    #[inline(never)]
    fn start_repeat(&mut self, oldest: Cursor) {
        self.older = oldest;
        self.older_end = Seq(oldest.seq.0.saturating_add(REPEAT_READINGS)).min(self.sent.seq);
        self.repeated_below = self.older_end;
    }

    /// How much shorter than usual the frames of older readings are, in powers of two. A line so noisy that no long frame comes
    /// through whole lets short ones pass; they stay short while it is noisy, or a small ring would run over in the time it
    /// takes to find out again.
    pub(crate) fn shortened(&self) -> u32 {
        u32::from(self.timeouts.saturating_sub(1)).min(MOST_SHORTENED)
    }
}

pub(crate) fn after(tick: Tick, delay_ms: u32) -> Tick {
    Tick(tick.0.saturating_add(u64::from(delay_ms)))
}
