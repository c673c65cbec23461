//! Neighbours that tell what a target itself does not: that the controller runs, and what the cluster is called.
//!
//! Enters: a [`Topology`]. Leaves: names of objects to be kept. Never: names more of them than the facts need.

use crate::snapshot::Snapshot;
use crate::snapshot::kubernetes::Ingress;
use crate::topology::addon::{LEASES, Life};
use crate::topology::{Fleet, TargetRef, Topology, annotations};

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
    let kubernetes = &topology.snapshot.kubernetes;
    let mut one = Snapshot { meta: topology.snapshot.meta.clone(), ..Snapshot::default() };
    one.kubernetes.ingress_classes = kubernetes.ingress_classes.clone();
    one.kubernetes.events = kubernetes.events.clone();
    let (mut has_run, mut last) = (None, None);
    for ingress in kubernetes.ingresses.iter() {
        let place = key(&ingress.metadata.namespace, &ingress.metadata.name);
        one.kubernetes.ingresses.clear();
        one.kubernetes.insert(ingress.clone());
        let alone = Fleet::of(&one);
        if has_run.is_none() && alone.controller_has_run {
            has_run = Some(place.clone());
        }
        if alone.last_heartbeat > last.as_ref().map(|(time, _)| *time) {
            last = alone.last_heartbeat.map(|time| (time, place));
        }
    }
    has_run.into_iter().chain(last.map(|(_, place)| place)).collect()
}
