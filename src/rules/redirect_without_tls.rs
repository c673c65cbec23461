//! RedirectWithoutTls: HTTP clients are sent to HTTPS, where nobody listens.

use super::text::{patch, quote};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::annotations::keys;
use crate::topology::frontend::{listens_on, may_redirect, redirect_enabled};
use crate::topology::{Protocol, Topology};

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
    let Some(frontend) = topology.frontend() else { return Ok(None) };
    let possible = topology.ingress().zip(topology.class()).is_some_and(|(ingress, class)| may_redirect(ingress, class));
    if !possible || !frontend.http || !frontend.without_certificate() || served_at_the_same_address(topology) {
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
    rules.any(|(_, rule)| listens_on(rule, Protocol::Https.port()) && &*rule.ip_address == address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, codes};

    #[test]
    fn somebody_else_answers_https_at_the_address() {
        let mut world = World::recorded("redirect-without-tls");
        let address = world.object("Ingress", "shop", "cart")["status"]["loadBalancer"]["ingress"][0]["ip"].clone();
        *world.resource("projects/acme-prod/global/forwardingRules/by-hand") =
            json!({"name": "by-hand", "IPAddress": address, "portRange": "443"});
        assert_eq!(codes(&world.ingress("shop", "cart")), ("Healthy", vec![]));
    }

    #[test]
    fn a_certificate_of_any_kind_or_no_http_is_another_story() {
        for key in [keys::PRE_SHARED_CERT, keys::MANAGED_CERTIFICATES] {
            let mut world = World::recorded("redirect-without-tls");
            world.annotate("Ingress", "shop", "cart", key, "cert");
            assert_eq!(codes(&world.ingress("shop", "cart")).1, ["CertificateNotFound"]);
        }
        let mut world = World::recorded("redirect-without-tls");
        world.annotate("Ingress", "shop", "cart", keys::ALLOW_HTTP, "false");
        assert_eq!(codes(&world.ingress("shop", "cart")).1, ["HttpAndHttpsDisabled"]);
    }

    #[test]
    fn a_config_that_is_not_read_accuses_nobody() {
        let mut world = World::recorded("redirect-without-tls");
        world.remove("FrontendConfig", "shop", "to-https");
        world.refuse("kubernetes", "frontendconfigs.networking.gke.io");
        let diagnosis = world.ingress("shop", "cart");
        assert_eq!(codes(&diagnosis), ("Healthy", vec![]));
        assert!(diagnosis.inconclusive.iter().any(|one| one.code == "RedirectWithoutTls"));
    }

    /// The controller refuses it there, and serves as before.
    #[test]
    fn nothing_is_redirected_under_names_of_the_first_scheme() {
        let mut world = World::recorded("redirect-without-tls");
        world.object("Ingress", "shop", "cart")["metadata"]["finalizers"] = json!(["networking.gke.io/ingress-finalizer"]);
        assert!(!codes(&world.ingress("shop", "cart")).1.contains(&"RedirectWithoutTls"));
    }
}
