//! Pods asked through the API server's pod proxy, from wherever the API server can be reached.
//!
//! Enters: questions. Leaves: answers that say how they came about. Never: takes a word of the API server's own for the pod's; claims
//! what the proxy changes on its way.
//!
//! The proxy passes method, path, `Host` and `User-Agent` on, follows no redirect and verifies no certificate. It rewrites a `Location`
//! that points to the pod itself, so that its scheme and host are lost, and it answers in the pod's place when the pod cannot be reached.

use std::time::Duration;

use futures::{StreamExt, stream};
use http::header::{ACCEPT, HOST, HeaderValue, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;

use crate::collect::prober::AGENT;
use crate::collect::{Question, words};
use crate::snapshot::probe::{ProbeAnswer, ProbeError, Scheme, Via};

/// Questions at once.
const CONCURRENCY: usize = 8;

/// What the detour may take on top of the health check's own timeout.
const DETOUR: Duration = Duration::from_secs(2);

/// The most that is read of an answer, to tell whose it is.
const BODY_LIMIT: usize = 64 * 1024;

/// Why the proxy is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// There is no client for it.
    #[error("the API server's pod proxy cannot be used: {0}")]
    Client(String),
    /// The right is missing.
    #[error("the API server's pod proxy may not be used in namespace {namespace}: {message}")]
    Forbidden {
        /// Where.
        namespace: String,
        /// What the API server said.
        message: String,
    },
}

/// The way to the pods.
#[derive(Clone)]
pub struct PodProxy {
    client: Client,
}

impl PodProxy {
    /// Uses the same API server as everything else; what fails there is not asked again by itself.
    pub fn new(mut config: kube::Config) -> Result<Self, ProxyError> {
        config.default_retry = false;
        // The pods shall see the health check's name, and nobody else's beside it.
        config.headers.retain(|(name, _)| name != USER_AGENT);
        let client = Client::try_from(config).map_err(|error| ProxyError::Client(words(&error)))?;
        Ok(Self { client })
    }

    /// Asks every question once. What cannot be told from the proxy's answer is left out.
    pub async fn ask(&self, questions: Vec<Question>) -> (Vec<ProbeAnswer>, Vec<ProxyError>) {
        let asked = stream::iter(questions).map(|question| async move { self.ask_one(&question).await });
        let outcomes: Vec<_> = asked.buffer_unordered(CONCURRENCY).collect().await;
        let mut answers = Vec::new();
        let mut errors = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(answer) => answers.extend(answer),
                Err(error) if !errors.contains(&error) => errors.push(error),
                Err(_) => {}
            }
        }
        answers.sort();
        (answers, errors)
    }

    async fn ask_one(&self, question: &Question) -> Result<Option<ProbeAnswer>, ProxyError> {
        let Some((namespace, request)) = request(question) else { return Ok(None) };
        let prefix = request.uri().path().split_inclusive("/proxy").next().unwrap_or_default().to_owned();
        let start = Instant::now();
        let limit = question.timeout + DETOUR;
        let Ok(Ok(response)) = tokio::time::timeout(limit, self.client.send(request)).await else { return Ok(None) };
        let latency = start.elapsed();
        let (head, body) = response.into_parts();
        let Ok(body) = tokio::time::timeout(limit, text(body)).await else { return Ok(None) };
        let response = Response::from_parts(head, ());
        let mut answer = question.unanswered(Some(Via::PodProxy));
        match own_words(response.status(), &body) {
            Some(Own::Forbidden(message)) => return Err(ProxyError::Forbidden { namespace: namespace.to_owned(), message }),
            Some(Own::Failed(message)) => match failure(&message) {
                Some(error) => (answer.error, answer.message) = (Some(error), Some(message.into())),
                None => return Ok(None),
            },
            None if latency > question.timeout => return Ok(None),
            None => {
                answer.status = Some(response.status().as_u16());
                let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                // What leads back into the proxy was rewritten: where the pod pointed to can no longer be told.
                answer.location = location.filter(|location| !location.contains(&prefix)).map(Into::into);
            }
        }
        Ok(Some(answer))
    }
}

/// The request, and the namespace in which it needs a right; `None` when it cannot be sent.
fn request(question: &Question) -> Option<(&str, Request<Body>)> {
    // The proxy speaks HTTP/1.1 to the pod: what that says is no answer to a health check that speaks something else.
    if question.http2 {
        return None;
    }
    let (namespace, name) = question.pod.split_once('/')?;
    let scheme = match question.scheme {
        Scheme::Http => "",
        Scheme::Https => "https:",
        Scheme::Tcp => return None,
    };
    // An empty path would be redirected by the API server itself.
    let path = if question.path.is_empty() { "/" } else { &*question.path };
    let port = question.port;
    let request = Request::get(format!("/api/v1/namespaces/{namespace}/pods/{scheme}{name}:{port}/proxy{path}"))
        .header(HOST, HeaderValue::from_str(&question.host_header()).ok()?)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .body(Body::empty())
        .ok()?;
    Some((namespace, request))
}

