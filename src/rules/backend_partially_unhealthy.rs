//! BackendPartiallyUnhealthy: some endpoints of a backend pass the health check, some do not.

use super::text::{counted, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::Unknown;
use crate::topology::{Backend, GroupKind, Member, State, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "BackendPartiallyUnhealthy",
    section: Section::Health,
    severity: Severity::Warning,
    symptom: true,
    unhandled: false,
    summary: "the load balancer finds some endpoints of the backend unhealthy",
    doc: include_str!("backend_partially_unhealthy.md"),
    explains: &["ReadinessGateBlocked", "ReadinessGateTimedOut"],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let healthy = backend.count(State::Healthy);
    let failing: Vec<_> = backend.unhealthy().filter(|member| lasting(topology, backend, member)).collect();
    if healthy == 0 || failing.is_empty() {
        return Ok(None);
    }
    may_be_by_design(backend)?;
    let total = backend.members_seen().count();
    let behind = |member: &&Member<'_>| member.pod.map_or_else(|| format!("node {}", member.node), |pod| format!("pod {}", pod.metadata.name));
    let mut finding = Finding::certain(format!(
        "the load balancer finds {} of the {} of {} unhealthy: {}",
        failing.len(),
        counted(total, "endpoint"),
        backend.name,
        some_of(failing.iter().map(behind), 3)
    ));
    for group in backend.groups.as_deref().unwrap_or_default() {
        let count = |state| group.members.as_deref().unwrap_or_default().iter().filter(|member| member.state == state).count();
        if count(State::Unhealthy) > 0 {
            finding = finding.evidence(
                format!("group {} in {}", group.name(), group.zone()),
                format!("{} healthy, {} unhealthy", count(State::Healthy), count(State::Unhealthy)),
            );
        }
    }
    for member in &failing {
        finding = finding.evidence(format!("health of {} ({})", member.place(), behind(member)), "UNHEALTHY");
    }
    Ok(Some(finding.fix(format!(
        "compare {} with the healthy ones: image, node, zone, configuration",
        some_of(failing.iter().map(behind), 3)
    ))))
}

/// Behind `externalTrafficPolicy: Local` nodes without a pod fail by design: which ones have a pod must be known.
fn may_be_by_design(backend: &Backend<'_>) -> Result<(), Unknown> {
    let local = backend.service.as_ref().seen().is_none_or(|service| &*service.spec.external_traffic_policy == "Local");
    if backend.kind != GroupKind::InstanceGroup || !local {
        return Ok(());
    }
    backend.pods.as_ref().map_err(Clone::clone)?;
    backend.endpoints.as_ref().map_err(Clone::clone)?;
    Ok(())
}

/// It has failed for longer than a rollout may take, and is not on its way out.
fn lasting(topology: &Topology<'_>, backend: &Backend<'_>, member: &Member<'_>) -> bool {
    match member.pod {
        Some(pod) => !pod.terminating() && topology.lasted_when_read(backend, pod.serving_since(), topology.grace.partially_unhealthy),
        None => {
            let node = topology.snapshot.kubernetes.nodes.get("", &member.node).seen();
            let since = node.and_then(|node| node.metadata.creation_timestamp);
            topology.lasted_when_read(backend, since, topology.grace.partially_unhealthy)
        }
    }
}
