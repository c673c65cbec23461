//! What a narrowed recording keeps.
//!
//! Enters: the topologies of the targets. Leaves: for each object, resource and answer of a recording, whether it is kept.
//! Never: changes what it keeps.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::snapshot::compute::{normalise, short_name};
use crate::snapshot::kubernetes::{INGRESS_UID, Ingress, SERVICE_NAME_LABEL, SVC_NEG_SERVICE_LABEL, SYSTEM};
use crate::snapshot::{RecordedCompute, Recording};
use crate::topology::annotations::{self, keys};
use crate::topology::backend::SYSTEM_DEFAULT;
use crate::topology::{Backend, Protocol, TargetKind, TargetRef, Topology};

/// Namespace and name.
pub(super) type Key = (String, String);

/// Kinds that are kept whole in the namespaces of the targets: small, and looked at together.
const SETTINGS: [&str; 4] = ["NetworkPolicy", "BackendConfig", "FrontendConfig", "ManagedCertificate"];

/// Resources that are kept as they were, and whose links are not followed.
const SHARED: [&str; 2] = ["firewalls", "subnetworks"];

/// What is kept.
#[derive(Default)]
pub(super) struct Kept<'a> {
    /// A namespace of which every object is kept.
    whole: Option<&'a str>,
    /// A ServiceNetworkEndpointGroup that tells the cluster's identity where nothing else does.
    identity: Option<Key>,
    /// The namespaces of the targets and of their Services.
    namespaces: BTreeSet<String>,
    /// Namespaces in which a Service has no pods: what else is there tells why.
    searched: BTreeSet<String>,
    /// The Ingresses.
    pub(super) ingresses: BTreeSet<Key>,
    services: BTreeSet<Key>,
    pods: BTreeSet<Key>,
    /// Names of objects that are not where they are looked for, but perhaps elsewhere.
    sought: BTreeSet<String>,
    /// Node ports at which a health check may mean another Service.
    node_ports: BTreeSet<i64>,
    /// Names of Compute resources.
    names: BTreeSet<String>,
    /// Paths of groups of endpoints.
    groups: BTreeSet<String>,
    /// Addresses at which the targets listen, or want to.
    addresses: BTreeSet<String>,
}

pub(super) fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

impl<'a> Kept<'a> {
    pub(super) fn new(whole: Option<&'a str>, identity: Option<Key>) -> Self {
        let services = [key(SYSTEM_DEFAULT.0, SYSTEM_DEFAULT.1)].into();
        // The add-on lives there: every diagnosis looks into it.
        let namespaces = [SYSTEM.to_owned()].into_iter().chain(whole.map(str::to_owned)).collect();
        Self { whole, identity, services, namespaces, ..Self::default() }
    }

    /// Keeps the object of a target.
    pub(super) fn name(&mut self, target: &TargetRef) {
        self.namespaces.insert(target.namespace.to_string());
        let place = key(&target.namespace, &target.name);
        match target.kind {
            TargetKind::Ingress => self.ingresses.insert(place),
            TargetKind::Service => self.services.insert(place),
        };
    }

    /// Keeps what the diagnosis of a target reads.
    pub(super) fn add(&mut self, topology: &Topology<'_>) {
        for backend in &topology.backends {
            self.add_backend(topology, backend);
        }
        let Some(ingress) = topology.ingress() else { return };
        self.add_names(topology, ingress);
        self.add_neighbours(topology, ingress);
        if let Some((name, config)) = topology.frontend_config() {
            self.sought.extend(config.is_absent().then(|| name.to_owned()));
        }
    }

    fn add_backend(&mut self, topology: &Topology<'_>, backend: &Backend<'_>) {
        let own = key(backend.namespace, backend.service_name);
        self.namespaces.insert(own.0.clone());
        self.sought.extend(backend.service.is_absent().then(|| own.1.clone()));
        let pods = backend.pods.as_deref().unwrap_or_default().iter().copied();
        let behind = backend.endpoints.as_deref().unwrap_or_default().iter().filter_map(|endpoint| endpoint.pod);
        self.pods.extend(pods.chain(behind).map(|pod| key(&pod.metadata.namespace, &pod.metadata.name)));
        let service = backend.service.as_ref().seen();
        let selects = service.is_some_and(|service| !service.spec.selector.is_empty());
        if service.is_some() && (!selects || backend.pods.as_ref().is_ok_and(Vec::is_empty)) {
            self.searched.insert(own.0.clone());
        }
        let named = service.and_then(|service| annotations::backend_config(service)?.1.ok());
        let named = named.into_iter().flat_map(|named| named.ports.into_values().chain([named.default]));
        let configs = &topology.snapshot.kubernetes.backend_configs;
        self.sought.extend(named.filter(|name| configs.get(backend.namespace, name).is_absent()).map(String::from));
        if let Some(check) = backend.health_check.as_ref().seen() {
            self.node_ports.extend(check.asked_port().and_then(|asked| asked.number).filter(|port| *port != 0));
        }
        self.names.extend(backend.neg_name.clone());
        self.names.extend(backend.backend_service_path.as_deref().map(|path| short_name(path).to_owned()));
        self.groups.extend(backend.groups.as_deref().unwrap_or_default().iter().map(|group| group.path.clone()));
        self.groups.extend(backend.negs(topology).unwrap_or_default().into_iter().map(|neg| neg.path));
        self.services.insert(own);
    }

