//! HealthCheckTimesOut: the pod answers later than the health check waits.

use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::snapshot::probe::ProbeError;
use crate::topology::answers::Answered;
use crate::topology::{Backend, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckTimesOut",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the pod is Ready, and answers the health check too late or never",
    doc: include_str!("health_check_times_out.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn late(one: &Answered<'_>) -> bool {
    let limit = u64::try_from(one.question.timeout_sec).unwrap_or_default().saturating_mul(1000);
    one.answer.error == Some(ProbeError::Timeout) || one.answer.latency_ms.is_some_and(|latency| latency > limit)
}

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if !backend.failing_answers(topology)?.iter().any(late) {
        return Ok(None);
    }
    let answered = backend.failing_answers_in_reach(topology)?;
    let late: Vec<_> = answered.iter().filter(|one| late(one)).collect();
    let Some(first) = late.first() else { return Ok(None) };
    let (timeout, path) = (first.question.timeout_sec, first.question.path);
    let mut finding = Finding::certain(format!("the pods do not answer the health check on {path} within its timeout of {timeout} s"));
    for one in &late {
        let saw = one.answer.latency_ms.map_or_else(|| format!("no answer within {timeout} s"), |_| format!("an answer after more than {timeout} s"));
        finding = finding.evidence(one.place(), saw);
    }
    Ok(Some(
        finding
            .fix(format!("make {path} cheaper, or point the health check at a cheaper path"))
            .fix(format!(
                "or raise spec.healthCheck.timeoutSec (now {timeout}; not above checkIntervalSec) in a BackendConfig that Service {} names in its annotation cloud.google.com/backend-config",
                backend.service_name
            )),
    ))
}
