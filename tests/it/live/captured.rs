//! A cluster, its folder, what is captured of it, and that made anonymous: one diagnosis.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ingress_diagnosis::snapshot::Recording;
use serde_json::Value;
use testbed::World;

use super::cluster::Cluster;
use super::oneshot::{Desk, differences, text};
use super::played;
use super::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cluster_is_diagnosed_as_its_folder_and_its_capture_are() {
    played::every_folder(Cluster::without_definition, play).await;
}

/// Loads a world, diagnoses and captures it, and gives all differences.
async fn play(cluster: &Cluster, folder: &Path) -> Vec<String> {
    let stage = Stage::open(cluster, folder).await;
    let desk = Desk::new(cluster, &cluster.token, &stage.settings());
    // Pods are asked where somebody asked them when it was recorded.
    let way = if stage.world.probes.is_some() { "--probe=direct" } else { "--probe=off" };
    let expected = played::expected(&stage.world, &stage.settings());
    let mut wrong = Vec::new();
    let mut compare = |what: &str, seen: &BTreeMap<String, Value>| {
        wrong.extend(differences(&expected, seen, &stage.world).into_iter().map(|difference| format!("{what}: {difference}")));
    };
    compare("live", &desk.diagnoses(&["-A", way]).await);

    let taken = desk.path("taken");
    let taken_as_argument = taken.to_str().unwrap();
    let done = desk.run(&["capture", taken_as_argument, "-A", way]).await;
    if done.status.code() != Some(0) {
        return vec![text(&done.stderr)];
    }
    compare("captured", &desk.diagnoses(&[taken_as_argument]).await);
    wrong.extend(as_sent(&stage.world, &taken));

    let nobody = desk.path("nobody.tar.gz");
    let mut recording = Recording::read(&taken).unwrap();
    recording.redact();
    recording.write(&nobody).unwrap();
    let (all, anonymous) = (told(&expected), told(&desk.diagnoses(&[nobody.to_str().unwrap()]).await));
    if all != anonymous {
        wrong.push(format!("anonymous: {anonymous:?}, should be {all:?}"));
    }
    stage.clear_loaded().await;
    wrong
}

/// What is said, without saying of whom.
fn told(diagnoses: &BTreeMap<String, Value>) -> Vec<(String, Vec<String>)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut told: Vec<_> = diagnoses
        .values()
        .map(|object| {
            let findings = object["status"]["findings"].as_array().cloned().unwrap_or_default();
            let mut codes: Vec<_> = findings.iter().map(|finding| word(&finding["code"])).collect();
            codes.sort();
            (word(&object["status"]["verdict"]), codes)
        })
        .collect();
    told.sort();
    told
}

/// What Google sent is taken down as it was sent: every resource that was listed, in its own form.
fn as_sent(world: &World, folder: &Path) -> Vec<String> {
    let taken = World::read(folder).unwrap();
    let (Some(sent), Some(taken)) = (&world.compute, &taken.compute) else { return Vec::new() };
    let mut differences = Vec::new();
    for (path, resource) in &taken.resources {
        let fields = |value: Option<&Value>| {
            let mut fields = value.and_then(Value::as_object).cloned().unwrap_or_default();
            // The stand-in makes base64 of what is none.
            fields.retain(|name, _| !name.ends_with("ingerprint"));
            fields
        };
        let (sent, taken) = (fields(sent.resources.get(path)), fields(Some(resource)));
        let keys: BTreeSet<&String> = sent.keys().chain(taken.keys()).collect();
        for key in keys.into_iter().filter(|key| sent.get(*key) != taken.get(*key)) {
            differences.push(format!("{path}: {key} was sent as {:?} and taken down as {:?}", sent.get(key), taken.get(key)));
        }
    }
    for (group, endpoints) in &taken.endpoints {
        // Of Google's lists an empty one and none at all are the same.
        let brief = |endpoints: &[Value]| -> Vec<Value> {
            let mut endpoints = endpoints.to_vec();
            endpoints.iter_mut().filter_map(Value::as_object_mut).for_each(|fields| {
                fields.retain(|_, value| value.as_array().is_none_or(|items| !items.is_empty()));
            });
            endpoints
        };
        if brief(sent.endpoints.get(group).map(Vec::as_slice).unwrap_or_default()) != brief(endpoints) {
            differences.push(format!("the endpoints of {group} were taken down as {endpoints:?}"));
        }
    }
    differences
}
