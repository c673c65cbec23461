//! Two replicas: one writes, the other is warm.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::Google;
use testbed::port::Port;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::product::Product;
use super::stage::Stage;
use super::{OWN, until};

const BOTH: [(&str, &str); 2] = [("argocd/argocd-server", "Broken"), ("media/thumbs", "Healthy")];

async fn leads(product: &Product) -> Option<bool> {
    let (_, text) = product.get("/metrics").await.ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix("ingress_diagnosis_leader ")? == "1"))
}

/// Waits until a process leads, or does not.
pub async fn until_leading(product: &Product, wanted: bool) {
    until("leadership is as it should be", async || match leads(product).await {
        Some(is) if is == wanted => Ok(()),
        other => Err(format!("{other:?}\n{}", product.words())),
    })
    .await;
}

/// Which credentials wrote: each process has a token of its own.
fn writers(changes: &[Value]) -> BTreeSet<String> {
    let id = |change: &Value| change["user"]["extra"]["authentication.kubernetes.io/credential-id"].to_string();
    changes.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_follower_is_warm_and_takes_over() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    let leader = stage.run("it-0").await;
    stage.until_verdicts(&BOTH, &leader).await;

    let other_google = Google::start(stage.world.clone()).await.unwrap();
    let mut settings = stage.settings();
    settings["compute"]["endpoint"] = other_google.url().into();
    settings["container"]["endpoint"] = other_google.url().into();
    let token = cluster.server.service_account_token(OWN, OWN).await.unwrap();
    let follower = Product::start(&cluster.server, &token, &settings, "it-1").await;
    follower.ready().await;
    until_leading(&leader, true).await;
    until_leading(&follower, false).await;
    let shown = follower.get("/metrics").await.unwrap().1;
    assert!(!shown.contains("ingress_diagnosis_verdict{"), "no series stands twice");
    assert!(other_google.requests().is_empty(), "a follower asks Google nothing");
    let pods_asked = stage.pods.requests().len();

    let before = cluster.diagnoses().await;
    let changes = cluster.changes();
    assert_eq!(writers(&changes).len(), 1, "one has written");
    leader.signal("KILL");
    let killed = Instant::now();
    drop(leader);
    until_leading(&follower, true).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(25), "the Lease lasts 15 s, taking over took {took:?}");
    println!("took over after {took:?}");

    // It reads everything anew, and finds everything as it stands.
    follower.diagnosed().await;
    let text = follower.get("/metrics").await.unwrap().1;
    assert_eq!(text.lines().filter(|line| line.starts_with("ingress_diagnosis_verdict{")).count(), BOTH.len());
    assert_eq!(cluster.diagnoses().await, before);
    assert!(!other_google.requests().is_empty());
    assert!(stage.pods.requests().len() > pods_asked);

    assert!(other_google.update(|world| world.set_health("argocd-server", "HEALTHY")) > 0);
    stage.until_verdicts(&[("argocd/argocd-server", "Healthy")], &follower).await;
    let more = cluster.changes().split_off(changes.len());
    assert_eq!(writers(&more).len(), 1);
    assert!(writers(&more).is_disjoint(&writers(&changes)), "the other one goes on writing");
    let lease =
        cluster.server.get(&format!("/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases/ingress-diagnosis")).await.unwrap();
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("it-1_"), "{lease:#}");

    // Who ends in peace gives the Lease back.
    follower.terminate().await;
    let lease =
        cluster.server.get(&format!("/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases/ingress-diagnosis")).await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"].as_str().unwrap_or_default(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_api_server_stops_leading_and_comes_back() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    let wire = Wire::to(cluster.server.url().trim_start_matches("https://").parse().unwrap()).await;
    let product = Product::start_at(
        &cluster.server,
        &format!("https://{}", wire.port.address()),
        &cluster.token,
        &stage.settings(),
        "it-0",
    )
    .await;
    stage.until_verdicts(&BOTH, &product).await;
    let before = cluster.diagnoses().await;

    wire.whole.send_replace(false);
    let cut = Instant::now();
    until_leading(&product, false).await;
    assert!(cut.elapsed() < Duration::from_secs(15), "before the Lease could be another's: {:?}", cut.elapsed());
    assert_eq!(product.get("/livez").await.unwrap().0, 200, "it lives on");

    wire.whole.send_replace(true);
    until_leading(&product, true).await;
    until("it has its diagnoses again", async || {
        let text = product.get("/metrics").await?.1;
        let shown = text.lines().filter(|line| line.starts_with("ingress_diagnosis_verdict{")).count();
        if shown == BOTH.len() { Ok(()) } else { Err(product.words()) }
    })
    .await;
    assert_eq!(cluster.diagnoses().await, before);
}

/// A wire to a server that can be cut: then connections break and new ones are refused.
struct Wire {
    port: Arc<Port>,
    whole: watch::Sender<bool>,
}

impl Wire {
    async fn to(server: SocketAddr) -> Self {
        let port = Arc::new(Port::take().unwrap());
        let (whole, is_whole) = watch::channel(true);
        tokio::spawn(carry(port.clone(), server, is_whole));
        Self { port, whole }
    }
}

async fn carry(port: Arc<Port>, server: SocketAddr, mut whole: watch::Receiver<bool>) {
    while whole.wait_for(|whole| *whole).await.is_ok() {
        let listener: TcpListener = port.listen().unwrap();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (mut near, _) = accepted.unwrap();
                    connections.spawn(async move {
                        let mut far = TcpStream::connect(server).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    });
                }
                _ = whole.wait_for(|whole| !*whole) => break,
            }
        }
    }
}
