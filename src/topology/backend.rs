//! One Service port behind a load balancer: its pods, its groups and what the health check says of each endpoint.
//!
//! Enters: a [`Topology`] under construction and the reference to a Service port. Leaves: a [`Backend`].
//! Never: takes a health state that is missing for UNHEALTHY, or a group that could not be read for an empty one.

use jiff::Timestamp;

use crate::snapshot::compute::{BackendService, HealthCheck, location, short_name};
use crate::snapshot::kubernetes::{
    BackendConfig, Endpoint, EndpointSlice, Event, Ingress, Pod, PortRef, SYSTEM, Service, ServiceBackendPort,
    ServiceNetworkEndpointGroup, ServicePort,
};
use crate::snapshot::{Observed, Unknown};

use super::class::Class;
use super::{Topology, annotations};

/// Namespace and name of the Service behind which the add-on's default backend runs.
pub const SYSTEM_DEFAULT: (&str, &str) = (SYSTEM, "default-http-backend");

/// Why health is unread where the API answered, but with no state for any endpoint.
pub const NO_HEALTH_STATE: &str = "NoHealthState";

/// Why a backend is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The Ingress names it.
    Routed,
    /// The add-on's own backend for requests that match no rule.
    SystemDefault,
    /// A standalone NEG of the Service that is the target.
    Standalone,
}

/// How the load balancer reaches the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// Pods directly, by network endpoint groups.
    Neg,
    /// Nodes, by instance groups and a node port.
    InstanceGroup,
}

/// What the health check says of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It passes.
    Healthy,
    /// It fails.
    Unhealthy,
    /// It is being taken out.
    Draining,
    /// No result yet, or none was given.
    Unknown,
}

impl State {
    /// The API's word; a word that it does not document counts as no result.
    pub fn parse(word: &str) -> Self {
        match word {
            "HEALTHY" => Self::Healthy,
            "UNHEALTHY" | "TIMEOUT" => Self::Unhealthy,
            "DRAINING" => Self::Draining,
            _ => Self::Unknown,
        }
    }
}

/// An endpoint of a group.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// Address: the pod's in a NEG, the node's in an instance group.
    pub address: Box<str>,
    /// Port.
    pub port: i64,
    /// Name of the node; may be empty.
    pub node: Box<str>,
    /// What the health check says.
    pub state: State,
    /// The pod behind it; `None` in an instance group, or when no pod of the Service has the address.
    pub pod: Option<&'a Pod>,
}

impl Member<'_> {
    /// Its address and port, as one writes them.
    pub fn place(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }
}

/// A group of endpoints in one zone.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Path of the group.
    pub path: String,
    /// Its endpoints, or why they could not be read.
    pub members: Result<Vec<Member<'a>>, Unknown>,
}

impl Group<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        short_name(&self.path)
    }

    /// Its zone.
    pub fn zone(&self) -> &str {
        location(&self.path).unwrap_or_default()
    }
}

/// An endpoint as Kubernetes sees it, with the port that belongs to the Service port.
#[derive(Debug, Clone, Copy)]
pub struct SliceEndpoint<'a> {
    /// The slice it stands in.
    pub slice: &'a EndpointSlice,
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// Its first address, which is the one that the NEG controller reads.
    pub address: &'a str,
    /// The slice's port of the Service port's name; `None` when the slice has no such port.
    pub port: Option<i32>,
    /// The pod behind it, when there is one.
    pub pod: Option<&'a Pod>,
}

/// One Service port behind a load balancer.
#[derive(Debug)]
pub struct Backend<'a> {
    /// `argocd-server:80`, as the Ingress spells it; with its namespace where that is not the target's.
    pub name: String,
    /// Why it is there.
    pub role: Role,
    /// Namespace of the Service.
    pub namespace: &'a str,
    /// Name of the Service.
    pub service_name: &'a str,
    /// The port as the Ingress spells it.
    pub port_ref: PortRef,
    /// The routes that lead to it, as `host/path`.
    pub routes: Vec<String>,
    /// The load balancer has it. Not so where only routes name it that later ones replace: the controller still checks it, and makes
    /// no backend service for it.
    pub served: bool,
    /// The Service.
    pub service: Observed<&'a Service>,
    /// The Service port; `None` when the Service was not seen or has no such port.
    pub port: Option<&'a ServicePort>,
    /// How the load balancer reaches the pods.
    pub kind: GroupKind,
    /// `HTTP`, `HTTPS` or `HTTP2`, as the controller reads the Service's annotation.
    pub protocol: Box<str>,
    /// Name of the NEG of this port; `None` for instance groups, and where the cluster's identity is not known.
    pub neg_name: Option<String>,
    /// Path of the backend service; `None` where its name cannot be known.
    pub backend_service_path: Option<String>,
    /// The backend service.
    pub backend_service: Observed<&'a BackendService>,
    /// The health check.
    pub health_check: Observed<&'a HealthCheck>,
    /// The groups of the backend service (of a standalone NEG: the NEG of each zone), or why they are not known; empty when there is none.
    pub groups: Result<Vec<Group<'a>>, Unknown>,
    /// When the oldest of the groups was read; `None`: with all the rest of the snapshot.
    pub read_at: Option<Timestamp>,
    /// Kubernetes' side of the endpoints has changed since then. Only whoever looks on can tell: a folder never says so.
    pub outdated: bool,
    /// What the NEG controller says of the NEG.
    pub svc_neg: Observed<&'a ServiceNetworkEndpointGroup>,
    /// The BackendConfig that the Service's annotation names for this port; absent also when it names none.
    pub backend_config: Observed<&'a BackendConfig>,
    /// The pods that the Service selects, by name, finished ones included; of a Service without selector those behind its slices.
    pub pods: Result<Vec<&'a Pod>, Unknown>,
    /// The endpoints in its slices.
    pub endpoints: Result<Vec<SliceEndpoint<'a>>, Unknown>,
    /// The events about the Service, oldest first.
    pub service_events: Result<Vec<&'a Event>, Unknown>,
}

