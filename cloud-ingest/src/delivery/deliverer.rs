//! The core's shell: one task for each receiver, so that none waits for another. It brings the lane what the outbox holds,
//! notes in the outbox what the lane decides, and sends.
//!
//! What failed to be noted is noted later; until then no digest leaves (it would not be the same message after a crash), and
//! what was delivered may be sent again, with its old id.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tidegate_service::Shutdown;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::{
    Failure, Filters, Receiver, Target,
    compose::{self, Composed},
    core::{Effect, Event, Lane, Message, RowState},
    desk::{Desk, DeskError, ORDERS_WAITING, Order, Tally, Window},
    email,
    fetch::{self, Loaded},
    http::Limits,
    webhook,
};
use crate::{
    clock::Clock,
    failpoint::FailPoint,
    store::{
        LmdbStore, StoreError,
        outbox::{OutboxChange, ReceiverRecord},
    },
};

/// Events of one receiver that are looked after at a time; more wait in the outbox.
const MAX_LOADED: usize = 20_000;
/// A clock may jump: no sleep is longer.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// After the store took no changes.
const STORE_BACK_OFF: Duration = Duration::from_secs(1);
/// How long messages that are on their way may take at the end.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a test message may take: somebody waits for it.
const TEST_LIMIT: Duration = Duration::from_secs(25);
/// Test messages at a time.
const MAX_TESTS: usize = 4;

/// Word that something was committed.
pub type Committed = watch::Sender<u64>;

/// All deliverers, and the desk before them.
pub struct Delivery {
    pub desk: Arc<Desk>,
    pub tasks: Vec<JoinHandle<()>>,
}

/// Has the store queue events for these receivers from now on, and serves them.
pub fn start(
    receivers: Vec<Receiver>,
    store: &Arc<LmdbStore>,
    committed: &Committed,
    stopping: &Shutdown,
) -> Result<Delivery, StoreError> {
    let filters = receivers.iter().map(|receiver| (receiver.id.clone(), receiver.filter.clone()));
    for (receiver, rows) in store.deliver_to(Filters::new(filters))? {
        tracing::warn!(receiver, rows, "a receiver is gone from the settings; what waited for it is dropped");
    }
    let mut records = store.look()?.receivers()?;
    let clock = Clock::start();
    let (mut windows, mut tasks) = (Vec::new(), Vec::new());
    for receiver in receivers {
        let (orders, orders_in) = mpsc::channel(ORDERS_WAITING);
        let (receiver, tally) = (Arc::new(receiver), Arc::new(Tally::default()));
        let record = records.remove(&receiver.id).unwrap_or_default();
        let deliverer = Deliverer {
            lane: Lane::new(receiver.policy.clone(), record.disabled.is_some()),
            receiver: Arc::clone(&receiver),
            store: Arc::clone(store),
            clock,
            tally: Arc::clone(&tally),
            record,
            loaded_up_to: 0,
            behind: false,
            changes: Vec::new(),
            unsent: Vec::new(),
            sending: JoinSet::new(),
            testing: JoinSet::new(),
        };
        tasks.push(tokio::spawn(deliverer.run(committed.subscribe(), orders_in, stopping.clone())));
        windows.push(Window { receiver, orders, tally });
    }
    Ok(Delivery { desk: Arc::new(Desk::new(Arc::clone(store), windows)), tasks })
}

struct Deliverer {
    receiver: Arc<Receiver>,
    store: Arc<LmdbStore>,
    clock: Clock,
    lane: Lane,
    tally: Arc<Tally>,
    record: ReceiverRecord,
    loaded_up_to: u64,
    /// The outbox holds more than there was room for.
    behind: bool,
    /// What the store did not take yet.
    changes: Vec<OutboxChange>,
    /// Digests that wait for the store.
    unsent: Vec<Message>,
    sending: JoinSet<(u64, Outcome)>,
    testing: JoinSet<()>,
}

enum Outcome {
    Delivered,
    Failed(Failure),
    /// Its events are gone.
    Vanished,
}

