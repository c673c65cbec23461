//! The metrics, computed from the state of the moment at each scrape.
//!
//! Enters: what stands for each target, counters of the collector. Leaves: the Prometheus text format. Never: keeps a series of an object
//! that is gone, or a label whose values have no bound per object; holds a lock for longer than it takes to clone an [`Arc`].

mod state;
pub mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::api::IngressDiagnosis;
use crate::collect::{RequestCounts, guard};
use crate::snapshot::Unknown;
use crate::topology::TargetRef;
use state::State;
use table::Family;

/// The collector's counts, as they were taken over last.
#[derive(Default)]
struct Counted {
    requests: RequestCounts,
    probes: BTreeMap<Box<str>, u64>,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// Copied when it is changed while a scrape still has it; most changes copy nothing.
    state: Mutex<Arc<State>>,
    /// Requests to the Compute API.
    compute_requests: IntCounterVec,
    /// Requests to pods.
    probe_requests: IntCounterVec,
    /// Whether this process writes.
    leader: IntGauge,
    /// Reads that the Compute budget allows.
    budget: IntGauge,
    /// When the last pass over the changed targets ended.
    last_reconcile: Gauge,
    /// How long such a pass takes.
    reconcile: Histogram,
    /// How old the Compute facts are that a diagnosis rests on.
    pub facts_age: Histogram,
    /// Counters so far, as the collector counts them.
    counted: Mutex<Counted>,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let gauge = |family: &Family| IntGauge::new(family.name, family.help);
        let counter = |family: &Family| IntCounterVec::new(Opts::new(family.name, family.help), family.labels);
        let histogram = |family: &Family, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(family.name, family.help).buckets(buckets.to_vec()))
        };
        let this = Self {
            state: Mutex::default(),
            compute_requests: counter(&table::COMPUTE_REQUESTS)?,
            probe_requests: counter(&table::PROBE_REQUESTS)?,
            leader: gauge(&table::LEADER)?,
            budget: gauge(&table::COMPUTE_BUDGET)?,
            last_reconcile: Gauge::new(table::LAST_RECONCILE.name, table::LAST_RECONCILE.help)?,
            reconcile: histogram(&table::RECONCILE, &[0.0001, 0.001, 0.01, 0.1, 0.5, 1.0, 5.0])?,
            facts_age: histogram(&table::FACTS_AGE, &[5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0])?,
            counted: Mutex::default(),
            registry,
        };
        let build = Opts::new(table::BUILD_INFO.name, table::BUILD_INFO.help);
        let build = IntGauge::with_opts(build.const_label("version", env!("CARGO_PKG_VERSION")))?;
        build.set(1);
        this.registry.register(Box::new(build))?;
        this.registry.register(Box::new(this.compute_requests.clone()))?;
        this.registry.register(Box::new(this.probe_requests.clone()))?;
        this.registry.register(Box::new(this.leader.clone()))?;
        this.registry.register(Box::new(this.budget.clone()))?;
        this.registry.register(Box::new(this.facts_age.clone()))?;
        this.registry.register(Box::new(this.reconcile.clone()))?;
        this.registry.register(Box::new(this.last_reconcile.clone()))?;
        Ok(this)
    }

    /// Shows what stands for a target from now on.
    pub fn publish(&self, target: &TargetRef, object: Arc<IngressDiagnosis>) {
        self.change(|state| state.published.insert(target.clone(), object));
    }

    /// Whether something is shown for a target.
    pub fn shows(&self, target: &TargetRef) -> bool {
        guard(&self.state).published.contains_key(target)
    }

    /// Forgets the targets for which `keep` says no.
    pub fn retain(&self, mut keep: impl FnMut(&TargetRef) -> bool) {
        if guard(&self.state).published.keys().any(|target| !keep(target)) {
            self.change(|state| state.published.retain(|target, _| keep(target)));
        }
    }

    /// Sets what could not be read, and when the oldest fact was; a process that does not write leaves that to the one that does.
    pub fn set_sight(&self, unknown: Vec<Unknown>, oldest: Option<Timestamp>) {
        if self.leader.get() == 1 {
            self.change(|state| {
                state.unknown = unknown;
                state.oldest = oldest;
            });
        }
    }

    /// Sets whether this process writes; one that does not shows no state, so that no series stands twice.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            *guard(&self.state) = Arc::default();
        }
    }

    /// A pass over the changed targets has ended, after so many seconds.
    pub fn reconciled(&self, seconds: f64, now: Timestamp) {
        self.reconcile.observe(seconds);
        self.last_reconcile.set(now.as_millisecond() as f64 / 1000.0);
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
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = TextEncoder::new().encode_to_string(&self.registry.gather())?;
        let state = guard(&self.state).clone();
        state.write(&mut text);
        Ok(text)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        change(Arc::make_mut(&mut guard(&self.state)));
    }
}
