//! BackendConfigInvalid: the annotation or the BackendConfig of a Service is refused, or the annotation stands on the Ingress.

use super::text::{annotate, quote};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::kubernetes::{BackendConfigSpec, Event, Service};
use crate::snapshot::{Observed, Unknown};
use crate::topology::annotations::{self, keys};
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "BackendConfigInvalid",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Service's BackendConfig, or the annotation that names it, is refused or stands in the wrong place",
    doc: include_str!("backend_config_invalid.md"),
    explains: NO_ADDRESS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed {
        return Ok(None);
    }
    let Some(service) = backend.service.clone().known()? else { return Ok(None) };
    let Some((key, annotation)) = annotations::backend_config(service) else { return Ok(on_ingress(topology, backend)) };
    let Some(port) = backend.port else { return Ok(None) };
    let wanted = match &annotation {
        Err(error) => return Ok(Some(annotation_refused(service, key, &format!("is not understood: {error}")))),
        Ok(annotation) if annotation.default.is_empty() && annotation.ports.is_empty() => {
            return Ok(Some(annotation_refused(
                service,
                key,
                "names no BackendConfig, neither under \"default\" nor under \"ports\"",
            )));
        }
        Ok(annotation) => annotation.for_port(&port.name, port.port).filter(|name| !name.is_empty()),
    };
    let Some(wanted) = wanted else { return Ok(None) };
    let config = match &backend.backend_config {
        Observed::Present(config) => Some(*config),
        Observed::Absent => return Ok(None),
        Observed::Unknown(_) => None,
    };
    let reason = config.and_then(|config| refused_by_controller(&config.spec));
    let said = said(topology, backend.namespace, wanted);
    let refused = |reason: &str| {
        Finding::certain(format!("BackendConfig {wanted:?} of Service {:?} is refused: {reason}", backend.service_name))
    };
    let finding = match (reason, said) {
        (Some(reason), said) => {
            let finding = refused(&reason).evidence(format!("BackendConfig {}/{wanted} spec", backend.namespace), &reason);
            match said {
                Ok(Some((event, error))) => finding.evidence("Ingress event Translate", error).since(event.first),
                _ => finding,
            }
        }
        // What the live object contradicts is over; a Secret that the controller misses is never read here.
        (None, Ok(Some((event, error)))) if config.is_none() || !seen_in_spec(error) => {
            let reason = error.split_once(" is not valid: ").map_or(error, |(_, reason)| reason);
            refused(reason).evidence("Ingress event Translate", error).since(event.first)
        }
        // A BackendConfig that was read, and that nobody complains about, is well; a Secret that it names is the controller's to read.
        (None, _) => return backend.backend_config.clone().known().map(|_| None),
    };
    let edit = format!("kubectl -n {} edit backendconfig {}", quote(backend.namespace), quote(wanted));
    Ok(Some(finding.fix(format!("correct BackendConfig {wanted}; the controller tries again by itself")).fix(edit)))
}

/// The annotation of the Service is not what the controller reads: it refuses the whole Ingress.
fn annotation_refused(service: &Service, key: &str, why: &str) -> Finding {
    let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
    let text = service.metadata.annotation(key).unwrap_or_default();
    // Mostly the bare name was written in place of the object.
    let bare = text.trim().trim_matches(['"', '\'']);
    let plain = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    let finding = Finding::certain(format!("annotation {key} of Service {name:?} {why}"))
        .evidence(format!("Service {namespace}/{name} annotation {key}"), text);
    let finding = if plain {
        finding.fix(annotate(namespace, "service", name, key, &serde_json::json!({"default": bare}).to_string()))
    } else {
        finding
            .fix(format!("write a JSON object into annotation {key}: \"default\" names the BackendConfig of all ports, \"ports\" those of single ports"))
            .fix(format!("the BackendConfigs that there are: kubectl -n {} get backendconfigs", quote(namespace)))
    };
    finding.fix(format!("if none is needed: kubectl -n {} annotate service {} {key}-", quote(namespace), quote(name)))
}

