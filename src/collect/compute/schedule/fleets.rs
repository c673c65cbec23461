//! Fleets of many sizes in virtual time: the real schedule, budget and pause against an API that is slow, fails and throttles.
//! `cargo test --lib fleets -- --nocapture` prints the highest number of reads in any minute and the highest age of the facts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::budget::Budget;
use super::super::pause::Pause;
use super::{Job, Lane, Next, Schedule, Urgency};

const PER_MINUTE: u32 = 150;
const MINUTE: Duration = Duration::from_secs(60);

/// What becomes of a read.
#[derive(Clone, Copy)]
enum Answer {
    Well,
    Failed,
    Throttled(Duration),
}

/// Two backends in three zones each for every Ingress, and who among them is not settled.
struct Fleet {
    ingresses: usize,
    urgent: BTreeMap<usize, Urgency>,
    read: Vec<Option<Instant>>,
    lists: BTreeMap<&'static str, Option<Instant>>,
    /// Since when a group has been waiting to be read anew.
    awaited: BTreeMap<usize, Instant>,
    /// Groups of which the last read failed: their facts wait for one more turn.
    failed: BTreeSet<usize>,
    oldest: BTreeMap<&'static str, Duration>,
    start: Instant,
}

impl Fleet {
    fn new(ingresses: usize) -> Self {
        let groups = ingresses * 6;
        // One group in a hundred is unhealthy, one in two hundred young, at least a backend each.
        let unhealthy = (0..(groups / 100).max(3)).map(|at| (at, Urgency::Unhealthy));
        let young = (0..(groups / 200).max(3)).map(|at| (groups - 1 - at, Urgency::Young));
        let urgent = unhealthy.chain(young).collect();
        let kinds = ["addresses", "backendServices", "firewalls", "forwardingRules", "healthChecks", "instanceGroups"];
        let more =
            ["networkEndpointGroups", "sslCertificates", "subnetworks", "targetHttpProxies", "targetHttpsProxies", "urlMaps"];
        Self {
            ingresses,
            urgent,
            read: vec![None; groups],
            lists: kinds.into_iter().chain(more).map(|kind| (kind, None)).collect(),
            awaited: BTreeMap::new(),
            failed: BTreeSet::new(),
            oldest: BTreeMap::new(),
            start: Instant::now(),
        }
    }

    fn job(at: usize) -> Job {
        Job::Endpoints { group: format!("zones/{}/networkEndpointGroups/{:06}", at % 3, at / 3).into() }
    }

    fn at(job: &Job) -> Option<usize> {
        let Job::Endpoints { group } = job else { return None };
        let mut parts = group.split('/').skip(1).step_by(2);
        let zone: usize = parts.next()?.parse().ok()?;
        Some(parts.next()?.parse::<usize>().ok()? * 3 + zone)
    }

    fn pages(&self, job: &Job) -> usize {
        let Job::List { collection, .. } = job else { return 1 };
        let resources = match *collection {
            "networkEndpointGroups" => self.read.len(),
            "backendServices" | "healthChecks" => self.ingresses * 2,
            "forwardingRules" | "targetHttpProxies" | "urlMaps" => self.ingresses,
            _ => 10,
        };
        resources.div_ceil(500)
    }

    fn round_of_lists(&self) -> usize {
        self.lists.keys().map(|kind| self.pages(&Job::List { project: "p".into(), collection: kind })).sum()
    }

    fn wants(&self) -> impl Iterator<Item = (Job, Urgency)> {
        (0..self.read.len()).map(|at| (Self::job(at), self.urgent.get(&at).copied().unwrap_or(Urgency::Settled)))
    }

    /// Who was accused or has changed was read: nothing was found.
    fn calm_down(&mut self) {
        self.urgent.retain(|_, urgency| matches!(urgency, Urgency::Unhealthy | Urgency::Young));
    }

    /// GKE calls a backend unhealthy, and another one changes.
    fn something_happens(&mut self, now: Instant) {
        for urgency in [Urgency::Accused, Urgency::Changed] {
            let backend = fastrand::usize(self.read.len() / 6..self.read.len() / 4) * 3;
            for at in backend..backend + 3 {
                if self.urgent.insert(at, urgency).is_none_or(|before| before > urgency) {
                    self.awaited.insert(at, now);
                }
            }
        }
    }

