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
//! ```
//!
//! A stream first subscribes to live events, then reads from the store what came after its cursor, and then goes on live,
//! passing over committed events that it has sent. An event is sent live only after the store has it, so nothing falls
//! between. Whoever is too slow for the live channel has his stream ended and resumes by
//! `Last-Event-ID`; nothing is skipped silently: where events behind the cursor are past their retention, `event: reset`
//! with `expired` comes first, and then what is kept. A cursor from another store (it is ahead of this one's newest) is
//! answered by `event: reset`, after which the stream begins now: read `/api/v1/alarms` again. A store that was restored from a
//! backup leaves a gap above its cursors, which is answered like the first or the second, and never gives one a second time.

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
use tidegate_alarms::AlarmEvent;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::{Api, ApiState, parameters::Parameters, problem::Problem};
use crate::events::{Cursor, Streamed};

/// How many events are read from the store at a time.
const REPLAY_PAGE: usize = 256;
/// A comment this often keeps middle boxes from closing a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
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

pub async fn events(State(api): ApiState, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
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
    let stream = Sse::new(follow(api, watch, live, place)).keep_alive(KeepAlive::new().interval(HEARTBEAT));
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
    watch: Watch,
    mut live: broadcast::Receiver<Streamed>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let _open = api.metrics.open_stream(place);
        let mut sent = watch.after;
        yield Ok(Event::default().retry(RECONNECT).id(sent.to_string()));
        if watch.unknown_cursor {
            yield Ok(Event::default().event("reset").data("{\"reason\":\"unknown-cursor\"}"));
        }
        // The last page that was read.
        let mut replayed = HashSet::new();
        // Again after a long replay: it may have overrun the subscription, of which a new one is cheap.
        loop {
            let mut full_pages = 0;
            loop {
                let Ok(page) = api.ask(move |source| source.events_after(sent, REPLAY_PAGE)).await else { return };
                let at_end = page.len() < REPLAY_PAGE;
                replayed.clear();
                for (cursor, event) in page {
                    // Cursors are given without gaps.
                    if cursor > sent + 1 && !(watch.from_beginning && sent == 0) {
                        yield Ok(Event::default().event("reset").data("{\"reason\":\"expired\"}"));
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
            if full_pages == 0 {
                break;
            }
            live = live.resubscribe();
        }
        loop {
            let received = tokio::select! {
                received = live.recv() => received,
                () = api.shutdown.wait() => return,
            };
            match received {
                // One that was committed before the replay ended is known by more than its announcement.
                Ok(Streamed::Provisional(event)) if watch.provisional && !replayed.contains(&event.id) => {
                    yield Ok(Event::default().event("alarm").data(json(&event)));
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

/// An event always serialises: it has only texts, numbers and names.
fn json(event: &AlarmEvent) -> String {
    serde_json::to_string(event).unwrap_or_default()
}
