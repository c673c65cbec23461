//! NegSyncFailed: the NEG controller cannot work out which endpoints belong into the group.

use super::mend::neg_errors::{advice, bare, look};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::Unknown;
use crate::snapshot::kubernetes::Event;
use crate::topology::neg::says_zero_endpoints;
use crate::topology::{Backend, GroupKind, Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NegSyncFailed",
    section: Section::Groups,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the NEG controller fails to bring the group in line with the Service",
    doc: include_str!("neg_sync_failed.md"),
    explains: &[
        "NegEndpointDrift",
        "NegDegraded",
        "NegNotAttached",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

/// Texts of `ProcessServiceFailed` that are another rule's (ingress-gce `pkg/neg/controller.go`, `pkg/neg/manager.go`).
const OTHERS: [&str; 4] = [
    "NEG annotation is invalid",
    "doesn't exist in the service",
    "custom neg name cannot be used with ingress enabled",
    "label mismatch",
];

fn check(_: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.kind != GroupKind::Neg || backend.port.is_none() {
        return Ok(None);
    }
    let name = backend.neg_name.as_deref().unwrap_or("of this port");
    let condition = backend.neg_condition_failed("Synced");
    if let Some(condition) = condition
        && !is_scale_to_zero(backend, &condition.message)?
    {
        let finding = Finding::certain(format!(
            "the endpoints of network endpoint group {name:?} are not kept up to date: {}",
            condition.message
        ))
        .evidence(
            format!("ServiceNetworkEndpointGroup {}/{name} condition Synced", backend.namespace),
            format!("False, {}: {}", condition.reason, condition.message),
        )
        .since(condition.last_transition_time);
        let finding = match standing(backend)?.last() {
            Some(event) => finding.evidence(format!("Service event {}", event.reason), &event.message),
            None => finding,
        };
        return Ok(Some(mended(finding, backend, &condition.message)));
    }
    let events = match standing(backend) {
        Ok(events) => events,
        // What the controller says now acquits it without the events.
        Err(_) if condition.is_none() && backend.svc_neg.as_ref().seen().is_some() => return Ok(None),
        Err(why) => return Err(why),
    };
    if let Some(event) = events.last() {
        let finding = Finding::certain(format!(
            "the endpoints of network endpoint group {name:?} are not kept up to date: {}",
            bare(&event.message)
        ))
        .evidence(format!("Service event {}", event.reason), &event.message)
        .since(event.first);
        return Ok(Some(mended(finding, backend, &event.message)));
    }
    backend.svc_neg.clone().known().map(|_| None)
}

/// The warnings that still stand and are about working out the endpoints.
fn standing<'a>(backend: &Backend<'a>) -> Result<Vec<&'a Event>, Unknown> {
    let mut standing = Vec::new();
    for event in backend.service_warnings()? {
        let counts = match &*event.reason {
            "SyncNetworkEndpointGroupFailed" => !is_scale_to_zero(backend, &event.message)?,
            "ProcessServiceFailed" => {
                !OTHERS.iter().any(|text| event.message.contains(text)) && !events::is_neg_birth_race(&event.message)
            }
            _ => false,
        };
        if counts {
            standing.push(event);
        }
    }
    Ok(standing)
}

/// The last endpoint went away, which the controller reports like an error.
fn is_scale_to_zero(backend: &Backend<'_>, text: &str) -> Result<bool, Unknown> {
    Ok(says_zero_endpoints(text) && (backend.nothing_to_attach()? || backend.scaled_to_zero()?))
}

fn mended(finding: Finding, backend: &Backend<'_>, text: &str) -> Finding {
    finding.fix(advice(text).unwrap_or("mend what the message says: the controller tries again by itself")).fix(look(backend))
}
