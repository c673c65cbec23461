//! InternalServiceNeedsNeg: a regional load balancer reaches network endpoint groups alone, and the Service does not ask for them.

use super::text::annotate;
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::annotations::{self, keys};
use crate::topology::{Backend, Class, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "InternalServiceNeedsNeg",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Service behind an internal Ingress does not ask for network endpoint groups",
    doc: include_str!("internal_service_needs_neg.md"),
    explains: NO_ADDRESS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let Some(class) = topology.class().filter(|class| class.regional()) else { return Ok(None) };
    if backend.role != Role::Routed || topology.frontend().is_none() {
        return Ok(None);
    }
    let Some(service) = backend.service.clone().known()? else { return Ok(None) };
    // An annotation that is not understood is another rule's.
    let Ok(annotation) = annotations::neg(service) else { return Ok(None) };
    if annotation.is_some_and(|annotation| annotation.ingress) {
        return Ok(None);
    }
    let (namespace, name) = (backend.namespace, backend.service_name);
    let balancer = if class == Class::Internal { "an internal load balancer" } else { "a regional load balancer" };
    let present = service.metadata.annotation(keys::NEG);
    let mut finding = Finding::certain(format!(
        "Service {name:?} does not ask for network endpoint groups for Ingress, and {balancer} reaches nothing else"
    ))
    .evidence(format!("Ingress annotation {}", keys::INGRESS_CLASS), class.annotation())
    .evidence(format!("Service {namespace}/{name} annotation {}", keys::NEG), present.unwrap_or("absent"));
    let errors = topology.sync_errors().unwrap_or_default();
    let said = errors.iter().rev().find(|(_, error)| {
        let neg = backend.neg_name.as_deref();
        neg.is_some_and(|neg| error.contains(&format!("/networkEndpointGroups/{neg}'")) && error.contains("was not found"))
    });
    if let Some((event, error)) = said {
        finding = finding.evidence("Ingress event Sync", error).since(event.first);
    }
    Ok(Some(if service.type_() == "ExternalName" {
        finding.fix(format!("replace Service {name} by one that selects pods: an Ingress reaches no external name"))
    } else {
        finding.fix(annotate(namespace, "service", name, keys::NEG, &annotations::neg_with_ingress(present)))
    }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, codes};
    use super::*;

    #[test]
    fn a_standalone_neg_is_not_one_for_ingress_and_an_external_ingress_needs_none() {
        let mut world = World::recorded("internal-service-without-neg");
        world.annotate("Service", "reports", "builder", keys::NEG, r#"{"exposed_ports": {"80": {}}}"#);
        let diagnosis = world.ingress("reports", "builder");
        assert_eq!(codes(&diagnosis).1[..1], ["InternalServiceNeedsNeg"]);
        let fix = &diagnosis.findings[0].found.finding.fix[0];
        assert!(fix.contains(r#""exposed_ports":{"80":{}}"#) && fix.contains(r#""ingress":true"#), "{fix}");
        world.annotate("Ingress", "reports", "builder", keys::INGRESS_CLASS, "gce");
        assert!(!codes(&world.ingress("reports", "builder")).1.contains(&"InternalServiceNeedsNeg"));
    }
}
