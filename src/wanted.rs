//! From what diagnoses want to what the collector is told to read.
//!
//! Enters: a [`Topology`]. Leaves: [`Wanted`], in the collector's own words, and the wishes of all targets as one. Never: reads, or waits.

mod urgency;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::collect::{ComputeReader, Prober, Question, Want};
use crate::topology::Topology;
use urgency::{Looked, Moment, Wishes};

/// What one target wants to be read.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Groups of endpoints.
    pub groups: Vec<Want>,
    /// Backend services and groups of which a second opinion is wanted.
    pub confirm: Vec<(Box<str>, Box<str>)>,
    /// Questions to pods.
    pub questions: Vec<Question>,
    /// Something that is listed whole was not read yet, nor refused.
    pub lists_pending: bool,
    /// The same of a group.
    pub groups_pending: bool,
    /// The last try to read the health of a group failed, and not for good.
    pub failing: bool,
    /// Some questions have no answer yet.
    pub unasked: bool,
    /// Places of backends whose groups were read before their endpoints last changed in Kubernetes.
    outdated: BTreeSet<usize>,
    looked: Looked,
    target: Target,
}

/// What was seen of the target itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Target {
    seen: u64,
    changed: Option<Timestamp>,
}

impl Target {
    /// The first time it counts as changed when it was made.
    fn of(topology: &Topology<'_>, before: Option<Self>) -> Self {
        let seen = topology.fingerprint();
        let changed = match before {
            Some(before) if before.seen == seen => before.changed,
            Some(_) => Some(topology.now),
            None => topology.meta().creation_timestamp,
        };
        Self { seen, changed }
    }
}

impl Wanted {
    /// What the diagnosis of this target wants to be read.
    pub fn of(topology: &Topology<'_>) -> Self {
        Self::again(topology, None)
    }

    /// The same for a target that was looked at before: what has changed since then is urgent.
    pub fn again(topology: &Topology<'_>, before: Option<&Self>) -> Self {
        let mut wants = topology.wants();
        wants.groups.retain(|group| !group.backend_service.is_empty() || group.group.contains("/networkEndpointGroups/"));
        let listed = !wants.lists_pending;
        let moment = Moment { young: topology.young(), listed, rollout: topology.grace.rollout, now: topology.now };
        let compute = &topology.snapshot.compute;
        let read_at = |backend_service: &str, group: &str| compute.group_read_at(backend_service, group);
        let Wishes { groups, outdated, looked } =
            urgency::wishes(&wants.groups, before.map(|before| &before.looked), moment, read_at);
        let questions = wants.questions.iter().map(|question| Question {
            pod: question.pod.key().into(),
            ip: question.ip,
            port: question.port,
            scheme: question.scheme,
            http2: question.http2,
            path: question.path.into(),
            host: question.host.into(),
            timeout: Duration::from_secs(u64::try_from(question.timeout_sec).unwrap_or(5)),
        });
        Self {
            questions: questions.collect(),
            groups,
            confirm: wants
                .groups
                .iter()
                .filter(|group| group.confirm)
                .map(|group| (group.backend_service.as_str().into(), group.group.as_str().into()))
                .collect(),
            lists_pending: wants.lists_pending,
            groups_pending: wants.groups.iter().any(|group| !group.known),
            failing: wants.failing,
            unasked: wants.unasked,
            outdated,
            looked,
            target: Target::of(topology, before.map(|before| before.target)),
        }
    }

    /// Says in a topology what Kubernetes has overtaken, so that nothing new is said on such facts.
    pub fn overtake(&self, topology: &mut Topology<'_>) {
        topology.set_outdated(&self.outdated);
        topology.changed_at = self.target.changed;
    }
}

/// Tells the collector what all targets together want, in the place of what they wanted before.
pub fn tell<'a>(wanted: impl Iterator<Item = &'a Wanted> + Clone, compute: &ComputeReader, prober: &Prober) {
    let mut groups: Vec<_> = wanted.clone().flat_map(|wanted| wanted.groups.iter().cloned()).collect();
    // Two Ingresses may share a backend: the more urgent wish stands.
    groups.sort_by(|a, b| (&a.group, &a.backend_service, a.urgency).cmp(&(&b.group, &b.backend_service, b.urgency)));
    groups.dedup_by(|a, b| a.group == b.group && a.backend_service == b.backend_service);
    compute.want(groups);
    let confirm: BTreeSet<_> = wanted.clone().flat_map(|wanted| wanted.confirm.iter().cloned()).collect();
    compute.confirm(confirm.into_iter().collect());
    let questions: BTreeSet<_> = wanted.flat_map(|wanted| wanted.questions.iter().cloned()).collect();
    prober.want(questions.into_iter().collect());
}
