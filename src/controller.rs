//! The loop of the cluster: watch → collect → diagnose → publish.
//!
//! Enters: changes of the live world, the passing of time, leadership. Leaves: diagnoses, written where they changed; what is wanted to be
//! read next. Never: writes while another process leads, or before the facts that a standing status rests on were read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::collect::{self, Changes, Collector, Question, Urgency, Want, World};
use crate::config::Config;
use crate::diagnose::{Diagnosis, Verdict, diagnose};
use crate::leader::Candidate;
use crate::publish::metrics::{Metrics, Published};
use crate::publish::owned::{Owned, WriteError, Written};
use crate::server::{self, Sources};
use crate::snapshot::Snapshot;
use crate::topology::{Fleet, TargetRef, Topology};

/// Changes within this time are looked at together.
const COALESCE: Duration = Duration::from_millis(300);
/// Everything is looked at again after this time, for what only time changes.
const TICK: Duration = Duration::from_secs(15);
/// A diagnosis waits at most this long for facts that have not been read yet, unless a status stands that rests on them.
const PATIENCE: Duration = Duration::from_secs(20);
/// Writes at once.
const WRITES: usize = 8;

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The API server cannot be found or trusted.
    #[error("no Kubernetes API server to talk to: {0}")]
    Client(String),
    /// The address for metrics cannot be used.
    #[error("{address} cannot be listened on: {error}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The metrics could not be registered.
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A task ended that must not end.
    #[error(transparent)]
    Stopped(#[from] collect::Stopped),
    /// The server of metrics failed.
    #[error("the server of metrics failed: {0}")]
    Serve(#[from] std::io::Error),
}

/// What is kept of a target between two looks.
struct Kept {
    diagnosis: Arc<Diagnosis>,
    wants: Vec<Want>,
    questions: Vec<Question>,
    /// Since when facts are awaited.
    pending: Option<Instant>,
    /// Facts that are not there yet.
    awaits: Awaits,
    /// What was said in the log last.
    logged: Option<Logged>,
    /// It has to be written, or a write failed.
    due: bool,
}

/// Which facts a diagnosis waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Awaits {
    /// Lists, or the health of a group.
    facts: bool,
    /// Answers of pods.
    answers: bool,
}

impl Awaits {
    fn any(self) -> bool {
        self.facts || self.answers
    }
}

/// What a log line says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Logged {
    verdict: Verdict,
    root_cause: Option<&'static str>,
    codes: BTreeSet<&'static str>,
}

/// Runs until `shutdown`.
pub async fn run(config: Config, kube_config: kube::Config, mut shutdown: watch::Receiver<bool>) -> Result<(), RunError> {
    let own_namespace = kube_config.default_namespace.clone();
    let client = kube::Client::try_from(collect::prepare(kube_config)).map_err(|error| RunError::Client(error.to_string()))?;
    let address = config.server.listen.clone();
    let listener = TcpListener::bind(&address).await.map_err(|error| RunError::Listen { address, error })?;
    let metrics = Arc::new(Metrics::new()?);
    let world = Arc::new(World::new());
    let (leads, leading) = watch::channel(!config.leader_election.enabled);
    let owned = Arc::new(Owned::new(client.clone(), leading.clone()));
    let collector = collect::start(client.clone(), config.collect(), world.clone(), leading.clone(), shutdown.clone());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = ?listener.local_addr().ok(), "started");

    let server =
        tokio::spawn(server::serve(listener, Sources { metrics: metrics.clone(), world: world.clone() }, shutdown.clone()));
    let watch_owned = tokio::spawn({
        let owned = owned.clone();
        async move { owned.run().await }
    });
    let election = config.leader_election.enabled.then(|| {
        let settings = &config.leader_election;
        let pod = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let namespace = Some(settings.namespace.clone())
            .filter(|namespace| !namespace.is_empty())
            .or_else(|| pod("POD_NAMESPACE"))
            .unwrap_or(own_namespace);
        let identity = format!(
            "{}_{:08x}",
            pod("POD_NAME").or_else(|| pod("HOSTNAME")).unwrap_or_else(|| "ingress-diagnosis".into()),
            fastrand::u32(..)
        );
        tokio::spawn(Candidate::new(client, &namespace, &settings.lease_name, identity).run(leads, shutdown.clone()))
    });

    let mut controller = Controller { config, world, owned, collector, metrics, leading, kept: BTreeMap::new() };
    let result = controller.run(&mut shutdown).await;
    watch_owned.abort();
    if let Some(election) = election {
        // It gives the Lease back on its way out.
        let _ = election.await;
    }
    server.abort();
    result
}

struct Controller {
    config: Config,
    world: Arc<World>,
    owned: Arc<Owned>,
    collector: Collector,
    metrics: Arc<Metrics>,
    leading: watch::Receiver<bool>,
    kept: BTreeMap<TargetRef, Kept>,
}

