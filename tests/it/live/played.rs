//! A recorded world as the stand-ins play it, and what `diagnose FOLDER` says of that.
//!
//! A folder may say less than a live cluster does: what was not read at all (no `cluster.json`, say) is refused by the stand-ins.
//! The folder that is diagnosed here says so in the same words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};
use testbed::World;
use testbed::world::{Probe, Unreadable};

use super::OWN;
use super::cluster::{Cluster, by_key};
use super::product::program;
use crate::world;

/// API servers at work, each with one world at a time: most of a world's time is waiting.
const LANES: usize = 3;

/// Only these folders, separated by commas.
const ONLY: &str = "SCENARIO";

/// Plays every folder and fails with all differences. `start` makes an API server for many worlds, one after the other; `play` gives the
/// differences of one.
pub async fn every_folder(start: impl AsyncFn() -> Cluster, play: impl AsyncFn(&Cluster, &Path) -> Vec<String>) {
    let only = std::env::var(ONLY).ok();
    let wanted = |folder: &PathBuf| only.as_ref().is_none_or(|only| only.split(',').any(|only| only == world::name(folder)));
    let folders: Mutex<Vec<_>> = Mutex::new(world::folders().into_iter().filter(wanted).rev().collect());
    let lanes = (0..LANES).map(|_| async {
        let cluster = start().await;
        let mut wrong = Vec::new();
        loop {
            let next = folders.lock().unwrap().pop();
            let Some(folder) = next else { return wrong };
            let (name, begun) = (world::name(&folder), Instant::now());
            let differences = play(&cluster, &folder).await;
            println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
            wrong.extend(differences.into_iter().map(|difference| format!("{name}: {difference}")));
        }
    });
    let wrong: Vec<String> = futures::future::join_all(lanes).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What `diagnose -o json` prints for a world as it is played, by namespace and name.
pub fn expected(world: &World, settings: &Value) -> BTreeMap<String, Value> {
    let folder = tempfile::tempdir().unwrap();
    write(&as_played(world), folder.path());
    let config = folder.path().join("settings.yaml");
    std::fs::write(&config, settings.to_string()).unwrap();
    let output = Command::new(program())
        .arg("diagnose")
        .arg(folder.path())
        .args(["-o", "json", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let list = serde_json::from_slice(&output.stdout);
    by_key(list.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr))))
}

fn as_played(world: &World) -> World {
    let mut world = world.clone();
    let refused = |world: &World, source: &str, resource: &str| {
        world.meta.unreadable.iter().any(|entry| entry.source == source && entry.resource == resource)
    };
    let meta = &world.meta;
    if world.cluster.is_none() && !refused(&world, "container", "clusters") {
        let cluster = format!("projects/{}/locations/{}/clusters/{}", meta.project, meta.cluster.location, meta.cluster.name);
        let message = format!("Required \"container.clusters.get\" permission(s) for \"{cluster}\".");
        world.meta.unreadable.push(unreadable("container", "clusters", "forbidden", message));
    }
    if world.compute.is_none() {
        for kind in ingress_diagnosis::snapshot::compute::COLLECTIONS {
            if !refused(&world, "compute", kind) {
                let message = format!("Required 'compute.{kind}.list' permission for 'projects/{}'", world.meta.project);
                world.meta.unreadable.push(unreadable("compute", kind, "forbidden", message));
            }
        }
    }
    for entry in world.meta.unreadable.iter_mut().filter(|entry| entry.source == "kubernetes") {
        let (plural, group) = entry.resource.split_once('.').unwrap_or((&entry.resource, ""));
        entry.message = format!(
            "{} is forbidden: User \"system:serviceaccount:{OWN}:{OWN}\" cannot list resource \"{plural}\" in API group \"{group}\" \
             at the cluster scope",
            entry.resource
        );
    }
    let slow: Vec<Option<u64>> = world.probes.iter().flatten().map(|probe| timeout_exceeded(&world, probe)).collect();
    for (probe, slow) in world.probes.iter_mut().flatten().zip(slow) {
        // Nobody waits for an answer longer than the health check does.
        if let Some(seconds) = slow {
            (probe.status, probe.latency_ms, probe.location) = (None, None, None);
            (probe.error, probe.message) = (Some("Timeout".to_owned()), Some(format!("no answer within {seconds} s")));
        }
        if probe.error.as_deref() == Some("Protocol") {
            probe.message = Some("the answer is not HTTP/1: invalid HTTP version parsed".to_owned());
        }
    }
    // Who is refused a kind learns nothing of its scopes.
    if let Some(compute) = &mut world.compute {
        let kinds: Vec<&str> =
            world.meta.unreadable.iter().filter(|entry| entry.source == "compute").map(|entry| entry.resource.as_str()).collect();
        compute.errors.retain(|path, _| !kinds.iter().any(|kind| path.ends_with(&format!("/{kind}"))));
    }
    world
}

