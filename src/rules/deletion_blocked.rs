//! DeletionBlocked: the Ingress is being deleted, and GKE's controller does not let it go.

use super::text::{cluster, json_patch, project_flag, quote};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::compute::normalise;
use crate::snapshot::kubernetes::{Event, Ingress};
use crate::topology::addon::{LEASES, Life};
use crate::topology::class::{FINALIZERS, has_finalizer};
use crate::topology::{Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "DeletionBlocked",
    section: Section::LifeCycle,
    severity: Severity::Error,
    symptom: false,
    unhandled: true,
    summary: "the Ingress is being deleted, and the finalizer of GKE's controller still holds it",
    doc: include_str!("deletion_blocked.md"),
    explains: &[],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    let Some(asked) = ingress.metadata.deletion_timestamp else { return Ok(None) };
    if !has_finalizer(ingress) || !topology.lasted(Some(asked), topology.grace.deletion) {
        return Ok(None);
    }
    let waits = format!("the Ingress has been waiting for its deletion since {asked}");
    let warnings = topology.warnings.as_deref().unwrap_or_default();
    let finding = if let Some(said) = warnings.iter().rev().find(|event| &*event.reason == "GarbageCollection") {
        refused(topology, said, &waits)
    } else if let Some(why) = nobody(topology) {
        Finding::certain(format!("{waits}, and {why}: nobody takes the finalizer off"))
            .fix("bring the controller back: it deletes the load balancer and lets the Ingress go")
            .fix(addon_command(topology))
    } else {
        Finding::likely(format!("{waits}, and GKE's controller still holds it")).fix(format!(
            "see whether the controller says what keeps it: kubectl -n {} describe ingress {}",
            quote(topology.namespace()),
            quote(topology.name())
        ))
    };
    let held: Vec<_> = ingress.metadata.finalizers.iter().map(AsRef::as_ref).collect();
    Ok(Some(
        finding
            .evidence("Ingress metadata.deletionTimestamp", asked.to_string())
            .evidence("Ingress metadata.finalizers", held.join(", "))
            .fix(last_resort(topology, ingress))
            .since(Some(asked))
            .breaking(),
    ))
}

/// The controller tries, and Compute refuses.
fn refused(topology: &Topology<'_>, said: &Event, waits: &str) -> Finding {
    let text = &*said.message;
    let finding = |why: &str| {
        Finding::certain(format!("{waits}: GKE's controller cannot clean up, {why}"))
            .evidence("Ingress event GarbageCollection", text)
    };
    let Some(user) = events::between(text, "already being used by '", "'") else {
        let why = text.split_once("googleapi: ").map_or(text, |(_, why)| why);
        return finding(why).fix("mend what the message names; the controller tries again by itself");
    };
    let user = normalise(user, topology.project());
    let finding = finding(&format!("because {user} still uses a part of the load balancer"))
        .fix(format!("delete {user}, or point it elsewhere; the controller tries again by itself"));
    match describe(&user) {
        Some(command) => finding.fix(command),
        None => finding,
    }
}

