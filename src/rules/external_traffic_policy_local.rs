//! ExternalTrafficPolicyLocal: nodes without a pod of the Service fail the health check by design.

use std::collections::BTreeSet;

use serde_json::json;

use super::text::{annotate, counted, patch, some_of};
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::snapshot::Unknown;
use crate::snapshot::kubernetes::Pod;
use crate::topology::annotations::{self, keys};
use crate::topology::{Backend, GroupKind, State, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ExternalTrafficPolicyLocal",
    section: Section::Health,
    severity: Severity::Info,
    symptom: false,
    unhandled: false,
    summary: "nodes without a pod of the Service fail the health check, as externalTrafficPolicy Local wants it",
    doc: include_str!("external_traffic_policy_local.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let Some(service) = backend.service.clone().known()? else { return Ok(None) };
    if backend.kind != GroupKind::InstanceGroup || &*service.spec.external_traffic_policy != "Local" {
        return Ok(None);
    }
    if let Some(why) = backend.health_unread() {
        return Err(why);
    }
    // By design some nodes fail, never all of them.
    if backend.count(State::Unhealthy) == 0 || backend.count(State::Healthy) == 0 {
        return Ok(None);
    }
    let serving = serving_nodes(topology, backend)?;
    let failing: BTreeSet<&str> = backend.unhealthy().map(|member| &*member.node).collect();
    if failing.iter().any(|node| node.is_empty() || serving.contains(node)) {
        return Ok(None);
    }
    let nodes = counted(failing.len(), "node");
    let finding = Finding::certain(format!(
        "{nodes} without a pod of Service {:?} fail the health check by design: its externalTrafficPolicy is Local",
        backend.service_name
    ))
    .evidence(format!("Service {}/{} spec.externalTrafficPolicy", backend.namespace, backend.service_name), "Local")
    .evidence("nodes that fail and have no pod", some_of(&failing, 5))
    .evidence("nodes with a pod", some_of(&serving, 5))
    .fix("nothing has to be done; with network endpoint groups the load balancer would reach the pods without the nodes:")
    .fix(annotate(backend.namespace, "service", backend.service_name, keys::NEG, &annotations::neg_with_ingress(service.metadata.annotation(keys::NEG))))
    .fix(format!(
        "or let every node answer: {}",
        patch(backend.namespace, "service", backend.service_name, &json!({"spec": {"externalTrafficPolicy": "Cluster"}}))
    ));
    Ok(Some(finding))
}

/// The nodes that have a pod to send requests to, for longer than a rollout may take.
fn serving_nodes<'a>(topology: &Topology<'a>, backend: &Backend<'a>) -> Result<BTreeSet<&'a str>, Unknown> {
    let pods = backend.pods.as_ref().map_err(Clone::clone)?;
    let endpoints = backend.endpoints.as_ref().map_err(Clone::clone)?;
    let settled = |pod: &Pod| !pod.terminating() && topology.lasted_when_read(backend, pod.serving_since(), topology.grace.rollout);
    let by_pod = pods.iter().filter(|pod| pod.serves() && settled(pod)).map(|pod| &*pod.spec.node_name);
    let by_slice = endpoints.iter().filter(|one| one.endpoint.ready() && !one.endpoint.terminating() && one.pod.is_none_or(settled));
    Ok(by_pod.chain(by_slice.filter_map(|one| one.endpoint.node_name.as_deref())).collect())
}
