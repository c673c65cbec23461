//! How a firewall rule is described, and the command that mends it.
//!
//! Enters: what does not get through. Leaves: evidence, and `gcloud` commands that can be pasted.
//! Never: opens more than the load balancer needs.
//! Source: ingress-gce `pkg/firewalls`: the controller compares source ranges, ports and target tags of its one rule, neither its priority
//! nor whether it is switched off, so what is changed there stays.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::rules::text::quote;
use crate::snapshot::compute::Firewall;
use crate::topology::firewall::{Closed, port_range, priority, would_admit};
use crate::topology::vpc::{HEALTH_CHECK_RANGES, NODE_PORTS, Vpc, distinct};
use crate::topology::{Backend, GroupKind, Topology};

/// A source that does not get through to a port, and why.
#[derive(Clone, Copy)]
pub struct Shut<'a> {
    /// The address block.
    pub source: Ipv4Net,
    /// The endpoint's address.
    pub destination: Ipv4Addr,
    /// The TCP port.
    pub port: u16,
    /// Why.
    pub why: Closed<'a>,
}

/// The description that the controller gives its rule.
const DESCRIPTION: &str = "GCE L7 firewall rule";

/// Evidence about the rules: where, and what stands there.
pub fn described(topology: &Topology<'_>, vpc: &Vpc<'_>, first: &Shut<'_>) -> Vec<(String, String)> {
    let mut evidence = Vec::new();
    if let Closed::Denied(by) = first.why {
        evidence.push((place(vpc, &by.name), words(by)));
    }
    match topology.fleet.ids.firewall_rule() {
        Some(name) => match vpc.rule(&name) {
            Some(rule) => evidence.push((place(vpc, &name), words(rule))),
            None => evidence.push((place(vpc, &name), "absent".to_owned())),
        },
        None => evidence.push((format!("firewall rules of {}", vpc.network), vpc.all.len().to_string())),
    }
    if let Some(off) = switched_off(vpc, first)
        && topology.fleet.ids.firewall_rule().as_deref() != Some(&*off.name)
    {
        evidence.push((place(vpc, &off.name), words(off)));
    }
    let tags = &vpc.rules.tags().sure;
    if !tags.is_empty() {
        evidence.push(("tags of the nodes".to_owned(), join(tags)));
    }
    evidence
}

/// The command that mends it, and what else to know.
pub fn mend(topology: &Topology<'_>, backend: &Backend<'_>, vpc: &Vpc<'_>, shut: &[Shut<'_>]) -> Vec<String> {
    let Some(first) = shut.first() else { return Vec::new() };
    let project = quote(vpc.project());
    let update =
        |name: &str, change: String| format!("gcloud compute firewall-rules update {} --project={project} {change}", quote(name));
    let name = topology.fleet.ids.firewall_rule();
    let mut steps = Vec::new();
    if let Closed::Denied(by) = first.why {
        let outranked = vpc.rules.allowing(first.source, Some(first.destination), first.port);
        match outranked {
            Some(allow) if priority(by) > 0 => steps.push(update(&allow.name, format!("--priority={}", priority(by) - 1))),
            Some(_) => steps.push(update(&by.name, "--disabled".to_owned())),
            None if priority(by) > 0 => steps.push(create(topology, backend, vpc, shut, Some(priority(by) - 1))),
            None => steps.push(update(&by.name, "--disabled".to_owned())),
        }
        steps.push(format!("or take the load balancer's ranges and ports out of what rule {} denies", by.name));
        return steps;
    }
    if let Some(off) = switched_off(vpc, first) {
        steps.push(update(&off.name, "--no-disabled".to_owned()));
        return steps;
    }
    match name.as_deref().and_then(|name| vpc.rule(name)) {
        Some(rule) => steps.push(update(&rule.name, widened(vpc, rule, shut))),
        None => steps.push(create(topology, backend, vpc, shut, None)),
    }
    steps.push(if vpc.project() == topology.project() {
        "GKE's controller keeps this rule: where it comes back wrong, its service agent may not change firewall rules".to_owned()
    } else {
        format!("somebody who may change firewall rules in the host project {} has to run it", vpc.project())
    });
    steps
}

/// A rule that is switched off and would let the first one in.
fn switched_off<'a>(vpc: &Vpc<'a>, first: &Shut<'_>) -> Option<&'a Firewall> {
    let off = |rule: &&Firewall| rule.disabled && would_admit(rule, first.source, Some(first.destination), first.port);
    vpc.all.iter().copied().find(off)
}

