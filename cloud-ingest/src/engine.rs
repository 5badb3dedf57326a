//! The core's shell: brings it events, carries out what it wants. One thread; it never waits for a disk or a network.

use std::{
    sync::{Arc, atomic::Ordering, mpsc as sync},
    time::Duration,
};

use tidegate_protocol::topic::Down;
use tidegate_service::Shutdown;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use crate::{
    clock::Clock,
    core::{Core, Effect, Event, batch::Batch},
    events::{EventSender, Streamed},
    failpoint::FailPoint,
    inbox::Inbox,
    intake::Outgoing,
    looker::Job,
    orders::{Answer, Orders},
    shown::Shown,
    store::{Store, StoreError},
};

pub struct Engine<S> {
    pub core: Core,
    pub store: Arc<S>,
    pub clock: Clock,
    pub shown: Arc<Shown>,
    pub events: EventSender,
    pub batches: sync::SyncSender<Box<Batch>>,
    /// The committing thread's last word.
    pub failed: oneshot::Receiver<StoreError>,
    pub jobs: sync::SyncSender<Job>,
    pub outgoing: mpsc::Sender<Outgoing>,
    pub orders: Arc<Orders>,
    /// Stop taking blocks, commit what was taken, acknowledge it, end.
    pub draining: Shutdown,
}

/// Events taken in a row before the other things are looked after.
const EVENTS_AT_ONCE: usize = 64;

impl<S: Store> Engine<S> {
    /// Ends when it has drained, or when the committed state cannot be read.
    pub async fn run(mut self, mut intake: Inbox, mut done: mpsc::Receiver<Event>) -> Result<(), StoreError> {
        self.tell_time();
        loop {
            self.carry_out()?;
            self.shown.show_counters(self.core.counters());
            self.shown.turns.fetch_add(1, Ordering::Release);
            let draining = self.draining.is_triggered();
            if draining && self.core.is_idle() {
                return Ok(());
            }
            let takes_more = !draining && !intake.is_closed() && !self.core.is_at_bound();
            let wakeup = self.core.next_wakeup().map(|at| at.saturating_sub(self.clock.now_ms()));
            let first = tokio::select! {
                biased;
                error = &mut self.failed => return Err(error.unwrap_or_else(|_| ended())),
                event = done.recv() => event,
                event = intake.recv(), if takes_more => event,
                () = sleep(Duration::from_millis(wakeup.unwrap_or(0))), if wakeup.is_some() => Some(Event::Wakeup),
                () = self.draining.wait(), if !draining => None,
            };
            let Some(first) = first else { continue };
            self.handle(first)?;
            for _ in 1..EVENTS_AT_ONCE {
                let takes_more = takes_more && !self.core.is_at_bound();
                let more = done.try_recv().ok();
                let more = more.or_else(|| if takes_more { intake.try_recv() } else { None });
                let Some(event) = more else { break };
                self.handle(event)?;
            }
        }
    }

    /// Effects follow each event at once: an alarm does not wait for the blocks behind its own.
    fn handle(&mut self, event: Event) -> Result<(), StoreError> {
        match event {
            Event::BrokerConnected => self.look(Job::RepublishAlarms),
            Event::Wakeup => self.tell_time(),
            _ => {}
        }
        self.core.handle(self.clock.now_ms(), event);
        self.carry_out()
    }

    fn tell_time(&mut self) {
        self.core.handle(self.clock.now_ms(), Event::Time { unix_ms: self.clock.unix_ms() });
    }

    fn carry_out(&mut self) -> Result<(), StoreError> {
        while let Some(effect) = self.core.poll() {
            match effect {
                // There is room: the core hands out one batch at a time.
                Effect::Commit(batch) => {
                    if self.batches.try_send(batch).is_err() {
                        return Err(self.failed.try_recv().unwrap_or_else(|_| ended()));
                    }
                }
                Effect::Ack { to, ack } => match ack.encode() {
                    Ok(payload) => {
                        self.publish(Outgoing { topic: to.down(Down::Ack), retain: false, payload })
                    }
                    Err(error) => tracing::error!(%error, "an acknowledgement does not encode"),
                },
                Effect::Provisional(event) => {
                    let _watchers = self.events.send(Streamed::Provisional(Arc::from(event)));
                }
                Effect::Verify { ticket, job } => self.look(Job::Verify { ticket, job }),
                Effect::Retired { ticket, done } => self.orders.answer(ticket, Answer::Retired(done)),
                Effect::Settings { to, wanted } => match wanted.encode() {
                    Ok(payload) => {
                        self.publish(Outgoing { topic: to.down(Down::Settings), retain: false, payload })
                    }
                    Err(error) => tracing::error!(%error, "settings do not encode"),
                },
                Effect::Rules { to, down } => match down.encode() {
                    Ok(payload) => {
                        self.publish(Outgoing { topic: to.down(Down::Rules), retain: false, payload })
                    }
                    Err(error) => tracing::error!(%error, "rules do not encode"),
                },
                Effect::Compared(compared) => self.shown.show_compared(compared),
                Effect::SettingsDone { ticket, done } => self.orders.answer(ticket, Answer::Settings(done)),
                Effect::RulesDone { ticket, done } => self.orders.answer(ticket, Answer::Rules(done)),
                Effect::AlarmDone { ticket, done } => self.orders.answer(ticket, Answer::Alarm(done)),
                Effect::Load { origin, range, told } => self.look(Job::Load { origin, range, told }),
                Effect::Rewind { origin, to } => self.look(Job::Rewind { origin, to }),
                Effect::Reload => {
                    let snapshot = Box::new(self.store.snapshot()?);
                    let reloaded = Event::Reloaded { snapshot, incarnation: new_incarnation()? };
                    self.core.handle(self.clock.now_ms(), reloaded);
                }
            }
        }
        Ok(())
    }

    fn publish(&self, message: Outgoing) {
        // Lost without harm: the agent sends again and is answered again.
        if self.outgoing.try_send(message).is_err() {
            self.shown.acks_dropped.fetch_add(1, Ordering::Relaxed);
        }
        FailPoint::AfterAck.hit();
    }

    /// What finds no place is answered as unreadable: the core, or the agent, asks again.
    fn look(&mut self, job: Job) {
        let answer = match self.jobs.try_send(job) {
            Ok(()) => return,
            Err(sync::TrySendError::Full(job)) => job.unanswered(),
            Err(sync::TrySendError::Disconnected(job)) => {
                tracing::error!("the thread that looks into the store has ended");
                job.unanswered()
            }
        };
        match answer {
            Some(event) => self.core.handle(self.clock.now_ms(), event),
            None => tracing::warn!("alarms are not published anew: too much waits for the store"),
        }
    }
}

fn ended() -> StoreError {
    StoreError::Lmdb("the committing thread has ended".to_owned())
}

/// 64 random bits: never one that was used before.
pub fn new_incarnation() -> Result<u64, StoreError> {
    getrandom::u64().map_err(|error| StoreError::Folder(std::io::Error::other(error.to_string())))
}
