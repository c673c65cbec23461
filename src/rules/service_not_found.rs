//! ServiceNotFound: a backend names a Service that is not in the Ingress's namespace.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::Observed;
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ServiceNotFound",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Service named by a backend does not exist in the Ingress's namespace",
    doc: include_str!("service_not_found.md"),
    explains: NO_ADDRESS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed {
        return Ok(None);
    }
    let (namespace, name) = (backend.namespace, backend.service_name);
    let finding = match &backend.service {
        Observed::Present(_) => return Ok(None),
        Observed::Absent => Finding::certain(format!("Service {name:?} does not exist in namespace {namespace:?}"))
            .evidence(format!("Service {namespace}/{name}"), "absent"),
        // The Services cannot be read: the controller, which reads them, may have said it.
        Observed::Unknown(why) => {
            let text = format!("could not find service \"{namespace}/{name}\"");
            let errors = topology.translate_errors()?;
            let Some((event, said)) = errors.iter().find(|(_, error)| error.starts_with(&text)) else { return Err(why.clone()) };
            Finding::certain(format!("Service {name:?} does not exist in namespace {namespace:?}"))
                .evidence("Ingress event Translate", said)
                .since(event.first)
        }
    };
    let elsewhere = topology.snapshot.kubernetes.services.namespaces_with(name);
    let finding = finding.evidence("routes of the Ingress to it", some_of(&backend.routes, 3));
    let finding = if elsewhere.is_empty() {
        finding
    } else {
        finding.evidence(format!("Services named {name:?} in other namespaces"), some_of(elsewhere, 3))
    };
    Ok(Some(
        finding
            .fix(format!("create Service {name} in namespace {namespace}, or correct the name in the Ingress; an Ingress reaches no Service of another namespace"))
            .fix(format!("kubectl -n {} get services", quote(namespace))),
    ))
}
