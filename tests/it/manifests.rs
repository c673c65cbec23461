//! What `manifests/` grants is what the program uses, and no more; on a real API server.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ingress_diagnosis::api::IngressDiagnosis;
use ingress_diagnosis::collect::{self, Settings, World};
use ingress_diagnosis::config::Config;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};
use testbed::{ApiServer, Assets};

use crate::sources;

const OWN: &str = "ingress-diagnosis";

/// Every write that the program is granted; all else is read-only.
const WRITES: [(&str, &str, &[&str]); 4] = [
    ("ingressdiagnosis.dev", "ingressdiagnoses", &["create", "patch", "delete"]),
    ("ingressdiagnosis.dev", "ingressdiagnoses/status", &["patch"]),
    ("coordination.k8s.io", "leases", &["create", "update"]),
    ("", "events", &["create"]),
];

fn manifests() -> Vec<Value> {
    let files = sources::files(&sources::root().join("manifests/base"));
    let files = files.iter().filter(|path| !path.ends_with("kustomization.yaml") && !path.ends_with("config.yaml"));
    files.flat_map(|path| testbed::world::objects(&std::fs::read_to_string(path).unwrap()).unwrap()).collect()
}

fn texts<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    rule[field].as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn nothing_is_granted_on_secrets_and_nothing_is_written_but_our_own() {
    let manifests = manifests();
    let roles: Vec<&Value> = manifests.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("Role")).collect();
    assert_eq!(roles.len(), 3);
    for rule in roles.iter().flat_map(|role| role["rules"].as_array().unwrap()) {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                assert!(group != "*" && resource != "*" && !resource.contains("secrets"), "{rule}");
                let writes = WRITES.iter().find(|(of, plural, _)| *of == group && *plural == resource);
                for verb in texts(rule, "verbs") {
                    let allowed =
                        matches!(verb, "get" | "list" | "watch") || writes.is_some_and(|(.., verbs)| verbs.contains(&verb));
                    assert!(
                        allowed,
                        "The program writes its own custom resource, its status, Events and its Lease, and nothing else: {rule}"
                    );
                }
                // What GKE keeps beside much else is read by name.
                let narrow = matches!(resource, "configmaps" | "namespaces")
                    || (resource == "leases" && !texts(rule, "verbs").contains(&"create"));
                assert!(!narrow || !texts(rule, "resourceNames").is_empty(), "{rule}");
            }
        }
    }
}

#[test]
fn the_configuration_is_understood() {
    Config::load(Some(&sources::root().join("manifests/base/config.yaml")), &[]).unwrap();
}

/// A server that has the manifests, and a client that is the program's ServiceAccount.
async fn installed() -> Result<(ApiServer, Client)> {
    let server = ApiServer::start(&Assets::locate()?).await?;
    // First, because it makes a namespace and an account without labels.
    let token = server.service_account_token(OWN, OWN).await?;
    server.install_gke_crds().await?;
    server.apply_yaml(&std::fs::read_to_string(sources::root().join("crds/ingressdiagnoses.yaml"))?).await?;
    let mut manifests = manifests();
    manifests.sort_by_key(|object| object["kind"] != "Namespace");
    for object in &manifests {
        server.apply(object).await?;
    }
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    server.write_kubeconfig(&kubeconfig, &token)?;
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
    Ok((server, Client::try_from(collect::prepare(config))?))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_is_what_is_needed() -> Result<()> {
    let (server, client) = installed().await?;
    what_is_ours_is_writable(&client).await?;
    every_kind_is_readable_and_read(&server, &client).await?;
    all_else_is_refused(&client).await?;
    pods_are_restricted(&server).await?;
    kustomize_gives_the_same(&server).await
}

/// Group, resource and verb.
type Right = [String; 3];

/// Every right in `manifests/`.
fn granted() -> BTreeSet<Right> {
    let manifests = manifests();
    let rules = manifests.iter().filter_map(|object| object["rules"].as_array()).flatten();
    let mut granted = BTreeSet::new();
    for rule in rules {
        for (group, resource) in texts(rule, "apiGroups")
            .into_iter()
            .flat_map(|group| texts(rule, "resources").into_iter().map(move |resource| (group, resource)))
        {
            granted.extend(texts(rule, "verbs").into_iter().map(|verb| [group, resource, verb].map(str::to_owned)));
        }
    }
    granted
}

/// Every right that was made use of, as the API server saw it.
fn used(server: &ApiServer) -> Result<BTreeSet<Right>> {
    let mut used = BTreeSet::new();
    for request in server.audit()?.iter().filter(|request| request["responseStatus"]["code"] != 403) {
        let of = &request["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = match text(&of["subresource"]) {
            sub if sub.is_empty() => text(&of["resource"]),
            sub => format!("{}/{sub}", text(&of["resource"])),
        };
        // Who makes an object by server-side apply has to have both rights.
        if request["verb"] == "patch" && request["responseStatus"]["code"] == 201 {
            used.insert([text(&of["apiGroup"]), resource.clone(), "create".to_owned()]);
        }
        used.insert([text(&of["apiGroup"]), resource, text(&request["verb"])]);
    }
    Ok(used)
}

/// The collector itself says what it could not read, and the API server what was never asked for.
async fn every_kind_is_readable_and_read(server: &ApiServer, client: &Client) -> Result<()> {
    let world = Arc::new(World::new());
    let (_active, inactive) = tokio::sync::watch::channel(false);
    let (stop, shutdown) = tokio::sync::watch::channel(false);
    let mut collector = collect::start(client.clone(), Settings::default(), world.clone(), inactive, shutdown);
    let start = Instant::now();
    loop {
        let idle: Vec<Right> = granted().difference(&used(server)?).cloned().collect();
        if world.synced() && idle.is_empty() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "not listed: {:?}; granted and never used: {idle:?}", world.awaited());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let unread = world.read().kubernetes.unread();
    assert!(unread.is_empty(), "{unread:?}");
    stop.send(true)?;
    collector.stopped().await?;
    Ok(())
}

async fn what_is_ours_is_writable(client: &Client) -> Result<()> {
    let own: Api<IngressDiagnosis> = Api::namespaced(client.clone(), "default");
    let all: Api<IngressDiagnosis> = Api::all(client.clone());
    all.list(&ListParams::default()).await?;
    drop(all.watch(&WatchParams::default(), "0").await?);
    let (api_version, kind, metadata) = ("ingressdiagnosis.dev/v1alpha1", "IngressDiagnosis", json!({"name": "web"}));
    let target = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web"});
    let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": {"targetRef": target}});
    let status = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "status": {"verdict": "Healthy", "summary": "serves"}});
    let apply = PatchParams::apply(OWN).force();
    own.patch("web", &apply, &Patch::Apply(object)).await?;
    own.patch_status("web", &apply, &Patch::Apply(status)).await?;
    own.delete("web", &DeleteParams::default()).await?;

    let leases: Api<Lease> = Api::namespaced(client.clone(), OWN);
    let lease =
        |name: &str| serde_json::from_value::<Lease>(json!({"metadata": {"name": name}, "spec": {"holderIdentity": "a"}}));
    let made = leases.create(&PostParams::default(), &lease(OWN)?).await?;
    leases.replace(OWN, &PostParams::default(), &made).await?;
    assert!(leases.get_opt(OWN).await?.is_some());

    let about = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "namespace": "default", "name": "web"});
    let event = json!({"metadata": {"name": "web.1"}, "involvedObject": about, "reason": "NoEndpoints", "type": "Warning"});
    let event = serde_json::from_value::<Event>(event)?;
    Api::<Event>::namespaced(client.clone(), "default").create(&PostParams::default(), &event).await?;
    Ok(())
}

