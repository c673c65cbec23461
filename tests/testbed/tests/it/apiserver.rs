//! A real API server: starting, loading, reading back, ending.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::apiserver::Refused;
use testbed::{ApiServer, Assets, World};

use super::world;

async fn started() -> ApiServer {
    let assets = Assets::locate().unwrap();
    ApiServer::start(&assets).await.unwrap()
}

async fn with_gke_kinds() -> ApiServer {
    let server = started().await;
    server.install_gke_crds().await.unwrap();
    server
}

fn metadata(object: &Value) -> Value {
    let mut metadata = object["metadata"].clone();
    let fields = metadata.as_object_mut().unwrap();
    fields.remove("resourceVersion");
    // The API server leaves out what is empty.
    fields.retain(|_, field| *field != json!({}));
    metadata
}

async fn assert_reads_back(server: &ApiServer, world: &World) {
    for object in &world.objects {
        let read = server.read(object).await.unwrap();
        let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
        assert_eq!(metadata(&read), metadata(object), "{what}");
        for (name, field) in object.as_object().unwrap().iter().filter(|(name, _)| *name != "metadata") {
            assert_contains(&read[name], field, &what);
        }
    }
}

/// Defaults may be added; what was recorded stays.
fn assert_contains(read: &Value, recorded: &Value, what: &str) {
    match recorded {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| assert_contains(&read[name], field, what)),
        Value::Array(items) => {
            assert_eq!(read.as_array().map_or(0, Vec::len), items.len(), "{what}");
            items.iter().enumerate().for_each(|(at, item)| assert_contains(&read[at], item, what));
        }
        Value::Null => {}
        value => assert_eq!(read, value, "{what}"),
    }
}

#[tokio::test]
async fn worlds_come_back_as_they_were() {
    let server = with_gke_kinds().await;
    for name in ["shop", "corners"] {
        for shifted in [false, true] {
            let mut world = world(name);
            if shifted {
                world.shift_to_now();
            }
            world.load(&server).await.unwrap();
            assert_reads_back(&server, &world).await;
            world.clear(&server).await.unwrap();
            for object in world.objects.iter().filter(|object| object["kind"] != "Namespace") {
                let refused = server.read(object).await.unwrap_err().downcast::<Refused>().unwrap();
                assert_eq!(refused.status, 404);
            }
        }
    }
    assert_eq!(server.get("/api/v1/namespaces/shop").await.unwrap_err().downcast::<Refused>().unwrap().status, 404);
    assert_eq!(server.get("/api/v1/namespaces/kube-system").await.unwrap()["status"]["phase"], "Active");
}

/// Every snapshot below a folder of one's own.
#[tokio::test]
#[ignore = "set TESTBED_WORLDS to a folder of snapshots"]
async fn worlds_of_ones_own_come_back_as_they_were() {
    let server = with_gke_kinds().await;
    let folders = std::fs::read_dir(std::env::var_os("TESTBED_WORLDS").unwrap()).unwrap();
    for folder in folders.map(|entry| entry.unwrap().path()).filter(|path| path.join("meta.yaml").exists()) {
        let mut world = World::read(&folder).unwrap();
        println!("{}: {} objects", folder.display(), world.objects.len());
        world.load(&server).await.unwrap();
        assert_reads_back(&server, &world).await;
        world.clear(&server).await.unwrap();
        world.shift_to_now();
        world.load(&server).await.unwrap();
        assert_reads_back(&server, &world).await;
        world.clear(&server).await.unwrap();
        super::recorded::assert_answers(&world).await;
        testbed::Pods::start(world.probes.as_deref().unwrap_or_default()).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_repairs_what_was_loaded() {
    let server = with_gke_kinds().await;
    let mut recorded = BTreeMap::new();
    for name in ["shop", "corners"] {
        let world = world(name);
        world.load(&server).await.unwrap();
        for event in world.of_kind("Event") {
            *recorded.entry(event["metadata"]["namespace"].to_string()).or_insert(0) += 1;
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut present = BTreeMap::new();
    for event in server.get("/api/v1/events").await.unwrap()["items"].as_array().unwrap() {
        *present.entry(event["metadata"]["namespace"].to_string()).or_insert(0) += 1;
    }
    assert_eq!(present, recorded);
    // The API server gives neither an address nor a node port of a loaded Service to a new one.
    let service = |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "new", "namespace": "default"}, "spec": spec});
    for spec in [
        json!({"clusterIP": "10.8.0.77", "ports": [{"port": 80}]}),
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 31234}]}),
    ] {
        let refused = server.request("POST", "/api/v1/namespaces/default/services", Some(&service(spec))).await.unwrap_err();
        assert_eq!(refused.downcast::<Refused>().unwrap().status, 422);
    }
}

