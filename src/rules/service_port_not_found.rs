//! ServicePortNotFound: a backend names a port that the Service does not have.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::Observed;
use crate::snapshot::kubernetes::{IngressBackend, PortRef, ServicePort};
use crate::topology::{Backend, Role, Topology, backend};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ServicePortNotFound",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "a backend names a port that the Service does not have",
    doc: include_str!("service_port_not_found.md"),
    explains: NO_ADDRESS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed || backend.port.is_some() {
        return Ok(None);
    }
    let (namespace, name, port) = (backend.namespace, backend.service_name, &backend.port_ref);
    let service = match &backend.service {
        Observed::Present(service) => *service,
        Observed::Absent => return Ok(None),
        // The Services cannot be read: the controller, which reads them, may have said it, with the port as a Go struct.
        Observed::Unknown(why) => {
            let spelled = match port {
                PortRef::Number(number) => format!("{{Name:,Number:{number},}}"),
                PortRef::Name(port) => format!("{{Name:{port},Number:0,}}"),
            };
            let of_it = |error: &str| {
                error.starts_with("could not find port ")
                    && error.contains(&spelled)
                    && error.ends_with(&format!("in service \"{namespace}/{name}\""))
            };
            let errors = topology.translate_errors()?;
            let Some((event, error)) = errors.iter().rev().find(|(_, error)| of_it(error)) else { return Err(why.clone()) };
            return Ok(Some(
                Finding::certain(format!("Service {name:?} has no port {port}"))
                    .evidence("Ingress event Translate", error)
                    .evidence("routes of the Ingress to it", some_of(&backend.routes, 3))
                    .fix(format!("name a port of Service {name} in the Ingress (its own, not a targetPort), or add port {port} to the Service"))
                    .fix(format!("kubectl -n {} get service {} -o jsonpath='{{.spec.ports}}'", quote(namespace), quote(name)))
                    .since(event.first),
            ));
        }
    };
    let has = if service.spec.ports.is_empty() { "no port at all".to_owned() } else { some_of(service.spec.ports.iter().map(spell), 5) };
    let meant = service.spec.ports.iter().find(|candidate| candidate.target() == *port);
    let message = match meant {
        Some(meant) => format!(
            "Service {name:?} has no port {port}: {port} is the targetPort of its port {}, and an Ingress names the Service's own port",
            meant.port
        ),
        None => format!("Service {name:?} has no port {port}, it has {has}"),
    };
    let mut finding = Finding::certain(message)
        .evidence(format!("Service {namespace}/{name} spec.ports"), has)
        .evidence("routes of the Ingress to it", some_of(&backend.routes, 3));
    let right = meant.or(if let [only] = &*service.spec.ports { Some(only) } else { None });
    finding = match right {
        Some(right) => finding
            .fix(format!("use port {} of Service {name} in the Ingress", right.port))
            .fix(mend(topology, backend, right)),
        None => finding
            .fix(format!("name a port of Service {name} in the Ingress, or add port {port} to the Service"))
            .fix(format!("kubectl -n {} get service {} -o jsonpath='{{.spec.ports}}'", quote(namespace), quote(name))),
    };
    Ok(Some(finding))
}

fn spell(port: &ServicePort) -> String {
    if port.name.is_empty() { port.port.to_string() } else { format!("{} ({})", port.port, port.name) }
}

/// A JSON patch of every place in the Ingress that names the wrong port.
fn mend(topology: &Topology<'_>, wrong: &Backend<'_>, right: &ServicePort) -> String {
    let names = |backend: &IngressBackend| {
        backend.service.as_ref().is_some_and(|service| &*service.name == wrong.service_name && backend::port_ref(&service.port) == wrong.port_ref)
    };
    let value = match &wrong.port_ref {
        PortRef::Name(_) if !right.name.is_empty() => serde_json::json!({"name": right.name}),
        _ => serde_json::json!({"number": right.port}),
    };
    let mut steps = Vec::new();
    let mut replace = |path: String| steps.push(serde_json::json!({"op": "replace", "path": format!("{path}/service/port"), "value": value}));
    if let Some(ingress) = topology.ingress() {
        if ingress.spec.default_backend.as_ref().is_some_and(names) {
            replace("/spec/defaultBackend".to_owned());
        }
        for (at, rule) in ingress.spec.rules.iter().enumerate() {
            for (path_at, path) in rule.http.iter().flat_map(|http| http.paths.iter()).enumerate() {
                if names(&path.backend) {
                    replace(format!("/spec/rules/{at}/http/paths/{path_at}/backend"));
                }
            }
        }
    }
    let patch = serde_json::Value::Array(steps).to_string();
    format!("kubectl -n {} patch ingress {} --type json -p {}", quote(topology.namespace()), quote(topology.name()), quote(&patch))
}

#[cfg(test)]
mod tests {
    use crate::testing::world;

    const CODE: &str = "ServicePortNotFound";

    #[test]
    fn where_services_are_unread_the_controller_is_believed() {
        let text = |port: &str, service: &str| format!("Translation failed: invalid ingress spec: could not find port \"&ServiceBackendPort{{{port}}}\" in service \"{service}\"");
        let said = |port, service| world("healthy-neg").unread("services").warned("shop/cart", "Translate", &text(port, service)).codes("shop/cart");
        assert!(said("Name:,Number:80,", "shop/cart").contains(&CODE));
        for (port, service) in [("Name:,Number:8080,", "shop/cart"), ("Name:http,Number:0,", "shop/cart"), ("Name:,Number:80,", "shop/other")] {
            assert!(!said(port, service).contains(&CODE), "{port} {service}");
        }
    }
}
