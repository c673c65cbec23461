//! One Service port behind a load balancer: its pods, its groups and what the health check says of each endpoint.
//!
//! Enters: a [`Topology`] under construction and the reference to a Service port. Leaves: a [`Backend`].
//! Never: takes a health state that is missing for UNHEALTHY, or a group that could not be read for an empty one.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::snapshot::compute::{
    BackendService, HealthCheck, HealthStatus, NetworkEndpointGroup, location, normalise, short_name,
};
use crate::snapshot::kubernetes::{
    BackendConfig, Endpoint, EndpointSlice, Event, Ingress, Pod, PortRef, Service, ServiceBackendPort,
    ServiceNetworkEndpointGroup, ServicePort,
};
use crate::snapshot::{Observed, Source, Unknown};

use super::class::Class;
use super::{Topology, annotations, events};

/// Namespace and name of the Service behind which the add-on's default backend runs.
pub const SYSTEM_DEFAULT: (&str, &str) = ("kube-system", "default-http-backend");

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
        if self.address.contains(':') { format!("[{}]:{}", self.address, self.port) } else { format!("{}:{}", self.address, self.port) }
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

impl<'a> Backend<'a> {
    fn read_compute(&mut self, topology: &Topology<'a>) {
        let compute = &topology.snapshot.compute;
        if self.role == Role::Standalone {
            self.groups = self.standalone_groups(topology);
            return;
        }
        if self.port.is_none() {
            if let Observed::Unknown(why) = &self.service {
                self.backend_service = Observed::Unknown(why.clone());
                self.health_check = Observed::Unknown(why.clone());
                self.groups = Err(why.clone());
            }
            return;
        }
        let Some(path) = &self.backend_service_path else {
            if self.kind == GroupKind::InstanceGroup && self.port.is_some_and(|port| port.node_port == 0) {
                return;
            }
            let why = Unknown::not_read(Source::Kubernetes, "configmaps/kube-system/ingress-uid");
            self.backend_service = Observed::Unknown(why.clone());
            self.health_check = Observed::Unknown(why.clone());
            self.groups = Err(why);
            return;
        };
        self.backend_service = compute.get::<BackendService>(path);
        match self.backend_service.as_ref().known() {
            Err(why) => {
                self.health_check = Observed::Unknown(why.clone());
                self.groups = Err(why);
            }
            Ok(None) => {}
            Ok(Some(backend_service)) => {
                if let Some(link) = backend_service.health_checks.first() {
                    self.health_check = compute.get::<HealthCheck>(&normalise(link, topology.project()));
                }
                let groups = backend_service.backends.iter().map(|backend| {
                    let group = normalise(&backend.group, topology.project()).into_owned();
                    let members = self.members(topology, &group, Some(path));
                    Group { path: group, members }
                });
                let mut groups: Vec<_> = groups.collect();
                groups.sort_by(|a, b| a.path.cmp(&b.path));
                self.groups = Ok(groups);
            }
        }
    }

