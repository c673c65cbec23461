//! ReadinessGateBlocked: pods wait at the load balancer's readiness gate.

use super::text::{counted, quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::{Backend, GroupKind, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ReadinessGateBlocked",
    section: Section::Health,
    severity: Severity::Error,
    symptom: true,
    unhandled: false,
    summary: "pods are kept from Ready by the load balancer's readiness gate",
    doc: include_str!("readiness_gate_blocked.md"),
    explains: &[],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let Some(_) = backend.service.clone().known()? else { return Ok(None) };
    if backend.kind != GroupKind::Neg || backend.role == Role::SystemDefault || backend.port.is_none() {
        return Ok(None);
    }
    backend.pods.as_ref().map_err(Clone::clone)?;
    let held = backend.held_at_gate(topology);
    let Some(first) = held.first() else { return Ok(None) };
    let mut finding = Finding::certain(format!(
        "{} of {} {} at the readiness gate of the load balancer, which does not find {} healthy: {}",
        counted(held.len(), "pod"),
        backend.name,
        if held.len() == 1 { "waits" } else { "wait" },
        if held.len() == 1 { "it" } else { "them" },
        some_of(held.iter().map(|gated| &gated.pod.metadata.name), 3)
    ))
    .since(held.iter().filter_map(|gated| gated.since).min());
    for gated in &held {
        finding = finding.evidence(format!("pod {} condition {}", gated.pod.key(), gated.condition.type_), format!("{}: {}", gated.condition.reason, gated.condition.message));
    }
    Ok(Some(
        finding
            .fix("find out why the load balancer does not find the pods healthy; the gate opens by itself 10 minutes after a pod was made, healthy or not")
            .fix(format!("kubectl -n {} describe pod {}", quote(backend.namespace), quote(&first.pod.metadata.name))),
    ))
}