/// How an Ingress spells a port: by name when it gives one, else by number.
pub fn port_ref(port: &ServiceBackendPort) -> PortRef {
    if port.name.is_empty() { PortRef::Number(port.number) } else { PortRef::Name(port.name.clone()) }
}

/// The Service port that a reference means.
pub fn find_port<'a>(service: &'a Service, port: &PortRef) -> Option<&'a ServicePort> {
    service.spec.ports.iter().find(|candidate| match port {
        PortRef::Number(number) => candidate.port == *number,
        PortRef::Name(name) => !name.is_empty() && candidate.name == *name,
    })
}

/// A Service port as the routes of an Ingress name it.
pub(super) struct Named<'a> {
    pub(super) service_name: &'a str,
    pub(super) service: Observed<&'a Service>,
    pub(super) port_ref: PortRef,
    pub(super) routes: Vec<String>,
    /// One of the routes stands in the URL map.
    pub(super) counts: bool,
}

/// A backend that the Ingress names.
pub(super) fn routed<'a>(topology: &Topology<'a>, ingress: &'a Ingress, class: Class, named: Named<'a>) -> Backend<'a> {
    let Named { service_name, service, port_ref, routes, counts } = named;
    let name = format!("{service_name}:{port_ref}");
    let seen = service.as_ref().seen().copied();
    let neg = class.regional() || seen.is_some_and(annotations::wants_ingress_neg);
    let kind = if neg { GroupKind::Neg } else { GroupKind::InstanceGroup };
    let namespace = &ingress.metadata.namespace;
    let place = Place { role: Role::Routed, namespace, service_name, class: Some(class), served: counts };
    Backend { routes, ..build(topology, place, name, service, port_ref, kind) }
}

/// The add-on's own backend for requests that match no rule.
pub(super) fn system_default<'a>(topology: &Topology<'a>, class: Class) -> Backend<'a> {
    let (namespace, service_name) = SYSTEM_DEFAULT;
    let service = topology.snapshot.kubernetes.services.get(namespace, service_name);
    let seen = service.as_ref().seen().copied();
    let neg = class.regional() || seen.is_some_and(annotations::wants_ingress_neg);
    let kind = if neg { GroupKind::Neg } else { GroupKind::InstanceGroup };
    let place = Place { role: Role::SystemDefault, namespace, service_name, class: Some(class), served: true };
    build(topology, place, format!("{namespace}/{service_name}:http"), service, PortRef::Name("http".into()), kind)
}

/// The ports of a Service for which it asks for standalone NEGs.
pub(super) fn standalone<'a>(topology: &Topology<'a>, service: &'a Service) -> Vec<Backend<'a>> {
    let Ok(Some(annotation)) = annotations::neg(service) else { return Vec::new() };
    annotation
        .exposed_ports
        .into_keys()
        .map(|port| {
            let meta = &service.metadata;
            let place =
                Place { role: Role::Standalone, namespace: &meta.namespace, service_name: &meta.name, class: None, served: true };
            let name = format!("{}:{port}", meta.name);
            build(topology, place, name, Observed::Present(service), PortRef::Number(port), GroupKind::Neg)
        })
        .collect()
}

/// Where a backend stands.
struct Place<'a> {
    role: Role,
    namespace: &'a str,
    service_name: &'a str,
    class: Option<Class>,
    served: bool,
}

