//! `/metrics`, `/livez`, `/readyz`.
//!
//! Enters: HTTP requests. Leaves: the metrics of the moment, and whether the process is alive and ready. Never: changes anything.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::collect::World;
use crate::publish::metrics::Metrics;

/// What the answers are made from.
#[derive(Clone)]
pub struct Sources {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The world, which knows when every watch has listed once.
    pub world: Arc<World>,
}

/// Serves until `shutdown`.
pub async fn serve(listener: TcpListener, sources: Sources, mut shutdown: watch::Receiver<bool>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(sources);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // A sender that is gone means the same.
            let _ = shutdown.wait_for(|shutdown| *shutdown).await;
        })
        .await
}

async fn readyz(State(sources): State<Sources>) -> Response {
    if sources.world.synced() {
        return "ok\n".into_response();
    }
    let awaited = sources.world.awaited().join(", ");
    (StatusCode::SERVICE_UNAVAILABLE, format!("not every kind has been listed yet: {awaited}\n")).into_response()
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let gathered = tokio::task::spawn_blocking(move || sources.metrics.text()).await;
    match gathered {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
