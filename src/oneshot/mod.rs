//! One pass over a live cluster: list, diagnose, read what the diagnosis asks for, until it asks for nothing more.
//!
//! ```text
//!  lists every diagnosis needs ─► World ─► diagnose ─► kinds it looked for and were not listed ─► lists ─┐
//!                                   ▲         └─────► groups and pods whose answers it wants ─► readers ─┤
//!                                   └────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Enters: a cluster, which targets, how long it may take. Leaves: the world and its diagnoses, what was missing, in words. Never: writes
//! to any server; diagnoses otherwise than from a folder; asks for what no diagnosis looks for, unless it records.

mod record;
mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::collect::once::{self, Google, Lists, OnceError, PodProxy, ProxyError};
use crate::collect::{self, Collector, Question, Settings, Tape, Want, World};
use crate::diagnose::{Diagnosis, diagnose};
use crate::snapshot::compute::COLLECTIONS;
use crate::snapshot::{Observed, Snapshot};
use crate::topology::{Fleet, Grace, TargetRef, Topology};
use crate::wanted::{self, Wanted};

/// How often it is asked whether the readers are done.
const POLL: Duration = Duration::from_millis(4);

/// How often the diagnoses are made again while they are not.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The same once they have caught up and something that nobody announces is still to come.
const LOOK_SOON: Duration = Duration::from_millis(20);

/// How long Google may be unwell before the answer says so.
const PATIENCE: Duration = Duration::from_secs(15);

/// How pods are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probing {
    /// Not at all.
    #[default]
    Off,
    /// Straight, which works in the cluster alone.
    Direct,
    /// Through the API server's pod proxy.
    Proxy,
}

/// Which cluster is looked at, and for what.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The API server.
    pub kube: kube::Config,
    /// The kubeconfig's name for it.
    pub context: Option<String>,
    /// Only this namespace; `None`: all.
    pub namespace: Option<String>,
    /// Only these diagnoses, by name; empty: all.
    pub names: Vec<String>,
    /// How Google and the pods are read.
    pub settings: Settings,
    /// The waiting times.
    pub grace: Grace,
    /// How pods are asked.
    pub probing: Probing,
    /// How long it may take.
    pub timeout: Duration,
    /// What is read is taken down there, and every kind is read.
    pub tape: Option<Tape>,
}

