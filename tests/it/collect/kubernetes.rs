//! The watches, against a real API server.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingress_diagnosis::collect::{Changes, prepare};
use ingress_diagnosis::snapshot::kubernetes::{Collection, Index, Kind};
use ingress_diagnosis::snapshot::{Kubernetes, Observed, folder};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use testbed::{ApiServer, Assets, World};

use super::{Running, recorded, run_as, settings};

async fn client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(prepare(config)).unwrap()
}

/// The watches alone: a process that is not the active one asks nothing of Google.
async fn watching(kubeconfig: &Path, namespace: Option<&str>) -> Running {
    let mut settings = settings("http://127.0.0.1:1");
    settings.namespace = namespace.map(str::to_owned);
    settings.project = String::new();
    settings.cluster_location = String::new();
    run_as(client(kubeconfig).await, settings, false)
}

async fn synced(running: &Running) {
    running.until("the first lists", |_| running.world.synced()).await;
}

/// What changes until something does in a namespace.
async fn changes_until(running: &Running, namespace: &str) -> Changes {
    let mut all = Changes::default();
    while !all.namespaces.contains(namespace) {
        let next = tokio::time::timeout(Duration::from_secs(60), running.world.changes()).await;
        let next = next.unwrap_or_else(|_| panic!("nothing changed in {namespace} within a minute: {all:?}"));
        all.everything |= next.everything;
        all.namespaces.extend(next.namespaces);
        all.groups.extend(next.groups);
    }
    all
}

/// What a collection holds but for what the API server counts by itself.
fn held<T: Kind + Index>(collection: &Collection<T>) -> Vec<String> {
    let mut held: Vec<String> = collection
        .iter()
        .map(|object| {
            let mut object = object.clone();
            let meta = object.meta_mut();
            meta.resource_version = "".into();
            format!("{object:#?}")
        })
        .collect();
    held.sort();
    held
}

/// One API server for all of it: starting one takes longer than each of these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_world_follows_the_api_server() {
    let server = Arc::new(ApiServer::start(&Assets::locate().unwrap()).await.unwrap());
    kinds_that_are_not_installed_are_empty_until_they_are(&server).await;
    what_was_recorded_is_watched(&server).await;
    a_malformed_object_stands_alone(&server).await;
    a_refused_kind_is_unknown_until_it_is_allowed(&server).await;
    one_namespace_is_watched_alone(&server).await;
}

async fn kinds_that_are_not_installed_are_empty_until_they_are(server: &ApiServer) {
    let running = watching(server.admin_kubeconfig(), None).await;
    assert!(!running.world.synced());
    assert!(matches!(running.world.read().kubernetes.services.get("a", "b"), Observed::Unknown(_)), "not read yet");
    synced(&running).await;
    assert!(running.world.read().kubernetes.backend_configs.get("a", "b").is_absent());
    server.install_gke_crds().await.unwrap();
    let config = json!({"apiVersion": "cloud.google.com/v1", "kind": "BackendConfig",
        "metadata": {"namespace": "default", "name": "late"}, "spec": {}});
    server.apply(&config).await.unwrap();
    running
        .until("an object of the new kind", |snapshot| {
            matches!(snapshot.kubernetes.backend_configs.get("default", "late"), Observed::Present(_))
        })
        .await;
}

async fn what_was_recorded_is_watched(server: &Arc<ApiServer>) {
    let (expected, _) = folder::load(&recorded("shop")).unwrap();
    let world = World::read(recorded("shop")).unwrap();
    world.load(server).await.unwrap();
    // A Lease that grows stale is a change as well.
    let _fresh = world.keep_alive(server);
    let running = watching(server.admin_kubeconfig(), None).await;
    synced(&running).await;
    {
        let snapshot = running.world.read();
        let (seen, expected): (&Kubernetes, &Kubernetes) = (&snapshot.kubernetes, &expected.kubernetes);
        assert_eq!(held(&seen.ingresses), held(&expected.ingresses));
        assert_eq!(held(&seen.endpoint_slices), held(&expected.endpoint_slices));
        assert_eq!(held(&seen.pods), held(&expected.pods));
        assert_eq!(held(&seen.nodes), held(&expected.nodes));
        assert_eq!(held(&seen.svc_negs), held(&expected.svc_negs));
        assert_eq!(held(&seen.network_policies), held(&expected.network_policies));
        assert_eq!(held(&seen.deployments), held(&expected.deployments));
        assert_eq!(held(&seen.config_maps), held(&expected.config_maps));
        assert!(seen.events.iter().all(|event| event.relevant()));
        assert!(!seen.events.is_empty());
        let leases: Vec<_> = seen.leases.iter().map(|lease| &*lease.metadata.name).collect();
        assert_eq!(leases, ["ingress-gce-lock", "ingress-gce-neg-lock"]);
    }
    running.until("the project from the nodes", |snapshot| &*snapshot.meta.project == "acme-prod").await;

    // A change of one object is a change of its namespace, and one that no diagnosis reads is none. The watch tells of both Services
    // in their order, so whoever hears of the second has heard of the first.
    let (cart, last) = ("/api/v1/namespaces/shop/services/cart", "/api/v1/namespaces/default/services/kubernetes");
    running.world.take_changes();
    let label = |team: &str| json!({"metadata": {"labels": {"team": team}}});
    server.patch(cart, &label("blue")).await.unwrap();
    let changes = changes_until(&running, "shop").await;
    assert!(!changes.everything, "{changes:?}");
    server.patch(cart, &json!({"metadata": {"annotations": {"example.com/unread": "x"}}})).await.unwrap();
    server.patch(last, &label("red")).await.unwrap();
    let changes = changes_until(&running, "default").await;
    let of_the_second = Changes { namespaces: ["default".into()].into(), ..Changes::default() };
    assert_eq!(changes, of_the_second, "nothing that a diagnosis reads has changed by the first");

    world.clear(server).await.unwrap();
    running.until("the end", |snapshot| snapshot.kubernetes.ingresses.is_empty() && snapshot.kubernetes.pods.is_empty()).await;
}

