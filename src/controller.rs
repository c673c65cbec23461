//! The loop of the cluster: watch → collect → diagnose → publish.
//!
//! Enters: changes of the live world, the passing of time, leadership. Leaves: diagnoses, written where they changed; what is wanted to be
//! read next. Never: writes while another process leads, or before the facts that a standing status rests on were read again; takes a
//! target that could not be seen for one that is gone.

mod kept;
mod told;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use crate::collect::{self, Changes, Collector, World};
use crate::config::Config;
use crate::diagnose::{Diagnosis, diagnose};
use crate::leader::Candidate;
use crate::publish::events::Events;
use crate::publish::metrics::Metrics;
use crate::publish::owned::{Owned, WriteError, Written};
use crate::publish::status;
use crate::server::{self, Sources};
use crate::snapshot::{Observed, Snapshot};
use crate::topology::{Fleet, TargetKind, TargetRef, Topology};
use crate::wanted::{self, Wanted};
use kept::{Awaits, Kept, Logged, WriteFailure};

/// Changes within this time are looked at together.
const COALESCE: Duration = Duration::from_millis(300);
/// Everything is looked at again after this time, for what only time changes.
const TICK: Duration = Duration::from_secs(15);
/// Writes at once.
const WRITES: usize = 8;
/// Between two tries of a write that failed.
const RETRY: Duration = Duration::from_secs(10);
/// How long the API server is looked for at the start.
const REACH: Duration = Duration::from_secs(10);
/// How long the tasks have to end, the one that gives the Lease back among them.
const GOODBYE: Duration = Duration::from_secs(10);

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The API server cannot be trusted, or the settings for it cannot be used.
    #[error("no Kubernetes API server to talk to: {0}")]
    Client(String),
    /// The API server does not answer.
    #[error("the Kubernetes API server {url} cannot be reached: {why}")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What happened.
        why: String,
    },
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
    /// A task that reads has ended.
    #[error(transparent)]
    Stopped(#[from] collect::Stopped),
    /// Another task has ended.
    #[error("a task that must not end has ended: {0}")]
    Ended(String),
    /// The server of metrics failed.
    #[error("the server of metrics failed: {0}")]
    Serve(std::io::Error),
}

/// Runs until `shutdown`.
pub async fn run(config: Config, kube_config: kube::Config, mut shutdown: watch::Receiver<bool>) -> Result<(), RunError> {
    let own_namespace = kube_config.default_namespace.clone();
    let url = kube_config.cluster_url.to_string();
    let client = kube::Client::try_from(collect::prepare(kube_config)).map_err(|error| RunError::Client(error.to_string()))?;
    tokio::select! {
        reached = reach(&client, url) => reached?,
        _ = shutdown.wait_for(|shutdown| *shutdown) => return Ok(()),
    }
    let address = config.server.listen.clone();
    let listener = TcpListener::bind(&address).await;
    let listener = listener.map_err(|error| RunError::Listen { address: address.clone(), error })?;
    let listen = listener.local_addr().map_or(address, |address| address.to_string());
    let metrics = Arc::new(Metrics::new()?);
    let world = Arc::new(World::new());
    let (leads, leading) = watch::channel(!config.leader_election.enabled);
    let owned = Arc::new(Owned::new(client.clone(), leading.clone(), config.events.enabled));
    let events = Events::new(client.clone(), leading.clone());
    let collector = collect::start(client.clone(), config.collect(), world.clone(), leading.clone(), shutdown.clone());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen, "started");

    let mut tasks = JoinSet::new();
    let sources = Sources {
        metrics: metrics.clone(),
        world: world.clone(),
        owned: owned.clone(),
        compute: collector.compute.clone(),
        prober: collector.prober.clone(),
    };
    let serve = server::serve(listener, sources, shutdown.clone());
    tasks.spawn(async { serve.await.map_err(RunError::Serve) });
    tasks.spawn({
        let (owned, mut shutdown) = (owned.clone(), shutdown.clone());
        async move {
            tokio::select! {
                () = owned.run() => {}
                _ = shutdown.wait_for(|shutdown| *shutdown) => {}
            }
            Ok(())
        }
    });
    // Without an election the sender stays here: whoever listens to it would take its end for a change.
    let _leads = leads.clone();
    if config.leader_election.enabled {
        let candidate = candidate(client, &config, own_namespace);
        let election = candidate.run(leads, shutdown.clone());
        tasks.spawn(async {
            election.await;
            Ok(())
        });
    }

    let mut controller = Controller { config, world, owned, events, collector, metrics, leading, kept: BTreeMap::new() };
    let stopping = shutdown.clone();
    let result = tokio::select! {
        result = controller.run() => result,
        ended = tasks.join_next() => ended_early(ended, &stopping),
        _ = shutdown.wait_for(|shutdown| *shutdown) => Ok(()),
    };
    if result.is_ok() && timeout(GOODBYE, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    result
}

