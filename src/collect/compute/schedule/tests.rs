//! Tests of `schedule`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{
    CONCURRENCY, CONCURRENCY_ONCE, EAGER_LIST_INTERVAL, Job, LIST_INTERVAL, LISTS_AT_ONCE, Next, RESERVED, Schedule, Urgency,
};

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
    let mut schedule = Schedule::new(150);
    let start = Instant::now();
    schedule.groups([(group("changed"), Urgency::Changed), (group("settled"), Urgency::Settled)], start);
    let reads = run(&mut schedule, start, Duration::from_millis(400), Duration::from_secs(900));
    assert!((90..120).contains(&reads[&group("changed")].len()), "{}", reads[&group("changed")].len());
    assert_eq!(reads[&group("settled")].len(), 3);
}

#[test]
fn nobody_starves_when_the_budget_is_short() {
    let mut schedule = Schedule::new(150);
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
    // One read a second, six of ten for the urgent and four for the others: 200 s / 0.6 and 200 s / 0.4.
    for (job, reads) in reads {
        let bound = if matches!(&job, Job::Endpoints { group } if group.starts_with("urgent")) { 15 + 334 } else { 300 + 500 };
        assert!(longest(&reads) <= Duration::from_secs(bound), "{job:?}: {:?}", longest(&reads));
    }
}

#[test]
fn what_fails_waits_longer_each_time_until_it_becomes_urgent() {
    let mut schedule = Schedule::new(150);
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
    let mut schedule = Schedule::new(150);
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
    let mut schedule = Schedule::new(150);
    let now = Instant::now();
    schedule.lists([list("urlMaps")], now);
    schedule.succeeded(&list("urlMaps"), 1, now);
    assert_eq!(schedule.next(now), Next::Wait(now + LIST_INTERVAL));
    schedule.groups([(group("g"), Urgency::Changed)], now);
    schedule.succeeded(&group("g"), 1, now + LIST_INTERVAL);
    assert_eq!(schedule.next(now), Next::Wait(now + EAGER_LIST_INTERVAL));
    schedule.groups([], now);
    schedule.succeeded(&list("urlMaps"), 30, now);
    // Thirty requests are a sixth of what the budget gives in 72 s.
    assert_eq!(schedule.next(now), Next::Wait(now + Duration::from_secs(72)));
}

#[test]
fn lists_leave_room_and_one_place_is_kept_for_the_accused() {
    let mut schedule = Schedule::new(150);
    let now = Instant::now();
    schedule.lists(["urlMaps", "firewalls", "addresses", "subnetworks", "healthChecks"].map(list), now);
    let settled = (0..20).map(|number| (group(&format!("settled{number}")), Urgency::Settled));
    schedule.groups(settled.clone(), now);
    let mut begun = Vec::new();
    while let Next::Run(job) = schedule.next(now) {
        schedule.begin(&job);
        begun.push(job);
    }
    assert_eq!(begun.len(), 7, "{begun:?}");
    assert!(begun.iter().filter(|job| job.is_list()).count() <= 4);
    let accused = group("accused");
    schedule.groups(settled.chain([(accused.clone(), Urgency::Accused)]), now);
    assert_eq!(schedule.next(now), Next::Run(accused.clone()));
    schedule.begin(&accused);
    assert_eq!(schedule.next(now), Next::Idle);
    assert!(schedule.is_awaited(&accused) && !schedule.all_tried());
    schedule.succeeded(&accused, 1, now);
    assert_eq!(schedule.next(now), Next::Wait(now + Duration::from_secs(8)), "the other places are taken");
    schedule.put_back(&begun[0]);
    assert!(matches!(schedule.next(now), Next::Run(_)));
}

/// How many of twelve lists, and then of them and fifty groups, are begun before any of them has ended.
fn begun_at_once(mut schedule: Schedule) -> (usize, usize) {
    let start = Instant::now();
    let begin_all = |schedule: &mut Schedule| {
        while let Next::Run(job) = schedule.next(start) {
            schedule.begin(&job);
        }
        schedule.running.len()
    };
    schedule.lists(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"].map(list), start);
    let lists = begin_all(&mut schedule);
    schedule.groups((0..50).map(|number| (group(&number.to_string()), Urgency::Changed)), start);
    (lists, begin_all(&mut schedule))
}

#[test]
fn who_goes_when_all_is_read_asks_for_more_at_once() {
    assert_eq!(begun_at_once(Schedule::new(150)), (LISTS_AT_ONCE, CONCURRENCY - RESERVED));
    assert_eq!(begun_at_once(Schedule::for_once(150)), (12, CONCURRENCY_ONCE - RESERVED));
    let mut again = Schedule::for_once(150);
    again.clear();
    assert_eq!(begun_at_once(again), (12, CONCURRENCY_ONCE - RESERVED), "it stays so when everything is forgotten");
}
