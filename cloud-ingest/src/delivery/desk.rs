//! What the API asks of the deliverers, and what of them it shows. Calls block.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as sync,
    },
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    Receiver,
    core::RowState,
    view::{
        DeliveriesView, DeliverySelection, DeliveryView, ReceiverState, ReceiverView, ReceiversView,
        TallyView, TestView,
    },
};
use crate::{
    api::DeliverySource,
    store::{
        LmdbStore, StoreError,
        outbox::{Delivery, OutboxCounts, ReceiverRecord},
    },
};

/// Longer than a test message takes at most.
const PATIENCE: Duration = Duration::from_secs(28);
/// Orders that wait for one receiver.
pub(super) const ORDERS_WAITING: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("there is no receiver {0}; /api/v1/receivers lists those that there are")]
    UnknownReceiver(String),
    #[error("no event with the cursor {0} is kept")]
    UnknownEvent(u64),
    #[error("{ORDERS_WAITING} orders wait for this receiver; give it again later")]
    Busy,
    #[error("there is no answer yet; /api/v1/receivers tells what comes of it")]
    NoAnswer,
    #[error("the store cannot be read: {0}")]
    Store(#[from] StoreError),
}

pub(crate) enum Order {
    Replay { cursor: u64, done: sync::SyncSender<Result<(), DeskError>> },
    Enable { done: sync::SyncSender<Result<(), DeskError>> },
    Test { done: sync::SyncSender<Result<(), String>> },
}

/// Messages to one receiver since the start.
#[derive(Debug, Default)]
pub struct Tally {
    pub delivered: AtomicU64,
    pub failed: AtomicU64,
    pub parked: AtomicU64,
}

impl Tally {
    fn view(&self) -> TallyView {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TallyView { delivered: of(&self.delivered), failed: of(&self.failed), parked: of(&self.parked) }
    }
}

/// One receiver's counter.
pub(crate) struct Window {
    pub receiver: Arc<Receiver>,
    pub orders: mpsc::Sender<Order>,
    pub tally: Arc<Tally>,
}

pub struct Desk {
    store: Arc<LmdbStore>,
    windows: Vec<Window>,
}

impl Desk {
    pub(crate) const fn new(store: Arc<LmdbStore>, windows: Vec<Window>) -> Self {
        Self { store, windows }
    }

    fn ask<T>(&self, id: &str, order: impl FnOnce(sync::SyncSender<T>) -> Order) -> Result<T, DeskError> {
        let (done, answer) = sync::sync_channel(1);
        self.window(id)?.orders.try_send(order(done)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DeskError::Busy,
            mpsc::error::TrySendError::Closed(_) => DeskError::NoAnswer,
        })?;
        answer.recv_timeout(PATIENCE).map_err(|_| DeskError::NoAnswer)
    }

    fn window(&self, id: &str) -> Result<&Window, DeskError> {
        let window = self.windows.iter().find(|window| window.receiver.id == id);
        window.ok_or_else(|| DeskError::UnknownReceiver(id.to_owned()))
    }
}

impl DeliverySource for Desk {
    fn receivers(&self) -> Result<ReceiversView, DeskError> {
        let look = self.store.look()?;
        let (counts, mut records) = (look.outbox_counts()?, look.receivers()?);
        let views = self.windows.iter().map(|window| {
            let id = &window.receiver.id;
            view(window, counts.get(id).copied().unwrap_or_default(), records.remove(id).unwrap_or_default())
        });
        Ok(ReceiversView { receivers: views.collect() })
    }

    fn deliveries(&self, selection: &DeliverySelection) -> Result<DeliveriesView, DeskError> {
        if let Some(id) = &selection.receiver {
            self.window(id)?;
        }
        let look = self.store.look()?;
        let states = selection.state.map_or(vec![RowState::Waiting, RowState::Parked], |state| vec![state]);
        let mut deliveries = Vec::new();
        for window in &self.windows {
            let id = &window.receiver.id;
            if selection.receiver.as_ref().is_some_and(|wanted| wanted != id) {
                continue;
            }
            let mut of_receiver = Vec::new();
            for state in &states {
                of_receiver.extend(look.outbox(id, 0, *state, selection.limit)?);
            }
            of_receiver.sort_by_key(|(cursor, ..)| *cursor);
            of_receiver.truncate(selection.limit);
            deliveries.extend(of_receiver.into_iter().map(|row| delivery(id, row)));
        }
        Ok(DeliveriesView { deliveries })
    }

    /// Sends an event to a receiver now, whatever became of it before.
    fn replay(&self, id: &str, cursor: u64) -> Result<(), DeskError> {
        self.ask(id, |done| Order::Replay { cursor, done })?
    }

    /// Serves a receiver again that was disabled.
    fn enable(&self, id: &str) -> Result<(), DeskError> {
        self.ask(id, |done| Order::Enable { done })?
    }

    fn test(&self, id: &str) -> Result<TestView, DeskError> {
        let error = self.ask(id, |done| Order::Test { done })?.err();
        Ok(TestView { receiver: id.to_owned(), delivered: error.is_none(), error })
    }
}

fn view(window: &Window, counts: OutboxCounts, record: ReceiverRecord) -> ReceiverView {
    let state = if record.disabled.is_some() {
        ReceiverState::Disabled
    } else if record.last_error_unix_ms > record.last_success_unix_ms {
        ReceiverState::Failing
    } else {
        ReceiverState::Ok
    };
    ReceiverView {
        id: window.receiver.id.clone(),
        r#type: window.receiver.target.kind(),
        to: window.receiver.target.place(),
        state,
        waiting: counts.waiting,
        parked: counts.parked,
        oldest_waiting_unix_ms: counts.oldest_waiting_unix_ms,
        last_success_unix_ms: record.last_success_unix_ms,
        last_error_unix_ms: record.last_error_unix_ms,
        last_error: record.last_error,
        disabled: record.disabled,
        tally: window.tally.view(),
    }
}

fn delivery(receiver: &str, (cursor, row, event): Delivery) -> DeliveryView {
    DeliveryView {
        receiver: receiver.to_owned(),
        cursor,
        state: row.state,
        attempts: row.attempts,
        queued_unix_ms: row.queued_unix_ms,
        due_unix_ms: Some(row.due_unix_ms).filter(|_| row.state == RowState::Waiting),
        last_error: row.last_error,
        digest: row.digest.map(|digest| digest.reason),
        event,
    }
}
