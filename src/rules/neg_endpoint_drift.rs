//! NegEndpointDrift: the endpoints in the group are not those of the EndpointSlices.

use super::mend::neg_errors::touch;
use super::text::{counted, quote};
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::topology::neg_drift::Differing;
use crate::topology::{Backend, GroupKind, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NegEndpointDrift",
    section: Section::Groups,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "the endpoints in the network endpoint group are not those of the EndpointSlices",
    doc: include_str!("neg_endpoint_drift.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

/// Most commands in the fix.
const MOST: usize = 3;

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.kind != GroupKind::Neg || backend.port.is_none() || topology.meta().deletion_timestamp.is_some() {
        return Ok(None);
    }
    let drift = backend.drift(topology)?;
    let lasted = |one: &&Differing<'_>| drift.lasted(topology, one);
    // What degraded mode leaves out is NegDegraded's.
    let degraded = backend.degraded();
    let missing: Vec<_> = drift.missing.iter().filter(lasted).filter(|_| degraded == Ok(None)).collect();
    let surplus: Vec<_> = drift.surplus.iter().filter(lasted).collect();
    if missing.is_empty() && surplus.is_empty() {
        if let (Err(why), true) = (degraded, drift.missing.iter().any(|one| lasted(&one))) {
            return Err(why);
        }
        return drift.unread.map_or(Ok(None), Err);
    }
    let name = backend.neg_name.as_deref().unwrap_or_default();
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("lacks {} of the EndpointSlices", counted(missing.len(), "endpoint")));
    }
    if !surplus.is_empty() {
        parts.push(format!("still holds {} that the EndpointSlices do not have", counted(surplus.len(), "endpoint")));
    }
    let mut finding = Finding::certain(format!("network endpoint group {name:?} {}", parts.join(" and ")));
    for (list, saw) in
        [(&missing, "in the EndpointSlices, not in the group"), (&surplus, "in the group, not in the EndpointSlices")]
    {
        for one in list {
            let behind = one.pod.map_or_else(|| format!("node {}", one.node), |pod| format!("pod {}", pod.key()));
            finding = finding.evidence(format!("endpoint {}:{} in {} ({behind})", one.address, one.port, one.zone), saw);
        }
    }
    finding = finding
        .since(missing.iter().chain(&surplus).filter_map(|one| one.since).min())
        .fix(touch(backend))
        .fix(format!(
            "read the events of the NEG controller: kubectl -n {} describe service {}",
            quote(backend.namespace),
            quote(backend.service_name)
        ));
    for (list, flag) in [(&missing, "--add-endpoint"), (&surplus, "--remove-endpoint")] {
        for one in list.iter().filter(|one| !one.zone.is_empty() && !one.node.is_empty()).take(MOST) {
            finding = finding.fix(format!(
                "gcloud compute network-endpoint-groups update {} --project={} --zone={} {flag}={}",
                quote(name),
                quote(topology.project()),
                quote(&one.zone),
                quote(&format!("instance={},ip={},port={}", one.node, one.address, one.port))
            ));
        }
    }
    Ok(Some(finding))
}
