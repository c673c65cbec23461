//! Whether a health check with a fixed port asks where nobody listens.
//!
//! Enters: a [`Backend`]. Leaves: the port and what speaks against it. Never: accuses a port that answered, or that a container declares:
//! who is silent on a declared port is to blame himself.

use crate::snapshot::Unknown;
use crate::snapshot::compute::AskedPort;
use crate::snapshot::kubernetes::Service;
use crate::snapshot::probe::ProbeError;

use super::answers::Answered;
use super::backend::{Backend, GroupKind, State};
use super::{Topology, annotations};

/// What is known of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// It refuses connections, or cannot be a port of the nodes.
    No,
    /// The containers declare other ports; declaring a port is customary, not needed.
    Undeclared,
    /// The containers declare no port at all.
    Untold,
}

/// A fixed port that nobody serves.
#[derive(Debug, Clone)]
pub struct WrongPort<'a> {
    /// The port.
    pub port: i64,
    /// The one that would be right, where there is one.
    pub right: Option<i64>,
    /// What is known of it.
    pub served: Served,
    /// Pods that refused connections on it.
    pub refused: Vec<Answered<'a>>,
    /// The ports that the containers declare.
    pub declared: Vec<i32>,
}

impl<'a> Backend<'a> {
    /// The fixed port of the health check, when nobody serves it and no endpoint passes.
    pub fn wrong_health_port(&self, topology: &Topology<'a>) -> Result<Option<WrongPort<'a>>, Unknown> {
        let Some(check) = self.health_check.clone().known()? else { return Ok(None) };
        let fixed = check.asked_port().and_then(AskedPort::fixed);
        let (Some(port), Some(own)) = (fixed, self.port) else { return Ok(None) };
        // Transparent health checks ask GKE's own checker, not the pods.
        if self.service.as_ref().seen().is_some_and(|service| annotations::transparent_health_checks(service)) {
            return Ok(None);
        }
        if self.count(State::Unhealthy) == 0 {
            return self.health_unread().map_or(Ok(None), Err);
        }
        if self.count(State::Healthy) > 0 {
            return Ok(None);
        }
        match self.kind {
            GroupKind::InstanceGroup => {
                let opens = |service: &Service| service.spec.ports.iter().any(|opened| i64::from(opened.node_port) == port);
                // A node port of another Service may be meant: a health check of its own.
                if topology.snapshot.kubernetes.services.iter().any(opens) {
                    return Ok(None);
                }
                topology.snapshot.kubernetes.services.readable(self.namespace)?;
                let right = (own.node_port != 0).then_some(i64::from(own.node_port));
                Ok(Some(WrongPort { port, right, served: Served::No, refused: Vec::new(), declared: Vec::new() }))
            }
            GroupKind::Neg => self.unserved_by_pods(topology, port),
        }
    }

    fn unserved_by_pods(&self, topology: &Topology<'a>, port: i64) -> Result<Option<WrongPort<'a>>, Unknown> {
        let endpoints = self.endpoints.as_ref().map_err(Clone::clone)?;
        if endpoints.iter().any(|endpoint| endpoint.port.map(i64::from) == Some(port)) {
            return Ok(None);
        }
        let pods = self.pods.as_ref().map_err(Clone::clone)?;
        let ports =
            pods.iter().filter(|pod| !pod.finished()).flat_map(|pod| &pod.spec.containers).flat_map(|container| &container.ports);
        let mut declared: Vec<i32> = ports.map(|port| port.container_port).collect();
        declared.sort_unstable();
        declared.dedup();
        if declared.iter().any(|declared| i64::from(*declared) == port) {
            return Ok(None);
        }
        let refuses =
            |one: &Answered<'_>| matches!(one.answer.error, Some(ProbeError::ConnectionRefused | ProbeError::ConnectionReset));
        // Unasked pods leave the declarations alone to tell, pods that are not Ready tell nothing.
        let answers = self.failing_answers(topology).unwrap_or_default();
        if self.failing_questions().is_empty() || !answers.iter().all(refuses) {
            return Ok(None);
        }
        let refused = self.failing_answers_in_reach(topology).unwrap_or_default();
        let served = match (refused.is_empty(), declared.is_empty()) {
            (false, _) => Served::No,
            (true, false) => Served::Undeclared,
            (true, true) => Served::Untold,
        };
        Ok(Some(WrongPort { port, right: self.endpoint_port(), served, refused, declared }))
    }
}
