//! NegAttachFailed: Compute refuses endpoints that the controller wants to add to the group.

use super::mend::neg_errors::{advice, bare, look};
use super::text::counted;
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::{Backend, GroupKind, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NegAttachFailed",
    section: Section::Groups,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "Compute refuses endpoints that the NEG controller wants to attach",
    doc: include_str!("neg_attach_failed.md"),
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

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.kind != GroupKind::Neg || backend.port.is_none() {
        return Ok(None);
    }
    let failures = backend.attach_failures()?;
    if failures.is_empty() {
        return Ok(None);
    }
    let drift = backend.drift(topology)?;
    // The controller tried while the endpoint was there, and it is still not in the group.
    let missing: Vec<_> = drift
        .missing
        .iter()
        .filter(|one| {
            failures
                .iter()
                .any(|(event, zone)| (zone.is_empty() || one.zone.is_empty() || **zone == *one.zone) && event.last >= one.since)
        })
        .collect();
    let Some((event, _)) = failures.last().filter(|_| !missing.is_empty()) else {
        return drift.unread.map_or(Ok(None), Err);
    };
    let name = backend.neg_name.as_deref().unwrap_or_default();
    let mut finding = Finding::certain(format!(
        "Compute refuses to attach endpoints to network endpoint group {name:?}, {} missing: {}",
        counted(missing.len(), "endpoint"),
        bare(&event.message)
    ))
    .evidence("Service event AttachFailed", &event.message)
    .since(event.first);
    for one in &missing {
        let behind = one.pod.map_or_else(|| one.node.to_owned(), |pod| pod.key());
        finding = finding
            .evidence(format!("endpoint {}:{} ({behind})", one.address, one.port), format!("not in the group of {}", one.zone));
    }
    Ok(Some(
        finding
            .fix(
                advice(&event.message)
                    .unwrap_or("mend what the message says: one refused endpoint keeps out all that are attached with it"),
            )
            .fix(look(backend)),
    ))
}
