//! The VPC network of the cluster, its firewall, and where the load balancer's packets come from.
//!
//! Enters: the cluster's settings, network endpoint groups, firewall rules, subnetworks. Leaves: the network, its [`Rules`], address blocks
//! and ports. Never: takes the rules of a project that was not read for an empty list.
//! Source: ingress-gce `pkg/firewalls` (the controller's one rule and its sources), `pkg/loadbalancers/features/l7ilb.go` (the proxies' range).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::snapshot::compute::{BackendService, Firewall, HealthCheck, NetworkEndpointGroup, Subnetwork, normalise, short_name};
use crate::snapshot::kubernetes::Pod;
use crate::snapshot::{Observed, Source, Unknown};

use super::answers::Answered;
use super::class::Class;
use super::firewall::{NodeTags, Rules, cluster_in_tag, ipv4_block};
use super::{Backend, GroupKind, Member, Role, Topology};

/// Where Google's health checks, and the requests of its global load balancers, come from.
pub const HEALTH_CHECK_RANGES: [Ipv4Net; 2] =
    [Ipv4Net::new_assert(Ipv4Addr::new(130, 211, 0, 0), 22), Ipv4Net::new_assert(Ipv4Addr::new(35, 191, 0, 0), 16)];

/// The node ports of a GKE cluster, which the controller opens as one range.
pub const NODE_PORTS: (u16, u16) = (30000, 32767);

/// A cluster's name is cut in its node tag, but never to less than this.
const CUT_NAME: usize = 15;

/// A network and its firewall.
#[derive(Debug)]
pub struct Vpc<'a> {
    /// `projects/P/global/networks/N`.
    pub network: String,
    /// The rules in force.
    pub rules: Rules<'a>,
    /// Every rule of the network, in force or not.
    pub all: Vec<&'a Firewall>,
}

/// Where the packets of a backend's load balancer come from.
#[derive(Debug, Default)]
pub struct Origins {
    /// The ranges of the proxies of a regional load balancer, which carry the requests; its health checks come from elsewhere.
    pub proxies: Vec<Ipv4Net>,
    /// Why the proxies' ranges could not be seen, if they matter.
    pub unseen: Option<Unknown>,
}

impl<'a> Vpc<'a> {
    /// The cluster's network and its firewall.
    pub fn of(topology: &Topology<'a>) -> Result<Self, Unknown> {
        Self::of_network(topology, network(topology)?)
    }

    /// A network, `projects/P/global/networks/N`, and its firewall.
    pub fn of_network(topology: &Topology<'a>, network: String) -> Result<Self, Unknown> {
        let project = project_of(&network);
        let compute = &topology.snapshot.compute;
        let scope = format!("projects/{project}/global/");
        let own = |firewall: &&Firewall| normalise(&firewall.network, project) == network;
        let all: Vec<&Firewall> = compute.in_scope::<Firewall>(&scope)?.map(|(_, firewall)| firewall).filter(own).collect();
        // Nobody says that the host project of a Shared VPC was asked at all.
        let asked = project == topology.project()
            || compute.seen_in_scope::<Firewall>(&scope).next().is_some()
            || compute.seen_in_scope::<Subnetwork>(&format!("projects/{project}/")).next().is_some();
        if !asked {
            return Err(Unknown::not_read(Source::Compute, format!("{scope}firewalls")));
        }
        let controllers = topology.fleet.ids.firewall_rule();
        let tags = node_tags(topology, &all, controllers.as_deref());
        let rules = Rules::of(all.iter().copied(), tags, controllers);
        Ok(Self { network, rules, all })
    }

    /// The project that the network and its firewall belong to.
    pub fn project(&self) -> &str {
        project_of(&self.network)
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        short_name(&self.network)
    }

    /// A rule by name, in force or not.
    pub fn rule(&self, name: &str) -> Option<&'a Firewall> {
        self.all.iter().copied().find(|firewall| &*firewall.name == name)
    }

    /// An endpoint is HEALTHY although by these rules no health check reaches it: something else, which is not read, lets them in.
    pub fn contradicted(&self, topology: &Topology<'_>, backend: &Backend<'_>) -> bool {
        let shut = |address: &str, port: i64| {
            let (Ok(address), Ok(port)) = (address.parse::<Ipv4Addr>(), u16::try_from(port)) else { return false };
            HEALTH_CHECK_RANGES.iter().all(|range| self.rules.closed(*range, Some(address), port).is_some())
        };
        let healthy = |member: &Member<'_>| member.state == super::State::Healthy && shut(&member.address, member.port);
        if backend.members_seen().any(healthy) {
            return true;
        }
        let nodes = &topology.snapshot.kubernetes.nodes;
        topology.snapshot.compute.endpoints.values().flat_map(|endpoints| endpoints.iter()).any(|entry| {
            let endpoint = &entry.network_endpoint;
            entry.healths.iter().any(|health| &*health.health_state == "HEALTHY")
                && nodes.get("", &endpoint.instance).seen().is_some()
                && shut(&endpoint.ip_address, endpoint.port)
        })
    }
}

