//! What the pods behind failing endpoints answered to the health check's own question.
//!
//! Enters: a backend and the probes. Leaves: answers of pods that serve while the load balancer calls them UNHEALTHY.
//! Never: takes a pod that nobody asked for one that failed.

use std::net::SocketAddr;

use crate::snapshot::compute::HealthCheck;
use crate::snapshot::kubernetes::{Container, HttpGet, Pod};
use crate::snapshot::probe::{ProbeAnswer, ProbeError, Scheme, Via};
use crate::snapshot::{Source, Unknown};

use super::backend::{GroupKind, NO_HEALTH_STATE, State};
use super::health_check::probe_scheme;
use super::questions::Question;
use super::{Backend, Topology, network_policy};

/// A pod that serves, whose endpoint fails, and what it answered.
#[derive(Debug, Clone)]
pub struct Answered<'a> {
    /// What the health check asks.
    pub question: Question<'a>,
    /// What the pod answered.
    pub answer: &'a ProbeAnswer,
}

impl Answered<'_> {
    /// Google's health check would take this for a success.
    pub fn passes(&self) -> bool {
        match self.question.scheme {
            Scheme::Tcp => self.answer.error.is_none(),
            Scheme::Http | Scheme::Https => self.answer.status == Some(200),
        }
    }

    /// Where the answer comes from, for evidence.
    pub fn place(&self) -> String {
        let address = SocketAddr::new(self.question.ip, self.question.port);
        let way = match self.answer.via {
            Some(Via::PodProxy) => " through the API server's pod proxy",
            None => "",
        };
        format!("probe of {} {address}{}{way}", self.question.pod.key(), self.question.path)
    }
}

