//! The one place that reads clocks.

use std::{
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use tidegate_protocol::ClockQuality;

use crate::core::{Event, Now, Time};

/// 2024-01-01: a wall clock before it was never set.
const EARLIEST_UNIX_MS: i64 = 1_704_067_200_000;
/// What systemd-timesyncd keeps while it follows a time server.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
const SYNCED_ERROR_MS: u32 = 50;
/// Nobody knows when it was set; the core trusts it more once it saw that happen.
const FREE_RUNNING_ERROR_MS: u32 = 10_000;

#[derive(Clone, Copy, Debug)]
pub struct ShellClock {
    started: Instant,
}

impl ShellClock {
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { at: self.time_of(Instant::now()), unix_ms: since_epoch.as_millis() as i64 }
    }

    /// For sources: when something arrived.
    pub fn at(&self) -> Time {
        self.time_of(Instant::now())
    }

    fn time_of(&self, instant: Instant) -> Time {
        Time(instant.duration_since(self.started).as_micros() as u64)
    }

    /// When a core's time comes.
    pub fn instant_of(&self, time: Time) -> tokio::time::Instant {
        let at = self.started.checked_add(std::time::Duration::from_micros(time.0));
        at.unwrap_or(self.started).into()
    }

    /// How far the wall clock can be trusted now.
    pub fn quality(&self) -> Event {
        let (error_ms, quality) = if self.now().unix_ms < EARLIEST_UNIX_MS {
            (u32::MAX, ClockQuality::Unsynced)
        } else if Path::new(SYNCHRONISED).exists() {
            (SYNCED_ERROR_MS, ClockQuality::Synced)
        } else {
            (FREE_RUNNING_ERROR_MS, ClockQuality::Estimated)
        };
        Event::Clock { error_ms, quality }
    }
}
