//! NoEndpoints: the Service selects no pod that runs anywhere.

use super::text::{counted, quote, some_of};
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::snapshot::kubernetes::{Pairs, Service, WorkloadSpec};
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NoEndpoints",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Service selects no pod that runs",
    doc: include_str!("no_endpoints.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

/// The label that names who writes a slice, and the cluster's own controller.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role == Role::SystemDefault || backend.port.is_none() {
        return Ok(None);
    }
    let Some(service) = backend.service.clone().known()? else { return Ok(None) };
    if service.type_() == "ExternalName" {
        return Ok(None);
    }
    let (namespace, name) = (backend.namespace, backend.service_name);
    if service.spec.selector.is_empty() {
        let endpoints = backend.endpoints.as_ref().map_err(Clone::clone)?;
        return Ok(endpoints.is_empty().then(|| {
            Finding::certain(format!("Service {name:?} has no selector, and nobody has written an EndpointSlice for it"))
                .evidence(format!("Service {namespace}/{name} spec.selector"), "empty")
                .fix(format!("give Service {name} the selector of its pods, or write an EndpointSlice with the label kubernetes.io/service-name={name}"))
        }));
    }
    let pods = backend.pods.as_ref().map_err(Clone::clone)?;
    let live: Vec<_> = pods.iter().filter(|pod| !pod.finished() && !pod.terminating()).collect();
    if live.iter().any(|pod| pod.scheduled()) || served_by_hand(backend) {
        return Ok(None);
    }
    let selector = pairs(&service.spec.selector);
    if live.is_empty() {
        let finding = nobody(topology, backend, service, &selector);
        // Between two releases there may be a moment without a pod.
        let leaving = pods.iter().any(|pod| !pod.finished() && !topology.lasted(pod.metadata.deletion_timestamp, topology.grace.rollout));
        let passing = leaving && !backend.groups_empty() && !scaled_to_zero(topology, backend, service);
        return Ok((!passing).then_some(finding));
    }
    // While the load balancer still has endpoints, the next pods may come in time.
    let coming = live.iter().all(|pod| !topology.lasted(pod.metadata.creation_timestamp, topology.grace.rollout));
    if coming && !backend.groups_empty() {
        return Ok(None);
    }
    let mut finding = Finding::certain(format!("none of the {} that Service {name:?} selects has been scheduled to a node", counted(live.len(), "pod")));
    for pod in &live {
        let why = pod.condition("PodScheduled").map_or("no node", |condition| &condition.message);
        finding = finding.evidence(format!("pod {}", pod.key()), if why.is_empty() { "no node" } else { why });
    }
    Ok(Some(
        finding
            .fix("make room for the pods: resources, node selectors, taints")
            .fix(format!("kubectl -n {} describe pods -l {}", quote(namespace), quote(&selector))),
    ))
}

/// Somebody else than the cluster's own controller writes endpoints for the Service.
fn served_by_hand(backend: &Backend<'_>) -> bool {
    let endpoints = backend.endpoints.as_deref().unwrap_or_default();
    endpoints.iter().any(|one| one.slice.metadata.labels.get(MANAGED_BY).is_none_or(|by| &**by != SLICE_CONTROLLER) && !one.endpoint.terminating())
}

/// The Deployments and StatefulSets whose pods the Service would select: kind, name, what is asked for.
fn workloads<'a>(topology: &Topology<'a>, backend: &Backend<'_>, service: &Service) -> Vec<(&'static str, &'a str, &'a WorkloadSpec)> {
    let kubernetes = &topology.snapshot.kubernetes;
    let deployments = kubernetes.deployments.in_namespace(backend.namespace).into_iter().flatten();
    let deployments = deployments.map(|deployment| ("deployment", &*deployment.metadata.name, &deployment.spec));
    let sets = kubernetes.stateful_sets.in_namespace(backend.namespace).into_iter().flatten();
    let sets = sets.map(|set| ("statefulset", &*set.metadata.name, &set.spec));
    let selects = |(_, _, spec): &(&str, &str, &WorkloadSpec)| {
        service.spec.selector.iter().all(|(key, value)| spec.template.metadata.labels.get(key) == Some(value))
    };
    deployments.chain(sets).filter(selects).collect()
}

