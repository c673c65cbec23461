//! The time of one scrape: 10,000 Ingresses with three backends each, one in ten with a finding.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;
use ingress_diagnosis::api::IngressDiagnosis;
use ingress_diagnosis::publish::metrics::Metrics;
use ingress_diagnosis::topology::{TargetKind, TargetRef};
use serde_json::json;

const INGRESSES: usize = 10_000;

fn object(at: usize) -> IngressDiagnosis {
    let namespace = format!("team-{}", at / 20);
    let backends: Vec<_> = ["cart", "checkout", "search"]
        .map(|service| {
            let zones = ["a", "b", "c"]
                .map(|zone| json!({"name": format!("k8s1-{service}"), "zone": zone, "healthy": 2, "unhealthy": 0, "unknown": 0}));
            json!({"service": format!("{namespace}/{service}-{at}"), "port": "80", "groups": zones})
        })
        .into();
    let broken = at.is_multiple_of(10);
    let finding = json!({"code": "HealthCheckRedirected", "severity": "Error", "confidence": "Certain",
        "backend": format!("cart-{at}:80"), "docUrl": "https://ingressdiagnosis.dev/rules/health_check_redirected.md",
        "message": "the pods answer the health check on /healthz with 307 to https://10.4.0.11:8080/healthz",
        "fix": ["let the pod answer the health check with 200"],
        "symptoms": [{"code": "BackendUnhealthy", "severity": "Error", "confidence": "Certain", "backend": format!("cart-{at}:80")}]});
    serde_json::from_value(json!({
        "apiVersion": "ingressdiagnosis.dev/v1alpha1", "kind": "IngressDiagnosis",
        "metadata": {"namespace": namespace, "name": format!("shop-{at}")},
        "spec": {"targetRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": format!("shop-{at}")}},
        "status": {"verdict": if broken { "Broken" } else { "Healthy" }, "since": "2026-11-01T12:00:00Z", "backends": backends,
            "rootCause": broken.then_some("HealthCheckRedirected"), "findings": if broken { vec![finding] } else { Vec::new() }},
    }))
    .unwrap()
}

fn scrape(criterion: &mut Criterion) {
    let metrics = Metrics::new().unwrap();
    metrics.set_leader(true);
    for at in 0..INGRESSES {
        let object = object(at);
        let (namespace, name) = (object.metadata.namespace.clone().unwrap(), object.metadata.name.clone().unwrap());
        let target = TargetRef { kind: TargetKind::Ingress, namespace: namespace.into(), name: name.into() };
        metrics.publish(&target, Arc::new(object));
    }
    let text = metrics.text().unwrap();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    eprintln!("one scrape of {INGRESSES} Ingresses: {series} series, {:.1} MB", text.len() as f64 / 1e6);
    let mut group = criterion.benchmark_group("scrape");
    group.throughput(Throughput::Elements(series as u64)).sample_size(20);
    group.bench_function(BenchmarkId::from_parameter("text"), |bencher| bencher.iter(|| black_box(metrics.text().unwrap())));
    group.bench_function(BenchmarkId::from_parameter("gzip of it"), |bencher| {
        bencher.iter(|| {
            let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
            compressed.write_all(text.as_bytes()).unwrap();
            black_box(compressed.finish().unwrap())
        });
    });
    group.finish();
}

criterion_group!(benches, scrape);
criterion_main!(benches);
