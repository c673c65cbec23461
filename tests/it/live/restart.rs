//! A controller that is killed and started again.

use std::time::Duration;

use testbed::google::{Fault, FaultKind};

use super::cluster::Cluster;
use super::product::Product;
use super::stage::Stage;
use super::until;

/// Lets a controller say what it has to say, and ends it without a word.
async fn run_and_kill(stage: &Stage<'_>) {
    let product = stage.run("it-0").await;
    stage.until_verdicts(&[("argocd/argocd-server", "Broken"), ("media/thumbs", "Healthy")], &product).await;
    product.signal("KILL");
}

/// Kills it in the middle of its life, lets Google be slow and moody, and sees that not one byte is written until all is read again, nor then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_started_again_writes_nothing_when_nothing_changed() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    run_and_kill(&stage).await;
    let (before, changes) = (cluster.diagnoses().await, cluster.changes().len());

    stage.google.set_latency(Duration::from_millis(400));
    stage.google.fault(Fault::new("/compute/", FaultKind::RateLimitExceeded403).times(6));
    stage.google.fault(Fault::new("/v1/projects/acme-prod/locations", FaultKind::Server5xx).times(1));
    stage.google.fault(Fault::new("listNetworkEndpoints", FaultKind::CutBody).times(2));
    stage.google.clear_requests();
    let second = stage.run("it-1").await;
    // What stands is shown from the first moment.
    let shown = until("both verdicts are shown", async || {
        let text = second.get("/metrics").await?.1;
        let shown = |namespace: &str, verdict: &str| {
            text.lines().any(|line| {
                line.starts_with("ingress_diagnosis_verdict{")
                    && line.contains(&format!("namespace=\"{namespace}\""))
                    && line.contains(&format!("verdict=\"{verdict}\""))
            })
        };
        if shown("argocd", "Broken") && shown("media", "Healthy") { Ok(text.clone()) } else { Err(second.words()) }
    })
    .await;
    let since = before["argocd/argocd-server"]["status"]["since"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let line = shown
        .lines()
        .find(|line| line.starts_with("ingress_diagnosis_verdict_since_timestamp_seconds{") && line.contains("argocd"));
    assert!(line.unwrap().ends_with(&format!(" {}", since.as_second())), "{line:?}, since {since}");

    second.diagnosed().await;
    assert!(stage.google.requests().len() >= 12, "everything was read again");
    second.look_again().await;
    assert_eq!(cluster.diagnoses().await, before);
    let more = cluster.changes().split_off(changes);
    assert!(more.is_empty(), "{more:#?}");
}

/// Of a fleet that takes long to read, what stands is kept until its own facts were read again, and what changes elsewhere is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_read_again_stands_while_others_change() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    run_and_kill(&stage).await;
    let before = cluster.diagnosis("argocd/argocd-server").await;

    // As if its turn were far away: not one of its groups is answered for.
    stage.google.fault(Fault::new("argocd-argocd-server-80", FaultKind::Hang));
    let mut settings = stage.settings();
    settings["compute"]["readsPerMinute"] = 40.into();
    let second = Product::start(&cluster.server, &cluster.token, &settings, "it-1").await;
    let service = stage.world.of_kind("Service").find(|service| service["metadata"]["name"] == "thumbs").unwrap().clone();
    cluster.server.delete(&[service]).await.unwrap();
    until("the other one's Service is missed", async || {
        let status = cluster.diagnosis("media/thumbs").await["status"].clone();
        if status["rootCause"] == "ServiceNotFound" { Ok(()) } else { Err(format!("{status}\n{}", second.words())) }
    })
    .await;
    assert_eq!(cluster.diagnosis("argocd/argocd-server").await, before);
    stage.google.clear_faults();
    second.look_again().await;
    assert_eq!(cluster.diagnosis("argocd/argocd-server").await, before);
}