impl Deliverer {
    async fn run(
        mut self,
        mut committed: watch::Receiver<u64>,
        mut orders: mpsc::Receiver<Order>,
        stopping: Shutdown,
    ) {
        self.load().await;
        loop {
            self.carry_out().await;
            let pause = self.pause();
            tokio::select! {
                () = stopping.wait() => break,
                Some(ended) = self.sending.join_next(), if !self.sending.is_empty() => self.ended(ended),
                changed = committed.changed() => match changed {
                    // What there is no room for is read when there is.
                    Ok(()) if self.behind => {}
                    Ok(()) => self.load().await,
                    Err(_) => break,
                },
                Some(order) = orders.recv() => self.order(order).await,
                Some(_) = self.testing.join_next(), if !self.testing.is_empty() => {}
                () = sleep(pause) => self.handle(Event::Wakeup),
            }
            // What has ended meanwhile is noted together.
            while let Some(ended) = self.sending.try_join_next() {
                self.ended(ended);
            }
            if self.behind && self.lane.len() <= MAX_LOADED / 2 {
                self.load().await;
            }
        }
        let farewell = async {
            while let Some(ended) = self.sending.join_next().await {
                self.ended(ended);
                self.note_effects();
            }
        };
        // What has no answer by then is sent again after the next start.
        let _in_time = timeout(FAREWELL, farewell).await;
        self.note_effects();
        self.write().await;
    }

    fn pause(&self) -> Duration {
        if !self.changes.is_empty() {
            return STORE_BACK_OFF;
        }
        let Some(at) = self.lane.next_wakeup() else { return LONGEST_SLEEP };
        let ms = at.saturating_sub(self.clock.unix_ms()).max(0);
        Duration::from_millis(u64::try_from(ms).unwrap_or_default()).min(LONGEST_SLEEP)
    }

    fn handle(&mut self, event: Event) {
        self.lane.handle(self.clock.unix_ms(), event);
    }

    /// Brings the lane what the outbox has behind what it knows. All of it at once: a digest must be whole.
    async fn load(&mut self) {
        let room = MAX_LOADED.saturating_sub(self.lane.len());
        let (store, id, after) = (Arc::clone(&self.store), self.receiver.id.clone(), self.loaded_up_to);
        let read = spawn_blocking(move || fetch::outbox(&store, &id, after, room)).await;
        match read {
            Ok(Ok(Loaded { queued, gone, up_to, more })) => {
                (self.loaded_up_to, self.behind) = (up_to, more);
                for cursor in gone {
                    self.changes.push(OutboxChange::Delete { receiver: self.receiver.id.clone(), cursor });
                }
                if !queued.is_empty() {
                    self.handle(Event::Queued(queued));
                }
            }
            Ok(Err(error)) => self.not_read(&error.to_string()),
            Err(error) => self.not_read(&error.to_string()),
        }
    }

    /// It is tried again.
    fn not_read(&mut self, error: &str) {
        self.behind = true;
        tracing::error!(error, receiver = self.receiver.id, "the outbox cannot be read");
    }

    /// Takes what the lane wants, and returns what it wants sent.
    fn note_effects(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(effect) = self.lane.poll() {
            let receiver = self.receiver.id.clone();
            match effect {
                Effect::Put { cursor, row } => {
                    if row.state == RowState::Parked {
                        let error = row.last_error.as_deref().unwrap_or_default();
                        tracing::error!(
                            receiver,
                            cursor,
                            error,
                            "an event could not be delivered; it is parked"
                        );
                    }
                    self.changes.push(OutboxChange::Put { receiver, cursor, row });
                }
                Effect::Delete { cursor } => self.changes.push(OutboxChange::Delete { receiver, cursor }),
                Effect::Disable { why } => {
                    tracing::error!(receiver, why, "a receiver wants nothing any more; it is disabled");
                    self.record.disabled = Some(why);
                    self.note_record();
                }
                Effect::Send(message) => messages.push(message),
            }
        }
        messages
    }

    fn note_record(&mut self) {
        let (receiver, record) = (self.receiver.id.clone(), self.record.clone());
        self.changes.push(OutboxChange::Receiver { receiver, record });
    }

