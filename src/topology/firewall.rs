//! What the firewall rules of a VPC network let in to the nodes of the cluster.
//!
//! Enters: the rules of one network, the tags of the nodes, a source, a destination, a TCP port. Leaves: whether all of the source gets
//! through, and which rule keeps it out. Never: reads anything; takes an allow rule that may apply for one that does not.
//! Source: VPC firewall rules (<https://cloud.google.com/firewall/docs/firewalls>): the lowest priority number decides, at the same number a
//! deny rule, at last the implied deny. A rule with source tags or source accounts alone matches no load balancer.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use crate::snapshot::compute::{Firewall, FirewallPorts};

/// The priority of a rule that names none.
const DEFAULT_PRIORITY: i64 = 1000;

/// What is known of the network tags of the cluster's nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeTags {
    /// Tags that all nodes carry.
    pub sure: BTreeSet<Box<str>>,
    /// Further tags that some nodes may carry; `None` when these cannot be known.
    pub further: Option<BTreeSet<Box<str>>>,
}

/// A rule in the form in which it is compared.
#[derive(Debug)]
struct Rule<'a> {
    firewall: &'a Firewall,
    deny: bool,
    sources: Vec<Ipv4Net>,
    destinations: Vec<Ipv4Net>,
}

/// The rules of a network for incoming traffic to the nodes, in the order in which they decide.
#[derive(Debug)]
pub struct Rules<'a> {
    rules: Vec<Rule<'a>>,
    tags: NodeTags,
    controllers: Option<String>,
}

/// Why not all of a source gets through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Closed<'a> {
    /// No rule lets it in.
    NoRule,
    /// This rule keeps it, or a part of it, out.
    Denied(&'a Firewall),
}

/// The name of the cluster in a node tag of GKE's own, `gke-CLUSTER-HASH-node`.
pub fn cluster_in_tag(tag: &str) -> Option<&str> {
    let (cluster, hash) = tag.strip_prefix("gke-")?.strip_suffix("-node")?.rsplit_once('-')?;
    (hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(cluster)
}

/// The number that decides the order of rules; lower wins.
pub fn priority(firewall: &Firewall) -> i64 {
    firewall.priority.unwrap_or(DEFAULT_PRIORITY)
}

impl<'a> Rules<'a> {
    /// The rules in force. `controllers` is the name of the rule that GKE's controller keeps: its target is nothing but a tag of the nodes.
    pub fn of(firewalls: impl IntoIterator<Item = &'a Firewall>, tags: NodeTags, controllers: Option<String>) -> Self {
        let incoming = |firewall: &&Firewall| matches!(&*firewall.direction, "" | "INGRESS") && !firewall.disabled;
        let mut rules: Vec<_> = firewalls.into_iter().filter(incoming).map(Rule::of).collect();
        rules.sort_by_key(|rule| (priority(rule.firewall), !rule.deny, &rule.firewall.name));
        Self { rules, tags, controllers }
    }

    /// What is known of the nodes' tags.
    pub fn tags(&self) -> &NodeTags {
        &self.tags
    }

    /// What keeps `source`, or a part of it, from a TCP port of a pod or node; `None` when all of it gets through. Where the destination
    /// is not known, a rule for some destinations lets in but keeps nobody out.
    pub fn closed(&self, source: Ipv4Net, destination: Option<Ipv4Addr>, port: u16) -> Option<Closed<'a>> {
        for rule in &self.rules {
            if !rule.on_port(port) || !rule.reaches(destination) || !self.applies(rule) {
                continue;
            }
            if rule.sources.iter().any(|block| block.contains(&source)) {
                return rule.deny.then_some(Closed::Denied(rule.firewall));
            }
            // It decides about a part: the parts are asked one by one.
            if rule.sources.iter().any(|block| source.contains(block)) {
                let halves = source.subnets(source.prefix_len() + 1).into_iter().flatten();
                return halves.map(|half| self.closed(half, destination, port)).find(Option::is_some).flatten();
            }
        }
        Some(Closed::NoRule)
    }

    /// The first allow rule that matches all of `source`, whatever stands before it.
    pub fn allowing(&self, source: Ipv4Net, destination: Option<Ipv4Addr>, port: u16) -> Option<&'a Firewall> {
        let matches = |rule: &&Rule<'a>| !rule.deny && rule.admits(source, destination, port) && self.applies(rule);
        self.rules.iter().find(matches).map(|rule| rule.firewall)
    }

    fn applies(&self, rule: &Rule<'_>) -> bool {
        let firewall = rule.firewall;
        if firewall.target_tags.is_empty() && firewall.target_service_accounts.is_empty() {
            return true;
        }
        if firewall.target_tags.iter().any(|tag| self.tags.sure.contains(tag)) {
            return true;
        }
        // Whom it targets besides cannot be seen: such a rule is taken for one that lets in, never for one that keeps out.
        if rule.deny {
            return false;
        }
        let controllers = self.controllers.as_deref().is_some_and(|name| *name == *firewall.name);
        let possible = |tag: &str| match &self.tags.further {
            Some(further) => further.contains(tag),
            None => self.tags.sure.is_empty() || !controllers && cluster_in_tag(tag).is_none(),
        };
        !firewall.target_service_accounts.is_empty() || firewall.target_tags.iter().any(|tag| possible(tag))
    }
}

