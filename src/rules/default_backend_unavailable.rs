//! DefaultBackendUnavailable: the add-on's own backend for unmatched requests is missing or has no ready pod.

use super::text::quote;
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::kubernetes::Pod;
use crate::topology::addon::DEPLOYMENT;
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "DefaultBackendUnavailable",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the system default backend, which the Ingress relies on, is missing or has no ready pod",
    doc: include_str!("default_backend_unavailable.md"),
    explains: &["NoAddress", "BackendUnhealthy", "BackendPartiallyUnhealthy", "ReadinessGateBlocked", "ReadinessGateTimedOut"],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::SystemDefault {
        return Ok(None);
    }
    let own = format!(
        "or set spec.defaultBackend to a Service of your own: kubectl -n {} edit ingress {}",
        quote(topology.namespace()),
        quote(topology.name())
    );
    let Some(_) = backend.service.clone().known()? else {
        return Ok(Some(
            Finding::certain("Service kube-system/default-http-backend is missing: an Ingress without spec.defaultBackend cannot be translated")
                .evidence("Service kube-system/default-http-backend", "absent")
                .fix("restore the add-on's Service: switch the HTTP load balancing add-on off and on again, or create it as the add-on does")
                .fix(own),
        ));
    };
    if backend.port.is_none() {
        return Ok(Some(
            Finding::certain("Service kube-system/default-http-backend has lost its port \"http\": an Ingress without spec.defaultBackend cannot be translated")
                .evidence("Service kube-system/default-http-backend spec.ports", "no port named \"http\"")
                .fix("give the Service its port back: port 80, targetPort 8080, name http")
                .fix(own),
        ));
    }
    let pods = backend.pods.as_ref().map_err(Clone::clone)?;
    let live: Vec<_> = pods.iter().filter(|pod| !pod.finished()).collect();
    if live.iter().any(|pod| pod.serves()) || backend.count(crate::topology::State::Healthy) > 0 {
        return Ok(None);
    }
    let starting = |pod: &&&Pod| !topology.lasted(pod.metadata.creation_timestamp, topology.grace.rollout);
    if live.iter().any(starting) {
        return Ok(None);
    }
    let mut finding = Finding::certain(
        "no pod of the system default backend is ready: requests that match no rule get 502 instead of 404",
    )
    .severity(Severity::Warning);
    if live.is_empty() {
        finding = finding.evidence("pods behind Service kube-system/default-http-backend", "none");
    }
    for pod in live {
        finding = finding.evidence(format!("pod {}", pod.key()), pod.trouble());
    }
    Ok(Some(
        finding
            .fix(format!("find out why its pods are not ready: kubectl -n kube-system describe pods -l k8s-app=glbc; its Deployment is {DEPLOYMENT}"))
            .fix(own),
    ))
}
