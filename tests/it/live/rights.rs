//! What the ServiceAccount may do, and what becomes of a kind that it may not read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cluster::{Cluster, manifest};
use super::leadership::until_leading;
use super::stage::Stage;
use super::{OWN, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forbidden_is_unknown_and_secrets_are_never_asked_for() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    let product = stage.run("it-0").await;
    stage.until_verdicts(&[("argocd/argocd-server", "Broken"), ("media/thumbs", "Healthy")], &product).await;
    product.terminate().await;
    nothing_is_refused_and_nothing_but_our_own_is_written(&cluster.server.audit().unwrap());

    forbid(&cluster, &["networkpolicies", "frontendconfigs"]).await;
    let stand: Vec<Value> = cluster.diagnoses().await.into_values().collect();
    cluster.server.delete(&stand).await.unwrap();

    let product = stage.run("it-1").await;
    until("what is forbidden is listed", async || {
        let stands = cluster.diagnosis("argocd/argocd-server").await;
        let reasons = stands["status"]["inconclusive"].as_array().cloned().unwrap_or_default();
        let forbidden = |one: &Value| {
            one["reason"] == "Forbidden" && one["message"].as_str().is_some_and(|message| message.contains("networkpolicies"))
        };
        if reasons.iter().any(forbidden) { Ok(()) } else { Err(format!("{stands:#}\n{}", product.words())) }
    })
    .await;
    let stand = cluster.diagnoses().await;
    assert_eq!(stand["media/thumbs"]["status"]["verdict"], "Healthy", "nobody is accused");
    product.ready().await;
    let metrics = product.get("/metrics").await.unwrap().1;
    for kind in ["networkpolicies.networking.k8s.io", "frontendconfigs.networking.gke.io"] {
        let mut unknown = metrics.lines().filter(|line| line.starts_with("ingress_diagnosis_unknown{"));
        assert!(unknown.any(|line| line.contains(kind) && line.contains("Forbidden")), "{kind}:\n{metrics}");
        assert_eq!(product.said("cannot be watched").iter().filter(|line| line["kind"] == kind).count(), 1, "once is enough");
    }
    product.terminate().await;

    // Who sees no Ingress at all does not think that they are gone.
    forbid(&cluster, &["ingresses"]).await;
    let changes = cluster.changes().len();
    let product = stage.run("it-2").await;
    product.ready().await;
    until_leading(&product, true).await;
    product.look_again().await;
    assert_eq!(cluster.diagnoses().await, stand);
    assert_eq!(cluster.changes().len(), changes);
}

/// Takes the right to read some kinds away.
pub async fn forbid(cluster: &Cluster, kinds: &[&str]) {
    let mut role = testbed::world::objects(&manifest("cluster-role")).unwrap().remove(0);
    let rules = role["rules"].as_array_mut().unwrap();
    for rule in rules.iter_mut() {
        rule["resources"].as_array_mut().unwrap().retain(|resource| !kinds.contains(&resource.as_str().unwrap_or_default()));
    }
    rules.retain(|rule| !rule["resources"].as_array().unwrap().is_empty());
    replace(cluster, role).await;
    for kind in kinds {
        let group = if *kind == "frontendconfigs" { "networking.gke.io" } else { "networking.k8s.io" };
        until_allowed(cluster, "list", group, kind, false).await;
    }
}

/// Puts a role in the place of the one that stands, so that what is left out is taken away.
pub async fn replace(cluster: &Cluster, mut role: Value) {
    let path = cluster.server.path_of(&role).await.unwrap();
    role["metadata"]["resourceVersion"] = cluster.server.get(&path).await.unwrap()["metadata"]["resourceVersion"].clone();
    cluster.server.request("PUT", &path, Some(&role)).await.unwrap();
}

/// Waits until the API server knows what the program may do.
pub async fn until_allowed(cluster: &Cluster, verb: &str, group: &str, resource: &str, wanted: bool) {
    until("the API server knows what is allowed", async || {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": format!("system:serviceaccount:{OWN}:{OWN}"),
            "resourceAttributes": {"verb": verb, "group": group, "resource": resource}}});
        let answer = cluster.server.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", Some(&review)).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer["status"]["allowed"] == wanted { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

fn nothing_is_refused_and_nothing_but_our_own_is_written(requests: &[Value]) {
    let mut asked = BTreeSet::new();
    for request in requests {
        let code = request["responseStatus"]["code"].as_u64().unwrap_or_default();
        assert_ne!(code, 403, "{request:#}");
        let resource = request["objectRef"]["resource"].as_str().unwrap_or_default().to_owned();
        let verb = request["verb"].as_str().unwrap_or_default().to_owned();
        if !matches!(&*verb, "get" | "list" | "watch") {
            let event = resource == "events" && verb == "create";
            assert!(event || matches!(&*resource, "ingressdiagnoses" | "leases"), "{request:#}");
            assert!(resource != "leases" || request["objectRef"]["namespace"] == OWN, "{request:#}");
        }
        asked.insert((resource, verb));
    }
    let of = |resource: &str| asked.iter().any(|(of, _)| of == resource);
    assert!(!of("secrets"));
    assert!(of("pods") && of("ingresses") && of("endpointslices"), "{asked:?}");
    assert_eq!(json!(asked.iter().filter(|(of, _)| of == "nodes").count()), 2, "list and watch");
}
