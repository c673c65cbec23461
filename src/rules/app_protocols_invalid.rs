//! AppProtocolsInvalid: the Service's app-protocols annotation is refused, or passes its port over.

use std::collections::BTreeMap;

use super::text::{annotate, json_patch, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::kubernetes::{PortRef, Service, ServicePort};
use crate::topology::{Backend, Role, Topology, annotations};

/// The rule.
pub static RULE: Rule = Rule {
    code: "AppProtocolsInvalid",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Service's app-protocols annotation is not JSON, names an unknown protocol, or names no port of the Service",
    doc: include_str!("app_protocols_invalid.md"),
    explains: &[
        "NoAddress",
        "BackendProtocolMismatch",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

type Protocols = BTreeMap<Box<str>, Box<str>>;

/// What the controller knows, in capitals only (ingress-gce `pkg/annotations/service.go`).
const KNOWN: [&str; 3] = ["HTTP", "HTTPS", "HTTP2"];

fn check(_: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed {
        return Ok(None);
    }
    let Some(service) = backend.service.clone().known()? else { return Ok(None) };
    let Some((key, protocols)) = annotations::app_protocols(service) else { return Ok(None) };
    let Some(port) = backend.port else { return Ok(None) };
    let Some(wrong) = wrong(service, port, key, protocols) else { return Ok(None) };
    let (namespace, name) = (backend.namespace, backend.service_name);
    let text = service.metadata.annotation(key).unwrap_or_default();
    let ports = some_of(service.spec.ports.iter().map(spell), 5);
    let finding = Finding::certain(format!("annotation {key} of Service {name:?} {}", wrong.what))
        .severity(wrong.severity)
        .evidence(format!("Service {namespace}/{name} annotation {key}"), text)
        .evidence(format!("Service {namespace}/{name} spec.ports"), ports);
    Ok(Some(wrong.fix.into_iter().fold(finding, |finding, step| finding.fix(step))))
}

struct Wrong {
    what: String,
    severity: Severity,
    fix: Vec<String>,
}

fn wrong(service: &Service, port: &ServicePort, key: &'static str, protocols: Result<Protocols, String>) -> Option<Wrong> {
    let set = |value: &Protocols| {
        let value = serde_json::json!(value).to_string();
        annotate(&service.metadata.namespace, "service", &service.metadata.name, key, &value)
    };
    let protocols = match protocols {
        Ok(protocols) => protocols,
        Err(error) => {
            let text = service.metadata.annotation(key).unwrap_or_default().to_ascii_uppercase();
            let meant = ["HTTP2", "HTTPS"].into_iter().find(|word| text.contains(word)).unwrap_or("HTTP");
            let mut fix = vec![format!("write a JSON object of port names and HTTP, HTTPS or HTTP2; where the pods speak {meant} on port {}:", spell(port))];
            fix.extend(name_port(service, port, "http"));
            fix.push(set(&Protocols::from([(name_of(port, "http"), meant.into())])));
            return Some(Wrong { what: format!("is not a JSON object of texts: {error}"), severity: Severity::Error, fix });
        }
    };
    let unknown: Vec<_> = protocols.iter().filter(|(_, value)| !KNOWN.contains(&&***value)).collect();
    if !unknown.is_empty() {
        let shown = some_of(unknown.iter().map(|(port, value)| format!("{value:?} for port {port:?}")), 3);
        let mended = protocols.iter().map(|(port, value)| (port.clone(), nearest(value).into())).collect();
        return Some(Wrong {
            what: format!("says {shown}, and GKE knows HTTP, HTTPS and HTTP2 only, in capitals"),
            severity: Severity::Error,
            fix: vec!["name the protocol that the pods speak; HTTP2 means HTTP/2 over TLS".to_owned(), set(&mended)],
        });
    }
    if protocols.contains_key(&port.name) {
        return None;
    }
    // What leaves the port at HTTP is no loss where HTTP is asked for.
    let (unmatched, value) = protocols.iter().find(|(wanted, value)| {
        &***value != "HTTP" && !service.spec.ports.iter().any(|port| port.name == **wanted) && may_mean(service, wanted, port)
    })?;
    let mut mended = protocols.clone();
    mended.remove(unmatched);
    mended.insert(name_of(port, unmatched), value.clone());
    let mut fix: Vec<_> = name_port(service, port, unmatched).into_iter().collect();
    fix.push(set(&mended));
    Some(Wrong {
        what: format!("asks {value} for {unmatched:?}, which is the name of no port: port {} gets HTTP without a word", spell(port)),
        severity: Severity::Warning,
        fix,
    })
}

/// A key that matches no name is meant for the port that it denotes otherwise, else for any.
fn may_mean(service: &Service, key: &str, port: &ServicePort) -> bool {
    let denotes = |port: &ServicePort| {
        let target = match port.target() {
            PortRef::Number(number) => number.to_string() == key,
            PortRef::Name(name) => *name == *key,
        };
        target || port.port.to_string() == key || port.name.eq_ignore_ascii_case(key)
    };
    denotes(port) || !service.spec.ports.iter().any(denotes)
}

fn nearest(value: &str) -> &'static str {
    let value = value.trim().to_ascii_uppercase();
    match &*value {
        "H2" | "HTTP/2" | "GRPC" | "GRPCS" | "H2C" => "HTTP2",
        _ => KNOWN.into_iter().find(|known| *known == value).unwrap_or("HTTP"),
    }
}

/// The port's name, or the one that it gets.
fn name_of(port: &ServicePort, wanted: &str) -> Box<str> {
    let valid = wanted.len() <= 15 && wanted.contains(|c: char| c.is_ascii_lowercase());
    if !port.name.is_empty() {
        port.name.clone()
    } else if valid && wanted.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        wanted.into()
    } else {
        "web".into()
    }
}

/// The command that gives a nameless port a name: the annotation goes by names alone.
fn name_port(service: &Service, port: &ServicePort, wanted: &str) -> Option<String> {
    let at = service.spec.ports.iter().position(|candidate| candidate == port)?;
    port.name.is_empty().then(|| {
        let step = serde_json::json!({"op": "add", "path": format!("/spec/ports/{at}/name"), "value": name_of(port, wanted)});
        json_patch(&service.metadata.namespace, "service", &service.metadata.name, vec![step])
    })
}

fn spell(port: &ServicePort) -> String {
    if port.name.is_empty() { format!("{} (no name)", port.port) } else { format!("{} ({})", port.port, port.name) }
}
