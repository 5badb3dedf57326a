//! The gateway's wall clock, as far as the core knows it: how far it can be trusted, and when somebody set it.
//!
//! A gateway without a battery starts in 1970, or where it stopped, and learns the time later. What is anchored until then
//! is not wasted: of every origin the core remembers which tick it was at which moment of its own running time. Once
//! the clock is better, or was set, those moments have another wall time, and every origin is anchored again by them;
//! also those that ended meanwhile, as many as [`MAX_GONE`]. The ingest takes the better anchor for all readings of an
//! origin, whenever they were stored.

use std::collections::VecDeque;

use tidegate_protocol::{ClockQuality, DRIFT_PPM, Origin, Tick, block::Record, frame::Down};

use super::{
    Core,
    event::Effect,
    packer::Awaited,
    time::{Now, Time},
};

/// Wall and running time that part by this much between two events were parted by somebody who set the clock.
/// Time servers correct less than this by running the clock faster or slower.
const STEP_MS: u64 = 500;
/// How far a clock may be off that nobody follows, right after it was set.
const SET_ERROR_MS: u32 = 1_000;
/// Origins that ended before the gateway knew the time, and are anchored once it does. The oldest leave first; their
/// readings stay `unsynced`.
const MAX_GONE: usize = 1_024;

/// A moment at which an origin's tick was known.
#[derive(Clone, Copy, Debug)]
pub struct Anchored {
    pub tick: Tick,
    pub at: Time,
    /// How long the tick may have been under way.
    pub delay_ms: u32,
}

#[derive(Debug)]
pub struct WallClock {
    error_ms: u32,
    quality: ClockQuality,
    /// Wall time less running time.
    offset_ms: i64,
    /// The system has spoken of it; what it showed before counts for nothing.
    known: bool,
    stepped: bool,
    /// Somebody set it while this process watched.
    was_set: bool,
    gone: VecDeque<(Origin, Anchored)>,
}

impl WallClock {
    pub const fn new(now: Now) -> Self {
        Self {
            error_ms: u32::MAX,
            quality: ClockQuality::Unsynced,
            offset_ms: offset_ms(now),
            known: false,
            stepped: false,
            was_set: false,
            gone: VecDeque::new(),
        }
    }

    /// Looks at the clock; true when it was set since the last look.
    pub fn looked_at(&mut self, now: Now) -> bool {
        let before = std::mem::replace(&mut self.offset_ms, offset_ms(now));
        let stepped = self.known && self.offset_ms.abs_diff(before) >= STEP_MS;
        self.stepped |= stepped;
        stepped
    }

    /// What the system says of the clock; true when anchors from before are worth less now.
    fn told(&mut self, error_ms: u32, quality: ClockQuality) -> bool {
        self.known = true;
        let better = quality > self.quality;
        let known = quality != ClockQuality::Unsynced;
        let stepped = std::mem::take(&mut self.stepped) && known;
        self.was_set |= stepped;
        (self.error_ms, self.quality) = (error_ms, quality);
        better || stepped
    }

    pub const fn quality(&self) -> ClockQuality {
        self.quality
    }

    pub fn error_ms(&self) -> u32 {
        let set = self.was_set && self.quality == ClockQuality::Estimated;
        if set { self.error_ms.min(SET_ERROR_MS) } else { self.error_ms }
    }

    /// An origin is forgotten here; while the time is not known its last moment is kept.
    pub fn origin_ends(&mut self, origin: Origin, anchored: Anchored) {
        if self.quality != ClockQuality::Unsynced {
            return;
        }
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back((origin, anchored));
    }
}

const fn offset_ms(now: Now) -> i64 {
    now.unix_ms.saturating_sub((now.at.0 / 1_000) as i64)
}

impl Core {
    pub(super) fn clock_told(&mut self, error_ms: u32, quality: ClockQuality) {
        if self.clock.told(error_ms, quality) {
            self.anchor_all_again();
        }
    }

    /// Every moment that is remembered, as the clock tells it now.
    fn anchor_all_again(&mut self) {
        let gone = std::mem::take(&mut self.clock.gone);
        let known = self.origins.iter().filter_map(|(_, state)| Some((state.origin(), state.anchored?)));
        let moments: Vec<_> = gone.into_iter().chain(known).collect();
        tracing::info!(
            origins = moments.len(),
            quality = self.clock.quality.name(),
            "the clock is better now, or was set: origins are anchored to it again"
        );
        for (origin, anchored) in moments {
            self.anchor_record(origin, anchored);
        }
        let links: Vec<_> = self.origins.iter().filter_map(|(_, state)| state.link).collect();
        for link in links {
            let frame = Down::Time { unix_ms: self.now.unix_ms, error_ms: self.clock.error_ms() };
            self.effects.push_back(Effect::Send { link, frame });
        }
    }

    /// Ties a moment to wall time, as the clock tells it now.
    pub(super) fn anchor_record(&mut self, origin: Origin, anchored: Anchored) {
        let Anchored { tick, at, delay_ms } = anchored;
        let since_ms = self.now.at.us_since(at) / 1_000;
        let drift_ms = since_ms.saturating_mul(DRIFT_PPM) / 1_000_000;
        let error_ms = self.clock.error_ms().saturating_add(delay_ms);
        let record = Record::Anchor {
            origin,
            tick,
            unix_ms: self.now.unix_ms.saturating_sub(since_ms as i64),
            error_ms: error_ms.saturating_add(u32::try_from(drift_ms).unwrap_or(u32::MAX)),
            quality: self.clock.quality,
        };
        self.say_anchor(record);
    }

    pub(super) fn say_anchor(&mut self, record: Record) {
        let due = self.due_in(self.settings.flush_interval_ms, self.settings.outage_flush_interval_ms);
        self.packer.record_came(record, Awaited::Nothing, due);
        self.custodian.may_be_due(due);
    }
}
