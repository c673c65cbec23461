//! BackendConfigNotFound: the Service's annotation names a BackendConfig that is not there.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::Observed;
use crate::topology::{Backend, Role, Topology, annotations};

/// The rule.
pub static RULE: Rule = Rule {
    code: "BackendConfigNotFound",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Service's annotation names a BackendConfig that is not in its namespace",
    doc: include_str!("backend_config_not_found.md"),
    explains: NO_ADDRESS,
    check: Check::Backend(check),
};

/// What the controller says of it (ingress-gce `pkg/backendconfig`).
const TEXT: &str = "no BackendConfig for service port exists";

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed {
        return Ok(None);
    }
    let Some(service) = backend.service.clone().known()? else { return Ok(None) };
    let (Some(port), Some((key, Ok(annotation)))) = (backend.port, annotations::backend_config(service)) else { return Ok(None) };
    // No entry for the port means no BackendConfig, and so does an empty name.
    let Some(wanted) = annotation.for_port(&port.name, port.port).filter(|name| !name.is_empty()) else { return Ok(None) };
    let (namespace, name) = (backend.namespace, backend.service_name);
    let message = format!("Service {name:?} names BackendConfig {wanted:?}, and there is none of that name in namespace {namespace:?}");
    let mut finding = match &backend.backend_config {
        Observed::Present(_) => return Ok(None),
        Observed::Absent => Finding::certain(message).evidence(format!("BackendConfig {namespace}/{wanted}"), "absent"),
        // The BackendConfigs cannot be read: the controller, which reads them, may have said it.
        Observed::Unknown(why) => {
            let about = format!("on service \"{namespace}/{name}\"");
            let errors = topology.translate_errors()?;
            let said = errors.iter().rev().find(|(_, error)| error.contains(TEXT) && error.contains(&about));
            let Some((event, error)) = said else { return Err(why.clone()) };
            Finding::certain(message).evidence("Ingress event Translate", error).since(event.first)
        }
    };
    finding = finding.evidence(
        format!("Service {namespace}/{name} annotation {key}"),
        service.metadata.annotation(key).unwrap_or_default(),
    );
    let configs = || topology.snapshot.kubernetes.backend_configs.iter().map(|config| &config.metadata);
    let elsewhere: Vec<_> = configs().filter(|meta| &*meta.name == wanted && &*meta.namespace != namespace).map(|meta| &meta.namespace).collect();
    if !elsewhere.is_empty() {
        finding = finding.evidence(format!("BackendConfigs named {wanted:?} in other namespaces"), some_of(elsewhere, 3));
    }
    let here: Vec<_> = configs().filter(|meta| &*meta.namespace == namespace).map(|meta| &meta.name).collect();
    if !here.is_empty() {
        finding = finding.evidence(format!("BackendConfigs in namespace {namespace:?}"), some_of(here, 5));
    }
    Ok(Some(
        finding
            .fix(format!("create BackendConfig {wanted} in namespace {namespace}, or correct the name in the annotation {key} of Service {name}; a Service reaches no BackendConfig of another namespace"))
            .fix(format!("kubectl -n {} get backendconfigs", quote(namespace)))
            .fix(format!(
                "if it is not needed: kubectl -n {} annotate service {} {key}-",
                quote(namespace),
                quote(name)
            )),
    ))
}
