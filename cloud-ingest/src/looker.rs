//! The thread that looks into the store for the core: duplicates compared with their originals, readings behind a filled
//! hole, alarms to publish anew. Its queue is bounded; what finds no place counts as unreadable.

use std::sync::{Arc, mpsc as sync};

use tidegate_protocol::{Origin, SeqRange};
use tokio::sync::mpsc;

use crate::{
    core::{
        Event, Loaded, VerifyJob,
        batch::{OriginNo, RewindTo},
    },
    lake::Lake,
    readings::{ReadError, Source},
    retained::Retained,
    store::LmdbStore,
};

#[derive(Debug)]
pub enum Job {
    Verify { ticket: u64, job: VerifyJob },
    Load { origin: OriginNo, range: SeqRange, told: bool },
    Rewind { origin: OriginNo, to: RewindTo },
    RepublishAlarms,
}

impl Job {
    /// What the core hears where nobody looks.
    pub fn unanswered(self) -> Option<Event> {
        match self {
            Self::Verify { ticket, .. } => Some(Event::Verified { ticket, differing: None }),
            Self::Load { origin, .. } => Some(Event::Loaded { origin, loaded: None }),
            Self::Rewind { origin, to } => Some(Event::Rewound { origin, to, checkpoint: None }),
            Self::RepublishAlarms => None,
        }
    }
}

pub struct LookThread {
    pub store: Arc<LmdbStore>,
    pub lake: Lake,
    pub retained: Arc<Retained>,
    /// Back to the core.
    pub done: mpsc::Sender<Event>,
}

impl LookThread {
    /// Ends when `jobs` is closed.
    pub fn run(self, jobs: sync::Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let event = match job {
                Job::Verify { ticket, job } => {
                    let differing =
                        self.said(self.verify(&job), "a block that came again could not be compared");
                    Event::Verified { ticket, differing }
                }
                Job::Load { origin, range, told } => {
                    let loaded = self.load(origin, range, told);
                    Event::Loaded { origin, loaded: self.said(loaded, "readings could not be settled") }
                }
                Job::Rewind { origin, to } => {
                    let found = self.store.look().and_then(|look| look.checkpoint(origin, to));
                    let checkpoint =
                        self.said(found.map_err(ReadError::from), "history could not be taken up");
                    Event::Rewound { origin, to, checkpoint }
                }
                Job::RepublishAlarms => {
                    self.said(
                        self.retained.publish_all(&self.store).map_err(ReadError::from),
                        "alarms could not be published anew",
                    );
                    continue;
                }
            };
            if self.done.blocking_send(event).is_err() {
                return;
            }
        }
    }

    fn verify(&self, job: &VerifyJob) -> Result<Vec<(Origin, SeqRange)>, ReadError> {
        let look = self.store.look()?;
        Source::new(&look, &self.lake)?.verify(job)
    }

    fn load(&self, origin: OriginNo, range: SeqRange, told: bool) -> Result<Loaded, ReadError> {
        let look = self.store.look()?;
        let checkpoints = if told { look.checkpoints(origin, range)? } else { Vec::new() };
        let occurrences = if told { look.raised_in(origin, range)? } else { Vec::new() };
        let mut readings = Vec::new();
        Source::new(&look, &self.lake)?.read(origin, range, (0, u64::MAX), |reading| {
            readings.push(*reading);
            true
        })?;
        Ok(Loaded { readings, checkpoints, occurrences })
    }

    /// What came of a look. Where it met a damaged entry the core is told first, so that its readings are not called
    /// stored any more.
    fn said<T>(&self, result: Result<T, ReadError>, what: &str) -> Option<T> {
        if let Err(ReadError::Damaged { position }) = result {
            tracing::error!(position, "a journal entry cannot be read; it goes to quarantine");
            let met = self.store.look().and_then(|look| look.damage_at(&[position].into()));
            for damaged in met.inspect_err(|error| tracing::error!(%error, "{what}")).unwrap_or_default() {
                // When the core is gone there is nobody to tell.
                let _gone = self.done.blocking_send(Event::Damaged(damaged));
            }
            return None;
        }
        result.inspect_err(|error| tracing::error!(%error, "{what}")).ok()
    }
}
