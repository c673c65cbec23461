//! ServiceAgentPermissionDenied: GKE's own account may not do what a load balancer needs.

use std::collections::BTreeSet;

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::{Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ServiceAgentPermissionDenied",
    section: Section::Refused,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "GKE's service agent lacks a Compute permission: its role was taken away",
    doc: include_str!("service_agent_permission_denied.md"),
    explains: &[
        "NoAddress",
        "NegNotCreated",
        "NegSyncFailed",
        "NegAttachFailed",
        "NegEndpointDrift",
        "NegDegraded",
        "NegNotAttached",
        "DeletionBlocked",
    ],
    check: Check::Target(check),
};

/// `Error 403: Required 'compute.urlMaps.create' permission for 'projects/P/global/urlMaps/U', forbidden`, also behind an operation's code
/// (`Error 403: PERMISSIONS_ERROR - Required …`), or `Permission 'compute.networks.use' denied on resource 'projects/…'`.
fn permission(text: &str) -> Option<&str> {
    let said =
        || events::between(text, "Required '", "' permission").or_else(|| events::between(text, "Permission '", "' denied"));
    text.contains("Error 403").then(said).flatten()
}

/// The project of the resource that was refused.
fn project_of(text: &str) -> Option<&str> {
    let rest = &text[text.find("permission for '").or_else(|| text.find("' denied on "))?..];
    let rest = &rest[rest.find("projects/")? + "projects/".len()..];
    rest.find(['/', '\'']).map(|end| &rest[..end])
}

fn check(topology: &Topology<'_>) -> Answer {
    let said = topology.refusals(|text| permission(text).is_some())?;
    if said.is_empty() {
        return Ok(None);
    }
    let permissions: BTreeSet<_> = said.iter().filter_map(|said| permission(said.text)).collect();
    let own = topology.project();
    let projects: BTreeSet<_> = said.iter().map(|said| project_of(said.text).unwrap_or(own)).collect();
    let place = some_of(projects.iter().filter(|project| !project.is_empty()), 3);
    let place = if place.is_empty() { String::new() } else { format!(" in project {place}") };
    let mut finding = Finding::certain(format!("GKE's service agent lacks permission {}{place}", some_of(permissions, 3)));
    for said in &said {
        finding = finding.evidence(&said.place, said.text);
    }
    finding = finding
        .since(said.iter().filter_map(|said| said.since).min())
        .fix("give GKE's service agent its role back: roles/container.serviceAgent in the cluster's project, and roles/container.hostServiceAgentUser besides in the host project of a Shared VPC");
    if own.is_empty() {
        return Ok(Some(finding));
    }
    let number = format!("$(gcloud projects describe {} --format='value(projectNumber)')", quote(own));
    let grant = |project: &str, role: &str| {
        format!(
            "gcloud projects add-iam-policy-binding {} --member=\"serviceAccount:service-{number}@container-engine-robot.iam.gserviceaccount.com\" --role={role} --condition=None",
            quote(project)
        )
    };
    for project in projects {
        let role = if project == own { "roles/container.serviceAgent" } else { "roles/container.hostServiceAgentUser" };
        finding = finding.fix(grant(project, role));
    }
    Ok(Some(finding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, codes};

    #[test]
    fn requests_and_operations() {
        let request = "loadbalancer x does not exist: CreateUrlMap: googleapi: Error 403: Required 'compute.urlMaps.create' permission for 'projects/p/global/urlMaps/u', forbidden";
        let operation = "googleapi: Error 403: PERMISSIONS_ERROR - Required 'compute.networks.use' permission for 'projects/host/global/networks/n'";
        assert_eq!((permission(request), project_of(request)), (Some("compute.urlMaps.create"), Some("p")));
        assert_eq!((permission(operation), project_of(operation)), (Some("compute.networks.use"), Some("host")));
        let newer = "googleapi: Error 403: Permission 'compute.urlMaps.get' denied on resource '//compute.googleapis.com/projects/p/global/urlMaps/u' (or it may not exist)., forbidden";
        assert_eq!((permission(newer), project_of(newer)), (Some("compute.urlMaps.get"), Some("p")));
        assert_eq!(permission("googleapi: Error 403: QUOTA_EXCEEDED - Quota 'X' exceeded."), None);
        assert_eq!(permission("Firewall change required by security admin: `gcloud compute firewall-rules create`"), None);
    }

    #[test]
    fn it_keeps_an_ingress_from_going_away() {
        let mut world = World::recorded("service-agent-permission-denied");
        world.unprogram("shop", "cart");
        let half_an_hour_ago = world.ago(30);
        world.object("Ingress", "shop", "cart")["metadata"]["deletionTimestamp"] = half_an_hour_ago.into();
        let text = "Error: error running load balancer garbage collection routine: googleapi: Error 403: Required 'compute.globalForwardingRules.delete' permission for 'projects/acme-prod/global/forwardingRules/f', forbidden";
        world.warn("Ingress", "shop", "cart", "GarbageCollection", text);
        let diagnosis = world.ingress("shop", "cart");
        assert_eq!(codes(&diagnosis), ("Broken", vec!["ServiceAgentPermissionDenied", "DeletionBlocked"]));
        assert_eq!(diagnosis.findings.len(), 1);
    }
}
