//! The thread that commits: one batch at a time, and then tells everyone: the core, the watchers of events, the broker.

use std::{
    sync::{Arc, atomic::Ordering, mpsc as sync},
    time::Instant,
};

use tokio::sync::mpsc;

use crate::{
    core::{Event, batch::Batch},
    events::{EventSender, Streamed},
    retained::Retained,
    shown::Shown,
    store::{Receipt, Store},
};

pub struct CommitThread<S> {
    pub store: Arc<S>,
    pub shown: Arc<Shown>,
    pub events: EventSender,
    pub retained: Arc<Retained>,
    /// Back to the core.
    pub done: mpsc::Sender<Event>,
}

impl<S: Store> CommitThread<S> {
    /// Ends when `batches` is closed.
    pub fn run(self, batches: sync::Receiver<Box<Batch>>) {
        while let Ok(batch) = batches.recv() {
            let number = batch.number;
            let began = Instant::now();
            let event = match self.store.commit(&batch) {
                Ok(receipt) => {
                    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.shown.last_commit_micros.store(micros, Ordering::Relaxed);
                    let used_bytes = receipt.used_bytes;
                    self.tell(*batch, receipt);
                    Event::Committed { batch: number, used_bytes }
                }
                Err(error) => {
                    tracing::error!(%error, "a commit failed; nothing of it was acknowledged");
                    self.shown.set_problem(Some(error.to_string()));
                    Event::CommitFailed { batch: number }
                }
            };
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
        for (cursor, event) in receipt.events {
            if !event.late {
                self.retained.publish(&event);
            }
            // Without a watcher there is nobody to tell.
            let _watchers = self.events.send(Streamed::Committed(cursor, Arc::new(event)));
        }
    }
}