    /// Names and addresses that the Ingress, its certificates and its forwarding rules tell.
    fn add_names(&mut self, topology: &Topology<'_>, ingress: &Ingress) {
        let meta = topology.meta();
        let written = keys::WRITTEN.into_iter().chain([keys::GLOBAL_STATIC_IP, keys::REGIONAL_STATIC_IP, keys::PRE_SHARED_CERT]);
        let written = written.filter_map(|key| meta.annotation(key)).flat_map(|names| names.split(','));
        self.names.extend(written.map(|name| name.trim().to_owned()));
        self.names.extend(annotations::backends(ingress).into_keys().map(String::from));
        let certificates = topology.snapshot.kubernetes.managed_certificates.iter();
        let certificates = certificates.filter(|certificate| certificate.metadata.namespace == meta.namespace);
        self.names.extend(certificates.map(|certificate| certificate.status.certificate_name.to_string()));
        self.names.remove("");
        for protocol in [Protocol::Http, Protocol::Https] {
            if let Some((path, rule)) = topology.forwarding_rule(protocol).seen() {
                self.names.insert(short_name(&path).to_owned());
                self.addresses.insert(rule.ip_address.to_string());
            }
        }
        let reserved = topology.snapshot.compute.addresses.iter().filter(|(path, _)| self.names.contains(short_name(path)));
        self.addresses.extend(reserved.map(|(_, address)| address.address.to_string()));
        self.addresses.extend(ingress.address().map(str::to_owned));
        self.addresses.remove("");
    }

    /// Ingresses that claim the same address, or show it.
    fn add_neighbours(&mut self, topology: &Topology<'_>, ingress: &Ingress) {
        let claimed = [keys::GLOBAL_STATIC_IP, keys::REGIONAL_STATIC_IP].map(|key| ingress.metadata.annotation(key));
        for name in claimed.into_iter().flatten() {
            let claims = [false, true].map(|regional| topology.fleet.static_addresses.get(&(name.into(), regional)));
            self.ingresses.extend(claims.into_iter().flatten().flatten().map(|(namespace, name)| key(namespace, name)));
        }
        let shows = |other: &&Ingress| ingress.address().is_some() && other.address() == ingress.address();
        let others = topology.snapshot.kubernetes.ingresses.iter().filter(shows);
        self.ingresses.extend(others.map(|other| key(&other.metadata.namespace, &other.metadata.name)));
    }

    /// What is kept of a recording.
    pub(super) fn of(&self, recording: &Recording) -> Recording {
        let kubernetes = recording.kubernetes.iter().filter(|object| self.keeps(object)).cloned().collect();
        let pods: BTreeSet<String> = self.pods.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        let probes = recording.probes.as_ref().map(|probes| {
            let asked = probes.iter().filter(|probe| probe.pod.is_empty() || pods.contains(&*probe.pod));
            asked.cloned().collect()
        });
        let compute = recording.compute.as_ref().map(|compute| self.of_compute(recording, compute));
        Recording { kubernetes, probes, compute, ..recording.clone() }
    }

    fn keeps(&self, object: &Value) -> bool {
        let at = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let labelled = |label: &str| object["metadata"]["labels"][label].as_str().unwrap_or_default();
        let (kind, namespace, name) = (at("/kind"), at("/metadata/namespace"), at("/metadata/name"));
        let place = key(namespace, name);
        if self.whole == Some(namespace) {
            return true;
        }
        let here = self.namespaces.contains(namespace);
        match kind {
            "Node" | "IngressClass" => true,
            "Namespace" => self.namespaces.contains(name),
            "Lease" => namespace == SYSTEM,
            "ConfigMap" => (namespace, name) == (SYSTEM, INGRESS_UID),
            "Ingress" => self.ingresses.contains(&place),
            "Service" => self.services.contains(&place) || self.sought.contains(name) || self.opens(object),
            "EndpointSlice" => self.services.contains(&key(namespace, labelled(SERVICE_NAME_LABEL))),
            "ServiceNetworkEndpointGroup" => {
                self.services.contains(&key(namespace, labelled(SVC_NEG_SERVICE_LABEL))) || self.identity.as_ref() == Some(&place)
            }
            "Pod" => self.pods.contains(&place) || self.searched.contains(namespace),
            "Deployment" | "StatefulSet" => self.searched.contains(namespace) || namespace == SYSTEM,
            "Event" => self.keeps_event(at("/involvedObject/kind"), &key(namespace, at("/involvedObject/name"))),
            kind if SETTINGS.contains(&kind) => here || self.sought.contains(name),
            _ => false,
        }
    }

