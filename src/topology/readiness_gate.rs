//! Pods that the load balancer's readiness gate holds, or has let go without having found them healthy.
//!
//! Enters: a [`Backend`]. Leaves: its pods by the state of their gate. Never: takes a gate that nobody has answered yet for a closed one.
//! Source: ingress-gce `pkg/neg/readiness` (reasons; a gate that waits has an empty status and no time).

use jiff::Timestamp;

use crate::snapshot::kubernetes::{Condition, NEG_READINESS_GATE, Pod};

use super::Topology;
use super::backend::{Backend, Role, State};

/// A pod and what the NEG controller says of its gate.
#[derive(Debug, Clone, Copy)]
pub struct Gated<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The gate's condition.
    pub condition: &'a Condition,
    /// Since when, where something says so.
    pub since: Option<Timestamp>,
}

impl<'a> Backend<'a> {
    /// The scheduled pods of this backend with a gate for its NEG, neither finished nor on their way out.
    fn gated(&self, topology: &Topology<'a>) -> impl Iterator<Item = Gated<'a>> {
        let pods = if self.role == Role::SystemDefault { &[] } else { self.pods.as_deref().unwrap_or_default() };
        pods.iter().copied().filter(|pod| pod.gated() && pod.scheduled() && !pod.finished() && !pod.terminating()).filter_map(
            |pod| {
                let condition = pod.condition(NEG_READINESS_GATE).filter(|condition| self.concerns(condition))?;
                Some(Gated { pod, condition, since: since(topology, pod, condition) })
            },
        )
    }

    /// The condition names this backend's NEG, or none at all: `… at least one of the NEG(s): [a b]`.
    fn concerns(&self, condition: &Condition) -> bool {
        let named = super::events::between(&condition.message, "NEG(s): [", "]");
        match (named, &self.neg_name) {
            (Some(named), Some(own)) => named.split_whitespace().any(|name| name == own),
            _ => true,
        }
    }

    /// Pods that have waited at the gate for longer than a rollout takes.
    pub fn held_at_gate(&self, topology: &Topology<'a>) -> Vec<Gated<'a>> {
        let held = |gated: &Gated<'_>| {
            !gated.condition.is_true()
                && &*gated.condition.reason == "LoadBalancerNegNotReady"
                && topology.lasted(gated.since, topology.grace.readiness_gate)
        };
        self.gated(topology).filter(held).collect()
    }

    /// Pods that the gate let go because their time was up.
    pub fn timed_out_at_gate(&self, topology: &Topology<'a>) -> Vec<Gated<'a>> {
        let timed_out = |gated: &Gated<'_>| gated.condition.is_true() && &*gated.condition.reason == "LoadBalancerNegTimeout";
        self.gated(topology).filter(timed_out).collect()
    }

    /// The health check finds an endpoint of this pod unhealthy.
    pub fn finds_unhealthy(&self, pod: &Pod) -> bool {
        let mut states = self
            .members_seen()
            .filter(|member| member.pod.is_some_and(|other| std::ptr::eq(other, pod)))
            .map(|member| member.state)
            .peekable();
        states.peek().is_some() && states.all(|state| state == State::Unhealthy)
    }
}

/// The condition carries no time: the latest event with its reason does. While the containers were not ready, nothing waited for the
/// load balancer.
fn since(topology: &Topology<'_>, pod: &Pod, condition: &Condition) -> Option<Timestamp> {
    let events = topology.snapshot.kubernetes.events_of("Pod", &pod.metadata).unwrap_or_default();
    let told = events.iter().filter(|event| event.reason == condition.reason).filter_map(|event| event.first).max();
    condition.last_transition_time.or(told).max(pod.serving_since())
}