/// The rule as the controller would make it.
fn create(topology: &Topology<'_>, backend: &Backend<'_>, vpc: &Vpc<'_>, shut: &[Shut<'_>], priority: Option<i64>) -> String {
    let absent = topology.fleet.ids.firewall_rule().filter(|name| vpc.rule(name).is_none());
    let name = absent.unwrap_or_else(|| "allow-google-health-checks".to_owned());
    let sources = distinct(HEALTH_CHECK_RANGES.into_iter().chain(shut.iter().map(|one| one.source)));
    let mut command = format!(
        "gcloud compute firewall-rules create {} --project={} --network={} --description={} --direction=INGRESS --allow={} --source-ranges={}",
        quote(&name),
        quote(vpc.project()),
        quote(vpc.name()),
        quote(DESCRIPTION),
        ports(topology, backend, shut),
        join(&sources)
    );
    let tags = &vpc.rules.tags().sure;
    if !tags.is_empty() {
        command.push_str(&format!(" --target-tags={}", quote(&join(tags))));
    }
    if let Some(priority) = priority {
        command.push_str(&format!(" --priority={priority}"));
    }
    command
}

/// Every port that the controller would open: those that are shut, those of the cluster's other endpoints, and the node ports where a
/// backend is reached by nodes.
fn ports(topology: &Topology<'_>, backend: &Backend<'_>, shut: &[Shut<'_>]) -> String {
    let nodes = &topology.snapshot.kubernetes.nodes;
    let endpoints =
        topology.snapshot.compute.endpoints.values().flat_map(|endpoints| endpoints.iter()).map(|entry| &entry.network_endpoint);
    let others = endpoints
        .filter(|endpoint| nodes.get("", &endpoint.instance).seen().is_some())
        .filter_map(|one| u16::try_from(one.port).ok());
    let by_nodes =
        backend.kind == GroupKind::InstanceGroup || topology.backends.iter().any(|other| other.kind == GroupKind::InstanceGroup);
    let single: BTreeSet<u16> = shut.iter().map(|one| one.port).chain(others).filter(|port| *port != 0).collect();
    let (first, last) = NODE_PORTS;
    let mut words: Vec<_> =
        single.iter().filter(|port| !(by_nodes && (first..=last).contains(*port))).map(|port| format!("tcp:{port}")).collect();
    if by_nodes {
        words.push(format!("tcp:{first}-{last}"));
    }
    words.join(",")
}

/// What an existing rule lacks, added to what it has.
fn widened(vpc: &Vpc<'_>, rule: &Firewall, shut: &[Shut<'_>]) -> String {
    let has_sources = rule.source_ranges.iter().map(|range| range.to_string());
    let sources = distinct(has_sources.chain(shut.iter().map(|one| one.source.to_string())));
    let mut allowed: Vec<String> = Vec::new();
    for entry in &rule.allowed {
        let protocol = &entry.protocol;
        if entry.ports.is_empty() {
            allowed.push(protocol.to_string());
        }
        allowed.extend(entry.ports.iter().map(|port| format!("{protocol}:{port}")));
    }
    let has = |port: u16| {
        rule.allowed.iter().any(|entry| {
            entry.protocol.eq_ignore_ascii_case("tcp")
                && (entry.ports.is_empty()
                    || entry
                        .ports
                        .iter()
                        .any(|text| port_range(text).is_some_and(|(first, last)| (first..=last).contains(&port))))
        })
    };
    let lacking: BTreeSet<u16> = shut.iter().map(|one| one.port).filter(|port| !has(*port)).collect();
    allowed.extend(lacking.iter().map(|port| format!("tcp:{port}")));
    let mut change = format!("--allow={} --source-ranges={}", quote(&allowed.join(",")), quote(&join(&sources)));
    let tags = &vpc.rules.tags().sure;
    if !tags.is_empty() && !rule.target_tags.is_empty() && !rule.target_tags.iter().any(|tag| tags.contains(tag)) {
        change.push_str(&format!(" --target-tags={}", quote(&join(tags))));
    }
    change
}

fn place(vpc: &Vpc<'_>, name: &str) -> String {
    format!("firewall rule projects/{}/global/firewalls/{name}", vpc.project())
}

/// A rule in one line.
fn words(rule: &Firewall) -> String {
    let (verb, entries) = if rule.denied.is_empty() { ("allows", &rule.allowed) } else { ("denies", &rule.denied) };
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| {
            if entry.ports.is_empty() {
                entry.protocol.to_string()
            } else {
                format!("{}:{}", entry.protocol, entry.ports.join(","))
            }
        })
        .collect();
    let off = if rule.disabled { "disabled, " } else { "" };
    let targets =
        if rule.target_tags.is_empty() { String::new() } else { format!(", target tags {}", rule.target_tags.join(",")) };
    format!("{off}priority {}, {verb} {} from {}{targets}", priority(rule), entries.join(" "), rule.source_ranges.join(","))
}

fn join<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}
