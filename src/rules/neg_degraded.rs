//! NegDegraded: the NEG controller leaves out endpoints that it cannot make sense of.

use super::mend::neg_errors::{advice, look};
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::topology::neg::says_zero_endpoints;
use crate::topology::{Backend, GroupKind, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NegDegraded",
    section: Section::Groups,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "the NEG controller works in degraded mode: it leaves out endpoints that it cannot make sense of",
    doc: include_str!("neg_degraded.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn check(_: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.kind != GroupKind::Neg || backend.port.is_none() {
        return Ok(None);
    }
    let Some((event, base)) = backend.degraded()? else { return Ok(None) };
    // A Service that was scaled to zero says the same; so does one whose pods have no address yet.
    if backend.scaled_to_zero()? || says_zero_endpoints(base) && backend.nothing_to_attach()? {
        return Ok(None);
    }
    let name = backend.neg_name.as_deref().unwrap_or("of this port");
    let finding =
        Finding::certain(format!("network endpoint group {name:?} is in degraded mode, which leaves endpoints out: {base}"))
            .evidence("Service event EnterDegradedMode", &event.message)
            .evidence("Service event ExitDegradedMode", "none since then")
            .since(event.last);
    Ok(Some(
        finding
            .fix(advice(base).unwrap_or("mend what the message says: the controller leaves degraded mode by itself"))
            .fix(look(backend)),
    ))
}
