//! Which nodes GKE's controllers use, and the zones they make.
//!
//! Enters: the nodes. Leaves: usable nodes and zones. Never: takes nodes that were not read for none.
//! Source: ingress-gce `pkg/utils/zonegetter` (`CandidateNodesFilter`).

use std::collections::BTreeSet;

use crate::snapshot::Unknown;
use crate::snapshot::compute::NetworkEndpointGroup;
use crate::snapshot::kubernetes::Node;

use super::Topology;

/// A node with one of these labels takes no part in load balancing.
pub const EXCLUDING_LABELS: [&str; 3] = [
    "node-role.kubernetes.io/master",
    "node.kubernetes.io/exclude-from-external-load-balancers",
    "alpha.service-controller.kubernetes.io/exclude-balancer",
];

/// The autoscaler is about to delete the node.
pub const TO_BE_DELETED_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// The node belongs to another subnetwork than the cluster's own; its endpoints go to groups of another name.
pub const SUBNET_LABEL: &str = "cloud.google.com/gke-node-pool-subnet";

/// Why the controllers do not use a node; `None` when they do.
pub fn unusable(node: &Node) -> Option<String> {
    if let Some(label) = EXCLUDING_LABELS.iter().find(|label| node.metadata.labels.contains_key(**label)) {
        return Some(format!("label {label}"));
    }
    if node.spec.taints.iter().any(|taint| &*taint.key == TO_BE_DELETED_TAINT) {
        return Some(format!("taint {TO_BE_DELETED_TAINT}"));
    }
    if node.ready() {
        return None;
    }
    let ready = node.status.conditions.iter().find(|condition| &*condition.type_ == "Ready");
    Some(ready.map_or_else(|| "no condition Ready".to_owned(), |ready| format!("Ready is {} ({})", ready.status, ready.reason)))
}

/// The node belongs to another subnetwork than the cluster's own.
pub fn elsewhere(node: &Node) -> bool {
    node.metadata.labels.get(SUBNET_LABEL).is_some_and(|subnet| !subnet.is_empty())
}

impl<'a> Topology<'a> {
    /// The nodes that the controllers use, by name.
    pub fn usable_nodes(&self) -> Result<Vec<&'a Node>, Unknown> {
        Ok(self.snapshot.kubernetes.nodes.all()?.filter(|node| unusable(node).is_none()).collect())
    }

    /// The zones in which a network endpoint group is due: those that have had a usable node for longer than a group takes to be made.
    pub fn zones_due(&self) -> Result<BTreeSet<&'a str>, Unknown> {
        let settled = |node: &&Node| {
            let ready = node.status.conditions.iter().find(|condition| &*condition.type_ == "Ready");
            let since = ready.and_then(|ready| ready.last_transition_time).max(node.metadata.creation_timestamp);
            self.lasted_when_listed::<NetworkEndpointGroup>(since, self.grace.neg_creation)
        };
        let nodes = self.usable_nodes()?.into_iter().filter(|node| !elsewhere(node)).filter(settled);
        Ok(nodes.filter_map(|node| Some(node.provider()?.1)).collect())
    }
}
