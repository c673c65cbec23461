//! CertificateNotFound: the Ingress names a certificate that is not there, or is in another scope.

use super::text::{project_flag, quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::Observed;
use crate::snapshot::compute::SslCertificate;
use crate::topology::annotations::keys;
use crate::topology::{Class, Topology, address, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "CertificateNotFound",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Ingress names a certificate that does not exist, or not in the scope of its class",
    doc: include_str!("certificate_not_found.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(frontend) = topology.frontend() else { return Ok(None) };
    let (namespace, scope) = (topology.namespace(), topology.scope());
    let mut unread = None;
    let mut missing = Vec::new();
    let mut evidence = Vec::new();
    for name in &frontend.pre_shared {
        let path = format!("{scope}/sslCertificates/{name}");
        match topology.named::<SslCertificate>(&path) {
            // What is there now was mended, whatever an earlier event says.
            Observed::Present(_) => {}
            Observed::Absent => {
                missing.push(*name);
                evidence.push((path, "absent".to_owned()));
                evidence.extend(
                    elsewhere(topology, name).into_iter().map(|other| (other.to_owned(), "present, in another scope".to_owned())),
                );
            }
            Observed::Unknown(why) => match refused(topology, name) {
                Some(said) => {
                    missing.push(*name);
                    evidence.push(("Ingress event Sync".to_owned(), said.to_owned()));
                }
                None => unread = Some(why),
            },
        }
    }
    let mut managed = Vec::new();
    for name in &frontend.managed {
        match topology.snapshot.kubernetes.managed_certificates.get(namespace, name) {
            Observed::Present(_) => {}
            Observed::Absent => managed.push(*name),
            Observed::Unknown(why) => unread = Some(why),
        }
    }
    let names: Vec<_> = missing.iter().chain(&managed).map(|name| format!("{name:?}")).collect();
    if names.is_empty() {
        return unread.map_or(Ok(None), Err);
    }
    let certificates = if names.len() == 1 { "certificate" } else { "certificates" };
    let message = match (missing.is_empty(), evidence.iter().any(|(_, saw)| saw.starts_with("present"))) {
        (true, _) => format!(
            "the Ingress names ManagedCertificate {}, which does not exist in namespace {namespace:?}",
            some_of(&names, 5)
        ),
        (false, true) => {
            format!("{certificates} {} not in the scope of the Ingress's class ({})", is(&names), address::scope_name(&scope))
        }
        (false, false) => format!("{certificates} {} not there ({})", is(&names), address::scope_name(&scope)),
    };
    let key = if missing.is_empty() { keys::MANAGED_CERTIFICATES } else { keys::PRE_SHARED_CERT };
    let mut finding = Finding::certain(message).evidence(
        format!("Ingress {namespace}/{} annotation {key}", topology.name()),
        topology.meta().annotation(key).unwrap_or_default(),
    );
    for (from, saw) in evidence {
        finding = finding.evidence(from, saw);
    }
    for name in &managed {
        finding = finding.evidence(format!("ManagedCertificate {namespace}/{name}"), "absent");
    }
    let finding = missing.first().map_or_else(
        || {
            Finding::fix(finding.clone(), "create the ManagedCertificate in the Ingress's namespace, or correct the annotation")
                .fix(format!("kubectl -n {} get managedcertificates", quote(namespace)))
        },
        |name| mend(topology, finding.clone(), name),
    );
    Ok(Some(if topology.https_alone_is_dead() { finding.breaking() } else { finding }))
}

fn is(names: &[String]) -> String {
    format!("{} {}", some_of(names, 5), if names.len() == 1 { "is" } else { "are" })
}

/// What the controller said of a certificate that Compute would not show us: `The resource '…/sslCertificates/NAME' was not found`.
fn refused<'a>(topology: &Topology<'a>, name: &str) -> Option<&'a str> {
    let errors = topology.sync_errors().ok()?;
    let of_it = |error: &str| events::between(error, "/sslCertificates/", "'") == Some(name) && error.contains("was not found");
    errors.iter().rev().map(|(_, error)| *error).find(|error| of_it(error))
}

