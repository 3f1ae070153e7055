//! The HTTP endpoints for probes and for Prometheus. Nothing here takes input.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::controllers::Context;
use crate::metrics::Metrics;

/// Serves `/healthz` and `/readyz` until the process ends.
///
/// # Errors
/// If the address cannot be bound.
pub async fn health(address: SocketAddr, ready: watch::Receiver<bool>) -> std::io::Result<()> {
    let readyz = move || {
        let ready = *ready.borrow();
        async move {
            if ready {
                (StatusCode::OK, "ready")
            } else {
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "not everything has been read yet",
                )
            }
        }
    };
    let router = Router::new()
        .route("/healthz", get(async || "alive"))
        .route("/readyz", get(readyz));
    serve(address, router).await
}

/// Serves `/metrics` until the process ends.
///
/// # Errors
/// If the address cannot be bound.
pub async fn metrics(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    context: Arc<Context>,
) -> std::io::Result<()> {
    let text = move || {
        context.observe();
        let text = metrics.text();
        async move { ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response() }
    };
    serve(address, Router::new().route("/metrics", get(text))).await
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn serve(address: SocketAddr, router: Router) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    axum::serve(listener, router).await
}
