//! `run` writes for every recorded world what `diagnose FOLDER` prints for it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use testbed::{Google, Pods, World};

use super::cluster::Cluster;
use super::product::Product;
use super::{played, settings, until};
use crate::world;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_folder_is_diagnosed_alike_in_a_cluster() {
    let only = std::env::var("SCENARIO").ok();
    let cluster = Cluster::start().await;
    let mut wrong = Vec::new();
    for folder in world::folders() {
        let name = world::name(&folder);
        if only.as_ref().is_some_and(|only| !only.split(',').any(|only| only == name)) {
            continue;
        }
        let start = std::time::Instant::now();
        wrong.extend(play(&cluster, &folder).await.into_iter().map(|difference| format!("{name}: {difference}")));
        eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Loads a world, runs the program in it, and gives all differences.
async fn play(cluster: &Cluster, folder: &Path) -> Vec<String> {
    let mut world = World::read(folder).unwrap();
    world.shift_to_now();
    let google = Google::start(world.clone()).await.unwrap();
    let pods = match &world.probes {
        Some(probes) => Some(Pods::start(probes).await.unwrap()),
        None => None,
    };
    let settings = settings(&world, &google, pods.as_ref());
    let expected = played::expected(&world, &settings);
    world.load(&cluster.server).await.unwrap();
    let leases = world.keep_alive(&cluster.server);
    let product = Product::start(&cluster.server, &cluster.token, &settings, "it-0").await;

    let taken_at = world.meta.taken_at.to_string();
    let differences = until("the statuses stand", async || {
        let stand = cluster.diagnoses().await;
        let missing = expected.keys().any(|key| stand.get(key).is_none_or(|object| object["status"].is_null()));
        if missing { Err(format!("{:?}\n{}", stand.keys(), product.words())) } else { Ok(compare(&expected, &stand, &taken_at)) }
    })
    .await;
    let words = product.terminate().await;
    if std::env::var_os("SHOW_LOG").is_some() {
        eprintln!("{words}");
    }
    drop(leases);
    let stand: Vec<Value> = cluster.diagnoses().await.into_values().collect();
    cluster.server.delete(&stand).await.unwrap();
    world.clear(&cluster.server).await.unwrap();
    differences
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
