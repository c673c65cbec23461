//! What to read next.
//!
//! Enters: what is wanted and how urgently, what was read and when. Leaves: the read whose turn it is. Never: reads; starves anybody.
//!
//! ```text
//!  lane       holds                                                     weight   again after
//!  Lists      what is listed whole                                           2   45 s, 15 s while something is new, longer when long
//!  Accused    groups that GKE calls unhealthy, not read since                6   8 s
//!  Changed    groups that changed in Kubernetes or are new, not read since   6   8 s
//!  Watched    groups with failing endpoints, and young ones                  6   15 s, 20 s
//!  Settled    all the others                                                 4   5 min
//! ```
//!
//! Within a lane whoever is due first is read first, and goes to the end of the line. A lane in which nothing is due leaves its turn to
//! the others. So the facts of a group are never older than
//!
//! ```text
//!  again after  +  groups in its lane / (reads a minute for groups × weight of its lane / weights of the groups' lanes in use)
//! ```
//!
//! and what GKE calls unhealthy is read within a minute in a fleet of any size, as long as it is a few dozen at a time. Reads a minute for
//! groups are what the lists leave: five sixths of what the budget gives, half of it while lists are read eagerly. A pause that the API asks
//! for comes on top, and a read that fails has had its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// How soon a read is worth repeating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// GKE calls its backend unhealthy, and it was not read since.
    Accused,
    /// Something about it changed in Kubernetes, and it was not read since.
    Changed,
    /// Not all of its endpoints are healthy.
    Unhealthy,
    /// It was made or changed a short while ago.
    Young,
    /// Healthy for long, or never read with nothing that speaks against it.
    Settled,
}

impl Urgency {
    fn interval(self) -> Duration {
        Duration::from_secs(match self {
            Self::Accused | Self::Changed => 8,
            Self::Unhealthy => 15,
            Self::Young => 20,
            Self::Settled => 300,
        })
    }
}

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Job {
    /// All resources of a kind in a project.
    List {
        /// The project.
        project: Box<str>,
        /// `backendServices`, …
        collection: &'static str,
    },
    /// The endpoints of a network endpoint group, with their health.
    Endpoints {
        /// Its path.
        group: Box<str>,
    },
    /// What a backend service's health check says of a group.
    Health {
        /// Path of the backend service.
        backend_service: Box<str>,
        /// Path of the group.
        group: Box<str>,
    },
}

impl Job {
    fn is_list(&self) -> bool {
        matches!(self, Self::List { .. })
    }
}

/// Reads at once.
pub(super) const CONCURRENCY: usize = 8;

/// Of them no more than these may be lists: each has many pages, and a group must not wait for their end.
const LISTS_AT_ONCE: usize = 4;

/// Reads at once of whoever reads once and goes; all lists are among the first of them.
const CONCURRENCY_ONCE: usize = 16;

/// Of them this many are free for those that GKE calls unhealthy.
const RESERVED: usize = 1;

/// How often a list is read again while requests are needed for much else.
const LIST_INTERVAL: Duration = Duration::from_secs(45);

/// The same while something is new or has changed, and few requests are needed.
const EAGER_LIST_INTERVAL: Duration = Duration::from_secs(15);

/// Requests of one round of lists up to which they are read eagerly.
const EAGER_PAGES: usize = 24;

/// Lists may use one part in so many of the budget, and one in so many while they are read eagerly.
const LIST_PART: (usize, usize) = (6, 2);

/// What failed is asked for again no sooner than this, doubled with every failure.
const FAILED_RETRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// One of the lines in which reads wait for their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Lists,
    Accused,
    Changed,
    Watched,
    Settled,
}

impl Lane {
    const ALL: [Self; 5] = [Self::Accused, Self::Changed, Self::Watched, Self::Lists, Self::Settled];

    /// Turns that it gets while every lane has something to do.
    fn weight(self) -> u64 {
        match self {
            Self::Accused | Self::Changed | Self::Watched => 6,
            Self::Settled => 4,
            Self::Lists => 2,
        }
    }

    /// What one request of it costs, so that equal costs mean turns by weight.
    fn cost(self) -> u64 {
        12 / self.weight()
    }
}

#[derive(Debug)]
struct Entry {
    urgency: Urgency,
    interval: Duration,
    /// Since when it is wanted so urgently.
    wanted: Instant,
    /// When the last attempt ended.
    last: Option<Instant>,
    not_before: Option<Instant>,
    failures: u32,
    /// Requests that the last attempt took.
    pages: usize,
    /// Whether it was tried at all, well or not.
    tried: bool,
}

impl Entry {
    fn new(urgency: Urgency, interval: Duration, wanted: Instant) -> Self {
        Self { urgency, interval, wanted, last: None, not_before: None, failures: 0, pages: 1, tried: false }
    }

    /// What failed is due when its pause ends: until then nothing is known, or what is known grows old.
    fn due(&self) -> Instant {
        self.not_before.unwrap_or_else(|| self.last.map_or(self.wanted, |last| last + self.interval))
    }

