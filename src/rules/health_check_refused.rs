//! HealthCheckRefused: nothing listens where the health check knocks.

use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::snapshot::probe::ProbeError;
use crate::topology::{Backend, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckRefused",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the pod is Ready, and nothing listens at the health check's address and port",
    doc: include_str!("health_check_refused.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let answered = backend.failing_answers(topology)?;
    let refused = |error| matches!(error, Some(ProbeError::ConnectionRefused | ProbeError::ConnectionReset));
    if !answered.iter().any(|one| refused(one.answer.error)) {
        return Ok(None);
    }
    // A fixed port of the health check that nobody meant to serve is not the application's fault.
    if matches!(backend.wrong_health_port(topology), Ok(Some(_))) {
        return Ok(None);
    }
    let answered = backend.failing_answers_in_reach(topology)?;
    let refused: Vec<_> = answered.iter().filter(|one| refused(one.answer.error)).collect();
    let Some(first) = refused.first() else { return Ok(None) };
    let port = first.question.port;
    let mut finding = Finding::certain(format!("the pods are Ready and refuse the connection on port {port}: nothing listens there on the pod's address"));
    for one in &refused {
        finding = finding.evidence(one.place(), one.answer.error.map_or("", ProbeError::as_str));
    }
    let target = backend.port.map(|port| port.target().to_string()).unwrap_or_default();
    Ok(Some(
        finding
            .fix(format!("make the application listen on 0.0.0.0:{port}, not on loopback alone"))
            .fix(format!("or correct the targetPort of Service {} (now {target}) to the port where it listens", backend.service_name)),
    ))
}
