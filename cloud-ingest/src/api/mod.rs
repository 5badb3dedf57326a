//! The HTTP API under `/api/v1`, the event stream, metrics, and the page.
//!
//! A request passes, in this order: `headers`, `metrics`, `guard`, `idempotency`, `record`, `problem`, its handler.
//!
//! ```text
//! class       which role each route wants       guard    who asks, and whether they may
//! headers     what every answer says to a browser       record   who changed what, before and after
//! sign_in     sessions of the page              access   users, tokens, and the log of changes
//! source      what the API asks of the ingest; the only way in
//! parameters  query strings, refused with the name of what is wrong
//! problem     every error as an RFC 9457 document
//! data        devices, channels, readings, gateways, audit, health
//! alarms      alarms now, their settled history, the log     alarm_actions  what operators do with them
//! operations  what operators did, and do     desired  settings of channels: these, alarm_actions, rules, deliveries and access change things
//! quarantine  what was not taken, and is kept
//! rules       what is watched for, and its changes       verdicts  what gateways say is active by them
//! alarm_report  what the alarms of a stretch of time were like
//! idempotency  the same order is carried out once     if_match  under which condition
//! deliveries  receivers, and what waits for them
//! stream      server-sent events that resume without gaps     snapshot  what stands, where they cannot
//! metrics     Prometheus    door_metrics  of who came    delivery_metrics  of receivers    alarm_metrics  of alarms
//! page        the web page and its assets
//! server      the listener's limits; serving until shutdown
//! openapi.json  the API as a document; a test holds it against the routes
//! ```
//!
//! Bounds: [`QUERIES_AT_ONCE`] questions run at a time and the rest wait; `http.max_event_streams` event
//! streams, then 503; [`OTHER_CONNECTIONS`] more connections, then they wait in the listener's backlog.

mod access;
mod alarm_actions;
mod alarm_metrics;
mod alarm_report;
mod alarms;
pub mod class;
mod data;
mod deliveries;
mod delivery_metrics;
mod desired;
mod door_metrics;
mod guard;
mod headers;
mod idempotency;
mod if_match;
mod metrics;
mod operations;
mod page;
mod parameters;
mod problem;
mod quarantine;
mod record;
mod rules;
mod server;
mod sign_in;
mod snapshot;
mod source;
mod stream;
mod verdicts;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{Method, StatusCode, Uri, header},
    middleware::{from_fn, from_fn_with_state},
    response::IntoResponse,
    routing::{delete, get, post, put},
};
use tidegate_service::Shutdown;
use tokio::sync::Semaphore;

pub use server::{
    BODY_LIMIT, CONNECTIONS_OF_ADDRESS, HEAD_LIMIT, HttpListener, OTHER_CONNECTIONS, WRITE_STALL_LIMIT, serve,
};
pub use source::{DeliverySource, Source};

use crate::{door::Door, query::QueryError};
use metrics::Metrics;
use problem::Problem;

/// How many questions read the store at the same time.
pub const QUERIES_AT_ONCE: usize = 8;

/// What every handler has at hand.
#[derive(Clone)]
struct Api {
    source: Arc<dyn Source>,
    door: Arc<Door>,
    queries: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    max_streams: usize,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
}

impl Api {
    /// Asks off the async threads; the store blocks.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Source) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.queries).acquire_owned().await;
        let source = Arc::clone(&self.source);
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            question(source.as_ref())
        });
        match answer.await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(error) => Err(Problem::internal(&format!("the question did not end: {error}"))),
        }
    }
}