/// Each item once, in the order given.
pub fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for item in items {
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}

fn project_of(network: &str) -> &str {
    network.split('/').nth(1).unwrap_or_default()
}

/// The path of a network that is given by link or by name.
pub fn network_path(link: &str, project: &str) -> String {
    if link.contains('/') { normalise(link, project).into_owned() } else { format!("projects/{project}/global/networks/{link}") }
}

/// The cluster's network: from its settings, else where its network endpoint groups or its own firewall rules are.
fn network(topology: &Topology<'_>) -> Result<String, Unknown> {
    let (project, compute) = (topology.project(), &topology.snapshot.compute);
    if let Observed::Present(cluster) = &topology.snapshot.cluster {
        let link = if cluster.network_config.network.is_empty() { &cluster.network } else { &cluster.network_config.network };
        if !link.is_empty() {
            return Ok(network_path(link, project));
        }
    }
    let groups = topology.backends.iter().flat_map(|backend| backend.groups.as_deref().unwrap_or_default());
    let of_groups = groups.filter_map(|group| compute.get::<NetworkEndpointGroup>(&group.path).seen()).map(|neg| &neg.network);
    if let Some(link) = of_groups.filter(|link| !link.is_empty()).min() {
        return Ok(network_path(link, project));
    }
    let tagged =
        |firewall: &&Firewall| firewall.target_tags.iter().any(|tag| is_clusters(tag, &topology.snapshot.meta.cluster_name));
    let own = compute.firewalls.iter().map(|(_, firewall)| firewall).filter(tagged);
    let networks: BTreeSet<String> = own.map(|firewall| network_path(&firewall.network, project)).collect();
    let mut networks = networks.into_iter();
    match (networks.next(), networks.next(), &topology.snapshot.cluster) {
        (Some(only), None, _) => Ok(only),
        (_, _, Observed::Unknown(why)) => Err(why.clone()),
        _ => Err(Unknown::not_read(Source::Container, "clusters")),
    }
}

/// A node tag of GKE's own belongs to the cluster of this name, which may stand cut in it.
fn is_clusters(tag: &str, cluster: &str) -> bool {
    cluster_in_tag(tag)
        .is_some_and(|name| !cluster.is_empty() && (name == cluster || name.len() >= CUT_NAME && cluster.starts_with(name)))
}

/// The tags of the nodes, which are not read themselves: GKE gives every node the tag that its own rules target.
fn node_tags(topology: &Topology<'_>, rules: &[&Firewall], controllers: Option<&str>) -> NodeTags {
    let of_gke: BTreeSet<&Box<str>> =
        rules.iter().flat_map(|rule| &rule.target_tags).filter(|tag| cluster_in_tag(tag).is_some()).collect();
    let cluster = &topology.snapshot.meta.cluster_name;
    let own: BTreeSet<_> = of_gke.iter().copied().filter(|tag| cluster.is_empty() || is_clusters(tag, cluster)).collect();
    let controllers = controllers.and_then(|name| rules.iter().find(|rule| &*rule.name == name));
    let of_controller = || controllers.into_iter().flat_map(|rule| &rule.target_tags);
    let mut sure: BTreeSet<Box<str>> = match own.len() {
        1 => own.into_iter().cloned().collect(),
        // Of several clusters of one name ours is the one whose own rules know the pods' addresses, else that of the controller's rule.
        _ => {
            let known: BTreeSet<_> = own.into_iter().filter(|tag| let_pods_in(topology, rules, tag)).collect();
            if known.len() == 1 { known.into_iter().cloned().collect() } else { of_controller().cloned().collect() }
        }
    };
    let pools = topology.snapshot.cluster.as_ref().seen().and_then(|cluster| cluster.node_pools.as_ref());
    if let Some((first, others)) = pools.and_then(|pools| pools.split_first()) {
        let held = |tags: &[Box<str>], tag: &str| tags.iter().any(|own| **own == *tag);
        let everywhere = first.config.tags.iter().filter(|tag| others.iter().all(|pool| held(&pool.config.tags, tag)));
        sure.extend(everywhere.cloned());
    }
    let further = pools.map(|pools| pools.iter().flat_map(|pool| &pool.config.tags).cloned().collect());
    NodeTags { sure, further }
}

