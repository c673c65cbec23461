//! ManagedCertificateNotActive: Google has not issued, or not renewed, a managed certificate of the Ingress.

use super::text::{annotate, quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::annotations::keys;
use crate::topology::certificate::Issued;
use crate::topology::{Frontend, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ManagedCertificateNotActive",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "a managed certificate of the Ingress, or one of its domains, is not active",
    doc: include_str!("managed_certificate_not_active.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// Google does not try again, or what is served is about to expire.
const FOR_GOOD: [&str; 2] = ["ProvisioningFailedPermanently", "RenewalFailed"];

fn check(topology: &Topology<'_>) -> Answer {
    let Some(frontend) = topology.frontend() else { return Ok(None) };
    let (certificates, unread) = topology.managed_certificates(&frontend);
    let flawed: Vec<_> = certificates
        .iter()
        .filter(|certificate| !certificate.complete() && !may_wait(topology, &frontend, certificate))
        .collect();
    let Some(first) = flawed.first() else { return unread.map_or(Ok(None), Err) };
    let alone = frontend.https_alone();
    let served = topology.serves_other_certificate(&frontend)
        || unread.is_some()
        || certificates.iter().any(|certificate| certificate.usable(topology.now));
    let effect = if alone && !served { "; nobody is served, for there is nothing but HTTPS" } else { "" };
    let more = if flawed.len() > 1 { format!(", and {} more like it", flawed.len() - 1) } else { String::new() };
    let mut finding = Finding::certain(format!("managed certificate {}{more}{effect}", state(first)));
    for certificate in &flawed {
        finding = finding.evidence(
            format!("{} status", certificate.place),
            if certificate.status.is_empty() { "none yet" } else { certificate.status },
        );
        for (domain, state) in certificate.lacking() {
            finding = finding.evidence(format!("{} domain {domain}", certificate.place), state);
        }
    }
    for certificate in &flawed {
        finding = mend(topology, finding, certificate);
    }
    let for_good = flawed.iter().any(|certificate| certificate.is(&FOR_GOOD));
    let finding = finding.since(flawed.iter().filter_map(|certificate| certificate.since).min());
    Ok(Some(match (alone || for_good, alone && !served) {
        (_, true) => finding.breaking(),
        (true, false) => finding,
        (false, false) => finding.severity(Severity::Warning),
    }))
}

/// Issuing takes up to an hour, and no domain is visible before the load balancer has its address. Where HTTPS is all there is, nobody is
/// served meanwhile, and only the load balancer's own first minutes are an excuse.
fn may_wait(topology: &Topology<'_>, frontend: &Frontend<'_>, certificate: &Issued<'_>) -> bool {
    if certificate.under_way() {
        return topology.young()
            || (!frontend.https_alone() && !topology.lasted(certificate.since, topology.grace.managed_certificate));
    }
    let failed = certificate.lacking().count();
    topology.young()
        && !certificate.is(&FOR_GOOD)
        && failed == certificate.domains_in(&["", "Provisioning", "FailedNotVisible"]).len()
}

/// `"web-cert" is Provisioning: www.example.com is FailedNotVisible`.
fn state(certificate: &Issued<'_>) -> String {
    let status = if certificate.status.is_empty() { "not taken up yet" } else { certificate.status };
    let lacking: Vec<_> = certificate.lacking().map(|(domain, state)| format!("{domain} is {state}")).collect();
    let lacking = if lacking.is_empty() { String::new() } else { format!(": {}", some_of(lacking, 3)) };
    format!("{:?} is {status}{lacking}", certificate.name)
}

fn mend(topology: &Topology<'_>, mut finding: Finding, certificate: &Issued<'_>) -> Finding {
    let address = topology.ingress().and_then(|ingress| ingress.address()).unwrap_or("the Ingress's address");
    let dig = |domain: &str, kind: &str| format!("dig +short {} {kind}", quote(domain));
    let invisible = certificate.domains_in(&["FailedNotVisible"]);
    if let Some(first) = invisible.first() {
        finding = finding
            .fix(format!("let the DNS records (A, and AAAA if there are any) of {} lead to {address} and nowhere else; the certificate follows within an hour", some_of(&invisible, 3)))
            .fix(dig(first, "A"))
            .fix(dig(first, "AAAA"));
    }
    let caa = certificate.domains_in(&["FailedCaaForbidden", "FailedCaaChecking"]);
    if let Some(first) = caa.first() {
        finding = finding
            .fix(format!("let the CAA records of {} allow pki.goog (and be answered), or remove them", some_of(&caa, 3)))
            .fix(dig(first, "CAA"));
    }
    let limited = certificate.domains_in(&["FailedRateLimited"]);
    if !limited.is_empty() {
        finding = finding
            .fix(format!("the certificate authority limits certificates for {}: wait, and ask for fewer", some_of(&limited, 3)));
    }
    if certificate.is(&["ProvisioningFailedPermanently"]) {
        return replace(topology, finding, certificate);
    }
    if invisible.is_empty() && caa.is_empty() && limited.is_empty() {
        let renewal = certificate.is(&["RenewalFailed"]);
        let so_that = if renewal {
            "the certificate can be renewed before it expires"
        } else {
            "Google can issue the certificate; it may take an hour"
        };
        let domain = certificate.domains.first().map(|(domain, _)| *domain);
        finding = finding.fix(format!("see that the DNS records of its domains lead to {address}, so that {so_that}"));
        finding = domain.map_or(finding.clone(), |domain| finding.fix(dig(domain, "A")));
    }
    finding
}

/// Google has given up on the certificate: another one has to take its place.
fn replace(topology: &Topology<'_>, finding: Finding, certificate: &Issued<'_>) -> Finding {
    if !certificate.resource {
        return finding.fix("Google does not try again: make a new certificate and name it in the Ingress in place of this one");
    }
    let name = format!("{}-2", certificate.name);
    let domains: Vec<_> = certificate.domains.iter().map(|(domain, _)| *domain).collect();
    let object = serde_json::json!({
        "apiVersion": "networking.gke.io/v1",
        "kind": "ManagedCertificate",
        "metadata": {"name": name, "namespace": topology.namespace()},
        "spec": {"domains": domains},
    });
    let named = topology.meta().annotation(keys::MANAGED_CERTIFICATES).unwrap_or_default();
    let named: Vec<_> = named.split(',').map(str::trim).map(|old| if old == certificate.name { &*name } else { old }).collect();
    finding
        .fix("Google does not try again: once DNS is right, make a new ManagedCertificate and name it in the Ingress in place of this one")
        .fix(format!("echo {} | kubectl apply -f -", quote(&object.to_string())))
        .fix(annotate(topology.namespace(), "ingress", topology.name(), keys::MANAGED_CERTIFICATES, &named.join(",")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::World;
    use super::*;
    use crate::diagnose::Diagnosis;

    const ROOT: &str = "ManagedCertificateNotActive";

    /// The recorded world with a certificate of this age, state and domain's state.
    fn world(minutes: i64, status: &str, domain: &str) -> World {
        let mut world = World::recorded("managed-certificate-not-visible");
        let since = world.ago(minutes);
        let certificate = world.object("ManagedCertificate", "brand", "landing-cert");
        certificate["metadata"]["creationTimestamp"] = json!(since);
        certificate["status"]["certificateStatus"] = json!(status);
        certificate["status"]["domainStatus"][0]["status"] = json!(domain);
        world
    }

    fn found(world: &World) -> Option<(Severity, bool, &'static str)> {
        let diagnosis: Diagnosis = world.ingress("brand", "landing");
        let root = diagnosis.findings.iter().find(|root| root.found.rule.code == ROOT)?;
        Some((root.found.severity(), root.found.finding.breaks, diagnosis.verdict.as_str()))
    }

    fn https_alone(mut world: World) -> World {
        world.annotate("Ingress", "brand", "landing", keys::ALLOW_HTTP, "false");
        world
    }

    #[test]
    fn what_is_under_way_gets_its_hour_while_http_serves() {
        assert_eq!(found(&world(40, "Provisioning", "Provisioning")), None);
        assert_eq!(found(&world(40, "ProvisioningFailed", "Provisioning")), None);
        assert_eq!(found(&world(70, "Provisioning", "Provisioning")), Some((Severity::Warning, false, "Degraded")));
        assert_eq!(found(&world(40, "Provisioning", "FailedCaaForbidden")), Some((Severity::Warning, false, "Degraded")));
        assert_eq!(found(&world(40, "Provisioning", "FailedNotVisible")), Some((Severity::Warning, false, "Degraded")));
        assert_eq!(found(&world(4000, "Active", "Active")), None);
        assert_eq!(found(&world(4000, "Active", "FailedNotVisible")), Some((Severity::Warning, false, "Degraded")));
    }

    #[test]
    fn what_failed_for_good_is_an_error() {
        assert_eq!(
            found(&world(40, "ProvisioningFailedPermanently", "FailedCaaForbidden")),
            Some((Severity::Error, false, "Degraded"))
        );
        assert_eq!(found(&world(4000, "RenewalFailed", "FailedNotVisible")), Some((Severity::Error, false, "Degraded")));
    }

    #[test]
    fn https_alone_breaks_unless_something_is_served() {
        assert_eq!(found(&https_alone(world(40, "Provisioning", "Provisioning"))), Some((Severity::Error, true, "Broken")));
        assert_eq!(
            found(&https_alone(world(4000, "RenewalFailed", "FailedNotVisible"))),
            Some((Severity::Error, false, "Degraded"))
        );
        let mut expired = https_alone(world(4000, "RenewalFailed", "FailedNotVisible"));
        let yesterday = expired.ago(1440);
        expired.object("ManagedCertificate", "brand", "landing-cert")["status"]["expireTime"] = json!(yesterday);
        assert_eq!(found(&expired), Some((Severity::Error, true, "Broken")));
        let mut with_secret = https_alone(world(4000, "Provisioning", "FailedNotVisible"));
        with_secret.object("Ingress", "brand", "landing")["spec"]["tls"] = json!([{"secretName": "tls"}]);
        assert_eq!(found(&with_secret), Some((Severity::Error, false, "Degraded")));
    }

    #[test]
    fn http_that_only_redirects_serves_nobody() {
        let mut world = world(4000, "Provisioning", "FailedNotVisible");
        world.annotate("Ingress", "brand", "landing", keys::FRONTEND_CONFIG, "to-https");
        world.objects.push(json!({
            "apiVersion": "networking.gke.io/v1beta1", "kind": "FrontendConfig", "metadata": {"namespace": "brand", "name": "to-https"},
            "spec": {"redirectToHttps": {"enabled": true}},
        }));
        assert_eq!(found(&world), Some((Severity::Error, true, "Broken")));
    }

    #[test]
    fn a_certificate_that_no_ingress_names_is_nobody_s_business() {
        let mut world = world(4000, "Provisioning", "FailedNotVisible");
        world.annotate("Ingress", "brand", "landing", keys::MANAGED_CERTIFICATES, json!(null));
        world.annotate("Ingress", "brand", "landing", keys::PRE_SHARED_CERT, json!(null));
        assert_eq!(found(&world), None);
    }

    #[test]
    fn where_the_resource_is_not_read_compute_is_asked() {
        let mut world = world(4000, "", "");
        world.remove("ManagedCertificate", "brand", "landing-cert");
        world.refuse("kubernetes", "managedcertificates.networking.gke.io");
        assert_eq!(found(&world), Some((Severity::Warning, false, "Degraded")));
        world.compute = Value::Null;
        let diagnosis = world.ingress("brand", "landing");
        assert!(diagnosis.findings.is_empty() && diagnosis.inconclusive.iter().any(|one| one.code == ROOT));
    }
}
