//! BackendProtocolMismatch: the load balancer speaks plain HTTP where the pod speaks TLS, or the reverse.

use serde_json::{Value, json};

use super::text::{annotate, quote};
use super::mend::{backend_config, user_check};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::probe::{ProbeError, Scheme};
use crate::topology::annotations::{self, keys};
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "BackendProtocolMismatch",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the load balancer and the pods do not speak the same protocol: TLS on a plain port, or the reverse",
    doc: include_str!("backend_protocol_mismatch.md"),
    explains: &[
        "ReadinessProbeNotUsed",
        "HealthCheckRejected",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let answered = backend.failing_answers(topology)?;
    let talking_past: Vec<_> = answered.iter().filter(|one| backend.talks_past(one)).collect();
    let Some(first) = talking_past.first() else { return Ok(None) };
    let port = first.question.port;
    let plain = first.question.scheme == Scheme::Http;
    let message = if plain {
        format!("the load balancer speaks plain HTTP to port {port} of the pods of {}, which speaks TLS or another protocol", backend.name)
    } else if first.answer.error == Some(ProbeError::Tls) {
        format!("the load balancer speaks TLS to port {port} of the pods of {}, which does not", backend.name)
    } else {
        format!("the load balancer speaks {} over TLS to port {port} of the pods of {}, which answers in another protocol", backend.protocol, backend.name)
    };
    let mut finding = Finding::certain(message);
    for one in &talking_past {
        let saw = match (one.answer.error, one.answer.status) {
            (Some(error), _) => match &one.answer.message {
                Some(message) => format!("{}: {message}", error.as_str()),
                None => error.as_str().to_owned(),
            },
            (None, status) => status.unwrap_or_default().to_string(),
        };
        finding = finding.evidence(format!("{} over {}", one.place(), one.question.scheme.as_str()), saw);
    }
    if backend.scheme_differs(&first.question) {
        let scheme = if plain { "HTTPS" } else { "HTTP" };
        finding = finding.evidence(format!("pod {} readinessProbe scheme", first.question.pod.key()), scheme);
    }
    // What uses a standalone group reads no annotation.
    if backend.role != Role::Standalone {
        finding = finding.evidence(
            format!("Service {}/{} annotation {}", backend.namespace, backend.service_name, key(backend)),
            backend.service.as_ref().seen().and_then(|service| service.metadata.annotation(key(backend))).unwrap_or("absent"),
        );
    }
    Ok(Some(mend(topology, backend, plain).iter().fold(finding, |finding, step| finding.fix(step))))
}

/// The annotation that counts: the alpha key where it is there, for it wins.
fn key(backend: &Backend<'_>) -> &'static str {
    let service = backend.service.as_ref().seen();
    service.and_then(|service| annotations::app_protocols(service)).map_or(keys::APP_PROTOCOLS, |(key, _)| key)
}

/// What brings the two together.
fn mend(topology: &Topology<'_>, backend: &Backend<'_>, plain: bool) -> Vec<String> {
    let wanted = if plain { "HTTPS" } else { "HTTP" };
    if backend.role == Role::Standalone {
        return user_check::speak(topology, backend, wanted);
    }
    let speaks = if plain { &*backend.protocol == "HTTP" } else { &*backend.protocol != "HTTP" };
    // The backend's protocol is right, and only BackendConfig makes the health check speak another.
    if !speaks {
        return backend_config::set(topology, backend, &json!({"type": wanted}));
    }
    let (Some(service), Some(port)) = (backend.service.as_ref().seen(), backend.port) else { return Vec::new() };
    let mut steps = Vec::new();
    let name = if port.name.is_empty() {
        let at = service.spec.ports.iter().position(|other| other == port).unwrap_or_default();
        let name = wanted.to_ascii_lowercase();
        let patch = json!([{"op": "add", "path": format!("/spec/ports/{at}/name"), "value": name}]).to_string();
        steps.push(format!(
            "kubectl -n {} patch service {} --type json -p {}",
            quote(backend.namespace),
            quote(backend.service_name),
            quote(&patch)
        ));
        name
    } else {
        port.name.to_string()
    };
    let key = key(backend);
    let present = service.metadata.annotation(key).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut value = present.filter(Value::is_object).unwrap_or_else(|| json!({}));
    value[name] = wanted.into();
    steps.push(annotate(backend.namespace, "service", backend.service_name, key, &value.to_string()));
    let other = if plain { "make the application serve plain HTTP" } else { "make the application serve TLS" };
    steps.push(format!("or {other} on that port"));
    steps
}
