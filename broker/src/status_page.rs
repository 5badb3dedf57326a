//! `/metrics` for Prometheus and `/health` for people and service managers. Anyone may ask: [`Bounds::PAGES`].

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use tidegate_service::http::{self, Bounds};
use tokio::net::TcpListener;

use crate::broker::Broker;

/// Serves until the broker shuts down.
pub async fn serve(listener: TcpListener, broker: Arc<Broker>) {
    let shutdown = broker.shutdown.clone();
    let pages =
        Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(broker);
    http::serve(listener, pages, Bounds::PAGES, shutdown).await;
}

async fn metrics(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, OPEN_METRICS)], broker.metrics_text())
}

async fn health(State(broker): State<Arc<Broker>>) -> Response {
    let code = if broker.health.is_up() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(broker.health.document(broker.registry.connections()))).into_response()
}
