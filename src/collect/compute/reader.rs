//! The loop that reads: takes the most overdue read, waits for the budget, asks, puts the answer into the world.
//!
//! Enters: what is wanted, whether this process is active. Leaves: edits of the world. Never: lets one read stop the others; asks while
//! the project is asked to be left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::apply;
use super::budget::Budget;
use super::client::Client;
use super::failure::{Class, Failure};
use super::pause::Pause;
use super::read::{Outcome, Read};
use super::schedule::{Job, Next, Schedule, Urgency};
use super::{ComputeReader, Wanted, guard};
use crate::collect::credentials::Credentials;
use crate::collect::world::{Change, World};
use crate::snapshot::Snapshot;
use crate::snapshot::compute::{COLLECTIONS, Firewall, Resource, Subnetwork, health_key, normalise};

/// A list that is older than this no longer says that something is absent.
const LIST_STANDS: Duration = Duration::from_secs(300);

/// How often a missing project or client is looked for.
const NOT_READY: Duration = Duration::from_secs(2);

/// The kinds that a host project of a Shared VPC is asked for.
pub(super) const HOST_COLLECTIONS: [&str; 2] = [Firewall::COLLECTION, Subnetwork::COLLECTION];

/// No cluster has more host projects than this; more would only cost.
const HOST_LIMIT: usize = 3;

/// Reads until it is dropped.
pub(in crate::collect) struct Reader {
    world: Arc<World>,
    handle: ComputeReader,
    endpoint: String,
    credentials: Arc<Credentials>,
    budget: Arc<Budget>,
    active: watch::Receiver<bool>,
    schedule: Schedule,
    client: Option<(u64, Client)>,
    pause: Pause,
    failing_health: BTreeSet<(Box<str>, Box<str>)>,
    /// Which version of what is wanted is scheduled.
    wanted: u64,
    /// When it was last settled which lists are read.
    lists_set: Option<Instant>,
    /// What was already said in the log, by what it is about.
    reported: BTreeMap<Box<str>, Box<str>>,
}

impl Reader {
    /// A reader and its handle.
    pub(in crate::collect) fn new(
        world: &Arc<World>,
        endpoint: &str,
        credentials: &Arc<Credentials>,
        reads_per_minute: u32,
        active: &watch::Receiver<bool>,
    ) -> (Self, ComputeReader) {
        let budget = Budget::new(reads_per_minute);
        let per_minute = budget.per_minute();
        let handle = ComputeReader::new(u32::try_from(per_minute).unwrap_or(u32::MAX));
        let reader = Self {
            world: world.clone(),
            handle: handle.clone(),
            endpoint: endpoint.to_owned(),
            credentials: credentials.clone(),
            budget: Arc::new(budget),
            active: active.clone(),
            schedule: Schedule::new(per_minute),
            client: None,
            pause: Pause::new(),
            failing_health: BTreeSet::new(),
            wanted: 0,
            lists_set: None,
            reported: BTreeMap::new(),
        };
        (reader, handle)
    }

    /// Reads as one who goes when all is read: as much at once as a minute allows, with clients that may have been made before.
    pub(in crate::collect) fn for_once(mut self, reads_per_minute: u32, client: Option<(u64, Client)>) -> Self {
        self.budget = Arc::new(Budget::for_once(reads_per_minute));
        self.schedule = Schedule::for_once(self.budget.per_minute());
        self.client = client;
        self
    }

    /// Reads for ever, while active.
    pub(in crate::collect) async fn run(mut self) {
        loop {
            if self.active.wait_for(|active| *active).await.is_err() {
                return;
            }
            self.forget_all();
            self.read_while_active().await;
            self.forget_all();
        }
    }