/// Certificates of the same name in other scopes.
fn elsewhere<'a>(topology: &Topology<'a>, name: &str) -> Vec<&'a str> {
    let suffix = format!("/sslCertificates/{name}");
    let project = format!("projects/{}/", topology.project());
    let all = topology.snapshot.compute.seen_in_scope::<SslCertificate>(&project).map(|(path, _)| path);
    all.filter(|path| path.ends_with(&suffix)).collect()
}

fn mend(topology: &Topology<'_>, finding: Finding, name: &str) -> Finding {
    let project = project_flag(topology);
    let (scope, kind) = if topology.class().is_some_and(Class::regional) {
        (format!("--region={}", quote(topology.region())), "regional")
    } else {
        ("--global".to_owned(), "global")
    };
    let sentence = if name.starts_with("mcrt-") {
        "this certificate belongs to a ManagedCertificate, and somebody deleted it: delete that ManagedCertificate and create it again".to_owned()
    } else {
        format!(
            "create {kind} certificate {name}, or correct the annotation: an Ingress of this class takes {kind} certificates alone"
        )
    };
    let filter = if kind == "global" { "--global".to_owned() } else { format!("--regions={}", quote(topology.region())) };
    finding.fix(sentence).fix(format!("gcloud compute ssl-certificates list {filter}{project}")).fix(format!(
        "gcloud compute ssl-certificates create {} --certificate=tls.crt --private-key=tls.key {scope}{project}",
        quote(name)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{World, codes};
    use super::*;

    fn world() -> World {
        World::recorded("certificate-in-wrong-scope")
    }

    #[test]
    fn without_compute_the_controller_is_believed() {
        let mut world = world();
        world.without_google();
        assert_eq!(codes(&world.ingress("billing", "invoices")), ("Broken", vec!["CertificateNotFound", "NoAddress"]));
        world.annotate("Ingress", "billing", "invoices", keys::PRE_SHARED_CERT, "another");
        let diagnosis = world.ingress("billing", "invoices");
        assert_eq!(codes(&diagnosis).1, ["NoAddress"]);
        assert!(diagnosis.inconclusive.iter().any(|one| one.code == "CertificateNotFound"));
    }

    #[test]
    fn a_certificate_that_is_there_now_is_mended() {
        let mut world = world();
        *world.resource("projects/acme-prod/global/sslCertificates/invoices-2026") =
            json!({"name": "invoices-2026", "type": "SELF_MANAGED"});
        assert_eq!(codes(&world.ingress("billing", "invoices")).1, ["NoAddress"]);
    }

    #[test]
    fn https_alone_without_its_certificate_serves_nobody() {
        let mut world = world();
        let now = world.ago(2);
        world.unprogram("billing", "invoices");
        world.object("Ingress", "billing", "invoices")["metadata"]["creationTimestamp"] = json!(now);
        assert_eq!(world.ingress("billing", "invoices").verdict.as_str(), "Degraded");
        world.annotate("Ingress", "billing", "invoices", keys::ALLOW_HTTP, "false");
        assert_eq!(world.ingress("billing", "invoices").verdict.as_str(), "Broken");
    }

    #[test]
    fn a_managed_certificate_that_is_not_there() {
        let mut world = World::recorded("managed-certificate-not-visible");
        world.remove("ManagedCertificate", "brand", "landing-cert");
        *world.resource("projects/acme-prod/global/sslCertificates/mcrt-3f0a9d61-77c2-4b58-9f0e-2d1d4c6a5b10") = Value::Null;
        world.remove_resources("mcrt-");
        assert_eq!(codes(&world.ingress("brand", "landing")), ("Degraded", vec!["CertificateNotFound"]));
    }
}