async fn text(mut body: Body) -> String {
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        read.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        if read.len() >= BODY_LIMIT {
            break;
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// What the API server says in the pod's place.
#[derive(Debug, PartialEq)]
enum Own {
    Forbidden(String),
    Failed(String),
}

/// A `Status` object is the API server's own answer; so is one that a pod cannot be expected to give in its form.
fn own_words(status: StatusCode, body: &str) -> Option<Own> {
    if status.is_success() {
        return None;
    }
    let answer: serde_json::Value = serde_json::from_str(body).ok()?;
    if answer["kind"] != "Status" || answer["apiVersion"] != "v1" {
        return None;
    }
    let message = answer["message"].as_str().unwrap_or_default().to_owned();
    let refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED);
    Some(if refused { Own::Forbidden(message) } else { Own::Failed(message) })
}

/// What of it is the pod's doing: that nothing listens, and that a handshake failed. The rest may be the way there.
fn failure(message: &str) -> Option<ProbeError> {
    let says = |words: &str| message.contains(words);
    match () {
        () if says("connect: connection refused") => Some(ProbeError::ConnectionRefused),
        () if says("server gave HTTP response to HTTPS client") || says("tls: ") => Some(ProbeError::Tls),
        () if says("malformed HTTP response") => Some(ProbeError::Protocol),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use http::header::{HOST, USER_AGENT};

    use super::{Own, ProbeError, Question, Scheme, failure, own_words, request};

    fn question(scheme: Scheme, path: &str, host: &str) -> Question {
        Question {
            pod: "argocd/server-1".into(),
            ip: "10.4.0.11".parse().expect("an address"),
            port: 8080,
            scheme,
            path: path.into(),
            host: host.into(),
            timeout: Duration::from_secs(5),
            http2: false,
        }
    }

    #[test]
    fn the_proxy_is_not_asked_for_what_it_cannot_tell() {
        let http2 = Question { http2: true, ..question(Scheme::Https, "/", "") };
        assert!(request(&http2).is_none());
        assert!(request(&question(Scheme::Tcp, "", "")).is_none());
    }

    #[test]
    fn the_pod_is_asked_what_the_health_check_asks() {
        let question = question(Scheme::Https, "/healthz?full=1", "");
        let (namespace, sent) = request(&question).expect("a request");
        assert_eq!(namespace, "argocd");
        assert_eq!(sent.uri(), "/api/v1/namespaces/argocd/pods/https:server-1:8080/proxy/healthz?full=1");
        assert_eq!(sent.headers()[HOST], "10.4.0.11");
        assert!(sent.headers()[USER_AGENT].to_str().is_ok_and(|agent| agent.starts_with("GoogleHC/1.0")));
        let question = self::question(Scheme::Http, "", "shop.example");
        let (_, sent) = request(&question).expect("a request");
        assert_eq!(sent.uri(), "/api/v1/namespaces/argocd/pods/server-1:8080/proxy/", "an empty path is redirected by the proxy");
        assert_eq!(sent.headers()[HOST], "shop.example");
    }

    #[test]
    fn the_proxys_own_words_are_not_the_pods() {
        let status = |code: u16, message: &str| {
            let body = serde_json::json!({"kind": "Status", "apiVersion": "v1", "code": code, "message": message}).to_string();
            own_words(StatusCode::from_u16(code).expect("a status"), &body)
        };
        assert_eq!(status(403, "pods \"x\" is forbidden"), Some(Own::Forbidden("pods \"x\" is forbidden".to_owned())));
        let refused = "error trying to reach service: dial tcp 10.4.0.11:8080: connect: connection refused";
        assert_eq!(status(503, refused), Some(Own::Failed(refused.to_owned())));
        assert_eq!(own_words(StatusCode::SERVICE_UNAVAILABLE, "{\"status\": \"down\"}"), None);
        assert_eq!(own_words(StatusCode::NOT_FOUND, "404 page not found"), None);

        assert_eq!(failure(refused), Some(ProbeError::ConnectionRefused));
        let tls = "error trying to reach service: tls: first record does not look like a TLS handshake";
        assert_eq!(failure(tls), Some(ProbeError::Tls));
        assert_eq!(failure("error trying to reach service: dial tcp 10.4.0.11:8080: i/o timeout"), None, "that may be the way");
    }
}
