//! Two worlds of the same cluster as one, for a demo that shows several faults at once.
//!
//! In: two worlds. Out: one. Never mixes what both have of a namespace: it stays as the first has
//! it.
//!
//! What both have (nodes, the system's namespaces, shared Compute resources) is taken from the
//! first; addresses of pods and Services that both use for something else are renumbered in the
//! second.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Compute, Probe, World};

impl World {
    /// Adds another world of the same project and cluster; its times are moved to this one's.
    /// Returns the namespaces of the other world, without those of the system, that are left out
    /// because this one has them already.
    ///
    /// # Errors
    /// When it is of another cluster, or no address is free for one that both use.
    pub fn merge(&mut self, mut other: Self) -> Result<BTreeSet<String>> {
        let (ours, theirs) = (&self.meta, &other.meta);
        if ours.project != theirs.project
            || ours.cluster.name != theirs.cluster.name
            || ours.cluster.location != theirs.cluster.location
        {
            bail!("worlds of different clusters cannot be merged: {} and {}", ours.cluster.name, theirs.cluster.name);
        }
        other.shift_to(self.meta.taken_at);
        let known: BTreeSet<Identity> = self.objects.iter().map(identity).collect();
        let taken: BTreeSet<String> = self.objects.iter().filter_map(namespace).map(str::to_owned).collect();
        let left_out = other.namespaces().intersection(&taken).cloned().collect();
        other.objects.retain(|object| match namespace(object) {
            Some(namespace) => !taken.contains(namespace),
            None => !known.contains(&identity(object)),
        });
        if let Some(probes) = &mut other.probes {
            probes.retain(|probe| probe.pod.split('/').next().is_none_or(|namespace| !taken.contains(namespace)));
        }
        other.renumber(&self.addresses())?;
        self.objects.append(&mut other.objects);
        self.cluster = self.cluster.take().or(other.cluster);
        self.meta.unreadable.append(&mut other.meta.unreadable);
        self.compute = match (self.compute.take(), other.compute) {
            (Some(mut ours), Some(theirs)) => {
                ours.add(theirs);
                Some(ours)
            }
            (ours, theirs) => ours.or(theirs),
        };
        if let Some(theirs) = other.probes {
            self.probes.get_or_insert_default().extend(theirs);
        }
        Ok(left_out)
    }

    /// The addresses of pods and Services.
    fn addresses(&self) -> BTreeSet<Ipv4Addr> {
        let of_objects = self.objects.iter().flat_map(|object| {
            let several = ["/spec/clusterIPs", "/status/podIPs", "/endpoints"];
            let several = several.into_iter().filter_map(|at| object.pointer(at)?.as_array()).flatten();
            let nested = several.flat_map(|entry| match entry {
                Value::String(_) => vec![entry],
                entry => entry["addresses"].as_array().into_iter().flatten().chain([&entry["ip"]]).collect(),
            });
            let single = ["/spec/clusterIP", "/status/podIP"].into_iter().filter_map(|at| object.pointer(at));
            nested.chain(single).filter_map(|ip| ip.as_str()?.parse().ok()).collect::<Vec<_>>()
        });
        let of_probes = self.probes.iter().flatten().filter_map(|probe| probe.ip.parse().ok());
        of_objects.chain(of_probes).collect()
    }

    /// Gives what has one of the `taken` addresses another one of the same /24.
    fn renumber(&mut self, taken: &BTreeSet<Ipv4Addr>) -> Result<()> {
        let own = self.addresses();
        let mut used: BTreeSet<Ipv4Addr> = own.union(taken).copied().collect();
        let mut renamed = BTreeMap::new();
        for address in own.intersection(taken) {
            let [a, b, c, _] = address.octets();
            // From above, because recordings number from below.
            let free = (2..=254).rev().map(|d| Ipv4Addr::new(a, b, c, d)).find(|candidate| !used.contains(candidate));
            let free = free.with_context(|| format!("no free address beside {address}"))?;
            used.insert(free);
            renamed.insert(address.to_string(), free.to_string());
        }
        if renamed.is_empty() {
            return Ok(());
        }
        self.objects.iter_mut().for_each(|object| rename(object, &renamed));
        if let Some(compute) = &mut self.compute {
            compute.endpoints.values_mut().flatten().for_each(|endpoint| rename(endpoint, &renamed));
            compute.health.values_mut().flat_map(BTreeMap::values_mut).flatten().for_each(|health| rename(health, &renamed));
        }
        for Probe { ip, location, host, .. } in self.probes.iter_mut().flatten() {
            for text in [ip, host].into_iter().chain(location) {
                *text = renamed_text(text, &renamed);
            }
        }
        Ok(())
    }
}

