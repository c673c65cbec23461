//! One world many times over, for what only a large cluster shows.
//!
//! In: a world. Out: the same with each of its namespaces several times, every copy with a load balancer of its own. Never changes what
//! the cluster has once: nodes, kube-system, firewalls.

use anyhow::Result;
use serde_json::Value;

use super::{Compute, World, is_system};

impl World {
    /// This world with its namespaces `count` times. Only those in `namespaces` are kept and copied; their names are found in the names of
    /// Compute resources as well, so no field may be called as they are. `renames` says what else is called differently in the copy of
    /// this number.
    ///
    /// # Errors
    /// When there is no free address for a copy.
    pub fn copies(&self, namespaces: &[&str], count: usize, renames: impl Fn(usize) -> Vec<(String, String)>) -> Result<Self> {
        let kept = |object: &&Value| match object["metadata"]["namespace"].as_str() {
            Some(namespace) => is_system(namespace) || namespaces.contains(&namespace),
            None => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                object["kind"] != "Namespace" || is_system(name) || namespaces.contains(&name)
            }
        };
        let base = Self { objects: self.objects.iter().filter(kept).cloned().collect(), ..self.clone() };
        let mut all: Option<Self> = None;
        for at in 0..count {
            let copy = base.renamed(namespaces, at, &renames(at));
            match &mut all {
                Some(all) => drop(all.merge(copy)?),
                None => all = Some(copy),
            }
        }
        Ok(all.unwrap_or(base))
    }

    /// All in one zone: the first of the nodes'.
    #[must_use]
    pub fn in_one_zone(&self) -> Self {
        let mut zones: Vec<String> = self
            .of_kind("Node")
            .filter_map(|node| node["metadata"]["labels"]["topology.kubernetes.io/zone"].as_str().map(str::to_owned))
            .collect();
        zones.sort();
        zones.dedup();
        let Some((first, others)) = zones.split_first() else { return self.clone() };
        let moved = |text: String| others.iter().fold(text, |text, other| text.replace(other.as_str(), first));
        let mut world = Self {
            objects: self.objects.iter().map(|object| reread(object, moved)).collect(),
            cluster: self.cluster.as_ref().map(|cluster| reread(cluster, moved)),
            ..self.clone()
        };
        for object in &mut world.objects {
            let status = object.pointer_mut("/metadata/annotations/cloud.google.com~1neg-status");
            if let Some(Value::String(status)) = status {
                let mut parsed: Value = serde_json::from_str(status).unwrap_or_default();
                unique(parsed.get_mut("zones"), "");
                *status = parsed.to_string();
            }
            unique(object.pointer_mut("/status/networkEndpointGroups"), "/selfLink");
        }
        if let Some(compute) = &mut world.compute {
            *compute = one_zone(compute, moved);
        }
        world
    }

    fn renamed(&self, namespaces: &[&str], at: usize, renames: &[(String, String)]) -> Self {
        let rename = |text: String| {
            let text = renames.iter().fold(text, |text, (old, new)| text.replace(old.as_str(), new));
            namespaces.iter().fold(text, |text, name| {
                let new = format!("{name}{at:03}");
                // As a namespace, in the path of one, and in the name of what GKE makes for one.
                [
                    (format!("\"{name}\""), format!("\"{new}\"")),
                    (format!("\"{name}/"), format!("\"{new}/")),
                    (format!("-{name}-"), format!("-{new}-")),
                    (format!(" {name}/"), format!(" {new}/")),
                ]
                .into_iter()
                .fold(text, |text, (old, new)| text.replace(&old, &new))
            })
        };
        let mut world = self.clone();
        world.objects = self.objects.iter().map(|object| reread(object, rename)).collect();
        world.compute = self.compute.as_ref().map(|compute| changed(compute, rename));
        for probe in world.probes.iter_mut().flatten() {
            for name in namespaces {
                if let Some(pod) = probe.pod.strip_prefix(&format!("{name}/")) {
                    probe.pod = format!("{name}{at:03}/{pod}");
                }
            }
        }
        world
    }
}

fn reread(value: &Value, change: impl Fn(String) -> String) -> Value {
    serde_json::from_str(&change(value.to_string())).unwrap_or_default()
}

fn changed(compute: &Compute, change: impl Fn(String) -> String + Copy) -> Compute {
    let key = |text: &String| change(format!("\"{text}\"")).trim_matches('"').to_owned();
    let all = |values: &Vec<Value>| values.iter().map(|value| reread(value, change)).collect::<Vec<_>>();
    Compute {
        resources: compute.resources.iter().map(|(path, value)| (key(path), reread(value, change))).collect(),
        endpoints: compute.endpoints.iter().map(|(path, values)| (key(path), all(values))).collect(),
        health: compute
            .health
            .iter()
            .map(|(path, groups)| (key(path), groups.iter().map(|(path, values)| (key(path), all(values))).collect()))
            .collect(),
        ..compute.clone()
    }
}

/// What was in several zones, in one.
fn one_zone(compute: &Compute, moved: impl Fn(String) -> String + Copy) -> Compute {
    let mut one = Compute { errors: compute.errors.clone(), ..Compute::default() };
    for (path, value) in &compute.resources {
        let mut value = reread(value, moved);
        unique(value.get_mut("backends"), "/group");
        one.resources.insert(moved(path.clone()), value);
    }
    for (path, values) in &compute.endpoints {
        let held = one.endpoints.entry(moved(path.clone())).or_default();
        held.extend(values.iter().map(|value| reread(value, moved)));
    }
    for (service, groups) in &compute.health {
        let held = one.health.entry(service.clone()).or_default();
        for (path, values) in groups {
            held.entry(moved(path.clone())).or_default().extend(values.iter().map(|value| reread(value, moved)));
        }
    }
    one
}

/// Keeps the first of those that are the same at `pointer`.
fn unique(list: Option<&mut Value>, pointer: &str) {
    if let Some(Value::Array(items)) = list {
        let mut known = Vec::new();
        items.retain(|item| {
            let own = item.pointer(pointer).cloned();
            let new = !known.contains(&own);
            known.push(own);
            new
        });
    }
}
