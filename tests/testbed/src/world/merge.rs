//! Two worlds of the same cluster as one, for a demo that shows several faults at once.
//!
//! In: two worlds. Out: one. Never guesses: two different objects of the same name outside of the system's namespaces are an error.
//!
//! What both have (nodes, Leases, the default backend, shared firewall rules) is taken from the first; addresses of pods and Services
//! that both use for something else are renumbered in the second.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Compute, Probe, World, is_system};

impl World {
    /// Adds another world of the same project and cluster; its times are moved to this one's.
    ///
    /// # Errors
    /// When it is of another cluster, or both have an object of the same name.
    pub fn merge(&mut self, mut other: Self) -> Result<()> {
        let (ours, theirs) = (&self.meta, &other.meta);
        if ours.project != theirs.project || ours.cluster.name != theirs.cluster.name || ours.cluster.location != theirs.cluster.location {
            bail!("worlds of different clusters cannot be merged: {} and {}", ours.cluster.name, theirs.cluster.name);
        }
        other.shift_to(self.meta.taken_at);
        let known: BTreeSet<Identity> = self.objects.iter().map(identity).collect();
        let (shared, added): (Vec<Value>, Vec<Value>) =
            std::mem::take(&mut other.objects).into_iter().partition(|object| known.contains(&identity(object)));
        if let Some(twice) = shared.iter().find(|object| !is_shared(object)) {
            bail!("both worlds have {} {}/{}", twice["kind"], twice["metadata"]["namespace"], twice["metadata"]["name"]);
        }
        other.objects = added;
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
        Ok(())
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
    let Some(theirs) = theirs["allowed"].as_array() else { return };
    for entry in ours.get_mut("allowed").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(same) = theirs.iter().find(|their| their["IPProtocol"] == entry["IPProtocol"]) else { continue };
        let Some(ports) = entry.get_mut("ports").and_then(Value::as_array_mut) else { continue };
        for port in same["ports"].as_array().into_iter().flatten() {
            if !ports.contains(port) {
                ports.push(port.clone());
            }
        }
    }
}

type Identity = [String; 4];

fn identity(object: &Value) -> Identity {
    let metadata = &object["metadata"];
    [&object["apiVersion"], &object["kind"], &metadata["namespace"], &metadata["name"]].map(|part| part.as_str().unwrap_or_default().to_owned())
}

/// Whether an object of the same name in another world of the cluster is the same object.
fn is_shared(object: &Value) -> bool {
    object["metadata"]["namespace"].as_str().is_none_or(is_system)
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
    fn the_same_namespaced_object_twice_is_refused() {
        let error = world().merge(world()).unwrap_err().to_string();
        assert!(error.starts_with("both worlds have"), "{error}");
    }

    #[test]
    fn another_namespace_is_added_and_renumbered() {
        let mut ours = world();
        let count = ours.objects.len();
        let text = serde_json::to_string(&ours.objects).unwrap().replace("\"shop\"", "\"shop2\"");
        let theirs = World { objects: serde_json::from_str(&text).unwrap(), ..world() };
        let addresses = ours.addresses().len();
        let added = theirs.objects.iter().filter(|object| !is_shared(object) || object["metadata"]["name"] == "shop2").count();
        let own_addresses = World { objects: theirs.objects.iter().filter(|object| !is_shared(object)).cloned().collect(), ..world() }.addresses().len();
        ours.merge(theirs).unwrap();
        assert_eq!(ours.objects.len(), count + added);
        assert_eq!(ours.addresses().len(), addresses + own_addresses);
    }

    #[test]
    fn firewall_rules_let_both_through() {
        let rule = |ports: &[&str]| serde_json::json!({"allowed": [{"IPProtocol": "tcp", "ports": ports}]});
        let mut ours = rule(&["30000-32767", "8080"]);
        add_allowed(&mut ours, &rule(&["30000-32767", "9000"]));
        assert_eq!(ours, rule(&["30000-32767", "8080", "9000"]));
    }
}
