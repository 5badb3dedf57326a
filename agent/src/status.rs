//! `/status` for people and programs, `/metrics` for Prometheus, `/health` for service managers.
//!
//! No metric carries a device's name: a site may have thousands. Anyone may ask: [`Bounds::PAGES`].

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Json, Response},
    routing::get,
};
use serde::Serialize;
use tidegate_service::{
    Shutdown,
    http::{self, Bounds},
};
use tidegate_trust::ClientFiles;
use tokio::net::TcpListener;

use crate::{
    clock::ShellClock,
    config::Config,
    core::{Rates, View},
    links::Links,
    local_actions::ActionErrors,
    outlook::Outlook,
    queue::{QuarantineView, QueueReader},
    shell::Questions,
    sources::board_serial::{SerialLines, SerialView},
};

/// What the pages are made from.
#[derive(Clone)]
pub struct Page(Arc<Parts>);

struct Parts {
    site: String,
    gateway: String,
    epoch: String,
    questions: Questions,
    reader: QueueReader,
    clock: ShellClock,
    last_run: Option<Rates>,
    tls: Option<ClientFiles>,
    aside: Aside,
}

/// What is to be seen beside the core.
pub struct Aside {
    pub lines: SerialLines,
    pub action_errors: ActionErrors,
    pub links: Links,
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    site: String,
    gateway: String,
    epoch: String,
    /// How long the oldest block has been in the queue.
    oldest_queued_ms: Option<i64>,
    quarantine: QuarantineView,
    disk_bytes_written: DiskBytes,
    outlook: Outlook,
    /// The same in words.
    outlook_text: String,
    serial: SerialView,
    #[serde(flatten)]
    core: View,
}

#[derive(Serialize)]
struct DiskBytes {
    /// Blocks handed to the queue.
    blocks: u64,
    /// All this process had written to disks, as the kernel counts it (`write_bytes` in /proc/self/io).
    process: Option<u64>,
}

impl Page {
    pub fn new(
        config: &Config,
        epoch: u64,
        questions: Questions,
        reader: QueueReader,
        clock: ShellClock,
        last_run: Option<Rates>,
        aside: Aside,
    ) -> Self {
        Self(Arc::new(Parts {
            site: config.path.site.to_string(),
            gateway: config.path.gateway.to_string(),
            epoch: format!("{epoch:016x}"),
            questions,
            reader,
            clock,
            last_run,
            tls: config.broker.tls.clone(),
            aside,
        }))
    }

    async fn status(&self) -> Option<Status> {
        let parts = &self.0;
        let core = parts.questions.view().await?;
        let reader = parts.reader.clone();
        let (oldest, quarantine) =
            tokio::task::spawn_blocking(move || (reader.oldest_unix_ms(), reader.quarantine()))
                .await
                .unwrap_or_default();
        let outlook = Outlook::of(&core, parts.last_run);
        Some(Status {
            outlook_text: outlook.to_string(),
            outlook,
            version: env!("CARGO_PKG_VERSION"),
            site: parts.site.clone(),
            gateway: parts.gateway.clone(),
            epoch: parts.epoch.clone(),
            oldest_queued_ms: oldest.map(|at| (parts.clock.now().unix_ms - at).max(0)),
            quarantine,
            disk_bytes_written: DiskBytes {
                blocks: core.counters.block_bytes_committed,
                process: process_write_bytes(),
            },
            serial: parts.aside.lines.view(parts.clock.at()),
            core,
        })
    }
}

/// None where the kernel does not count.
fn process_write_bytes() -> Option<u64> {
    let io = std::fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

/// Serves until stopped.
pub async fn serve(listener: TcpListener, page: Page, stop: Shutdown) {
    let pages = Router::new()
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(page);
    http::serve(listener, pages, Bounds::PAGES, stop).await;
}

async fn status(State(page): State<Page>) -> Response {
    match page.status().await {
        Some(status) => Json(status).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Well as long as the core answers. A lost link is no fault of the agent: it is what the agent is for.
async fn health(State(page): State<Page>) -> Response {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
        uplink: &'static str,
    }
    match page.0.questions.view().await {
        Some(view) if view.queue.poisoned => {
            let uplink = if view.uplink_up { "up" } else { "down" };
            let status = "the queue's disk failed in a write: check it, and start the agent again";
            (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status, uplink })).into_response()
        }
        Some(view) if view.queue.commit_failures_in_a_row == 0 => {
            let uplink = if view.uplink_up { "up" } else { "down" };
            Json(Health { status: "ok", uplink }).into_response()
        }
        Some(view) => {
            let uplink = if view.uplink_up { "up" } else { "down" };
            let body = Json(Health { status: "the queue's disk refuses writes", uplink });
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn metrics(State(page): State<Page>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match page.status().await {
        Some(status) => {
            let Aside { action_errors: errors, links, .. } = &page.0.aside;
            // Of the file as it is: the next connection takes it.
            let tls = page.0.tls.clone();
            let expiry =
                tokio::task::spawn_blocking(move || tls.and_then(|files| files.certificate_expiry()));
            let expiry = expiry.await.ok().flatten();
            let (outlook, serial) = (&status.outlook, &status.serial);
            let text = crate::metrics::text(&status.core, outlook, serial, errors, &links.refusals(), expiry);
            ([(header::CONTENT_TYPE, TEXT)], text).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
