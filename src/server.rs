//! `/metrics`, `/livez`, `/readyz`.
//!
//! Enters: HTTP requests. Leaves: the metrics of the moment, and whether the process is alive and ready. Never: changes anything; makes
//! two texts of metrics at once, or one on a thread that something else waits for.

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

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

/// The sources, and whose turn it is to be told the metrics.
#[derive(Clone)]
struct Served {
    sources: Sources,
    turn: Arc<Semaphore>,
}

/// Serves until `shutdown`.
pub async fn serve(listener: TcpListener, sources: Sources, mut shutdown: watch::Receiver<bool>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Served { sources, turn: Arc::new(Semaphore::new(1)) });
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // A sender that is gone means the same.
            let _ = shutdown.wait_for(|shutdown| *shutdown).await;
        })
        .await
}

async fn readyz(State(Served { sources, .. }): State<Served>) -> Response {
    let mut awaited = sources.world.awaited();
    if !*sources.owned.listed().borrow() {
        awaited.push("ingressdiagnoses.ingressdiagnosis.dev".to_owned());
    }
    if awaited.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not every kind has been listed yet: {}\n", awaited.join(", "))).into_response()
}

async fn metrics(State(Served { sources, turn }): State<Served>, headers: HeaderMap) -> Response {
    let gzip = takes_gzip(&headers);
    let turn = match turn.acquire_owned().await {
        Ok(turn) => turn,
        Err(closed) => return failed(&closed),
    };
    let told = tokio::task::spawn_blocking(move || {
        // Kept until the end, also when whoever asked has gone.
        let _turn = turn;
        tell(&sources, gzip)
    });
    match told.await {
        Ok(Ok(text)) if gzip => {
            ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT), (header::CONTENT_ENCODING, "gzip")], text).into_response()
        }
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => failed(&*error),
        Err(error) => failed(&error),
    }
}

fn tell(sources: &Sources, gzip: bool) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let stats = sources.compute.stats();
    sources.metrics.count(stats.budget, stats.requests, sources.prober.stats().results);
    let oldest = sources.world.read().compute.read_at.values().min().copied();
    sources.metrics.set_sight(sources.world.unread(), oldest);
    let text = sources.metrics.text()?.into_bytes();
    if !gzip {
        return Ok(text);
    }
    let mut compressed = GzEncoder::new(Vec::with_capacity(text.len() / 16), Compression::fast());
    compressed.write_all(&text)?;
    Ok(compressed.finish()?)
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

/// Whether `Accept-Encoding` names gzip, and not with the weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    encodings.flat_map(|value| value.split(',')).any(|encoding| {
        let mut parts = encoding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        named && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_given_to_those_who_take_it() {
        let takes = |value: &'static str| takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]));
        assert!(takes("gzip") && takes("deflate, GZIP;q=0.5, br") && takes("br,gzip;q=1"));
        assert!(!takes("identity") && !takes("gzip;q=0, br") && !takes("x-gzip2") && !takes_gzip(&HeaderMap::new()));
    }
}
