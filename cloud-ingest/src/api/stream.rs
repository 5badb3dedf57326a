//! The event stream: server-sent events that resume without gaps.
//!
//! ```text
//! retry: 1000            at once: where the stream begins, so that a watcher that loses its
//! id: 41                 connection before the first event resumes here too
//!
//! event: alarm           before its commit: no id
//! data: {"provisional":true, …}
//!
//! event: alarm           after its commit: the id is its cursor
//! data: {"provisional":false, …}
//! id: 42
//!
//! event: reset           it cannot go on from its cursor: what the watcher knows is void
//! data: {"reason":"expired"}
//!
//! event: snapshot        each alarm that stands, as in /api/v1/alarms
//! data: {"site":"plant", …}
//!
//! event: snapshot-end    the stream goes on behind this cursor
//! data: {"alarms":1}
//! id: 57
//! ```
//!
//! A stream first subscribes to live events, then reads from the store what came after its cursor, and then goes on live,
//! passing over committed events that it has sent. An event is sent live only after the store has it, so nothing falls
//! between. Whoever is too slow for the live channel has his stream ended and resumes by `Last-Event-ID`; nothing is
//! skipped silently. Where events behind the cursor are past their retention (`expired`), or the cursor is of another store
//! (it is ahead of this one's newest, `unknown-cursor`), the stream is reset: the alarms that stand come as a snapshot, and then
//! the events behind it. An alarm that changed while the snapshot was read comes in it again, also where it is normal now. No id is
//! given before its end, so that a watcher that loses its connection in it gets another. A store that was restored from a backup
//! leaves a gap above its cursors, which is answered like the first or the second, and never gives one a second time. Who
//! asked for what is kept, from the beginning, gets that, without a reset.

use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::Stream;
use serde::Serialize;
use tidegate_alarms::AlarmEvent;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::{Api, ApiState, parameters::Parameters, problem::Problem, snapshot::Snapshot};
use crate::{
    door::Caller,
    events::{Cursor, Streamed},
};

/// How many events are read from the store at a time.
const REPLAY_PAGE: usize = 256;
/// A comment this often keeps middle boxes from closing a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How soon a watcher whose token or session ends is cut off.
const JUDGED_EVERY: Duration = Duration::from_secs(2);
/// How long a browser waits before it reconnects.
const RECONNECT: Duration = Duration::from_secs(1);

/// Where a stream begins, and what it carries.
#[derive(Clone, Copy, Debug)]
struct Watch {
    after: Cursor,
    unknown_cursor: bool,
    /// All that is kept is wanted: what is not kept is not missed.
    from_beginning: bool,
    provisional: bool,
}

pub async fn events(
    State(api): ApiState,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let given = Parameters::read(&uri, &["since", "provisional"])?;
    let provisional = given.flag("provisional")?.unwrap_or(true);
    let wanted = wanted_cursor(&given, &headers)?;
    let from_beginning = given.text("since") == Some("beginning") && !resumes(&headers);
    let live = api.source.subscribe();
    let newest = api.ask(|source| source.newest_cursor()).await?;
    let after = wanted.unwrap_or(newest);
    let watch =
        Watch { after: after.min(newest), unknown_cursor: after > newest, from_beginning, provisional };
    let place = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        let most = api.max_streams;
        Problem::busy(format!("{most} event streams are open, which is the most; close some"), 10)
    })?;
    let stream =
        Sse::new(follow(api, caller, watch, live, place)).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok(stream.into_response())
}

/// `None`: from now on. The header wins over `since`, which a browser repeats when it reconnects.
fn wanted_cursor(given: &Parameters, headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    if let Some(header) = headers.get("last-event-id").filter(|_| resumes(headers)) {
        let cursor = header.to_str().ok().and_then(|text| text.parse().ok());
        let detail = || {
            "Last-Event-ID is not a cursor of this stream; leave it out, or use since=beginning".to_owned()
        };
        return cursor.map(Some).ok_or_else(|| Problem::parameter("Last-Event-ID", detail()));
    }
    match given.text("since") {
        None | Some("now") => Ok(None),
        Some("beginning") => Ok(Some(0)),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Problem::parameter("since", format!("since: {text:?} is neither now, beginning, nor a cursor"))
        }),
    }
}

