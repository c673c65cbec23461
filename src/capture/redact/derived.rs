//! Names that GKE derives from others, with hashes in them: what it would derive from the new names.
//!
//! Enters: what a [`Snapshot`] holds. Leaves: new names by old ones. Never: invents one that GKE's naming would not give.

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::Snapshot;
use crate::topology::Fleet;
use crate::topology::naming::ClusterIds;

use super::rewrite::Rewriter;

/// The new names by the old ones.
pub(super) fn names(snapshot: &Snapshot, rewriter: &Rewriter) -> BTreeMap<String, String> {
    let old = Fleet::of(snapshot).ids;
    let name = |text: &Option<Box<str>>| text.as_deref().map(|text| rewriter.name(text).into());
    let new = ClusterIds {
        uid: name(&old.uid),
        short_uid: name(&old.short_uid),
        firewall: name(&old.firewall),
        kube_system: name(&old.kube_system),
    };
    let mut names = BTreeMap::new();
    for (namespace, service, port) in ports(snapshot) {
        let (new_namespace, new_service) = (rewriter.name(&namespace), rewriter.name(&service));
        add(&mut names, old.neg(&namespace, &service, port), new.neg(&new_namespace, &new_service, port));
        let regional = new.regional_external(&new_namespace, &new_service, port);
        add(&mut names, old.regional_external(&namespace, &service, port), regional);
    }
    for ingress in snapshot.kubernetes.ingresses.iter() {
        let (namespace, ingress) = (&*ingress.metadata.namespace, &*ingress.metadata.name);
        let (new_namespace, new_ingress) = (rewriter.name(namespace), rewriter.name(ingress));
        add(&mut names, old.load_balancer_v2(namespace, ingress), new.load_balancer_v2(&new_namespace, &new_ingress));
        add(&mut names, old.load_balancer_v1(namespace, ingress), new.load_balancer_v1(&new_namespace, &new_ingress));
        for https in [false, true] {
            let pairs = old.forwarding_rules(namespace, ingress, https).into_iter();
            let pairs = pairs.zip(new.forwarding_rules(&new_namespace, &new_ingress, https));
            pairs.for_each(|(old, new)| add(&mut names, Some(old), Some(new)));
        }
    }
    names
}

fn add(names: &mut BTreeMap<String, String>, old: Option<String>, new: Option<String>) {
    if let (Some(old), Some(new)) = (old, new) {
        names.insert(old, new);
    }
}

/// Every Service port that is there or that an Ingress names.
fn ports(snapshot: &Snapshot) -> BTreeSet<(String, String, i32)> {
    let mut ports = BTreeSet::new();
    for service in snapshot.kubernetes.services.iter() {
        let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
        ports.extend(service.spec.ports.iter().map(|port| (namespace.to_string(), name.to_string(), port.port)));
    }
    for ingress in snapshot.kubernetes.ingresses.iter() {
        let paths = ingress.spec.rules.iter().filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
        let backends = paths.map(|path| &path.backend).chain(&ingress.spec.default_backend);
        let named = backends.filter_map(|backend| backend.service.as_ref());
        ports.extend(named.map(|named| (ingress.metadata.namespace.to_string(), named.name.to_string(), named.port.number)));
    }
    ports
}
