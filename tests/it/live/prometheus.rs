//! Alerts as they come and go: a real Prometheus scrapes the built program while worlds break and mend.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::PrometheusAssets;
use testbed::pods::Reply;
use testbed::prometheus::{Alert, Labels, Prometheus, Setup, Target, promtool};

use super::cluster::Cluster;
use super::product::Product;
use super::stage::Stage;
use super::{LIMIT, OWN, until};
use crate::{alerts, sources};

const ARGOCD: &str = "argocd/argocd-server";
const DIAGNOSIS: &str = "/apis/ingressdiagnosis.dev/v1alpha1/namespaces/argocd/ingressdiagnoses/argocd-server";

/// The shipped rules with shorter waiting times.
fn shortened() -> String {
    let short =
        |line: &str| if line.trim_start().starts_with("for: ") { "    for: 3s\n".to_owned() } else { format!("{line}\n") };
    alerts::text().lines().map(short).collect()
}

/// What a ServiceMonitor with `honorLabels` makes of the program's Service.
fn scraped(product: &Product) -> Target {
    let labels = [("job", OWN), ("namespace", OWN), ("pod", "it-0"), ("service", OWN), ("endpoint", "http")];
    let labels: Labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Target { address: product.address().unwrap(), labels }
}

fn about<'a>(alerts: &'a [Alert], alert: &str, name: &str) -> Option<&'a Alert> {
    alerts.iter().find(|one| one.name() == alert && one.labels.get("name").is_none_or(|own| own == name))
}

async fn fires(prometheus: &Prometheus, alert: &str, name: &str) -> Alert {
    let what = format!("{alert} fires for {name}");
    until(&what, async || {
        let alerts = prometheus.alerts().await.unwrap();
        about(&alerts, alert, name).filter(|alert| alert.fires()).cloned().ok_or(format!("{alerts:#?}"))
    })
    .await
}

async fn resolves(prometheus: &Prometheus, alert: &str, name: &str) {
    until(&format!("{alert} resolves for {name}"), async || {
        let alerts = prometheus.alerts().await.unwrap();
        if about(&alerts, alert, name).is_none() { Ok(()) } else { Err(format!("{alerts:#?}")) }
    })
    .await;
}

/// How often an alert was seen in a state so far.
async fn count(prometheus: &Prometheus, selector: &str) -> f64 {
    let seen = prometheus.query(&format!("sum(count_over_time(ALERTS{{{selector}}}[1h]))")).await.unwrap();
    seen.first().map_or(0.0, |sample| sample.value)
}

async fn started(stage: &Stage<'_>, prometheus: &Prometheus) -> Product {
    let product = stage.run("it-0").await;
    product.ready().await;
    prometheus.set_targets(&[scraped(&product)]).unwrap();
    product
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_come_and_go_with_what_is_wrong() {
    let assets = PrometheusAssets::locate().unwrap();
    let setup = Setup { rules: vec![shortened()], ..Setup::default() };
    let prometheus = Prometheus::start(&assets, &setup, &[]).await.unwrap();
    let cluster = Cluster::start().await;

    let stage = Stage::open(&cluster, "argocd-redirect").await;
    let product = started(&stage, &prometheus).await;
    prometheus.wait_for_targets(1, LIMIT).await.unwrap();
    nothing_is_odd(&assets, &product).await;
    let product = a_broken_ingress_is_told_until_it_is_mended(&stage, &prometheus, product).await;
    product.terminate().await;
    stage.clear().await;

    let stage = Stage::open(&cluster, "addon-disabled").await;
    nobody_listens_is_one_alert(&stage, &prometheus).await;
    every_rule_is_evaluated(&prometheus).await;
}

/// Of what is really served promtool has nothing to say, and who takes gzip gets it.
async fn nothing_is_odd(assets: &PrometheusAssets, product: &Product) {
    let (_, text) = product.get("/metrics").await.unwrap();
    assert_eq!(promtool(assets, &["check", "metrics"], sources::root(), &text).unwrap(), "");
    let client = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    let url = format!("http://{}/metrics", product.address().unwrap());
    let answer = client.get(url).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert!(answer.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));
}

