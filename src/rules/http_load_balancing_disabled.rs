//! HttpLoadBalancingDisabled: nobody reads Ingresses.

use super::text::{project_flag, quote};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::Observed;
use crate::topology::addon::Off;
use crate::topology::class::has_finalizer;
use crate::topology::{Class, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HttpLoadBalancingDisabled",
    section: Section::Listening,
    severity: Severity::Error,
    symptom: false,
    unhandled: true,
    summary: "the cluster's HTTP load balancing add-on is off: nobody reads Ingresses",
    doc: include_str!("http_load_balancing_disabled.md"),
    explains: &["NoAddress", "DeletionBlocked", "DefaultBackendUnavailable", "IngressControllerStalled"],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let (kind, off) = match topology.ingress() {
        // One that has left GKE for good misses nobody.
        Some(ingress) if topology.class() == Some(Class::Left) && !has_finalizer(ingress) => return Ok(None),
        Some(_) => ("Ingress", topology.addon_off()?),
        // Standalone network endpoint groups are the add-on's work, too; what is missing of it elsewhere does not tell about a Service.
        None if matches!(topology.snapshot.cluster, Observed::Present(_)) => ("Service", topology.addon_off()?),
        None => return Ok(None),
    };
    let Some(off) = off else { return Ok(None) };
    let finding = match off {
        Off::Switch => Finding::certain(format!("the HTTP load balancing add-on of the cluster is off, so nobody reads this {kind}"))
            .evidence("Container API clusters.get, addonsConfig.httpLoadBalancing.disabled", "true"),
        Off::NoTrace => Finding::likely("the HTTP load balancing add-on of the cluster seems to be off: there is no trace of it or of its controller")
            .evidence("Service kube-system/default-http-backend", "absent")
            .evidence("Deployment kube-system/l7-default-backend and pods with k8s-app=glbc", "absent")
            .evidence("Lease kube-system/ingress-gce-lock", "absent, or not renewed")
            .evidence("finalizers, annotations and events of the controller on this Ingress", "none"),
    };
    let meta = &topology.snapshot.meta;
    let fix = if meta.cluster_name.is_empty() || meta.cluster_location.is_empty() {
        "switch the add-on on: gcloud container clusters update, with --update-addons=HttpLoadBalancing=ENABLED".to_owned()
    } else {
        format!(
            "gcloud container clusters update {} --location={}{} --update-addons=HttpLoadBalancing=ENABLED",
            quote(&meta.cluster_name),
            quote(&meta.cluster_location),
            project_flag(topology)
        )
    };
    Ok(Some(finding.fix(fix)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{codes, world};
    use crate::topology::{TargetKind, TargetRef};

    #[test]
    fn who_moved_to_another_controller_does_not_miss_it() {
        let mut off = world("stale-status");
        off.cluster["addonsConfig"]["httpLoadBalancing"] = json!({"disabled": true});
        assert_eq!(off.codes("forum/threads"), ["StaleStatus"]);
    }

    /// Standalone network endpoint groups are frozen with the rest.
    #[test]
    fn a_service_with_a_group_of_its_own_is_told_where_the_switch_was_read() {
        let target = || TargetRef { kind: TargetKind::Service, namespace: "payments".into(), name: "ledger".into() };
        let mut off = world("standalone-neg-attached");
        off.cluster["addonsConfig"]["httpLoadBalancing"] = json!({"disabled": true});
        assert_eq!(codes(&off.diagnosis(target())), ("Degraded", vec!["HttpLoadBalancingDisabled"]));
        off.cluster = json!(null);
        assert_eq!(codes(&off.diagnosis(target())), ("Healthy", vec![]));
    }
}
