//! The metrics, computed from the state of the moment at each scrape.
//!
//! Enters: what was published last for each target, counters of the collector. Leaves: the Prometheus text format.
//! Never: keeps a series of an object that is gone, or a label whose values have no bound per object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::collect::RequestCounts;
use crate::diagnose::{Diagnosis, Found};
use crate::snapshot::Unknown;
use crate::topology::TargetRef;

/// What was published for a target.
#[derive(Clone)]
struct Published {
    diagnosis: Arc<Diagnosis>,
    /// Since when its verdict stands.
    since: Timestamp,
}

/// What the state metrics are made from.
#[derive(Default)]
struct State {
    published: BTreeMap<TargetRef, Published>,
    unknown: Vec<Unknown>,
}

/// The collector's counts, as they were taken over last.
#[derive(Default)]
struct Counted {
    requests: RequestCounts,
    probes: BTreeMap<Box<str>, u64>,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    state: Arc<Mutex<State>>,
    /// Requests to the Compute API.
    compute_requests: IntCounterVec,
    /// Requests to pods.
    probe_requests: IntCounterVec,
    /// Whether this process writes.
    leader: IntGauge,
    /// Reads that the Compute budget allows.
    budget: IntGauge,
    /// How old the Compute facts are that a diagnosis rests on.
    pub facts_age: Histogram,
    /// How long a pass over the changed targets takes.
    pub reconcile: Histogram,
    /// Counters so far, as the collector counts them.
    counted: Mutex<Counted>,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let state = Arc::new(Mutex::new(State::default()));
        registry.register(Box::new(StateCollector::new(state.clone())?))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let compute_requests = IntCounterVec::new(
            Opts::new(
                "ingress_diagnosis_compute_requests_total",
                "Requests to the Compute Engine API by method and HTTP status or error",
            ),
            &["method", "code"],
        )?;
        let probe_requests = IntCounterVec::new(
            Opts::new("ingress_diagnosis_probe_requests_total", "Requests to pods by HTTP status or error"),
            &["result"],
        )?;
        let leader = IntGauge::new("ingress_diagnosis_leader", "1 when this process writes, 0 when another one does")?;
        let budget = IntGauge::new(
            "ingress_diagnosis_compute_budget_reads_per_minute",
            "Requests to the Compute Engine API that are allowed within any minute",
        )?;
        let facts_age = Histogram::with_opts(
            HistogramOpts::new(
                "ingress_diagnosis_compute_facts_age_seconds",
                "Age of the Compute facts that a diagnosis rests on",
            )
            .buckets(vec![5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0]),
        )?;
        let reconcile = Histogram::with_opts(
            HistogramOpts::new(
                "ingress_diagnosis_reconcile_duration_seconds",
                "Time to diagnose everything that a change concerns",
            )
            .buckets(vec![0.0001, 0.001, 0.01, 0.1, 0.5, 1.0, 5.0]),
        )?;
        let build = IntGauge::with_opts(
            Opts::new("ingress_diagnosis_build_info", "1, with the version of the program as a label")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        registry.register(Box::new(compute_requests.clone()))?;
        registry.register(Box::new(probe_requests.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(budget.clone()))?;
        registry.register(Box::new(facts_age.clone()))?;
        registry.register(Box::new(reconcile.clone()))?;
        registry.register(Box::new(build))?;
        Ok(Self {
            registry,
            state,
            compute_requests,
            probe_requests,
            leader,
            budget,
            facts_age,
            reconcile,
            counted: Mutex::default(),
        })
    }

    /// Keeps what was published for a target. Where nothing says since when the verdict stands, it is since it was seen here first.
    pub fn publish(&self, target: &TargetRef, diagnosis: &Arc<Diagnosis>, since: Option<Timestamp>, now: Timestamp) {
        let mut state = guard(&self.state);
        let before = state.published.get(target).filter(|before| before.diagnosis.verdict == diagnosis.verdict);
        let since = since.or_else(|| before.map(|before| before.since)).unwrap_or(now);
        state.published.insert(target.clone(), Published { diagnosis: diagnosis.clone(), since });
    }

    /// Forgets the targets for which `keep` says no.
    pub fn retain(&self, mut keep: impl FnMut(&TargetRef) -> bool) {
        guard(&self.state).published.retain(|target, _| keep(target));
    }

    /// Sets what could not be read; a process that does not write leaves that to the one that does.
    pub fn set_unknown(&self, unknown: Vec<Unknown>) {
        if self.leader.get() == 1 {
            guard(&self.state).unknown = unknown;
        }
    }

    /// Sets whether this process writes; one that does not shows no state, so that no series stands twice.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            let mut state = guard(&self.state);
            state.published.clear();
            state.unknown.clear();
        }
    }

    /// Takes over the collector's own counts.
    pub fn count(&self, budget: u32, requests: RequestCounts, probes: BTreeMap<Box<str>, u64>) {
        self.budget.set(i64::from(budget));
        let mut counted = guard(&self.counted);
        for ((method, code), total) in &requests {
            let before = counted.requests.get(&(method.clone(), code.clone())).copied().unwrap_or_default();
            self.compute_requests.with_label_values(&[method, code]).inc_by(total.saturating_sub(before));
        }
        for (result, total) in &probes {
            let before = counted.probes.get(result).copied().unwrap_or_default();
            self.probe_requests.with_label_values(&[result]).inc_by(total.saturating_sub(before));
        }
        *counted = Counted { requests, probes };
    }

    /// The metrics in the text format.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The families that are computed at each scrape.