/// The timeout of the health check that asks for this path, when the answer came later.
fn timeout_exceeded(world: &World, probe: &Probe) -> Option<u64> {
    let latency = probe.latency_ms?;
    let checks = world.compute.iter().flat_map(|compute| compute.resources.values());
    let asks = checks.filter(|check| check["httpHealthCheck"]["requestPath"] == *probe.path);
    let timeout = asks.filter_map(|check| check["timeoutSec"].as_u64()).max()?;
    (latency > timeout * 1000).then_some(timeout)
}

fn unreadable(source: &str, resource: &str, reason: &str, message: String) -> Unreadable {
    Unreadable { source: source.to_owned(), resource: resource.to_owned(), reason: reason.to_owned(), message }
}

/// Writes a world as a folder; JSON is YAML.
fn write(world: &World, folder: &Path) {
    let save = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let meta = &world.meta;
    let unreadable = meta.unreadable.iter().map(
        |entry| json!({"source": entry.source, "resource": entry.resource, "reason": entry.reason, "message": entry.message}),
    );
    save(
        "meta.yaml",
        json!({
            "takenAt": meta.taken_at.to_string(),
            "project": meta.project,
            "cluster": {"name": meta.cluster.name, "location": meta.cluster.location},
            "unreadable": unreadable.collect::<Vec<_>>(),
        })
        .to_string(),
    );
    save("kubernetes.yaml", json!({"apiVersion": "v1", "kind": "List", "items": world.objects}).to_string());
    let compute = world.compute.clone().unwrap_or_default();
    let errors = compute
        .errors
        .iter()
        .map(|(path, error)| (path.clone(), json!({"code": error.code, "reason": error.reason, "message": error.message})));
    save(
        "compute.json",
        json!({
            "resources": compute.resources,
            "endpoints": compute.endpoints,
            "health": compute.health,
            "errors": errors.collect::<serde_json::Map<_, _>>(),
            "instances": compute.instances,
        })
        .to_string(),
    );
    if let Some(cluster) = &world.cluster {
        save("cluster.json", cluster.to_string());
    }
    if let Some(probes) = &world.probes {
        let probes = probes.iter().map(|probe| {
            let mut entry = json!({"pod": probe.pod, "ip": probe.ip, "port": probe.port, "scheme": probe.scheme, "path": probe.path,
                "host": probe.host});
            let given = [
                ("status", json!(probe.status)),
                ("location", json!(probe.location)),
                ("latencyMs", json!(probe.latency_ms)),
                ("error", json!(probe.error)),
                ("message", json!(probe.message)),
            ];
            for (name, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
                entry[name] = value;
            }
            entry
        });
        save("probes.yaml", Value::Array(probes.collect()).to_string());
    }
}

/// How a standing diagnosis differs from the expected one, in words; the moments at which something was seen first are each one's own.
pub fn differences(expected: &Value, stands: &Value, taken_at: &str) -> Vec<String> {
    let mut differences = Vec::new();
    for part in ["spec", "status"] {
        compare(part, &expected[part], &stands[part], taken_at, &mut differences);
    }
    let owners = |object: &Value| object["metadata"]["ownerReferences"].clone();
    compare("ownerReferences", &owners(expected), &owners(stands), taken_at, &mut differences);
    differences
}

fn compare(path: &str, expected: &Value, stands: &Value, taken_at: &str, differences: &mut Vec<String>) {
    let name = path.rsplit('.').next().unwrap_or(path);
    let moment =
        matches!(name, "since" | "lastTransitionTime" | "computeFactsAt") || (name == "firstSeen" && expected == taken_at);
    match (expected, stands) {
        _ if moment && stands.is_string() => {}
        // What was said on the target is no part of the answer.
        _ if name == "lastEvent" => {}
        (Value::Object(expected), Value::Object(stands)) => {
            let names = expected.keys().chain(stands.keys().filter(|name| !expected.contains_key(*name)));
            for name in names {
                let part = |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or_default();
                compare(&format!("{path}.{name}"), &part(expected), &part(stands), taken_at, differences);
            }
        }
        (Value::Array(expected), Value::Array(stands)) => {
            for at in 0..expected.len().max(stands.len()) {
                let part = |items: &[Value]| items.get(at).cloned().unwrap_or_default();
                compare(&format!("{path}.{at}"), &part(expected), &part(stands), taken_at, differences);
            }
        }
        _ if expected == stands => {}
        _ => differences.push(format!("{path} is {stands}, should be {expected}")),
    }
}
