//! What the program costs: time, memory, requests. Prints figures, of the optimised program when `cargo xtask bench live` asks for them.

use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::oneshot::{Desk, fleet, regional_fleet, text};
use super::product::Product;
use super::stage::Stage;
use super::until;

/// How long it is watched once everything has been said.
const WATCHED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo xtask bench live"]
async fn of_the_controller() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    let mut settings = stage.settings();
    settings["compute"]["readsPerMinute"] = 150.into();
    let start = Instant::now();
    let product = Product::start(&cluster.server, &cluster.token, &settings, "it-0").await;
    until("it is ready", async || match product.get("/readyz").await {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let ready = start.elapsed();
    stage.until_verdicts(&[("argocd/argocd-server", "Broken"), ("media/thumbs", "Healthy")], &product).await;
    println!("ready after {ready:.1?}, both statuses after {:.1?}", start.elapsed());
    requests(&cluster, &stage);
    tokio::time::sleep(WATCHED).await;
    println!("{} s later:", WATCHED.as_secs());
    requests(&cluster, &stage);
    println!("{}", product.memory());
    let cpu = product.get("/metrics").await.unwrap().1;
    println!("{}", cpu.lines().find(|line| line.starts_with("process_cpu_seconds_total")).unwrap_or_default());
}

fn requests(cluster: &Cluster, stage: &Stage<'_>) {
    let google = stage.google.requests();
    let compute = google.iter().filter(|request| request.path.starts_with("/compute/")).count();
    let kubernetes = cluster.server.audit().unwrap();
    let complete = kubernetes.iter().filter(|request| request["stage"] == "ResponseComplete" || request["verb"] == "watch");
    let pods = stage.pods.requests().len();
    println!("requests: Kubernetes {}, Compute {compute}, Container {}, pods {pods}", complete.count(), google.len() - compute);
}

/// A single pass over a hundred Ingresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo xtask bench live"]
async fn of_a_single_pass() {
    let cluster = Cluster::without_definition().await;
    for (world, reads, what) in [
        (fleet(), 150, "100 Ingresses, 1 zone, 150 reads a minute allowed"),
        (regional_fleet(), 6000, "100 Ingresses, 3 zones, 6000 reads a minute allowed"),
    ] {
        let stage = Stage::of(&cluster, world).await;
        stage.google.set_latency(Duration::from_millis(5));
        let mut settings = stage.settings();
        settings["compute"]["readsPerMinute"] = reads.into();
        let desk = Desk::new(&cluster, &cluster.token, &settings);
        let mut times = Vec::new();
        let (mut kubernetes, mut compute, mut rows) = (0, 0, 0);
        for _ in 0..5 {
            stage.google.clear_requests();
            let before = cluster.server.audit().unwrap().len();
            let start = Instant::now();
            let done = desk.run(&["diagnose", "-A", "-o", "json"]).await;
            times.push(start.elapsed());
            assert!(done.stderr.is_empty(), "{}", text(&done.stderr));
            rows = text(&done.stdout).matches("\"verdict\": \"Healthy\"").count();
            let ours = |request: &&serde_json::Value| {
                request["userAgent"].as_str().is_some_and(|agent| agent.starts_with("ingress-diagnosis/"))
                    && request["stage"] == "ResponseComplete"
            };
            kubernetes = cluster.server.audit().unwrap()[before..].iter().filter(ours).count();
            compute = stage.google.requests().iter().filter(|request| request.path.starts_with("/compute/")).count();
        }
        times.sort();
        println!(
            "{what}, 5 ms each: {kubernetes} Kubernetes and {compute} Compute requests, {:.0} ms at best, {:.0} ms in the middle; {rows} healthy",
            times[0].as_secs_f64() * 1000.0,
            times[2].as_secs_f64() * 1000.0
        );
        stage.clear_loaded().await;
    }
}
