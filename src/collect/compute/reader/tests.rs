//! Tests of `reader`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use testbed::Google;
use tokio::sync::watch;

use super::{Reader, host_paths, region_of};
use crate::collect::credentials::Credentials;
use crate::collect::world::{Change, World};

#[test]
fn regions_and_zones_give_the_region() {
    assert_eq!(region_of("us-central1"), "us-central1");
    assert_eq!(region_of("us-central1-a"), "us-central1");
    assert_eq!(region_of(""), "");
    assert_eq!(host_paths("h", "subnetworks", "r"), ["projects/h/regions/r/subnetworks"]);
    assert_eq!(host_paths("h", "firewalls", "r"), ["projects/h/global/firewalls"]);
}

/// A metadata server that refuses the first tokens, as GKE's does until Workload Identity is bound.
async fn metadata_server(refusals: usize) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = move || {
        let count = count.clone();
        async move {
            if count.fetch_add(1, Ordering::SeqCst) < refusals {
                return (StatusCode::FORBIDDEN, "not bound".to_owned());
            }
            (StatusCode::OK, r#"{"access_token": "secret", "expires_in": 3600, "token_type": "Bearer"}"#.to_owned())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (url, asked)
}

#[tokio::test]
async fn credentials_that_were_refused_once_are_tried_anew() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let (metadata, asked) = metadata_server(1).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed/tests/data/shop");
    let google = Google::start(testbed::World::read(folder).expect("a world")).await.expect("a stand-in");
    let world = Arc::new(World::new());
    world.edit(|snapshot| {
        snapshot.meta.project = "acme-prod".into();
        Change::Nothing
    });
    let (_activity, active) = watch::channel(true);
    let credentials = Arc::new(Credentials::of_metadata_server(&metadata));
    let (reader, handle) = Reader::new(&world, &google.url(), &credentials, 6000, &active);
    let task = tokio::spawn(reader.run());

    let mut reasons = Vec::new();
    for _ in 0..1500 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let unread = world.read().compute.unread_kind("urlMaps");
        match unread {
            None => break,
            Some(why) => reasons.push(why.reason),
        }
    }
    reasons.dedup();
    assert_eq!(reasons, ["NotRead".into(), "NoCredentials".into()], "and then it was read");
    assert!(asked.load(Ordering::SeqCst) >= 2);
    assert!(google.requests().iter().all(|request| request.headers["authorization"] == "Bearer secret"));
    assert!(handle.stats().requests.keys().any(|(_, code)| &**code == "NoCredentials"));
    for _ in 0..500 {
        if handle.caught_up() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(handle.caught_up());
    task.abort();
}
