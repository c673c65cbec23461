//! A stand-in for the Compute and Container APIs, on 127.0.0.1.
//!
//! In: a world. Out: an address that answers Google's SDK and plain REST as the real APIs did when
//! the world was taken. Never evaluates credentials, never changes the world by itself, never
//! answers a write.

mod aggregated;
mod asked;
mod compute;
mod container;
mod errors;
mod faults;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::port::Port;
use crate::world::World;
use asked::Asked;
use errors::Answer;
pub use faults::{Fault, FaultKind};

/// A request that was received.
#[derive(Clone, Debug)]
pub struct Request {
    /// HTTP method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// Query, decoded.
    pub query: BTreeMap<String, String>,
    /// Headers; what is not text is left out.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON; null when there was none, or it was not JSON.
    pub body: Value,
    /// When it was received.
    pub at: Timestamp,
}

/// The running stand-in; it ends when it is dropped.
#[derive(Debug)]
pub struct Google {
    port: Port,
    state: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    ended: watch::Sender<bool>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

#[derive(Debug)]
struct Inner {
    world: World,
    page_cap: usize,
    latency: Duration,
    faults: Vec<Fault>,
    requests: Vec<Request>,
}

impl Google {
    /// Starts to answer from `world`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(world: World) -> Result<Self> {
        let port = Port::take()?;
        let listener = port.listen()?;
        let inner = Inner { world, page_cap: 500, latency: Duration::ZERO, faults: Vec::new(), requests: Vec::new() };
        let state = Arc::new(Shared {
            inner: Mutex::new(inner),
            ended: watch::Sender::new(false),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
        let ended = state.ended();
        tokio::spawn(async move {
            // Nothing can go wrong but accepting, which is tried again.
            axum::serve(listener, router).with_graceful_shutdown(ended).await.ok();
        });
        Ok(Self { port, state })
    }

    /// The address, `http://127.0.0.1:PORT`: the endpoint of both APIs.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Answers from another world from now on.
    pub fn set_world(&self, world: World) {
        self.state.inner().world = world;
    }

    /// Changes the world.
    pub fn update<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.state.inner().world)
    }

    /// No page is longer than this, whatever is asked for.
    pub fn set_page_cap(&self, items: usize) {
        self.state.inner().page_cap = items;
    }

    /// Every answer comes this much later.
    pub fn set_latency(&self, latency: Duration) {
        self.state.inner().latency = latency;
    }

    /// Adds a fault; the first that hits a request is used.
    pub fn fault(&self, fault: Fault) {
        self.state.inner().faults.push(fault);
    }

    /// Removes all faults. What hangs goes on hanging.
    pub fn clear_faults(&self) {
        self.state.inner().faults.clear();
    }

    /// All requests, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.inner().requests.clone()
    }

    /// Forgets the requests, and how many were answered at once.
    pub fn clear_requests(&self) {
        self.state.inner().requests.clear();
        self.state.most_in_flight.store(self.in_flight(), Ordering::SeqCst);
    }

    /// How many requests are being answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::SeqCst)
    }

    /// How many were at most, since [`Google::clear_requests`].
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        self.state.most_in_flight.load(Ordering::SeqCst)
    }
}

impl Drop for Google {
    fn drop(&mut self) {
        self.state.ended.send_replace(true);
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the stand-in was dropped.
    fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.subscribe();
        async move {
            // An error means that everything is gone.
            ended.wait_for(|ended| *ended).await.ok();
        }
    }
}

/// Counts a request while it lives, also when the client goes away.
struct InFlight(Arc<Shared>);

impl InFlight {
    fn new(state: &Arc<Shared>) -> Self {
        let now = state.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_in_flight.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(State(state): State<Arc<Shared>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let _counted = InFlight::new(&state);
    let asked = Asked {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: decoded(uri.query().unwrap_or_default()),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let (fault, latency, answer) = state.receive(&asked, &headers);
    tokio::time::sleep(latency).await;
    match fault {
        None => respond(answer, Bytes::from),
        Some(FaultKind::Hang) => {
            state.ended().await;
            respond(Answer::unavailable(), Bytes::from)
        }
        Some(FaultKind::Garbage) => respond(answer, |_| Bytes::from_static(b"<html>502 Bad Gateway</html>")),
        Some(FaultKind::CutBody) => cut(answer),
        Some(FaultKind::Status429) => respond(Answer::too_many_requests(), Bytes::from),
        Some(FaultKind::RateLimitExceeded403) => respond(Answer::rate_limit_exceeded(true), Bytes::from),
        Some(FaultKind::RateLimitExceeded403Legacy) => respond(Answer::rate_limit_exceeded(false), Bytes::from),
        Some(FaultKind::Server5xx) => respond(Answer::unavailable(), Bytes::from),
    }
}

impl Shared {
    fn receive(&self, asked: &Asked, headers: &HeaderMap) -> (Option<FaultKind>, Duration, Answer) {
        let mut inner = self.inner();
        let headers = headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        inner.requests.push(Request {
            method: asked.method.clone(),
            path: asked.path.clone(),
            query: asked.query.clone(),
            headers: headers.collect(),
            body: asked.body.clone(),
            at: Timestamp::now(),
        });
        let fault = faults::take(&mut inner.faults, &asked.method, &asked.path);
        let answer = if asked.path.starts_with("/v1/") {
            container::answer(&inner.world, &asked.path)
        } else {
            compute::answer(&inner.world, asked, inner.page_cap)
        };
        (fault, inner.latency, answer)
    }
}

fn respond(answer: Answer, body: impl FnOnce(String) -> Bytes) -> Response {
    let retry_after = answer.retry_after;
    let mut response = Response::new(Body::from(body(answer.body.to_string())));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", axum::http::HeaderValue::from_static("application/json; charset=UTF-8"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}

/// Promises the whole body, sends half of it, and breaks off.
fn cut(answer: Answer) -> Response {
    let whole = answer.body.to_string();
    let length = whole.len();
    let half = Bytes::from(whole).slice(..length / 2);
    let sent = futures::stream::iter([Ok(half)]).chain(futures::stream::once(async {
        // Time for the first half to leave.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    }));
    let mut response = respond(answer, |_| Bytes::new());
    response.headers_mut().insert("content-length", length.into());
    *response.body_mut() = Body::from_stream(sent);
    response
}

fn decoded(query: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://stand-in/?{query}"));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}