/// GKE's own rule for traffic among the pods of a cluster, `gke-CLUSTER-HASH-all`, names this tag and the pods of our nodes.
fn let_pods_in(topology: &Topology<'_>, rules: &[&Firewall], tag: &str) -> bool {
    let nodes = topology.snapshot.kubernetes.nodes.iter();
    let pods: Vec<Ipv4Net> = nodes.flat_map(|node| &node.spec.pod_cidrs).filter_map(|block| ipv4_block(block)).collect();
    let names = |rule: &&&Firewall| rule.name.starts_with("gke-") && rule.target_tags.iter().any(|own| **own == *tag);
    rules.iter().filter(names).any(|rule| {
        let mut sources = rule.source_ranges.iter().filter_map(|block| ipv4_block(block)).filter(|block| block.prefix_len() > 0);
        sources.any(|source| pods.iter().any(|block| source.contains(block)))
    })
}

/// Where the packets of a backend's load balancer come from besides [`HEALTH_CHECK_RANGES`].
pub fn origins(topology: &Topology<'_>, backend: &Backend<'_>) -> Origins {
    if !has_proxies(topology, backend) {
        return Origins::default();
    }
    let network = match network(topology) {
        Ok(network) => network,
        Err(why) => return Origins { proxies: Vec::new(), unseen: Some(why) },
    };
    let (compute, host) = (&topology.snapshot.compute, project_of(&network));
    let mut proxies: Vec<_> = compute
        .subnetworks
        .iter()
        .map(|(_, subnetwork)| subnetwork)
        .filter(|subnetwork| matches!(&*subnetwork.purpose, "REGIONAL_MANAGED_PROXY" | "INTERNAL_HTTPS_LOAD_BALANCER"))
        .filter(|subnetwork| &*subnetwork.role == "ACTIVE" && short_name(&subnetwork.region) == topology.region())
        .filter(|subnetwork| network_path(&subnetwork.network, host) == network)
        .filter_map(|subnetwork| ipv4_block(&subnetwork.ip_cidr_range))
        .collect();
    proxies.sort();
    let scope = format!("projects/{host}/regions/{}/", topology.region());
    let unseen = if proxies.is_empty() { compute.in_scope::<Subnetwork>(&scope).err() } else { None };
    Origins { proxies, unseen }
}

/// The backend's load balancer is a regional one, whose requests come from proxies in the VPC.
fn has_proxies(topology: &Topology<'_>, backend: &Backend<'_>) -> bool {
    match topology.class() {
        Some(class) => matches!(class, Class::Internal | Class::RegionalExternal),
        None => users(topology, backend).any(|(path, user)| {
            path.contains("/regions/") && matches!(&*user.load_balancing_scheme, "INTERNAL_MANAGED" | "EXTERNAL_MANAGED")
        }),
    }
}

/// The backend services that use a standalone NEG.
pub fn users<'t, 'a>(
    topology: &'t Topology<'a>,
    backend: &'t Backend<'a>,
) -> impl Iterator<Item = (&'a str, &'a BackendService)> + 't {
    let fleet = topology.fleet;
    let groups = backend.groups.as_deref().unwrap_or_default().iter().filter(|_| backend.role == Role::Standalone);
    let paths: BTreeSet<&'a str> =
        groups.flat_map(|group| fleet.users_of_group.get(&*group.path).into_iter().flatten()).map(|path| &**path).collect();
    paths.into_iter().filter_map(|path| Some((path, topology.snapshot.compute.get::<BackendService>(path).seen()?)))
}

/// The TCP ports that must be open to an endpoint: the one that serves, and the one that the health check asks, unless the pods do not
/// serve that: then an open door would not help.
pub fn ports(topology: &Topology<'_>, backend: &Backend<'_>, member: &Member<'_>) -> BTreeSet<u16> {
    let compute = &topology.snapshot.compute;
    let own = backend.health_check.as_ref().seen().copied();
    let linked = users(topology, backend).flat_map(|(_, user)| &user.health_checks);
    let linked = linked.filter_map(|link| compute.get::<HealthCheck>(&normalise(link, topology.project())).seen());
    let fixed = own.into_iter().chain(linked).filter_map(|check| u16::try_from(check.asked_port()?.fixed()?).ok());
    let serving = u16::try_from(member.port).ok();
    let asked = fixed.filter(|port| Some(*port) == serving || served(topology, backend, *port));
    asked.chain(serving).filter(|port| *port != 0).collect()
}

/// Some pod answers the health check on a port as it wants or, where nobody asked, declares the port.
fn served(topology: &Topology<'_>, backend: &Backend<'_>, port: u16) -> bool {
    let answers = backend.failing_answers(topology).unwrap_or_default();
    let mut answers = answers.iter().filter(|one| one.question.port == port).peekable();
    if answers.peek().is_some() {
        return answers.any(Answered::passes);
    }
    let declares = |pod: &&Pod| {
        pod.spec.containers.iter().flat_map(|container| &container.ports).any(|own| own.container_port == i32::from(port))
    };
    backend.kind == GroupKind::Neg && backend.pods.as_deref().unwrap_or_default().iter().any(declares)
}
