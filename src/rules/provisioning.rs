//! Provisioning: the load balancer is being made.

use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::{State, Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "Provisioning",
    section: Section::LifeCycle,
    severity: Severity::Info,
    symptom: false,
    unhandled: false,
    summary: "the load balancer is being made, and nothing is wrong so far",
    doc: include_str!("provisioning.md"),
    explains: &["NoAddress", "NegNotCreated", "BackendUnhealthy", "BackendPartiallyUnhealthy", "ReadinessGateBlocked"],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    // Where nobody listens, waiting does not help.
    let nobody = || matches!(topology.addon_off(), Ok(Some(_))) || topology.controller_stalled() == Ok(true);
    if !topology.young() || ingress.metadata.deletion_timestamp.is_some() || nobody() {
        return Ok(None);
    }
    let warnings = topology.warnings.as_ref().map_err(Clone::clone)?;
    if warnings.iter().any(|event| !events::is_neg_not_found(&event.message)) {
        return Ok(None);
    }
    let missing = if ingress.address().is_none() {
        "no address yet"
    } else {
        let mut without = topology.own_backends().filter(|backend| backend.count(State::Healthy) == 0).peekable();
        let nowhere = without.peek().is_some();
        if let Some(why) = without.find_map(|backend| backend.health_unread().filter(|why| &*why.reason != "NoHealthState")) {
            return Err(why);
        }
        match nowhere {
            true => "no healthy endpoint yet",
            // The first health checks reach the endpoints one after another, and the system default backend's last.
            false if topology.backends.iter().any(|backend| backend.count(State::Unhealthy) > 0) => "not all endpoints healthy yet",
            false => return Ok(None),
        }
    };
    let limit = topology.grace.provisioning.as_mins();
    Ok(Some(
        Finding::certain(format!("the load balancer is being made: {missing}"))
            .evidence("first sync of the Ingress", topology.first_sync().map_or_else(|| "none".to_owned(), |first| first.to_string()))
            .fix(format!("wait: it may take up to {limit} minutes")),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, codes};

    /// An Ingress without an address, first synced so many minutes ago.
    fn without_address(minutes: i64) -> World {
        let mut world = World::recorded("healthy-neg");
        world.unprogram("shop", "cart");
        let created = world.ago(minutes);
        world.object("Ingress", "shop", "cart")["metadata"]["creationTimestamp"] = created.into();
        world
    }

    #[test]
    fn nothing_comes_of_waiting_where_the_controller_is_not_alive() {
        let mut world = without_address(4);
        assert_eq!(codes(&world.ingress("shop", "cart")), ("Progressing", vec!["Provisioning"]));
        world.objects.retain(|object| object["kind"] != "Event");
        let stale = world.ago(60);
        world.object("Lease", "kube-system", "ingress-gce-lock")["spec"]["renewTime"] = stale.into();
        assert_eq!(codes(&world.ingress("shop", "cart")), ("Degraded", vec!["IngressControllerStalled"]));
    }

    /// It does not serve, and nobody knows why yet.
    #[test]
    fn a_young_ingress_with_a_warning_that_nobody_knows_is_not_healthy() {
        let text = "Error syncing to GCP: error running backend syncing routine: googleapi: Error 503: Internal error, backendError";
        let mut world = without_address(4);
        world.warn("Ingress", "shop", "cart", "Sync", text);
        let last = world.ago(1);
        for event in world.objects.iter_mut().filter(|object| object["message"] == text) {
            event["firstTimestamp"] = last.clone().into();
        }
        let diagnosis = world.ingress("shop", "cart");
        assert_eq!(codes(&diagnosis), ("Progressing", vec![]));
        assert!(diagnosis.root_cause.is_none() && diagnosis.summary.contains("backendError"), "{}", diagnosis.summary);
    }
}
