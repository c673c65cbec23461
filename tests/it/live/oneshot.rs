//! `diagnose` and `capture` on a live cluster, without anything installed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use testbed::World;

use super::cluster::{Cluster, by_key};
use super::product::PROGRAM;
use super::rights::forbid;
use super::stage::Stage;
use super::{OWN, played};

/// Worlds of which no two have much in common: a healthy one, a redirect that only a probe sees, refusals, custom resources, a Service
/// with a standalone NEG, an internal Ingress, scaled to zero.
const WORLDS: [&str; 4] = ["argocd-redirect", "healthy-neg", "addon-disabled", "provisioning"];

/// A folder with what a command needs beside its arguments.
pub struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub fn new(cluster: &Cluster, token: &str, settings: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        cluster.server.write_kubeconfig(&folder.path().join("kubeconfig"), token).unwrap();
        std::fs::write(folder.path().join("settings.yaml"), settings.to_string()).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program with the settings and the kubeconfig.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    /// The same where nothing gives credentials for Google.
    async fn without_google(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command
            .env("HOME", self.folder.path())
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .env("GCE_METADATA_HOST", "127.0.0.1:1");
        command.output().await.unwrap()
    }

    fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        self.command_of(PROGRAM, arguments)
    }

    /// The same for another build of the program.
    pub fn command_of(&self, program: &str, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).arg("--config").arg(self.path("settings.yaml")).env("KUBECONFIG", self.path("kubeconfig"));
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").kill_on_drop(true);
        command
    }

    /// The diagnoses that it prints, by namespace and name.
    async fn diagnoses(&self, arguments: &[&str]) -> BTreeMap<String, Value> {
        let output = self.run(&[&["diagnose", "-o", "json"], arguments].concat()).await;
        let list = serde_json::from_slice(&output.stdout);
        by_key(list.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr))))
    }
}

