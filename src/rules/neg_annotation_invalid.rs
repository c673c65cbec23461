//! NegAnnotationInvalid: `cloud.google.com/neg` is not understood.

use super::text::{annotate, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::kubernetes::Service;
use crate::topology::annotations::{self, keys};
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NegAnnotationInvalid",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Service's NEG annotation is not JSON, or asks for what cannot be",
    doc: include_str!("neg_annotation_invalid.md"),
    explains: &["NoAddress", "NegNotCreated", "NegSyncFailed", "NegAttachFailed", "NegEndpointDrift", "NegDegraded", "NegNotAttached"],
    check: Check::Backend(check),
};

/// What the NEG controller says of such an annotation (ingress-gce `pkg/neg/controller.go`).
const TEXTS: [&str; 3] =
    ["NEG annotation is invalid", "doesn't exist in the service", "custom neg name cannot be used with ingress enabled"];

fn check(_: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role == Role::SystemDefault {
        return Ok(None);
    }
    let (namespace, name) = (backend.namespace, backend.service_name);
    let Some(service) = backend.service.clone().known()? else { return Ok(None) };
    let Some(text) = service.metadata.annotation(keys::NEG) else { return Ok(None) };
    let Some((wrong, fix)) = wrong(service) else { return Ok(None) };
    let mut finding = Finding::certain(format!("the NEG annotation of Service {name:?} {wrong}"))
        .evidence(format!("Service {namespace}/{name} annotation {}", keys::NEG), text);
    let warnings = backend.service_events.as_deref().unwrap_or_default();
    let said = warnings.iter().rev().find(|event| {
        &*event.reason == "ProcessServiceFailed" && TEXTS.iter().any(|text| event.message.contains(text))
    });
    if let Some(event) = said {
        finding = finding.evidence("Service event ProcessServiceFailed", &event.message).since(event.first);
    }
    Ok(Some(finding.fix(annotate(namespace, "service", name, keys::NEG, &fix))))
}

/// What is wrong, and an annotation that would be right.
fn wrong(service: &Service) -> Option<(String, String)> {
    let annotation = match annotations::neg(service) {
        Err(error) => return Some((format!("is not understood: {error}"), r#"{"ingress": true}"#.to_owned())),
        Ok(annotation) => annotation?,
    };
    let lacking: Vec<_> =
        annotation.exposed_ports.keys().filter(|port| !service.spec.ports.iter().any(|has| has.port == **port)).collect();
    if !lacking.is_empty() {
        let has: Vec<_> = service.spec.ports.iter().map(|port| port.port).collect();
        let mut fixed = serde_json::json!({"exposed_ports": {}});
        for (port, exposed) in &annotation.exposed_ports {
            if has.contains(port) {
                let name = (!exposed.name.is_empty()).then(|| serde_json::json!({"name": exposed.name}));
                fixed["exposed_ports"][port.to_string()] = name.unwrap_or_else(|| serde_json::json!({}));
            }
        }
        if fixed["exposed_ports"].as_object().is_some_and(serde_json::Map::is_empty) {
            fixed["exposed_ports"] = has.iter().map(|port| (port.to_string(), serde_json::json!({}))).collect::<serde_json::Map<_, _>>().into();
        }
        if annotation.ingress {
            fixed["ingress"] = true.into();
        }
        let ports = if has.is_empty() { "no port".to_owned() } else { some_of(has, 5) };
        return Some((format!("exposes port {}, which the Service lacks: it has {ports}", some_of(lacking, 5)), fixed.to_string()));
    }
    let custom: Vec<_> = annotation.exposed_ports.values().filter(|exposed| !exposed.name.is_empty()).map(|exposed| &exposed.name).collect();
    if annotation.ingress && !custom.is_empty() {
        let ports: serde_json::Map<_, _> = annotation.exposed_ports.keys().map(|port| (port.to_string(), serde_json::json!({}))).collect();
        let fixed = serde_json::json!({"ingress": true, "exposed_ports": ports}).to_string();
        return Some((format!("gives the NEG a name of its own ({}) together with \"ingress\": true, which the controller refuses", some_of(custom, 3)), fixed));
    }
    None
}
