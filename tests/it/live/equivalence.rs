//! `run` writes for every recorded world what `diagnose FOLDER` prints for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::World;

use super::cluster::Cluster;
use super::played;
use super::stage::Stage;

/// How long a world may take until every status is as it should be.
const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_folder_is_diagnosed_alike_in_a_cluster() {
    played::every_folder(Cluster::start, play).await;
}

/// Loads a world, runs the program in it, and gives all differences.
async fn play(cluster: &Cluster, folder: &Path) -> Vec<String> {
    let stage = Stage::open(cluster, folder).await;
    let expected = played::expected(&stage.world, &stage.settings());
    cluster.server.put(&before_their_namespaces_ended(&stage.world, &expected)).await.unwrap();
    let writes = cluster.writes();
    let product = stage.run("it-0").await;

    let start = Instant::now();
    let taken_at = stage.world.meta.taken_at.to_string();
    let mut differences = loop {
        let differences = compare(&expected, &cluster.diagnoses().await, &taken_at);
        if differences.is_empty() || start.elapsed() > PATIENCE {
            break differences;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    if expected.is_empty() {
        product.ready().await;
    }
    let words = product.terminate().await;
    for (key, count) in cluster.writes() {
        let count = count - writes.get(&key).copied().unwrap_or_default();
        if count > 1 {
            differences.push(format!("{key}: the status was written {count} times, once would do"));
        }
    }
    if !differences.is_empty() {
        differences.push(format!("it said:\n{words}"));
    }
    stage.clear().await;
    differences
}

/// A namespace that is being deleted takes no new objects: those of its diagnoses have been there before.
fn before_their_namespaces_ended(world: &World, expected: &BTreeMap<String, Value>) -> Vec<Value> {
    let ends = |name: &Value| {
        world
            .of_kind("Namespace")
            .any(|namespace| namespace["metadata"]["name"] == *name && !namespace["metadata"]["deletionTimestamp"].is_null())
    };
    let objects = expected.values().filter(|object| ends(&object["metadata"]["namespace"]));
    objects
        .map(|object| {
            let mut object = object.clone();
            object["metadata"]["uid"] = "9e1f7d0c-51c6-4f0e-9d3c-0d6a4b1f2c3d".into();
            object["metadata"]["generation"] = 1.into();
            object["metadata"]["creationTimestamp"] = json!(world.meta.taken_at.to_string());
            object.as_object_mut().unwrap().remove("status");
            object
        })
        .collect()
}

fn compare(expected: &BTreeMap<String, Value>, stand: &BTreeMap<String, Value>, taken_at: &str) -> Vec<String> {
    let mut differences = Vec::new();
    for (key, object) in stand {
        match expected.get(key) {
            Some(expected) => {
                let of_this = played::differences(expected, object, taken_at);
                differences.extend(of_this.into_iter().map(|difference| format!("{key}: {difference}")));
            }
            None => differences.push(format!("{key}: diagnosed, and should not be")),
        }
    }
    let missing = expected.keys().filter(|key| !stand.contains_key(*key));
    differences.extend(missing.map(|key| format!("{key}: not diagnosed")));
    differences
}
