//! From the commit to the receiver, over ends and restarts.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;
use tidegate_alarms::{AlarmEvent, Priority};
use tidegate_ingest::{
    api::DeliverySource,
    core::batch::Batch,
    delivery::{Filters, core::RowState, desk::DeskError, view::ReceiverState},
    store::{LmdbStore, Store},
};

use crate::{
    hook::{Answer, Hook, status},
    in_time,
    made::{cleared, event, with_priority},
    served::Served,
    webhook,
};

fn id(event: &AlarmEvent) -> String {
    serde_json::to_value(event.id).expect("JSON").as_str().expect("text").to_owned()
}

#[tokio::test]
async fn what_is_committed_arrives_in_the_order_of_its_alarm_and_leaves_the_outbox() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let served = Served::start(folder.path(), &[webhook("ops", &hook.url())]);
    let (raised, over) = (event("plant", "a", 1), cleared("plant", "a", 1));
    served.commit(vec![raised.clone(), over.clone()]);
    // A second time it is no new event, and is not told again.
    assert!(served.commit(vec![raised.clone()]).is_empty());
    assert_eq!([hook.next().await.id(), hook.next().await.id()], [id(&raised), id(&over)]);
    let view = served.receiver_when("ops", |view| view.waiting == 0).await;
    assert_eq!((view.state, view.parked, view.tally.delivered), (ReceiverState::Ok, 0, 2));
    assert!(view.last_success_unix_ms.is_some());
    served.stop().await;
    assert!(hook.came().is_empty());
}

#[tokio::test]
async fn a_dead_receiver_delays_no_other_and_gets_all_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let dead = Arc::new(AtomicBool::new(true));
    let is_dead = Arc::clone(&dead);
    let mut hanging =
        Hook::start(
            move |_, _| if is_dead.load(Ordering::SeqCst) { Answer::Nothing } else { status("200 OK") },
        )
        .await;
    let mut well = Hook::start(|_, _| status("200 OK")).await;
    let served =
        Served::start(folder.path(), &[webhook("hanging", &hanging.url()), webhook("well", &well.url())]);
    let events: Vec<AlarmEvent> = (0..40).map(|no| event("plant", &format!("d{no}"), no)).collect();
    served.commit(events.clone());
    let ids: BTreeSet<String> = events.iter().map(id).collect();
    let mut arrived = BTreeSet::new();
    while arrived.len() < 40 {
        arrived.insert(well.next().await.id().to_owned());
    }
    assert_eq!(arrived, ids);
    let at_once: Vec<_> =
        [hanging.next().await, hanging.next().await, hanging.next().await, hanging.next().await].into();
    assert!(hanging.came().is_empty(), "no more than four at a time");
    assert_eq!(served.receiver("hanging").await.waiting, 40);
    // It comes back, and meanwhile the ingest was killed: those that had no answer come again, with the same ids.
    served.kill().await;
    dead.store(false, Ordering::SeqCst);
    let served =
        Served::start(folder.path(), &[webhook("hanging", &hanging.url()), webhook("well", &well.url())]);
    let mut again = BTreeSet::new();
    while again.len() < 40 {
        again.insert(hanging.next().await.id().to_owned());
    }
    assert_eq!(again, ids);
    assert!(at_once.iter().all(|first| again.contains(first.id())), "a copy is known by its id");
    served.receiver_when("hanging", |view| view.waiting == 0).await;
    assert_eq!(served.receiver("well").await.waiting, 0);
}

/// As with kill -9 right after the commit: nobody was told, the outbox knows.
#[tokio::test]
async fn what_was_committed_when_the_process_died_is_delivered_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let receivers = [webhook("ops", &hook.url())];
    Served::start(folder.path(), &receivers).kill().await;
    let late = AlarmEvent { late: true, ..event("plant", "b", 1) };
    {
        let store = LmdbStore::open(folder.path(), 1 << 26).expect("a store");
        let filters = Filters::new([("ops".to_owned(), crate::checked(&receivers[0]).filter)]);
        assert!(store.deliver_to(filters).expect("it opens").is_empty());
        let events = vec![event("plant", "a", 1), late.clone()];
        store.commit(&Batch { events, ..Batch::default() }).expect("it commits");
    }
    let served = Served::start(folder.path(), &receivers);
    let devices: BTreeSet<String> = [hook.next().await.device(), hook.next().await.device()].into();
    assert_eq!(devices, ["a".to_owned(), "b".to_owned()].into());
    served.stop().await;
}

