//! Tests of `prober`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::ask::ask;
use super::tls::Tls;
use super::{Asker, ProbeSettings, Question, may_be_asked};
use crate::collect::world::World;
use crate::snapshot::probe::{ProbeAnswer, ProbeError, Scheme};

const POD: [u8; 4] = [10, 4, 0, 5];

fn question(path: &str) -> Question {
    Question {
        pod: "shop/web-1".into(),
        ip: IpAddr::from(POD),
        port: 8080,
        scheme: Scheme::Http,
        http2: false,
        path: path.into(),
        host: "".into(),
        timeout: Duration::from_secs(2),
    }
}

async fn asked(question: &Question, address: &str) -> ProbeAnswer {
    ask(question, address, &Tls::new().expect("TLS")).await.expect("an answer")
}

/// An HTTP server that says what it was asked.
async fn web() -> String {
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/login", get(|| async { (StatusCode::TEMPORARY_REDIRECT, [("location", "https://10.4.0.5/login")]) }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(60)).await }))
        .route(
            "/headers",
            get(|headers: HeaderMap| async move {
                let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
                let seen = format!("{} | {} | {}", text("host"), text("user-agent"), text("accept-encoding"));
                (StatusCode::FOUND, [("location", seen)])
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A server that reads a little, says `words` and hangs up; without words it hangs up at once.
async fn plain(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(words).await;
        }
    });
    address
}

#[tokio::test]
async fn an_answer_is_recorded_as_it_came_and_no_redirect_is_followed() {
    let address = web().await;
    let answer = asked(&question("/"), &address).await;
    assert_eq!((answer.status, answer.error), (Some(200), None));
    assert_eq!((answer.ip, answer.port, &*answer.pod), (IpAddr::from(POD), 8080, "shop/web-1"));
    assert!(answer.latency_ms.is_some_and(|latency| latency < 2000));

    let answer = asked(&question("/login"), &address).await;
    assert_eq!((answer.status, answer.location.as_deref()), (Some(307), Some("https://10.4.0.5/login")));
    assert_eq!(asked(&question("/missing?a=b"), &address).await.status, Some(404));
}

#[tokio::test]
async fn the_request_looks_like_a_health_check() {
    let address = web().await;
    let answer = asked(&question("/headers"), &address).await;
    assert_eq!(answer.location.as_deref(), Some("10.4.0.5 | GoogleHC/1.0 (ingress-diagnosis) | -"));
    let answer = asked(&Question { host: "shop.example.com".into(), ..question("/headers") }, &address).await;
    assert!(answer.location.is_some_and(|seen| seen.starts_with("shop.example.com |")));
}

#[tokio::test]
async fn errors_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").to_string();
    assert_eq!(asked(&question("/"), &free).await.error, Some(ProbeError::ConnectionRefused));

    let slow = Question { timeout: Duration::from_millis(200), ..question("/slow") };
    let answer = asked(&slow, &web().await).await;
    assert_eq!((answer.error, answer.message.as_deref()), (Some(ProbeError::Timeout), Some("no answer within 200 ms")));

    let https = Question { scheme: Scheme::Https, ..question("/") };
    assert_eq!(asked(&https, &web().await).await.error, Some(ProbeError::Tls));

    // The alert of a TLS server that was spoken to in plain HTTP.
    assert_eq!(asked(&question("/"), &plain(b"\x15\x03\x01\x00\x02\x02\x46").await).await.error, Some(ProbeError::Protocol));
    assert_eq!(asked(&question("/"), &plain(b"").await).await.error, Some(ProbeError::Protocol));
    // The preface of an HTTP/2 server: an empty SETTINGS frame.
    assert_eq!(asked(&question("/"), &plain(b"\0\0\0\x04\0\0\0\0\0").await).await.error, Some(ProbeError::Protocol));
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // What was sent and not read makes the close a reset.
            stream.peek(&mut [0]).await.ok();
            drop(stream);
        }
    });
    let answer = asked(&question("/"), &address).await;
    assert_eq!(answer.error, Some(ProbeError::ConnectionReset), "{answer:?}");
}

#[tokio::test]
async fn a_connection_is_all_that_tcp_wants() {
    let question = Question { scheme: Scheme::Tcp, ..question("") };
    let made = asked(&question, &plain(b"").await).await;
    assert_eq!((made.status, made.error, made.message), (None, None, None));
    assert!(made.latency_ms.is_some());

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let refused = asked(&question, &address).await;
    assert_eq!((refused.status, refused.error), (None, Some(ProbeError::ConnectionRefused)));

    let (address, _listener, _held) = full().await;
    let hangs = Question { timeout: Duration::from_millis(300), ..question };
    let late = asked(&hangs, &address).await;
    assert_eq!((late.error, late.message.as_deref()), (Some(ProbeError::Timeout), Some("no connection within 300 ms")));
}

