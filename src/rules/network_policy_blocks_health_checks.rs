//! NetworkPolicyBlocksHealthChecks: the NetworkPolicies of the pods do not let the load balancer in.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net};
use serde_json::json;

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::snapshot::Unknown;
use crate::snapshot::kubernetes::{NetworkPolicy, Pod};
use crate::topology::vpc::{self, HEALTH_CHECK_RANGES};
use crate::topology::{Backend, GroupKind, Member, State, Topology, network_policy};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NetworkPolicyBlocksHealthChecks",
    section: Section::Path,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the NetworkPolicies of the pods do not let the load balancer in",
    doc: include_str!("network_policy_blocks_health_checks.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

/// A pod that the load balancer cannot reach.
struct Kept<'a> {
    pod: &'a Pod,
    policies: Vec<&'a NetworkPolicy>,
    sources: Vec<Ipv4Net>,
    ports: BTreeSet<u16>,
}

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.count(State::Unhealthy) == 0 {
        return unless_unread(topology, backend);
    }
    let enforced = network_policy::enforced(topology.snapshot);
    if enforced == Some(false) {
        return Ok(None);
    }
    let kept = match backend.kind {
        GroupKind::Neg => {
            let origins = vpc::origins(topology, backend);
            let mut kept = Vec::new();
            for member in backend.unhealthy() {
                kept.extend(keeps_out(topology, backend, member, &origins.proxies)?);
            }
            kept
        }
        GroupKind::InstanceGroup => behind_nodes(topology, backend)?,
    };
    let Some(first) = kept.first() else { return Ok(None) };
    // A pod that is HEALTHY behind the same closed door shows that the policies are not enforced.
    for member in backend.members_seen().filter(|member| member.state == State::Healthy) {
        let contradicts =
            keeps_out(topology, backend, member, &[])?.is_some_and(|kept| kept.sources.len() == HEALTH_CHECK_RANGES.len());
        if contradicts {
            return Ok(None);
        }
    }
    let policies: BTreeSet<&str> = kept.iter().flat_map(|kept| &kept.policies).map(|policy| &*policy.metadata.name).collect();
    let (sources, ports) = (some_of(&first.sources, 4), some_of(&first.ports, 4));
    let quoted = some_of(policies.iter().map(|name| format!("{name:?}")), 3);
    let message = if policies.len() == 1 {
        format!(
            "NetworkPolicy {quoted} selects the pods and does not let {sources} in to port {ports}: Google's health checks do not arrive"
        )
    } else {
        format!(
            "NetworkPolicies {quoted} select the pods and none lets {sources} in to port {ports}: Google's health checks do not arrive"
        )
    };
    let certain = enforced == Some(true) && backend.kind == GroupKind::Neg;
    let mut finding = if certain { Finding::certain(message) } else { Finding::likely(message) };
    for policy in &first.policies {
        finding =
            finding.evidence(format!("NetworkPolicy {}/{}", policy.metadata.namespace, policy.metadata.name), in_words(policy));
    }
    for kept in &kept {
        finding = finding.evidence(
            format!("pod {}", kept.pod.key()),
            format!("UNHEALTHY, selected by {}", some_of(kept.policies.iter().map(|policy| &policy.metadata.name), 3)),
        );
    }
    Ok(Some(finding.fix(patch(first)).fix("a policy that is deployed from a repository has to be changed there; policies add up, so one that lets the ranges in is enough")))
}

/// Nothing fails as far as was seen. Where the health could not be read, only pods that no policy selects are known to be open.
fn unless_unread(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let Some(why) = backend.health_unread().filter(|why| &*why.reason != "NoHealthState") else { return Ok(None) };
    for pod in backend.pods.as_ref().map_err(Clone::clone)? {
        if !network_policy::isolating(&topology.snapshot.kubernetes, pod)?.is_empty() {
            return Err(why);
        }
    }
    Ok(None)
}

