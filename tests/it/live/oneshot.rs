//! `diagnose` and `capture` on a live cluster, without anything installed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use ingress_diagnosis::snapshot::folder;
use ingress_diagnosis::topology::Fleet;
use serde_json::{Value, json};
use testbed::World;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::cluster::{Cluster, by_key};
use super::product::{program, signal};
use super::rights::forbid;
use super::stage::Stage;
use super::{OWN, played, until};

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

    /// The program with its arguments, not started yet.
    pub fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program());
        command.args(arguments).arg("--config").arg(self.path("settings.yaml")).env("KUBECONFIG", self.path("kubeconfig"));
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").kill_on_drop(true);
        command
    }

    /// The diagnoses that it prints, by namespace and name.
    pub async fn diagnoses(&self, arguments: &[&str]) -> BTreeMap<String, Value> {
        let output = self.run(&[&["diagnose", "-o", "json"], arguments].concat()).await;
        let list = serde_json::from_slice(&output.stdout);
        by_key(list.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr))))
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How what is seen differs from what is expected, in words.
pub fn differences(expected: &BTreeMap<String, Value>, seen: &BTreeMap<String, Value>, world: &World) -> Vec<String> {
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
    assert!((9..=15).contains(&asked.len()), "{} requests: {asked:#?}", asked.len());
    println!("{} requests to Kubernetes: {asked:#?}", asked.len());
    let google = stage.google.requests();
    assert!(google.iter().filter(|request| request.path.starts_with("/compute/")).count() <= 120, "{}", google.len());
}

/// A hundred healthy Ingresses, each with one network endpoint group: a zonal cluster.
pub fn fleet() -> World {
    a_hundred_of(&healthy().in_one_zone())
}

/// The same in three zones, so with three groups each.
pub fn regional_fleet() -> World {
    a_hundred_of(&healthy())
}

fn healthy() -> World {
    World::read(healthy_folder()).unwrap()
}

fn healthy_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/healthy-neg")
}

/// What GKE makes for a copy is called as GKE would call it.
fn a_hundred_of(world: &World) -> World {
    let ids = Fleet::of(&folder::load(&healthy_folder()).unwrap().0).ids;
    let names = |namespace: &str| {
        [ids.neg(namespace, "cart", 80).unwrap(), format!("-{}", ids.load_balancer_v2(namespace, "cart").unwrap())]
    };
    let old = names("shop");
    let renames = |at: usize| old.iter().cloned().zip(names(&format!("shop{at:03}"))).collect();
    world.copies(&["shop"], 100, renames).unwrap()
}

/// The requests of the program's own ServiceAccount.
fn ours(audit: &[Value]) -> Vec<Value> {
    let own = format!("system:serviceaccount:{OWN}:{OWN}");
    audit.iter().filter(|request| request["user"]["username"] == own && request["stage"] == "ResponseComplete").cloned().collect()
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

/// The API server gives 500 objects at once, and what a diagnosis needs may be on the page after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_on_a_later_page_is_read() {
    let cluster = Cluster::without_definition().await;
    let stage = Stage::open(&cluster, "healthy-neg").await;
    let before = |at: usize| {
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": [],
            "metadata": {"namespace": "aaa", "name": format!("slice-{at}"), "creationTimestamp": stage.world.meta.taken_at}})
    };
    cluster.server.put(&(0..1200).map(before).collect::<Vec<_>>()).await.unwrap();
    let desk = Desk::new(&cluster, &cluster.token, &stage.settings());
    let audited = cluster.server.audit().unwrap().len();
    let seen = desk.diagnoses(&["-A"]).await;
    let expected = played::expected(&stage.world, &stage.settings());
    assert_eq!(differences(&expected, &seen, &stage.world), Vec::<String>::new());
    let requests = ours(&cluster.server.audit().unwrap()[audited..]);
    let pages = requests.iter().filter(|request| request["objectRef"]["resource"] == "endpointslices").count();
    assert_eq!(pages, 3, "{requests:#?}");
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
    assert!(text(&done.stdout).to_lowercase().contains("unknown"), "{}", text(&done.stdout));
    assert!(text(&done.stdout).contains("could not be answered"), "{}", text(&done.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_api_server_does_not_know_is_told_so() {
    let cluster = Cluster::without_definition().await;
    let desk = Desk::new(&cluster, "expired", &json!({"credentials": "anonymous", "project": "acme-prod"}));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_is_told_again_when_it_is_something_else() {
    let cluster = Cluster::without_definition().await;
    let stage = Stage::open(&cluster, "healthy-neg").await;
    let desk = Desk::new(&cluster, &cluster.token, &stage.settings());
    let mut child = desk.command(&["diagnose", "-A", "--watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let shown: Arc<Mutex<String>> = Arc::default();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let kept = shown.clone();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            kept.lock().unwrap().push_str(&format!("{line}\n"));
        }
    });
    let until_shown = async |words: &str| {
        until(&format!("it shows {words:?}"), async || {
            let shown = shown.lock().unwrap().clone();
            if shown.contains(words) { Ok(()) } else { Err(shown) }
        })
        .await;
    };
    until_shown("2 healthy: shop/cart, status/statuspage").await;
    let ingress = stage.world.of_kind("Ingress").find(|ingress| ingress["metadata"]["name"] == "statuspage").unwrap();
    cluster.server.delete(std::slice::from_ref(ingress)).await.unwrap();
    until_shown("1 healthy: shop/cart\n").await;
    let shown = shown.lock().unwrap().clone();
    assert_eq!(shown.matches("2 healthy").count(), 1, "the same is not printed twice: {shown}");
    assert!(!shown.contains('\u{1b}'), "nothing is painted over in a pipe: {shown}");

    signal(child.id().unwrap(), "INT");
    let done = child.wait_with_output().await.unwrap();
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), String::new()));
}
