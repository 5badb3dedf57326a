//! The thread that commits: one batch at a time, and then tells everyone: the core, the watchers of events, the broker.

use std::{
    sync::{Arc, atomic::Ordering, mpsc as sync},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::Clock,
    core::{Event, batch::Batch},
    delivery::deliverer::Committed,
    events::{EventSender, Streamed},
    retained::Retained,
    shown::Shown,
    store::{Receipt, Store, StoreError},
};

pub struct CommitThread<S> {
    pub store: Arc<S>,
    pub shown: Arc<Shown>,
    pub events: EventSender,
    pub retained: Arc<Retained>,
    /// To those who deliver events.
    pub committed: Committed,
    pub clock: Clock,
    /// Back to the core.
    pub done: mpsc::Sender<Event>,
    /// Told when nothing can be committed any more; dropped with the thread.
    pub fatal: oneshot::Sender<StoreError>,
}

impl<S: Store> CommitThread<S> {
    /// Ends when `batches` is closed, or when the disk failed: what is in memory can't be trusted then.
    pub fn run(self, batches: sync::Receiver<Box<Batch>>) {
        while let Ok(batch) = batches.recv() {
            let number = batch.number;
            let began = Instant::now();
            self.shown.commit_began_ms.store(self.clock.now_ms().max(1), Ordering::Release);
            let event = match self.store.commit(&batch) {
                Ok(receipt) => {
                    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.shown.last_commit_micros.store(micros, Ordering::Relaxed);
                    let used_bytes = receipt.used_bytes;
                    self.tell(*batch, receipt);
                    Event::Committed { batch: number, used_bytes }
                }
                Err(error) if error.is_fatal() => {
                    self.shown.set_problem(Some(error.to_string()));
                    let _engine_is_gone = self.fatal.send(error);
                    return;
                }
                Err(error) if error.is_full() => {
                    tracing::error!(%error, "no room for a commit; nothing of it was acknowledged");
                    self.shown.set_problem(Some(error.to_string()));
                    Event::StoreFull { batch: number }
                }
                Err(error) => {
                    tracing::error!(%error, "a commit failed; nothing of it was acknowledged");
                    self.shown.set_problem(Some(error.to_string()));
                    Event::CommitFailed { batch: number }
                }
            };
            self.shown.commit_failed.store(!matches!(event, Event::Committed { .. }), Ordering::Release);
            self.shown.commit_began_ms.store(0, Ordering::Release);
            if self.done.blocking_send(event).is_err() {
                return;
            }
        }
    }

    fn tell(&self, batch: Batch, receipt: Receipt) {
        self.shown.set_problem(None);
        self.shown.used_bytes.store(receipt.used_bytes, Ordering::Relaxed);
        if batch.anchors_changed {
            self.shown.anchors_revision.fetch_add(1, Ordering::Release);
        }
        self.shown.show_latest(batch.latest);
        if !batch.sealed.is_empty() {
            self.shown.forget_latest(batch.sealed.iter().map(|(no, _)| *no));
        }
        self.shown.events_committed.fetch_add(receipt.events.len() as u64, Ordering::Relaxed);
        if !receipt.events.is_empty() {
            self.committed.send_modify(|commits| *commits = commits.wrapping_add(1));
        }
        for (cursor, event) in receipt.events {
            self.shown.note_raise(&event);
            if !event.late {
                self.retained.publish(&event);
            }
            // Without a watcher there is nobody to tell.
            let _watchers = self.events.send(Streamed::Committed(cursor, Arc::new(event)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::Snapshot, events};

    /// A store that does not take a batch.
    struct Refusing(fn() -> StoreError);

    impl Store for Refusing {
        fn snapshot(&self) -> Result<Snapshot, StoreError> {
            Ok(Snapshot::default())
        }
        fn commit(&self, _batch: &Batch) -> Result<Receipt, StoreError> {
            Err((self.0)())
        }
    }

    fn answers(error: fn() -> StoreError) -> (Vec<Event>, Result<StoreError, oneshot::error::TryRecvError>) {
        let (done, mut told) = mpsc::channel(8);
        let (fatal, mut last_word) = oneshot::channel();
        let (batches, committing) = sync::sync_channel(2);
        let (outgoing, _) = mpsc::channel(1);
        let thread = CommitThread {
            store: Arc::new(Refusing(error)),
            shown: Arc::default(),
            events: events::channel(),
            retained: Arc::new(Retained::new(outgoing)),
            committed: Committed::default(),
            clock: Clock::start(),
            done,
            fatal,
        };
        for number in [1, 2] {
            batches.send(Box::new(Batch { number, ..Batch::default() })).unwrap();
        }
        drop(batches);
        thread.run(committing);
        let events = std::iter::from_fn(|| told.try_recv().ok()).collect();
        (events, last_word.try_recv())
    }

    #[test]
    fn after_a_write_error_it_ends_and_says_why() {
        let (events, last_word) = answers(|| StoreError::Disk("EIO".to_owned()));
        assert!(events.is_empty(), "neither success nor a failure to be tried again");
        assert!(matches!(last_word, Ok(StoreError::Disk(_))));
    }

    #[test]
    fn a_full_disk_is_told_to_the_core_and_the_thread_goes_on() {
        let (events, last_word) = answers(|| StoreError::DiskFull);
        assert!(matches!(events[..], [Event::StoreFull { batch: 1 }, Event::StoreFull { batch: 2 }]));
        assert!(last_word.is_err());
    }
}
