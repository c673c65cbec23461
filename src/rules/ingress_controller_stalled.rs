//! IngressControllerStalled: GKE's Ingress controller has run here, and is not alive now.

use super::text::cluster;
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::Observed;
use crate::topology::addon::{DEPLOYMENT, LEASES, Life, Off};
use crate::topology::backend::SYSTEM_DEFAULT;
use crate::topology::{Topology, annotations::keys, class};

/// The rule.
pub static RULE: Rule = Rule {
    code: "IngressControllerStalled",
    section: Section::Listening,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "GKE's Ingress controller has run in this cluster and shows no sign of life now: what the load balancer has is frozen",
    doc: include_str!("ingress_controller_stalled.md"),
    explains: &["NoAddress", "DeletionBlocked"],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    // Where the add-on is known to be off, HttpLoadBalancingDisabled says so.
    if topology.ingress().is_none() || matches!(topology.addon_off(), Ok(Some(Off::Switch))) {
        return Ok(None);
    }
    if !topology.controller_stalled()? {
        return Ok(None);
    }
    let finding = if topology.lease(LEASES[0]).is_ok() { by_lease(topology) } else { by_heartbeat(topology) };
    Ok(Some(with_fix(topology, with_traces(topology, finding))))
}

/// The Lease is not renewed any more.
fn by_lease(topology: &Topology<'_>) -> Finding {
    let since = topology.lease_renewed(LEASES[0]);
    let mut finding = Finding::certain(format!(
        "GKE's Ingress controller is not alive: its Lease {} was last renewed {}, so no change reaches the load balancer",
        LEASES[0],
        since.map_or_else(|| "never".to_owned(), |time| format!("at {time:.0}"))
    ))
    .since(since);
    for name in LEASES {
        if topology.lease(name) == Ok(Life::Stale) {
            let renewed = topology.lease_renewed(name).map_or_else(|| "never".to_owned(), |time| time.to_string());
            finding = finding.evidence(format!("Lease kube-system/{name} spec.renewTime"), renewed);
        }
    }
    finding
}

/// The Leases cannot be read, and no Ingress has had a sync event for longer than two resyncs.
fn by_heartbeat(topology: &Topology<'_>) -> Finding {
    let beat = topology.fleet.last_heartbeat_at();
    Finding::likely(format!(
        "GKE's Ingress controller seems not to be alive: no Ingress of the cluster has had a sync event for {} minutes, and one is due every 10",
        topology.grace.heartbeat.as_mins()
    ))
    .evidence("last sync event of any Ingress", beat.map_or_else(|| "none".to_owned(), |time| time.to_string()))
    .since(beat)
}

/// What shows that the controller has run here.
fn with_traces(topology: &Topology<'_>, mut finding: Finding) -> Finding {
    if let Some(ingress) = topology.ingress() {
        let trace = if class::has_finalizer(ingress) {
            "its finalizer on this Ingress"
        } else if ingress.metadata.annotation(keys::URL_MAP).is_some() {
            "its annotations on this Ingress"
        } else {
            "its finalizer, annotations or events on an Ingress of this cluster"
        };
        finding = finding.evidence("sign that the controller has run here", trace);
    }
    finding
}

fn with_fix(topology: &Topology<'_>, mut finding: Finding) -> Finding {
    let kubernetes = &topology.snapshot.kubernetes;
    let (namespace, service) = SYSTEM_DEFAULT;
    let gone = matches!(kubernetes.services.get(namespace, service), Observed::Absent)
        && matches!(kubernetes.deployments.get(namespace, DEPLOYMENT), Observed::Absent);
    if gone {
        finding = finding
            .evidence(format!("Service {namespace}/{service}, Deployment {namespace}/{DEPLOYMENT}"), "absent")
            .fix("the add-on's objects are gone too: look first whether somebody switched the HTTP load balancing add-on off");
    } else {
        finding = finding.fix("GKE runs this controller on the control plane: see whether the control plane is up, and open a case with Google Cloud support");
    }
    match cluster(topology) {
        Some(cluster) => finding.fix(format!(
            "gcloud container clusters describe {cluster} --format='yaml(status,statusMessage,currentMasterVersion,addonsConfig.httpLoadBalancing)'"
        )),
        None => finding,
    }
    .fix(format!("kubectl -n kube-system get lease {}", LEASES.join(" ")))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, world};

    const CODE: &str = "IngressControllerStalled";
    const LOCK: &str = "kube-system/ingress-gce-lock";

    /// The Ingress controller's Lease was last renewed before its Ingresses' last events.
    fn leftover_lease() -> World {
        world("healthy-neg").edit("Lease", LOCK, |lease| lease["spec"]["renewTime"] = "2026-11-01T00:00:00Z".into())
    }

    #[test]
    fn a_lease_that_others_outlived_proves_nothing() {
        assert!(leftover_lease().codes("shop/cart").is_empty());
    }

    #[test]
    fn no_event_since_the_lease_went_stale() {
        let silent = leftover_lease().without(|object| object["kind"] == "Event");
        assert_eq!(silent.codes("shop/cart"), [CODE]);
        assert_eq!(silent.found("shop/cart", CODE)[0].finding.confidence, super::super::Confidence::Certain);
    }

    #[test]
    fn an_absent_lease_is_not_a_stale_one() {
        let without = world("healthy-neg").without(|object| matches!(object["kind"].as_str(), Some("Lease" | "Event")));
        assert!(without.codes("shop/cart").is_empty());
    }

    #[test]
    fn a_stale_lease_where_no_controller_has_run() {
        let never = world("addon-disabled").without(|object| object["kind"] == "Lease").add(serde_json::json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": "kube-system", "name": "ingress-gce-lock"}, "spec": {"renewTime": "2026-01-01T00:00:00Z"},
        }));
        assert!(!never.codes("shop/checkout").contains(&CODE));
    }

    #[test]
    fn heartbeats_count_where_leases_are_unread() {
        let beating = world("healthy-neg").unread("leases.coordination.k8s.io");
        assert!(beating.codes("shop/cart").is_empty());
        let silent = world("ingress-controller-stalled").unread("leases.coordination.k8s.io");
        let found = silent.found("shop/cart", CODE);
        assert_eq!(found[0].finding.confidence, super::super::Confidence::Likely);
    }

    #[test]
    fn blind_to_both_it_says_so() {
        let blind = world("ingress-controller-stalled").unread("leases.coordination.k8s.io").unread("events");
        assert!(!blind.codes("shop/cart").contains(&CODE));
        assert!(blind.inconclusive("shop/cart").contains(&CODE));
    }

    #[test]
    fn the_switch_explains_it() {
        let mut off = world("ingress-controller-stalled");
        let cluster = serde_json::json!({"addonsConfig": {"httpLoadBalancing": {"disabled": true}}});
        off.cluster = cluster;
        assert!(!off.codes("shop/cart").contains(&CODE));
    }
}