/// The annotation stands on the Ingress, where nobody reads it, and this Service has none.
fn on_ingress(topology: &Topology<'_>, backend: &Backend<'_>) -> Option<Finding> {
    let ingress = topology.ingress()?;
    let (key, text) = [keys::BACKEND_CONFIG, keys::BACKEND_CONFIG_BETA]
        .into_iter()
        .find_map(|key| Some((key, ingress.metadata.annotation(key)?)))?;
    let (namespace, name) = (backend.namespace, backend.service_name);
    Some(
        Finding::certain(format!(
            "annotation {key} stands on the Ingress, where it has no effect: it belongs on Service {name:?}"
        ))
        .severity(Severity::Warning)
        .evidence(format!("Ingress annotation {key}"), text)
        .evidence(format!("Service {namespace}/{name} annotation {key}"), "absent")
        .fix(annotate(namespace, "service", name, key, text))
        .fix(format!("kubectl -n {} annotate ingress {} {key}-", quote(topology.namespace()), quote(topology.name()))),
    )
}

/// What the controller refuses without asking Compute (ingress-gce `pkg/backendconfig/validation.go`, `pkg/translator/healthchecks.go`).
fn refused_by_controller(spec: &BackendConfigSpec) -> Option<String> {
    if spec.iap.as_ref().is_some_and(|iap| iap.enabled) && spec.cdn.as_ref().is_some_and(|cdn| cdn.enabled) {
        return Some("iap and cdn cannot be enabled at the same time".to_owned());
    }
    if let Some(affinity) = &spec.session_affinity {
        if !matches!(&*affinity.affinity_type, "" | "NONE" | "CLIENT_IP" | "GENERATED_COOKIE") {
            return Some(format!(
                "sessionAffinity.affinityType {:?} is none of NONE, CLIENT_IP and GENERATED_COOKIE",
                affinity.affinity_type
            ));
        }
        if let Some(seconds) = affinity.affinity_cookie_ttl_sec.filter(|seconds| !(0..=86_400).contains(seconds)) {
            return Some(format!("sessionAffinity.affinityCookieTtlSec {seconds} is not between 0 and 86400"));
        }
    }
    if let Some(rate) = spec.logging.as_ref().and_then(|logging| logging.sample_rate).filter(|rate| !(0.0..=1.0).contains(rate)) {
        return Some(format!("logging.sampleRate {rate} is not between 0 and 1"));
    }
    let type_ = spec.health_check.as_ref().and_then(|check| check.type_.as_deref())?;
    (!matches!(type_, "HTTP" | "HTTPS" | "HTTP2")).then(|| format!("healthCheck.type {type_:?} is none of HTTP, HTTPS and HTTP2"))
}

/// The texts about what [`refused_by_controller`] sees for itself.
fn seen_in_spec(error: &str) -> bool {
    [
        "iap and cdn cannot",
        "unsupported AffinityType",
        "unsupported AffinityCookieTtlSec",
        "unsupported SampleRate",
        "must be one of",
    ]
    .iter()
    .any(|text| error.contains(text))
}

