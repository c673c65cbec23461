//! HealthCheckDrift: the health check is not the one that the controller would make now, and the controller leaves it as it is.

use serde_json::{Map, Value};

use super::text::quote;
use super::mend::backend_config;
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::Unknown;
use crate::snapshot::compute::HealthCheck;
use crate::topology::health_settings::{Difference, Due};
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckDrift",
    section: Section::Health,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "the health check keeps old settings: the readinessProbe or the BackendConfig they came from has changed",
    doc: include_str!("health_check_drift.md"),
    explains: &[
        "HealthCheckRejected",
        "HealthCheckRedirected",
        "HealthCheckTimesOut",
        "HealthCheckPortWrong",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed {
        return Ok(None);
    }
    let Some(live) = backend.health_check.clone().known()? else { return Ok(None) };
    if !backend.made_by_controller(live) {
        return Ok(None);
    }
    let pods = backend.probed_pods(topology)?;
    // Without any pod nothing says what the application wants.
    if pods.is_empty() {
        return Ok(None);
    }
    let Some(due) = backend.due_health_check(&pods)? else { return Ok(None) };
    let differences = due.differences(live, backend);
    if differences.is_empty() {
        return Ok(None);
    }
    let list = |pick: fn(&Difference) -> &String| {
        differences.iter().map(|one| format!("{} {}", one.field, pick(one))).collect::<Vec<_>>().join(", ")
    };
    let source = match due.chosen {
        Some(chosen) => format!("the readinessProbe of pod {}", chosen.pod.metadata.name),
        None => "the defaults, for want of a readinessProbe that counts".to_owned(),
    };
    let mut finding = Finding::certain(format!(
        "the health check of {} still has {}; made now, it would have {} from {source}, but GKE keeps what a health check was made with",
        backend.name,
        list(|one| &one.is),
        list(|one| &one.due)
    ));
    for one in &differences {
        finding = finding.evidence(format!("health check {} {}", live.name, one.field), &one.is);
    }
    let from = due.chosen.map_or_else(
        || format!("readinessProbes of the pods of Service {}", backend.service_name),
        |chosen| format!("pod {} container {} readinessProbe", chosen.pod.key(), chosen.container.name),
    );
    finding = finding.evidence(from, list(|one| &one.due));
    Ok(Some(mend(topology, backend, live, &due, finding)?))
}

/// What makes health check and application agree: the values of a pod that still runs, in a BackendConfig.
fn mend(
    topology: &Topology<'_>,
    backend: &Backend<'_>,
    live: &HealthCheck,
    due: &Due<'_>,
    mut finding: Finding,
) -> Result<Finding, Unknown> {
    let mut wanted = Some(due.clone());
    if let Some(chosen) = due.chosen
        && chosen.pod.finished()
    {
        let (namespace, name) = (quote(backend.namespace), quote(&chosen.pod.metadata.name));
        finding = finding.fix(format!(
            "delete the finished pod, whose readinessProbe counts as long as it is the oldest: kubectl -n {namespace} delete pod {name}"
        ));
        let mut running = backend.probed_pods(topology)?;
        running.retain(|pod| !pod.finished());
        wanted = backend.due_health_check(&running)?;
    }
    let differences = wanted.as_ref().map(|due| due.differences(live, backend)).unwrap_or_default();
    let mut fields: Map<String, Value> =
        differences.iter().filter_map(|one| Some((one.field.to_owned(), one.set.clone()?))).collect();
    // The kubelet takes a timeout above the period, Compute does not.
    let timeout = wanted.map(|due| due.derived).filter(|derived| derived.timeout_sec > derived.check_interval_sec);
    if let Some(derived) = timeout.filter(|_| fields.contains_key("timeoutSec") || fields.contains_key("checkIntervalSec")) {
        fields.insert("checkIntervalSec".to_owned(), derived.timeout_sec.into());
    }
    if !fields.is_empty() {
        finding = backend_config::set(topology, backend, &Value::Object(fields)).iter().fold(finding, |finding, step| finding.fix(step));
    }
    let again = "delete all Ingresses that use this Service port and make them again: the health check is then made anew";
    let or = if finding.fix.is_empty() { "" } else { "or " };
    Ok(finding.fix(format!("{or}{again}")))
}
