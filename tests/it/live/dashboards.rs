//! Every query of every panel, asked of a real Prometheus that scrapes two replicas in a world made to fill all panels.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use testbed::google::{Fault, FaultKind};
use testbed::prometheus::{Labels, Prometheus, Setup, Target};
use testbed::{PrometheusAssets, World};

use super::cluster::Cluster;
use super::leadership::until_leading;
use super::product::Product;
use super::stage::Stage;
use super::{OWN, until};
use crate::dashboards::{Board, Query, boards};
use crate::sources;

/// One of each verdict, when Google does not tell of one.
const FOLDERS: [&str; 5] = ["argocd-redirect", "backend-partially-unhealthy", "neg-degraded", "provisioning", "healthy-neg"];

const VERDICTS: [(&str, &str); 6] = [
    ("argocd/argocd-server", "Broken"),
    ("booking/rooms", "Degraded"),
    ("iot/collector", "Degraded"),
    ("hr/careers", "Progressing"),
    ("shop/cart", "Unknown"),
    ("media/thumbs", "Healthy"),
];

/// The group of whose endpoints Google does not tell.
const UNTOLD: &str = "networkEndpointGroups/k8s1-3fa1c9d2-shop-cart";

/// How far back a query over time looks.
const WINDOW: Duration = Duration::from_secs(300);
const STEP: Duration = Duration::from_secs(5);

/// The values of the variables: of everything, or of one Ingress.
fn filled(query: &str, of_one: bool, cluster: &str) -> String {
    let (namespace, name) = if of_one { ("argocd", "argocd-server") } else { (".*", ".*") };
    query
        .replace("$__rate_interval", "30s")
        .replace("$cluster", cluster)
        .replace("$namespace", namespace)
        .replace("$kind", "Ingress")
        .replace("$name", name)
}

fn is_of_one(board: &Board) -> bool {
    board.uid == "ingress-diagnosis-target"
}

/// The series that a query gives, each with its last value that is one.
async fn ask(prometheus: &Prometheus, query: &Query, of_one: bool, cluster: &str) -> Vec<(Labels, f64)> {
    let expression = filled(&query.expression, of_one, cluster);
    if query.instant {
        let samples = prometheus.query(&expression).await.unwrap();
        return samples.into_iter().map(|sample| (sample.labels, sample.value)).collect();
    }
    let series = prometheus.query_range(&expression, WINDOW, STEP).await.unwrap();
    let last = |values: &[(f64, f64)]| values.iter().rev().map(|(_, value)| *value).find(|value| value.is_finite());
    series.into_iter().filter_map(|series| Some((series.labels, last(&series.values)?))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_shows_something_in_a_world_that_has_it() {
    let assets = PrometheusAssets::locate().unwrap();
    let named = Prometheus::start(&assets, &Setup::default(), &[]).await.unwrap();
    let plain = Prometheus::start(&assets, &Setup::default(), &[]).await.unwrap();
    for (file, board) in boards() {
        for query in board.queries() {
            let seen = ask(&plain, &query, is_of_one(&board), ".*").await;
            assert!(seen.is_empty(), "{file}: {:?}: nobody looks, and it shows {seen:?}", query.panel);
        }
    }

    let cluster = Cluster::start().await;
    let stage = Stage::play(&cluster, all_folders()).await;
    stage.google.fault(Fault::new(UNTOLD, FaultKind::Server5xx));
    let leader = stage.run("it-0").await;
    until_leading(&leader, true).await;
    let token = cluster.server.service_account_token(OWN, OWN).await.unwrap();
    let follower = Product::start(&cluster.server, &token, &stage.settings(), "it-1").await;
    follower.ready().await;
    for (prometheus, labels) in [(&named, vec![("job", OWN), ("cluster", "prod")]), (&plain, vec![("job", OWN)])] {
        let labels: Labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let target = |product: &Product| Target { address: product.address().unwrap(), labels: labels.clone() };
        prometheus.set_targets(&[target(&leader), target(&follower)]).unwrap();
    }
    stage.until_verdicts(&VERDICTS, &leader).await;
    let rooms = "/apis/ingressdiagnosis.dev/v1alpha1/namespaces/booking/ingressdiagnoses/rooms";
    cluster.server.patch(rooms, &json!({"spec": {"acknowledge": ["BackendPartiallyUnhealthy"]}})).await.unwrap();
    stage.until_verdicts(&[("booking/rooms", "Healthy")], &leader).await;

    every_query_shows_something(&named, "prod").await;
    every_query_shows_something(&plain, ".*").await;
    the_figures_are_true(&plain, &cluster).await;

    // The next leader shows the same.
    leader.terminate().await;
    until_leading(&follower, true).await;
    the_figures_are_true(&plain, &cluster).await;
}

/// The folders as one world, recorded now.
fn all_folders() -> World {
    let folder = |name: &str| World::read(sources::root().join("tests/scenarios").join(name)).unwrap();
    let mut all = folder(FOLDERS[0]);
    for name in &FOLDERS[1..] {
        all.merge(folder(name)).unwrap();
    }
    all.shift_to_now();
    all
}

async fn every_query_shows_something(prometheus: &Prometheus, cluster: &str) {
    let mut asked = 0;
    for (file, board) in boards() {
        for query in board.queries() {
            until(&format!("{file}: {:?} shows something", query.panel), async || {
                let seen = ask(prometheus, &query, is_of_one(&board), cluster).await;
                let shows = seen.iter().any(|(_, value)| value.is_finite());
                if shows { Ok(()) } else { Err(filled(&query.expression, is_of_one(&board), cluster)) }
            })
            .await;
            asked += 1;
        }
    }
    println!("{asked} queries of {} dashboards show something, cluster {cluster:?}", boards().len());
}

/// Two replicas or one: each target counts once, and the worst list has everything that it shows.
async fn the_figures_are_true(prometheus: &Prometheus, cluster: &Cluster) {
    let boards = boards();
    let fleet = &boards["fleet.json"];
    let panel = |title: &str| fleet.queries().into_iter().filter(|query| query.panel == title).collect::<Vec<_>>();
    let mut wanted: BTreeMap<String, f64> = BTreeMap::new();
    for diagnosis in cluster.diagnoses().await.values() {
        *wanted.entry(diagnosis["status"]["verdict"].as_str().unwrap().to_owned()).or_default() += 1.0;
    }
    assert_eq!(wanted.len(), 5, "{wanted:?}");
    until("each verdict is counted", async || {
        let mut seen = BTreeMap::new();
        for query in panel("Verdicts") {
            let answer = ask(prometheus, &query, false, ".*").await;
            seen.insert(query.legend, answer.first().map_or(f64::NAN, |(_, value)| *value));
        }
        if seen == wanted { Ok(()) } else { Err(format!("{seen:?}, should be {wanted:?}")) }
    })
    .await;
    let worst = ask(prometheus, &panel("Worst first")[0], false, ".*").await;
    let argocd: Vec<_> = worst.iter().filter(|(labels, _)| labels["namespace"] == "argocd").collect();
    let (labels, since) = argocd[0];
    assert_eq!((argocd.len(), &*labels["verdict"], &*labels["code"]), (1, "Broken", "HealthCheckRedirected"));
    assert!(labels["runbook_url"].ends_with("/health_check_redirected.md") && *since > 1.7e12, "{labels:?}: {since}");
    assert!(worst.iter().any(|(labels, _)| labels["verdict"] == "Unknown"), "without a root cause as well: {worst:?}");
    assert!(worst.iter().all(|(labels, _)| labels["verdict"] != "Healthy"));
}
