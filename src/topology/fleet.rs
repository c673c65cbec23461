//! What only the neighbours of a target tell: the cluster's identities, signs of life of the controllers, names claimed twice.
//!
//! Enters: a [`Snapshot`]. Leaves: a [`Fleet`], made once for all targets of a pass. Never: copies an object.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::snapshot::kubernetes::{INGRESS_UID, Ingress, SYSTEM, Service};
use crate::snapshot::{Snapshot, Unknown};

use super::annotations::{self, keys};
use super::class::{self, Class};
use super::naming::{ClusterIds, cluster_uid};
use super::{TargetKind, TargetRef, events};

/// `namespace` and `name`.
pub type Key = (Box<str>, Box<str>);

/// What only the neighbours of a target tell.
#[derive(Debug, Default)]
pub struct Fleet {
    /// The identities in the names of Compute resources.
    pub ids: ClusterIds,
    /// The first handled Ingress that carries the controller's finalizer, annotation or an event of it: it has run here once.
    pub controller_ran_on: Option<Key>,
    /// The latest heartbeat or sync event on any handled Ingress, and on which.
    pub last_heartbeat: Option<(Timestamp, Key)>,
    /// Why the events could not be read, if they could not.
    pub events_unread: Option<Unknown>,
    /// The handled Ingresses that name a reserved address, by the address's name and whether the class is regional.
    pub static_addresses: BTreeMap<(Box<str>, bool), Vec<Key>>,
    /// Whether some handled Ingress is internal or regional external.
    pub any_regional: bool,
    /// The Services that a handled Ingress routes to.
    routed: BTreeSet<Key>,
    /// The backend services that use a group, by the group's path.
    pub users_of_group: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// Everything that gets a diagnosis.
    pub targets: Vec<TargetRef>,
}

impl Fleet {
    /// Looks at all Ingresses and Services once.
    pub fn of(snapshot: &Snapshot) -> Self {
        let kubernetes = &snapshot.kubernetes;
        let mut fleet = Self { events_unread: kubernetes.events.unread().cloned(), ..Self::default() };
        fleet.ids = ids(snapshot);
        for ingress in kubernetes.ingresses.iter() {
            let class = class::class_of(ingress, kubernetes);
            if class.diagnosed() {
                fleet.targets.push(target(TargetKind::Ingress, &ingress.metadata.namespace, &ingress.metadata.name));
            }
            if class.handled() {
                fleet.add_handled(snapshot, ingress, class);
            }
        }
        let mut standalone = false;
        for service in kubernetes.services.iter() {
            if fleet.is_standalone(service) {
                standalone = true;
                fleet.targets.push(target(TargetKind::Service, &service.metadata.namespace, &service.metadata.name));
            }
        }
        if standalone {
            for (path, backend_service) in snapshot.compute.backend_services.iter() {
                for backend in &backend_service.backends {
                    let group = crate::snapshot::compute::normalise(&backend.group, &snapshot.meta.project).into();
                    fleet.users_of_group.entry(group).or_default().push(path.into());
                }
            }
        }
        fleet
    }

    fn add_handled(&mut self, snapshot: &Snapshot, ingress: &Ingress, class: Class) {
        let namespace = &ingress.metadata.namespace;
        self.any_regional |= class.regional();
        self.add_signs_of_life(snapshot, ingress);
        let regional = ingress.metadata.annotation(keys::REGIONAL_STATIC_IP);
        if let Some(name) = regional.or_else(|| ingress.metadata.annotation(keys::GLOBAL_STATIC_IP)) {
            self.static_addresses.entry((name.into(), class.regional())).or_default().push(key(ingress));
        }
        let paths = ingress.spec.rules.iter().filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
        let backends = paths.map(|path| &path.backend).chain(&ingress.spec.default_backend);
        for service in backends.filter_map(|backend| backend.service.as_ref()) {
            self.routed.insert((namespace.clone(), service.name.clone()));
        }
    }

    fn add_signs_of_life(&mut self, snapshot: &Snapshot, ingress: &Ingress) {
        let mut has_run = class::has_finalizer(ingress) || ingress.metadata.annotation(keys::URL_MAP).is_some();
        let mut beat = None;
        for event in snapshot.kubernetes.events_of("Ingress", &ingress.metadata).unwrap_or_default() {
            if matches!(&*event.reason, "Sync" | "Translate" | "IPChanged") {
                has_run |= events::is_heartbeat(event) || event.is_warning() || events::is_ingress_success(event);
                beat = beat.max(event.last);
            }
        }
        if has_run && self.controller_ran_on.is_none() {
            self.controller_ran_on = Some(key(ingress));
        }
        if let Some(beat) = beat.filter(|beat| self.last_heartbeat.as_ref().is_none_or(|(last, _)| last < beat)) {
            self.last_heartbeat = Some((beat, key(ingress)));
        }
    }

    /// The latest heartbeat or sync event on any handled Ingress.
    pub fn last_heartbeat_at(&self) -> Option<Timestamp> {
        self.last_heartbeat.as_ref().map(|(time, _)| *time)
    }

    /// A Service with a standalone NEG that no handled Ingress routes to: it gets a diagnosis of its own.
    pub fn is_standalone(&self, service: &Service) -> bool {
        let key = (service.metadata.namespace.clone(), service.metadata.name.clone());
        !self.routed.contains(&key)
            && matches!(annotations::neg(service), Ok(Some(annotation)) if !annotation.exposed_ports.is_empty())
    }
}

fn key(ingress: &Ingress) -> Key {
    (ingress.metadata.namespace.clone(), ingress.metadata.name.clone())
}

fn target(kind: TargetKind, namespace: &str, name: &str) -> TargetRef {
    TargetRef { kind, namespace: namespace.into(), name: name.into() }
}

/// The identities: from the controller's own ConfigMap, else from the names that it wrote on any Ingress.
fn ids(snapshot: &Snapshot) -> ClusterIds {
    let kubernetes = &snapshot.kubernetes;
    let config = kubernetes.config_maps.get(SYSTEM, INGRESS_UID).seen();
    let value = |key: &str| config.and_then(|config| config.data.get(key)).map(|uid| Box::<str>::from(cluster_uid(uid)));
    let from_names = || {
        kubernetes.ingresses.iter().find_map(|ingress| {
            annotations::backends(ingress)
                .keys()
                .find_map(|name| name.strip_prefix("k8s-be-")?.split_once("--").map(|(_, uid)| uid.into()))
        })
    };
    let from_negs = || {
        kubernetes.svc_negs.iter().find_map(|neg| {
            let uid8 = neg.metadata.name.strip_prefix("k8s1-")?.split('-').next()?;
            (uid8.len() == 8).then(|| uid8.into())
        })
    };
    ClusterIds {
        uid: value("uid").or_else(from_names),
        short_uid: from_negs(),
        firewall: value("provider-uid"),
        kube_system: kubernetes.namespaces.get("", SYSTEM).seen().map(|namespace| namespace.metadata.uid.clone()),
    }
}
