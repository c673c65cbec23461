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

use crate::collect::{ComputeReader, Prober, World};
use crate::publish::metrics::Metrics;
use crate::publish::owned::Owned;

/// What the answers are made from.
#[derive(Clone)]
pub struct Sources {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The world, which knows when every watch has listed once, and what cannot be read.
    pub world: Arc<World>,
    /// What stands in the cluster, which is watched as well.
    pub owned: Arc<Owned>,
    /// It counts its requests.
    pub compute: ComputeReader,
    /// So does this.
    pub prober: Prober,
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
    let mut awaited = sources.world.awaited();
    if !*sources.owned.listed().borrow() {
        awaited.push("ingressdiagnoses.ingressdiagnosis.dev".to_owned());
    }
    if awaited.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not every kind has been listed yet: {}\n", awaited.join(", "))).into_response()
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let gathered = tokio::task::spawn_blocking(move || {
        let stats = sources.compute.stats();
        sources.metrics.count(stats.budget, stats.requests, sources.prober.stats().results);
        sources.metrics.set_unknown(sources.world.unread());
        sources.metrics.text()
    });
    match gathered.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
