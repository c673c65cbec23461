//! InternalHttpsNeedsSharedAddress: an internal Ingress wants HTTP and HTTPS, and has no address that both may share.

use super::text::{annotate, project_flag, quote};
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
    // Without the subnetwork the command would be half of one.
    let Some(subnetwork) = topology.subnetwork() else { return Ok(Some(finding)) };
    let address = format!("{namespace}-{name}-vip");
    let reserve = format!(
        "gcloud compute addresses create {} --region={} --subnet={} --purpose=SHARED_LOADBALANCER_VIP{}",
        quote(&address),
        quote(topology.region()),
        quote(subnetwork),
        project_flag(topology)
    );
    Ok(Some(finding.fix(reserve).fix(annotate(namespace, "ingress", name, keys::REGIONAL_STATIC_IP, &address))))
}