/// Why there is no controller that could clean up.
fn nobody(topology: &Topology<'_>) -> Option<&'static str> {
    if matches!(topology.addon_off(), Ok(Some(_))) {
        return Some("the HTTP load balancing add-on is off");
    }
    (topology.lease(LEASES[0]) == Ok(Life::Stale)).then_some("GKE's Ingress controller is not alive")
}

fn addon_command(topology: &Topology<'_>) -> String {
    let on = "--update-addons=HttpLoadBalancing=ENABLED";
    match (topology.addon_off(), cluster(topology)) {
        (Ok(Some(_)), Some(cluster)) => format!("gcloud container clusters update {cluster} {on}"),
        (Ok(Some(_)), None) => format!("switch the add-on on: gcloud container clusters update, with {on}"),
        (_, Some(cluster)) => format!(
            "gcloud container clusters describe {cluster} --format='yaml(status,statusMessage,addonsConfig.httpLoadBalancing)'"
        ),
        (_, None) => "see whether the cluster's control plane is up, and whether the HTTP load balancing add-on is on".to_owned(),
    }
}

/// The command that shows a resource of Compute: `gcloud compute target-http-proxies describe NAME --global`.
fn describe(path: &str) -> Option<String> {
    let (rest, name) = path.rsplit_once('/')?;
    let (rest, collection) = rest.rsplit_once('/')?;
    let (project, place) = rest.strip_prefix("projects/")?.split_once('/')?;
    let group = match collection {
        "targetHttpProxies" => "target-http-proxies",
        "targetHttpsProxies" => "target-https-proxies",
        "forwardingRules" => "forwarding-rules",
        "urlMaps" => "url-maps",
        "backendServices" => "backend-services",
        _ => return None,
    };
    let place = match place.split_once('/') {
        Some(("regions", region)) => format!("--region={}", quote(region)),
        Some(_) => return None,
        None => "--global".to_owned(),
    };
    Some(format!("gcloud compute {group} describe {} {place} --project={}", quote(name), quote(project)))
}

/// Taking the finalizer off by hand.
fn last_resort(topology: &Topology<'_>, ingress: &Ingress) -> String {
    let others = ingress.metadata.finalizers.iter().map(AsRef::as_ref).filter(|finalizer| !FINALIZERS.contains(finalizer));
    let kept: Vec<&str> = others.collect();
    let steps = vec![serde_json::json!({"op": "replace", "path": "/metadata/finalizers", "value": kept})];
    let list = format!("gcloud compute forwarding-rules list{}", project_flag(topology));
    format!(
        "only if the controller will never come back: delete the load balancer by hand first ({list}), since nobody else will; then: {}",
        json_patch(topology.namespace(), "ingress", topology.name(), steps)
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::world;
    use super::*;
    use crate::diagnose::Verdict;

    const PLACE: &str = "campaign/spring-sale";

    #[test]
    fn without_a_word_it_is_likely() {
        let silent = world("deletion-blocked").without(|object| object["reason"] == "GarbageCollection");
        let found = silent.found(PLACE, "DeletionBlocked");
        assert_eq!(found[0].finding.confidence, super::super::Confidence::Likely);
    }

    #[test]
    fn blind_to_events_and_leases_it_still_counts() {
        let blind = world("deletion-blocked").unread("events").unread("leases");
        assert_eq!(blind.diagnosed(PLACE).map(|diagnosis| diagnosis.verdict), Some(Verdict::Broken));
    }

    #[test]
    fn it_hangs_below_the_add_on_that_is_off() {
        let mut off = world("deletion-blocked");
        let cluster = serde_json::json!({"addonsConfig": {"httpLoadBalancing": {"disabled": true}}});
        off.cluster = cluster;
        let diagnosis = off.diagnosed(PLACE).map(|diagnosis| (diagnosis.verdict, diagnosis.root_cause));
        assert_eq!(diagnosis, Some((Verdict::Broken, Some("HttpLoadBalancingDisabled"))));
    }

    #[test]
    fn another_class_makes_no_difference_to_a_finalizer() {
        let left =
            world("deletion-blocked").edit("Ingress", PLACE, |ingress| ingress["spec"]["ingressClassName"] = "nginx".into());
        assert_eq!(left.codes(PLACE), ["DeletionBlocked"]);
    }

    #[test]
    fn commands_name_the_user() {
        let regional = describe("projects/acme/regions/europe-west1/targetHttpsProxies/mine");
        assert_eq!(
            regional.as_deref(),
            Some("gcloud compute target-https-proxies describe mine --region=europe-west1 --project=acme")
        );
        assert_eq!(describe("projects/acme/zones/x/instances/mine"), None);
        assert_eq!(describe("nonsense"), None);
    }
}