/// The routes over any source, behind a door. `max_streams` event streams are open at most; they end when `shutdown` is triggered.
pub fn router(source: Arc<dyn Source>, door: Arc<Door>, max_streams: usize, shutdown: Shutdown) -> Router {
    let api = Api {
        metrics: Arc::new(Metrics::new(Arc::clone(&source), Arc::clone(&door))),
        queries: Arc::new(Semaphore::new(QUERIES_AT_ONCE)),
        streams: Arc::new(Semaphore::new(max_streams)),
        max_streams,
        source,
        door,
        shutdown,
    };
    Router::new()
        .route("/api/v1/devices", get(data::devices))
        .route("/api/v1/channels", get(data::channels))
        .route("/api/v1/latest", get(data::latest))
        .route("/api/v1/readings", get(data::readings))
        .route("/api/v1/summaries", get(data::summaries))
        .route("/api/v1/gateways", get(data::gateways))
        .route("/api/v1/audit", get(data::audit))
        .route("/api/v1/audit/certificate", get(data::certificate))
        .route("/api/v1/quarantine", get(quarantine::list))
        .route("/api/v1/quarantine/{number}", get(quarantine::one))
        .route("/api/v1/operations", get(operations::log))
        .route("/api/v1/devices/{site}/{device}/retire", post(operations::retire))
        .route("/api/v1/settings", get(desired::list))
        .route(
            "/api/v1/devices/{site}/{device}/channels/{channel}/settings",
            get(desired::show).put(desired::set).delete(desired::clear),
        )
        .route("/api/v1/alarms", get(alarms::now))
        .route("/api/v1/alarms/history", get(alarms::history))
        .route("/api/v1/alarms/log", get(alarms::log))
        .route("/api/v1/alarms/report", get(alarm_report::report))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}", get(alarms::one))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/acknowledge", post(alarm_actions::act))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/shelve", post(alarm_actions::act))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/unshelve", post(alarm_actions::act))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/suppress", post(alarm_actions::act))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/unsuppress", post(alarm_actions::act))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/out-of-service", post(alarm_actions::act))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/in-service", post(alarm_actions::act))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/reset", post(alarm_actions::act))
        .route("/api/v1/alarms/{site}/{device}/{channel}/{rule}/comment", post(alarm_actions::act))
        .route("/api/v1/verdicts", get(verdicts::list))
        .route("/api/v1/rules", get(rules::list).put(rules::put))
        .route("/api/v1/rules/log", get(rules::log))
        .route("/api/v1/rules/{rule}", get(rules::show))
        .route("/api/v1/receivers", get(deliveries::receivers))
        .route("/api/v1/receivers/{receiver}/enable", post(deliveries::enable))
        .route("/api/v1/receivers/{receiver}/test", post(deliveries::test))
        .route("/api/v1/deliveries", get(deliveries::deliveries))
        .route("/api/v1/deliveries/{receiver}/{cursor}/replay", post(deliveries::replay))
        .route("/api/v1/events", get(stream::events))
        .route("/api/v1/whoami", get(sign_in::who))
        .route("/api/v1/tokens", get(access::tokens).post(access::create_token))
        .route("/api/v1/tokens/{token}", delete(access::revoke_token))
        .route("/api/v1/users", get(access::users).post(access::add_user))
        .route("/api/v1/users/{user}", delete(access::remove_user))
        .route("/api/v1/users/{user}/password", put(access::set_password))
        .route("/api/v1/changes", get(access::changes))
        .route("/api/v1/openapi.json", get(openapi))
        .route("/health", get(data::health))
        .route("/metrics", get(metrics::scrape))
        .merge(page::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(problem::of_every_error))
        .layer(from_fn_with_state(api.clone(), record::record))
        .layer(from_fn_with_state(Arc::new(idempotency::Answers::default()), idempotency::once))
        .layer(from_fn_with_state(api.clone(), guard::guard))
        .layer(from_fn_with_state(api.clone(), metrics::count))
        .layer(from_fn_with_state(api.clone(), headers::careful))
        .with_state(api)
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {}; /api/v1/openapi.json lists what there is", uri.path()),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {method}; /api/v1/openapi.json says what it takes", uri.path()),
    )
}

type Answer<T> = Result<Json<T>, Problem>;
type ApiState = State<Api>;