/// A listener whose queue is full and that accepts nobody: who comes next waits.
async fn full() -> (String, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut held = Vec::new();
    // The kernel's queue is a little longer than it is told: connections are held until one is not made.
    loop {
        match tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            Ok(made) => held.push(made.expect("a connection")),
            Err(_) => return (address.to_string(), listener, held),
        }
    }
}

#[tokio::test]
async fn certificates_are_not_looked_at() {
    let signed = rcgen_certificate(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = signed.accept(stream).await else { continue };
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let answer = asked(&Question { scheme: Scheme::Https, ..question("/") }, &address).await;
    assert_eq!((answer.status, answer.error), (Some(204), None), "{answer:?}");
    // The reverse: HTTP on a TLS port.
    assert_eq!(asked(&question("/"), &address).await.error, Some(ProbeError::Protocol));
}

/// A server that speaks HTTP/2 over TLS alone answers an HTTP/2 health check, and one without HTTP/2 does not.
#[tokio::test]
async fn an_http2_health_check_speaks_http2() {
    let signed = rcgen_certificate(&[b"h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = signed.accept(stream).await else { continue };
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let agent = request.headers()["user-agent"].to_str().expect("text").to_owned();
                    let seen = format!("{} {agent}", request.uri());
                    let response = http::Response::builder().status(302).header("location", seen).body(());
                    respond.send_response(response.expect("a response"), true).expect("sent");
                }
            });
        }
    });
    let http2 = Question { scheme: Scheme::Https, http2: true, ..question("/healthz") };
    let answer = asked(&http2, &address).await;
    assert_eq!((answer.status, answer.error), (Some(302), None), "{answer:?}");
    assert_eq!(answer.location.as_deref(), Some("https://10.4.0.5/healthz GoogleHC/1.0 (ingress-diagnosis)"));

    let without = plain_tls().await;
    let answer = asked(&http2, &without).await;
    assert_eq!(answer.error, Some(ProbeError::Protocol));
    assert_eq!(answer.message.as_deref(), Some("the server speaks TLS, but not HTTP/2"));
}

/// A TLS server that says nothing.
async fn plain_tls() -> String {
    let signed = rcgen_certificate(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(signed.accept(stream).await);
        }
    });
    address
}

fn rcgen_certificate(protocols: &[&[u8]]) -> tokio_rustls::TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["somebody-else.example.com".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a configuration");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

#[test]
fn some_addresses_are_never_asked() {
    for forbidden in [
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "169.254.1.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "::ffff:127.0.0.1",
        "fd20:ce::254",
    ] {
        assert!(!may_be_asked(forbidden.parse().expect("an address")), "{forbidden}");
    }
    for allowed in ["10.4.0.5", "192.168.1.1", "100.64.0.9", "fd00::5", "240.1.2.3"] {
        assert!(may_be_asked(allowed.parse().expect("an address")), "{allowed}");
    }
}

#[tokio::test]
async fn answers_come_and_go_with_the_questions() {
    let world = Arc::new(World::new());
    let (set_active, active) = watch::channel(true);
    let connect_to = [("10.4.0.5:8080".to_owned(), web().await)].into();
    let settings = ProbeSettings { exclude_namespaces: vec!["bank".to_owned()], connect_to, ..ProbeSettings::default() };
    let (asker, prober) = Asker::new(&world, settings, &active);
    let task = tokio::spawn(asker.run());

    let metadata = Question { ip: IpAddr::from([169, 254, 169, 254]), ..question("/") };
    let excluded = Question { pod: "bank/vault-1".into(), ..question("/headers") };
    prober.want(vec![question("/"), question("/login"), metadata, excluded]);
    let mut statuses = Vec::new();
    while statuses.len() < 2 {
        let changes = tokio::time::timeout(Duration::from_secs(5), world.changes()).await.expect("an answer in time");
        assert!(changes.namespaces.contains("shop"), "{changes:?}");
        statuses = world.read().probes.iter().filter_map(|answer| answer.status).collect();
    }
    assert_eq!(statuses, [200, 307]);
    assert_eq!(prober.stats().results, [("200".into(), 1), ("307".into(), 1)].into());

    prober.want(vec![question("/login")]);
    while world.read().probes.iter().count() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.read().probes.asked);
    set_active.send_replace(false);
    prober.want(vec![question("/")]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(prober.stats().results.values().sum::<u64>(), 2, "nobody is asked by a process that is not active");
    task.abort();
}
