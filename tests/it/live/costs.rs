//! What the program costs: time, memory, requests. Prints figures; `cargo test --test it -- --ignored --nocapture costs`.

use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::product::Product;
use super::stage::Stage;
use super::until;

/// How long it is watched once everything has been said.
const WATCHED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures and proves nothing"]
async fn costs() {
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
