//! When a channel was heard last, for those who watch for its silence.

use std::sync::Arc;

use tidegate_alarms::{Rule, step::Point};
use tidegate_protocol::{BootId, ChannelName, Seq, Tick};

use super::silence::Spoke;

/// An observed interval moves by this part of its distance to the newest.
const SMOOTHING: u64 = 8;

#[derive(Debug)]
pub(super) struct Hearing {
    /// By the core's clock; or since when it is listened for.
    heard_ms: u64,
    last: Option<Point>,
    /// Observed, in ticks.
    interval_ms: Option<u64>,
    /// There is a timer.
    timed: bool,
    /// An alarm may stand that its next reading ends: nobody looked yet.
    silent: bool,
}

impl Default for Hearing {
    fn default() -> Self {
        Self { heard_ms: 0, last: None, interval_ms: None, timed: false, silent: true }
    }
}

/// A channel that may be silent.
#[derive(Debug)]
pub struct SilentChannel {
    pub name: ChannelName,
    pub unit: String,
    pub heard_ms: u64,
    /// Its last reading; the start of its first boot where there was none.
    pub last: Point,
    pub interval_ms: Option<u64>,
    /// Those in force.
    pub rules: Vec<Arc<Rule>>,
}

impl Hearing {
    /// Says what somebody must look after.
    pub fn hear(&mut self, channel: usize, at: Point, now_ms: u64) -> Option<Spoke> {
        if let Some(last) = self.last.filter(|last| last.boot == at.boot) {
            let passed = at.tick.0.saturating_sub(last.tick.0);
            let known = self.interval_ms.unwrap_or(passed);
            self.interval_ms = Some((known * (SMOOTHING - 1) + passed).div_ceil(SMOOTHING));
        }
        (self.last, self.heard_ms) = (Some(at), now_ms);
        let needs_timer = !std::mem::replace(&mut self.timed, true);
        let was_silent = std::mem::take(&mut self.silent);
        (needs_timer || was_silent).then_some(Spoke { channel, needs_timer, was_silent })
    }

    pub fn put_off(&mut self, now_ms: u64) {
        self.heard_ms = self.heard_ms.max(now_ms);
    }

    pub fn without_timer(&mut self) {
        (self.timed, self.silent) = (false, true);
    }

    pub fn restart(&mut self, now_ms: u64) {
        (self.heard_ms, self.timed, self.silent) = (now_ms, true, true);
    }

    pub fn silent_channel(&self, name: ChannelName, unit: &str, rules: Vec<Arc<Rule>>) -> SilentChannel {
        let last = self.last.unwrap_or(Point { boot: BootId(0), seq: Seq(0), tick: Tick(0) });
        let Self { heard_ms, interval_ms, .. } = *self;
        SilentChannel { name, unit: unit.to_owned(), heard_ms, last, interval_ms, rules }
    }
}
