//! Pods, as a probe sees them.

use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use testbed::Pods;
use testbed::pods::Reply;

use super::world;

async fn pods() -> Pods {
    Pods::start(world("corners").probes.as_deref().unwrap()).await.unwrap()
}

fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .tls_danger_accept_invalid_certs(true)
        .timeout(Duration::from_millis(700))
        .build()
        .unwrap()
}

async fn probe(pods: &Pods, scheme: &str, address: &str, path: &str) -> reqwest::Result<reqwest::Response> {
    let to = &pods.connect_to()[address];
    client().get(format!("{scheme}://{to}{path}")).header("host", address).header("user-agent", "GoogleHC/1.0").send().await
}

/// All texts of an error and its sources.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text.to_lowercase()
}

#[tokio::test]
async fn statuses_and_redirects() {
    let pods = pods().await;
    let start = Instant::now();
    let answer = probe(&pods, "http", "10.4.0.201:8080", "/ready?x=1").await.unwrap();
    assert_eq!(answer.status().as_u16(), 307);
    assert_eq!(answer.headers()["location"], "https://10.4.0.201:8080/ready");
    assert!(start.elapsed() >= Duration::from_millis(120), "as late as recorded");
    assert_eq!(
        probe(&pods, "http", "10.4.0.201:8080", "/").await.unwrap().status().as_u16(),
        404,
        "recorded for another host alone"
    );
    let to = &pods.connect_to()["10.4.0.201:8080"];
    let answer = client().get(format!("http://{to}/")).header("host", "blog.acme.example:80").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(probe(&pods, "http", "10.4.0.201:8080", "/other").await.unwrap().status().as_u16(), 404);
    let requests = pods.requests();
    assert_eq!(requests.len(), 4);
    assert_eq!((requests[0].address.as_str(), requests[0].path.as_str()), ("10.4.0.201:8080", "/ready?x=1"));
    assert_eq!(requests[0].headers["user-agent"], "GoogleHC/1.0");
    pods.clear_requests();
    assert!(pods.requests().is_empty());
}

#[tokio::test]
async fn every_error() {
    let pods = pods().await;
    let error = probe(&pods, "http", "10.4.0.202:8080", "/ready").await.unwrap_err();
    assert!(error.is_connect() && words(&error).contains("refused"), "{}", words(&error));
    let error = probe(&pods, "http", "10.4.0.203:8080", "/ready").await.unwrap_err();
    assert!(words(&error).contains("reset"), "{}", words(&error));
    let error = probe(&pods, "http", "10.4.0.204:8080", "/ready").await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{}", words(&error));
    let error = probe(&pods, "https", "10.4.0.205:8443", "/ready").await.unwrap_err();
    assert!(error.is_connect() && words(&error).contains("corrupt message"), "{}", words(&error));
    let error = probe(&pods, "http", "10.4.0.206:8443", "/ready").await.unwrap_err();
    assert!(words(&error).contains("invalid http"), "{}", words(&error));
    let error = probe(&pods, "http", "10.4.0.207:22", "/ready").await.unwrap_err();
    assert!(words(&error).contains("invalid http"), "{}", words(&error));
}

#[tokio::test]
async fn tls_and_the_wrong_protocol() {
    let pods = pods().await;
    let answer = probe(&pods, "https", "10.4.0.208:8443", "/ready").await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert!(pods.requests()[0].tls);
    assert_eq!(probe(&pods, "http", "10.4.0.208:8443", "/ready").await.unwrap().status().as_u16(), 400);
    let error = probe(&pods, "https", "10.4.0.201:8080", "/ready").await.unwrap_err();
    assert!(error.is_connect(), "{}", words(&error));
    pods.set("10.4.0.208", 8443, Reply::ConnectionReset).unwrap();
    assert!(probe(&pods, "https", "10.4.0.208:8443", "/ready").await.is_err());
}

#[tokio::test]
async fn answers_change_and_ports_stay() {
    let pods = pods().await;
    let before = pods.connect_to();
    let replies = [
        Reply::status(200),
        Reply::ConnectionRefused,
        Reply::redirect(302, "/login"),
        Reply::ConnectionReset,
        Reply::status(503),
    ];
    for reply in replies {
        pods.set("10.4.0.202", 8080, reply.clone()).unwrap();
        // A listener that was stopped lets go of its socket as soon as its task is gone.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = probe(&pods, "http", "10.4.0.202:8080", "/any").await;
        match reply {
            Reply::Status { status, .. } => assert_eq!(answer.unwrap().status().as_u16(), status),
            Reply::ConnectionRefused => assert!(words(&answer.unwrap_err()).contains("refused")),
            _ => assert!(words(&answer.unwrap_err()).contains("reset")),
        }
    }
    assert_eq!(pods.connect_to(), before);
    pods.set_path("10.4.0.202", 8080, "/ready", Reply::status(200)).unwrap();
    assert_eq!(probe(&pods, "http", "10.4.0.202:8080", "/ready").await.unwrap().status().as_u16(), 200);
    assert_eq!(probe(&pods, "http", "10.4.0.202:8080", "/any").await.unwrap().status().as_u16(), 503);
}

#[tokio::test]
async fn other_addresses_refuse_until_they_are_told() {
    let pods = pods().await;
    let all = pods.connect_to_for(["10.4.0.201:8080", "10.9.9.9:80"]).unwrap();
    assert_eq!(all.len(), 9);
    assert_eq!(all, pods.connect_to());
    assert!(words(&probe(&pods, "http", "10.9.9.9:80", "/").await.unwrap_err()).contains("refused"));
    pods.set("10.9.9.9", 80, Reply::status(200)).unwrap();
    assert_eq!(probe(&pods, "http", "10.9.9.9:80", "/").await.unwrap().status().as_u16(), 200);
    assert_eq!(pods.connect_to()["10.9.9.9:80"], all["10.9.9.9:80"]);
}