/// What the end of a task means.
fn ended_early(
    ended: Option<Result<Result<(), RunError>, tokio::task::JoinError>>,
    shutdown: &watch::Receiver<bool>,
) -> Result<(), RunError> {
    match ended {
        Some(Ok(Ok(()))) if *shutdown.borrow() => Ok(()),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(RunError::Ended(error.to_string())),
        Some(Ok(Ok(()))) | None => Err(RunError::Ended("nobody asked it to".to_owned())),
    }
}

/// Waits for a first answer of the API server, whatever it is: one that answers will be waited for as long as it takes.
async fn reach(client: &kube::Client, url: String) -> Result<(), RunError> {
    let deadline = Instant::now() + REACH;
    let mut why = format!("no answer within {} s", REACH.as_secs());
    loop {
        match timeout_at(deadline, client.apiserver_version()).await {
            Ok(Ok(_) | Err(kube::Error::Api(_))) => return Ok(()),
            Ok(Err(error)) => why = collect::words(&error),
            Err(_) => return Err(RunError::Unreachable { url, why }),
        }
        if timeout_at(deadline, sleep(Duration::from_secs(1))).await.is_err() {
            return Err(RunError::Unreachable { url, why });
        }
    }
}

fn candidate(client: kube::Client, config: &Config, own_namespace: String) -> Candidate {
    let settings = &config.leader_election;
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let namespace = Some(settings.namespace.clone())
        .filter(|namespace| !namespace.is_empty())
        .or_else(|| environment("POD_NAMESPACE"))
        .unwrap_or(own_namespace);
    let pod = environment("POD_NAME").or_else(|| environment("HOSTNAME")).unwrap_or_else(|| "ingress-diagnosis".into());
    Candidate::new(client, &namespace, &settings.lease_name, format!("{pod}_{:08x}", fastrand::u32(..)))
}

struct Controller {
    config: Config,
    world: Arc<World>,
    owned: Arc<Owned>,
    events: Events,
    collector: Collector,
    metrics: Arc<Metrics>,
    leading: watch::Receiver<bool>,
    kept: BTreeMap<TargetRef, Kept>,
}

