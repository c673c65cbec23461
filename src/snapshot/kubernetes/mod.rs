//! Kubernetes objects with the indexes that a diagnosis walks.
//!
//! Enters: slim objects one by one, in any order, from a watch or a folder. Leaves: lookups with three values.
//! Never: decides what a missing object means; never forgets that an object was there but could not be decoded.

mod cluster;
mod collection;
mod gke;
mod ingress;
pub(crate) mod meta;
mod pod;
mod service;

pub use cluster::{
    ConfigMap, Event, INGRESS_UID, IpBlock, LEASES, LabelSelector, Lease, Namespace, NetworkPolicy, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicyRule, Node, ObjectReference, SYSTEM,
};
pub use collection::{Collection, Index};
pub use gke::{
    BackendConfig, BackendConfigSpec, DomainStatus, FrontendConfig, HealthCheckConfig, ManagedCertificate, NegReference,
    SVC_NEG_SERVICE_LABEL, ServiceNetworkEndpointGroup,
};
pub use ingress::{
    HttpPath, Ingress, IngressBackend, IngressClass, IngressRule, LoadBalancerIngress, ServiceBackend, ServiceBackendPort,
};
pub use meta::{Kind, ObjectMeta, OwnerReference, Pairs, PortRef};
pub use pod::{
    Condition, Container, ContainerPort, ContainerStatus, Deployment, HttpGet, NEG_READINESS_GATE, Pod, ReadinessProbe,
    StatefulSet, WorkloadSpec,
};
pub use service::{Endpoint, EndpointPort, EndpointSlice, SERVICE_NAME_LABEL, Service, ServicePort};

use std::sync::Arc;

use super::observed::{Source, Unknown};

/// Every kind that is read, each in its collection.
#[derive(Debug, Clone, Default)]
pub struct Kubernetes {
    /// Ingresses of any class.
    pub ingresses: Collection<Ingress>,
    /// IngressClasses.
    pub ingress_classes: Collection<IngressClass>,
    /// Services.
    pub services: Collection<Service>,
    /// EndpointSlices, found by their Service.
    pub endpoint_slices: Collection<EndpointSlice>,
    /// Pods, found by their labels.
    pub pods: Collection<Pod>,
    /// Events of GKE's load balancing controllers, found by the object they are about.
    pub events: Collection<Event>,
    /// Nodes.
    pub nodes: Collection<Node>,
    /// NetworkPolicies.
    pub network_policies: Collection<NetworkPolicy>,
    /// Leases of kube-system.
    pub leases: Collection<Lease>,
    /// Deployments.
    pub deployments: Collection<Deployment>,
    /// StatefulSets.
    pub stateful_sets: Collection<StatefulSet>,
    /// BackendConfigs.
    pub backend_configs: Collection<BackendConfig>,
    /// FrontendConfigs.
    pub frontend_configs: Collection<FrontendConfig>,
    /// ManagedCertificates.
    pub managed_certificates: Collection<ManagedCertificate>,
    /// ServiceNetworkEndpointGroups, found by their Service.
    pub svc_negs: Collection<ServiceNetworkEndpointGroup>,
    /// `kube-system/ingress-uid` alone.
    pub config_maps: Collection<ConfigMap>,
    /// `kube-system` alone matters.
    pub namespaces: Collection<Namespace>,
}

/// Runs `$body` for each collection of a [`Kubernetes`], bound to `$name`, borrowed as `[&]` or `[&mut]` says.
macro_rules! each_collection {
    ([$($borrow:tt)*] $kubernetes:expr, $name:ident => $body:expr) => {
        each_collection!(@ [$($borrow)*] $kubernetes, $name => $body,
            ingresses, ingress_classes, services, endpoint_slices, pods, events, nodes, network_policies, leases, deployments,
            stateful_sets, backend_configs, frontend_configs, managed_certificates, svc_negs, config_maps, namespaces)
    };
    (@ $borrow:tt $kubernetes:expr, $name:ident => $body:expr, $($field:ident),*) => {
        $({
            let $name = each_collection!(= $borrow $kubernetes, $field);
            $body
        })*
    };
    (= [$($borrow:tt)*] $kubernetes:expr, $field:ident) => { $($borrow)* $kubernetes.$field };
}

