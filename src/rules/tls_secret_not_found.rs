//! TlsSecretNotFound: `spec.tls` names a Secret that the controller does not find.

use super::text::{patch, quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::{Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "TlsSecretNotFound",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "spec.tls names a Secret that does not exist in the Ingress's namespace",
    doc: include_str!("tls_secret_not_found.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// The Secret that a text calls missing (ingress-gce `pkg/translator/translator.go`: the client's own words, and `Secrets`).
fn missing(error: &str) -> Option<&str> {
    events::between(error, "secrets \"", "\" not found").or_else(|| events::between(error, "secret \"", "\" does not exist"))
}

fn check(topology: &Topology<'_>) -> Answer {
    let Some(frontend) = topology.frontend().filter(|frontend| !frontend.secrets.is_empty()) else { return Ok(None) };
    let errors = topology.sync_errors()?;
    // Secrets are never read: the controller's word counts, as long as the Ingress still names the Secret.
    let said = errors.iter().rev().find_map(|(event, error)| {
        let secret = missing(error)?;
        frontend.secrets.contains(&secret).then_some((*event, *error, secret))
    });
    let Some((event, error, secret)) = said else { return Ok(None) };
    let (namespace, name) = (topology.namespace(), topology.name());
    let without_tls = patch(namespace, "ingress", name, &serde_json::json!({"spec": {"tls": null}}));
    let finding = if secret.is_empty() {
        Finding::certain(
            "an entry of spec.tls names no Secret, and the controller takes the empty name for one that does not exist",
        )
        .evidence(format!("Ingress {namespace}/{name} spec.tls[].secretName"), "empty")
        .evidence("Ingress event Sync", error)
        .fix("name a Secret in every entry of spec.tls, or remove the entry: pre-shared and managed certificates need none")
        .fix(without_tls)
    } else {
        let named: Vec<_> = frontend.secrets.iter().map(|secret| format!("{secret:?}")).collect();
        Finding::certain(format!("TLS Secret {secret:?} does not exist in namespace {namespace:?}"))
            .evidence(format!("Ingress {namespace}/{name} spec.tls[].secretName"), some_of(named, 5))
            .evidence("Ingress event Sync", error)
            .fix(format!(
                "create Secret {secret} of type kubernetes.io/tls in namespace {namespace}, or, where cert-manager issues it, see why it has not"
            ))
            .fix(format!("kubectl -n {} create secret tls {} --cert=tls.crt --key=tls.key", quote(namespace), quote(secret)))
            .fix("to serve HTTP alone for now, take the certificate out of the Ingress")
            .fix(without_tls)
    };
    let finding = finding.since(event.first);
    Ok(Some(if topology.https_alone_is_dead() { finding.breaking() } else { finding }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, codes};

    fn world() -> World {
        World::recorded("tls-secret-not-found")
    }

    #[test]
    fn a_secret_that_the_ingress_no_longer_names_is_an_old_story() {
        let mut world = world();
        world.object("Ingress", "identity", "login")["spec"]["tls"][0]["secretName"] = json!("other");
        assert_eq!(codes(&world.ingress("identity", "login")).1, ["NoAddress"]);
    }

    #[test]
    fn an_entry_without_a_name() {
        let mut world = world();
        world.unprogram("identity", "login");
        world.object("Ingress", "identity", "login")["spec"]["tls"] = json!([{"hosts": ["login.acme.example"]}]);
        world.warn(
            "Ingress",
            "identity",
            "login",
            "Sync",
            "Error syncing to GCP: error running load balancer syncing routine: secret \"\" does not exist",
        );
        assert_eq!(codes(&world.ingress("identity", "login")).1, ["TlsSecretNotFound", "NoAddress"]);
    }

    #[test]
    fn the_secret_of_a_backend_config_is_another_rule_s() {
        let mut world = world();
        world.unprogram("identity", "login");
        world.warn("Ingress", "identity", "login", "Translate", "Translation failed: invalid ingress spec: BackendConfig identity/login is not valid: error retrieving secret login-acme-example-tls: secrets \"login-acme-example-tls\" not found");
        assert!(!codes(&world.ingress("identity", "login")).1.contains(&"TlsSecretNotFound"));
    }
}
