//! The event stream: what it sends, and that nothing falls between two connections.

use std::{collections::VecDeque, sync::Arc};

use futures_util::StreamExt;
use reqwest::Response;
use serde_json::{Value as Json, json};
use tidegate_alarms::AlarmEvent;
use tokio::time::timeout;

use crate::{EVENTS_WAITING, MAX_STREAMS, PATIENCE, Served, header, made_up::MadeUp, raise};

/// One server-sent event; fields that it has not are empty.
#[derive(Debug, Default, PartialEq)]
pub struct Seen {
    pub id: String,
    pub event: String,
    pub data: String,
}

pub struct Watcher {
    response: Response,
    text: String,
    waiting: VecDeque<Seen>,
}

impl Watcher {
    pub async fn open(served: &Served, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request =
            reqwest::Client::new().get(format!("http://{}/api/v1/events{query}", served.address));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = timeout(PATIENCE, request.send()).await.expect("no answer").unwrap();
        assert_eq!(header(&response, "content-type"), "text/event-stream");
        Self { response, text: String::new(), waiting: VecDeque::new() }
    }

    /// The next event; `None` when the server ended the stream.
    async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some(seen) = self.waiting.pop_front() {
                return Some(seen);
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("no event came").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut seen = Seen::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", value)) => seen.id = value.into(),
                        Some(("event", value)) => seen.event = value.into(),
                        Some(("data", value)) => seen.data.push_str(value),
                        _ => {}
                    }
                }
                self.waiting.push_back(seen);
                self.text = rest.to_owned();
            }
        }
    }

    pub async fn some(&mut self) -> Seen {
        self.next().await.expect("the stream ended")
    }
}

fn seq_of(seen: &Seen) -> Json {
    serde_json::from_str::<Json>(&seen.data).unwrap()["seq"].clone()
}

#[tokio::test]
async fn provisional_events_have_no_id_and_committed_ones_their_cursor() {
    let served = Served::start().await;
    served.source.commit(raise(1));
    let mut watcher = Watcher::open(&served, "", None).await;
    let begin = watcher.some().await;
    assert_eq!((begin.id.as_str(), begin.data.as_str()), ("1", ""), "where it begins is said at once");

    served.source.announce(AlarmEvent { provisional: true, ..raise(2) });
    let provisional = watcher.some().await;
    served.source.commit(raise(2));
    let committed = watcher.some().await;
    assert_eq!((provisional.event.as_str(), provisional.id.as_str()), ("alarm", ""));
    assert_eq!((committed.event.as_str(), committed.id.as_str()), ("alarm", "2"));
    let (provisional, committed): (Json, Json) =
        (serde_json::from_str(&provisional.data).unwrap(), serde_json::from_str(&committed.data).unwrap());
    assert_eq!((&provisional["provisional"], &committed["provisional"]), (&json!(true), &json!(false)));
    assert_eq!(provisional["id"], committed["id"]);
}

#[tokio::test]
async fn an_announcement_never_follows_its_commit() {
    let served = Served::start().await;
    // Announced and committed between the subscription and the look into the store, which therefore has it.
    served.source.world.lock().unwrap().meanwhile = vec![raise(1)];
    let mut watcher = Watcher::open(&served, "", None).await;
    assert_eq!((watcher.some().await.id, watcher.some().await.id), ("0".into(), "1".into()));
    served.source.commit(raise(2));
    assert_eq!(watcher.some().await.id, "2");
}

#[tokio::test]
async fn provisional_events_can_be_left_out() {
    let served = Served::start().await;
    let mut watcher = Watcher::open(&served, "?provisional=false", None).await;
    watcher.some().await;
    served.source.announce(raise(1));
    served.source.commit(raise(2));
    assert_eq!(seq_of(&watcher.some().await), 2);
}