    async fn carry_out(&mut self) {
        let messages = self.note_effects();
        let is_written = self.write().await;
        let (digests, singles): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message.digest.is_some());
        self.unsent.extend(digests);
        singles.into_iter().for_each(|message| self.send(message));
        if is_written {
            for digest in mem::take(&mut self.unsent) {
                self.send(digest);
            }
        }
    }

    /// Whether the outbox says all that it should.
    async fn write(&mut self) -> bool {
        if self.changes.is_empty() {
            return true;
        }
        let (store, changes) = (Arc::clone(&self.store), mem::take(&mut self.changes));
        let written = spawn_blocking(move || {
            let written = store.change_outbox(&changes);
            (changes, written)
        });
        match written.await {
            Ok((_, Ok(()))) => true,
            Ok((changes, Err(error))) => {
                tracing::error!(%error, receiver = self.receiver.id, "the outbox cannot be written; it is tried again");
                self.changes = changes;
                false
            }
            Err(error) => {
                tracing::error!(%error, receiver = self.receiver.id, "the outbox was not written");
                false
            }
        }
    }

    fn send(&mut self, message: Message) {
        let (store, receiver, clock) = (Arc::clone(&self.store), Arc::clone(&self.receiver), self.clock);
        self.sending.spawn(async move {
            let first = message.first;
            let to = Arc::clone(&receiver);
            let composed = spawn_blocking(move || fetch::composed(&store, &to, &message)).await;
            let outcome = match composed {
                Ok(Ok(Some(composed))) => attempt(&receiver.target, &composed, clock).await,
                Ok(Ok(None)) => Outcome::Vanished,
                Ok(Err(error)) => {
                    Outcome::Failed(Failure::temporary(format!("the store cannot be read: {error}")))
                }
                Err(error) => Outcome::Failed(Failure::temporary(format!("it was not composed: {error}"))),
            };
            (first, outcome)
        });
    }

    fn ended(&mut self, ended: Result<(u64, Outcome), tokio::task::JoinError>) {
        let Ok((message, outcome)) = ended else {
            // Aborted or panicked: the lane believes it is on its way until the next start.
            tracing::error!(receiver = self.receiver.id, "an attempt to deliver did not end");
            return;
        };
        FailPoint::AfterDelivery.hit();
        match outcome {
            Outcome::Delivered => {
                self.tally.delivered.fetch_add(1, Ordering::Relaxed);
                self.record.last_success_unix_ms = Some(self.clock.unix_ms());
                self.note_record();
                self.handle(Event::Delivered { message });
            }
            Outcome::Vanished => self.handle(Event::Vanished { message }),
            Outcome::Failed(Failure { kind, why }) => {
                tracing::warn!(receiver = self.receiver.id, why, "a delivery failed");
                self.record.last_error_unix_ms = Some(self.clock.unix_ms());
                self.record.last_error = Some(why.clone());
                self.note_record();
                let waiting = self.lane.len();
                self.handle(Event::Failed { message, kind, why, jitter: jitter() });
                let outcome = if self.lane.len() < waiting { &self.tally.parked } else { &self.tally.failed };
                outcome.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Enable { done } => {
                self.record.disabled = None;
                self.note_record();
                self.handle(Event::Enabled);
                let _gave_up = done.try_send(Ok(()));
            }
            Order::Replay { cursor, done } => {
                let (store, id) = (Arc::clone(&self.store), self.receiver.id.clone());
                let now = self.clock.unix_ms();
                let found = spawn_blocking(move || fetch::one(&store, &id, cursor, now)).await;
                let answer = match found {
                    Ok(Ok(Some(queued))) => {
                        self.handle(Event::Replay(queued));
                        Ok(())
                    }
                    Ok(Ok(None)) => Err(DeskError::UnknownEvent(cursor)),
                    Ok(Err(error)) => Err(error.into()),
                    Err(_) => Err(DeskError::NoAnswer),
                };
                let _gave_up = done.try_send(answer);
            }
            Order::Test { done } => {
                if self.testing.len() >= MAX_TESTS {
                    let _gave_up = done.try_send(Err("other test messages are on their way".to_owned()));
                    return;
                }
                let (receiver, clock) = (Arc::clone(&self.receiver), self.clock);
                self.testing.spawn(async move {
                    let message = compose::test_message(&receiver.id, clock.unix_ms());
                    let sent = timeout(TEST_LIMIT, attempt(&receiver.target, &message, clock));
                    let answer = match sent.await {
                        Ok(Outcome::Failed(failure)) => Err(failure.why),
                        Ok(Outcome::Delivered | Outcome::Vanished) => Ok(()),
                        Err(_) => Err(format!("there was no answer within {} s", TEST_LIMIT.as_secs())),
                    };
                    let _gave_up = done.try_send(answer);
                });
            }
        }
    }
}

async fn attempt(target: &Target, message: &Composed, clock: Clock) -> Outcome {
    let sent = match target {
        Target::Webhook(target) => webhook::send(target, message, clock.unix_ms(), Limits::default()).await,
        Target::Email(target) => email::send(target, message).await,
    };
    match sent {
        Ok(()) => Outcome::Delivered,
        Err(failure) => Outcome::Failed(failure),
    }
}

/// From 0 to 1.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