#[tokio::test]
async fn a_service_account_may_what_its_roles_say() {
    let server = started().await;
    let token = server.service_account_token("watchers", "reader").await.unwrap();
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    server.write_kubeconfig(kubeconfig.path(), &token).unwrap();
    let config: Value = serde_json::from_str(&std::fs::read_to_string(kubeconfig.path()).unwrap()).unwrap();
    assert_eq!(config["clusters"][0]["cluster"]["server"], server.url());

    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(server.ca_pem().as_bytes()).unwrap()])
        .build()
        .unwrap();
    let list =
        async || client.get(format!("{}/api/v1/pods", server.url())).bearer_auth(&token).send().await.unwrap().status().as_u16();
    assert_eq!(list().await, 403);
    server
        .apply_yaml(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: reader}\n\
             roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}\n\
             subjects: [{kind: ServiceAccount, namespace: watchers, name: reader}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: reader}\n\
             rules: [{apiGroups: [''], resources: [pods], verbs: [get, list, watch]}]\n",
        )
        .await
        .unwrap();
    let start = Instant::now();
    while list().await != 200 {
        assert!(start.elapsed() < Duration::from_secs(10), "the role is not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_new_kind_takes_writes_at_once() {
    let server = with_gke_kinds().await;
    let config = json!({
        "apiVersion": "cloud.google.com/v1", "kind": "BackendConfig", "metadata": {"namespace": "default", "name": "web"},
        "spec": {"timeoutSec": 40},
    });
    server.request("POST", "/apis/cloud.google.com/v1/namespaces/default/backendconfigs", Some(&config)).await.unwrap();
    let patched = server.patch(&server.path_of(&config).await.unwrap(), &json!({"spec": {"timeoutSec": 50}})).await.unwrap();
    assert_eq!(patched["spec"]["timeoutSec"], 50);
    // No status sub-resource, so a status is a field like any other, and there is no such path.
    let refused =
        server.patch(&format!("{}/status", server.path_of(&config).await.unwrap()), &json!({"status": {}})).await.unwrap_err();
    assert_eq!(refused.downcast::<Refused>().unwrap().status, 404);
}

#[tokio::test]
async fn an_unknown_kind_is_named() {
    let server = started().await;
    let error = world("corners").load(&server).await.unwrap_err().to_string();
    assert!(error.contains("does not know cloud.google.com/v1 BackendConfig"), "{error}");
}

#[tokio::test]
async fn what_was_alive_stays_alive() {
    let server = Arc::new(with_gke_kinds().await);
    let mut world = world("corners");
    world.shift_to_now();
    world.load(&server).await.unwrap();
    let renewed = async |name: &str| {
        let lease = server.get(&format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}")).await.unwrap();
        lease["spec"]["renewTime"].as_str().unwrap().to_owned()
    };
    let (fresh, stale) = (renewed("ingress-gce-lock").await, renewed("stale-lock").await);
    let alive = world.keep_alive(&server);
    let start = Instant::now();
    while renewed("ingress-gce-lock").await == fresh {
        assert!(start.elapsed() < Duration::from_secs(10), "the Lease is not renewed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(renewed("stale-lock").await, stale);
    drop(alive);
}

#[tokio::test]
async fn several_at_once_end_with_their_values() {
    let assets = Assets::locate().unwrap();
    let (first, second) = tokio::join!(ApiServer::start(&assets), ApiServer::start(&assets));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.url(), second.url());
    assert_ne!(first.admin_token(), second.admin_token());
    let (folder, url) = (first.admin_kubeconfig().parent().unwrap().to_owned(), first.url().to_owned());
    assert!(is_open(&url));
    drop(first);
    assert!(!is_open(&url));
    assert!(!folder.exists());
    second.get("/api/v1/namespaces/default").await.unwrap();
}

#[tokio::test]
async fn a_server_that_dies_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("kube-apiserver");
    std::fs::write(&broken, "#!/bin/sh\necho 'unknown flag: --so-it-goes' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let assets = Assets { kube_apiserver: broken, ..Assets::locate().unwrap() };
    let error = ApiServer::start(&assets).await.unwrap_err().to_string();
    assert!(error.contains("kube-apiserver has ended before it was ready") && error.contains("--so-it-goes"), "{error}");
}

/// Run by `kill_9_leaves_nothing` in a process of its own.
#[tokio::test]
#[ignore = "a part of kill_9_leaves_nothing"]
async fn victim() {
    let server = started().await;
    let note = std::env::var_os("TESTBED_VICTIM").unwrap();
    let text = format!("{}\n{}\n", server.url(), server.admin_kubeconfig().display());
    let half = Path::new(&note).with_extension("half");
    std::fs::write(&half, text).unwrap();
    std::fs::rename(&half, &note).unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
}

#[test]
fn kill_9_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "apiserver::victim"])
        .env("TESTBED_VICTIM", &note)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the server starts", || note.exists());
    let text = std::fs::read_to_string(&note).unwrap();
    let (url, kubeconfig) = text.trim().split_once('\n').unwrap();
    assert!(is_open(url));
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_for("the server ends", || !is_open(url));
    let root = Path::new(kubeconfig).parent().unwrap();
    wait_for("the folder goes", || !root.exists());
}

fn is_open(url: &str) -> bool {
    std::net::TcpStream::connect(url.trim_start_matches("https://")).is_ok()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
