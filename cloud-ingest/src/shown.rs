//! What the running parts show to those who ask, beside the store: newest readings, counters, the broker's presence.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use tidegate_alarms::{AlarmEvent, Priority, TransitionKind};
use tidegate_protocol::Reading;

use crate::core::{Counters, batch::OriginNo, verdicts::Compared};

#[derive(Debug, Default)]
pub struct Shown {
    /// The newest committed reading of each channel, bounded by the channels there are.
    latest: RwLock<HashMap<OriginNo, Vec<Reading>>>,
    counters: Mutex<Counters>,
    /// How gateways' verdicts compare, as it was looked at last.
    compared: Mutex<Arc<[Compared]>>,
    problem: Mutex<Option<String>>,
    pub broker_connected: AtomicBool,
    pub broker_connects: AtomicU64,
    pub last_commit_micros: AtomicU64,
    pub events_committed: AtomicU64,
    /// By priority, the most urgent first.
    pub alarm_raises: [AtomicU64; 4],
    pub used_bytes: AtomicU64,
    pub quota_bytes: AtomicU64,
    pub lake_files: AtomicU64,
    pub lake_rows: AtomicU64,
    /// Commits in which an origin got a better anchor.
    pub anchors_revision: AtomicU64,
    /// Journal entries that could not be read and went to quarantine.
    pub entries_damaged: AtomicU64,
    /// Acknowledgements that found no place on their way to the broker; the agents send again.
    pub acks_dropped: AtomicU64,
    /// Turns that the core has made.
    pub turns: AtomicU64,
    /// When the commit that is under way began, by the ingest's clock; 0: none is.
    pub commit_began_ms: AtomicU64,
    /// The last commit failed.
    pub commit_failed: AtomicBool,
    /// When the ingest was well last; 0: never yet.
    pub heartbeat_unix_ms: AtomicI64,
}

impl Shown {
    pub fn show_latest(&self, latest: impl IntoIterator<Item = (OriginNo, Vec<Reading>)>) {
        let mut table = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        table.extend(latest);
    }

    /// Sealed origins have no latest value.
    pub fn forget_latest(&self, gone: impl IntoIterator<Item = OriginNo>) {
        let mut table = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        gone.into_iter().for_each(|no| {
            table.remove(&no);
        });
    }

    pub fn latest(&self) -> RwLockReadGuard<'_, HashMap<OriginNo, Vec<Reading>>> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn show_counters(&self, counters: Counters) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    pub fn show_compared(&self, compared: Vec<Compared>) {
        *self.compared.lock().unwrap_or_else(PoisonError::into_inner) = compared.into();
    }

    pub fn compared(&self) -> Arc<[Compared]> {
        Arc::clone(&self.compared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told as late already is the same raise.
    pub fn note_raise(&self, event: &AlarmEvent) {
        let place = Priority::ALL.iter().position(|known| *known == event.priority);
        let is_raise = event.transition == TransitionKind::Raise && event.continues.is_none();
        if let Some(count) = place.filter(|_| is_raise).and_then(|place| self.alarm_raises.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What last went wrong; `None` once it goes right again.
    pub fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A counter's value.
pub fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