/// Whether a rule that is switched off would let all of `source` in.
pub fn would_admit(firewall: &Firewall, source: Ipv4Net, destination: Option<Ipv4Addr>, port: u16) -> bool {
    let rule = Rule::of(firewall);
    !rule.deny && matches!(&*firewall.direction, "" | "INGRESS") && rule.admits(source, destination, port)
}

impl<'a> Rule<'a> {
    fn of(firewall: &'a Firewall) -> Self {
        let blocks = |texts: &[Box<str>]| -> Vec<Ipv4Net> { texts.iter().filter_map(|text| ipv4_block(text)).collect() };
        let anybody =
            firewall.source_ranges.is_empty() && firewall.source_tags.is_empty() && firewall.source_service_accounts.is_empty();
        Self {
            firewall,
            deny: !firewall.denied.is_empty(),
            sources: if anybody { vec![Ipv4Net::default()] } else { blocks(&firewall.source_ranges) },
            destinations: blocks(&firewall.destination_ranges),
        }
    }

    fn admits(&self, source: Ipv4Net, destination: Option<Ipv4Addr>, port: u16) -> bool {
        self.on_port(port)
            && self.reaches(destination)
            && Ipv4Net::aggregate(&self.sources).iter().any(|block| block.contains(&source))
    }

    fn on_port(&self, port: u16) -> bool {
        let entries = if self.deny { &self.firewall.denied } else { &self.firewall.allowed };
        entries.iter().any(|entry| covers(entry, port))
    }

    fn reaches(&self, destination: Option<Ipv4Addr>) -> bool {
        if self.firewall.destination_ranges.is_empty() {
            return true;
        }
        destination.map_or(!self.deny, |address| self.destinations.iter().any(|block| block.contains(&address)))
    }
}

/// An IPv4 block; a single address counts as one.
pub fn ipv4_block(text: &str) -> Option<Ipv4Net> {
    match text.parse::<IpNet>() {
        Ok(IpNet::V4(block)) => Some(block.trunc()),
        Ok(IpNet::V6(_)) => None,
        Err(_) => text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from),
    }
}

/// The first and last port of `8080` or `30000-32767`.
pub fn port_range(text: &str) -> Option<(u16, u16)> {
    match text.split_once('-') {
        Some((first, last)) => Some((first.trim().parse().ok()?, last.trim().parse().ok()?)),
        None => text.trim().parse().ok().map(|port| (port, port)),
    }
}

