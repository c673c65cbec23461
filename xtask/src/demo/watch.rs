//! A Prometheus that scrapes the program on every stage.
//!
//! Enters: stages. Leaves: a running Prometheus with the alerts of `config/prometheus/`, and what it says on standard output. Never: changes a
//! stage.

use std::time::Duration;

use anyhow::{Context, Result};
use testbed::prometheus::{Labels, Setup, Target};
use testbed::{Prometheus, PrometheusAssets};

use super::stage::Stage;
use crate::cargo;

/// How long it may take until both are scraped and their alerts are seen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The alert that the last act leaves behind.
const LEFT: &str = "GkeIngressNobodyListens";

/// The alert of a Prometheus that has not scraped anything yet.
const BEFORE: &str = "IngressDiagnosisAbsent";

/// Starts it, waits until an alert is seen, and says where it is.
pub async fn watch(stages: &[(&str, &Stage)]) -> Result<Prometheus> {
    let path = cargo::root().join("config/prometheus/alerts.yaml");
    let rules = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let setup = Setup { interval: Duration::from_secs(2), rules: vec![rules], ..Setup::default() };
    let targets: Vec<Target> = stages.iter().map(|(cluster, stage)| target(cluster, stage)).collect();
    let prometheus = Prometheus::start(&PrometheusAssets::locate()?, &setup, &targets).await?;
    let alerts = prometheus
        .until("an alert is seen", PATIENCE, async |prometheus: &Prometheus| {
            let alerts = prometheus.alerts().await?;
            let is = |name: &str| alerts.iter().any(|alert| alert.name() == name);
            // Rules are evaluated before the first scrape as well.
            let seen = is(LEFT) && !is(BEFORE);
            Ok(if seen { Ok(alerts) } else { Err(format!("{} alerts", alerts.len())) })
        })
        .await?;
    println!("\nPrometheus scrapes both, with the alerts of config/prometheus: {}", prometheus.url());
    println!("It answers its API alone (a data source for Grafana); its own pages are not built.");
    println!("\n$ curl {}/api/v1/alerts   # in short", prometheus.url());
    for alert in &alerts {
        let cluster = alert.labels.get("cluster").map(String::as_str).unwrap_or_default();
        let annotation = |name: &str| alert.annotations.get(name).map(String::as_str).unwrap_or_default();
        println!("{} {} in {cluster}: {}", alert.state, alert.name(), annotation("summary"));
        println!("  {}", annotation("description").trim());
    }
    Ok(prometheus)
}

fn target(cluster: &str, stage: &Stage) -> Target {
    let labels = [("job", "ingress-diagnosis"), ("cluster", cluster)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let address = stage.address().trim_start_matches("http://").to_owned();
    Target { address, labels: Labels::from(labels) }
}
