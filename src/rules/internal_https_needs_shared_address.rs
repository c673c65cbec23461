//! InternalHttpsNeedsSharedAddress: an internal Ingress wants HTTP and HTTPS, and has no address that both may share.

use super::text::{annotate, reserve_address};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::annotations::keys;
use crate::topology::{Class, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "InternalHttpsNeedsSharedAddress",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "an internal Ingress wants HTTP and HTTPS without a reserved address that both may share",
    doc: include_str!("internal_https_needs_shared_address.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(frontend) = topology.frontend().filter(|_| topology.class() == Some(Class::Internal)) else { return Ok(None) };
    // ingress-gce `pkg/loadbalancers/l7.go` (`edgeHop`) asks just this.
    if !frontend.http || !frontend.https() || frontend.static_address.is_some() {
        return Ok(None);
    }
    let (namespace, name) = (topology.namespace(), topology.name());
    let mut finding = Finding::certain(
        "the internal Ingress wants HTTP and HTTPS on one address, and names no reserved address that both may share",
    )
    .evidence(
        format!("Ingress {namespace}/{name} annotation {}", keys::ALLOW_HTTP),
        topology.meta().annotation(keys::ALLOW_HTTP).unwrap_or("absent: HTTP is on"),
    )
    .evidence(format!("Ingress annotation {}", keys::REGIONAL_STATIC_IP), "absent");
    let warnings = topology.warnings.as_deref().unwrap_or_default();
    if let Some(event) = warnings.iter().rev().find(|event| &*event.reason == "WillNotConfigureFrontend") {
        finding = finding.evidence("Ingress event WillNotConfigureFrontend", &event.message).since(event.first);
    }
    let finding = finding.fix("switch HTTP off, or reserve a regional internal address of purpose SHARED_LOADBALANCER_VIP and name it in the Ingress").fix(
        annotate(namespace, "ingress", name, keys::ALLOW_HTTP, "false"),
    );
    let address = format!("{namespace}-{name}-vip");
    // Without the subnetwork the command would be half of one.
    let Some(reserve) = reserve_address(topology, &address, true) else { return Ok(Some(finding)) };
    Ok(Some(finding.fix(reserve).fix(annotate(namespace, "ingress", name, keys::REGIONAL_STATIC_IP, &address))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, codes};
    use super::*;

    #[test]
    fn https_alone_and_a_reserved_address_are_fine() {
        let mut world = World::recorded("internal-https-without-address");
        world.annotate("Ingress", "reports", "builder", keys::ALLOW_HTTP, "false");
        assert_eq!(codes(&world.ingress("reports", "builder")).1, ["NoAddress"]);
        let mut world = World::recorded("internal-https-without-address");
        world.annotate("Ingress", "reports", "builder", keys::REGIONAL_STATIC_IP, "vip");
        let path = "projects/acme-prod/regions/us-central1/addresses/vip";
        *world.resource(path) =
            json!({"name": "vip", "address": "10.128.0.99", "addressType": "INTERNAL", "purpose": "SHARED_LOADBALANCER_VIP"});
        assert_eq!(codes(&world.ingress("reports", "builder")).1, ["NoAddress"]);
        world.resource(path)["purpose"] = json!("GCE_ENDPOINT");
        assert_eq!(codes(&world.ingress("reports", "builder")).1, ["StaticAddressUnusable", "NoAddress"]);
    }
}