/// Why there is no diagnosis.
#[derive(Debug, thiserror::Error)]
pub enum OneshotError {
    /// The API server cannot be trusted, or the settings for it cannot be used.
    #[error("no Kubernetes API server to talk to: {0}")]
    Client(String),
    /// Kubernetes cannot be read.
    #[error(transparent)]
    Kubernetes(#[from] OnceError),
    /// Nothing has this name.
    #[error("{0}")]
    NoTarget(String),
    /// There is no such project.
    #[error("there is no Google Cloud project {project:?}: set project ({message})")]
    NoProject {
        /// The project.
        project: String,
        /// What the Compute API said.
        message: String,
    },
}

/// What was seen.
pub struct Seen {
    /// Everything that was read.
    pub world: Arc<World>,
    /// The targets that were asked for.
    pub targets: Vec<TargetRef>,
    /// Their diagnoses, in the order of the targets.
    pub diagnoses: Vec<Diagnosis>,
    /// What could not be read, one sentence each.
    pub warnings: Vec<String>,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Kubernetes lists that were begun and that have ended.
    pub lists: (usize, usize),
    /// Objects so far.
    pub objects: usize,
    /// Groups of endpoints that were read, and that are wanted.
    pub groups: (usize, usize),
    /// Compute requests so far.
    pub requests: u64,
}

/// The diagnoses of one moment, and what they want.
pub(crate) struct Diagnosed {
    targets: Vec<TargetRef>,
    pub(crate) diagnoses: Vec<Diagnosis>,
    pub(crate) wanted: Vec<Wanted>,
}

/// The same, with what is still to come.
struct Look {
    diagnosed: Diagnosed,
    /// Kinds that a diagnosis looked for and that were not listed.
    missed: BTreeSet<String>,
    /// Google is still being asked for something that a diagnosis waits for.
    pending: bool,
}

/// Looks at a cluster once. `progress` is told how far it is, often.
pub async fn look(ask: Ask, progress: &mut (dyn FnMut(&Progress) + Send)) -> Result<Seen, OneshotError> {
    let deadline = Instant::now() + ask.timeout;
    let world = Arc::new(World::new());
    let client = client(ask.kube.clone())?;
    let url = ask.kube.cluster_url.to_string();
    let lists = Lists::new(client, url, &world, ask.namespace.as_deref(), ask.tape.clone());
    let first = if ask.tape.is_some() { once::every_kind() } else { once::needed_kinds() };
    let google = Google::begin(&ask.settings, ask.in_cluster());
    read(&lists, &first, &Progress::default(), progress).await?;

    let settings = ask.identify(&world).await;
    let google = google.ready().await;
    let may_ask = once::can_ask_google(&world, &settings, google.is_some());
    let (_active, active) = watch::channel(may_ask);
    let (_stop, shutdown) = watch::channel(false);
    let once = collect::Once { tape: ask.tape.clone(), google };
    let collector = collect::start_beside_lists(settings.clone(), &world, once, &active, shutdown);

    // However long Google takes: ages are counted to when Kubernetes was listed, or a Lease would grow stale while we wait.
    let now = Timestamp::now();
    let (asked, refused, begun) = (BTreeSet::new(), Vec::new(), Instant::now());
    let mut pass = Pass { ask, settings, world, lists, collector, may_ask, now, asked, refused, begun };
    let (look, late) = pass.run(deadline, progress).await?;
    pass.check_project()?;
    let warnings = pass.warnings(late);
    let Diagnosed { targets, diagnoses, .. } = look.diagnosed;
    Ok(Seen { world: pass.world, targets, diagnoses, warnings })
}

/// Lists kinds, and says meanwhile how far that is.
async fn read(
    lists: &Lists,
    kinds: &BTreeSet<String>,
    so_far: &Progress,
    progress: &mut (dyn FnMut(&Progress) + Send),
) -> Result<(), OneshotError> {
    let mut reading = pin!(lists.read(kinds));
    loop {
        tokio::select! {
            done = &mut reading => return Ok(done?),
            () = sleep(LOOK_AGAIN) => {
                let lists = lists.progress();
                progress(&Progress { lists: (lists.ended, lists.begun), objects: lists.objects, ..so_far.clone() });
            }
        }
    }
}

/// Finds out whether the API server answers and knows us, and which cluster this is.
pub async fn reach(ask: &mut Ask) -> Result<(), OneshotError> {
    let world = Arc::new(World::new());
    let url = ask.kube.cluster_url.to_string();
    let lists = Lists::new(client(ask.kube.clone())?, url, &world, ask.namespace.as_deref(), None);
    lists.read(&once::identifying_kinds()).await?;
    ask.settings = ask.identify(&world).await;
    Ok(())
}

fn client(config: kube::Config) -> Result<kube::Client, OneshotError> {
    kube::Client::try_from(collect::prepare(config)).map_err(|error| OneshotError::Client(collect::words(&error)))
}

struct Pass {
    ask: Ask,
    settings: Settings,
    world: Arc<World>,
    lists: Lists,
    collector: Collector,
    /// Whether Google is asked at all.
    may_ask: bool,
    /// When Kubernetes was listed.
    now: Timestamp,
    /// Questions that went through the proxy.
    asked: BTreeSet<Question>,
    refused: Vec<ProxyError>,
    begun: Instant,
}

impl Pass {
    /// Reads until the diagnoses want nothing more, or the time is up; gives how many groups were not read in time, of how many.
    async fn run(
        &mut self,
        deadline: Instant,
        progress: &mut (dyn FnMut(&Progress) + Send),
    ) -> Result<(Look, Option<(usize, usize)>), OneshotError> {
        loop {
            let mut look = self.look();
            if look.diagnosed.targets.is_empty() && !self.ask.names.is_empty() {
                return Err(OneshotError::NoTarget(said::no_target(&self.ask)));
            }
            progress(&self.progress(&look));
            if !look.missed.is_empty() {
                read(&self.lists, &look.missed, &self.progress(&look), progress).await?;
                continue;
            }
            let everything_was_read = look.diagnosed.targets.is_empty() || !look.pending;
            if everything_was_read && !self.ask_through_proxy(&look).await {
                return Ok((look, None));
            }
            if Instant::now() >= deadline {
                let late = self.give_up(&look);
                look = self.look();
                return Ok((look, Some(late)));
            }
            if !everything_was_read {
                self.wait(deadline).await;
            }
        }
    }

