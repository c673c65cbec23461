//! ProxyOnlySubnetMissing: the region's network has no subnetwork for the load balancer's proxies.

use super::text::{project_flag, quote};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::compute::{Subnetwork, normalise, short_name};
use crate::snapshot::{Source, Unknown};
use crate::topology::{Class, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ProxyOnlySubnetMissing",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the region and network have no active proxy-only subnetwork, which an internal or regional Ingress needs",
    doc: include_str!("proxy_only_subnet_missing.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// Compute's words, in two versions: `An active proxy-only subnetwork is required in the same region and VPC as the forwarding rule.`,
/// `A reserved and active subnetwork is required in the same region and VPC`.
const TEXTS: [&str; 2] = ["proxy-only subnetwork is required", "reserved and active subnetwork is required"];

/// As the controller tells them (ingress-gce `pkg/loadbalancers/features/l7ilb.go`).
fn proxy_only(subnetwork: &Subnetwork) -> bool {
    matches!(&*subnetwork.purpose, "REGIONAL_MANAGED_PROXY" | "INTERNAL_HTTPS_LOAD_BALANCER")
}

/// The proxy-only subnetworks that are not active, or why nobody knows; `None` when one is active.
fn reserves<'a>(topology: &Topology<'a>) -> Result<Option<Vec<(&'a str, &'a Subnetwork)>>, Unknown> {
    let unread = || Unknown::not_read(Source::Compute, "subnetworks");
    let network = topology.network().ok_or_else(unread)?;
    let project = network.strip_prefix("projects/").and_then(|rest| rest.split('/').next()).unwrap_or(topology.project());
    let scope = format!("projects/{project}/regions/{}/", topology.region());
    let all = topology.snapshot.compute.in_scope::<Subnetwork>(&scope)?;
    let of_network: Vec<_> = all.filter(|(_, subnetwork)| normalise(&subnetwork.network, project) == network).collect();
    // The nodes have a subnetwork there: when none at all was seen, the host project of a Shared VPC was not read.
    if of_network.is_empty() {
        return Err(unread());
    }
    let (active, reserves): (Vec<_>, Vec<_>) = of_network
        .into_iter()
        .filter(|(_, subnetwork)| proxy_only(subnetwork))
        .partition(|(_, subnetwork)| &*subnetwork.role == "ACTIVE");
    if let Some(why) = topology.listed_too_early::<Subnetwork>().filter(|_| active.is_empty()) {
        return Err(why);
    }
    Ok(active.is_empty().then_some(reserves))
}

fn check(topology: &Topology<'_>) -> Answer {
    if topology.frontend().is_none() || !topology.class().is_some_and(Class::regional) {
        return Ok(None);
    }
    let errors = topology.sync_errors();
    let said =
        errors.as_deref().unwrap_or_default().iter().rev().find(|(_, error)| TEXTS.iter().any(|text| error.contains(text)));
    let reserves = match (reserves(topology), said) {
        (Ok(None), _) => return Ok(None),
        (Ok(Some(reserves)), _) => Some(reserves),
        (Err(_), Some(_)) => None,
        (Err(why), None) => return Err(why),
    };
    let region = topology.region();
    let network = topology.network();
    let place = network
        .as_deref()
        .map_or_else(|| format!("region {region}"), |network| format!("network {:?} in region {region}", short_name(network)));
    let mut finding = Finding::certain(format!(
        "{place} has no active proxy-only subnetwork, and an Ingress of class {} needs one",
        class(topology)
    ));
    if let Some(reserves) = &reserves {
        finding = finding.evidence(format!("subnetworks of {place} with purpose REGIONAL_MANAGED_PROXY and role ACTIVE"), "none");
        for (path, subnetwork) in reserves {
            finding = finding.evidence(*path, format!("purpose {}, role {}", subnetwork.purpose, subnetwork.role));
        }
    }
    if let Some((event, error)) = said {
        finding = finding.evidence("Ingress event Sync", error).since(event.first);
    }
    Ok(Some(mend(topology, finding, network.as_deref(), reserves.unwrap_or_default().first().copied())))
}

fn class(topology: &Topology<'_>) -> &'static str {
    topology.class().map_or("gce-internal", Class::annotation)
}

fn mend(topology: &Topology<'_>, finding: Finding, network: Option<&str>, reserve: Option<(&str, &Subnetwork)>) -> Finding {
    let region = quote(topology.region());
    // The network, and its subnetworks, may belong to the host project of a Shared VPC.
    let host = network.and_then(|network| network.strip_prefix("projects/")?.split('/').next());
    let project = host.map_or_else(|| project_flag(topology), |host| format!(" --project={}", quote(host)));
    if let Some((path, _)) = reserve {
        let name = short_name(path);
        return finding.fix(format!("make the reserve {name} the active one")).fix(format!(
            "gcloud compute networks subnets update {} --region={region} --role=ACTIVE --drain-timeout=30s{project}",
            quote(name)
        ));
    }
    let finding = finding.fix("create a proxy-only subnetwork from a free block (a /23 is recommended, a /26 the least); put the block in place of RANGE");
    let Some(network) = network else { return finding };
    finding.fix(format!(
        "gcloud compute networks subnets create {} --purpose=REGIONAL_MANAGED_PROXY --role=ACTIVE --region={region} --network={} --range=RANGE{project}",
        quote(&format!("{}-proxy-only", short_name(network))),
        quote(short_name(network)),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, codes};

    const PATH: &str = "projects/acme-prod/regions/us-central1/subnetworks/";

    fn world() -> World {
        let mut world = World::recorded("proxy-only-subnet-missing");
        world.unprogram("reports", "builder");
        world
    }

    #[test]
    fn an_active_one_in_the_network_acquits_and_a_reserve_is_named() {
        let mut world = world();
        let network = "https://www.googleapis.com/compute/beta/projects/acme-prod/global/networks/prod";
        *world.resource(&format!("{PATH}old")) =
            json!({"name": "old", "network": network, "purpose": "INTERNAL_HTTPS_LOAD_BALANCER", "role": "BACKUP"});
        let diagnosis = world.ingress("reports", "builder");
        assert_eq!(codes(&diagnosis).1, ["ProxyOnlySubnetMissing", "NoAddress"]);
        assert!(diagnosis.findings[0].found.finding.fix[1].contains("subnets update old"));
        world.resource(&format!("{PATH}old"))["role"] = json!("ACTIVE");
        assert_eq!(codes(&world.ingress("reports", "builder")).1, ["NoAddress"]);
    }

    #[test]
    fn what_is_not_read_accuses_nobody() {
        let mut refused = world();
        refused.compute["errors"]["projects/acme-prod/regions/us-central1/subnetworks"] =
            json!({"code": 403, "reason": "forbidden"});
        // A Shared VPC whose host project was not read.
        let mut shared = world();
        shared.cluster["networkConfig"]["network"] = json!("projects/host/global/networks/prod");
        for world in [refused, shared] {
            let diagnosis = world.ingress("reports", "builder");
            assert_eq!(codes(&diagnosis).1, ["NoAddress"]);
            assert!(diagnosis.inconclusive.iter().any(|one| one.code == "ProxyOnlySubnetMissing"));
        }
    }
}
