//! The thread that looks into the store for the core: duplicates compared with their originals, readings behind a filled
//! hole, alarms to publish anew. Its queue is bounded; what finds no place counts as unreadable.

use std::sync::{Arc, mpsc as sync};

use tidegate_protocol::{Origin, Reading, SeqRange};
use tokio::sync::mpsc;

use crate::{
    core::{Event, VerifyJob, batch::OriginNo},
    lake::Lake,
    readings::{ReadError, Source},
    retained::Retained,
    store::LmdbStore,
};

#[derive(Debug)]
pub enum Job {
    Verify { ticket: u64, job: VerifyJob },
    Load { origin: OriginNo, range: SeqRange },
    RepublishAlarms,
}

impl Job {
    /// What the core hears where nobody looks.
    pub fn unanswered(self) -> Option<Event> {
        match self {
            Self::Verify { ticket, .. } => Some(Event::Verified { ticket, differing: None }),
            Self::Load { origin, .. } => Some(Event::Loaded { origin, readings: None }),
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
                    let differing = said(self.verify(&job), "a block that came again could not be compared");
                    Event::Verified { ticket, differing }
                }
                Job::Load { origin, range } => {
                    let readings = said(self.load(origin, range), "readings could not be settled");
                    Event::Loaded { origin, readings }
                }
                Job::RepublishAlarms => {
                    said(
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

    fn load(&self, origin: OriginNo, range: SeqRange) -> Result<Vec<Reading>, ReadError> {
        let look = self.store.look()?;
        let mut readings = Vec::new();
        Source::new(&look, &self.lake)?.read(origin, range, (0, u64::MAX), |reading| {
            readings.push(*reading);
            true
        })?;
        Ok(readings)
    }
}

fn said<T>(result: Result<T, ReadError>, what: &str) -> Option<T> {
    result.inspect_err(|error| tracing::error!(%error, "{what}")).ok()
}