async fn a_broken_ingress_is_told_until_it_is_mended(stage: &Stage<'_>, prometheus: &Prometheus, product: Product) -> Product {
    stage.until_verdicts(&[(ARGOCD, "Broken")], &product).await;
    let alert = fires(prometheus, "GkeIngressBroken", "argocd-server").await;
    assert_eq!(alert.labels["namespace"], "argocd", "the Ingress's own namespace, not the program's");
    until("the alert gives the root cause", async || {
        let alert = fires(prometheus, "GkeIngressBroken", "argocd-server").await;
        let words = &alert.annotations["description"];
        let whole = words
            .starts_with("HealthCheckRedirected of argocd-server:80: the pods answer the health check on /healthz with 307")
            && words.contains("First step: run argocd-server with --insecure")
            && alert.annotations["runbook_url"].ends_with("/health_check_redirected.md");
        if whole { Ok(()) } else { Err(format!("{alert:#?}")) }
    })
    .await;
    assert!(count(prometheus, r#"alertname="GkeIngressBroken",alertstate="pending",name="argocd-server""#).await > 0.0);

    // Whoever is started again does not end the alert.
    product.terminate().await;
    let product = started(stage, prometheus).await;
    let before = product.looks().await;
    until("the new one has diagnosed", async || if product.looks().await > before + 2 { Ok(()) } else { Err(product.words()) })
        .await;
    stage.until_verdicts(&[(ARGOCD, "Broken")], &product).await;
    prometheus.wait_for_targets(1, LIMIT).await.unwrap();
    let since = fires(prometheus, "GkeIngressBroken", "argocd-server").await;
    assert_eq!(since.active_at, alert.active_at, "it is the same alert");

    // What is accepted is silent, and is told again when it is not.
    let server = &stage.cluster.server;
    server.patch(DIAGNOSIS, &json!({"spec": {"acknowledge": ["HealthCheckRedirected"]}})).await.unwrap();
    resolves(prometheus, "GkeIngressBroken", "argocd-server").await;
    server.patch(DIAGNOSIS, &json!({"spec": {"acknowledge": Value::Null}})).await.unwrap();
    fires(prometheus, "GkeIngressBroken", "argocd-server").await;

    for probe in stage.world.probes.iter().flatten().filter(|probe| probe.pod.starts_with("argocd/")) {
        stage.pods.set(&probe.ip, probe.port, Reply::status(200)).unwrap();
    }
    assert!(stage.google.update(|world| world.set_health("argocd-server", "HEALTHY")) > 0);
    let deployment = "/apis/apps/v1/namespaces/argocd/deployments/argocd-server";
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    server.patch(deployment, &restart).await.unwrap();
    resolves(prometheus, "GkeIngressBroken", "argocd-server").await;
    let neighbour = r#"alertname=~"GkeIngressBroken|GkeIngressDegraded|GkeIngressWithoutAddress",name="thumbs""#;
    assert_eq!(count(prometheus, neighbour).await, 0.0, "its healthy neighbour was never told of");
    product
}

async fn nobody_listens_is_one_alert(stage: &Stage<'_>, prometheus: &Prometheus) {
    let product = started(stage, prometheus).await;
    stage.until_verdicts(&[("shop/checkout", "Broken"), ("grafana/grafana", "Broken")], &product).await;
    let alert = fires(prometheus, "GkeIngressNobodyListens", "").await;
    assert_eq!(alert.labels["code"], "HttpLoadBalancingDisabled");
    until("it counts both", async || {
        let alert = fires(prometheus, "GkeIngressNobodyListens", "").await;
        let words = (&*alert.annotations["summary"], &*alert.annotations["description"]);
        let whole = words.0.ends_with(", 2 wait for it") && words.1.contains("--update-addons=HttpLoadBalancing=ENABLED");
        if whole { Ok(()) } else { Err(format!("{alert:#?}")) }
    })
    .await;
    for name in ["checkout", "grafana"] {
        assert_eq!(
            count(prometheus, &format!("alertstate=\"firing\",name=\"{name}\"")).await,
            0.0,
            "no alert of its own: {name}"
        );
    }
    // The switch is read every few minutes; whoever starts anew reads it at once.
    product.terminate().await;
    stage.google.update(|world| world.cluster.as_mut().unwrap()["addonsConfig"]["httpLoadBalancing"] = json!({}));
    let _product = started(stage, prometheus).await;
    until("the add-on is on", async || {
        let alerts = prometheus.alerts().await.unwrap();
        let off = alerts.iter().any(|alert| alert.labels.get("code").is_some_and(|code| code == "HttpLoadBalancingDisabled"));
        if off { Err(format!("{alerts:#?}")) } else { Ok(()) }
    })
    .await;
}

async fn every_rule_is_evaluated(prometheus: &Prometheus) {
    prometheus
        .until("every rule has been evaluated well", Duration::from_secs(30), async |prometheus: &Prometheus| {
            let rules = prometheus.rules().await?;
            let odd: Vec<_> = rules.iter().filter(|rule| rule.health != "ok" || !rule.last_error.is_empty()).collect();
            Ok(if odd.is_empty() { Ok(()) } else { Err(format!("{odd:#?}")) })
        })
        .await
        .unwrap();
    let rules = alerts::rules();
    for rule in &rules {
        prometheus.query(rule["expr"].as_str().unwrap()).await.unwrap();
    }
    println!("{} alerts evaluated", rules.len());
}
