//! One request to a pod, as Google's health checks send it.
//!
//! Enters: a question, and where the connection is made. Leaves: status, `Location` and time, that a connection was made, or one word that
//! says why there was none.
//! Never: follows a redirect, verifies a certificate, waits beyond the question's timeout, reuses a connection.

use std::io;
use std::time::Duration;

use http::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::tls::{HTTP2, Tls};
use super::{AGENT, Question};
use crate::snapshot::probe::{ProbeAnswer, ProbeError, Scheme};

/// Bytes of the body that are read, so that the server does not see a connection cut in the middle of a short answer.
const BODY_LIMIT: usize = 4096;

/// Why there is nothing to record.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAsked {
    /// The path cannot stand in a request.
    #[error("{0:?} is not a path")]
    Path(Box<str>),
    /// The failure is not the pod's: no route, no free port, …
    #[error("the request could not be sent: {0}")]
    Local(io::Error),
}

/// Why there was no answer.
#[derive(Debug)]
enum Failure {
    Pod(ProbeError, String),
    Local(io::Error),
}

/// Asks. `address`: where the connection is made, as `HOST:PORT`.
pub(super) async fn ask(question: &Question, address: &str, tls: &Tls) -> Result<ProbeAnswer, NotAsked> {
    let path = if question.path.is_empty() { "/" } else { &*question.path };
    let uri: PathAndQuery = path.parse().map_err(|_| NotAsked::Path(question.path.clone()))?;
    // HTTP/2 has the host in the address, HTTP/1 in a header.
    let request = match question.http2 {
        true => Request::get(format!("https://{}{uri}", question.host_header())),
        false => Request::get(uri.as_str()).header(HOST, question.host_header()),
    };
    let request = request
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .body(Empty::<Bytes>::new())
        .map_err(|_| NotAsked::Path(question.path.clone()))?;

    let start = Instant::now();
    let seen = tokio::time::timeout(question.timeout, exchange(question, address, tls, request, start)).await;
    let mut answer = question.unanswered(None);
    match seen {
        Ok(Ok((response, latency))) => {
            answer.status = response.as_ref().map(|response| response.status().as_u16());
            let location = response.as_ref().and_then(|response| response.headers().get(LOCATION));
            answer.location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
            answer.latency_ms = Some(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
        }
        Ok(Err(Failure::Pod(error, message))) => {
            answer.error = Some(error);
            answer.message = Some(message.into());
        }
        Ok(Err(Failure::Local(error))) => return Err(NotAsked::Local(error)),
        Err(_) => {
            answer.error = Some(ProbeError::Timeout);
            let what = if question.scheme == Scheme::Tcp { "connection" } else { "answer" };
            answer.message = Some(format!("no {what} within {}", seconds(question.timeout)).into());
        }
    }
    Ok(answer)
}

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}

/// The response, unless all that is asked for is a connection, and the time until then.
async fn exchange(
    question: &Question,
    address: &str,
    tls: &Tls,
    request: Request<Empty<Bytes>>,
    start: Instant,
) -> Result<(Option<Response<()>>, Duration), Failure> {
    let stream = TcpStream::connect(address).await.map_err(connecting)?;
    let response = match question.scheme {
        Scheme::Tcp => return Ok((None, start.elapsed())),
        Scheme::Http => over(stream, request, start).await,
        Scheme::Https => {
            let name = ServerName::IpAddress(question.ip.into());
            let config = if question.http2 { &tls.http2 } else { &tls.http1 };
            let stream = TlsConnector::from(config.clone()).connect(name, stream).await;
            let stream = stream.map_err(|error| Failure::Pod(ProbeError::Tls, error.to_string()))?;
            match question.http2 {
                false => over(stream, request, start).await,
                true if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => over_http2(stream, request, start).await,
                true => Err(Failure::Pod(ProbeError::Protocol, "the server speaks TLS, but not HTTP/2".to_owned())),
            }
        }
    };
    response.map(|(response, latency)| (Some(response), latency))
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
    start: Instant,
) -> Result<(Response<()>, Duration), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| asking(&error))?;
    // Ends with this function, whichever way that ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| asking(&error))?;
    let latency = start.elapsed();
    let (head, body) = response.into_parts();
    drain(body).await;
    Ok((Response::from_parts(head, ()), latency))
}

async fn over_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
    start: Instant,
) -> Result<(Response<()>, Duration), Failure> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(|error| asking(&error))?;
    // Ends with this function, whichever way that ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| asking(&error))?;
    let latency = start.elapsed();
    let (head, body) = response.into_parts();
    drain(body).await;
    Ok((Response::from_parts(head, ()), latency))
}

/// Whatever becomes of the body, the status has been seen.
async fn drain(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read >= BODY_LIMIT {
            return;
        }
    }
}

fn connecting(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Pod(ProbeError::ConnectionRefused, "connection refused".to_owned()),
        io::ErrorKind::ConnectionReset => Failure::Pod(ProbeError::ConnectionReset, "connection reset".to_owned()),
        io::ErrorKind::TimedOut => Failure::Pod(ProbeError::Timeout, "connection timed out".to_owned()),
        _ => Failure::Local(error),
    }
}

/// What went wrong after the connection stood.
fn asking(error: &hyper::Error) -> Failure {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                    return Failure::Pod(ProbeError::ConnectionReset, "connection reset".to_owned());
                }
                // A server that asks for a client certificate says so only after the handshake.
                _ if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                    return Failure::Pod(ProbeError::Tls, io.to_string());
                }
                _ => {}
            }
        }
        source = cause.source();
    }
    let message = if error.is_incomplete_message() {
        "the connection was closed before an answer".to_owned()
    } else {
        format!("the answer is not HTTP/1: {error}")
    };
    Failure::Pod(ProbeError::Protocol, message)
}