    async fn read_while_active(&mut self) {
        let mut running: JoinSet<Outcome> = JoinSet::new();
        let mut active = self.active.clone();
        loop {
            if !*active.borrow_and_update() {
                return;
            }
            self.take_wanted();
            let tried = self.schedule.all_tried().then_some(self.wanted);
            *guard(&self.handle.shared.tried) = tried;
            let next = self.prepare(&mut running).await;
            let shared = self.handle.shared.clone();
            tokio::select! {
                biased;
                _ = active.changed() => {}
                Some(ended) = running.join_next() => {
                    if let Ok(outcome) = ended {
                        self.finish(outcome);
                    }
                }
                () = shared.wanted_changed.notified() => {}
                () = wait(next) => {}
                // Which host projects there are may have become known.
                () = tokio::time::sleep(NOT_READY) => {}
            }
        }
    }

    /// Starts the most overdue read if the budget allows it now; says how long there is nothing else to start.
    async fn prepare(&mut self, running: &mut JoinSet<Outcome>) -> Next {
        let now = Instant::now();
        if let Some(until) = self.pause.until(now) {
            return Next::Wait(until);
        }
        let project = self.world.read().meta.project.clone();
        if project.is_empty() {
            return Next::Wait(now + NOT_READY);
        }
        self.set_lists(&project);
        let job = match self.schedule.next(now) {
            Next::Run(job) => job,
            // What the cluster's network is, and so what there is to list, may be learnt at any time.
            Next::Wait(until) => return Next::Wait(until.min(now + NOT_READY)),
            Next::Idle => return Next::Wait(now + NOT_READY),
        };
        let Some(client) = self.client().await else { return Next::Wait(self.pause.until(now).unwrap_or(now + NOT_READY)) };
        self.schedule.begin(&job);
        let read = Read::new(client, &self.budget, &self.handle);
        running.spawn(read.run(job, project));
        Next::Wait(now)
    }

    /// The client, built anew when its credentials have died.
    async fn client(&mut self) -> Option<Client> {
        if let Some((_, client)) = &self.client {
            return Some(client.clone());
        }
        match Client::connect(&self.endpoint, &self.credentials).await {
            Ok((build, client)) => {
                self.client = Some((build, client.clone()));
                Some(client)
            }
            Err(failure) => {
                self.report("client", &failure);
                self.every_list_failed(&failure);
                self.schedule.put_all_back();
                self.pause.begin(failure.retry_after, Instant::now());
                None
            }
        }
    }

    fn set_lists(&mut self, project: &str) {
        let now = Instant::now();
        if self.lists_set.is_some_and(|at| at + NOT_READY > now) {
            return;
        }
        self.lists_set = Some(now);
        let own = COLLECTIONS.iter().map(|collection| Job::List { project: project.into(), collection });
        let hosts = host_projects(&self.world.read());
        let of_host = |host: Box<str>| HOST_COLLECTIONS.map(|collection| Job::List { project: host.clone(), collection });
        let of_hosts: Vec<Job> = hosts.into_iter().flat_map(of_host).collect();
        of_hosts.iter().filter(|job| !self.schedule.knows(job)).for_each(|job| self.not_read_yet(job));
        self.schedule.lists(own.chain(of_hosts), now);
    }

    /// Of a list that is new nobody shall think that it is empty.
    fn not_read_yet(&self, job: &Job) {
        let Job::List { project, collection } = job else { return };
        let why = Failure::without_answer(Class::Unwell, "NotRead", "it was not read".to_owned());
        self.world.edit(|snapshot| {
            let paths = host_paths(project, collection, region_of(&snapshot.meta.cluster_location));
            apply::host_list_failed(&mut snapshot.compute, &paths, &why)
        });
    }

    fn take_wanted(&mut self) {
        let Wanted { version, groups, confirm } = {
            let wanted = guard(&self.handle.shared.wanted);
            if wanted.version == self.wanted {
                return;
            }
            wanted.clone()
        };
        self.wanted = version;
        let mut wanted: Vec<(Job, Urgency)> = Vec::with_capacity(groups.len());
        for want in groups {
            let health = !want.group.contains("/networkEndpointGroups/");
            let job = match health {
                true => Job::Health { backend_service: want.backend_service, group: want.group },
                false => Job::Endpoints { group: want.group },
            };
            wanted.push((job, want.urgency));
        }
        let confirm = confirm.into_iter().map(|(backend_service, group)| Job::Health { backend_service, group });
        wanted.extend(confirm.map(|job| (job, Urgency::Unhealthy)));
        self.schedule.groups(wanted, Instant::now());
        self.forget_unwanted();
    }

