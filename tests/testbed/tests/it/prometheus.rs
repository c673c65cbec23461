//! A real Prometheus: starting, scraping, alerting, ending.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use testbed::port::Port;
use testbed::prometheus::{Labels, Setup, Target, promtool};
use testbed::{Prometheus, PrometheusAssets};

const PATIENCE: Duration = Duration::from_secs(60);

const RULES: &str = r#"
groups:
- name: trial
  rules:
  - alert: Odd
    expr: trial > 2
    annotations: {summary: "{{ $labels.place }} has {{ $value }}"}
"#;

fn target(address: &str) -> Target {
    Target {
        address: address.to_owned(),
        labels: Labels::from([("job".into(), "trial".into()), ("place".into(), "there".into())]),
    }
}

#[tokio::test]
async fn it_scrapes_and_alerts() {
    let port = Port::take().unwrap();
    let listener = port.listen().unwrap();
    let text = "# HELP trial A trial\n# TYPE trial gauge\ntrial{place=\"here\"} 3\n";
    let served = tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/metrics", get(async move || text))).await.unwrap();
    });
    let address = port.address().to_string();
    let assets = PrometheusAssets::locate().unwrap();
    let setup = Setup { rules: vec![RULES.to_owned()], ..Setup::default() };
    let prometheus = Prometheus::start(&assets, &setup, &[target(&address)]).await.unwrap();
    prometheus.wait_for_targets(1, PATIENCE).await.unwrap();
    let found = prometheus.query("trial").await.unwrap();
    assert_eq!((found.len(), found[0].label("place"), found[0].value), (1, "here", 3.0), "a metric's own label is kept");
    let alert = prometheus
        .until("the alert fires", PATIENCE, async |prometheus: &Prometheus| {
            let alerts = prometheus.alerts().await?;
            Ok(alerts.iter().find(|alert| alert.name() == "Odd" && alert.fires()).cloned().ok_or(format!("{alerts:?}")))
        })
        .await
        .unwrap();
    assert_eq!(alert.annotations["summary"], "here has 3");
    let rules = prometheus.rules().await.unwrap();
    assert_eq!((rules.len(), &*rules[0].name, &*rules[0].health), (1, "Odd", "ok"));
    let series = prometheus.query_range("trial", Duration::from_secs(30), Duration::from_secs(1)).await.unwrap();
    assert!(series[0].values.iter().all(|(_, value)| *value == 3.0));
    let refused = prometheus.query("trial{").await.unwrap_err();
    assert!(format!("{refused:#}").contains("parse error"), "{refused:#}");
    prometheus.set_targets(&[]).unwrap();
    prometheus.wait_for_targets(0, PATIENCE).await.unwrap();
    let url = prometheus.url().to_owned();
    drop(prometheus);
    served.abort();
    assert!(reqwest::get(url).await.is_err(), "it ends with its value");
}

#[test]
fn promtool_objects() {
    let assets = PrometheusAssets::locate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), RULES).unwrap();
    assert!(promtool(&assets, &["check", "rules", "rules.yaml"], folder.path(), "").unwrap().contains("1 rules found"));
    let odd = promtool(&assets, &["check", "metrics"], folder.path(), "# TYPE trial counter\ntrial 1\n").unwrap_err();
    assert!(odd.to_string().contains("counter metrics should have \"_total\" suffix"), "{odd}");
}