impl<'a> Backend<'a> {
    /// The questions to pods that serve, are not on their way out, and whose endpoint is UNHEALTHY. Behind an instance group a pod is
    /// failing when no node passes, or, where nodes answer only for their own pods, when its node fails.
    pub fn failing_questions(&self) -> Vec<Question<'a>> {
        let local = self.service.as_ref().seen().is_some_and(|service| &*service.spec.external_traffic_policy == "Local");
        let failing = |pod: &Pod| match self.kind {
            GroupKind::Neg => self.unhealthy().any(|member| member.pod.is_some_and(|other| std::ptr::eq(other, pod))),
            GroupKind::InstanceGroup if local => self.unhealthy().any(|member| member.node == pod.spec.node_name),
            GroupKind::InstanceGroup => self.count(State::Healthy) == 0 && self.count(State::Unhealthy) > 0,
        };
        if self.count(State::Unhealthy) == 0 {
            return Vec::new();
        }
        let asked = |pod: &Pod| pod.serves() && !pod.terminating() && failing(pod);
        self.questions().into_iter().filter(|question| asked(question.pod)).collect()
    }

    /// The answers to [`Backend::failing_questions`], by address; an error when there are such pods and none was asked, or when no
    /// endpoint is seen to fail and not all could be read.
    pub fn failing_answers(&self, topology: &Topology<'a>) -> Result<Vec<Answered<'a>>, Unknown> {
        if self.count(State::Unhealthy) == 0
            // Where the API answered without a state, there was nothing to read yet.
            && let Some(why) = self.health_unread().filter(|why| &*why.reason != NO_HEALTH_STATE)
        {
            return Err(why);
        }
        if let Some(why) = self.not_asked() {
            return Err(why);
        }
        let probes = &topology.snapshot.probes;
        let mut answered = Vec::new();
        let mut unasked = None;
        for question in self.failing_questions() {
            match question.answer(probes) {
                Ok(answer) if question.is_whole || answer.error.is_some() => answered.push(Answered { question, answer }),
                Ok(_) => unasked = self.health_check.as_ref().seen().map(|check| nobody_asks(check)),
                Err(why) => unasked = Some(why),
            }
        }
        match unasked {
            Some(why) if answered.is_empty() => Err(why),
            _ => Ok(answered),
        }
    }

    /// Why no pod behind a failing endpoint is asked: nobody here speaks what the health check speaks, not even its beginning.
    fn not_asked(&self) -> Option<Unknown> {
        let check = self.health_check.as_ref().seen().copied()?;
        let other = !matches!(&*check.type_, "" | "HTTP" | "HTTPS" | "HTTP2") && check.connection().is_none();
        (other && self.count(State::Unhealthy) > 0).then(|| nobody_asks(check))
    }

    /// The answers that a NetworkPolicy cannot be to blame for: no policy keeps the prober out of the pod.
    pub fn failing_answers_in_reach(&self, topology: &Topology<'a>) -> Result<Vec<Answered<'a>>, Unknown> {
        if network_policy::enforced(topology.snapshot) == Some(false) {
            return self.failing_answers(topology);
        }
        let mut in_reach = Vec::new();
        for answered in self.failing_answers(topology)? {
            let pod = answered.question.pod;
            let policies = network_policy::isolating(&topology.snapshot.kubernetes, pod)?;
            if !network_policy::may_keep_prober_out(&policies, pod, answered.question.port) {
                in_reach.push(answered);
            }
        }
        Ok(in_reach)
    }

    /// The pod's own readinessProbe uses another scheme than the backend's protocol wants; where a probe asks the question's own port,
    /// that one tells.
    pub fn scheme_differs(&self, question: &Question<'_>) -> bool {
        let wanted = probe_scheme(&self.protocol);
        let containers = question.pod.spec.containers.iter();
        let gets: Vec<_> = containers.filter_map(|one| Some((one, one.readiness_probe.as_ref()?.http_get.as_ref()?))).collect();
        let asks_here =
            |(container, get): &&(&Container, &HttpGet)| container.number_of(&get.port) == Some(i32::from(question.port));
        let here: Vec<_> = gets.iter().filter(asks_here).collect();
        let telling = if here.is_empty() { gets.iter().collect() } else { here };
        let scheme = |get: &HttpGet| if &*get.scheme == "HTTPS" { "HTTPS" } else { "HTTP" };
        !telling.is_empty() && telling.iter().all(|(_, get)| scheme(get) != wanted)
    }

    /// The answer of one who speaks another protocol: no handshake, no HTTP, or the 400 with which a server that wants TLS greets a plain
    /// request.
    pub fn talks_past(&self, one: &Answered<'_>) -> bool {
        match (one.answer.error, one.answer.status) {
            (Some(ProbeError::Tls | ProbeError::Protocol), _) => true,
            (None, Some(400)) => one.question.scheme == Scheme::Http && self.scheme_differs(&one.question),
            _ => false,
        }
    }
}

fn nobody_asks(check: &HealthCheck) -> Unknown {
    let message = format!("nobody but Google asks what a health check by {} asks", check.type_);
    Unknown::new(Source::Probe, check.name.clone(), "NotAsked", message)
}

#[cfg(test)]
mod tests {
    use crate::diagnose::Diagnosis;
    use crate::rules::Confidence;
    use crate::testing::{World, world};
    use crate::topology::{TargetKind, TargetRef};

    const CHECK: &str = "projects/acme-prod/global/healthChecks/payments-ledger-hc";

    /// The pods take connections; only the firewall is left that may keep Google out.
    fn connected() -> World {
        let mut world =
            world("standalone-neg-tcp-refused").answered(|answer| (answer.error, answer.latency_ms) = (None, Some(1)));
        world.remove_resources("firewalls/allow-payments-lb");
        world
    }

    fn ledger(world: &World) -> Diagnosis {
        world.diagnosis(TargetRef { kind: TargetKind::Service, namespace: "payments".into(), name: "ledger".into() })
    }

    #[test]
    fn a_connection_that_is_made_passes_a_tcp_health_check() {
        let diagnosis = ledger(&connected());
        let root = &diagnosis.findings.first().expect("a cause").found;
        assert_eq!((root.rule.code, root.finding.confidence), ("HealthCheckFirewallBlocked", Confidence::Certain));
        assert!(root.finding.evidence.iter().any(|seen| seen.saw.starts_with("connected, from inside the cluster")));
    }

    #[test]
    fn a_connection_says_nothing_where_more_is_wanted() {
        let mut bytes = connected();
        bytes.resource(CHECK)["tcpHealthCheck"]["response"] = "PONG".into();
        let mut tls = connected();
        let check = tls.resource(CHECK);
        check["type"] = "SSL".into();
        check["sslHealthCheck"] = check["tcpHealthCheck"].take();
        for world in [bytes, tls] {
            let diagnosis = ledger(&world);
            let root = &diagnosis.findings.first().expect("a cause").found;
            assert_eq!((root.rule.code, root.finding.confidence), ("HealthCheckFirewallBlocked", Confidence::Likely));
            assert!(
                diagnosis.inconclusive.iter().any(|open| &*open.unknown.reason == "NotAsked"),
                "{:?}",
                diagnosis.inconclusive
            );
        }
    }
}