async fn a_malformed_object_stands_alone(server: &ApiServer) {
    let running = watching(server.admin_kubeconfig(), None).await;
    synced(&running).await;
    let object = |spec: serde_json::Value, name: &str| {
        json!({"apiVersion": "networking.gke.io/v1", "kind": "ManagedCertificate",
            "metadata": {"namespace": "default", "name": name}, "spec": spec})
    };
    server.put(&[object(json!({"domains": 7}), "broken"), object(json!({"domains": ["a.example.com"]}), "whole")]).await.unwrap();
    let certificates =
        |running: &Running, name: &str| running.world.read().kubernetes.managed_certificates.get("default", name).map(|_| ());
    let malformed =
        |running: &Running| matches!(certificates(running, "broken"), Observed::Unknown(why) if &*why.reason == "Malformed");
    running.until("both objects", |_| true).await;
    running
        .until("the whole one", |snapshot| snapshot.kubernetes.managed_certificates.get("default", "whole").seen().is_some())
        .await;
    for _ in 0..500 {
        if malformed(&running) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(malformed(&running), "{:?}", certificates(&running, "broken"));

    // A watch that begins with a list of both fares the same.
    let second = watching(server.admin_kubeconfig(), None).await;
    synced(&second).await;
    assert!(malformed(&second));
    assert_eq!(certificates(&second, "whole"), Observed::Present(()));

    server.put(&[object(json!({"domains": ["b.example.com"]}), "broken")]).await.unwrap();
    running
        .until("the repair", |snapshot| snapshot.kubernetes.managed_certificates.get("default", "broken").seen().is_some())
        .await;
}

async fn a_refused_kind_is_unknown_until_it_is_allowed(server: &ApiServer) {
    let token = server.service_account_token("diagnosis", "reader").await.unwrap();
    let role = |policies: bool| {
        let mut kinds = vec!["ingresses"];
        if policies {
            kinds.push("networkpolicies");
        }
        let others = json!({"apiGroups": ["", "apps", "discovery.k8s.io", "coordination.k8s.io", "cloud.google.com",
            "networking.gke.io"], "resources": ["*"], "verbs": ["get", "list", "watch"]});
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"},
            "rules": [others, {"apiGroups": ["networking.k8s.io"], "resources": kinds, "verbs": ["get", "list", "watch"]}]})
    };
    server.apply(&role(false)).await.unwrap();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "diagnosis", "name": "reader"}]});
    server.apply(&binding).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    server.write_kubeconfig(&kubeconfig, &token).unwrap();
    allowed_to_list_ingresses(&kubeconfig).await;

    let running = watching(&kubeconfig, None).await;
    synced(&running).await;
    let why = running.world.read().kubernetes.network_policies.readable("default").unwrap_err();
    assert_eq!(&*why.reason, "Forbidden");
    assert!(why.message.contains("networkpolicies"), "{why}");
    assert!(running.world.read().kubernetes.ingresses.readable("default").is_ok());

    server.apply(&role(true)).await.unwrap();
    running.until("leave to read", |snapshot| snapshot.kubernetes.network_policies.readable("default").is_ok()).await;
}

/// The API server's authoriser learns of a binding a moment later.
async fn allowed_to_list_ingresses(kubeconfig: &Path) {
    let ingresses = kube::Api::<Ingress>::all(client(kubeconfig).await);
    let limit = Instant::now() + Duration::from_secs(60);
    while let Err(error) = ingresses.list(&ListParams::default()).await {
        assert!(Instant::now() < limit, "no leave to list within a minute: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn one_namespace_is_watched_alone(server: &ApiServer) {
    for namespace in ["one", "two"] {
        server.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await.unwrap();
    }
    for namespace in ["one", "two", "kube-system"] {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": "s"},
            "spec": {"ports": [{"port": 80}]}});
        server.apply(&service).await.unwrap();
    }
    let running = watching(server.admin_kubeconfig(), Some("one")).await;
    synced(&running).await;
    let seen: Vec<_> =
        running.world.read().kubernetes.services.iter().map(|service| service.metadata.namespace.to_string()).collect();
    assert_eq!(seen, ["kube-system", "one"]);
}