impl Controller {
    async fn run(&mut self, shutdown: &mut watch::Receiver<bool>) -> Result<(), RunError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listed = self.owned.listed();
        loop {
            let mut changes = Changes::default();
            let owned = self.owned.clone();
            let world = self.world.clone();
            tokio::select! {
                seen = world.changes() => changes = seen,
                touched = owned.touched() => changes.namespaces.extend(touched.into_iter().map(|(namespace, _)| namespace.into())),
                _ = tick.tick() => changes.everything = true,
                // A new leader looks at everything at once.
                _ = self.leading.changed() => changes.everything = true,
                _ = listed.changed() => changes.everything = true,
                ended = self.collector.stopped() => return ended.map_err(Into::into),
                _ = shutdown.wait_for(|shutdown| *shutdown) => return Ok(()),
            }
            tokio::select! {
                () = sleep(COALESCE) => {}
                _ = shutdown.wait_for(|shutdown| *shutdown) => return Ok(()),
            }
            let more = self.world.take_changes();
            changes.everything |= more.everything;
            changes.namespaces.extend(more.namespaces);
            changes.groups.extend(more.groups);
            if !self.world.synced() {
                continue;
            }
            self.look(&changes);
            self.read_next();
            self.publish().await;
        }
    }

    /// Diagnoses what the changes concern.
    fn look(&mut self, changes: &Changes) {
        let started = Instant::now();
        let now = Timestamp::now();
        let world = self.world.clone();
        let snapshot = world.read_at(now);
        let fleet = Fleet::of(&snapshot);
        let targets: BTreeSet<TargetRef> = fleet.targets.iter().cloned().collect();
        self.kept.retain(|target, _| targets.contains(target));
        self.metrics.retain(|target| targets.contains(target));
        for target in targets {
            let concerned = changes.everything
                || changes.namespaces.contains(&target.namespace)
                || changes.namespaces.contains("kube-system")
                || self
                    .kept
                    .get(&target)
                    .is_none_or(|kept| kept.awaits.any() || kept.wants.iter().any(|want| changes.groups.contains(&want.group)));
            if concerned {
                self.look_at(&snapshot, &fleet, &target);
            }
        }
        drop(snapshot);
        self.metrics.reconcile.observe(started.elapsed().as_secs_f64());
    }

    fn look_at(&mut self, snapshot: &Snapshot, fleet: &Fleet, target: &TargetRef) {
        let Some(topology) = Topology::of(snapshot, fleet, &self.config.grace, target) else { return };
        let diagnosis = Arc::new(diagnose(&topology, target, &self.owned.acknowledged(target)));
        let wants = topology.wants();
        let young = topology.young();
        let awaits = Awaits {
            facts: wants.lists_pending || wants.groups.iter().any(|group| !group.known),
            answers: self.config.probe.enabled && wants.unasked,
        };
        let groups = wants
            .groups
            .iter()
            .filter(|group| !group.backend_service.is_empty() || group.group.contains("/networkEndpointGroups/"));
        let groups = groups.map(|group| Want {
            backend_service: group.backend_service.as_str().into(),
            group: group.group.as_str().into(),
            urgency: if !group.known {
                Urgency::Changed
            } else if group.unhealthy {
                Urgency::Unhealthy
            } else if young {
                Urgency::Young
            } else {
                Urgency::Settled
            },
        });
        let questions = wants.questions.iter().map(|question| Question {
            pod: question.pod.key().into(),
            ip: question.ip,
            port: question.port,
            scheme: question.scheme,
            path: question.path.into(),
            host: question.host.into(),
            timeout: Duration::from_secs(u64::try_from(question.timeout_sec).unwrap_or(5)),
        });
        let before = self.kept.remove(target);
        let pending = awaits.any().then(|| before.as_ref().and_then(|before| before.pending).unwrap_or_else(Instant::now));
        let kept = Kept {
            diagnosis,
            wants: groups.collect(),
            questions: questions.collect(),
            pending,
            awaits,
            logged: before.and_then(|before| before.logged),
            due: true,
        };
        self.kept.insert(target.clone(), kept);
    }

    /// Tells the collector what is wanted.
    fn read_next(&self) {
        let mut wants: Vec<_> = self.kept.values().flat_map(|kept| kept.wants.iter().cloned()).collect();
        // Two Ingresses may share a backend: the more urgent wish stands.
        wants.sort_by(|a, b| (&a.group, &a.backend_service, a.urgency).cmp(&(&b.group, &b.backend_service, b.urgency)));
        wants.dedup_by(|a, b| a.group == b.group && a.backend_service == b.backend_service);
        self.collector.compute.want(wants);
        let mut questions: Vec<_> = self.kept.values().flat_map(|kept| kept.questions.iter().cloned()).collect();
        questions.sort();
        questions.dedup();
        self.collector.prober.want(questions);
    }

    /// Writes what changed and can be written, and shows it as metrics.
    async fn publish(&mut self) {
        let leads = *self.leading.borrow();
        self.metrics.set_leader(leads);
        let stats = self.collector.compute.stats();
        self.metrics.count(stats.budget, stats.requests, self.collector.prober.stats().results);
        if !leads || !*self.owned.listed().borrow() {
            return;
        }
        self.metrics.set_unknown(self.unread());
        let now = Timestamp::now();
        let due: Vec<_> = self
            .kept
            .iter()
            .filter(|(target, kept)| kept.due && !self.must_wait(target, kept))
            .map(|(target, kept)| (target.clone(), kept.diagnosis.clone()))
            .collect();
        let (owned, docs) = (&*self.owned, &*self.config.docs.base_url);
        let written = stream::iter(due)
            .map(|(target, diagnosis)| async move {
                let result = owned.write(&diagnosis, now, docs).await;
                (target, diagnosis, result)
            })
            .buffer_unordered(WRITES)
            .collect::<Vec<_>>()
            .await;
        for (target, diagnosis, result) in written {
            self.keep_result(&target, &diagnosis, result, now);
        }
        let targets = self.kept.keys().cloned().collect();
        match self.owned.delete_stale(&targets).await {
            Ok(deleted) => deleted
                .iter()
                .for_each(|name| tracing::info!(name, "IngressDiagnosis deleted, its target gets no diagnosis any longer")),
            Err(WriteError::NotLeading) => {}
            Err(error) => tracing::warn!(%error, "an IngressDiagnosis could not be deleted"),
        }
    }

    /// Facts are still to be read: a status that stands is kept until they are, a new one waits for a moment.
    fn must_wait(&self, target: &TargetRef, kept: &Kept) -> bool {
        let patient = kept.pending.is_some_and(|since| since.elapsed() < PATIENCE);
        let stands = || self.owned.get(target).is_some_and(|object| object.status.is_some());
        kept.awaits.any() && (patient || kept.awaits.facts && stands())
    }

    fn keep_result(
        &mut self,
        target: &TargetRef,
        diagnosis: &Arc<Diagnosis>,
        result: Result<Written, WriteError>,
        now: Timestamp,
    ) {
        let Some(kept) = self.kept.get_mut(target) else { return };
        match result {
            Ok(_) => kept.due = false,
            Err(WriteError::NotLeading) => return,
            Err(error) => tracing::warn!(target = %diagnosis_name(target), %error, "IngressDiagnosis not written"),
        }
        let status = self.owned.get(target).and_then(|object| object.status.clone());
        let since = status.and_then(|status| status.since).map_or(now, |since| since.0);
        self.metrics.publish(target, Published { diagnosis: diagnosis.clone(), since });
        for group in &kept.wants {
            if let Some(read) = self.collector.compute.read_at(&group.group) {
                self.metrics.facts_age.observe(now.duration_since(read).as_secs_f64().max(0.0));
            }
        }
        let says = Logged {
            verdict: diagnosis.verdict,
            root_cause: diagnosis.root_cause,
            codes: diagnosis.findings.iter().flat_map(|root| root.all()).map(|found| found.rule.code).collect(),
        };
        log(target, diagnosis, kept.logged.as_ref(), &says);
        kept.logged = Some(says);
    }

    fn unread(&self) -> Vec<crate::snapshot::Unknown> {
        let snapshot = self.world.read();
        let mut unknown = snapshot.kubernetes.unread();
        unknown.extend(snapshot.compute.unread.values().cloned());
        if let crate::snapshot::Observed::Unknown(why) = &snapshot.cluster {
            unknown.push(why.clone());
        }
        unknown.sort();
        unknown.dedup_by(|a, b| (a.source, &a.resource, &a.reason) == (b.source, &b.resource, &b.reason));
        unknown
    }
}

fn diagnosis_name(target: &TargetRef) -> String {
    format!("{}/{}", target.namespace, target.diagnosis_name())
}

/// Says what is new and what is resolved; an unchanged target is silent, and so is one that was healthy from the first.
fn log(target: &TargetRef, diagnosis: &Diagnosis, before: Option<&Logged>, says: &Logged) {
    if before == Some(says) || (before.is_none() && says.verdict == Verdict::Healthy && says.codes.is_empty()) {
        return;
    }
    let none = BTreeSet::new();
    let known = before.map_or(&none, |before| &before.codes);
    let new: Vec<_> = says.codes.difference(known).collect();
    let resolved: Vec<_> = known.difference(&says.codes).collect();
    tracing::info!(
        namespace = %target.namespace,
        kind = target.kind.as_str(),
        name = %target.name,
        verdict = says.verdict.as_str(),
        was = before.map_or("", |before| before.verdict.as_str()),
        root_cause = says.root_cause.unwrap_or_default(),
        ?new,
        ?resolved,
        summary = %diagnosis.summary,
        "diagnosis changed"
    );
}
