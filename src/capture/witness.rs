//! Neighbours that tell what a target itself does not: that the controller runs, and what the cluster is called.
//!
//! Enters: a [`Topology`]. Leaves: names of objects to be kept. Never: names more of them than the facts need.

use crate::snapshot::Snapshot;
use crate::snapshot::kubernetes::Ingress;
use crate::topology::addon::{LEASES, Life};
use crate::topology::{TargetRef, Topology, annotations};

use super::kept::{Key, key};
use super::narrow::reference;

/// Who tells the cluster's uid where the controller's own ConfigMap does not.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    pub(super) ingress: Option<TargetRef>,
    pub(super) neg: Option<Key>,
}

/// An Ingress and a ServiceNetworkEndpointGroup in whose names the cluster's uid stands.
pub(super) fn of_identity(snapshot: &Snapshot) -> Identity {
    let named = |ingress: &&Ingress| annotations::backends(ingress).keys().any(|name| name.starts_with("k8s-be-"));
    let neg = snapshot.kubernetes.svc_negs.iter().find(|neg| neg.metadata.name.starts_with("k8s1-"));
    Identity {
        ingress: snapshot.kubernetes.ingresses.iter().find(named).map(reference),
        neg: neg.map(|neg| key(&neg.metadata.namespace, &neg.metadata.name)),
    }
}

/// Where the controller's Lease does not show it alive, what any Ingress shows of it matters: one that it has run on, and the one that it
/// was last seen on.
pub(super) fn of_controller(topology: &Topology<'_>) -> Vec<Key> {
    if topology.ingress().is_none() || matches!(topology.lease(LEASES[0]), Ok(Life::Fresh | Life::Absent)) {
        return Vec::new();
    }
    let fleet = topology.fleet;
    let beat = fleet.last_heartbeat.as_ref().map(|(_, on)| on);
    fleet.controller_ran_on.iter().chain(beat).map(|(namespace, name)| key(namespace, name)).collect()
}