    /// Diagnoses everything that was asked for, and tells the readers what that wants.
    fn look(&self) -> Look {
        let snapshot = self.world.read_at(self.now);
        let diagnosed = self.ask.diagnose(&snapshot, &self.collector);
        let missed = snapshot.kubernetes.missed().into_iter().filter(|kind| self.lists.is_new(kind)).collect();
        let wanted = &diagnosed.wanted;
        let google = self.may_ask && !wanted.is_empty() && self.waits_for_google(&snapshot, wanted);
        Look { missed, pending: google || !self.collector.prober.caught_up(), diagnosed }
    }

    /// Google has not been asked everything yet, or was unwell when it was and is given some time. Credentials that are not accepted will
    /// not be a moment later.
    fn waits_for_google(&self, snapshot: &Snapshot, wanted: &[Wanted]) -> bool {
        let cluster = match &snapshot.cluster {
            Observed::Unknown(why) => Some(why.clone()),
            Observed::Present(_) | Observed::Absent => None,
        };
        let lists = COLLECTIONS.iter().filter_map(|kind| snapshot.compute.unread_kind(kind));
        let reasons: BTreeSet<Box<str>> = lists.chain(cluster).map(|why| why.reason).collect();
        let unwell = wanted.iter().any(|wanted| wanted.lists_pending || wanted.failing);
        reasons.contains("NotRead")
            || wanted.iter().any(|wanted| wanted.groups_pending)
            || collect::hosts_pending(snapshot)
            || (unwell && !reasons.contains("NoCredentials") && self.begun.elapsed() < PATIENCE)
    }

    /// Waits until the readers have caught up, or have had some time.
    async fn wait(&self, deadline: Instant) {
        let caught_up = || self.collector.compute.caught_up() && self.collector.prober.caught_up();
        if caught_up() {
            sleep(LOOK_SOON).await;
            return;
        }
        let until = deadline.min(Instant::now() + LOOK_AGAIN);
        while Instant::now() < until && !caught_up() {
            sleep(POLL).await;
        }
    }

    /// Asks the pods that were not asked yet; false when there is none.
    async fn ask_through_proxy(&mut self, look: &Look) -> bool {
        if self.ask.probing != Probing::Proxy {
            return false;
        }
        let probe = &self.settings.probe;
        let questions = look.diagnosed.wanted.iter().flat_map(|wanted| wanted.questions.iter());
        let questions = questions.filter(|question| !probe.excludes(&question.pod));
        let open: Vec<Question> = questions.filter(|question| self.asked.insert((*question).clone())).cloned().collect();
        if open.is_empty() {
            return false;
        }
        let (answers, mut refused) = match PodProxy::new(collect::prepare(self.ask.kube.clone())) {
            Ok(proxy) => proxy.ask(open).await,
            Err(error) => (Vec::new(), vec![error]),
        };
        refused.retain(|error| !self.refused.contains(error));
        self.refused.extend(refused);
        once::keep_answers(&self.world, answers);
        true
    }

