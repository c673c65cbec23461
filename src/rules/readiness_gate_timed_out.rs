//! ReadinessGateTimedOut: the readiness gate has let pods through that the load balancer does not find healthy.

use super::text::{counted, quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::{Backend, GroupKind, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ReadinessGateTimedOut",
    section: Section::Health,
    severity: Severity::Warning,
    symptom: true,
    unhandled: false,
    summary: "the readiness gate gave up waiting: Kubernetes no longer minds that the load balancer finds the pods unhealthy",
    doc: include_str!("readiness_gate_timed_out.md"),
    explains: &[],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let Some(_) = backend.service.clone().known()? else { return Ok(None) };
    if backend.kind != GroupKind::Neg || backend.role == Role::SystemDefault || backend.port.is_none() {
        return Ok(None);
    }
    backend.pods.as_ref().map_err(Clone::clone)?;
    let mut timed_out = backend.timed_out_at_gate(topology);
    if timed_out.is_empty() {
        return Ok(None);
    }
    if let Some(why) = backend.health_unread() {
        return Err(why);
    }
    // What was read before the time was up says nothing of after it.
    let read_since = |since| backend.read_at.zip(since).is_none_or(|(read_at, since)| read_at >= since);
    timed_out.retain(|gated| backend.finds_unhealthy(gated.pod) && read_since(gated.since));
    let Some(first) = timed_out.first() else { return Ok(None) };
    let mut finding = Finding::certain(format!(
        "the readiness gate of {} of {} opened because its time was up, and the load balancer still finds {} unhealthy: {}",
        counted(timed_out.len(), "pod"),
        backend.name,
        if timed_out.len() == 1 { "it" } else { "them" },
        some_of(timed_out.iter().map(|gated| &gated.pod.metadata.name), 3)
    ));
    for gated in &timed_out {
        finding = finding.evidence(format!("pod {} condition {}", gated.pod.key(), gated.condition.type_), format!("{}: {}", gated.condition.reason, gated.condition.message));
    }
    Ok(Some(
        finding
            .fix("mend what makes the endpoints unhealthy; until then a rollout replaces healthy pods by unhealthy ones, ten minutes apart")
            .fix(format!("kubectl -n {} describe pod {}", quote(backend.namespace), quote(&first.pod.metadata.name))),
    ))
}