    fn lane(&self, job: &Job) -> Lane {
        match self.urgency {
            _ if job.is_list() => Lane::Lists,
            Urgency::Accused => Lane::Accused,
            Urgency::Changed => Lane::Changed,
            Urgency::Unhealthy | Urgency::Young if self.last.is_none() => Lane::Changed,
            Urgency::Unhealthy | Urgency::Young => Lane::Watched,
            Urgency::Settled => Lane::Settled,
        }
    }
}

/// What there is to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// This read.
    Run(Job),
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing until something is wanted or ends.
    Idle,
}

/// Everything that is read, and when.
#[derive(Debug)]
pub(super) struct Schedule {
    per_minute: usize,
    /// Reads at once, and of them lists.
    at_once: usize,
    lists_at_once: usize,
    entries: BTreeMap<Job, Entry>,
    /// Those that are not being read, by lane, then by when they are due.
    lines: [BTreeSet<(Instant, Job)>; 5],
    /// What each lane has used up, in [`Lane::cost`]s.
    used: [u64; 5],
    /// What whoever came last had used up: a lane that was idle saves up nothing.
    level: u64,
    running: BTreeSet<Job>,
    running_lists: usize,
    untried: usize,
    eager: bool,
}

impl Schedule {
    /// Nothing is wanted yet. `per_minute`: the budget, by which long lists are paced.
    pub(super) fn new(per_minute: usize) -> Self {
        Self {
            per_minute: per_minute.max(1),
            at_once: CONCURRENCY,
            lists_at_once: LISTS_AT_ONCE,
            entries: BTreeMap::new(),
            lines: Default::default(),
            used: [0; 5],
            level: 0,
            running: BTreeSet::new(),
            running_lists: 0,
            untried: 0,
            eager: false,
        }
    }

    /// For whoever reads once and goes: somebody waits for all of it, and for nothing that comes later.
    pub(super) fn for_once(per_minute: usize) -> Self {
        Self { at_once: CONCURRENCY_ONCE, lists_at_once: CONCURRENCY_ONCE, ..Self::new(per_minute) }
    }

    /// Nothing is wanted any longer.
    pub(super) fn clear(&mut self) {
        let (at_once, lists_at_once) = (self.at_once, self.lists_at_once);
        *self = Self { at_once, lists_at_once, ..Self::new(self.per_minute) };
    }

    /// Sets what lists are read.
    pub(super) fn lists(&mut self, lists: impl IntoIterator<Item = Job>, now: Instant) {
        let wanted: BTreeMap<Job, Urgency> = lists.into_iter().map(|job| (job, Urgency::Settled)).collect();
        self.replace(&wanted, now, Job::is_list);
        self.pace_lists();
    }

    /// Sets what groups are read, with the most urgent reason for each.
    pub(super) fn groups(&mut self, groups: impl IntoIterator<Item = (Job, Urgency)>, now: Instant) {
        let mut wanted: BTreeMap<Job, Urgency> = BTreeMap::new();
        self.eager = false;
        for (job, urgency) in groups {
            self.eager |= matches!(urgency, Urgency::Accused | Urgency::Changed | Urgency::Young);
            let known = wanted.entry(job).or_insert(urgency);
            *known = (*known).min(urgency);
        }
        self.replace(&wanted, now, |job| !job.is_list());
        self.pace_lists();
    }

    /// The read whose turn it is.
    pub(super) fn next(&self, now: Instant) -> Next {
        let mut best: Option<(u64, &Job)> = None;
        let mut soonest: Option<Instant> = None;
        for lane in Lane::ALL.into_iter().filter(|lane| self.has_room(*lane)) {
            let Some((due, job)) = self.lines[lane as usize].first() else { continue };
            if *due > now {
                soonest = Some(soonest.map_or(*due, |soonest| soonest.min(*due)));
                continue;
            }
            let used = self.used[lane as usize].max(self.level);
            if best.is_none_or(|(least, _)| used < least) {
                best = Some((used, job));
            }
        }
        match (best, soonest) {
            (Some((_, job)), _) => Next::Run(job.clone()),
            (None, Some(soonest)) => Next::Wait(soonest),
            (None, None) => Next::Idle,
        }
    }

    /// Whether one more of a lane may be read beside those that are.
    fn has_room(&self, lane: Lane) -> bool {
        let running = self.running.len();
        match lane {
            Lane::Accused => running < self.at_once,
            Lane::Lists => running < self.at_once - RESERVED && self.running_lists < self.lists_at_once,
            Lane::Changed | Lane::Watched | Lane::Settled => running < self.at_once - RESERVED,
        }
    }

    /// Whether a read is wanted.
    pub(super) fn knows(&self, job: &Job) -> bool {
        self.entries.contains_key(job)
    }

    /// Somebody waits for this read: it was urgent, and not read since.
    pub(super) fn is_awaited(&self, job: &Job) -> bool {
        self.entries.get(job).is_some_and(|entry| matches!(entry.lane(job), Lane::Accused | Lane::Changed))
    }

