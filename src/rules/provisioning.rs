//! Provisioning: the load balancer is being made.

use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::{State, Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "Provisioning",
    section: Section::LifeCycle,
    severity: Severity::Info,
    symptom: false,
    unhandled: false,
    summary: "the load balancer is being made, and nothing is wrong so far",
    doc: include_str!("provisioning.md"),
    explains: &["NoAddress", "NegNotCreated", "BackendUnhealthy", "BackendPartiallyUnhealthy", "ReadinessGateBlocked"],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    // Where nobody listens, waiting does not help.
    let nobody = || matches!(topology.addon_off(), Ok(Some(_))) || topology.controller_stalled() == Ok(true);
    if !topology.young() || ingress.metadata.deletion_timestamp.is_some() || nobody() {
        return Ok(None);
    }
    let warnings = topology.warnings.as_ref().map_err(Clone::clone)?;
    if warnings.iter().any(|event| !events::is_neg_not_found(&event.message)) {
        return Ok(None);
    }
    let missing = if ingress.address().is_none() {
        "no address yet"
    } else {
        let mut without = topology.own_backends().filter(|backend| backend.count(State::Healthy) == 0).peekable();
        let nowhere = without.peek().is_some();
        if let Some(why) = without.find_map(|backend| backend.health_unread().filter(|why| &*why.reason != "NoHealthState")) {
            return Err(why);
        }
        match nowhere {
            true => "no healthy endpoint yet",
            // The first health checks reach the endpoints one after another, and the system default backend's last.
            false if topology.backends.iter().any(|backend| backend.count(State::Unhealthy) > 0) => "not all endpoints healthy yet",
            false => return Ok(None),
        }
    };
    let limit = topology.grace.provisioning.as_mins();
    Ok(Some(
        Finding::certain(format!("the load balancer is being made: {missing}"))
            .evidence("first sync of the Ingress", topology.first_sync().map_or_else(|| "none".to_owned(), |first| first.to_string()))
            .fix(format!("wait: it may take up to {limit} minutes")),
    ))
}