#[tokio::test]
async fn a_stream_resumes_after_its_cursor() {
    let served = Served::start().await;
    for seq in 1..=600 {
        served.source.commit(raise(seq));
    }
    // (query, header, the first event): the header wins, as a browser repeats its address when it reconnects.
    for (query, last_event_id, first) in [
        ("?since=beginning", None, 1),
        ("?since=17", None, 18),
        ("", Some("599"), 600),
        ("?since=now", Some("300"), 301),
        ("?since=beginning", Some("2"), 3),
    ] {
        let mut watcher = Watcher::open(&served, query, last_event_id).await;
        watcher.some().await;
        for seq in first..=600 {
            let seen = watcher.some().await;
            assert_eq!(
                (seen.id, seq_of_text(&seen.data)),
                (seq.to_string(), seq),
                "{query} {last_event_id:?}"
            );
        }
        let next = served.source.commit(raise(601));
        assert_eq!(watcher.some().await.id, next.to_string());
        served.source.world.lock().unwrap().events.truncate(600);
    }
}

fn seq_of_text(data: &str) -> u64 {
    serde_json::from_str::<Json>(data).unwrap()["seq"].as_u64().unwrap()
}

#[tokio::test]
async fn a_last_event_id_that_is_none_is_refused() {
    let served = Served::start().await;
    let url = format!("http://{}/api/v1/events", served.address);
    let request = reqwest::Client::new().get(url).header("Last-Event-ID", "abc");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    let body: Json = response.json().await.unwrap();
    assert_eq!(body["parameter"], "Last-Event-ID");
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_ended_and_resumes_without_a_gap() {
    let served = Served::start().await;
    let mut watcher = Watcher::open(&served, "?since=beginning", None).await;
    watcher.some().await;
    served.source.commit(raise(1));
    assert_eq!(watcher.some().await.id, "1");
    // On this single thread the stream cannot run in between: more than wait for it are gone before it looks.
    let last = EVENTS_WAITING as u64 * 3;
    for seq in 2..=last {
        served.source.commit(raise(seq));
    }
    assert_eq!(watcher.next().await, None, "the stream ends instead of skipping");
    let mut resumed = Watcher::open(&served, "", Some("1")).await;
    resumed.some().await;
    for seq in 2..=last {
        assert_eq!(resumed.some().await.id, seq.to_string());
    }
    assert!(served.text("/metrics").await.contains("tidegate_ingest_event_streams_too_slow_total 1\n"));
}

/// Commits in bursts while watchers come and go; each resumes where it stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_and_going_watchers_see_every_event_once_and_in_order() {
    const EVENTS: u64 = 3_000;
    let served = Served::start().await;
    let source: Arc<MadeUp> = served.source.clone();
    let committing = tokio::spawn(async move {
        for seq in 1..=EVENTS {
            source.commit(raise(seq));
            if seq % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    let watchers = (1..=4_usize).map(|patience| {
        let served = &served;
        async move {
            let mut last = 0;
            while last < EVENTS {
                let mut watcher = Watcher::open(served, "", Some(&last.to_string())).await;
                assert_eq!(watcher.some().await.id, last.to_string());
                // Leaves after a while, in the replay or live, or is ended for its slowness.
                for _ in 0..patience * 97 {
                    let Some(seen) = watcher.next().await else { break };
                    assert_eq!(seen.id, (last + 1).to_string());
                    last += 1;
                    if last == EVENTS {
                        break;
                    }
                }
            }
        }
    });
    futures_util::stream::iter(watchers).for_each_concurrent(None, |watcher| watcher).await;
    committing.await.unwrap();
}

#[tokio::test]
async fn a_stream_more_than_are_open_at_most_is_refused_until_one_ends() {
    let served = Served::start().await;
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS {
        let mut watcher = Watcher::open(&served, "", None).await;
        watcher.some().await;
        open.push(watcher);
    }
    let refused = served.get("/api/v1/events").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(header(&refused, "retry-after"), "10");
    assert!(refused.text().await.unwrap().contains("32 event streams are open"));
    open.pop();
    let again = async {
        while served.get("/api/v1/events").await.status() == 503 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("its place is free");
}

#[tokio::test]
async fn shutdown_ends_open_streams() {
    let served = Served::start().await;
    let mut watcher = Watcher::open(&served, "", None).await;
    watcher.some().await;
    served.shutdown.trigger();
    assert_eq!(watcher.next().await, None);
    timeout(PATIENCE, served.serving).await.expect("serving goes on").unwrap();
}
