//! What NetworkPolicies let in to a pod.
//!
//! Enters: the policies of a namespace, a pod, a port, a source. Leaves: whether the source is let in.
//! Never: guesses which pod a request comes from: a rule that names pods or namespaces admits no load balancer, and maybe no prober,
//! unless it names all of them.
//! Source: the Kubernetes NetworkPolicy API; a pod that no policy selects is open.

use ipnet::IpNet;

use crate::snapshot::kubernetes::{
    Kubernetes, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicyRule, Pod, PortRef,
};
use crate::snapshot::{Snapshot, Unknown};

/// The policies that isolate a pod for incoming traffic, by name. A pod on the node's network is not isolated.
pub fn isolating<'a>(kubernetes: &'a Kubernetes, pod: &Pod) -> Result<Vec<&'a NetworkPolicy>, Unknown> {
    let policies = kubernetes.network_policies.in_namespace(&pod.metadata.namespace)?;
    if pod.spec.host_network {
        return Ok(Vec::new());
    }
    Ok(policies
        .filter(|policy| {
            let types = &policy.spec.policy_types;
            (types.is_empty() || types.iter().any(|type_| &**type_ == "Ingress"))
                && policy.spec.pod_selector.matches(&pod.metadata.labels)
        })
        .collect())
}

/// Whether NetworkPolicies keep anybody out in this cluster; `None` when nothing says so.
pub fn enforced(snapshot: &Snapshot) -> Option<bool> {
    snapshot.cluster.as_ref().seen().and_then(|cluster| cluster.enforces_network_policies())
}

/// Whether one of the policies lets all of `source` in to the pod's port.
pub fn admits(policies: &[&NetworkPolicy], pod: &Pod, port: u16, source: IpNet) -> bool {
    let rules = || rules(policies).filter(|rule| on_port(rule, pod, port));
    if policies.is_empty() || rules().any(|rule| rule.from.is_empty()) {
        return true;
    }
    // Several blocks may cover the source together.
    let blocks: Vec<IpNet> = rules().flat_map(|rule| whole_blocks(rule, source)).collect();
    IpNet::aggregate(&blocks).iter().any(|block| block.contains(&source))
}

/// Whether the policies may keep another pod of the cluster out: none of them lets everybody in, or every pod.
pub fn may_keep_prober_out(policies: &[&NetworkPolicy], pod: &Pod, port: u16) -> bool {
    let all_pods = |rule: &NetworkPolicyRule| rule.from.is_empty() || rule.from.iter().any(NetworkPolicyPeer::all_pods);
    !policies.is_empty() && !rules(policies).any(|rule| on_port(rule, pod, port) && all_pods(rule))
}

fn rules<'a>(policies: &'a [&'a NetworkPolicy]) -> impl Iterator<Item = &'a NetworkPolicyRule> {
    policies.iter().flat_map(|policy| &policy.spec.ingress)
}

/// The blocks that a rule names and of which it takes nothing out that belongs to `source`.
fn whole_blocks(rule: &NetworkPolicyRule, source: IpNet) -> impl Iterator<Item = IpNet> {
    rule.from.iter().filter_map(|peer| peer.ip_block.as_ref()).filter_map(move |block| {
        let mut holes = block.except.iter().filter_map(|hole| hole.parse::<IpNet>().ok());
        let pierced = holes.any(|hole| hole.contains(&source) || source.contains(&hole));
        block.cidr.parse::<IpNet>().ok().filter(|_| !pierced)
    })
}

fn on_port(rule: &NetworkPolicyRule, pod: &Pod, port: u16) -> bool {
    rule.ports.is_empty() || rule.ports.iter().any(|allowed| matches_port(allowed, pod, port))
}

fn matches_port(allowed: &NetworkPolicyPort, pod: &Pod, port: u16) -> bool {
    if !matches!(&*allowed.protocol, "" | "TCP") {
        return false;
    }
    let port = i32::from(port);
    match &allowed.port {
        None => true,
        Some(PortRef::Number(first)) => *first == port || allowed.end_port.is_some_and(|last| (*first..=last).contains(&port)),
        Some(PortRef::Name(name)) => pod
            .spec
            .containers
            .iter()
            .flat_map(|container| &container.ports)
            .any(|declared| declared.name == *name && declared.container_port == port),
    }
}
