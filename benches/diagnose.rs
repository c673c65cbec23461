//! One diagnosis: from a world in memory to the answer about one target.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ingress_diagnosis::diagnose::diagnose;
use ingress_diagnosis::snapshot::{Snapshot, folder};
use ingress_diagnosis::topology::{Fleet, Grace, TargetKind, TargetRef, Topology};

mod world;

fn target(namespace: &str, name: &str) -> TargetRef {
    TargetRef { kind: TargetKind::Ingress, namespace: namespace.into(), name: name.into() }
}

fn run(criterion: &mut Criterion, group: &str, id: BenchmarkId, snapshot: &Snapshot, target: &TargetRef, endpoints: usize) {
    let fleet = Fleet::of(snapshot);
    let grace = Grace::default();
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(endpoints as u64));
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            let topology = Topology::of(black_box(snapshot), &fleet, &grace, target).unwrap();
            black_box(diagnose(&topology, target, &[]))
        });
    });
}

fn recorded(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for (name, namespace, ingress) in
        [("healthy-neg", "shop", "cart"), ("argocd-redirect", "argocd", "argocd-server"), ("compute-denied", "shop", "cart")]
    {
        let (snapshot, _) = folder::load(&root.join(name)).unwrap();
        run(criterion, "recorded", BenchmarkId::from_parameter(name), &snapshot, &target(namespace, ingress), 3);
    }
}

fn grown(criterion: &mut Criterion) {
    // The same endpoints behind few and many backends: what they cost is the memory that is walked.
    for (backends, endpoints) in [(1, 100), (10, 1_000), (1, 5_000), (10, 5_000), (50, 5_000)] {
        let snapshot = world::healthy(backends, endpoints / backends);
        let id = BenchmarkId::from_parameter(format!("{backends} backends, {endpoints} endpoints"));
        run(criterion, "grown", id, &snapshot, &target("shop", "web"), endpoints);
    }
}

criterion_group!(benches, recorded, grown);
criterion_main!(benches);
