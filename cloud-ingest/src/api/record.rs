//! Who changed what: each order that was let in is written down before it is carried out, and what came of it after.

use std::sync::Arc;

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{ApiState, class, guard::changes_something, operations::Peer, problem::Problem};
use crate::door::{
    Caller, Door,
    changes::{Order, Outcome},
};

/// So much of a path or a header is kept.
const MAX_KEPT_CHARS: usize = 1_000;

pub async fn record(State(api): ApiState, request: Request, next: Next) -> Response {
    let Some((caller, order)) = order(&api.door, &request) else { return next.run(request).await };
    let door = Arc::clone(&api.door);
    // An order is carried out to its end, and its outcome written down, though its client goes away.
    let carried_out = tokio::spawn(async move {
        let log = Arc::clone(&door);
        let number = match blocking(move || log.changes.begin(order)).await {
            Ok(number) => number,
            Err(error) => {
                let detail = format!("the log of changes cannot be written, so nothing was changed: {error}");
                tracing::error!("{detail}");
                return Problem::busy(detail, 30).into_response();
            }
        };
        let response = next.run(request).await;
        let outcome = outcome(&door, number, &caller, &response);
        if let Err(error) = blocking(move || door.changes.end(&outcome)).await {
            tracing::error!(number, %error, "what came of an order could not be written to the log of changes");
        }
        response
    });
    let died = |error| Problem::internal(&format!("the order did not end: {error}")).into_response();
    carried_out.await.unwrap_or_else(died)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// None where nothing is changed, or only who is signed in.
fn order(door: &Door, request: &Request) -> Option<(Caller, Order)> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    let method = request.method();
    class::of(method, route).filter(|_| changes_something(method) && route.starts_with("/api/"))?;
    let caller = request.extensions().get::<Caller>()?.clone();
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.ip());
    let order = Order {
        number: 0,
        unix_ms: door.unix_ms(),
        actor: caller.name.clone(),
        role: (!caller.is_local()).then(|| caller.role.name().to_owned()),
        by: caller.way().to_owned(),
        token: caller.token().map(|id| id.to_string()),
        address: peer.map(|address| address.to_canonical().to_string()),
        method: Method::as_str(method).to_owned(),
        path: cut(request.uri().path()),
        before: text(request.headers(), &header::IF_MATCH),
    };
    Some((caller, order))
}

fn outcome(door: &Door, number: u64, caller: &Caller, response: &Response) -> Outcome {
    let said = caller.what_was_said();
    Outcome {
        outcome_of: number,
        unix_ms: door.unix_ms(),
        status: StatusCode::as_u16(&response.status()),
        operator: said.operator,
        after: text(response.headers(), &header::ETAG),
        note: said.note,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(cut(headers.get(name)?.to_str().ok()?))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_KEPT_CHARS).collect()
}
