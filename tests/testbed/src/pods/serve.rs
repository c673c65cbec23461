//! One address of a pod: accepts connections and misbehaves as told.
//!
//! In: connections. Out: an HTTP/1.1 answer, or one of the ways in which there is none. One request
//! per connection, as a health check does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::reply::{Reply, Scheme, choose};
use super::{Behaviour, Request};

/// First byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;
/// A fatal TLS alert, "unexpected message": what a plain request to a TLS port is answered by
/// servers that do not humour it.
const ALERT: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a];
/// What Go's servers answer to the wrong protocol, in plain text.
const WRONG_PROTOCOL: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
const NOT_HTTP: &[u8] = b"SSH-2.0-OpenSSH_9.6\r\n";
const LONGEST_HEAD: usize = 16 * 1024;

/// A certificate of our own that nobody trusts.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    pub(super) fn self_signed() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .context("the pods' certificate")?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

/// One address.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) address: String,
    pub(super) behaviour: Arc<Mutex<Behaviour>>,
    pub(super) tls: Tls,
    pub(super) log: Arc<Mutex<Vec<Request>>>,
}

/// The head of a request.
struct Head {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
}

impl Pod {
    pub(super) async fn listen(self, listener: TcpListener) {
        // Connections end with the listener.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let pod = self.clone();
                        // A client that goes away early is no error of the pod.
                        connections.spawn(async move { pod.connection(stream).await.ok() });
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn connection(&self, stream: TcpStream) -> Result<()> {
        let mut first = [0];
        if let Some(reply) = self.only_reply() {
            match reply {
                Reply::ConnectionReset => return Ok(stream.set_zero_linger()?),
                Reply::Timeout => return std::future::pending().await,
                _ => {}
            }
        }
        stream.peek(&mut first).await?;
        let speaks_tls = first[0] == HANDSHAKE;
        let scheme = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).scheme;
        let expects_error = self.only_reply() == Some(Reply::Tls);
        match (scheme, speaks_tls, expects_error) {
            (Scheme::Https, true, false) => self.exchange(self.tls.0.accept(stream).await?, true).await,
            (Scheme::Http, false, false) => self.exchange(stream, false).await,
            // A client that speaks plain HTTP can see no TLS error; it sees an alert where HTTP
            // should be.
            (_, false, true) => say(stream, ALERT).await,
            (Scheme::Http, true, _) | (Scheme::Https, ..) => say(stream, WRONG_PROTOCOL).await,
        }
    }

    /// The reply that every request gets, so that it can be given before there is one.
    fn only_reply(&self) -> Option<Reply> {
        let behaviour = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        let first = behaviour.answers.first()?;
        behaviour.answers.iter().all(|answer| answer.reply == first.reply).then(|| first.reply.clone())
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Resettable>(&self, mut stream: S, tls: bool) -> Result<()> {
        let Some(head) = read_head(&mut stream).await? else {
            return say(stream, WRONG_PROTOCOL).await;
        };
        let path = head.path.split('?').next().unwrap_or_default();
        let host = head.headers.get("host").map(|host| without_port(host)).unwrap_or_default();
        let reply = choose(&self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).answers, path, host);
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(Request {
            address: self.address.clone(),
            method: head.method,
            path: head.path,
            headers: head.headers,
            tls,
            at: Timestamp::now(),
        });
        match reply {
            Reply::Status { status, location, latency } => {
                tokio::time::sleep(latency).await;
                say(stream, response(status, location.as_deref()).as_bytes()).await
            }
            Reply::Protocol => say(stream, NOT_HTTP).await,
            Reply::Tls => say(stream, ALERT).await,
            Reply::Timeout => std::future::pending().await,
            Reply::ConnectionRefused | Reply::ConnectionReset => Ok(stream.reset()?),
        }
    }
}

/// A connection that can be ended by RST instead of FIN.
trait Resettable {
    fn reset(self) -> std::io::Result<()>;
}

impl Resettable for TcpStream {
    fn reset(self) -> std::io::Result<()> {
        self.set_zero_linger()
    }
}

impl Resettable for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(self) -> std::io::Result<()> {
        self.into_inner().0.set_zero_linger()
    }
}

async fn say<S: AsyncWrite + Unpin>(mut stream: S, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    // A socket that is closed with unread bytes in it sends a reset, which may overtake what was
    // just said.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

/// `None` when it is not HTTP/1.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<Head>> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST_HEAD {
        if stream.read_buf(&mut bytes).await? == 0 {
            break;
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(_)) => return Ok(Some(head(&request))),
            Err(_) => break,
        }
    }
    Ok(None)
}

fn head(request: &httparse::Request<'_, '_>) -> Head {
    let text = |header: &httparse::Header<'_>| {
        Some((header.name.to_ascii_lowercase(), std::str::from_utf8(header.value).ok()?.to_owned()))
    };
    Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        headers: request.headers.iter().filter_map(text).collect(),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn response(status: u16, location: Option<&str>) -> String {
    let reason = axum::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown");
    let location = location.map(|location| format!("location: {location}\r\n")).unwrap_or_default();
    // Neither of these may have a body.
    let length = if matches!(status, 204 | 304) { "" } else { "content-length: 0\r\n" };
    format!("HTTP/1.1 {status} {reason}\r\n{location}{length}connection: close\r\n\r\n")
}
