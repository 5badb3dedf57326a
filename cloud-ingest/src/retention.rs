//! The thread that lets go of what is old: lake files, events with quarantine and history, and ledgers, which are sealed.
//! One turn a minute; on an error it says so and tries again at the next. Ages are by this machine's clock.

use std::{
    sync::{Arc, atomic::Ordering, mpsc as sync},
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    core::Event,
    lake::Expirer,
    readings::ReadError,
    shown::Shown,
    store::{LmdbStore, StoreError},
};

const TURN: Duration = Duration::from_secs(60);
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How long what is kept; `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub lake_days: Option<u32>,
    pub events_days: Option<u32>,
    pub ledger_days: Option<u32>,
}

pub struct RetentionThread {
    pub store: Arc<LmdbStore>,
    pub expirer: Expirer,
    pub retention: Retention,
    pub clock: Clock,
    pub shown: Arc<Shown>,
    /// Closed to end it.
    pub until: sync::Receiver<()>,
    /// Back to the core.
    pub done: mpsc::Sender<Event>,
}

impl RetentionThread {
    pub fn run(self) {
        let mut pause = Duration::ZERO;
        while let Err(sync::RecvTimeoutError::Timeout) = self.until.recv_timeout(pause) {
            pause = TURN;
            let events = match self.turn(self.clock.unix_ms()) {
                Ok(events) => events,
                Err(error) => {
                    tracing::error!(%error, "what is past its retention could not be let go of");
                    self.shown.set_problem(Some(format!("retention: {error}")));
                    continue;
                }
            };
            for event in events {
                if self.done.blocking_send(event).is_err() {
                    return;
                }
            }
        }
    }

    /// What the core is to hear of it.
    fn turn(&self, now_unix_ms: i64) -> Result<Vec<Event>, ReadError> {
        let before = |days: u32| now_unix_ms.saturating_sub(i64::from(days) * DAY_MS);
        let mut events = Vec::new();
        match self.retention.lake_days {
            None => self.expirer.resume()?,
            Some(days) => {
                let expired = self.expirer.expire(before(days))?;
                if expired.files > 0 {
                    let (files, readings) = (expired.files, expired.readings);
                    tracing::info!(files, readings, "lake files are past their retention");
                    events.push(Event::Expired { ranges: expired.ranges });
                }
                if let Some(used_bytes) = expired.used_bytes {
                    self.shown.used_bytes.store(used_bytes, Ordering::Relaxed);
                    events.push(Event::Trimmed { used_bytes });
                }
            }
        }
        trim(&self.store, now_unix_ms, self.retention.events_days.map(before))?;
        if let Some(days) = self.retention.ledger_days {
            events.push(Event::Seal { before_unix_ms: before(days) });
        }
        Ok(events)
    }
}

/// Notes the hour, and lets go of events, quarantine and history from before that time.
fn trim(store: &LmdbStore, now_unix_ms: i64, before_unix_ms: Option<i64>) -> Result<(), StoreError> {
    let hour = |unix_ms: i64| u64::try_from(unix_ms.div_euclid(HOUR_MS)).unwrap_or(0);
    store.note_hour(hour(now_unix_ms))?;
    let Some(before) = before_unix_ms else { return Ok(()) };
    // Portion by portion, so that commits get their turn in between.
    while store.trim_events(hour(before))? > 0 {}
    while store.trim_quarantine(before)? > 0 {}
    while store.trim_history(before)? > 0 {}
    Ok(())
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
