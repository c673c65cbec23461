//! What the metrics say of themselves is true: names, labels, form, bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ingress_diagnosis::api::IngressDiagnosis;
use ingress_diagnosis::publish::metrics::Metrics;
use ingress_diagnosis::publish::metrics::table::{self, TABLE};
use ingress_diagnosis::snapshot::{Source, Unknown};
use ingress_diagnosis::topology::{TargetKind, TargetRef};
use jiff::Timestamp;
use serde_json::json;
use testbed::PrometheusAssets;
use testbed::prometheus::promtool;

use crate::sources;

fn target(name: &str) -> TargetRef {
    TargetRef { kind: TargetKind::Ingress, namespace: "shop".into(), name: name.into() }
}

fn object(status: serde_json::Value) -> Arc<IngressDiagnosis> {
    Arc::new(
        serde_json::from_value(json!({
            "apiVersion": "ingressdiagnosis.dev/v1alpha1", "kind": "IngressDiagnosis", "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"targetRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web"}}, "status": status,
        }))
        .unwrap(),
    )
}

/// Metrics in which every family has a series.
fn filled() -> Metrics {
    let metrics = Metrics::new().unwrap();
    metrics.set_leader(true);
    let finding = |code: &str, symptom: &str, acknowledged: bool| {
        json!({"code": code, "severity": "Error", "confidence": "Certain", "backend": "web:80", "acknowledged": acknowledged,
            "message": "it says \"no\" \\ or\nnothing", "fix": ["kubectl \\\n  go", "again"], "docUrl": "https://example.dev/page.md",
            "symptoms": [{"code": symptom, "severity": "Error", "confidence": "Certain", "backend": "web:80"}]})
    };
    let group =
        |name: &str, unhealthy: u32| json!({"name": name, "zone": "a", "healthy": 1, "unhealthy": unhealthy, "unknown": 0});
    let status = json!({"verdict": "Broken", "since": "2026-11-01T12:00:00.5Z", "rootCause": "HealthCheckRedirected",
        "findings": [finding("HealthCheckRedirected", "BackendUnhealthy", false), finding("DuplicateHost", "NoAddress", true)],
        "backends": [{"service": "shop/web", "port": "80", "groups": [group("one", 2), group("two", 3)]},
            {"service": "kube-system/default-http-backend", "port": "http"}]});
    metrics.publish(&target("web"), object(status));
    metrics.publish(&target("quiet"), object(json!({"verdict": "Healthy"})));
    let now = Timestamp::now();
    metrics.set_sight(vec![Unknown::not_read(Source::Compute, "firewalls")], Some(now));
    metrics.reconciled(0.5, now);
    metrics.facts_age.observe(7.0);
    let requests = [(("urlMaps.list".into(), "200".into()), 3)].into();
    metrics.count(150, requests, [("307".into(), 2)].into());
    metrics
}

/// Name and label names of every series; histograms and their parts by the histogram's name.
fn series(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let base = part.filter(|base| TABLE.iter().any(|family| family.name == *base)).unwrap_or(name);
        let names = labels.split("=\"").filter_map(|before| before.rsplit([',', '{']).next());
        let names = names.filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        found.entry(base.to_owned()).or_default().extend(names.filter(|name| *name != "le").map(str::to_owned));
    }
    found
}

#[test]
fn what_is_shown_is_what_the_table_says() {
    let text = filled().text().unwrap();
    let shown = series(&text);
    let said: BTreeMap<String, BTreeSet<String>> = TABLE
        .iter()
        .map(|family| (family.name.to_owned(), family.labels.iter().map(|&label| label.to_owned()).collect()))
        .collect();
    assert_eq!(shown, said);
    for family in TABLE {
        let (name, kind) = (family.name, family.kind.as_str());
        let head = format!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help);
        assert_eq!(text.matches(&head).count(), 1, "{head}\n{text}");
    }
}

#[test]
fn promtool_has_no_objection() {
    let assets = PrometheusAssets::locate().unwrap();
    let words = promtool(&assets, &["check", "metrics"], sources::root(), &filled().text().unwrap()).unwrap();
    assert_eq!(words, "");
}

#[test]
fn roles_endpoints_and_words_are_those_of_the_status() {
    let metrics = filled();
    let text = metrics.text().unwrap();
    let of = "namespace=\"shop\",kind=\"Ingress\",name=\"web\"";
    for line in [
        format!("ingress_diagnosis_verdict{{{of},verdict=\"Broken\"}} 1\n"),
        format!("ingress_diagnosis_verdict_since_timestamp_seconds{{{of}}} 1793534400.5\n"),
        format!("finding{{{of},backend=\"web:80\",code=\"HealthCheckRedirected\",severity=\"Error\",role=\"root\"}} 1\n"),
        format!("finding{{{of},backend=\"web:80\",code=\"BackendUnhealthy\",severity=\"Error\",role=\"symptom\"}} 1\n"),
        format!("finding{{{of},backend=\"web:80\",code=\"NoAddress\",severity=\"Error\",role=\"acknowledged\"}} 1\n"),
        format!("endpoints{{{of},backend=\"web:80\",state=\"unhealthy\"}} 5\n"),
        format!("endpoints{{{of},backend=\"kube-system/default-http-backend:http\",state=\"healthy\"}} 0\n"),
        r#"role="root",message="it says \"no\" \\ or\nnothing",mend="kubectl \\",runbook_url="https://example.dev/page.md"} 1"#
            .to_owned(),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    metrics.retain(|target| &*target.name != "web");
    let text = metrics.text().unwrap();
    assert!(!text.contains("name=\"web\"") && text.contains("name=\"quiet\""), "its series go with it: {text}");
    metrics.set_leader(false);
    let text = metrics.text().unwrap();
    let state = [&table::VERDICT, &table::UNKNOWN, &table::FACTS_OLDEST].map(|family| family.name);
    assert!(!state.iter().any(|name| text.contains(name)), "who does not lead shows no state: {text}");
}

#[test]
fn the_table_of_metrics_is_the_code() {
    let text = format!(
        "# Metrics\n\nGenerated from the code. A target is an Ingress, or a Service with a standalone NEG: `kind` says which, `name` is its own name. \
         A state has the value 1 and goes away\nwith its object; only the replica that leads shows states, what could not be read and how old the facts are.\n\n{}",
        table::markdown()
    );
    sources::expect("docs/metrics.md", &text);
}