    /// Facts of groups that nobody wants go away, so that they never come back as if they were new.
    fn forget_unwanted(&mut self) {
        let world = self.world.clone();
        world.edit(|snapshot| {
            let compute = &mut snapshot.compute;
            let endpoints = compute.endpoints.keys().map(|group| Job::Endpoints { group: group.clone() });
            let health = compute.health.iter().flat_map(|(backend_service, groups)| {
                groups.keys().map(|group| Job::Health { backend_service: backend_service.clone(), group: group.clone() })
            });
            let gone: Vec<Job> = endpoints.chain(health).filter(|job| !self.schedule.knows(job)).collect();
            for job in gone {
                match &job {
                    Job::Endpoints { group } => apply::forget_endpoints(compute, group),
                    Job::Health { backend_service, group } => apply::forget_health(compute, backend_service, group),
                    Job::List { .. } => {}
                }
                compute.read_at.remove(&*subject(&job));
            }
            Change::Nothing
        });
    }

    fn finish(&mut self, Outcome { job, pages, began, result }: Outcome) {
        let now = Instant::now();
        match result {
            Ok(edit) => {
                self.pause.reset();
                let awaited = self.schedule.is_awaited(&job);
                self.schedule.succeeded(&job, pages, now);
                let read_at = began.unwrap_or_else(Timestamp::now);
                self.recovered(&subject(&job));
                let all_well = match &job {
                    Job::Health { backend_service, group } => {
                        self.failing_health.remove(&(backend_service.clone(), group.clone()));
                        !self.failing_health.iter().any(|(failing, _)| failing == backend_service)
                    }
                    Job::List { .. } | Job::Endpoints { .. } => true,
                };
                if self.schedule.knows(&job) {
                    self.world.edit(|snapshot| {
                        snapshot.compute.read_at.insert(subject(&job), read_at);
                        match (edit(&mut snapshot.compute, all_well), &job) {
                            // That nothing changed is news as well.
                            (Change::Nothing, Job::Endpoints { group } | Job::Health { group, .. }) if awaited => {
                                Change::Group(group.clone())
                            }
                            (change, _) => change,
                        }
                    });
                }
            }
            Err(failure) => self.failed(job, &failure, now),
        }
    }

    fn failed(&mut self, job: Job, failure: &Failure, now: Instant) {
        self.report(&subject(&job), failure);
        match failure.class {
            Class::Refused | Class::NotFound => {
                self.pause.reset();
                self.schedule.failed(&job, now);
            }
            Class::Unwell => {
                self.schedule.failed(&job, now);
                self.pause.begin(failure.retry_after, now);
            }
            Class::RateLimited => {
                self.schedule.put_back(&job);
                self.pause.begin(failure.retry_after, now);
            }
            Class::NoToken => {
                self.schedule.put_back(&job);
                self.every_list_failed(failure);
                self.pause.begin(failure.retry_after, now);
            }
            Class::DeadCredentials => {
                self.schedule.put_back(&job);
                self.every_list_failed(failure);
                if let Some((build, _)) = self.client.take() {
                    self.credentials.discard(build);
                }
                self.pause.begin(failure.retry_after, now);
            }
        }
        if !self.schedule.knows(&job) {
            return;
        }
        if let Job::Health { backend_service, group } = &job {
            self.failing_health.insert((backend_service.clone(), group.clone()));
        }
        let stands = self.stands(&job);
        let world = self.world.clone();
        world.edit(|snapshot| {
            let main = &*snapshot.meta.project;
            let compute = &mut snapshot.compute;
            match &job {
                Job::List { project, collection } if **project == *main => {
                    apply::list_failed(compute, collection, failure, stands)
                }
                Job::List { .. } if stands => Change::Nothing,
                Job::List { project, collection } => {
                    let region = region_of(&snapshot.meta.cluster_location);
                    apply::host_list_failed(compute, &host_paths(project, collection, region), failure)
                }
                Job::Endpoints { group } => apply::endpoints_failed(compute, group, failure),
                Job::Health { backend_service, group } => apply::health_failed(compute, backend_service, group, failure),
            }
        });
    }

