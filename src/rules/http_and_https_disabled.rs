//! HttpAndHttpsDisabled: HTTP is switched off and no certificate is configured.

use super::text::quote;
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::kubernetes::Event;
use crate::topology::Topology;
use crate::topology::annotations::keys;

/// The rule.
pub static RULE: Rule = Rule {
    code: "HttpAndHttpsDisabled",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "HTTP is switched off and no certificate is configured: there is nothing to listen to",
    doc: include_str!("http_and_https_disabled.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// The controller's words, and those of releases before July 2021 (ingress-gce `pkg/loadbalancers/l7.go`).
const TEXTS: [&str; 2] = ["both HTTP and HTTPS are disabled", "invalid ingress frontend configuration"];

fn check(topology: &Topology<'_>) -> Answer {
    let Some(frontend) = topology.frontend() else { return Ok(None) };
    // One that is configured and absent is another rule's; as long as the controller sees a name, it tries.
    if frontend.http || frontend.https() {
        return Ok(None);
    }
    let (namespace, name) = (topology.namespace(), topology.name());
    let said = |topology: &Topology<'_>| -> Option<Event> {
        let errors = topology.sync_errors().ok()?;
        let (event, _) = errors.into_iter().rev().find(|(_, error)| TEXTS.iter().any(|text| error.contains(text)))?;
        Some(event.clone())
    };
    let event = said(topology);
    let certificates = &topology.snapshot.kubernetes.managed_certificates;
    let waits = frontend.managed.iter().any(|name| !certificates.get(namespace, name).is_absent());
    let message = match (frontend.managed.is_empty(), &event) {
        (true, _) => "HTTP is switched off and no certificate is configured, so the load balancer has nothing to listen to",
        // The certificate is on its way: the controller says whether it made it.
        (false, Some(_)) if waits => {
            "HTTP is switched off and the managed certificate is not attached to the Ingress yet, so the load balancer has nothing to listen to"
        }
        (false, _) => {
            topology.sync_errors()?;
            return Ok(None);
        }
    };
    let switch = topology.meta().annotation(keys::ALLOW_HTTP).unwrap_or_default();
    let mut finding = Finding::certain(message)
        .evidence(format!("Ingress {namespace}/{name} annotation {}", keys::ALLOW_HTTP), switch)
        .evidence(format!("Ingress spec.tls and annotation {}", keys::PRE_SHARED_CERT), "absent");
    if let Some(event) = &event {
        finding = finding.evidence("Ingress event Sync", &event.message).since(event.first);
    }
    let allow = format!("kubectl -n {} annotate ingress {} {}-", quote(namespace), quote(name), keys::ALLOW_HTTP);
    Ok(Some(if frontend.managed.is_empty() {
        finding
            .fix("add a certificate: spec.tls with a Secret, a pre-shared certificate, or a managed one; or let HTTP in")
            .fix(allow)
    } else {
        finding.fix("let HTTP in until the managed certificate is attached, then switch it off again").fix(allow)
    }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, codes};
    use super::*;

    #[test]
    fn a_certificate_that_is_configured_and_absent_is_another_rule_s() {
        let mut world = World::recorded("http-and-https-disabled");
        world.annotate("Ingress", "shop", "cart", keys::PRE_SHARED_CERT, "cart-cert");
        assert_eq!(codes(&world.ingress("shop", "cart")).1, ["CertificateNotFound", "NoAddress"]);
        let mut world = World::recorded("http-and-https-disabled");
        world.annotate("Ingress", "shop", "cart", keys::MANAGED_CERTIFICATES, "cart-cert");
        assert_eq!(codes(&world.ingress("shop", "cart")).1, ["CertificateNotFound", "NoAddress"]);
    }

    #[test]
    fn the_switch_is_read_as_the_controller_reads_it() {
        let mut world = World::recorded("http-and-https-disabled");
        world.annotate("Ingress", "shop", "cart", keys::ALLOW_HTTP, "no");
        assert_eq!(codes(&world.ingress("shop", "cart")).1, ["NoAddress"]);
        world.annotate("Ingress", "shop", "cart", keys::ALLOW_HTTP, "F");
        assert_eq!(codes(&world.ingress("shop", "cart")).1, ["HttpAndHttpsDisabled", "NoAddress"]);
    }
}
