//! NegNameConflict: the group's name is taken by another Service or another cluster.

use super::mend::neg_errors::bare;
use super::text::{annotate, project_flag, quote};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::annotations::{self, keys};
use crate::topology::{Backend, GroupKind, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NegNameConflict",
    section: Section::Groups,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the name of the network endpoint group is taken by somebody else",
    doc: include_str!("neg_name_conflict.md"),
    explains: &[
        "NegNotCreated",
        "NegSyncFailed",
        "NegAttachFailed",
        "NegEndpointDrift",
        "NegDegraded",
        "NegNotAttached",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

/// The label of a ServiceNetworkEndpointGroup that names its Service port.
const PORT_LABEL: &str = "networking.gke.io/service-port";

/// Longest name of a group in a cluster with further subnetworks.
const NAME_LIMIT: usize = 56;

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.kind != GroupKind::Neg || backend.port.is_none() {
        return Ok(None);
    }
    let Some(name) = backend.neg_name.as_deref() else { return Ok(None) };
    let finding = match (labelled_otherwise(backend, name), said(backend, name)) {
        (Some((label, value)), _) => Finding::certain(format!(
            "the name of network endpoint group {name:?} is taken: its ServiceNetworkEndpointGroup belongs to {value}"
        ))
        .evidence(format!("ServiceNetworkEndpointGroup {}/{name} label {label}", backend.namespace), &value),
        (None, Some((place, text))) => {
            Finding::certain(format!("the name of network endpoint group {name:?} is taken: {}", bare(&text)))
                .evidence(place, text)
        }
        (None, None) => {
            // Neither the controller's object nor its events say so; both have to be seen for that.
            backend.svc_neg.clone().known()?;
            backend.service_events.as_ref().map_err(Clone::clone)?;
            return Ok(None);
        }
    };
    Ok(Some(match renamed(backend, name) {
        Some(annotation) => finding
            .fix(annotate(backend.namespace, "service", backend.service_name, keys::NEG, &annotation))
            .fix("put the new group into the backend service in place of the old one"),
        None => finding.fix("find out whose the group is: its description names cluster, namespace and Service").fix(format!(
            "gcloud compute network-endpoint-groups list --filter={}{} --format={}",
            quote(&format!("name={name}")),
            project_flag(topology),
            quote("yaml(name,zone,description)")
        )),
    }))
}

/// The custom name that the annotation asks for is the name of an object that carries another Service's, or another port's, labels.
fn labelled_otherwise(backend: &Backend<'_>, name: &str) -> Option<(&'static str, String)> {
    let port = backend.port?.port;
    let custom = annotations::neg(backend.service.as_ref().seen()?).ok()??.exposed_ports.get(&port)?.name.clone();
    let svc_neg = backend.svc_neg.as_ref().seen().filter(|_| *custom == *name)?;
    let service = svc_neg.service().filter(|service| *service != backend.service_name);
    if let Some(service) = service {
        return Some((crate::snapshot::kubernetes::SVC_NEG_SERVICE_LABEL, format!("Service {service}")));
    }
    let other = svc_neg.metadata.labels.get(PORT_LABEL).filter(|label| ***label != *port.to_string())?;
    Some((PORT_LABEL, format!("port {other}")))
}

/// What the controller says of a conflict: in a condition that is false, or in a warning that still stands.
fn said(backend: &Backend<'_>, name: &str) -> Option<(String, String)> {
    let conditions = ["Initialized", "Synced"].into_iter().filter_map(|type_| backend.neg_condition_failed(type_));
    let conditions = conditions.map(|condition| {
        let place = format!("ServiceNetworkEndpointGroup {}/{name} condition {}", backend.namespace, condition.type_);
        (place, condition.message.to_string())
    });
    let warnings = backend.service_warnings().unwrap_or_default();
    let warnings = warnings.iter().rev().map(|event| (format!("Service event {}", event.reason), event.message.to_string()));
    conditions.chain(warnings).find(|(_, text)| {
        text.contains("conflicting description")
            || text.contains("custom named neg") && text.contains("with an empty description")
            || text.contains("has a label mismatch") && text.contains(name)
    })
}

/// The Service's annotation with another name for the group; `None` when the name is the controller's own.
fn renamed(backend: &Backend<'_>, name: &str) -> Option<String> {
    let service = backend.service.as_ref().seen()?;
    let port = backend.port?.port;
    let custom = &annotations::neg(service).ok()??.exposed_ports.get(&port)?.name.clone();
    if custom.is_empty() {
        return None;
    }
    let mut annotation: serde_json::Value = serde_json::from_str(service.metadata.annotation(keys::NEG)?).ok()?;
    let mut other = format!("{}-{}-{port}", backend.namespace, backend.service_name);
    other.truncate(other.floor_char_boundary(NAME_LIMIT));
    if other == name {
        other = format!("{}-2", &other[..other.floor_char_boundary(NAME_LIMIT - 2)]);
    }
    annotation["exposed_ports"][port.to_string()]["name"] = other.into();
    Some(annotation.to_string())
}
