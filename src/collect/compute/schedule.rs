//! What to read next.
//!
//! Enters: what is wanted and how urgently, what was read and when. Leaves: the read that is most overdue. Never: reads; starves anybody:
//! when the budget is short every waiting time is stretched by the same factor.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How soon a read is worth repeating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Something about it changed in Kubernetes a moment ago.
    Changed,
    /// Not all of its endpoints are healthy.
    Unhealthy,
    /// It was made a short while ago.
    Young,
    /// Healthy for long.
    Settled,
}

impl Urgency {
    fn interval(self) -> Duration {
        Duration::from_secs(match self {
            Self::Changed => 8,
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

/// How often a list is read again while requests are needed for much else.
const LIST_INTERVAL: Duration = Duration::from_secs(45);

/// The same while something is new or has changed, and few requests are needed.
const EAGER_LIST_INTERVAL: Duration = Duration::from_secs(15);

/// Requests of one round of lists up to which they are read eagerly.
const EAGER_PAGES: usize = 24;

/// What failed is asked for again no sooner than this, doubled with every failure.
const FAILED_RETRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// What was never read counts as if it had waited so many intervals more: it comes before repetitions, but not before all of them.
const HEAD_START: f64 = 4.0;

#[derive(Debug)]
struct Entry {
    interval: Duration,
    /// Since when it is wanted.
    wanted: Instant,
    /// When the last attempt ended.
    last: Option<Instant>,
    not_before: Option<Instant>,
    failures: u32,
    /// Requests that the last attempt took.
    pages: usize,
    running: bool,
    /// Whether it was tried at all, well or not.
    tried: bool,
}

impl Entry {
    fn new(interval: Duration, wanted: Instant) -> Self {
        Self { interval, wanted, last: None, not_before: None, failures: 0, pages: 1, running: false, tried: false }
    }

    /// What failed is due when its pause ends: until then nothing is known, or what is known grows old.
    fn due(&self) -> Option<Instant> {
        self.not_before.or_else(|| self.last.map(|last| last + self.interval))
    }

    /// How many of its intervals have passed.
    fn overdue(&self, now: Instant) -> f64 {
        let (since, head_start) = match self.last {
            Some(last) => (last, 0.0),
            None => (self.wanted, HEAD_START),
        };
        head_start + now.duration_since(since).as_secs_f64() / self.interval.as_secs_f64()
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
#[derive(Debug, Default)]
pub(super) struct Schedule {
    entries: BTreeMap<Job, Entry>,
    eager: bool,
}

impl Schedule {
    /// Sets what lists are read.
    pub(super) fn lists(&mut self, lists: impl IntoIterator<Item = Job>, now: Instant) {
        let wanted: BTreeMap<Job, Duration> = lists.into_iter().map(|job| (job, LIST_INTERVAL)).collect();
        self.replace(&wanted, now, |job| matches!(job, Job::List { .. }));
        self.pace_lists();
    }

    /// Sets what groups are read, with the most urgent reason for each.
    pub(super) fn groups(&mut self, groups: impl IntoIterator<Item = (Job, Urgency)>, now: Instant) {
        let mut wanted: BTreeMap<Job, Duration> = BTreeMap::new();
        self.eager = false;
        for (job, urgency) in groups {
            self.eager |= matches!(urgency, Urgency::Changed | Urgency::Young);
            let interval = wanted.entry(job).or_insert(urgency.interval());
            *interval = (*interval).min(urgency.interval());
        }
        self.replace(&wanted, now, |job| !matches!(job, Job::List { .. }));
        self.pace_lists();
    }

    /// The read that is most overdue.
    pub(super) fn next(&self, now: Instant) -> Next {
        let mut best: Option<(f64, &Job)> = None;
        let mut soonest: Option<Instant> = None;
        for (job, entry) in self.entries.iter().filter(|(_, entry)| !entry.running) {
            match entry.due().filter(|due| *due > now) {
                Some(due) => soonest = Some(soonest.map_or(due, |soonest| soonest.min(due))),
                None => {
                    let overdue = entry.overdue(now);
                    if best.is_none_or(|(most, _)| overdue > most) {
                        best = Some((overdue, job));
                    }
                }
            }
        }
        match (best, soonest) {
            (Some((_, job)), _) => Next::Run(job.clone()),
            (None, Some(soonest)) => Next::Wait(soonest),
            (None, None) => Next::Idle,
        }
    }

    /// Whether a read is wanted.
    pub(super) fn knows(&self, job: &Job) -> bool {
        self.entries.contains_key(job)
    }

    /// A read has begun.
    pub(super) fn begin(&mut self, job: &Job) {
        if let Some(entry) = self.entries.get_mut(job) {
            entry.running = true;
        }
    }

    /// A read has ended well, after so many requests.
    pub(super) fn succeeded(&mut self, job: &Job, pages: usize, now: Instant) {
        if let Some(entry) = self.entries.get_mut(job) {
            *entry = Entry { last: Some(now), pages, tried: true, ..Entry::new(entry.interval, entry.wanted) };
        }
        self.pace_lists();
    }

    /// A read has failed: it is tried again later each time, and at once when it becomes more urgent.
    pub(super) fn failed(&mut self, job: &Job, now: Instant) {
        if let Some(entry) = self.entries.get_mut(job) {
            let wait = FAILED_RETRY.0.saturating_mul(1 << entry.failures.min(8)).min(FAILED_RETRY.1);
            entry.failures += 1;
            entry.running = false;
            entry.tried = true;
            entry.last = Some(now);
            entry.not_before = Some(now + wait);
        }
    }

    /// A read was given up through no fault of its own.
    pub(super) fn put_back(&mut self, job: &Job) {
        if let Some(entry) = self.entries.get_mut(job) {
            entry.running = false;
            entry.tried = true;
        }
    }

    /// Nothing can be read now, so there is nothing to wait for either.
    pub(super) fn put_all_back(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.tried = true);
    }

    /// Whether everything that is wanted was tried.
    pub(super) fn all_tried(&self) -> bool {
        !self.entries.is_empty() && self.entries.values().all(|entry| entry.tried)
    }

    fn replace(&mut self, wanted: &BTreeMap<Job, Duration>, now: Instant, mine: impl Fn(&Job) -> bool) {
        self.entries.retain(|job, _| !mine(job) || wanted.contains_key(job));
        for (job, interval) in wanted {
            let entry = self.entries.entry(job.clone()).or_insert_with(|| Entry::new(*interval, now));
            if *interval < entry.interval {
                // What became urgent does not wait for the end of a long pause.
                entry.not_before = None;
                entry.failures = 0;
            }
            entry.interval = *interval;
        }
    }

    fn pace_lists(&mut self) {
        let lists = |job: &Job| matches!(job, Job::List { .. });
        let pages: usize = self.entries.iter().filter(|(job, _)| lists(job)).map(|(_, entry)| entry.pages).sum();
        let interval = if self.eager && pages <= EAGER_PAGES { EAGER_LIST_INTERVAL } else { LIST_INTERVAL };
        for (_, entry) in self.entries.iter_mut().filter(|(job, _)| lists(job)) {
            entry.interval = interval;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{EAGER_LIST_INTERVAL, Job, LIST_INTERVAL, Next, Schedule, Urgency};

    fn group(name: &str) -> Job {
        Job::Endpoints { group: name.into() }
    }

    fn list(collection: &'static str) -> Job {
        Job::List { project: "p".into(), collection }
    }

    /// Reads what is most overdue every `pace`, for `time`; gives the moments of each read.
    fn run(schedule: &mut Schedule, start: Instant, pace: Duration, time: Duration) -> BTreeMap<Job, Vec<Duration>> {
        let mut reads: BTreeMap<Job, Vec<Duration>> = BTreeMap::new();
        let mut now = start;
        while now < start + time {
            if let Next::Run(job) = schedule.next(now) {
                schedule.begin(&job);
                reads.entry(job.clone()).or_default().push(now - start);
                schedule.succeeded(&job, 1, now);
            }
            now += pace;
        }
        reads
    }

    #[test]
    fn what_is_urgent_is_read_often_and_what_is_settled_rarely() {
        let mut schedule = Schedule::default();
        let start = Instant::now();
        schedule.groups([(group("changed"), Urgency::Changed), (group("settled"), Urgency::Settled)], start);
        let reads = run(&mut schedule, start, Duration::from_millis(400), Duration::from_secs(900));
        assert!((90..120).contains(&reads[&group("changed")].len()), "{}", reads[&group("changed")].len());
        assert_eq!(reads[&group("settled")].len(), 3);
    }

    #[test]
    fn nobody_starves_when_the_budget_is_short() {
        let mut schedule = Schedule::default();
        let urgent = (0..200).map(|number| (group(&format!("urgent{number}")), Urgency::Unhealthy));
        let settled = (0..200).map(|number| (group(&format!("settled{number}")), Urgency::Settled));
        let start = Instant::now();
        schedule.groups(urgent.chain(settled), start);
        let reads = run(&mut schedule, start, Duration::from_secs(1), Duration::from_secs(7200));
        assert_eq!(reads.len(), 400);
        let longest = |reads: &[Duration]| {
            let ends = reads.iter().skip(1).copied().chain([Duration::from_secs(7200)]);
            reads.iter().zip(ends).map(|(start, end)| end - *start).max().unwrap_or_default()
        };
        // 200 / 15 s + 200 / 300 s = 14 reads a second are wanted, one is allowed: every interval is stretched fourteenfold.
        for (job, reads) in reads {
            let bound = if matches!(&job, Job::Endpoints { group } if group.starts_with("urgent")) { 350 } else { 5400 };
            assert!(longest(&reads) <= Duration::from_secs(bound), "{job:?}: {:?}", longest(&reads));
        }
    }

    #[test]
    fn what_fails_waits_longer_each_time_until_it_becomes_urgent() {
        let mut schedule = Schedule::default();
        let start = Instant::now();
        schedule.groups([(group("g"), Urgency::Settled)], start);
        schedule.failed(&group("g"), start);
        assert_eq!(schedule.next(start), Next::Wait(start + Duration::from_secs(10)));
        schedule.groups([(group("g"), Urgency::Changed)], start);
        assert_eq!(schedule.next(start), Next::Wait(start + Duration::from_secs(8)));
        schedule.failed(&group("g"), start);
        schedule.failed(&group("g"), start);
        assert_eq!(schedule.next(start), Next::Wait(start + Duration::from_secs(20)));
        schedule.succeeded(&group("g"), 1, start);
        assert_eq!(schedule.next(start), Next::Wait(start + Duration::from_secs(8)));
    }

    #[test]
    fn what_is_no_longer_wanted_is_forgotten() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        schedule.lists([list("urlMaps")], now);
        schedule.groups([(group("g"), Urgency::Young)], now);
        schedule.groups([], now);
        assert_eq!(schedule.next(now), Next::Run(list("urlMaps")));
        schedule.begin(&list("urlMaps"));
        assert_eq!(schedule.next(now), Next::Idle);
    }

    #[test]
    fn lists_are_read_sooner_after_a_change_when_they_are_small() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        schedule.lists([list("urlMaps")], now);
        schedule.succeeded(&list("urlMaps"), 1, now);
        assert_eq!(schedule.next(now), Next::Wait(now + LIST_INTERVAL));
        schedule.groups([(group("g"), Urgency::Changed)], now);
        schedule.succeeded(&group("g"), 1, now + LIST_INTERVAL);
        assert_eq!(schedule.next(now), Next::Wait(now + EAGER_LIST_INTERVAL));
        schedule.succeeded(&list("urlMaps"), 30, now);
        assert_eq!(schedule.next(now), Next::Wait(now + LIST_INTERVAL));
    }
}