fn build<'a>(
    topology: &Topology<'a>,
    place: Place<'a>,
    name: String,
    service: Observed<&'a Service>,
    port_ref: PortRef,
    kind: GroupKind,
) -> Backend<'a> {
    let kubernetes = &topology.snapshot.kubernetes;
    let Place { role, namespace, service_name, class, served } = place;
    let seen = service.as_ref().seen().copied();
    let port = seen.and_then(|service| find_port(service, &port_ref));
    let neg_name =
        seen.zip(port).filter(|_| kind == GroupKind::Neg).and_then(|(service, port)| neg_name(topology, service, port));
    let backend_service_path = port.and_then(|port| {
        let name = match (kind, class) {
            (GroupKind::InstanceGroup, _) if port.node_port == 0 => None,
            (GroupKind::InstanceGroup, _) => topology.fleet.ids.node_port(port.node_port),
            (GroupKind::Neg, Some(Class::RegionalExternal)) => {
                topology.fleet.ids.regional_external(namespace, service_name, port.port)
            }
            (GroupKind::Neg, Some(_)) => topology.fleet.ids.neg(namespace, service_name, port.port).or_else(|| neg_name.clone()),
            (GroupKind::Neg, None) => None,
        }?;
        Some(format!("{}/backendServices/{name}", topology.scope()))
    });
    let endpoints = endpoints(topology, namespace, service_name, port);
    let pods = match (seen, &endpoints) {
        (Some(service), _) if !service.spec.selector.is_empty() => kubernetes.pods_of(namespace, &service.spec.selector),
        (_, Ok(endpoints)) => kubernetes.pods.readable(namespace).map(|()| {
            let mut pods: Vec<_> = endpoints.iter().filter_map(|endpoint| endpoint.pod).collect();
            pods.sort_by_key(|pod| &pod.metadata.name);
            pods.dedup_by_key(|pod| &pod.metadata.name);
            pods
        }),
        (_, Err(why)) => Err(why.clone()),
    };
    let mut backend = Backend {
        name,
        role,
        namespace,
        service_name,
        routes: Vec::new(),
        served,
        port,
        kind,
        protocol: protocol(seen, port),
        svc_neg: neg_name.as_deref().map_or(Observed::Absent, |name| kubernetes.svc_negs.get(namespace, name)),
        neg_name,
        backend_service: Observed::Absent,
        health_check: Observed::Absent,
        groups: Ok(Vec::new()),
        read_at: None,
        outdated: false,
        backend_config: backend_config(topology, seen, port),
        pods,
        endpoints,
        service_events: seen.map_or_else(|| Ok(Vec::new()), |service| kubernetes.events_of("Service", &service.metadata)),
        service,
        port_ref,
        backend_service_path,
    };
    if served {
        backend.read_compute(topology);
        let groups = backend.groups.as_deref().unwrap_or_default();
        let service = backend.backend_service_path.as_deref().unwrap_or_default();
        backend.read_at = groups.iter().filter_map(|group| topology.snapshot.compute.group_read_at(service, &group.path)).min();
    }
    backend
}

/// The NEG's name: the one that the controller wrote on the Service, else its own name for a standalone NEG, else the scheme's.
fn neg_name(topology: &Topology<'_>, service: &Service, port: &ServicePort) -> Option<String> {
    let number = port.port.to_string();
    if let Some(name) = annotations::neg_status(service).network_endpoint_groups.get(&*number) {
        return Some(name.to_string());
    }
    let custom = annotations::neg(service).ok().flatten().and_then(|annotation| {
        annotation
            .exposed_ports
            .get(&port.port)
            .filter(|exposed| !exposed.name.is_empty())
            .map(|exposed| exposed.name.to_string())
    });
    custom.or_else(|| topology.fleet.ids.neg(&service.metadata.namespace, &service.metadata.name, port.port))
}

fn protocol(service: Option<&Service>, port: Option<&ServicePort>) -> Box<str> {
    let named = service.and_then(annotations::app_protocols).and_then(|(_, protocols)| protocols.ok());
    let protocol = named.zip(port).and_then(|(protocols, port)| protocols.get(&port.name).cloned());
    protocol.filter(|protocol| matches!(&**protocol, "HTTP" | "HTTPS" | "HTTP2")).unwrap_or_else(|| "HTTP".into())
}

fn backend_config<'a>(
    topology: &Topology<'a>,
    service: Option<&Service>,
    port: Option<&ServicePort>,
) -> Observed<&'a BackendConfig> {
    let Some((service, port)) = service.zip(port) else { return Observed::Absent };
    let Some((_, Ok(annotation))) = annotations::backend_config(service) else { return Observed::Absent };
    match annotation.for_port(&port.name, port.port) {
        Some(name) => topology.snapshot.kubernetes.backend_configs.get(&service.metadata.namespace, name),
        None => Observed::Absent,
    }
}

fn endpoints<'a>(
    topology: &Topology<'a>,
    namespace: &str,
    service: &str,
    port: Option<&ServicePort>,
) -> Result<Vec<SliceEndpoint<'a>>, Unknown> {
    let kubernetes = &topology.snapshot.kubernetes;
    let mut endpoints = Vec::new();
    for slice in kubernetes.slices_of(namespace, service)? {
        let slice_port =
            port.and_then(|port| slice.ports.iter().find(|candidate| candidate.name == port.name)).and_then(|port| port.port);
        for endpoint in &slice.endpoints {
            let Some(address) = endpoint.addresses.first() else { continue };
            let pod = endpoint
                .target_ref
                .as_ref()
                .filter(|target| &*target.kind == "Pod")
                .and_then(|target| kubernetes.pods.get(&slice.metadata.namespace, &target.name).seen());
            endpoints.push(SliceEndpoint { slice, endpoint, address, port: slice_port, pod });
        }
    }
    endpoints.sort_by(|a, b| (a.address, a.port, &a.slice.metadata.name).cmp(&(b.address, b.port, &b.slice.metadata.name)));
    Ok(endpoints)
}