fn scaled_to_zero(topology: &Topology<'_>, backend: &Backend<'_>, service: &Service) -> bool {
    let workloads = workloads(topology, backend, service);
    !workloads.is_empty() && workloads.iter().all(|(_, _, spec)| spec.replicas == Some(0))
}

/// No pod is selected: zero replicas, a selector that matches nothing, or nothing deployed.
fn nobody(topology: &Topology<'_>, backend: &Backend<'_>, service: &Service, selector: &str) -> Finding {
    let (namespace, name) = (backend.namespace, backend.service_name);
    let workloads = workloads(topology, backend, service);
    let from = format!("Service {namespace}/{name} spec.selector");

    if let Some((kind, workload, _)) = workloads.iter().find(|(_, _, spec)| spec.replicas == Some(0)) {
        return Finding::certain(format!("Service {name:?} selects no pod: {kind} {workload} is scaled to zero"))
            .evidence(from, selector)
            .evidence(format!("{kind} {namespace}/{workload} spec.replicas"), "0")
            .fix(format!("kubectl -n {} scale {kind} {} --replicas=1", quote(namespace), quote(workload)));
    }
    if let Some((kind, workload, _)) = workloads.first() {
        return Finding::certain(format!("Service {name:?} selects no pod: {kind} {workload} has made none"))
            .evidence(from, selector)
            .fix(format!("kubectl -n {} describe {kind} {}", quote(namespace), quote(workload)));
    }
    let ended = backend.pods.as_deref().unwrap_or_default();
    if !ended.is_empty() {
        let names = some_of(ended.iter().map(|pod| &pod.metadata.name), 3);
        return Finding::certain(format!("Service {name:?} selects no pod that runs: what it selects has finished or is being deleted"))
            .evidence(from, selector)
            .evidence("pods that have finished or are being deleted", names)
            .fix("deploy the application again, or correct the selector")
            .fix(format!("kubectl -n {} get pods -l {}", quote(namespace), quote(selector)));
    }
    let finding = Finding::certain(format!("Service {name:?} selects no pod: no pod in namespace {namespace:?} carries {selector}")).evidence(from, selector);
    match nearest(topology, backend, service) {
        Some((near, labels)) => {
            let spec = serde_json::json!({"spec": {"selector": labels}});
            finding
                .evidence(format!("labels of {near}"), pairs(&labels))
                .fix("make the Service's selector and the pods' labels agree")
                .fix(super::text::patch(namespace, "service", name, &spec))
        }
        None => finding
            .fix("deploy the application, or correct the selector")
            .fix(format!("kubectl -n {} get pods --show-labels", quote(namespace))),
    }
}

/// The pod whose labels are nearest to the selector, with its values for the selector's keys: it must have every key, and a value that
/// differs in punctuation or by being part of the other, or agree in at least one pair.
fn nearest(topology: &Topology<'_>, backend: &Backend<'_>, service: &Service) -> Option<(String, Pairs)> {
    let selector = &service.spec.selector;
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_ascii_lowercase();
    let alike = |a: &str, b: &str| {
        let (a, b) = (plain(a), plain(b));
        a == b || a.contains(&b) && !b.is_empty() || b.contains(&a) && !a.is_empty()
    };
    let pods = topology.snapshot.kubernetes.pods.in_namespace(backend.namespace).ok()?;
    let scored = pods.filter(|pod| !pod.finished()).filter_map(|pod| {
        let mut score = 0;
        let mut labels = Pairs::new();
        for (key, value) in selector {
            let has = pod.metadata.labels.get(key)?;
            score += if has == value { 2 } else { usize::from(alike(has, value)) };
            labels.insert(key.clone(), has.clone());
        }
        (score > 0).then_some((score, pod, labels))
    });
    let (_, pod, labels) = scored.max_by(|a, b| (a.0, &b.1.metadata.name).cmp(&(b.0, &a.1.metadata.name)))?;
    Some((format!("pod {}", pod.key()), labels))
}

fn pairs(pairs: &Pairs) -> String {
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
