//! RedirectWithoutTls: HTTP clients are sent to HTTPS, where nobody listens.

use super::text::{patch, quote};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::annotations::keys;
use crate::topology::frontend::redirect_enabled;
use crate::topology::{Class, Protocol, Topology, frontend};

/// The rule.
pub static RULE: Rule = Rule {
    code: "RedirectWithoutTls",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "HTTP is redirected to HTTPS, and no certificate is configured: clients are sent to a closed port",
    doc: include_str!("redirect_without_tls.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    // The controller refuses a redirect on an internal load balancer, so nothing is redirected there.
    let Some(frontend) = topology.frontend().filter(|_| topology.class() != Some(Class::Internal)) else { return Ok(None) };
    if !frontend.http || !frontend.without_certificate() || served_at_the_same_address(topology) {
        return Ok(None);
    }
    let Some((config, observed)) = topology.frontend_config() else { return Ok(None) };
    let Some(redirects) = observed.known()? else { return Ok(None) };
    if !redirect_enabled(redirects) {
        return Ok(None);
    }
    let (namespace, name) = (topology.namespace(), topology.name());
    let off = patch(namespace, "frontendconfig", config, &serde_json::json!({"spec": {"redirectToHttps": {"enabled": false}}}));
    Ok(Some(
        Finding::certain(format!(
            "FrontendConfig {config:?} redirects HTTP to HTTPS, and the Ingress has no certificate: every client is sent to a closed port"
        ))
        .evidence(format!("FrontendConfig {namespace}/{config} spec.redirectToHttps.enabled"), "true")
        .evidence(
            format!("Ingress {namespace}/{name} spec.tls, annotations {} and {}", keys::PRE_SHARED_CERT, keys::MANAGED_CERTIFICATES),
            "absent",
        )
        .fix("add a certificate to the Ingress (spec.tls, a pre-shared or a managed one), or switch the redirect off")
        .fix(off)
        .fix(format!("kubectl -n {} get ingress {} -o yaml", quote(namespace), quote(name)))
        .breaking(),
    ))
}

/// A load balancer that somebody else made answers HTTPS at the Ingress's address: then the redirect leads somewhere.
fn served_at_the_same_address(topology: &Topology<'_>) -> bool {
    let Some(address) = topology.ingress().and_then(|ingress| ingress.address()) else { return false };
    let scope = format!("{}/", topology.scope());
    let mut rules = topology.snapshot.compute.seen_in_scope(&scope);
    rules.any(|(_, rule)| frontend::listens_on(rule, Protocol::Https.port()) && &*rule.ip_address == address)
}
