//! NegNotAttached: a standalone network endpoint group is in no backend service.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::snapshot::compute::{BackendService, NetworkEndpointGroup};
use crate::snapshot::kubernetes::NEG_READINESS_GATE;
use crate::topology::{Backend, Group, Role, State, Topology, vpc};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NegNotAttached",
    section: Section::Groups,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "a standalone network endpoint group is in no backend service",
    doc: include_str!("neg_not_attached.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

/// What the gate says of a pod whose group nobody health-checks.
const WITHOUT_HEALTH_CHECK: &str = "LoadBalancerNegWithoutHealthCheck";

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Standalone || backend.port.is_none() || topology.meta().deletion_timestamp.is_some() {
        return Ok(None);
    }
    let groups = backend.groups.as_ref().map_err(Clone::clone)?;
    // A group of that name that somebody else made is NegNameConflict's.
    let compute = &topology.snapshot.compute;
    let mut own = Vec::new();
    for group in groups {
        let foreign = match compute.get::<NetworkEndpointGroup>(&group.path).seen() {
            Some(neg) => backend.is_foreign(topology, neg)?,
            None => false,
        };
        if !foreign {
            own.push(group);
        }
    }
    let groups = own;
    let Some(name) = backend.neg_name.as_deref().filter(|_| !groups.is_empty()) else { return Ok(None) };
    let used = |group: &Group<'_>| topology.fleet.users_of_group.contains_key(&*group.path) || is_checked(group);
    let unused: Vec<_> = groups.iter().copied().filter(|group| !used(group)).collect();
    let holds = |group: &Group<'_>| group.members.as_ref().is_ok_and(|members| !members.is_empty());
    // Where the groups of other zones are used, an empty one serves nobody's traffic.
    let idle: Vec<_> =
        if unused.len() == groups.len() { unused } else { unused.into_iter().filter(|group| holds(group)).collect() };
    let gate = backend
        .pods
        .as_deref()
        .unwrap_or_default()
        .iter()
        .find(|pod| pod.condition(NEG_READINESS_GATE).is_some_and(|condition| &*condition.reason == WITHOUT_HEALTH_CHECK));
    if idle.is_empty() {
        return Ok(unchecked(topology, backend, name));
    }
    // A backend service that uses the group may be among those that could not be read.
    drop(compute.in_scope::<BackendService>(&format!("projects/{}/", topology.project()))?);
    let zones = some_of(idle.iter().map(|group| group.zone()), 4);
    let all = idle.len() == groups.len();
    let message = if all {
        format!("network endpoint group {name:?} is in no backend service: no load balancer sends requests to its pods")
    } else {
        format!(
            "network endpoint group {name:?} of {zones} is in no backend service: no load balancer sends requests to its pods there"
        )
    };
    let mut finding = Finding::certain(message).evidence(format!("backend services that use {name} of {zones}"), "none");
    if let Some(pod) = gate {
        finding = finding.evidence(format!("pod {} condition {NEG_READINESS_GATE}", pod.key()), WITHOUT_HEALTH_CHECK);
    }
    if let Some(group) = idle.iter().find(|group| holds(group)).or(idle.first()) {
        // The backend service that has the other zones' groups is the one that lacks this one.
        let user = vpc::users(topology, backend).map(|(path, _)| path).next();
        finding = finding.fix(attach(topology, name, group, user));
    }
    if idle.len() > 1 {
        finding = finding.fix(format!("do the same for the group of every zone: {zones}"));
    }
    Ok(Some(finding.fix(format!(
        "or, if nobody needs it, take exposed_ports out of the annotation cloud.google.com/neg of Service {}",
        backend.service_name
    ))))
}

/// A health check looks at an endpoint of the group: some backend service uses it, whether or not that one was read.
fn is_checked(group: &Group<'_>) -> bool {
    group.members.as_ref().is_ok_and(|members| members.iter().any(|member| member.state != State::Unknown))
}

/// Every backend service that uses the group lacks a health check.
fn unchecked(topology: &Topology<'_>, backend: &Backend<'_>, name: &str) -> Option<Finding> {
    if backend.members_seen().any(|member| member.state != State::Unknown) {
        return None;
    }
    let users: Vec<_> = vpc::users(topology, backend).collect();
    let (path, user) = users.first()?;
    let pods = backend.pods.as_deref().unwrap_or_default();
    let gate = pods
        .iter()
        .find(|pod| pod.condition(NEG_READINESS_GATE).is_some_and(|condition| &*condition.reason == WITHOUT_HEALTH_CHECK))?;
    users.iter().all(|(_, user)| user.health_checks.is_empty()).then(|| {
        Finding::certain(format!(
            "network endpoint group {name:?} is in backend service {:?}, which has no health check: pods count as ready at once",
            user.name
        ))
        .evidence(format!("backend service {path} healthChecks"), "none")
        .evidence(format!("pod {} condition {NEG_READINESS_GATE}", gate.key()), WITHOUT_HEALTH_CHECK)
        .fix(format!("give backend service {} a health check", user.name))
    })
}

/// Puts the group of one zone into a backend service.
fn attach(topology: &Topology<'_>, name: &str, group: &Group<'_>, user: Option<&str>) -> String {
    let command = |backend_service: &str, scope: &str| {
        format!(
            "gcloud compute backend-services add-backend {backend_service} {scope} --project={} --network-endpoint-group={} \
             --network-endpoint-group-zone={} --balancing-mode=RATE --max-rate-per-endpoint=100",
            quote(topology.project()),
            quote(name),
            quote(group.zone())
        )
    };
    match user {
        Some(path) => {
            let scope = crate::snapshot::compute::location(path)
                .map_or_else(|| "--global".to_owned(), |region| format!("--region={}", quote(region)));
            command(&quote(path.rsplit('/').next().unwrap_or(path)), &scope)
        }
        None => format!(
            "put it into the backend service that is meant to use it (here BACKEND_SERVICE): {}",
            command("BACKEND_SERVICE", "--global")
        ),
    }
}
