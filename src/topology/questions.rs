//! What Google's health check asks the pods of a backend.
//!
//! Enters: a [`Backend`] with its health check and endpoints. Leaves: a [`Question`] per pod. Never: asks it; names an address that is not
//! the pod's own, whatever an EndpointSlice says.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::snapshot::Unknown;
use crate::snapshot::compute::HealthCheck;
use crate::snapshot::kubernetes::Pod;
use crate::snapshot::probe::{ProbeAnswer, Probes, Scheme};

use super::Topology;
use super::backend::{Backend, GroupKind, SliceEndpoint};

impl<'a> Backend<'a> {
    /// The port at which the endpoints serve, where they agree on one.
    pub fn endpoint_port(&self) -> Option<i64> {
        let mut ports = self.endpoints.as_deref().unwrap_or_default().iter().filter_map(|endpoint| endpoint.port);
        let first = ports.next()?;
        ports.all(|port| port == first).then_some(i64::from(first))
    }

    /// The health check's question to a pod of this backend: the port to ask it at. `None` when it cannot be put to the pod.
    fn question_port(&self, check: &HealthCheck, endpoint: &SliceEndpoint<'_>) -> Option<u16> {
        let asked = check.asked_port()?;
        let fixed = match asked.specification {
            "USE_FIXED_PORT" => asked.number,
            // An instance group's check asks the node port, which leads to the endpoint's own.
            _ if self.kind == GroupKind::InstanceGroup => None,
            "" => asked.number,
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
        let (scheme, path, host): (_, _, &str) = match check.http() {
            None if check.connection().is_some() => (Scheme::Tcp, "", ""),
            None => return Vec::new(),
            Some(http) => {
                let scheme = if &*check.type_ == "HTTP" { Scheme::Http } else { Scheme::Https };
                (scheme, if http.request_path.is_empty() { "/" } else { &*http.request_path }, &http.host)
            }
        };
        // The NEG controller passes IPv6 slices over, unless there is nothing else.
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        let v6 = |endpoint: &&SliceEndpoint<'_>| &*endpoint.slice.address_type == "IPv6";
        let only_v6 = endpoints.iter().all(|endpoint| v6(&endpoint));
        let mut questions: Vec<_> = endpoints
            .iter()
            .filter(|endpoint| only_v6 || !v6(endpoint))
            .filter_map(|endpoint| {
                Some(Question {
                    pod: endpoint.pod.filter(|pod| pod.has_address(endpoint.address))?,
                    ip: endpoint.address.parse().ok()?,
                    port: self.question_port(check, endpoint)?,
                    scheme,
                    http2: &*check.type_ == "HTTP2",
                    path,
                    host,
                    is_whole: scheme != Scheme::Tcp || check.only_connects(),
                    timeout_sec: if check.timeout_sec > 0 { check.timeout_sec } else { 5 },
                })
            })
            .collect();
        questions.dedup_by_key(|question| (question.ip, question.port));
        questions
    }
}

impl Topology<'_> {
    /// The question goes to the pod and to nobody else: not to a Service, and to a node only where the pod shares its network.
    pub fn may_be_asked(&self, question: &Question<'_>) -> bool {
        let cluster = self.snapshot.cluster.as_ref().seen();
        let services = cluster.and_then(|cluster| cluster.services_ipv4_cidr.parse::<IpNet>().ok());
        if services.is_some_and(|services| services.contains(&question.ip)) {
            return false;
        }
        let is = |address: &str| address.parse() == Ok(question.ip);
        let mut nodes = self.snapshot.kubernetes.nodes.all().into_iter().flatten();
        let of_node = is(&question.pod.status.host_ip)
            || nodes.any(|node| node.status.addresses.iter().any(|address| is(&address.address)));
        question.pod.spec.host_network || !of_node
    }
}

impl Question<'_> {
    /// What the pod answered, if it was asked.
    pub fn answer<'p>(&self, probes: &'p Probes) -> Result<&'p ProbeAnswer, Unknown> {
        probes.answer(&self.pod.key(), self.ip, self.port, self.scheme, self.path, self.host)
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
    /// What is spoken.
    pub scheme: Scheme,
    /// The health check speaks HTTP/2.
    pub http2: bool,
    /// Path; empty for a TCP connection.
    pub path: &'a str,
    /// Host header; empty means the address.
    pub host: &'a str,
    /// Whether it is all that the health check wants to know. One that goes on after the connection stands (TLS, gRPC, bytes that must
    /// come) is answered by a connection that fails, not by one that is made.
    pub is_whole: bool,
    /// Seconds until it counts as failed.
    pub timeout_sec: i64,
}
