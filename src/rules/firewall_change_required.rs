//! FirewallChangeRequired: the controller asks somebody else to write its firewall rule, and nobody has.

use std::collections::BTreeSet;

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::kubernetes::Event;
use crate::topology::firewall_command::{Action, Command};
use crate::topology::vpc::{self, Vpc, network_path};
use crate::topology::{State, Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "FirewallChangeRequired",
    section: Section::Path,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the controller may not write its firewall rule in the Shared VPC's host project, and nobody else has",
    doc: include_str!("firewall_change_required.md"),
    explains: &[
        "HealthCheckFirewallBlocked",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    if topology.ingress().is_none() {
        return Ok(None);
    }
    let Some((event, command)) = asked(topology)? else { return Ok(None) };
    let ports = concerned(topology, &command);
    if ports.is_empty() {
        return Ok(None);
    }
    let project = if command.project.is_empty() { topology.project() } else { &command.project };
    let vpc = if command.network.is_empty() {
        Vpc::of(topology)?
    } else {
        Vpc::of_network(topology, network_path(&command.network, project))?
    };
    let missing: BTreeSet<u16> = ports
        .into_iter()
        .filter(|port| command.sources().iter().any(|source| vpc.rules.closed(*source, None, *port).is_some()))
        .collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let name = &command.name;
    let state = if vpc.rule(name).is_some() { "does not let them in" } else { "absent" };
    let ports = some_of(missing.iter().map(|port| format!("tcp:{port}")), 4);
    Ok(Some(
        Finding::certain(format!(
            "GKE may not write firewall rule {name:?} in project {project:?}, and nobody else has: {} do not get through to {ports} of the nodes",
            some_of(&command.source_ranges, 4)
        ))
        .evidence("Ingress event XPN", &event.message)
        .evidence(format!("firewall rule projects/{}/global/firewalls/{name}", vpc.project()), state)
        .since(event.first)
        .fix(pasteable(&command, project))
        .fix(format!("somebody who may change firewall rules in project {project} has to run it; or let GKE's service agent do so")),
    ))
}

/// The latest command that the controller asks for and still stands: it is repeated with every resync.
fn asked<'a>(topology: &Topology<'a>) -> Result<Option<(&'a Event, Command)>, crate::snapshot::Unknown> {
    let all = topology.events.as_ref().map_err(Clone::clone)?;
    let standing = events::standing_notices(all);
    Ok(standing.into_iter().rev().find_map(|event| Some((event, Command::parse(&event.message)?))))
}

/// The ports of the command that this Ingress needs and that no healthy endpoint shows to be open; the ends of its ranges while the
/// Ingress has no endpoint.
fn concerned(topology: &Topology<'_>, command: &Command) -> BTreeSet<u16> {
    let ranges = command.ports();
    let mut members =
        topology.backends.iter().flat_map(|backend| backend.members_seen().map(move |member| (backend, member))).peekable();
    if members.peek().is_none() {
        return ranges.iter().flat_map(|(first, last)| [*first, *last]).collect();
    }
    let (mut open, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for (backend, member) in members {
        let ports = vpc::ports(topology, backend, member);
        if member.state == State::Healthy { &mut open } else { &mut needed }.extend(ports);
    }
    needed.retain(|port| !open.contains(port) && ranges.iter().any(|(first, last)| (first..=last).contains(&port)));
    needed
}

/// The command again, every foreign word quoted.
fn pasteable(command: &Command, project: &str) -> String {
    let verb = match command.action {
        Action::Create => "create",
        Action::Update => "update",
    };
    let mut text = format!("gcloud compute firewall-rules {verb} {} --project={}", quote(&command.name), quote(project));
    let lists = [
        ("network", command.network.clone()),
        ("description", command.description.clone()),
        ("allow", command.allow.join(",")),
        ("source-ranges", command.source_ranges.join(",")),
        ("target-tags", command.target_tags.join(",")),
    ];
    for (flag, value) in lists.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!(" --{flag}={}", quote(value)));
    }
    text
}