    /// The NEG of each zone: those that the NEG controller lists, and any of that name that Compute has.
    fn standalone_groups(&self, topology: &Topology<'a>) -> Result<Vec<Group<'a>>, Unknown> {
        let Some(name) = &self.neg_name else { return Ok(Vec::new()) };
        let compute = &topology.snapshot.compute;
        if let Some(why) = compute.unread_kind("networkEndpointGroups") {
            return Err(why);
        }
        let listed = self.svc_neg.as_ref().seen().into_iter().flat_map(|neg| &neg.status.network_endpoint_groups);
        let mut paths: Vec<String> = listed.map(|neg| normalise(&neg.self_link, topology.project()).into_owned()).collect();
        let suffix = format!("/networkEndpointGroups/{name}");
        let zones = format!("projects/{}/zones/", topology.project());
        paths.extend(
            compute
                .seen_in_scope::<NetworkEndpointGroup>(&zones)
                .map(|(path, _)| path)
                .filter(|path| path.ends_with(&suffix))
                .map(str::to_owned),
        );
        paths.sort();
        paths.dedup();
        let mut groups = Vec::new();
        for path in paths {
            let members = match compute.get::<NetworkEndpointGroup>(&path) {
                Observed::Present(_) => self.members(topology, &path, None),
                Observed::Absent => continue,
                Observed::Unknown(why) => Err(why),
            };
            groups.push(Group { path, members });
        }
        Ok(groups)
    }

    /// The endpoints of a group with the health that `backend_service` (any, when `None`) finds, by address.
    fn members(&self, topology: &Topology<'a>, group: &str, backend_service: Option<&str>) -> Result<Vec<Member<'a>>, Unknown> {
        let mut members = self.members_listed(topology, group, backend_service)?;
        members.sort_by(|a, b| (&a.address, a.port, &a.node).cmp(&(&b.address, b.port, &b.node)));
        Ok(members)
    }

    fn members_listed(
        &self,
        topology: &Topology<'a>,
        group: &str,
        backend_service: Option<&str>,
    ) -> Result<Vec<Member<'a>>, Unknown> {
        let compute = &topology.snapshot.compute;
        let health = backend_service.map(|path| compute.health_of(path, group));
        if group.contains("/instanceGroups/") {
            let health = health.unwrap_or_else(|| Err(Unknown::not_read(Source::Compute, format!("{group}/getHealth"))))?;
            return Ok(health
                .iter()
                .map(|status| Member {
                    address: status.ip_address.clone(),
                    port: status.port,
                    node: short_name(&status.instance).into(),
                    state: either(&status.health_state, &status.ipv6_health_state),
                    pod: None,
                })
                .collect());
        }
        let health = health.and_then(Result::ok).unwrap_or_default();
        let endpoints = compute.endpoints_of(group)?;
        Ok(endpoints
            .iter()
            .map(|entry| {
                let endpoint = &entry.network_endpoint;
                let listed = entry
                    .healths
                    .iter()
                    .filter(|health| {
                        let of = health.backend_service.as_ref().map_or("", |of| &of.backend_service);
                        backend_service.is_none_or(|path| normalise(of, topology.project()) == path)
                    })
                    .map(|health| either(&health.health_state, &health.ipv6_health_state));
                let of = |status: &&HealthStatus| {
                    let address = (&status.ip_address, &status.ipv6_address);
                    let same = if endpoint.ip_address.is_empty() {
                        *address.1 == endpoint.ipv6_address
                    } else {
                        *address.0 == endpoint.ip_address
                    };
                    same && status.port == endpoint.port
                };
                let confirmed = health.iter().filter(of).map(|status| either(&status.health_state, &status.ipv6_health_state));
                Member {
                    address: if endpoint.ip_address.is_empty() {
                        endpoint.ipv6_address.clone()
                    } else {
                        endpoint.ip_address.clone()
                    },
                    port: endpoint.port,
                    node: endpoint.instance.clone(),
                    // Whoever says HEALTHY is right: of two reads at different moments the better one must not be accused.
                    state: listed.chain(confirmed).min().unwrap_or(State::Unknown),
                    pod: self
                        .pod_at(&endpoint.ip_address, endpoint.port)
                        .or_else(|| self.pod_at(&endpoint.ipv6_address, endpoint.port)),
                }
            })
            .collect())
    }

    /// The pod of this Service at an address; of several on one node's network the one with the port.
    fn pod_at(&self, address: &str, port: i64) -> Option<&'a Pod> {
        // Compute writes IPv6 addresses out, Kubernetes shortens them.
        let address = &*address.parse::<IpAddr>().ok()?.to_string();
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        let first = endpoints.partition_point(|endpoint| endpoint.address < address);
        let here = || endpoints[first..].iter().take_while(|endpoint| endpoint.address == address);
        let on_port = here().filter(|endpoint| endpoint.port.map(i64::from) == Some(port)).find_map(|endpoint| endpoint.pod);
        on_port.or_else(|| here().find_map(|endpoint| endpoint.pod)).or_else(|| {
            // Slices lag behind pods for a moment; a finished pod's address may belong to another one by now.
            if first < endpoints.len() && endpoints[first].address == address {
                return None;
            }
            self.pods.as_deref().unwrap_or_default().iter().copied().find(|pod| !pod.finished() && pod.has_address(address))
        })
    }

