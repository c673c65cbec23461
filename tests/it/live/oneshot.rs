//! `diagnose` and `capture` on a live cluster, without anything installed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use testbed::World;

use super::cluster::{Cluster, by_key};
use super::played;
use super::product::PROGRAM;
use super::stage::Stage;

/// Worlds of which no two have much in common: a healthy one, a redirect that only a probe sees, refusals, custom resources, a Service
/// with a standalone NEG, an internal Ingress, scaled to zero.
const WORLDS: [&str; 4] = ["argocd-redirect", "healthy-neg", "addon-disabled", "provisioning"];

/// A folder with what a command needs beside its arguments.
struct Desk {
    folder: tempfile::TempDir,
    url: String,
}

impl Desk {
    fn new(cluster: &Cluster, token: &str, settings: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        cluster.server.write_kubeconfig(&folder.path().join("kubeconfig"), token).unwrap();
        std::fs::write(folder.path().join("settings.yaml"), settings.to_string()).unwrap();
        Self { folder, url: cluster.server.url().to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program with the settings and the kubeconfig.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.args(arguments).arg("--config").arg(self.path("settings.yaml")).env("KUBECONFIG", self.path("kubeconfig"));
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").kill_on_drop(true);
        command.output().await.unwrap()
    }

    /// The diagnoses that it prints, by namespace and name.
    async fn diagnoses(&self, arguments: &[&str]) -> BTreeMap<String, Value> {
        let output = self.run(&[&["diagnose", "-o", "json"], arguments].concat()).await;
        let list = serde_json::from_slice(&output.stdout);
        by_key(list.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr))))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_diagnosed_as_its_folder_is() {
    let cluster = Cluster::without_definition().await;
    let mut wrong = Vec::new();
    for folder in WORLDS {
        let stage = Stage::open(&cluster, folder).await;
        let desk = Desk::new(&cluster, &cluster.token, &stage.settings());
        let expected = played::expected(&stage.world, &stage.settings());
        let seen = desk.diagnoses(&["-A", way(&stage.world)]).await;
        wrong.extend(differences(&expected, &seen, &stage.world).into_iter().map(|difference| format!("{folder}: {difference}")));
        stage.world.clear(&cluster.server).await.unwrap();
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Pods are asked where somebody asked them when it was recorded.
fn way(world: &World) -> &'static str {
    if world.probes.is_some() { "--probe=direct" } else { "--probe=off" }
}

fn differences(expected: &BTreeMap<String, Value>, seen: &BTreeMap<String, Value>, world: &World) -> Vec<String> {
    let keys: BTreeSet<&String> = expected.keys().chain(seen.keys()).collect();
    let taken_at = world.meta.taken_at.to_string();
    let of = |all: &BTreeMap<String, Value>, key: &String| all.get(key).cloned().unwrap_or_default();
    keys.into_iter()
        .flat_map(|key| {
            let differences = played::differences(&of(expected, key), &of(seen, key), &taken_at);
            differences.into_iter().map(move |difference| format!("{key}: {difference}"))
        })
        .collect()
}