    /// A read has begun.
    pub(super) fn begin(&mut self, job: &Job) {
        let Some(entry) = self.entries.get(job) else { return };
        let lane = entry.lane(job);
        let pages = u64::try_from(entry.pages).unwrap_or(u64::MAX);
        self.level = self.used[lane as usize].max(self.level);
        self.used[lane as usize] = self.level.saturating_add(lane.cost().saturating_mul(pages));
        self.lines[lane as usize].remove(&(entry.due(), job.clone()));
        if self.running.insert(job.clone()) && job.is_list() {
            self.running_lists += 1;
        }
    }

    /// A read has ended well, after so many requests.
    pub(super) fn succeeded(&mut self, job: &Job, pages: usize, now: Instant) {
        self.end(job, |entry| {
            *entry = Entry { last: Some(now), pages, ..Entry::new(entry.urgency, entry.interval, entry.wanted) };
        });
        if job.is_list() {
            self.pace_lists();
        }
    }

    /// A read has failed: it is tried again later each time, and at once when it becomes more urgent.
    pub(super) fn failed(&mut self, job: &Job, now: Instant) {
        self.end(job, |entry| {
            let wait = FAILED_RETRY.0.saturating_mul(1 << entry.failures.min(8)).min(FAILED_RETRY.1);
            entry.failures += 1;
            entry.last = Some(now);
            entry.not_before = Some(now + wait);
        });
    }

    /// A read was given up through no fault of its own.
    pub(super) fn put_back(&mut self, job: &Job) {
        self.end(job, |_| {});
    }

    /// Nothing can be read now, so there is nothing to wait for either.
    pub(super) fn put_all_back(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.tried = true);
        self.untried = 0;
    }

    /// Whether everything that is wanted was tried.
    pub(super) fn all_tried(&self) -> bool {
        !self.entries.is_empty() && self.untried == 0
    }

    fn end(&mut self, job: &Job, change: impl FnOnce(&mut Entry)) {
        if self.running.remove(job) && job.is_list() {
            self.running_lists -= 1;
        }
        let untried = &mut self.untried;
        edit(&mut self.entries, &mut self.lines, &self.running, job, |entry| {
            *untried -= usize::from(!entry.tried);
            change(entry);
            entry.tried = true;
        });
    }

    fn replace(&mut self, wanted: &BTreeMap<Job, Urgency>, now: Instant, mine: impl Fn(&Job) -> bool) {
        let gone = self.entries.iter().filter(|(job, _)| mine(job) && !wanted.contains_key(*job));
        for (job, entry) in gone {
            self.lines[entry.lane(job) as usize].remove(&(entry.due(), job.clone()));
            self.untried -= usize::from(!entry.tried);
        }
        self.entries.retain(|job, _| !mine(job) || wanted.contains_key(job));
        for (job, urgency) in wanted {
            match self.entries.get(job) {
                None => {
                    let interval = if job.is_list() { LIST_INTERVAL } else { urgency.interval() };
                    let entry = Entry::new(*urgency, interval, now);
                    if !self.running.contains(job) {
                        self.lines[entry.lane(job) as usize].insert((entry.due(), job.clone()));
                    }
                    self.untried += 1;
                    self.entries.insert(job.clone(), entry);
                }
                Some(entry) if !job.is_list() && entry.urgency != *urgency => {
                    edit(&mut self.entries, &mut self.lines, &self.running, job, |entry| {
                        if *urgency < entry.urgency {
                            // What became urgent does not wait for the end of a long pause.
                            entry.not_before = None;
                            entry.failures = 0;
                        }
                        entry.urgency = *urgency;
                        entry.interval = urgency.interval();
                    });
                }
                Some(_) => {}
            }
        }
    }

    /// Long lists are read less often, so that they leave the groups their part.
    fn pace_lists(&mut self) {
        let lists: Vec<Job> = self.entries.keys().take_while(|job| job.is_list()).cloned().collect();
        let pages: usize = lists.iter().filter_map(|job| self.entries.get(job)).map(|entry| entry.pages).sum();
        let eager = self.eager && pages <= EAGER_PAGES;
        let (shortest, part) = if eager { (EAGER_LIST_INTERVAL, LIST_PART.1) } else { (LIST_INTERVAL, LIST_PART.0) };
        let affordable = Duration::from_secs(u64::try_from(pages * part * 60 / self.per_minute).unwrap_or(u64::MAX));
        let interval = shortest.max(affordable);
        for job in lists {
            edit(&mut self.entries, &mut self.lines, &self.running, &job, |entry| entry.interval = interval);
        }
    }
}

/// Changes an entry, and puts it where it now belongs.
fn edit(
    entries: &mut BTreeMap<Job, Entry>,
    lines: &mut [BTreeSet<(Instant, Job)>; 5],
    running: &BTreeSet<Job>,
    job: &Job,
    change: impl FnOnce(&mut Entry),
) {
    let Some(entry) = entries.get_mut(job) else { return };
    let place = (entry.due(), job.clone());
    lines[entry.lane(job) as usize].remove(&place);
    change(entry);
    if !running.contains(job) {
        lines[entry.lane(job) as usize].insert((entry.due(), place.1));
    }
}

#[cfg(test)]
mod fleets;
#[cfg(test)]
mod tests;
