//! HealthCheckPortWrong: the health check asks a fixed port that nobody serves.

use serde_json::json;

use super::text::some_of;
use super::mend::backend_config;
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::topology::wrong_port::Served;
use crate::topology::{Backend, GroupKind, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckPortWrong",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the health check asks a fixed port that the pods or the nodes do not serve",
    doc: include_str!("health_check_port_wrong.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role == Role::SystemDefault {
        return Ok(None);
    }
    let Some(wrong) = backend.wrong_health_port(topology)? else { return Ok(None) };
    let (port, right) = (wrong.port, wrong.right);
    let what = match backend.kind {
        GroupKind::InstanceGroup => "which is no node port of the Service; a health check of an instance group asks the nodes",
        GroupKind::Neg => "which the pods do not serve",
    };
    let text = format!("the health check of {} asks the fixed port {port}, {what}", backend.name);
    let mut finding = match wrong.served {
        Served::No => Finding::certain(text),
        Served::Undeclared => Finding::likely(text),
        Served::Untold => Finding::possible(text),
    };
    if let Some(check) = backend.health_check.as_ref().seen() {
        finding = finding.evidence(format!("health check {} port", check.name), format!("USE_FIXED_PORT {port}"));
    }
    for one in &wrong.refused {
        finding = finding.evidence(one.place(), one.answer.error.map_or("", crate::snapshot::probe::ProbeError::as_str));
    }
    finding = match (backend.kind, backend.port) {
        (GroupKind::InstanceGroup, Some(own)) => finding.evidence(
            format!("Service {}/{} port {}", backend.namespace, backend.service_name, own.port),
            format!("nodePort {}, targetPort {}", own.node_port, own.target()),
        ),
        _ if wrong.declared.is_empty() => finding,
        _ => finding.evidence("ports that the containers declare", some_of(&wrong.declared, 6)),
    };
    let Some(right) = right else {
        return Ok(Some(finding.fix(format!("correct {} to the port where the pods listen", backend_config::field(backend, "port")))));
    };
    let steps = backend_config::set(topology, backend, &json!({"port": right}));
    Ok(Some(steps.iter().fold(finding, |finding, step| finding.fix(step))))
}