/// A kind that has a collection in [`Kubernetes`].
pub trait Stored: Kind + Index {
    /// Its collection.
    fn collection(kubernetes: &mut Kubernetes) -> &mut Collection<Self>;
}

macro_rules! stored {
    ($($type:ty => $field:ident),* $(,)?) => {
        $(impl Stored for $type {
            fn collection(kubernetes: &mut Kubernetes) -> &mut Collection<Self> {
                &mut kubernetes.$field
            }
        })*
    };
}
stored! {
    Ingress => ingresses, IngressClass => ingress_classes, Service => services, EndpointSlice => endpoint_slices, Pod => pods, Event => events, Node => nodes,
    NetworkPolicy => network_policies, Lease => leases, Deployment => deployments, StatefulSet => stateful_sets,
    BackendConfig => backend_configs, FrontendConfig => frontend_configs, ManagedCertificate => managed_certificates,
    ServiceNetworkEndpointGroup => svc_negs, ConfigMap => config_maps, Namespace => namespaces,
}

/// Labels that are different on almost every pod: not worth an index entry.
const UNIQUE_LABELS: [&str; 4] =
    ["pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"];

fn pair(key: &str, value: &str) -> Box<str> {
    format!("{key}={value}").into()
}

macro_rules! unindexed {
    ($($type:ty),*) => { $(impl Index for $type {})* };
}
unindexed!(
    Ingress,
    IngressClass,
    Service,
    Node,
    NetworkPolicy,
    Lease,
    Deployment,
    StatefulSet,
    BackendConfig,
    FrontendConfig,
    ManagedCertificate,
    ConfigMap,
    Namespace
);

impl Index for EndpointSlice {
    fn terms(&self) -> Vec<Box<str>> {
        self.service().map(Into::into).into_iter().collect()
    }
}

impl Index for ServiceNetworkEndpointGroup {
    fn terms(&self) -> Vec<Box<str>> {
        self.service().map(Into::into).into_iter().collect()
    }
}

impl Index for Pod {
    fn terms(&self) -> Vec<Box<str>> {
        self.metadata
            .labels
            .iter()
            .filter(|(key, _)| !UNIQUE_LABELS.contains(&&***key))
            .map(|(key, value)| pair(key, value))
            .collect()
    }
}

impl Index for Event {
    fn terms(&self) -> Vec<Box<str>> {
        vec![format!("{}/{}", self.object.kind, self.object.name).into()]
    }
}

impl Kubernetes {
    /// The slices of a Service, by name.
    pub fn slices_of(&self, namespace: &str, service: &str) -> Result<Vec<&EndpointSlice>, Unknown> {
        self.endpoint_slices.find(namespace, service)
    }

    /// The ServiceNetworkEndpointGroups of a Service, by name.
    pub fn svc_negs_of(&self, namespace: &str, service: &str) -> Result<Vec<&ServiceNetworkEndpointGroup>, Unknown> {
        self.svc_negs.find(namespace, service)
    }