fn covers(entry: &FirewallPorts, port: u16) -> bool {
    let tcp = ["tcp", "6", "all"].iter().any(|protocol| entry.protocol.eq_ignore_ascii_case(protocol));
    let in_range = |text: &str| port_range(text).is_some_and(|(first, last)| (first..=last).contains(&port));
    tcp && (entry.ports.is_empty() || entry.ports.iter().any(|text| in_range(text)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PROBERS: &str = "35.191.0.0/16";

    fn firewalls(rules: Value) -> Vec<Firewall> {
        serde_json::from_value(rules).unwrap()
    }

    fn closed(rules: Value, source: &str, port: u16) -> Option<String> {
        let firewalls = firewalls(rules);
        let tags = NodeTags { sure: [Box::from("gke-prod-5e2b9c41-node")].into(), further: None };
        let rules = Rules::of(&firewalls, tags, Some("k8s-fw-l7--1".into()));
        let destination = Some(Ipv4Addr::new(10, 4, 0, 5));
        rules.closed(ipv4_block(source).unwrap(), destination, port).map(|closed| match closed {
            Closed::NoRule => "none".to_owned(),
            Closed::Denied(by) => by.name.to_string(),
        })
    }

    fn allow(name: &str, more: Value) -> Value {
        let mut rule = json!({"name": name, "direction": "INGRESS", "sourceRanges": [PROBERS], "allowed": [{"IPProtocol": "tcp", "ports": ["8080"]}]});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    }

    fn deny(name: &str, priority: i64, source: &str) -> Value {
        json!({"name": name, "priority": priority, "sourceRanges": [source], "denied": [{"IPProtocol": "all"}]})
    }

    #[test]
    fn the_implied_rule_keeps_out() {
        assert_eq!(closed(json!([]), PROBERS, 8080).as_deref(), Some("none"));
        assert_eq!(closed(json!([allow("a", json!({}))]), PROBERS, 8080), None);
        assert_eq!(closed(json!([allow("a", json!({}))]), PROBERS, 8081).as_deref(), Some("none"));
        assert_eq!(closed(json!([allow("a", json!({"disabled": true}))]), PROBERS, 8080).as_deref(), Some("none"));
        assert_eq!(closed(json!([allow("a", json!({"direction": "EGRESS"}))]), PROBERS, 8080).as_deref(), Some("none"));
    }

    #[test]
    fn the_lowest_number_decides_and_deny_goes_first() {
        assert_eq!(closed(json!([allow("a", json!({})), deny("d", 999, "0.0.0.0/0")]), PROBERS, 8080).as_deref(), Some("d"));
        assert_eq!(closed(json!([allow("a", json!({})), deny("d", 1000, "0.0.0.0/0")]), PROBERS, 8080).as_deref(), Some("d"));
        assert_eq!(closed(json!([allow("a", json!({})), deny("d", 1001, "0.0.0.0/0")]), PROBERS, 8080), None);
        assert_eq!(closed(json!([allow("a", json!({"priority": 10})), deny("d", 999, "0.0.0.0/0")]), PROBERS, 8080), None);
    }

    #[test]
    fn parts_of_a_source_count() {
        let halves = json!([
            allow("a", json!({"sourceRanges": ["35.191.0.0/17"]})),
            allow("b", json!({"sourceRanges": ["35.191.128.0/17"], "priority": 5}))
        ]);
        assert_eq!(closed(halves, PROBERS, 8080), None);
        assert_eq!(
            closed(json!([allow("a", json!({"sourceRanges": ["35.191.0.0/17"]}))]), PROBERS, 8080).as_deref(),
            Some("none")
        );
        assert_eq!(closed(json!([allow("a", json!({})), deny("d", 1, "35.191.7.0/24")]), PROBERS, 8080).as_deref(), Some("d"));
    }

    #[test]
    fn protocols_and_ports() {
        for allowed in
            [json!({"IPProtocol": "all"}), json!({"IPProtocol": "6"}), json!({"IPProtocol": "TCP", "ports": ["1-65535"]})]
        {
            assert_eq!(closed(json!([allow("a", json!({"allowed": [allowed]}))]), PROBERS, 8080), None);
        }
        let udp = json!({"allowed": [{"IPProtocol": "udp"}]});
        assert_eq!(closed(json!([allow("a", udp)]), PROBERS, 8080).as_deref(), Some("none"));
    }

    #[test]
    fn targets() {
        let is_open = |more: Value| closed(json!([allow("a", more)]), PROBERS, 8080).is_none();
        assert!(is_open(json!({"targetTags": ["gke-prod-5e2b9c41-node"]})));
        assert!(!is_open(json!({"targetTags": ["gke-other-0a1b2c3d-node"]})), "another cluster's nodes");
        assert!(is_open(json!({"targetTags": ["web"]})), "the nodes may carry it");
        assert!(is_open(json!({"targetServiceAccounts": ["nodes@p.iam.gserviceaccount.com"]})));
        assert!(
            !is_open(json!({"name": "k8s-fw-l7--1", "targetTags": ["web"]})),
            "the controller's rule names no tag but the nodes'"
        );
        let mut denied = deny("d", 1, "0.0.0.0/0");
        denied["targetTags"] = json!(["web"]);
        assert_eq!(closed(json!([allow("a", json!({})), denied]), PROBERS, 8080), None, "nor does it keep out");
    }

    #[test]
    fn sources_and_destinations() {
        let is_open = |more: Value| closed(json!([allow("a", more)]), PROBERS, 8080).is_none();
        assert!(is_open(json!({"sourceRanges": []})), "no source at all means everybody");
        assert!(!is_open(json!({"sourceRanges": [], "sourceTags": ["bastion"]})));
        assert!(!is_open(json!({"sourceRanges": [], "sourceServiceAccounts": ["a@b"]})));
        assert!(is_open(json!({"destinationRanges": ["10.4.0.0/14"]})));
        assert!(!is_open(json!({"destinationRanges": ["10.128.0.0/20"]})));
        assert!(!is_open(json!({"sourceRanges": ["2600:2d00:1:b029::/64"]})));
    }
}
