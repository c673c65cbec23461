//! Everything that is read, kept up to date in one [`World`].
//!
//! ```text
//!  Kubernetes API server ── watches ──►┐
//!  Compute Engine API ── budget ──────►│
//!  Container API ─────────────────────►├──► World (one Snapshot, edited in place) ──► changes()
//!  pods ── prober ────────────────────►│
//!  metadata server, nodes: identity ──►┘
//! ```
//!
//! Enters: a Kubernetes client, settings, what is wanted. Leaves: a live [`World`] and handles. Never: judges what it reads; writes to any
//! API; asks Google or a pod while this process is not the active one.

mod backoff;
mod compute;
mod container;
mod credentials;
mod guard;
mod identity;
mod kubernetes;
pub mod once;
mod prober;
mod tape;
mod words;
mod world;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use compute::{ComputeReader, ComputeStats, RequestCounts, Urgency, Want, hosts_pending};
pub use credentials::CredentialsMode;
pub(crate) use guard::guard;
pub use kubernetes::prepare;
pub use prober::{ProbeSettings, Prober, ProberStats, Question};
pub use tape::Tape;
pub(crate) use words::{with_sources, words};
pub use world::{Changes, World};

/// Our name in front of every server but a pod.
const USER_AGENT_NAME: &str = concat!("ingress-diagnosis/", env!("CARGO_PKG_VERSION"));

/// What can be set about reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Google Cloud project; empty: the metadata server's, else the nodes'.
    pub project: String,
    /// Name of the cluster; empty: the metadata server's.
    pub cluster_name: String,
    /// Region or zone of the cluster; empty: the metadata server's, else the nodes' region.
    pub cluster_location: String,
    /// Only objects of this namespace are watched; `None`: all.
    pub namespace: Option<String>,
    /// Where the Compute API is.
    pub compute_endpoint: String,
    /// Requests to the Compute API within any minute.
    pub reads_per_minute: u32,
    /// Where the Container API is.
    pub container_endpoint: String,
    /// Which credentials Google's APIs get.
    pub credentials: CredentialsMode,
    /// How pods are asked.
    pub probe: ProbeSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            project: String::new(),
            cluster_name: String::new(),
            cluster_location: String::new(),
            namespace: None,
            compute_endpoint: "https://compute.googleapis.com".to_owned(),
            reads_per_minute: 150,
            container_endpoint: "https://container.googleapis.com".to_owned(),
            credentials: CredentialsMode::Default,
            probe: ProbeSettings::default(),
        }
    }
}

/// Reading ended although nobody asked it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task that reads has failed: {0}")]
pub struct Stopped(String);

/// The handles of everything that reads.
#[derive(Debug)]
pub struct Collector {
    /// Says which groups of endpoints matter.
    pub compute: ComputeReader,
    /// Says which pods are asked, and what.
    pub prober: Prober,
    supervisor: JoinHandle<Result<(), Stopped>>,
}

impl Collector {
    /// Waits until reading has ended: after `shutdown`, or because a task failed.
    pub async fn stopped(&mut self) -> Result<(), Stopped> {
        (&mut self.supervisor).await.unwrap_or_else(|error| Err(Stopped(error.to_string())))
    }
}

/// Starts to read. `active`: whether this process may ask Google and pods; the watches run in any case. Once `shutdown` is true, or its
/// sender is gone, every task ends.
///
/// The client should be made from a configuration that went through [`prepare`].
pub fn start(
    client: kube::Client,
    settings: Settings,
    world: Arc<World>,
    active: watch::Receiver<bool>,
    shutdown: watch::Receiver<bool>,
) -> Collector {
    let mut tasks = JoinSet::new();
    kubernetes::spawn(&mut tasks, &client, &world, settings.namespace.as_deref());
    tasks.spawn(identity::run(world.clone(), settings.clone()));
    beside(tasks, settings, &world, None, &active, shutdown)
}

/// For whoever reads once and goes.
#[derive(Debug, Default)]
pub struct Once {
    /// What is read is taken down there.
    pub tape: Option<Tape>,
    /// Credentials and clients for Google's APIs.
    pub google: Option<once::Prepared>,
}

/// Starts to read everything but the API server, which somebody else lists. Project, name and location of the cluster should be known.
pub fn start_beside_lists(
    settings: Settings,
    world: &Arc<World>,
    once: Once,
    active: &watch::Receiver<bool>,
    shutdown: watch::Receiver<bool>,
) -> Collector {
    beside(JoinSet::new(), settings, world, Some(once), active, shutdown)
}

fn beside(
    mut tasks: JoinSet<()>,
    settings: Settings,
    world: &Arc<World>,
    once: Option<Once>,
    active: &watch::Receiver<bool>,
    shutdown: watch::Receiver<bool>,
) -> Collector {
    let (is_once, Once { tape, google }) = (once.is_some(), once.unwrap_or_default());
    let (credentials, client) = match google {
        Some(google) => (google.credentials, google.compute),
        None => (Arc::new(credentials::Credentials::new(settings.credentials)), None),
    };
    let container =
        container::run(world.clone(), settings.container_endpoint.clone(), credentials.clone(), tape.clone(), active.clone());
    tasks.spawn(container);
    let reads = settings.reads_per_minute;
    let (mut reader, compute) = compute::Reader::new(world, &settings.compute_endpoint, &credentials, reads, active);
    if is_once {
        reader = reader.for_once(reads, client);
    }
    if let Some(tape) = tape {
        compute.record(tape);
    }
    tasks.spawn(reader.run());
    let (asker, prober) = prober::Asker::new(world, settings.probe, active);
    tasks.spawn(asker.run());

    Collector { compute, prober, supervisor: tokio::spawn(supervise(tasks, shutdown)) }
}

/// A task that panics must not leave a world behind that looks alive.
async fn supervise(mut tasks: JoinSet<()>, mut shutdown: watch::Receiver<bool>) -> Result<(), Stopped> {
    let result = loop {
        tokio::select! {
            _ = shutdown.wait_for(|shutdown| *shutdown) => break Ok(()),
            ended = tasks.join_next() => match ended {
                Some(Ok(())) => {}
                Some(Err(error)) => break Err(Stopped(error.to_string())),
                None => break Ok(()),
            }
        }
    };
    tasks.shutdown().await;
    result
}