    /// The pods of a namespace that carry all of the pairs, by name; an empty selector selects none.
    pub fn pods_of(&self, namespace: &str, selector: &Pairs) -> Result<Vec<&Pod>, Unknown> {
        if selector.is_empty() {
            return self.pods.readable(namespace).map(|()| Vec::new());
        }
        let rarest = selector
            .iter()
            .filter(|(key, _)| !UNIQUE_LABELS.contains(&&***key))
            .map(|(key, value)| pair(key, value))
            .min_by_key(|term| self.pods.count(namespace, term));
        let mut pods = match rarest {
            Some(term) => self.pods.find(namespace, &term)?,
            None => self.pods.in_namespace(namespace)?.collect(),
        };
        pods.retain(|pod| selector.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value)));
        Ok(pods)
    }

    /// The events about one incarnation of an object, oldest first.
    pub fn events_of(&self, kind: &str, meta: &ObjectMeta) -> Result<Vec<&Event>, Unknown> {
        let mut events = self.events.find(&meta.namespace, &format!("{kind}/{}", meta.name))?;
        events.retain(|event| {
            event.relevant() && (event.object.uid.is_empty() || meta.uid.is_empty() || event.object.uid == meta.uid)
        });
        events.sort_by(|a, b| (a.last, a.first, &a.metadata.name).cmp(&(b.last, b.first, &b.metadata.name)));
        Ok(events)
    }

    /// Puts an object in its collection, in place of an earlier version.
    pub fn insert<K: Stored>(&mut self, object: K) {
        K::collection(self).insert(object);
    }

    /// Decodes a JSON object of whatever kind and puts it in its collection. A kind that is not read is passed over; an object that
    /// cannot be decoded is remembered as such and returned as an error with its kind and name.
    pub fn insert_json(&mut self, object: serde_json::Value) -> Result<(), Malformed> {
        let text = |pointer: &str| object.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let (kind, api_version) = (text("/kind"), text("/apiVersion"));
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let mut object = Some(object);
        let mut result = Ok(());
        each_collection!([&mut] self, collection => {
            if collection.is_kind(&kind, group)
                && let Some(object) = object.take()
                && let Err(message) = collection.insert_json(object, &namespace, &name)
            {
                result = Err(Malformed { kind: kind.clone(), namespace: namespace.clone(), name: name.clone(), message });
            }
        });
        result
    }

    /// A JSON object without the fields that no rule reads, what kind it is apart; `None` for a kind that is not read, and for an object
    /// that cannot be decoded.
    pub fn known_fields(object: &serde_json::Value) -> Option<serde_json::Value> {
        let text = |key: &str| object.get(key).and_then(|value| value.as_str()).unwrap_or_default();
        let (kind, api_version) = (text("kind"), text("apiVersion"));
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let mut known = None;
        let kinds = Self::default();
        each_collection!([&] kinds, collection => if collection.is_kind(kind, group) {
            known = collection.known_fields(object);
        });
        let mut known = known?;
        known["apiVersion"] = api_version.into();
        known["kind"] = kind.into();
        Some(known)
    }

    /// Marks a whole kind as unreadable, by its resource name with or without the group; false when no such kind is read.
    pub fn mark_unread(&mut self, resource: &str, reason: &str, message: &str) -> bool {
        let why = Unknown::new(Source::Kubernetes, resource, reason, message);
        let mut found = false;
        each_collection!([&mut] self, collection => if collection.is_resource(resource) {
            collection.set_unread(Some(why.clone()));
            found = true;
        });
        found
    }

    /// Takes every object of a kind out, by its resource name.
    pub fn forget(&mut self, resource: &str) {
        each_collection!([&mut] self, collection => if collection.is_resource(resource) {
            collection.clear();
        });
    }

    /// The kinds that were not read so far and that somebody looked for: what a diagnosis needs beyond what it was given.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        each_collection!([&] self, collection => missed.extend(collection.missed()));
        missed
    }

    /// The kinds that could not be read.
    pub fn unread(&self) -> Vec<Unknown> {
        let mut unread = Vec::new();
        each_collection!([&] self, collection => unread.extend(collection.unread().cloned()));
        unread
    }
}

/// An object that could not be decoded; ordered by kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{kind} {namespace}/{name} is passed over, it cannot be understood: {message}")]
pub struct Malformed {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub message: String,
}

/// Shared, so that a reader may keep an object while the collection moves on.
pub type Shared<T> = Arc<T>;
