//! ServiceTypeUnsupported: a Service that neither has a node port nor asks for network endpoint groups.

use super::text::annotate;
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::annotations::{self, keys};
use crate::topology::{Backend, Class, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ServiceTypeUnsupported",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Service has neither a node port nor a NEG annotation for Ingress",
    doc: include_str!("service_type_unsupported.md"),
    explains: NO_ADDRESS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    // A regional load balancer takes NEGs alone, whatever the type.
    if backend.role != Role::Routed || topology.class() != Some(Class::External) {
        return Ok(None);
    }
    let Some(service) = backend.service.clone().known()? else { return Ok(None) };
    let type_ = service.type_();
    if !matches!(type_, "ClusterIP" | "ExternalName") {
        return Ok(None);
    }
    let Ok(annotation) = annotations::neg(service) else { return Ok(None) };
    if annotation.as_ref().is_some_and(|annotation| annotation.ingress) {
        return Ok(None);
    }
    let (namespace, name) = (backend.namespace, backend.service_name);
    let finding = Finding::certain(format!(
        "Service {name:?} is of type {type_} and does not ask for network endpoint groups for Ingress, so the load balancer cannot reach it"
    ))
    .evidence(format!("Service {namespace}/{name} spec.type"), type_)
    .evidence(format!("Service annotation {}", keys::NEG), service.metadata.annotation(keys::NEG).unwrap_or("absent"));
    Ok(Some(if type_ == "ExternalName" {
        finding.fix(format!("replace Service {name} by one that selects pods: an Ingress reaches no external name"))
    } else {
        let wanted = annotations::neg_with_ingress(service.metadata.annotation(keys::NEG));
        finding.fix(annotate(namespace, "service", name, keys::NEG, &wanted))
    }))
}
