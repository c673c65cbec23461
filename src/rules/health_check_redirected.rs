//! HealthCheckRedirected: the pod answers the health check with a redirect, which Google does not follow.

use super::text::quote;
use super::mend::backend_config;
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::topology::{Backend, Topology, apps};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckRedirected",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the pod answers the health check with a redirect; Google wants exactly 200 and follows none",
    doc: include_str!("health_check_redirected.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let answered = backend.failing_answers(topology)?;
    let redirected: Vec<_> = answered.iter().filter(|one| one.answer.status.is_some_and(|status| (300..400).contains(&status))).collect();
    let Some(first) = redirected.first() else { return Ok(None) };
    let status = first.answer.status.unwrap_or_default();
    let to = first.answer.location.as_deref().map(|location| format!(" to {location}")).unwrap_or_default();
    let path = first.question.path;
    let mut finding = Finding::certain(format!(
        "the pods answer the health check on {path} with {status}{to}; the kubelet takes that for success, Google's health check wants exactly 200"
    ));
    for one in &redirected {
        let to = one.answer.location.as_deref().map(|location| format!(" to {location}")).unwrap_or_default();
        finding = finding.evidence(one.place(), format!("{}{to}", one.answer.status.unwrap_or_default()));
    }
    finding = match apps::known(redirected.iter().map(|one| one.question.pod)) {
        Some(app) => app.redirect_fix.iter().fold(finding, |finding, step| finding.fix(step.replace("{namespace}", &quote(backend.namespace)))),
        None => {
            let finding =
                finding.fix(format!("make the application answer plain HTTP on {path} with 200, without the redirect, or point the health check elsewhere"));
            backend_config::ask_elsewhere(topology, backend, &first.question).iter().fold(finding, |finding, step| finding.fix(step))
        }
    };
    Ok(Some(finding))
}
