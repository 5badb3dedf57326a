//! `/metrics` for Prometheus and `/health` for people and service managers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::broker::Broker;

/// Serves until the broker shuts down.
pub async fn serve(listener: TcpListener, broker: Arc<Broker>) -> std::io::Result<()> {
    let shutdown = broker.shutdown.clone();
    let pages =
        Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(broker);
    axum::serve(listener, pages).with_graceful_shutdown(async move { shutdown.wait().await }).await
}

async fn metrics(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, OPEN_METRICS)], broker.metrics_text())
}

async fn health(State(broker): State<Arc<Broker>>) -> Response {
    let code = if broker.health.is_up() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(broker.health.document(broker.registry.connections()))).into_response()
}
