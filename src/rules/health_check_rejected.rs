//! HealthCheckRejected: the pod answers the health check with a status that is neither 200 nor a redirect.

use super::text::quote;
use super::mend::backend_config;
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::topology::{Backend, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckRejected",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the pod answers the health check with another status than 200",
    doc: include_str!("health_check_rejected.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let answered = backend.failing_answers(topology)?;
    let rejected: Vec<_> = answered
        .iter()
        .filter(|one| match one.answer.status {
            None | Some(200 | 300..=399) => false,
            // A 400 that is about TLS is not about the path.
            Some(_) => !backend.talks_past(one),
        })
        .collect();
    let Some(first) = rejected.first() else { return Ok(None) };
    let (status, path) = (first.answer.status.unwrap_or_default(), first.question.path);
    let mut finding = Finding::certain(format!("the pods answer the health check on {path} with {status} ({}); Google's health check wants exactly 200", meaning(status)));
    for one in &rejected {
        finding = finding.evidence(one.place(), one.answer.status.unwrap_or_default().to_string());
    }
    if let Some(check) = backend.health_check.as_ref().seen().filter(|check| !check.description.is_empty()) {
        finding = finding.evidence(format!("health check {} description", check.name), &check.description);
    }
    let namespace = quote(backend.namespace);
    let finding = match status {
        401 | 403 => finding.fix(format!("exempt {path} from authentication, or point the health check at a path that needs none")),
        415 => finding.fix("serve HTTP health checks beside gRPC, on a path that answers 200"),
        500..=599 => finding.fix(format!("find out why {path} fails: kubectl -n {namespace} logs {}", quote(&first.question.pod.metadata.name))),
        _ => finding.fix(format!("make {path} answer 200, or point the health check at a path that does")),
    };
    Ok(Some(backend_config::ask_elsewhere(topology, backend, &first.question).iter().fold(finding, |finding, step| finding.fix(step))))
}

fn meaning(status: u16) -> &'static str {
    match status {
        200..=299 => "a success, but not 200",
        401 | 403 => "authentication",
        404 => "no such path",
        415 => "a pure gRPC server",
        400..=499 => "the request is refused",
        500..=599 => "the application fails",
        _ => "not a final status",
    }
}