/// The pods behind an instance group none of whose nodes passes. The nodes hand the health checks on, with their own address or with
/// Google's: policies that let in neither keep them out.
fn behind_nodes<'a>(topology: &Topology<'a>, backend: &Backend<'a>) -> Result<Vec<Kept<'a>>, Unknown> {
    let mut kept = Vec::new();
    if !backend.none_healthy() {
        return Ok(kept);
    }
    let nodes: Vec<Ipv4Net> =
        backend.unhealthy().filter_map(|node| Some(Ipv4Net::from(node.address.parse::<std::net::Ipv4Addr>().ok()?))).collect();
    let Some(port) = backend.endpoint_port().and_then(|port| u16::try_from(port).ok()) else { return Ok(kept) };
    let pods = backend.pods.as_ref().map_err(Clone::clone)?.iter().copied().filter(|pod| pod.serves() && !pod.terminating());
    for pod in pods {
        let policies = network_policy::isolating(&topology.snapshot.kubernetes, pod)?;
        let shut = |source: &Ipv4Net| !network_policy::admits(&policies, pod, port, IpNet::V4(*source));
        let sources: Vec<_> = HEALTH_CHECK_RANGES.into_iter().filter(|source| shut(source)).collect();
        if !sources.is_empty() && nodes.iter().all(shut) {
            kept.push(Kept { pod, policies, sources, ports: BTreeSet::from([port]) });
        }
    }
    Ok(kept)
}

/// What a failing endpoint's policies keep out; `None` when they let everything in.
fn keeps_out<'a>(
    topology: &Topology<'a>,
    backend: &Backend<'a>,
    member: &Member<'a>,
    proxies: &[Ipv4Net],
) -> Result<Option<Kept<'a>>, Unknown> {
    let Some(pod) = member.pod.filter(|_| member.address.parse::<std::net::Ipv4Addr>().is_ok()) else { return Ok(None) };
    let policies = network_policy::isolating(&topology.snapshot.kubernetes, pod)?;
    let mut kept = Kept { pod, policies, sources: Vec::new(), ports: BTreeSet::new() };
    let serving = u16::try_from(member.port).unwrap_or_default();
    let checks = vpc::ports(topology, backend, member);
    let checks = HEALTH_CHECK_RANGES.iter().flat_map(|source| checks.iter().map(move |port| (*source, *port)));
    for (source, port) in checks.chain(proxies.iter().map(|source| (*source, serving))) {
        if !network_policy::admits(&kept.policies, pod, port, IpNet::V4(source)) {
            if !kept.sources.contains(&source) {
                kept.sources.push(source);
            }
            kept.ports.insert(port);
        }
    }
    Ok((!kept.sources.is_empty()).then_some(kept))
}

/// What a policy lets in, in a few words.
fn in_words(policy: &NetworkPolicy) -> String {
    if policy.spec.ingress.is_empty() {
        return "lets nobody in".to_owned();
    }
    let blocks: Vec<_> = policy
        .spec
        .ingress
        .iter()
        .flat_map(|rule| &rule.from)
        .filter_map(|peer| peer.ip_block.as_ref())
        .map(|block| &block.cidr)
        .collect();
    if blocks.is_empty() {
        "lets pods and namespaces in, no address block".to_owned()
    } else {
        format!("lets in {}", some_of(blocks, 4))
    }
}

/// Adds a rule for the ranges to the first policy.
fn patch(kept: &Kept<'_>) -> String {
    let Some(policy) = kept.policies.first() else { return String::new() };
    let from: Vec<_> = kept.sources.iter().map(|source| json!({"ipBlock": {"cidr": source.to_string()}})).collect();
    let ports: Vec<_> = kept.ports.iter().map(|port| json!({"protocol": "TCP", "port": port})).collect();
    let rule = json!({"from": from, "ports": ports});
    // A policy without rules has no list to append to.
    let change = if policy.spec.ingress.is_empty() {
        json!([{"op": "add", "path": "/spec/ingress", "value": [rule]}])
    } else {
        json!([{"op": "add", "path": "/spec/ingress/-", "value": rule}])
    };
    format!(
        "kubectl -n {} patch networkpolicy {} --type json -p {}",
        quote(&policy.metadata.namespace),
        quote(&policy.metadata.name),
        quote(&change.to_string())
    )
}
