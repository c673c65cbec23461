//! NegNotCreated: a network endpoint group that is due does not exist.

use super::mend::neg_errors::{advice, look, touch};
use super::text::{project_flag, quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::compute::{NetworkEndpointGroup, Resource};
use crate::snapshot::{Observed, Source, Unknown};
use crate::topology::addon::{LEASES, Life};
use crate::topology::annotations::{self, keys};
use crate::topology::{Backend, Topology, class, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NegNotCreated",
    section: Section::Groups,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "a network endpoint group that is due does not exist",
    doc: include_str!("neg_not_created.md"),
    explains: &[
        "NoAddress",
        "NegSyncFailed",
        "NegAttachFailed",
        "NegEndpointDrift",
        "NegDegraded",
        "NegNotAttached",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if let (Some(condition), Some(name)) = (backend.neg_condition_failed("Initialized"), &backend.neg_name) {
        let finding = Finding::certain(format!("GKE could not make the network endpoint group {name:?}: {}", condition.message))
            .evidence(
                format!("ServiceNetworkEndpointGroup {}/{name} condition Initialized", backend.namespace),
                format!("False, {}: {}", condition.reason, condition.message),
            )
            .since(condition.last_transition_time);
        return Ok(Some(
            finding
                .fix(advice(&condition.message).unwrap_or("mend what the message says: the controller tries again by itself"))
                .fix(look(backend)),
        ));
    }
    if !backend.neg_due() || topology.meta().deletion_timestamp.is_some() || !overdue(topology, backend) {
        return Ok(None);
    }
    // Where nobody listens, the group is not what is missing.
    if topology.addon_off()?.is_some() || topology.lease(LEASES[1]) == Ok(Life::Stale) {
        return Ok(None);
    }
    let Some(missing) = missing(topology, backend)? else { return Ok(None) };
    let (Some(name), Some(port)) = (&backend.neg_name, backend.port) else { return Ok(None) };
    let zones = some_of(&missing, 4);
    let mut finding = Finding::certain(format!(
        "the network endpoint group {name:?} of Service {:?} port {} does not exist in {zones}, although the Service asks for it",
        backend.service_name, port.port
    ));
    if let Some(text) = backend.service.as_ref().seen().and_then(|service| service.metadata.annotation(keys::NEG)) {
        finding =
            finding.evidence(format!("Service {}/{} annotation {}", backend.namespace, backend.service_name, keys::NEG), text);
    }
    finding = finding.evidence(format!("networkEndpointGroups named {name}"), format!("absent in {zones}"));
    let warnings = backend.service_warnings().unwrap_or_default();
    if let Some(said) = warnings.iter().rev().find(|event| !events::is_neg_birth_race(&event.message)) {
        finding = finding.evidence(format!("Service event {}", said.reason), &said.message).since(said.first);
    }
    if let Some(mend) = warnings.iter().rev().find_map(|event| advice(&event.message)) {
        finding = finding.fix(mend);
    }
    finding = finding
        .fix(touch(backend))
        .fix(format!("kubectl -n {} describe service {}", quote(backend.namespace), quote(backend.service_name)))
        .fix(format!(
            "gcloud compute network-endpoint-groups list --filter={}{}",
            quote(&format!("name={name}")),
            project_flag(topology)
        ));
    Ok(Some(finding))
}

/// The controller has seen the Ingress and the Service for longer than it takes to make a group.
fn overdue(topology: &Topology<'_>, backend: &Backend<'_>) -> bool {
    let service = backend.service.as_ref().seen();
    let since = topology.first_sync().max(service.and_then(|service| service.metadata.creation_timestamp));
    synced(topology, backend) && topology.lasted_when_listed::<NetworkEndpointGroup>(since, topology.grace.neg_creation)
}

/// There is a trace of the controller on the target: without one nobody has begun to make the group.
fn synced(topology: &Topology<'_>, backend: &Backend<'_>) -> bool {
    match topology.ingress() {
        Some(ingress) => {
            let heard =
                |event: &&crate::snapshot::kubernetes::Event| matches!(&*event.reason, "Sync" | "Translate" | "IPChanged");
            class::has_finalizer(ingress)
                || ingress.metadata.annotation(keys::URL_MAP).is_some()
                || topology.events.as_deref().unwrap_or_default().iter().any(heard)
        }
        None => {
            let named = backend
                .service
                .as_ref()
                .seen()
                .is_some_and(|service| !annotations::neg_status(service).network_endpoint_groups.is_empty());
            named
                || backend.svc_neg.as_ref().seen().is_some()
                || backend.service_events.as_ref().is_ok_and(|events| !events.is_empty())
                || topology.lease(LEASES[1]) == Ok(Life::Fresh)
        }
    }
}

/// The zones in which the group is due and absent; `None` when it is there.
fn missing(topology: &Topology<'_>, backend: &Backend<'_>) -> Result<Option<Vec<String>>, Unknown> {
    if let Some(why) = topology.snapshot.compute.unread_kind(NetworkEndpointGroup::COLLECTION) {
        return Err(why);
    }
    let Some(name) = &backend.neg_name else {
        return Err(Unknown::not_read(Source::Kubernetes, "configmaps/kube-system/ingress-uid"));
    };
    let zones: Vec<String> = match topology.zones_due() {
        Ok(zones) => zones.into_iter().map(str::to_owned).collect(),
        // The controller has written down in which zones it found nodes.
        Err(why) => {
            let zones = backend.service.as_ref().seen().map(|service| annotations::neg_status(service).zones).unwrap_or_default();
            if zones.is_empty() {
                return Err(why);
            }
            zones.into_iter().map(String::from).collect()
        }
    };
    let mut absent = Vec::new();
    let mut unread = None;
    for zone in zones {
        let path = format!("projects/{}/zones/{zone}/networkEndpointGroups/{name}", topology.project());
        match topology.snapshot.compute.get::<NetworkEndpointGroup>(&path) {
            Observed::Present(_) => {}
            Observed::Absent => absent.push(zone),
            Observed::Unknown(why) => unread = Some(why),
        }
    }
    match unread {
        _ if !absent.is_empty() => Ok(Some(absent)),
        Some(why) => Err(why),
        None => Ok(None),
    }
}
