//! The groups of a backend and the endpoints in them.
//!
//! Enters: a [`Backend`] whose Service port is known, and Compute. Leaves: its backend service, health check, groups and members.
//! Never: takes a health state that is missing for UNHEALTHY, or a group that could not be read for an empty one.

use std::net::IpAddr;

use crate::snapshot::compute::{
    BackendService, HealthCheck, HealthStatus, NetworkEndpointGroup, location, normalise, short_name,
};
use crate::snapshot::kubernetes::Pod;
use crate::snapshot::{Observed, Source, Unknown};

use super::backend::{Backend, Group, GroupKind, Member, Role, SliceEndpoint, State};
use super::{Topology, vpc};

impl<'a> Backend<'a> {
    pub(super) fn read_compute(&mut self, topology: &Topology<'a>) {
        let compute = &topology.snapshot.compute;
        if self.role == Role::Standalone {
            self.groups = self.standalone_groups(topology);
            self.read_users(topology);
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
                let paths =
                    backend_service.backends.iter().map(|backend| normalise(&backend.group, topology.project()).into_owned());
                let groups = paths.filter(|group| !without_endpoints(topology, group)).map(|group| {
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
                // Of that name, and somebody else's: his endpoints are none of this Service's.
                Observed::Present(group) if self.is_foreign(topology, group) == Ok(true) => continue,
                Observed::Present(_) => self.members(topology, &path, None),
                Observed::Absent => continue,
                Observed::Unknown(why) => Err(why),
            };
            groups.push(Group { path, members });
        }
        Ok(groups)
    }

    /// What somebody made around a standalone group: the health check and the protocol of the backend services that use it, where they agree.
    fn read_users(&mut self, topology: &Topology<'a>) {
        let users: Vec<&BackendService> = vpc::users(topology, self).map(|(_, user)| user).collect();
        let links = users.iter().flat_map(|user| &user.health_checks).map(|link| normalise(link, topology.project()));
        if let [check] = &*vpc::distinct(links) {
            self.health_check = topology.snapshot.compute.get::<HealthCheck>(check);
        }
        if let [protocol] = &*vpc::distinct(users.iter().map(|user| &user.protocol))
            && matches!(&***protocol, "HTTP" | "HTTPS" | "HTTP2")
        {
            self.protocol = (*protocol).clone();
        }
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
        let user = || topology.fleet.users_of_group.get(group)?.first().map(|path| &**path);
        let health = backend_service.or_else(user).map(|path| compute.health_of(path, group));
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
        let health = health.and_then(Result::ok);
        let endpoints = match (compute.endpoints_of(group), health) {
            (Ok(endpoints), _) => endpoints,
            (Err(why), Some(health)) if health.is_empty() && self.may_hold(topology, group) => return Err(why),
            // `getHealth` names the endpoints as well, those that were asked already.
            (Err(_), Some(health)) => return Ok(health.iter().map(|status| self.checked(status)).collect()),
            (Err(why), None) => return Err(why),
        };
        let health = health.unwrap_or_default();
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

    /// An endpoint of a network endpoint group as `getHealth` names it.
    fn checked(&self, status: &HealthStatus) -> Member<'a> {
        let address = if status.ip_address.is_empty() { &status.ipv6_address } else { &status.ip_address };
        Member {
            address: address.clone(),
            port: status.port,
            node: short_name(&status.instance).into(),
            state: either(&status.health_state, &status.ipv6_health_state),
            pod: self.pod_at(&status.ip_address, status.port).or_else(|| self.pod_at(&status.ipv6_address, status.port)),
        }
    }

    /// A group that was not listed may have endpoints: its size says so, or the slices have some in its zone.
    fn may_hold(&self, topology: &Topology<'a>, group: &str) -> bool {
        let sized = topology.snapshot.compute.get::<NetworkEndpointGroup>(group).seen().is_some_and(|group| group.size > 0);
        let here = |one: &SliceEndpoint<'_>| {
            !one.endpoint.terminating() && one.endpoint.zone.as_deref().is_none_or(|zone| Some(zone) == location(group))
        };
        sized || self.endpoints.as_ref().map_or(true, |endpoints| endpoints.iter().any(here))
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
}

/// A group that stands for a service elsewhere, which somebody put beside the controller's: no health check looks at it.
fn without_endpoints(topology: &Topology<'_>, group: &str) -> bool {
    let type_ = topology.snapshot.compute.get::<NetworkEndpointGroup>(group).seen().map(|group| &*group.network_endpoint_type);
    matches!(type_, Some("SERVERLESS" | "PRIVATE_SERVICE_CONNECT" | "INTERNET_FQDN_PORT" | "INTERNET_IP_PORT"))
}

fn either(v4: &str, v6: &str) -> State {
    State::parse(v4).min(State::parse(v6))
}
