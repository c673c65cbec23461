//! PodsNotReady: pods run, and none is Ready.

use super::text::{counted, quote};
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "PodsNotReady",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "pods are scheduled, and none of them is Ready",
    doc: include_str!("pods_not_ready.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let Some(_) = backend.service.clone().known()? else { return Ok(None) };
    if backend.role == Role::SystemDefault || backend.port.is_none() {
        return Ok(None);
    }
    let pods = backend.pods.as_ref().map_err(Clone::clone)?;
    let live: Vec<_> = pods.iter().filter(|pod| !pod.finished() && !pod.terminating() && pod.scheduled()).collect();
    if live.is_empty() || live.iter().any(|pod| pod.serves()) {
        return Ok(None);
    }
    // A start takes its time; a container that has failed before does not need more of it.
    let starting = live.iter().all(|pod| !topology.lasted(pod.metadata.creation_timestamp, topology.grace.rollout) && !pod.has_failed());
    if starting {
        return Ok(None);
    }
    let (namespace, name) = (backend.namespace, backend.service_name);
    let mut finding = Finding::certain(format!("none of the {} of Service {name:?} is Ready: {}", counted(live.len(), "pod"), live[0].trouble()))
        .since(live.iter().filter_map(|pod| pod.condition("Ready")?.last_transition_time).max());
    for pod in &live {
        finding = finding.evidence(format!("pod {}", pod.key()), pod.trouble());
    }
    let pod = &live[0].metadata.name;
    let container = live[0].troubled_container().map(|container| format!(" -c {}", quote(container))).unwrap_or_default();
    let previous = if live[0].has_restarted() { " --previous" } else { "" };
    Ok(Some(
        finding
            .fix("mend the application: its pods do not become Ready")
            .fix(format!("kubectl -n {} describe pod {}", quote(namespace), quote(pod)))
            .fix(format!("kubectl -n {} logs {}{container}{previous}", quote(namespace), quote(pod))),
    ))
}
