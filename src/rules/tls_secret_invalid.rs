//! TlsSecretInvalid: the Secret is there, and its content cannot become a certificate.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::{Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "TlsSecretInvalid",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "a TLS Secret lacks its certificate or key, or Compute refuses the certificate",
    doc: include_str!("tls_secret_invalid.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// What is wrong with a Secret, and its name where the text has it.
fn wrong(error: &str) -> Option<(Option<&str>, &'static str)> {
    // ingress-gce `pkg/translator/translator.go` (`Secrets`).
    let lacks = [
        (" does not specify cert", "has no certificate (key tls.crt)"),
        (" does not specify private key", "has no private key (key tls.key)"),
    ];
    for (text, wrong) in lacks {
        if error.contains(text) {
            return Some((events::between(error, "secret \"", "\""), wrong));
        }
    }
    // ingress-gce `pkg/loadbalancers/certificates.go`: with 400 Compute refuses the content; quota, permission, a name that is taken and
    // its own failures are not the Secret's fault.
    let refused = error.contains("Cert creation failures - ") && error.contains("Error 400:");
    refused.then_some((None, "is refused by Compute as a certificate"))
}

fn check(topology: &Topology<'_>) -> Answer {
    let Some(frontend) = topology.frontend().filter(|frontend| !frontend.secrets.is_empty()) else { return Ok(None) };
    let errors = topology.sync_errors()?;
    let said = errors.iter().rev().find_map(|(event, error)| {
        let (secret, wrong) = wrong(error)?;
        secret.is_none_or(|secret| frontend.secrets.contains(&secret)).then_some((*event, *error, secret, wrong))
    });
    let Some((event, error, secret, wrong)) = said else { return Ok(None) };
    let namespace = topology.namespace();
    let mut named = frontend.secrets.clone();
    named.sort_unstable();
    named.dedup();
    let secret = secret.or(if let [only] = named[..] { Some(only) } else { None });
    let message = match secret {
        Some(secret) => format!("TLS Secret {secret:?} in namespace {namespace:?} {wrong}"),
        None => format!("one of the TLS Secrets {} in namespace {namespace:?} {wrong}", some_of(&named, 5)),
    };
    let finding = Finding::certain(message).evidence("Ingress event Sync", error).since(event.first);
    let finding = finding.fix(
        "put a PEM certificate chain (leaf first) into tls.crt and its own unencrypted key (RSA 2048 or ECDSA P-256) into tls.key",
    );
    let replace = |secret: &str| {
        let (namespace, secret) = (quote(namespace), quote(secret));
        format!(
            "kubectl -n {namespace} create secret tls {secret} --cert=tls.crt --key=tls.key --dry-run=client -o yaml | kubectl -n {namespace} apply -f -"
        )
    };
    let show = |secret: &str| {
        format!(
            "kubectl -n {} get secret {} -o jsonpath='{{.data.tls\\.crt}}' | base64 -d | openssl x509 -noout -subject -dates",
            quote(namespace),
            quote(secret)
        )
    };
    let suspects: Vec<&str> = secret.map_or_else(|| named.clone(), |secret| vec![secret]);
    let finding = suspects.iter().take(3).fold(finding, |finding, secret| finding.fix(show(secret)));
    let finding = suspects.iter().take(3).fold(finding, |finding, secret| finding.fix(replace(secret)));
    Ok(Some(if topology.https_alone_is_dead() { finding.breaking() } else { finding }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, codes};

    #[test]
    fn a_secret_without_key_is_named() {
        let mut world = World::recorded("tls-secret-not-found");
        world.unprogram("identity", "login");
        let text = "Error syncing to GCP: error running load balancer syncing routine: secret \"login-acme-example-tls\" does not specify private key as string data";
        world.warn("Ingress", "identity", "login", "Sync", text);
        let diagnosis = world.ingress("identity", "login");
        assert_eq!(codes(&diagnosis), ("Broken", vec!["TlsSecretInvalid", "NoAddress"]));
        assert!(
            diagnosis.summary.contains("login-acme-example-tls") && diagnosis.summary.contains("private key"),
            "{}",
            diagnosis.summary
        );
    }

    #[test]
    fn a_quota_is_not_the_secret_s_fault() {
        let mut world = World::recorded("tls-secret-invalid");
        world.unprogram("billing", "invoices");
        let text = "Error syncing to GCP: error running load balancer syncing routine: loadbalancer x does not exist: Cert creation failures - k8s2-cr-x Error:googleapi: Error 403: QUOTA_EXCEEDED - Quota 'SSL_CERTIFICATES' exceeded.  Limit: 10.0 globally.";
        world.warn("Ingress", "billing", "invoices", "Sync", text);
        assert_eq!(codes(&world.ingress("billing", "invoices")).1, ["QuotaExceeded", "NoAddress"]);
    }
}