    /// Says of what was not read in time that it was not.
    fn give_up(&self, look: &Look) -> (usize, usize) {
        let groups: BTreeSet<_> = look.diagnosed.wanted.iter().flat_map(|wanted| &wanted.groups).collect();
        let late: Vec<_> = groups.iter().filter(|want| !was_read(&self.world.read(), want)).collect();
        let message = said::not_in_time(&self.ask);
        once::not_in_time(&self.world, late.iter().map(|want| (&*want.backend_service, &*want.group)), &message);
        (late.len(), groups.len())
    }

    fn progress(&self, look: &Look) -> Progress {
        let lists = self.lists.progress();
        let groups: BTreeMap<&str, &Want> =
            look.diagnosed.wanted.iter().flat_map(|wanted| &wanted.groups).map(|want| (&*want.group, want)).collect();
        let read = {
            let snapshot = self.world.read();
            groups.values().filter(|want| was_read(&snapshot, want)).count()
        };
        Progress {
            lists: (lists.ended, lists.begun),
            objects: lists.objects,
            groups: (read, groups.len()),
            requests: self.collector.compute.stats().requests.values().sum(),
        }
    }

    /// A project that is not there is a mistake of whoever asks, not something that could not be seen.
    fn check_project(&self) -> Result<(), OneshotError> {
        let snapshot = self.world.read();
        let mut unread = snapshot.compute.unread.values();
        let every = snapshot.compute.unread.len() == COLLECTIONS.len();
        match unread.next() {
            Some(why) if every && &*why.reason == "notFound" && unread.all(|why| &*why.reason == "notFound") => {
                Err(OneshotError::NoProject { project: self.settings.project.clone(), message: why.message.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn warnings(&self, late: Option<(usize, usize)>) -> Vec<String> {
        let mut warnings: Vec<String> = self.lists.malformed().iter().map(ToString::to_string).collect();
        warnings.extend(said::not_readable(&self.world.read(), &self.lists.missing()));
        warnings.extend(self.refused.iter().map(ToString::to_string));
        warnings.extend(late.filter(|(late, _)| *late > 0).map(|late| said::late(late, &self.ask, self.begun.elapsed())));
        warnings
    }
}

fn was_read(snapshot: &Snapshot, want: &Want) -> bool {
    snapshot.compute.group_read_at(&want.backend_service, &want.group).is_some()
}

impl Ask {
    /// Whether this process is a pod of the cluster.
    fn in_cluster(&self) -> bool {
        self.context.is_none()
    }

    /// The settings, with what tells which cluster this is.
    async fn identify(&self, world: &World) -> Settings {
        let mut settings = once::identify(world, self.settings.clone(), self.context.as_deref(), self.in_cluster()).await;
        settings.probe.enabled = self.probing == Probing::Direct;
        settings
    }

    /// Diagnoses everything that is asked for, and tells the readers what that wants.
    pub(crate) fn diagnose(&self, snapshot: &Snapshot, collector: &Collector) -> Diagnosed {
        let fleet = Fleet::of(snapshot);
        let mut diagnosed = Diagnosed { targets: Vec::new(), diagnoses: Vec::new(), wanted: Vec::new() };
        for target in fleet.targets.iter().filter(|target| self.is_for(target)) {
            let Some(topology) = Topology::of(snapshot, &fleet, &self.grace, target) else { continue };
            diagnosed.diagnoses.push(diagnose(&topology, target, &[]));
            diagnosed.wanted.push(Wanted::of(&topology));
            diagnosed.targets.push(target.clone());
        }
        wanted::tell(diagnosed.wanted.iter(), &collector.compute, &collector.prober);
        diagnosed
    }

    /// Whether a target is among those that are asked for.
    pub fn is_for(&self, target: &TargetRef) -> bool {
        self.names.is_empty() || self.names.contains(&target.diagnosis_name())
    }
}