async fn all_else_is_refused(client: &Client) -> Result<()> {
    let (every, default) = (ListParams::default(), PostParams::default());
    let refused = |what: &str, error: Option<kube::Error>| {
        assert!(matches!(&error, Some(kube::Error::Api(status)) if status.code == 403), "{what}: {error:?}");
    };
    refused("secrets", Api::<Secret>::all(client.clone()).list(&every).await.err());
    refused("secrets of its own namespace", Api::<Secret>::namespaced(client.clone(), OWN).list(&every).await.err());
    refused("ConfigMaps", Api::<ConfigMap>::namespaced(client.clone(), "kube-system").list(&every).await.err());
    refused("other Leases", Api::<Lease>::namespaced(client.clone(), "kube-system").get("kube-scheduler").await.err());
    let annotate = Patch::Merge(json!({"metadata": {"annotations": {"a": "b"}}}));
    let ingresses = Api::<Ingress>::namespaced(client.clone(), "default");
    refused("Ingresses", ingresses.patch("web", &PatchParams::default(), &annotate).await.err());
    let lease: Lease = serde_json::from_value(json!({"metadata": {"name": "x"}}))?;
    refused("Leases of others", Api::namespaced(client.clone(), "kube-system").create(&default, &lease).await.err());
    Ok(())
}

/// The API server itself checks the pod against the namespace's Pod Security level.
async fn pods_are_restricted(server: &ApiServer) -> Result<()> {
    let manifests = manifests();
    let deployment = manifests.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let pod = |spec: &Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trial"}, "spec": spec});
    let path = format!("/api/v1/namespaces/{OWN}/pods?dryRun=All");
    let mut spec = deployment["spec"]["template"]["spec"].clone();
    server.request("POST", &path, Some(&pod(&spec))).await?;
    assert_eq!(spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    // The API server learns of the namespace's labels a moment after they were written.
    for _ in 0..100 {
        if let Err(refused) = server.request("POST", &path, Some(&pod(&spec))).await {
            assert!(refused.to_string().contains("restricted"), "the level is enforced: {refused}");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("the API server lets a pod in that is not restricted")
}

/// `kubectl apply -k manifests` sends what was tried above, the definition and the configuration.
async fn kustomize_gives_the_same(server: &ApiServer) -> Result<()> {
    let Ok(output) = Command::new("kubectl").args(["kustomize", "manifests"]).current_dir(sources::root()).output() else {
        eprintln!("kubectl is not here: `kubectl kustomize manifests` is not tried");
        return Ok(());
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let identity =
        |object: &Value| format!("{} {}/{}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]);
    let built: BTreeSet<String> = testbed::world::objects(&text)?.iter().map(identity).collect();
    let missing: Vec<String> = manifests().iter().map(identity).filter(|object| !built.contains(object)).collect();
    assert!(missing.is_empty(), "manifests/base/kustomization.yaml leaves out {missing:?}");
    assert_eq!(built.len(), manifests().len() + 2, "{built:?}");
    server.apply_yaml(&text).await?;
    Ok(())
}
