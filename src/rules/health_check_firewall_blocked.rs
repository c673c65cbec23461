//! HealthCheckFirewallBlocked: the VPC firewall keeps Google's health checks, or the load balancer's proxies, from the endpoints.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::mend::firewall_commands::{Shut, described, mend};
use super::text::{counted, some_of};
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::topology::firewall::{Closed, priority};
use crate::topology::vpc::{self, HEALTH_CHECK_RANGES, Vpc};
use crate::topology::{Backend, GroupKind, Member, SliceEndpoint, State, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckFirewallBlocked",
    section: Section::Path,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the VPC firewall keeps Google's health checks from the endpoints",
    doc: include_str!("health_check_firewall_blocked.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let failing: Vec<_> =
        backend.unhealthy().filter(|member| settled(topology, backend, member) && wanted(backend, member)).collect();
    if !failing.iter().any(|member| member.address.parse::<Ipv4Addr>().is_ok()) {
        return unless_unread(backend);
    }
    let vpc = Vpc::of(topology)?;
    let origins = vpc::origins(topology, backend);
    let shut = shut(topology, backend, &vpc, &failing, &origins.proxies);
    let Some(first) = shut.first() else { return origins.unseen.map_or(Ok(None), Err) };
    if vpc.contradicted(topology, backend) {
        return Ok(None);
    }
    let sources = vpc::distinct(shut.iter().map(|one| one.source));
    let ports: BTreeSet<_> = shut.iter().map(|one| one.port).collect();
    let health_checks = sources.iter().any(|source| HEALTH_CHECK_RANGES.contains(source));
    let who = if health_checks { "Google's health checks" } else { "the requests of the load balancer's proxies" };
    let (from, to) = (some_of(&sources, 4), some_of(ports.iter().map(|port| format!("tcp:{port}")), 4));
    let message = match first.why {
        Closed::Denied(by) => format!(
            "firewall rule {:?} (priority {}) of network {:?} keeps {from} from {to} of the nodes: {who} do not arrive",
            by.name,
            priority(by),
            vpc.name()
        ),
        Closed::NoRule => {
            format!("no firewall rule of network {:?} lets {from} in to {to} of the nodes: {who} do not arrive", vpc.name())
        }
    };
    let answers = backend.failing_answers(topology).unwrap_or_default();
    let served = answers.iter().find(|one| one.passes());
    let mut finding = if served.is_some() { Finding::certain(message) } else { Finding::likely(message) };
    for (place, saw) in described(topology, &vpc, first) {
        finding = finding.evidence(place, saw);
    }
    finding = finding.evidence(
        format!("endpoints of {}", backend.name),
        format!("{} UNHEALTHY, {} HEALTHY", failing.len(), backend.count(State::Healthy)),
    );
    if let Some(served) = served {
        let more = counted(answers.iter().filter(|one| one.passes()).count(), "pod");
        let said = served.answer.status.map_or_else(|| "connected".to_owned(), |status| status.to_string());
        finding = finding.evidence(served.place(), format!("{said}, from inside the cluster ({more})"));
    }
    for step in mend(topology, backend, &vpc, &shut) {
        finding = finding.fix(step);
    }
    Ok(Some(finding))
}

/// Nothing fails as far as was seen; where the health could not be read, nothing was seen.
fn unless_unread(backend: &Backend<'_>) -> Answer {
    backend.health_unread().filter(|why| &*why.reason != "NoHealthState").map_or(Ok(None), Err)
}

/// Its pod, if one is known, has been there long enough for the controller to open its port.
fn settled(topology: &Topology<'_>, backend: &Backend<'_>, member: &Member<'_>) -> bool {
    member.pod.is_none() || topology.lasted_when_read(backend, Backend::serving_since(member), topology.grace.rollout)
}

/// The pods serve at its port, as far as the slices tell: for an endpoint that was left behind the controller opens nothing.
fn wanted(backend: &Backend<'_>, member: &Member<'_>) -> bool {
    let served = |one: &SliceEndpoint<'_>| one.port.map(i64::from);
    let endpoints = backend.endpoints.as_deref().unwrap_or_default();
    let mut ports = endpoints.iter().filter_map(served).peekable();
    backend.kind == GroupKind::InstanceGroup || ports.peek().is_none() || ports.any(|port| port == member.port)
}

/// What does not get through, each source and port once.
fn shut<'a>(
    topology: &Topology<'_>,
    backend: &Backend<'_>,
    vpc: &Vpc<'a>,
    failing: &[&Member<'_>],
    proxies: &[Ipv4Net],
) -> Vec<Shut<'a>> {
    let mut known = BTreeSet::new();
    let mut shut = Vec::new();
    for member in failing {
        let Ok(destination) = member.address.parse::<Ipv4Addr>() else { continue };
        let ports = vpc::ports(topology, backend, member);
        let checks = HEALTH_CHECK_RANGES.iter().flat_map(|source| ports.iter().map(move |port| (*source, *port)));
        // The proxies carry requests alone, to the port that serves.
        let serving = u16::try_from(member.port).unwrap_or_default();
        let requests = proxies.iter().map(|source| (*source, serving)).filter(|(_, port)| *port != 0);
        for (source, port) in checks.chain(requests) {
            if let Some(why) = vpc.rules.closed(source, Some(destination), port)
                && known.insert((source, port))
            {
                shut.push(Shut { source, destination, port, why });
            }
        }
    }
    shut
}
