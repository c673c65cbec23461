//! QuotaExceeded: the project has no room for another resource of a load balancer.

use std::collections::BTreeSet;

use super::text::{project_flag, quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::{Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "QuotaExceeded",
    section: Section::Refused,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "a quota of the project is used up, and Compute makes no further resource of that kind",
    doc: include_str!("quota_exceeded.md"),
    explains: &[
        "NoAddress",
        "NegNotCreated",
        "NegSyncFailed",
        "NegAttachFailed",
        "NegEndpointDrift",
        "NegDegraded",
        "NegNotAttached",
    ],
    check: Check::Target(check),
};

/// A used-up quota, in the words of an operation (`QUOTA_EXCEEDED - Quota 'X' exceeded.  Limit: 5.0 globally.`) or of a request
/// (`Quota 'X' exceeded. Limit: 5.0 globally., quotaExceeded`). A rate (`Quota exceeded for quota metric …, rateLimitExceeded`) heals itself.
fn is_quota(text: &str) -> bool {
    if text.contains("rateLimitExceeded") || text.contains("Quota exceeded for quota metric") {
        return false;
    }
    let named = text.find("Quota '").is_some_and(|at| text[at..].contains("exceeded"));
    named || text.contains("QUOTA_EXCEEDED") || text.ends_with(", quotaExceeded")
}

/// What a text says of the quota: its name, its limit, and the region when it is one of a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Quota<'a> {
    metric: Option<&'a str>,
    limit: Option<&'a str>,
    region: Option<&'a str>,
}

impl<'a> Quota<'a> {
    fn of(text: &'a str) -> Self {
        let word = |start: &str, end: fn(char) -> bool| {
            let rest = &text[text.find(start)? + start.len()..];
            let word = &rest[..rest.find(end).unwrap_or(rest.len())];
            (!word.is_empty()).then_some(word)
        };
        let limit = word("Limit: ", |c| !c.is_ascii_digit() && c != '.').map(|limit| limit.trim_end_matches('.'));
        Self {
            metric: events::between(text, "Quota '", "'"),
            limit: limit.map(|limit| limit.strip_suffix(".0").unwrap_or(limit)),
            region: word(" in region ", |c| !c.is_ascii_alphanumeric() && c != '-'),
        }
    }

    fn words(&self) -> String {
        let metric = self.metric.map_or_else(|| "a quota".to_owned(), |metric| format!("quota {metric}"));
        let place = self.region.map(|region| format!(" in region {region}")).unwrap_or_default();
        let limit = self.limit.map(|limit| format!(" (limit {limit})")).unwrap_or_default();
        format!("{metric}{place}{limit}")
    }
}

fn check(topology: &Topology<'_>) -> Answer {
    let said = topology.refusals(is_quota)?;
    if said.is_empty() {
        return Ok(None);
    }
    let quotas: BTreeSet<_> = said.iter().map(|said| Quota::of(said.text)).collect();
    let backends: BTreeSet<_> = said.iter().filter_map(|said| said.backend.as_deref()).collect();
    let project = topology.project();
    let of = if project.is_empty() { "of the project".to_owned() } else { format!("of project {project}") };
    let concerns = if backends.is_empty() { String::new() } else { format!("; it concerns {}", some_of(backends, 3)) };
    let is = if quotas.len() == 1 { "is" } else { "are" };
    let mut finding = Finding::certain(format!("{} {of} {is} used up{concerns}", some_of(quotas.iter().map(Quota::words), 3)));
    for said in &said {
        finding = finding.evidence(&said.place, said.text);
    }
    finding = finding.since(said.iter().filter_map(|said| said.since).min());
    finding = finding.fix("ask for a higher limit (console: IAM & Admin, Quotas), or delete what nobody uses any more");
    for quota in quotas.iter().take(2) {
        finding = finding.fix(usage(topology, quota));
        if let Some(list) = quota.metric.and_then(collection) {
            finding = finding.fix(format!("gcloud compute {list} list{}", project_flag(topology)));
        }
    }
    Ok(Some(finding))
}