impl Controller {
    /// Runs until reading ends.
    async fn run(&mut self) -> Result<(), RunError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listed = self.owned.listed();
        loop {
            let mut changes = Changes::default();
            tokio::select! {
                seen = self.world.changes() => changes = seen,
                touched = self.owned.touched() => changes.namespaces.extend(touched.into_iter().map(|(namespace, _)| namespace.into())),
                _ = tick.tick() => changes.everything = true,
                // A new leader looks at everything at once.
                _ = self.leading.changed() => changes.everything = true,
                _ = listed.changed() => changes.everything = true,
                ended = self.collector.stopped() => return ended.map_err(Into::into),
            }
            sleep(COALESCE).await;
            let more = self.world.take_changes();
            changes.everything |= more.everything;
            changes.namespaces.extend(more.namespaces);
            changes.groups.extend(more.groups);
            if !self.world.synced() {
                continue;
            }
            // Answers that came before the look are in it; after it only questions that are not new were answered before.
            let asked = self.collector.prober.caught_up();
            let present = self.look(&changes);
            self.read_next();
            let asked = asked && self.collector.prober.caught_up();
            self.publish(asked, &present).await;
        }
    }

    /// Diagnoses what the changes concern; gives the diagnoses that stand and whose target gets one, or could not be seen.
    fn look(&mut self, changes: &Changes) -> BTreeSet<TargetRef> {
        let started = Instant::now();
        let world = self.world.clone();
        let snapshot = world.read_at(Timestamp::now());
        let fleet = Fleet::of(&snapshot);
        let mut targets: BTreeSet<TargetRef> = fleet.targets.iter().cloned().collect();
        let hosts_pending = collect::hosts_pending(&snapshot);
        self.kept.retain(|target, _| targets.contains(target));
        self.metrics.retain(|target| targets.contains(target));
        for target in &targets {
            let concerned = changes.everything
                || changes.namespaces.contains(&target.namespace)
                || self.kept.get(target).is_none_or(|kept| {
                    kept.awaits.any() || kept.wanted.groups.iter().any(|want| changes.groups.contains(&want.group))
                });
            if concerned {
                // Whatever somebody's object does to us, the others get their diagnosis.
                let look = AssertUnwindSafe(|| self.look_at(&snapshot, &fleet, target, hosts_pending));
                if catch_unwind(look).is_err() {
                    tracing::error!(target = %diagnosis_name(target), "a defect of this program keeps it from diagnosing this one");
                }
            }
        }
        targets.extend(self.owned.targets().into_iter().filter(|target| out_of_sight(&snapshot, target)));
        drop(snapshot);
        self.metrics.reconciled(started.elapsed().as_secs_f64(), Timestamp::now());
        targets
    }

    fn look_at(&mut self, snapshot: &Snapshot, fleet: &Fleet, target: &TargetRef, hosts_pending: bool) {
        let Some(mut topology) = Topology::of(snapshot, fleet, &self.config.grace, target) else { return };
        let before = self.kept.remove(target);
        let wanted = Wanted::again(&topology, before.as_ref().map(|before| &before.wanted));
        let stands = self.owned.findings(target);
        let has_status = stands.is_some();
        topology.stands = stands.unwrap_or_default();
        wanted.overtake(&mut topology);
        let diagnosis = Arc::new(diagnose(&topology, target, &self.owned.acknowledged(target)));
        let awaits = Awaits::new(
            wanted.lists_pending || wanted.failing || hosts_pending || diagnosis.awaits_lists(),
            wanted.groups_pending || (diagnosis.withheld && !has_status),
            self.config.probe.enabled && wanted.unasked,
            before.as_ref().map(|before| before.awaits).unwrap_or_default(),
            Instant::now(),
        );
        let (logged, told, failure) = before.map(|before| (before.logged, before.told, before.failure)).unwrap_or_default();
        let kept = Kept { diagnosis, wanted, awaits, logged, told, due: true, failure };
        self.kept.insert(target.clone(), kept);
    }

    /// Tells the collector what is wanted.
    fn read_next(&self) {
        wanted::tell(self.kept.values().map(|kept| &kept.wanted), &self.collector.compute, &self.collector.prober);
    }

    /// Writes what changed and can be written, and shows it as metrics.
    async fn publish(&mut self, asked: bool, present: &BTreeSet<TargetRef>) {
        let leads = *self.leading.borrow();
        self.metrics.set_leader(leads);
        if !leads || !*self.owned.listed().borrow() {
            return;
        }
        self.show_what_stands();
        let now = Timestamp::now();
        let due: Vec<_> = self
            .kept
            .iter()
            .filter(|(target, kept)| kept.due && self.may_be_written(target, kept, asked))
            .map(|(target, kept)| (target.clone(), kept.diagnosis.clone()))
            .collect();
        let (owned, docs) = (&*self.owned, &*self.config.docs.base_url);
        // An API server that does not answer is not asked a thousand times.
        let silent = Cell::new(false);
        let written = stream::iter(due)
            .map(|(target, diagnosis)| {
                let silent = &silent;
                async move {
                    if silent.get() {
                        return None;
                    }
                    let result = owned.write(&diagnosis, now, docs).await;
                    silent.set(silent.get() || matches!(result, Err(WriteError::Timeout)));
                    Some((target, diagnosis, result))
                }
            })
            .buffer_unordered(WRITES)
            .filter_map(async |written| written)
            .collect::<Vec<_>>()
            .await;
        for (target, diagnosis, result) in written {
            self.keep_result(&target, &diagnosis, result, now);
        }
        self.tell(now).await;
        match self.owned.delete_stale(present).await {
            Ok(deleted) => deleted
                .iter()
                .for_each(|name| tracing::info!(name, "IngressDiagnosis deleted, its target gets no diagnosis any longer")),
            Err(WriteError::NotLeading) => {}
            Err(error) => tracing::warn!(%error, "an IngressDiagnosis could not be deleted"),
        }
    }

    /// What whoever led before has published stands until it is written anew, and is shown until then: a series that ends with one leader
    /// and begins minutes later with the next would end an alert.
    fn show_what_stands(&self) {
        for target in self.kept.keys().filter(|target| !self.metrics.shows(target)) {
            if let Some(object) = self.owned.get(target).filter(|object| object.status.is_some()) {
                self.metrics.publish(target, object);
            }
        }
    }

    fn may_be_written(&self, target: &TargetRef, kept: &Kept, asked: bool) -> bool {
        let stands = self.owned.get(target).is_some_and(|object| object.status.is_some());
        let resting = kept.failure.as_ref().is_some_and(|failure| failure.retry > Instant::now());
        !resting && !kept.awaits.must_wait(stands, asked)
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
            Ok(_) => {
                kept.due = false;
                kept.failure = None;
            }
            Err(WriteError::NotLeading) => return,
            Err(error) => {
                let words = error.to_string();
                // Once is enough, until it is another reason.
                if kept.failure.as_ref().is_none_or(|before| before.words != words) {
                    match error {
                        WriteError::Terminating(_) => tracing::info!(target = %diagnosis_name(target), "{words}"),
                        _ => tracing::warn!(target = %diagnosis_name(target), "IngressDiagnosis not written: {words}"),
                    }
                }
                kept.failure = Some(WriteFailure { words, retry: Instant::now() + RETRY });
            }
        }
        let stands = self.owned.get(target);
        let shown = match stands {
            Some(object) if kept.failure.is_none() => object,
            // What could not be written is shown nevertheless.
            stands => {
                let stands = stands.as_deref().and_then(|object| object.status.as_ref());
                let context = status::Context { now, generation: None, docs: &self.config.docs.base_url };
                Arc::new(status::object(diagnosis, &[], status::status(diagnosis, stands, context)))
            }
        };
        self.metrics.publish(target, shown);
        let snapshot = self.world.read();
        for group in &kept.wanted.groups {
            if let Some(read) = snapshot.compute.group_read_at(&group.backend_service, &group.group) {
                self.metrics.facts_age.observe(now.duration_since(read).as_secs_f64().max(0.0));
            }
        }
        drop(snapshot);
        let says = Logged::of(diagnosis);
        says.say(target, diagnosis, kept.logged.as_ref());
        kept.logged = Some(says);
    }
}

/// Whether the target gets a diagnosis cannot be told: it could not be read, or what decides whose business it is.
fn out_of_sight(snapshot: &Snapshot, target: &TargetRef) -> bool {
    let kubernetes = &snapshot.kubernetes;
    let unseen = match target.kind {
        TargetKind::Ingress => matches!(kubernetes.ingresses.get(&target.namespace, &target.name), Observed::Unknown(_)),
        TargetKind::Service => matches!(kubernetes.services.get(&target.namespace, &target.name), Observed::Unknown(_)),
    };
    unseen || kubernetes.ingresses.unread().is_some() || kubernetes.ingress_classes.unread().is_some()
}

fn diagnosis_name(target: &TargetRef) -> String {
    format!("{}/{}", target.namespace, target.diagnosis_name())
}
