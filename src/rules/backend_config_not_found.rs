//! BackendConfigNotFound: the Service's annotation names a BackendConfig that is not there.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::kubernetes::Event;
use crate::snapshot::{Observed, Unknown};
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
    let service = match &backend.service {
        Observed::Present(service) => *service,
        Observed::Absent => return Ok(None),
        Observed::Unknown(why) => return said(topology, backend)?.map_or(Err(why.clone()), |said| Ok(Some(unread(backend, said)))),
    };
    let (Some(port), Some((key, Ok(annotation)))) = (backend.port, annotations::backend_config(service)) else { return Ok(None) };
    // No entry for the port means no BackendConfig, and so does an empty name.
    let Some(wanted) = annotation.for_port(&port.name, port.port).filter(|name| !name.is_empty()) else { return Ok(None) };
    let (namespace, name) = (backend.namespace, backend.service_name);
    let message =
        format!("Service {name:?} names BackendConfig {wanted:?}, and there is none of that name in namespace {namespace:?}");
    let mut finding = match &backend.backend_config {
        Observed::Present(_) => return Ok(None),
        Observed::Absent => Finding::certain(message).evidence(format!("BackendConfig {namespace}/{wanted}"), "absent"),
        // The BackendConfigs cannot be read: the controller, which reads them, may have said it.
        Observed::Unknown(why) => {
            let Some((event, error)) = said(topology, backend)? else { return Err(why.clone()) };
            Finding::certain(message).evidence("Ingress event Translate", error).since(event.first)
        }
    };
    finding = finding.evidence(
        format!("Service {namespace}/{name} annotation {key}"),
        service.metadata.annotation(key).unwrap_or_default(),
    );
    let configs = &topology.snapshot.kubernetes.backend_configs;
    let mut elsewhere = configs.namespaces_with(wanted);
    elsewhere.retain(|other| *other != namespace);
    if !elsewhere.is_empty() {
        finding = finding.evidence(format!("BackendConfigs named {wanted:?} in other namespaces"), some_of(elsewhere, 3));
    }
    let here: Vec<_> = configs.in_namespace(namespace).into_iter().flatten().map(|config| &config.metadata.name).collect();
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

/// What the controller says of the Service, which it can read.
fn said<'a>(topology: &Topology<'a>, backend: &Backend<'_>) -> Result<Option<(&'a Event, &'a str)>, Unknown> {
    let about = format!("on service \"{}/{}\"", backend.namespace, backend.service_name);
    let errors = topology.translate_errors()?;
    Ok(errors.into_iter().rev().find(|(_, error)| error.contains(TEXT) && error.contains(&about)))
}

/// Where the Services cannot be read, nobody here knows the name of the BackendConfig.
fn unread(backend: &Backend<'_>, (event, error): (&Event, &str)) -> Finding {
    let (namespace, name) = (backend.namespace, backend.service_name);
    Finding::certain(format!("Service {name:?} names a BackendConfig that is not in namespace {namespace:?}"))
        .evidence("Ingress event Translate", error)
        .fix(format!("create the BackendConfig in namespace {namespace}, or correct its name in the annotation of Service {name}"))
        .fix(format!("kubectl -n {} get service {} -o jsonpath='{{.metadata.annotations}}'", quote(namespace), quote(name)))
        .fix(format!("kubectl -n {} get backendconfigs", quote(namespace)))
        .since(event.first)
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, world};
    use crate::topology::annotations::keys;

    const CODE: &str = "BackendConfigNotFound";

    fn named(annotation: &str) -> World {
        world("healthy-neg").annotated("Service", "shop/cart", keys::BACKEND_CONFIG, annotation)
    }

    #[test]
    fn by_name_number_and_default() {
        for annotation in [r#"{"default":"x"}"#, r#"{"ports":{"http":"x"}}"#, r#"{"ports":{"80":"x"}}"#] {
            assert_eq!(named(annotation).codes("shop/cart"), [CODE], "{annotation}");
        }
    }

    #[test]
    fn what_does_not_concern_the_port_is_silent() {
        for annotation in [r#"{"ports":{"https":"x"}}"#, r#"{"ports":{"8080":"x"}}"#, r#"{"ports":{"http":""},"default":"x"}"#] {
            assert!(named(annotation).codes("shop/cart").is_empty(), "{annotation}");
        }
    }

    #[test]
    fn unread_is_not_absent() {
        let unread = || named(r#"{"default":"x"}"#).unread("backendconfigs.cloud.google.com");
        assert!(!unread().codes("shop/cart").contains(&CODE));
        assert!(unread().inconclusive("shop/cart").contains(&CODE));
        let text = "Translation failed: invalid ingress spec: error getting BackendConfig for port \"&ServiceBackendPort{Name:,Number:80,}\" on service \"shop/cart\", err: no BackendConfig for service port exists.";
        assert_eq!(unread().warned("shop/cart", "Translate", text).found("shop/cart", CODE).len(), 1);
    }
}