/// Shows how much of the quota is used.
fn usage(topology: &Topology<'_>, quota: &Quota<'_>) -> String {
    let scope =
        quota.region.map_or_else(|| "project-info describe".to_owned(), |region| format!("regions describe {}", quote(region)));
    let show = "--flatten=\"quotas[]\" --format=\"table(quotas.metric,quotas.usage,quotas.limit)\"";
    format!("gcloud compute {scope} {show}{}", project_flag(topology))
}

/// The word in `gcloud compute WORD list` for what a quota counts.
fn collection(metric: &str) -> Option<&'static str> {
    const COLLECTIONS: [(&str, &str); 11] = [
        ("BACKEND_SERVICES", "backend-services"),
        ("NETWORK_ENDPOINT_GROUPS", "network-endpoint-groups"),
        ("HEALTH_CHECKS", "health-checks"),
        ("URL_MAPS", "url-maps"),
        ("FORWARDING_RULES", "forwarding-rules"),
        ("TARGET_HTTP_PROXIES", "target-http-proxies"),
        ("TARGET_HTTPS_PROXIES", "target-https-proxies"),
        ("SSL_CERTIFICATES", "ssl-certificates"),
        ("ADDRESSES", "addresses"),
        ("FIREWALLS", "firewall-rules"),
        ("INSTANCE_GROUPS", "instance-groups"),
    ];
    COLLECTIONS.iter().find(|(end, _)| metric.ends_with(end)).map(|(_, list)| *list)
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, codes};
    use super::*;
    use crate::topology::annotations::keys;

    #[test]
    fn both_forms_are_read() {
        let operation = "googleapi: Error 403: QUOTA_EXCEEDED - Quota 'BACKEND_SERVICES' exceeded.  Limit: 5.0 globally.";
        let request =
            "googleapi: Error 403: Quota 'NETWORK_ENDPOINT_GROUPS' exceeded. Limit: 100.0 in region us-central1., quotaExceeded";
        assert!(is_quota(operation) && is_quota(request));
        assert_eq!(Quota::of(operation).words(), "quota BACKEND_SERVICES (limit 5)");
        assert_eq!(Quota::of(request).words(), "quota NETWORK_ENDPOINT_GROUPS in region us-central1 (limit 100)");
        assert_eq!(Quota::of("QUOTA_EXCEEDED").words(), "a quota");
    }

    #[test]
    fn a_rate_heals_itself() {
        assert!(!is_quota(
            "googleapi: Error 403: Quota exceeded for quota metric 'Queries' and limit 'Queries per minute', rateLimitExceeded"
        ));
        assert!(!is_quota(
            "googleapi: Error 404: The resource 'projects/p/global/sslCertificates/quota' was not found, notFound"
        ));
    }

    #[test]
    fn on_the_ingress_alone_and_gone_once_it_is_being_deleted() {
        let mut world = World::recorded("http-and-https-disabled");
        world.unprogram("shop", "cart");
        world.annotate("Ingress", "shop", "cart", keys::ALLOW_HTTP, "true");
        let text = "Error syncing to GCP: error running backend syncing routine: googleapi: Error 403: QUOTA_EXCEEDED - Quota 'BACKEND_SERVICES' exceeded.  Limit: 5.0 globally.";
        world.warn("Ingress", "shop", "cart", "Sync", text);
        assert_eq!(codes(&world.ingress("shop", "cart")), ("Broken", vec!["QuotaExceeded", "NoAddress"]));
        let now = world.ago(1);
        world.object("Ingress", "shop", "cart")["metadata"]["deletionTimestamp"] = now.into();
        assert!(codes(&world.ingress("shop", "cart")).1.is_empty());
    }

    #[test]
    fn a_place_that_is_not_read_hides_nothing_and_is_named() {
        let mut world = World::recorded("neg-quota-exceeded");
        world.refuse("kubernetes", "servicenetworkendpointgroups.networking.gke.io");
        world.objects.retain(|object| object["kind"] != "ServiceNetworkEndpointGroup");
        assert_eq!(world.ingress("fraud", "scoring").root_cause, Some("QuotaExceeded"));
        world.objects.retain(|object| object["reason"] != "SyncNetworkEndpointGroupFailed");
        let diagnosis = world.ingress("fraud", "scoring");
        assert!(diagnosis.inconclusive.iter().any(|one| one.code == "QuotaExceeded"));
    }
}