    fn class(&self, at: usize) -> &'static str {
        match self.urgent.get(&at) {
            Some(Urgency::Accused) => "accused",
            Some(Urgency::Changed) => "changed",
            Some(Urgency::Unhealthy | Urgency::Young) => "watched",
            Some(Urgency::Settled) | None => "settled",
        }
    }

    fn came(&mut self, job: &Job, began: Instant, now: Instant) {
        match job {
            Job::List { collection, .. } => {
                let before = self.lists.insert(*collection, Some(began)).flatten().unwrap_or(self.start);
                self.keep("lists", now - before);
            }
            _ => {
                let Some(at) = Self::at(job) else { return };
                let before = self.read[at].replace(began).unwrap_or(self.start);
                let since = self.awaited.remove(&at).unwrap_or(before);
                let class = if self.failed.remove(&at) { "failed once" } else { self.class(at) };
                self.keep(class, now - since);
            }
        }
    }

    fn keep(&mut self, class: &'static str, age: Duration) {
        let oldest = self.oldest.entry(class).or_default();
        *oldest = (*oldest).max(age);
    }

    /// What was not read for long counts as well.
    fn settle(&mut self, now: Instant) {
        for at in 0..self.read.len() {
            if !self.failed.contains(&at) && !self.awaited.contains_key(&at) && !matches!(self.class(at), "accused" | "changed") {
                self.keep(self.class(at), now - self.read[at].unwrap_or(self.start));
            }
        }
    }

    /// The documented bound on the age of the facts of a lane.
    fn bound(&self, lane: Lane, interval: u64, groups: usize) -> Duration {
        let per_minute = f64::from(PER_MINUTE - 16) * 60.0 / 62.0;
        let left = if self.round_of_lists() <= super::EAGER_PAGES { 0.5 } else { 5.0 / 6.0 };
        // Those of the accused and the changed are in use for moments only, but for the first reads of what is watched.
        let beside = [Lane::Changed, Lane::Watched, Lane::Settled].map(Lane::weight).iter().sum::<u64>();
        let share = match lane {
            Lane::Settled => lane.weight() as f64 / (beside - Lane::Changed.weight()) as f64,
            _ => lane.weight() as f64 / beside as f64,
        };
        Duration::from_secs(interval) + MINUTE.mul_f64(groups as f64 / (per_minute * left * share))
    }
}

/// Everything that a fleet has seen at the end.
struct Seen {
    fleet: Fleet,
    sent: Vec<Instant>,
    paused: Duration,
}

async fn live(ingresses: usize, time: Duration, events: Duration) -> Seen {
    fastrand::seed(ingresses as u64);
    let mut fleet = Fleet::new(ingresses);
    let mut schedule = Schedule::new(PER_MINUTE as usize);
    let (budget, mut pause) = (Arc::new(Budget::new(PER_MINUTE)), Pause::new());
    let sent = Arc::new(Mutex::new(Vec::new()));
    let mut running: JoinSet<(Job, usize, Instant, Answer)> = JoinSet::new();
    let start = Instant::now();
    let lists = fleet.lists.keys().map(|kind| Job::List { project: "p".into(), collection: kind });
    schedule.lists(lists, start);
    schedule.groups(fleet.wants(), start);
    let (mut event, mut paused) = (start + events, Duration::ZERO);
    while start.elapsed() < time {
        let now = Instant::now();
        if now >= event {
            fleet.something_happens(now);
            schedule.groups(fleet.wants(), now);
            event += events;
        }
        let next = match pause.until(now) {
            Some(until) => Next::Wait(until),
            None => schedule.next(now),
        };
        let wake = match next {
            Next::Run(job) => {
                schedule.begin(&job);
                let (budget, sent, pages) = (budget.clone(), sent.clone(), fleet.pages(&job));
                let answer = match fastrand::u32(..10_000) {
                    0..3 => Answer::Throttled(Duration::from_secs(30)),
                    3..13 => Answer::Failed,
                    _ => Answer::Well,
                };
                let latency = Duration::from_millis(fastrand::u64(20..900));
                running.spawn(async move {
                    budget.acquire().await;
                    let began = Instant::now();
                    sent.lock().expect("nobody panics").push(began);
                    sleep(latency).await;
                    for _ in 1..pages {
                        budget.acquire().await;
                        sent.lock().expect("nobody panics").push(Instant::now());
                        sleep(latency).await;
                    }
                    (job, pages, began, answer)
                });
                continue;
            }
            Next::Wait(until) => until.min(event),
            Next::Idle => event,
        };
        tokio::select! {
            Some(Ok((job, pages, began, answer))) = running.join_next() => {
                let now = Instant::now();
                let until = pause.until(now).unwrap_or(now);
                match answer {
                    Answer::Well => {
                        pause.reset();
                        schedule.succeeded(&job, pages, now);
                        let awaited = fleet.awaited.len();
                        fleet.came(&job, began, now);
                        if awaited == 1 && fleet.awaited.is_empty() {
                            fleet.calm_down();
                            schedule.groups(fleet.wants(), now);
                        }
                    }
                    Answer::Failed => {
                        schedule.failed(&job, now);
                        fleet.failed.extend(Fleet::at(&job));
                        pause.begin(None, now);
                    }
                    Answer::Throttled(wait) => {
                        schedule.put_back(&job);
                        pause.begin(Some(wait), now);
                    }
                }
                paused += pause.until(now).unwrap_or(now) - until;
            }
            () = sleep_until(wake) => {}
        }
    }
    fleet.settle(Instant::now());
    let sent = std::mem::take(&mut *sent.lock().expect("nobody panics"));
    Seen { fleet, sent, paused }
}