/// What the controller says of a BackendConfig.
fn said<'a>(topology: &Topology<'a>, namespace: &str, name: &str) -> Result<Option<(&'a Event, &'a str)>, Unknown> {
    let about = format!("BackendConfig {namespace}/{name} is not valid: ");
    Ok(topology.translate_errors()?.into_iter().rev().find(|(_, error)| error.contains(&about)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, world};
    use super::*;

    const CODE: &str = "BackendConfigInvalid";

    fn with_spec(spec: serde_json::Value) -> World {
        world("healthy-neg").annotated("Service", "shop/cart", keys::BACKEND_CONFIG, r#"{"default":"x"}"#).add(serde_json::json!({
            "apiVersion": "cloud.google.com/v1", "kind": "BackendConfig", "metadata": {"namespace": "shop", "name": "x"}, "spec": spec,
        }))
    }

    fn severity(world: &World) -> Option<Severity> {
        world.found("shop/cart", CODE).first().map(crate::diagnose::Found::severity)
    }

    #[test]
    fn an_annotation_that_the_controller_cannot_read() {
        for annotation in ["x", "", "{}", r#"{"default":""}"#, r#"{"default": x}"#, r#"["x"]"#, "null"] {
            let world = world("healthy-neg").annotated("Service", "shop/cart", keys::BACKEND_CONFIG, annotation);
            assert_eq!(severity(&world), Some(Severity::Error), "{annotation}");
        }
        let bare = world("healthy-neg").annotated("Service", "shop/cart", keys::BACKEND_CONFIG, "x");
        let fix = &bare.found("shop/cart", CODE)[0].finding.fix[0];
        assert_eq!(fix, r#"kubectl -n shop annotate service cart 'cloud.google.com/backend-config={"default":"x"}' --overwrite"#);
    }

    #[test]
    fn a_specification_that_the_controller_refuses() {
        for spec in [
            serde_json::json!({"iap": {"enabled": true}, "cdn": {"enabled": true}}),
            serde_json::json!({"sessionAffinity": {"affinityType": "client_ip"}}),
            serde_json::json!({"sessionAffinity": {"affinityCookieTtlSec": 86401}}),
            serde_json::json!({"logging": {"sampleRate": 1.5}}),
            serde_json::json!({"healthCheck": {"type": "TCP"}}),
        ] {
            assert_eq!(severity(&with_spec(spec.clone())), Some(Severity::Error), "{spec}");
        }
        for spec in [
            serde_json::json!({}),
            serde_json::json!({"iap": {"enabled": true}, "cdn": {"enabled": false}}),
            serde_json::json!({"sessionAffinity": {"affinityType": "GENERATED_COOKIE", "affinityCookieTtlSec": 0}}),
            serde_json::json!({"logging": {"enable": false, "sampleRate": 0}}),
            serde_json::json!({"healthCheck": {"type": "HTTP2", "requestPath": "/x"}}),
        ] {
            assert_eq!(severity(&with_spec(spec.clone())), None, "{spec}");
        }
    }

    #[test]
    fn the_live_object_wins_over_the_event() {
        let about =
            |reason: &str| format!("Translation failed: invalid ingress spec: BackendConfig shop/x is not valid: {reason}");
        let mended = with_spec(serde_json::json!({})).warned(
            "shop/cart",
            "Translate",
            &about("iap and cdn cannot be enabled at the same time"),
        );
        assert_eq!(severity(&mended), None);
        let secret = about("error retrieving secret oauth: secrets \"oauth\" not found");
        let spec = serde_json::json!({"iap": {"enabled": true, "oauthclientCredentials": {"secretName": "oauth"}}});
        let missing = with_spec(spec).warned("shop/cart", "Translate", &secret);
        assert_eq!(severity(&missing), Some(Severity::Error));
    }

    #[test]
    fn misplaced_on_the_ingress() {
        let misplaced = || world("healthy-neg").annotated("Ingress", "shop/cart", keys::BACKEND_CONFIG, r#"{"default":"x"}"#);
        assert_eq!(severity(&misplaced()), Some(Severity::Warning));
        let both = misplaced().annotated("Service", "shop/cart", keys::BACKEND_CONFIG, r#"{"ports":{"https":"y"}}"#);
        assert_eq!(severity(&both), None);
    }

    #[test]
    fn unread_says_so() {
        let unread = with_spec(serde_json::json!({})).unread("backendconfigs");
        assert!(unread.inconclusive("shop/cart").contains(&CODE));
        assert_eq!(severity(&unread), None);
    }
}