fn resumes(headers: &HeaderMap) -> bool {
    headers.get("last-event-id").is_some_and(|header| !header.is_empty())
}

fn follow(
    api: Api,
    caller: Caller,
    watch: Watch,
    mut live: broadcast::Receiver<Streamed>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let _open = api.metrics.open_stream(place);
        let mut sent = watch.after;
        let begin = Event::default().retry(RECONNECT);
        yield Ok(if watch.unknown_cursor { begin } else { begin.id(sent.to_string()) });
        let mut reset = watch.unknown_cursor.then_some("unknown-cursor");
        // The last page that was read, and what a snapshot has.
        let (mut replayed, mut snapped) = (HashSet::new(), HashSet::new());
        // Again after a long replay: it may have overrun the subscription, of which a new one is cheap.
        loop {
            if let Some(reason) = reset.take() {
                yield Ok(Event::default().event("reset").data(format!("{{\"reason\":\"{reason}\"}}")));
                let mut snapshot = Snapshot::default();
                while snapshot.taken.is_none() && !api.shutdown.is_triggered() {
                    let Ok(alarms) = snapshot.page(&api, &mut live).await else { return };
                    for alarm in alarms {
                        yield Ok(Event::default().event("snapshot").data(json(&alarm)));
                    }
                }
                let Some(taken) = snapshot.taken else { return };
                (sent, snapped) = (taken.cursor, taken.events);
                let end = Event::default().event("snapshot-end").id(sent.to_string());
                yield Ok(end.data(format!("{{\"alarms\":{}}}", snapshot.alarms)));
            }
            let mut full_pages = 0;
            'replay: loop {
                let Ok(page) = api.ask(move |source| source.events_after(sent, REPLAY_PAGE)).await else { return };
                let at_end = page.len() < REPLAY_PAGE;
                replayed.clear();
                for (cursor, event) in page {
                    // Cursors are given without gaps.
                    if cursor > sent + 1 && !watch.from_beginning {
                        reset = Some("expired");
                        break 'replay;
                    }
                    sent = cursor;
                    replayed.insert(event.id);
                    yield Ok(committed(cursor, &event));
                }
                if at_end || api.shutdown.is_triggered() {
                    break;
                }
                full_pages += 1;
            }
            if reset.is_some() {
                continue;
            }
            if full_pages == 0 {
                break;
            }
            live = live.resubscribe();
        }
        let mut judged = tokio::time::interval(JUDGED_EVERY);
        loop {
            let received = tokio::select! {
                received = live.recv() => received,
                () = api.shutdown.wait() => return,
                _ = judged.tick() => {
                    if api.door.is_still_good(&caller) { continue } else { return }
                }
            };
            match received {
                // One that was committed before the replay ended is known by more than its announcement.
                Ok(Streamed::Provisional(event)) if watch.provisional => {
                    if !replayed.contains(&event.id) && !snapped.contains(&event.id) {
                        yield Ok(Event::default().event("alarm").data(json(event.as_ref())));
                    }
                }
                Ok(Streamed::Committed(cursor, event)) if cursor > sent => {
                    sent = cursor;
                    yield Ok(committed(cursor, &event));
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    api.metrics.stream_too_slow();
                    tracing::info!(missed, "an event stream was too slow; it is ended and may resume by its cursor");
                    return;
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

fn committed(cursor: Cursor, event: &AlarmEvent) -> Event {
    Event::default().event("alarm").data(json(event)).id(cursor.to_string())
}

/// These always serialise: they have only texts, numbers and names.
fn json(told: &impl Serialize) -> String {
    serde_json::to_string(told).unwrap_or_default()
}