pub fn text(bytes: &[u8]) -> String {
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
        stage.clear_loaded().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_ingresses_take_fifteen_requests_that_only_read() {
    let cluster = Cluster::without_definition().await;
    let stage = Stage::of(&cluster, fleet()).await;
    let desk = Desk::new(&cluster, &cluster.token, &stage.settings());
    let before = cluster.server.audit().unwrap().len();
    let seen = desk.diagnoses(&["-A"]).await;
    assert_eq!(seen.len(), 100);
    let healthy = seen.values().filter(|object| object["status"]["verdict"] == "Healthy").count();
    assert_eq!(
        healthy,
        100,
        "{:#}",
        seen.values().find(|object| object["status"]["verdict"] != "Healthy").unwrap_or(&Value::Null)
    );

    let requests = ours(&cluster.server.audit().unwrap()[before..]);
    for request in &requests {
        let (verb, resource) = (request["verb"].as_str().unwrap(), request["objectRef"]["resource"].as_str().unwrap_or_default());
        assert!(matches!(verb, "get" | "list") && resource != "secrets", "{request:#}");
    }
    let asked: Vec<String> = requests
        .iter()
        .map(|request| format!("{} {}", request["verb"].as_str().unwrap(), request["requestURI"].as_str().unwrap()))
        .collect();
    assert!(asked.len() <= 15, "{} requests: {asked:#?}", asked.len());
    let google = stage.google.requests();
    assert!(google.iter().filter(|request| request.path.starts_with("/compute/")).count() <= 120, "{}", google.len());
}

/// A hundred healthy Ingresses, each with one network endpoint group: a zonal cluster.
pub fn fleet() -> World {
    healthy().in_one_zone().copies(&["shop"], 100).unwrap()
}

/// The same in three zones, so with three groups each.
pub fn regional_fleet() -> World {
    healthy().copies(&["shop"], 100).unwrap()
}

fn healthy() -> World {
    World::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/healthy-neg")).unwrap()
}

/// The requests of the program's own ServiceAccount.
fn ours(audit: &[Value]) -> Vec<Value> {
    let own = format!("system:serviceaccount:{OWN}:{OWN}");
    audit.iter().filter(|request| request["user"]["username"] == own && request["stage"] == "ResponseComplete").cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_is_diagnosed_as_the_cluster_and_as_what_was_loaded() {
    let cluster = Cluster::without_definition().await;
    let mut wrong = Vec::new();
    for folder in WORLDS {
        let stage = Stage::open(&cluster, folder).await;
        let desk = Desk::new(&cluster, &cluster.token, &stage.settings());
        let expected = played::expected(&stage.world, &stage.settings());
        for name in ["taken", "taken.tar.gz"] {
            let path = desk.path(name);
            let done = desk.run(&["capture", path.to_str().unwrap(), "-A", way(&stage.world)]).await;
            assert_eq!(done.status.code(), Some(0), "{folder}: {}", text(&done.stderr));
            let seen = desk.diagnoses(&[path.to_str().unwrap()]).await;
            let differences = differences(&expected, &seen, &stage.world);
            wrong.extend(differences.into_iter().map(|difference| format!("{folder}, {name}: {difference}")));
        }
        wrong.extend(as_sent(&stage.world, &desk.path("taken")).into_iter().map(|difference| format!("{folder}: {difference}")));
        stage.clear_loaded().await;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What Google sent is taken down as it was sent: every resource that was listed, in its own form.
fn as_sent(world: &World, folder: &Path) -> Vec<String> {
    let taken = World::read(folder).unwrap();
    let (Some(sent), Some(taken)) = (&world.compute, &taken.compute) else { return Vec::new() };
    let mut differences = Vec::new();
    for (path, resource) in &taken.resources {
        let mut sent = sent.resources.get(path).cloned().unwrap_or_default();
        let mut resource = resource.clone();
        // The stand-in makes base64 of what is none.
        for value in [&mut sent, &mut resource] {
            value.as_object_mut().unwrap().retain(|name, _| !name.ends_with("ingerprint"));
        }
        if sent != resource {
            let name = |fields: &Value| fields.as_object().cloned().unwrap_or_default();
            let (sent, taken) = (name(&sent), name(&resource));
            let keys: BTreeSet<&String> = sent.keys().chain(taken.keys()).collect();
            for key in keys.into_iter().filter(|key| sent.get(*key) != taken.get(*key)) {
                differences.push(format!("{path}: {key} was sent as {:?} and taken down as {:?}", sent.get(key), taken.get(key)));
            }
        }
    }
    for (group, endpoints) in &taken.endpoints {
        if sent.endpoints.get(group).cloned().unwrap_or_default() != *endpoints {
            differences.push(format!("the endpoints of {group} were taken down as {endpoints:?}"));
        }
    }
    differences
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_or_a_name_is_all_that_is_answered_for() {
    let cluster = Cluster::without_definition().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    let desk = Desk::new(&cluster, &cluster.token, &stage.settings());
    let all = played::expected(&stage.world, &stage.settings());
    for (arguments, keys) in [
        (&["-n", "argocd", "--probe=direct"][..], &["argocd/argocd-server"][..]),
        (&["-A", "--probe=direct", "thumbs"], &["media/thumbs"]),
        (&["-n", "argocd", "--probe=direct", "argocd-server"], &["argocd/argocd-server"]),
        (&[], &[]),
    ] {
        let seen = desk.diagnoses(arguments).await;
        assert_eq!(seen.keys().collect::<Vec<_>>(), keys, "{arguments:?}");
        let of_these = all.iter().filter(|(key, _)| keys.contains(&&***key)).map(|(key, object)| (key.clone(), object.clone()));
        assert_eq!(differences(&of_these.collect(), &seen, &stage.world), Vec::<String>::new(), "{arguments:?}");
    }

    let done = desk.run(&["diagnose", "-n", "argocd", "thumbs"]).await;
    assert_eq!(done.status.code(), Some(2));
    assert!(
        text(&done.stderr).contains("there is no Ingress of GKE's named thumbs in namespace argocd"),
        "{}",
        text(&done.stderr)
    );

    // A capture of one Ingress holds what its diagnosis reads, and nothing of the others.
    let path = desk.path("one");
    let done = desk.run(&["capture", path.to_str().unwrap(), "argocd-server", "-n", "argocd", "--probe=direct"]).await;
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let seen = desk.diagnoses(&[path.to_str().unwrap()]).await;
    let one: BTreeMap<_, _> = all.into_iter().filter(|(key, _)| key == "argocd/argocd-server").collect();
    assert_eq!(differences(&one, &seen, &stage.world), Vec::<String>::new());
    let taken = std::fs::read_to_string(path.join("kubernetes.yaml")).unwrap();
    assert!(!taken.contains("thumbs") && !taken.contains("managedFields") && !taken.contains("kind: Secret"));

    // Made anonymous, it says the same of somebody else.
    let path = desk.path("nobody.tar.gz");
    let done =
        desk.run(&["capture", path.to_str().unwrap(), "argocd-server", "-n", "argocd", "--probe=direct", "--redact"]).await;
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let seen = desk.diagnoses(&[path.to_str().unwrap()]).await;
    assert_eq!(seen.len(), 1);
    let (key, object) = seen.first_key_value().unwrap();
    assert!(!key.contains("argocd"), "{key}");
    assert_eq!(object["status"]["rootCause"], "HealthCheckRedirected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_read_is_named_and_the_rest_is_diagnosed() {
    let cluster = Cluster::without_definition().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    forbid(&cluster, &["networkpolicies", "frontendconfigs"]).await;
    let mut settings = stage.settings();
    let desk = Desk::new(&cluster, &cluster.token, &settings);
    let done = desk.run(&["diagnose", "-A", "--probe=direct"]).await;
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(text(&done.stdout).contains("HealthCheckRedirected of argocd-server:80"), "{}", text(&done.stdout));
    assert!(said.lines().count() <= 2, "{said}");

    let done = desk.run(&["capture", desk.path("all").to_str().unwrap(), "-A"]).await;
    let said = text(&done.stderr);
    for (plural, group) in [("networkpolicies", "networking.k8s.io"), ("frontendconfigs", "networking.gke.io")] {
        let right = format!(
            "{plural}.{group} cannot be read: it takes the right to list {plural} of API group \"{group}\" in the whole cluster"
        );
        assert_eq!(said.matches(&right).count(), 1, "{said}");
    }
    let meta = std::fs::read_to_string(desk.path("all").join("meta.yaml")).unwrap();
    assert!(meta.contains("networkpolicies.networking.k8s.io") && meta.contains("Forbidden"), "{meta}");

    // Nobody to speak to Google for us: said once, and Kubernetes alone tells what it can.
    settings["credentials"] = "default".into();
    let desk = Desk::new(&cluster, &cluster.token, &settings);
    let done = desk.without_google(&["diagnose", "-A"]).await;
    let said = text(&done.stderr);
    assert_eq!(said.matches("no Google credentials").count(), 1, "{said}");
    assert!(text(&done.stdout).contains("Unknown"), "{}", text(&done.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_api_server_does_not_know_is_told_so() {
    let cluster = Cluster::without_definition().await;
    let desk = Desk::new(&cluster, "expired", &serde_json::json!({"credentials": "anonymous", "project": "acme-prod"}));
    for arguments in [&["diagnose", "-A"][..], &["diagnose", "-A", "--watch"], &["capture", "/tmp/never-written", "-A"]] {
        let done = desk.run(arguments).await;
        let said = text(&done.stderr);
        assert_eq!((done.status.code(), said.lines().count()), (Some(2), 1), "{arguments:?}: {said}");
        assert!(said.contains("does not accept these credentials") && said.contains("log in again"), "{said}");
    }

    let stage = Stage::open(&cluster, "healthy-neg").await;
    let mut settings = stage.settings();
    settings["project"] = "nowhere".into();
    let desk = Desk::new(&cluster, &cluster.token, &settings);
    let done = desk.run(&["diagnose", "-A"]).await;
    let said = text(&done.stderr);
    assert_eq!((done.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("there is no Google Cloud project \"nowhere\""), "{said}");
}