const FAMILIES: [(&str, &str); 5] = [
    ("ingress_diagnosis_verdict", "1 for the verdict of a target: Healthy, Progressing, Degraded, Broken or Unknown"),
    ("ingress_diagnosis_verdict_since_timestamp_seconds", "Since when the verdict of a target stands, as Unix time"),
    ("ingress_diagnosis_finding", "1 for each finding of a target; role is root, cause, symptom or acknowledged"),
    ("ingress_diagnosis_endpoints", "Endpoints of a backend by what the load balancer's health check says of them"),
    ("ingress_diagnosis_unknown", "1 for each resource that could not be read"),
];

struct StateCollector {
    state: Arc<Mutex<State>>,
    descriptions: Vec<Desc>,
}

impl StateCollector {
    fn new(state: Arc<Mutex<State>>) -> Result<Self, prometheus::Error> {
        let descriptions = FAMILIES
            .iter()
            .map(|(name, help)| Desc::new((*name).to_owned(), (*help).to_owned(), Vec::new(), std::collections::HashMap::new()))
            .collect::<Result<_, _>>()?;
        Ok(Self { state, descriptions })
    }
}

impl Collector for StateCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (published, unknown) = {
            let state = guard(&self.state);
            (state.published.clone(), state.unknown.clone())
        };
        let mut families = FAMILIES.map(|(name, help)| family(name, help));
        for (target, published) in &published {
            let diagnosis = &published.diagnosis;
            let of = [("namespace", &*target.namespace), ("kind", target.kind.as_str()), ("name", &*target.name)];
            add(&mut families[0], &of, &[("verdict", diagnosis.verdict.as_str())], 1.0);
            add(&mut families[1], &of, &[], published.since.as_millisecond() as f64 / 1000.0);
            for root in &diagnosis.findings {
                let is_root = diagnosis.root_cause == Some(root.found.rule.code);
                add_finding(&mut families[2], &of, &root.found, if is_root { "root" } else { "cause" });
                for symptom in &root.symptoms {
                    add_finding(&mut families[2], &of, symptom, "symptom");
                }
            }
            for backend in &diagnosis.backends {
                let endpoints = backend.endpoints;
                for (state, count) in
                    [("healthy", endpoints.healthy), ("unhealthy", endpoints.unhealthy), ("unknown", endpoints.unknown)]
                {
                    add(&mut families[3], &of, &[("backend", &backend.name), ("state", state)], count as f64);
                }
            }
        }
        for why in &unknown {
            add(
                &mut families[4],
                &[("source", why.source.as_str()), ("resource", &why.resource), ("reason", &why.reason)],
                &[],
                1.0,
            );
        }
        families.into()
    }
}

fn family(name: &str, help: &str) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::GAUGE);
    family
}

fn add_finding(family: &mut MetricFamily, of: &[(&str, &str)], found: &Found, role: &str) {
    let role = if found.acknowledged { "acknowledged" } else { role };
    let backend = found.backend.as_deref().unwrap_or_default();
    let more = [("backend", backend), ("code", found.rule.code), ("severity", found.severity().as_str()), ("role", role)];
    add(family, of, &more, 1.0);
}

fn add(family: &mut MetricFamily, of: &[(&str, &str)], more: &[(&str, &str)], value: f64) {
    let labels = of.iter().chain(more).map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    });
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_label(labels.collect());
    metric.set_gauge(gauge);
    family.mut_metric().push(metric);
}
