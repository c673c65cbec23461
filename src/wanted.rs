//! From what diagnoses want to what the collector is told to read.
//!
//! Enters: a [`Topology`]. Leaves: [`Wanted`], in the collector's own words, and the wishes of all targets as one. Never: reads, or waits.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::collect::{ComputeReader, Prober, Question, Urgency, Want};
use crate::topology::Topology;
use crate::topology::wants::WantedGroup;

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
    /// Some questions have no answer yet.
    pub unasked: bool,
}

impl Wanted {
    /// What the diagnosis of this target wants to be read.
    pub fn of(topology: &Topology<'_>) -> Self {
        let mut wants = topology.wants();
        wants.groups.retain(|group| !group.backend_service.is_empty() || group.group.contains("/networkEndpointGroups/"));
        let young = topology.young();
        let questions = wants.questions.iter().map(|question| Question {
            pod: question.pod.key().into(),
            ip: question.ip,
            port: question.port,
            scheme: question.scheme,
            path: question.path.into(),
            host: question.host.into(),
            timeout: Duration::from_secs(u64::try_from(question.timeout_sec).unwrap_or(5)),
        });
        Self {
            questions: questions.collect(),
            groups: wants.groups.iter().map(|group| want(group, young)).collect(),
            confirm: wants
                .groups
                .iter()
                .filter(|group| group.confirm)
                .map(|group| (group.backend_service.as_str().into(), group.group.as_str().into()))
                .collect(),
            lists_pending: wants.lists_pending,
            groups_pending: wants.groups.iter().any(|group| !group.known),
            unasked: wants.unasked,
        }
    }
}

fn want(group: &WantedGroup, young: bool) -> Want {
    Want {
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