    /// The health check of a target may ask this Service's node port.
    fn opens(&self, service: &Value) -> bool {
        let ports = service["spec"]["ports"].as_array().into_iter().flatten();
        ports.filter_map(|port| port["nodePort"].as_i64()).any(|port| self.node_ports.contains(&port))
    }

    fn keeps_event(&self, kind: &str, about: &Key) -> bool {
        match kind {
            "Ingress" => self.ingresses.contains(about),
            "Service" => self.services.contains(about),
            "Pod" => self.pods.contains(about),
            _ => false,
        }
    }

    fn of_compute(&self, recording: &Recording, compute: &RecordedCompute) -> RecordedCompute {
        let path = |link: &str| normalise(link, &recording.project).into_owned();
        let kept = self.resources(compute, &path);
        let group = |link: &String| self.groups.contains(&path(link)) || kept.contains(&path(link));
        let (mut others, mut endpoints) = (BTreeSet::new(), compute.endpoints.clone());
        for (link, held) in &mut endpoints {
            // Of the neighbours' endpoints it matters which ports the firewall has to let in, and whether it does.
            let own = group(link);
            held.retain(|endpoint| own || others.insert((endpoint["networkEndpoint"]["port"].as_i64(), is_healthy(endpoint))));
        }
        endpoints.retain(|link, held| group(link) || !held.is_empty());
        let health = compute.health.iter().filter(|(link, _)| kept.contains(&path(link)));
        let errors = compute.errors.iter().filter(|(link, _)| {
            let of_method = link.rsplit_once('/').map_or("", |(resource, _)| resource);
            let dropped = |resource: &str| compute.resources.contains_key(resource) && !kept.contains(resource);
            !dropped(link) && !dropped(of_method)
        });
        let instances = compute.instances.iter().filter(|(link, _)| group(link));
        RecordedCompute {
            resources: compute.resources.iter().filter(|(path, _)| kept.contains(*path)).map(pair).collect(),
            endpoints,
            health: health.map(pair).collect(),
            errors: errors.map(pair).collect(),
            instances: instances.map(pair).collect(),
        }
    }

    /// The paths of the resources that are kept: by name, and all that these lead to; of others at the same addresses themselves alone.
    fn resources(&self, compute: &RecordedCompute, path: &dyn Fn(&str) -> String) -> BTreeSet<String> {
        let mut kept = BTreeSet::new();
        let mut open: Vec<&str> = Vec::new();
        let groups: BTreeSet<&str> = self.groups.iter().map(String::as_str).collect();
        for (link, resource) in &compute.resources {
            let collection = link.rsplit('/').nth(1).unwrap_or_default();
            let at = |field: &str| resource[field].as_str().is_some_and(|address| self.addresses.contains(address));
            let uses = || {
                let backends = resource["backends"].as_array().into_iter().flatten();
                backends.filter_map(|backend| backend["group"].as_str()).any(|group| groups.contains(&*path(group)))
            };
            if SHARED.contains(&collection) || at("IPAddress") || at("address") {
                kept.insert(link.clone());
            }
            if self.names.contains(short_name(link)) || groups.contains(&**link) || (collection == "backendServices" && uses()) {
                open.push(link);
            }
        }
        let mut followed = BTreeSet::new();
        while let Some(link) = open.pop() {
            let Some((link, resource)) = compute.resources.get_key_value(link) else { continue };
            kept.insert(link.clone());
            // An address leads to whoever else uses it, which is their matter.
            if followed.insert(link) && link.rsplit('/').nth(1) != Some("addresses") {
                let mut links = Vec::new();
                strings(resource, &mut links);
                let links = links.into_iter().filter_map(|text| Some(compute.resources.get_key_value(&path(text))?.0.as_str()));
                open.extend(links);
            }
        }
        kept
    }
}

fn pair<V: Clone>((path, value): (&String, &V)) -> (String, V) {
    (path.clone(), value.clone())
}

fn is_healthy(endpoint: &Value) -> bool {
    endpoint["healths"].as_array().into_iter().flatten().any(|health| health["healthState"] == "HEALTHY")
}

/// Every text in a value.
fn strings<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, into)),
        Value::Object(map) => map.values().for_each(|value| strings(value, into)),
        _ => {}
    }
}
