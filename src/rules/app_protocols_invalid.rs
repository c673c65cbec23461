//! AppProtocolsInvalid: the Service's app-protocols annotation is refused, or passes its port over.

use super::text::{annotate, json_patch, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::kubernetes::{PortRef, Service, ServicePort};
use crate::topology::annotations::{self, AppProtocols};
use crate::topology::{Backend, Role, Topology};

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

fn wrong(service: &Service, port: &ServicePort, key: &'static str, protocols: Result<AppProtocols, String>) -> Option<Wrong> {
    let set = |value: &AppProtocols| {
        let value = serde_json::json!(value).to_string();
        annotate(&service.metadata.namespace, "service", &service.metadata.name, key, &value)
    };
    let protocols = match protocols {
        Ok(protocols) => protocols,
        Err(error) => {
            let text = service.metadata.annotation(key).unwrap_or_default().to_ascii_uppercase();
            let meant = ["HTTP2", "HTTPS"].into_iter().find(|word| text.contains(word)).unwrap_or("HTTP");
            let mut fix = vec![format!(
                "write a JSON object of port names and HTTP, HTTPS or HTTP2; where the pods speak {meant} on port {}:",
                spell(port)
            )];
            fix.extend(name_port(service, port, "http"));
            fix.push(set(&AppProtocols::from([(name_of(port, "http"), meant.into())])));
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
        what: format!(
            "asks {value} for {unmatched:?}, which is the name of no port: port {} gets HTTP without a word",
            spell(port)
        ),
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

#[cfg(test)]
mod tests {
    use crate::testing::world;
    use super::*;
    use crate::topology::annotations::keys;

    /// Severity and second line of the mend for an annotation of a Service with these ports, whose port 443 the Ingress routes to.
    fn found(annotation: &str, ports: serde_json::Value) -> Option<(Severity, String)> {
        let world = world("healthy-neg")
            .annotated("Service", "shop/cart", keys::APP_PROTOCOLS, annotation)
            .edit("Service", "shop/cart", |service| service["spec"]["ports"] = ports)
            .edit("Ingress", "shop/cart", |ingress| {
                ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"]["number"] = 443.into();
            });
        let found = world.found("shop/cart", "AppProtocolsInvalid");
        assert!(found.len() <= 1);
        found.first().map(|found| (found.severity(), found.finding.fix.last().cloned().unwrap_or_default()))
    }

    fn named() -> serde_json::Value {
        serde_json::json!([{"name": "http", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443}])
    }

    #[test]
    fn what_is_well_formed_is_silent() {
        for annotation in [r#"{"https":"HTTPS"}"#, r#"{"https":"HTTP2","http":"HTTP"}"#, "{}", "null", r#"{"443":"HTTP"}"#] {
            assert_eq!(found(annotation, named()), None, "{annotation}");
        }
        // Meant for the other port, or left over beside one that is right.
        assert_eq!(found(r#"{"80":"HTTPS"}"#, named()), None);
        assert_eq!(found(r#"{"https":"HTTPS","admin":"HTTPS"}"#, named()), None);
    }

    #[test]
    fn what_the_controller_refuses_is_an_error() {
        for annotation in
            ["https=HTTPS", r#"{"https":"https"}"#, r#"{"https":"TLS"}"#, r#"{"https":443}"#, "", r#"{"http":"h2c"}"#]
        {
            assert_eq!(found(annotation, named()).map(|found| found.0), Some(Severity::Error), "{annotation}");
        }
        let (_, mend) = found(r#"{"https":"https"}"#, named()).unwrap_or((Severity::Info, String::new()));
        assert_eq!(
            mend,
            r#"kubectl -n shop annotate service cart 'cloud.google.com/app-protocols={"https":"HTTPS"}' --overwrite"#
        );
    }

    #[test]
    fn a_key_that_is_no_name_is_a_warning() {
        for annotation in [r#"{"443":"HTTPS"}"#, r#"{"8443":"HTTPS"}"#, r#"{"HTTPS":"HTTPS"}"#, r#"{"web":"HTTP2"}"#] {
            let (severity, mend) = found(annotation, named()).unwrap_or((Severity::Info, String::new()));
            assert_eq!(severity, Severity::Warning, "{annotation}");
            assert!(mend.contains(r#"={"https":"HTTP"#), "{mend}");
        }
        let nameless = serde_json::json!([{"port": 443, "targetPort": 8443}]);
        let (severity, mend) = found(r#"{"443":"HTTPS"}"#, nameless).unwrap_or((Severity::Info, String::new()));
        assert_eq!((severity, mend.contains(r#"={"web":"HTTPS"}"#)), (Severity::Warning, true), "{mend}");
    }

    #[test]
    fn the_old_key_wins() {
        let both = world("healthy-neg")
            .annotated("Service", "shop/cart", keys::APP_PROTOCOLS_ALPHA, r#"{"http":"HTTP"}"#)
            .annotated("Service", "shop/cart", keys::APP_PROTOCOLS, "nonsense");
        assert!(both.codes("shop/cart").is_empty());
    }
}
