//! For tests: a store, and a core that commits to it and answers orders.

use std::{path::Path, sync::Arc, thread};

use tidegate_alarms::RuleSet;
use tidegate_protocol::block::Decoder;
use tokio::sync::mpsc;

use super::Query;
use crate::{
    clock::Clock,
    core::{Core, Effect, Event, Settings, batch::Batch},
    events,
    lake::Lake,
    orders::{Answer, Orders},
    shown::Shown,
    store::{LmdbStore, Store},
};

/// What the core is told goes to the sender. `kept` is in the store before.
pub fn served(folder: &Path, rules: RuleSet, kept: Option<&Batch>) -> (Query, mpsc::Sender<Event>) {
    let store = Arc::new(LmdbStore::open(&folder.join("store"), 16 << 20).unwrap());
    if let Some(kept) = kept {
        store.commit(kept).unwrap();
    }
    let (events, mut told) = mpsc::channel(8);
    let orders = Arc::new(Orders::new(events.clone(), Clock::start()));
    let (to, answers) = (Arc::clone(&store), Arc::clone(&orders));
    thread::spawn(move || {
        let settings = Settings { credit_total_bytes: 1 << 20, linger_ms: 0, quota_bytes: 1 << 30 };
        let snapshot = to.snapshot().unwrap();
        let mut core = Core::new(settings, rules, Decoder::new().unwrap(), snapshot, 1);
        while let Some(event) = told.blocking_recv() {
            core.handle(0, event);
            while let Some(effect) = core.poll() {
                match effect {
                    Effect::Commit(batch) => {
                        let used_bytes = to.commit(&batch).unwrap().used_bytes;
                        core.handle(0, Event::Committed { batch: batch.number, used_bytes });
                    }
                    Effect::AlarmDone { ticket, done } => answers.answer(ticket, Answer::Alarm(done)),
                    Effect::RulesDone { ticket, done } => answers.answer(ticket, Answer::Rules(done)),
                    Effect::SettingsDone { ticket, done } => answers.answer(ticket, Answer::Settings(done)),
                    _ => {}
                }
            }
        }
    });
    let lake = Lake::open(&folder.join("lake")).unwrap();
    (Query::new(store, lake, Arc::new(Shown::default()), events::channel(), orders), events)
}