    /// Whether the last good list still speaks for what is not in it.
    fn stands(&self, job: &Job) -> bool {
        let read_at = self.world.read().compute.read_at.get(&subject(job)).copied();
        let age = read_at.map(|at| Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default());
        age.is_some_and(|age| age < LIST_STANDS)
    }

    /// Without a token no list can be read, and each says why.
    fn every_list_failed(&self, failure: &Failure) {
        let project = self.world.read().meta.project.clone();
        for collection in COLLECTIONS {
            let stands = self.stands(&Job::List { project: project.clone(), collection });
            self.world.edit(|snapshot| apply::list_failed(&mut snapshot.compute, collection, failure, stands));
        }
    }

    /// This process stops to be active, or starts: what it read when it last was says nothing.
    fn forget_all(&mut self) {
        self.schedule.clear();
        self.wanted = 0;
        self.lists_set = None;
        self.pause = Pause::new();
        self.failing_health.clear();
        self.world.edit(|snapshot| {
            let was_read = std::mem::take(&mut snapshot.compute).read;
            if was_read { Change::Everything } else { Change::Nothing }
        });
    }

    /// Says a failure once, until it is another one or it is over.
    fn report(&mut self, about: &str, failure: &Failure) {
        let text: Box<str> = format!("{} {}", failure.label(), failure.message).into();
        if self.reported.get(about) != Some(&text) {
            tracing::warn!(about, code = %failure.label(), reason = %failure.reason, "cannot read Compute: {}", failure.message);
            self.reported.insert(about.into(), text);
        }
    }

    fn recovered(&mut self, about: &str) {
        self.reported.remove("client");
        if self.reported.remove(about).is_some() {
            tracing::info!(about, "Compute can be read again");
        }
    }
}

/// The key under which the age of a fact is kept: the collection's path, the group's, or what `getHealth` was asked.
pub(super) fn subject(job: &Job) -> Box<str> {
    match job {
        Job::List { project, collection } => format!("projects/{project}/{collection}").into(),
        Job::Endpoints { group } => group.clone(),
        Job::Health { backend_service, group } => health_key(backend_service, group),
    }
}

/// Other projects that the cluster's network belongs to: the host project of a Shared VPC.
pub(super) fn host_projects(snapshot: &Snapshot) -> Vec<Box<str>> {
    let main = &*snapshot.meta.project;
    let cluster = snapshot.cluster.as_ref().seen().map(|cluster| &*cluster.network_config.network);
    let groups = snapshot.compute.network_endpoint_groups.iter().map(|(_, group)| &*group.network);
    let projects = cluster.into_iter().chain(groups).filter_map(|network| {
        let path = normalise(network, main);
        let project = path.strip_prefix("projects/")?.split('/').next()?;
        (!project.is_empty() && project != main).then(|| project.into())
    });
    let distinct: BTreeSet<Box<str>> = projects.collect();
    distinct.into_iter().take(HOST_LIMIT).collect()
}

/// Where a list of a host project would have stood: what its failure is filed under.
fn host_paths(project: &str, collection: &str, region: &str) -> Vec<String> {
    match collection {
        Subnetwork::COLLECTION if region.is_empty() => Vec::new(),
        Subnetwork::COLLECTION => vec![format!("projects/{project}/regions/{region}/{collection}")],
        _ => vec![format!("projects/{project}/global/{collection}")],
    }
}

/// `us-central1` of `us-central1` and of `us-central1-a`.
fn region_of(location: &str) -> &str {
    match location.rsplit_once('-') {
        Some((region, zone)) if zone.len() == 1 => region,
        _ => location,
    }
}

/// Waits until there is something to start.
async fn wait(next: Next) {
    match next {
        // The timer's steps are of a millisecond, which a hundred reads in a row would each wait for.
        Next::Wait(until) if until <= Instant::now() => tokio::task::yield_now().await,
        Next::Wait(until) => tokio::time::sleep_until(until).await,
        Next::Idle | Next::Run(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
