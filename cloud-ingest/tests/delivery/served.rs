//! A store with its deliverers, and nothing else of an ingest.

use std::{path::Path, sync::Arc};

use serde_json::Value as Json;
use tidegate_alarms::{AlarmEvent, RuleBook};
use tidegate_ingest::{
    api::DeliverySource,
    core::{batch::Batch, rulebook::RulesChange},
    delivery::{
        Desk, deliverer,
        view::{DeliverySelection, DeliveryView, ReceiverView},
    },
    store::{LmdbStore, Store},
};
use tidegate_service::Shutdown;
use tokio::task::JoinHandle;

use crate::{checked, in_time};

pub struct Served {
    pub store: Arc<LmdbStore>,
    pub desk: Arc<Desk>,
    committed: deliverer::Committed,
    stopping: Shutdown,
    tasks: Vec<JoinHandle<()>>,
}

impl Served {
    pub fn start(folder: &Path, receivers: &[Json]) -> Self {
        let store = Arc::new(LmdbStore::open(folder, 1 << 26).expect("a store"));
        let (committed, stopping) = (deliverer::Committed::default(), Shutdown::new());
        let receivers = receivers.iter().map(checked).collect();
        let delivery = deliverer::start(receivers, &store, &committed, &stopping).expect("it starts");
        Self { store, desk: delivery.desk, committed, stopping, tasks: delivery.tasks }
    }

    /// Returns the cursors.
    pub fn commit(&self, events: Vec<AlarmEvent>) -> Vec<u64> {
        let receipt = self.store.commit(&Batch { events, ..Batch::default() }).expect("it commits");
        self.committed.send_modify(|commits| *commits += 1);
        receipt.events.iter().map(|(cursor, _)| *cursor).collect()
    }

    pub fn commit_rules(&self, book: &RuleBook) {
        let change = RulesChange { rules: book.rules().cloned().collect(), edition: 1, operation: None };
        self.store.commit(&Batch { rules: vec![change], ..Batch::default() }).expect("it commits");
    }

    /// Calls of the desk block.
    pub async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Desk) -> T + Send + 'static) -> T {
        let desk = Arc::clone(&self.desk);
        in_time("the desk", tokio::task::spawn_blocking(move || question(&desk))).await.expect("it answers")
    }

    pub async fn receiver(&self, id: &'static str) -> ReceiverView {
        self.ask(move |desk| desk.receiver(id)).await.expect("it is known")
    }

    pub async fn receiver_when(
        &self,
        id: &'static str,
        is_so: impl Fn(&ReceiverView) -> bool,
    ) -> ReceiverView {
        in_time("a receiver's state", async {
            loop {
                let view = self.receiver(id).await;
                if is_so(&view) {
                    return view;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    pub async fn deliveries(&self) -> Vec<DeliveryView> {
        let all = DeliverySelection { receiver: None, state: None, limit: 1_000 };
        self.ask(move |desk| desk.deliveries(&all)).await.expect("it reads").deliveries
    }

    /// Ends as a process does that is asked to.
    pub async fn stop(self) {
        self.stopping.trigger();
        let Self { store, desk, tasks, .. } = self;
        for task in tasks {
            in_time("a deliverer's end", task).await.expect("it ends");
        }
        drop(desk);
        let_go(store).await;
    }

    /// Ends as a process does that is killed: nothing more is noted.
    pub async fn kill(self) {
        let Self { store, desk, tasks, .. } = self;
        for task in tasks {
            task.abort();
            assert!(in_time("a deliverer's end", task).await.is_err(), "it was running");
        }
        drop(desk);
        let_go(store).await;
    }
}

/// What was begun of the store in a thread of its own goes on to its end.
async fn let_go(store: Arc<LmdbStore>) {
    in_time("the store's end", async {
        while Arc::strong_count(&store) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