    /// All endpoints of all groups that could be read.
    pub fn members_seen(&self) -> impl Iterator<Item = &Member<'a>> {
        self.groups.as_deref().unwrap_or_default().iter().flat_map(|group| group.members.as_deref().unwrap_or_default())
    }

    /// How many endpoints that could be read are in this state.
    pub fn count(&self, state: State) -> usize {
        self.members_seen().filter(|member| member.state == state).count()
    }

    /// The endpoints that fail the health check.
    pub fn unhealthy(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members_seen().filter(|member| member.state == State::Unhealthy)
    }

    /// The health of the endpoints decides something and could not be read: the reason. A backend service that is not there, and one
    /// without endpoints, are read. Beside a healthy endpoint a group that could not be read decides nothing.
    pub fn health_unread(&self) -> Option<Unknown> {
        let groups = match &self.groups {
            Ok(groups) => groups,
            Err(why) => return Some(why.clone()),
        };
        if self.count(State::Healthy) > 0 {
            return None;
        }
        let refused = groups.iter().find_map(|group| group.members.as_ref().err());
        if let Some(why) = refused {
            return Some(why.clone());
        }
        let mut members = self.members_seen().peekable();
        let stateless = members.peek().is_some() && members.all(|member| member.state == State::Unknown);
        stateless.then(|| Unknown {
            source: Source::Compute,
            resource: self.backend_service_path.as_deref().map_or("getHealth".into(), |path| format!("{path}/getHealth").into()),
            reason: NO_HEALTH_STATE.into(),
            message: "the answer holds no healthState".into(),
        })
    }

    /// Every group was read, and none has an endpoint; false also while there is no backend service.
    pub fn groups_empty(&self) -> bool {
        let exists = self.role == Role::Standalone || matches!(self.backend_service, Observed::Present(_));
        exists
            && self.groups.as_ref().is_ok_and(|groups| {
                (self.role != Role::Standalone || !groups.is_empty())
                    && groups.iter().all(|group| group.members.as_ref().is_ok_and(Vec::is_empty))
            })
    }

    /// It has endpoints, every group that has any was read, at least one fails and none passes.
    pub fn none_healthy(&self) -> bool {
        self.health_unread().is_none() && self.count(State::Healthy) == 0 && self.count(State::Unhealthy) > 0
    }

    /// Somebody scaled it to zero or nothing is there to run: no pod that is not finished, and no endpoint in the slices.
    pub fn scaled_to_zero(&self) -> Result<bool, Unknown> {
        let pods = self.pods.as_ref().map_err(Clone::clone)?;
        let endpoints = self.endpoints.as_ref().map_err(Clone::clone)?;
        Ok(endpoints.is_empty() && pods.iter().all(|pod| pod.finished()))
    }

    /// The warnings about the Service that concern this port's NEG and still stand, oldest first.
    pub fn service_warnings(&self) -> Result<Vec<&'a Event>, Unknown> {
        let events = self.service_events.as_ref().map_err(Clone::clone)?;
        let own =
            events.iter().copied().filter(|event| match (&self.neg_name, events::between(&event.message, "NEG \"", "\"")) {
                (Some(neg), Some(named)) => neg == named,
                _ => true,
            });
        Ok(events::standing_on_service(&own.collect::<Vec<_>>(), self.svc_neg.as_ref().seen().copied()))
    }

    /// The port at which the endpoints serve, where they agree on one.
    pub fn endpoint_port(&self) -> Option<i64> {
        let mut ports = self.endpoints.as_deref().unwrap_or_default().iter().filter_map(|endpoint| endpoint.port);
        let first = ports.next()?;
        ports.all(|port| port == first).then_some(i64::from(first))
    }

    /// The health check's question to a pod of this backend: the port to ask it at. `None` when it cannot be put to the pod.
    fn question_port(&self, check: &HealthCheck, endpoint: &SliceEndpoint<'_>) -> Option<u16> {
        let http = check.http()?;
        let fixed = match &*http.port_specification {
            "USE_FIXED_PORT" => http.port,
            // An instance group's check asks the node port, which leads to the endpoint's own.
            _ if self.kind == GroupKind::InstanceGroup => None,
            "" => http.port,
            _ => None,
        };
        let port = match fixed {
            // The nodes are asked: a node port of the Service leads to a port of the pod, any other to nobody that a pod could answer for.
            Some(fixed) if self.kind == GroupKind::InstanceGroup => {
                let service = self.service.as_ref().seen()?;
                let through = service.spec.ports.iter().find(|port| i64::from(port.node_port) == fixed && port.node_port != 0)?;
                endpoint.slice.ports.iter().find(|port| port.name == through.name)?.port.map(i64::from)
            }
            Some(fixed) => Some(fixed),
            None => endpoint.port.map(i64::from),
        };
        port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
    }

    /// What Google's health check asks the pods, one question per endpoint that a pod stands behind.
    pub fn questions(&self) -> Vec<Question<'a>> {
        let Some(check) = self.health_check.as_ref().seen().copied() else { return Vec::new() };
        let Some(http) = check.http() else { return Vec::new() };
        let scheme =
            if &*check.type_ == "HTTP" { crate::snapshot::probe::Scheme::Http } else { crate::snapshot::probe::Scheme::Https };
        // The NEG controller passes IPv6 slices over, unless there is nothing else.
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        let v6 = |endpoint: &&SliceEndpoint<'_>| &*endpoint.slice.address_type == "IPv6";
        let only_v6 = endpoints.iter().all(|endpoint| v6(&endpoint));
        let mut questions: Vec<_> = endpoints
            .iter()
            .filter(|endpoint| only_v6 || !v6(endpoint))
            .filter_map(|endpoint| {
                Some(Question {
                    pod: endpoint.pod?,
                    ip: endpoint.address.parse().ok()?,
                    port: self.question_port(check, endpoint)?,
                    scheme,
                    path: if http.request_path.is_empty() { "/" } else { &http.request_path },
                    host: &http.host,
                    timeout_sec: if check.timeout_sec > 0 { check.timeout_sec } else { 5 },
                })
            })
            .collect();
        questions.dedup_by_key(|question| (question.ip, question.port));
        questions
    }

    /// Since when this member's pod serves: from then on the load balancer may take the rollout's grace. `None` when nothing says.
    pub fn serving_since(member: &Member<'_>) -> Option<Timestamp> {
        member.pod.and_then(Pod::serving_since)
    }
}

/// A question that the health check asks a pod.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// HTTP or HTTPS.
    pub scheme: crate::snapshot::probe::Scheme,
    /// Path.
    pub path: &'a str,
    /// Host header; empty means the address.
    pub host: &'a str,
    /// Seconds until it counts as failed.
    pub timeout_sec: i64,
}

fn either(v4: &str, v6: &str) -> State {
    State::parse(v4).min(State::parse(v6))
}