#[tokio::test]
async fn a_commit_that_fails_queues_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let hook = Hook::start(|_, _| status("200 OK")).await;
    let receiver = crate::checked(&webhook("ops", &hook.url()));
    let store = LmdbStore::open(folder.path(), 1 << 20).expect("a store");
    store.deliver_to(Filters::new([("ops".to_owned(), receiver.filter)])).expect("it opens");
    let too_many = (0..2_000).map(|no| event("plant", "a", 2 * no)).collect();
    assert!(store.commit(&Batch { events: too_many, ..Batch::default() }).is_err(), "it does not fit");
    let look = store.look().expect("a look");
    assert_eq!((look.last_cursor().expect("a cursor"), look.outbox_counts().expect("counts").len()), (0, 0));
}

#[tokio::test]
async fn a_new_receiver_starts_from_now_and_the_rows_of_one_that_is_gone_are_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let silent = Hook::start(|_, _| Answer::Nothing).await;
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let served = Served::start(folder.path(), &[webhook("old", &silent.url())]);
    served.commit(vec![event("plant", "before", 1)]);
    assert_eq!(served.receiver("old").await.waiting, 1);
    served.kill().await;
    let served = Served::start(folder.path(), &[webhook("new", &hook.url())]);
    served.commit(vec![event("plant", "after", 1)]);
    assert_eq!(hook.next().await.device(), "after");
    served.receiver_when("new", |view| view.waiting == 0).await;
    let look = served.store.look().expect("a look");
    assert!(look.outbox_counts().expect("counts").is_empty());
    assert_eq!(look.receivers().expect("receivers").into_keys().collect::<Vec<_>>(), ["new"]);
    drop(look);
    assert!(hook.came().is_empty(), "what was before is not told");
    // It comes back under its name: it is new.
    served.stop().await;
    let served = Served::start(folder.path(), &[webhook("old", &hook.url())]);
    assert_eq!(served.receiver("old").await.waiting, 0);
}

#[tokio::test]
async fn a_row_does_not_outlive_its_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let receivers = [webhook("ops", &hook.url())];
    {
        let store = LmdbStore::open(folder.path(), 1 << 26).expect("a store");
        let filter = crate::checked(&receivers[0]).filter;
        store.deliver_to(Filters::new([("ops".to_owned(), filter)])).expect("it opens");
        let events = ["a", "b", "c"].map(|device| event("plant", device, 1)).into();
        store.commit(&Batch { events, ..Batch::default() }).expect("it commits");
        store.note_hour(1).expect("it notes");
        while store.trim_events(2).expect("it trims") > 0 {}
        let counts = store.look().expect("a look").outbox_counts().expect("counts");
        // The newest event stays, for its cursor.
        assert_eq!(counts["ops"].waiting, 1);
    }
    let served = Served::start(folder.path(), &receivers);
    assert_eq!(hook.next().await.device(), "c");
    served.receiver_when("ops", |view| view.waiting == 0).await;
    served.stop().await;
    assert!(hook.came().is_empty());
}

#[tokio::test]
async fn a_receiver_gets_what_its_filter_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let mut settings = webhook("ops", &hook.url());
    settings["min_priority"] = json!("high");
    settings["select"] = json!({ "device": "d*" });
    settings["transitions"] = json!(["raise"]);
    let served = Served::start(folder.path(), &[settings]);
    let low = with_priority(Priority::Low, "d1", 1);
    served.commit(vec![low, event("plant", "x1", 1), cleared("plant", "d2", 1), event("plant", "d3", 1)]);
    assert_eq!(hook.next().await.device(), "d3");
    served.receiver_when("ops", |view| view.waiting == 0).await;
    assert!(hook.came().is_empty());
}

#[tokio::test]
async fn one_that_is_gone_is_disabled_over_restarts_until_it_is_enabled() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|before, _| status(if before == 0 { "410 Gone" } else { "200 OK" })).await;
    let receivers = [webhook("ops", &hook.url())];
    let served = Served::start(folder.path(), &receivers);
    served.commit(vec![event("plant", "a", 1)]);
    hook.next().await;
    let view = served.receiver_when("ops", |view| view.state == ReceiverState::Disabled).await;
    assert!(view.disabled.is_some_and(|why| why.contains("410")));
    served.commit(vec![event("plant", "b", 1)]);
    served.stop().await;
    // The outbox is read before the first order is taken, and what is on its way is waited for at the end.
    let served = Served::start(folder.path(), &receivers);
    served.ask(|desk| desk.test("ops")).await.expect("it is sent");
    served.stop().await;
    let types: Vec<_> = hook.came().iter().map(|received| received.json()["type"].clone()).collect();
    assert_eq!(types, ["test"], "nothing else is sent to it");
    let served = Served::start(folder.path(), &receivers);
    let view = served.receiver("ops").await;
    assert_eq!((view.state, view.waiting), (ReceiverState::Disabled, 2));
    served.ask(|desk| desk.enable("ops")).await.expect("it is enabled");
    let devices: BTreeSet<String> = [hook.next().await.device(), hook.next().await.device()].into();
    assert_eq!(devices, ["a".to_owned(), "b".to_owned()].into());
    let view = served.receiver_when("ops", |view| view.waiting == 0).await;
    assert_eq!((view.state, view.disabled), (ReceiverState::Ok, None));
}