impl Compute {
    fn add(&mut self, other: Self) {
        for (key, theirs) in other.resources {
            match self.resources.get_mut(&key) {
                Some(ours) => add_allowed(ours, &theirs),
                None => {
                    self.resources.insert(key, theirs);
                }
            }
        }
        first_wins(&mut self.endpoints, other.endpoints);
        first_wins(&mut self.health, other.health);
        first_wins(&mut self.errors, other.errors);
        first_wins(&mut self.instances, other.instances);
    }
}

fn first_wins<T>(ours: &mut BTreeMap<String, T>, theirs: BTreeMap<String, T>) {
    for (key, value) in theirs {
        ours.entry(key).or_insert(value);
    }
}

/// A firewall rule that both have lets through what either did.
fn add_allowed(ours: &mut Value, theirs: &Value) {
    let Some(theirs) = theirs["allowed"].as_array() else {
        return;
    };
    for entry in ours.get_mut("allowed").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(same) = theirs.iter().find(|their| their["IPProtocol"] == entry["IPProtocol"]) else {
            continue;
        };
        let Some(ports) = entry.get_mut("ports").and_then(Value::as_array_mut) else {
            continue;
        };
        for port in same["ports"].as_array().into_iter().flatten() {
            if !ports.contains(port) {
                ports.push(port.clone());
            }
        }
    }
}

type Identity = [String; 3];

fn namespace(object: &Value) -> Option<&str> {
    object["metadata"]["namespace"].as_str()
}

fn identity(object: &Value) -> Identity {
    [&object["apiVersion"], &object["kind"], &object["metadata"]["name"]].map(|part| part.as_str().unwrap_or_default().to_owned())
}

fn rename(value: &mut Value, renamed: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => *text = renamed_text(text, renamed),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, renamed)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces whole addresses, wherever they stand in a text.
fn renamed_text(text: &str, renamed: &BTreeMap<String, String>) -> String {
    let is_part = |character: char| character.is_ascii_digit() || character == '.';
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|character| !is_part(character)).unwrap_or(from.len());
        let (token, after) = from.split_at(end);
        let address = token.trim_end_matches('.');
        result.push_str(before);
        result.push_str(renamed.get(address).map_or(address, String::as_str));
        result.push_str(&token[address.len()..]);
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn world() -> World {
        World::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shop")).unwrap()
    }

    #[test]
    fn whole_addresses_are_renamed() {
        let renamed = BTreeMap::from([("10.4.0.5".to_owned(), "10.4.0.254".to_owned())]);
        for (before, after) in [
            ("10.4.0.5", "10.4.0.254"),
            ("https://10.4.0.5:8080/healthz.", "https://10.4.0.254:8080/healthz."),
            ("at 10.4.0.5.", "at 10.4.0.254."),
            ("10.4.0.55 110.4.0.5 10.4.0.5.1", "10.4.0.55 110.4.0.5 10.4.0.5.1"),
            ("v1", "v1"),
        ] {
            assert_eq!(renamed_text(before, &renamed), after);
        }
    }

    #[test]
    fn what_the_first_has_stays_as_it_is() {
        let mut ours = world();
        let (objects, probes) = (ours.objects.clone(), ours.probes.as_ref().unwrap().len());
        assert_eq!(ours.merge(world()).unwrap(), BTreeSet::from(["shop".to_owned()]));
        assert_eq!(ours.objects, objects);
        assert_eq!(ours.probes.unwrap().len(), probes);
    }

    #[test]
    fn another_namespace_is_added_and_renumbered() {
        let mut ours = world();
        let (objects, addresses) = (ours.objects.len(), ours.addresses().len());
        let text = serde_json::to_string(&ours.objects).unwrap().replace("\"shop\"", "\"shop2\"");
        let theirs = World { objects: serde_json::from_str(&text).unwrap(), probes: None, ..world() };
        let added: Vec<Value> = theirs
            .objects
            .iter()
            .filter(|object| namespace(object) == Some("shop2") || object["metadata"]["name"] == "shop2")
            .cloned()
            .collect();
        let own = World { objects: added.clone(), probes: None, ..world() }.addresses().len();
        assert!(own >= 4, "three pods and a Service");
        assert!(ours.merge(theirs).unwrap().is_empty());
        assert_eq!(ours.objects.len(), objects + added.len());
        assert_eq!(ours.addresses().len(), addresses + own);
    }

    #[test]
    fn firewall_rules_let_both_through() {
        let rule = |ports: &[&str]| serde_json::json!({"allowed": [{"IPProtocol": "tcp", "ports": ports}]});
        let mut ours = rule(&["30000-32767", "8080"]);
        add_allowed(&mut ours, &rule(&["30000-32767", "9000"]));
        assert_eq!(ours, rule(&["30000-32767", "8080", "9000"]));
    }
}