/// The most requests that lie within one window of a minute.
fn most_in_a_minute(sent: &[Instant]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (at, time) in sent.iter().enumerate() {
        while *time - sent[first] >= MINUTE {
            first += 1;
        }
        most = most.max(at + 1 - first);
    }
    most
}

/// Lives for `time`, in which something happens every so often, and checks every promise.
async fn check(ingresses: usize, time: Duration, events: Duration) {
    let Seen { fleet, sent, paused } = live(ingresses, time, events).await;
    let most = most_in_a_minute(&sent);
    let age = |class: &str| fleet.oldest.get(class).copied().unwrap_or_default();
    let watched = fleet.urgent.values().filter(|urgency| matches!(urgency, Urgency::Unhealthy | Urgency::Young)).count();
    let settled = fleet.bound(Lane::Settled, 300, fleet.read.len());
    let bounds = [
        ("accused", MINUTE),
        ("changed", MINUTE),
        ("watched", fleet.bound(Lane::Watched, 20, watched)),
        ("settled", settled),
        ("failed once", settled * 2),
    ];
    let minutes = |time: Duration| format!("{:.1} min", time.as_secs_f64() / 60.0);
    println!(
        "{ingresses} Ingresses, {} groups, {} requests a round of lists, {} of {} paused: at most {most} reads in a minute, budget \
         {PER_MINUTE}; lists at most {} old",
        fleet.read.len(),
        fleet.round_of_lists(),
        minutes(paused),
        minutes(time),
        minutes(age("lists")),
    );
    assert!(most <= PER_MINUTE as usize, "{most} reads in a minute");
    for (class, bound) in bounds {
        println!("    {class}: facts at most {} old, bound {}", minutes(age(class)), minutes(bound));
        // Only who is urgent feels a single pause as such: for the others it is a part of all pauses.
        let pauses = if bound == MINUTE { Duration::from_secs(60) } else { paused };
        assert!(age(class) > Duration::ZERO || class == "failed once", "{class} was read");
        assert!(age(class) <= bound + pauses, "{class} of {ingresses}: {:?} of {bound:?}", age(class));
    }
}

#[tokio::test(start_paused = true)]
async fn ten_ingresses_are_fresh() {
    check(10, Duration::from_secs(3600), Duration::from_secs(97)).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_ingresses_are_all_read_in_time() {
    check(1000, Duration::from_secs(3 * 3600), Duration::from_secs(331)).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_ingresses_are_all_read_and_who_is_accused_within_a_minute() {
    check(10_000, Duration::from_secs(25 * 3600), Duration::from_secs(2 * 3600 + 7)).await;
}