#[tokio::test]
async fn what_failed_waits_with_its_error_and_is_sent_again_when_it_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let answer = move |_: usize, _: &_| {
        status(if is_well.load(Ordering::SeqCst) { "200 OK" } else { "503 Unavailable\r\nRetry-After: 3600" })
    };
    let mut hook = Hook::start(answer).await;
    let served = Served::start(folder.path(), &[webhook("ops", &hook.url())]);
    let cursor = served.commit(vec![event("plant", "a", 1)])[0];
    let first = hook.next().await;
    served.receiver_when("ops", |view| view.state == ReceiverState::Failing).await;
    let waiting = in_time("the attempt in the outbox", async {
        loop {
            let rows = served.deliveries().await;
            if rows[0].attempts == 1 {
                return rows;
            }
        }
    })
    .await;
    let row = &waiting[0];
    assert_eq!((row.receiver.as_str(), row.cursor, row.state), ("ops", cursor, RowState::Waiting));
    assert!(row.last_error.as_deref().is_some_and(|error| error.contains("503")), "{row:?}");
    let pause = row.due_unix_ms.expect("it waits") - row.queued_unix_ms;
    assert!((3_600_000..5_400_000).contains(&pause), "the receiver's wish is granted: {pause}");
    well.store(true, Ordering::SeqCst);
    served.ask(move |desk| desk.replay("ops", cursor)).await.expect("it is sent again");
    assert_eq!(hook.next().await.id(), first.id());
    served.receiver_when("ops", |view| view.waiting == 0 && view.tally.delivered == 1).await;
    // What has left can be sent again too.
    served.ask(move |desk| desk.replay("ops", cursor)).await.expect("it is sent again");
    assert_eq!(hook.next().await.id(), first.id());
    assert!(matches!(served.ask(|desk| desk.replay("ops", 99)).await, Err(DeskError::UnknownEvent(99))));
    assert!(matches!(served.ask(|desk| desk.replay("x", 1)).await, Err(DeskError::UnknownReceiver(_))));
}

#[tokio::test]
async fn a_test_message_tells_whether_it_arrived() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|before, _| status(if before == 0 { "200 OK" } else { "500 No" })).await;
    let served = Served::start(folder.path(), &[webhook("ops", &hook.url())]);
    let view = served.ask(|desk| desk.test("ops")).await.expect("it is sent");
    assert!(view.delivered && view.error.is_none());
    assert_eq!(hook.next().await.json()["type"], "test");
    let view = served.ask(|desk| desk.test("ops")).await.expect("it is sent");
    assert!(!view.delivered && view.error.is_some_and(|error| error.contains("500")));
}

#[tokio::test]
async fn programs_that_want_digests_get_what_was_over_as_one_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hook = Hook::start(|_, _| status("200 OK")).await;
    let mut settings = webhook("ops", &hook.url());
    settings["digest"] = json!(true);
    let served = Served::start(folder.path(), &[settings]);
    let late = |event: AlarmEvent| AlarmEvent { late: true, ..event };
    let critical = late(with_priority(Priority::Critical, "c", 1));
    served.commit(vec![late(event("plant", "a", 1)), late(cleared("plant", "a", 1)), critical]);
    // A raise of the same alarm is not to wait until the minute is over.
    served.commit(vec![event("plant", "a", 7)]);
    let (mut digest, mut singles) = (None, Vec::new());
    for _ in 0..3 {
        let received = hook.next().await;
        match received.json()["type"].as_str() {
            Some("alarm.digest") => digest = Some(received.json()),
            _ => singles.push(received.device()),
        }
    }
    assert_eq!(singles, ["c", "a"]);
    let digest = digest.expect("a digest");
    assert_eq!((&digest["data"]["reason"], &digest["data"]["raised"]), (&json!("late"), &json!(1)));
    served.receiver_when("ops", |view| view.waiting == 0).await;
}
