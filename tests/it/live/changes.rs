//! What users do to their objects, and what becomes of the diagnoses.

use serde_json::{Value, json};
use testbed::pods::Reply;

use super::cluster::Cluster;
use super::product::Product;
use super::stage::Stage;
use super::until;

const ARGOCD: &str = "argocd/argocd-server";
const INGRESS: &str = "/apis/networking.k8s.io/v1/namespaces/argocd/ingresses/argocd-server";
const DIAGNOSIS: &str = "/apis/ingressdiagnosis.dev/v1alpha1/namespaces/argocd/ingressdiagnoses/argocd-server";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn diagnoses_follow_what_users_do() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    let foreign = json!({"apiVersion": "ingressdiagnosis.dev/v1alpha1", "kind": "IngressDiagnosis",
        "metadata": {"namespace": "media", "name": "thumbs"},
        "spec": {"targetRef": {"apiVersion": "v1", "kind": "Service", "name": "elsewhere"}}});
    let foreign = cluster.server.apply(&foreign).await.unwrap();
    // Past every validation: an older API server may have let it in.
    let malformed = json!({"apiVersion": "cloud.google.com/v1", "kind": "BackendConfig",
        "metadata": {"namespace": "intranet", "name": "broken", "uid": "1"}, "spec": {"healthCheck": "none"}});
    let leaving = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "leaving", "uid": "2",
        "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z"},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}});
    let late = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "leaving", "name": "late", "uid": "3", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"defaultBackend": {"service": {"name": "gone", "port": {"number": 80}}}}});
    cluster.server.put(&[malformed, leaving, late]).await.unwrap();

    let product = stage.run("it-0").await;
    stage.until_verdicts(&[(ARGOCD, "Broken")], &product).await;
    one_users_object_stops_nobody_else(&product).await;
    what_is_not_ours_is_left_alone(&cluster, &product, &foreign).await;
    what_is_accepted_does_not_count(&stage, &product).await;
    the_mend_is_seen(&stage, &product).await;
    whose_class_changes_loses_its_diagnosis(&stage, &product).await;
    what_is_deleted_loses_its_diagnosis(&stage, &product).await;
    let said = product.said("namespace leaving is being deleted and takes no new IngressDiagnosis");
    assert_eq!(said.len(), 1, "it cannot be helped, so once is enough");
    assert_eq!(cluster.diagnosis("media/thumbs").await, foreign, "it is still left alone");
}

async fn one_users_object_stops_nobody_else(product: &Product) {
    let said = product.said("cannot be understood");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!((&said[0]["namespace"], &said[0]["name"]), (&json!("intranet"), &json!("broken")));
}

async fn what_is_not_ours_is_left_alone(cluster: &Cluster, product: &Product, foreign: &Value) {
    until("it is said whose the object is", async || match product.said("targets Service elsewhere, it is left alone").len() {
        0 => Err(product.words()),
        _ => Ok(()),
    })
    .await;
    assert_eq!(cluster.diagnosis("media/thumbs").await, *foreign);
    assert_eq!(product.said("targets Service elsewhere").len(), 1, "once is enough");
}

async fn what_is_accepted_does_not_count(stage: &Stage<'_>, product: &Product) {
    let server = &stage.cluster.server;
    let accept = |codes: Value| json!({"spec": {"acknowledge": codes}});
    server.patch(DIAGNOSIS, &accept(json!(["HealthCheckRedirected"]))).await.unwrap();
    until("what is accepted does not count", async || {
        let stands = stage.cluster.diagnosis(ARGOCD).await;
        let first = &stands["status"]["findings"][0];
        let accepted = first["acknowledged"] == true && first["code"] == "HealthCheckRedirected";
        let counts = stands["status"]["verdict"] == "Broken";
        if accepted && !counts { Ok(()) } else { Err(format!("{stands:#}\n{}", product.words())) }
    })
    .await;
    let stands = stage.cluster.diagnosis(ARGOCD).await;
    assert_eq!(stands["spec"]["acknowledge"], json!(["HealthCheckRedirected"]), "it is the owner's");
    let shown = |line: &str| line.contains("HealthCheckRedirected") && line.contains("role=\"acknowledged\"");
    let endpoints = |line: &str| {
        line.starts_with("ingress_diagnosis_endpoints{") && line.contains("state=\"unhealthy\"") && line.ends_with(" 2")
    };
    // The API server has a status a moment before its writer shows it.
    until("the metrics show it", async || {
        let metrics = product.get("/metrics").await.unwrap().1;
        let whole = metrics.lines().any(shown)
            && metrics.lines().any(endpoints)
            && metrics.contains("ingress_diagnosis_probe_requests_total{result=\"307\"}");
        if whole { Ok(()) } else { Err(metrics) }
    })
    .await;
    server.patch(DIAGNOSIS, &accept(Value::Null)).await.unwrap();
    stage.until_verdicts(&[(ARGOCD, "Broken")], product).await;
}

async fn the_mend_is_seen(stage: &Stage<'_>, product: &Product) {
    for probe in stage.world.probes.iter().flatten().filter(|probe| probe.pod.starts_with("argocd/")) {
        stage.pods.set(&probe.ip, probe.port, Reply::status(200)).unwrap();
    }
    assert!(stage.google.update(|world| world.set_health("argocd-server", "HEALTHY")) > 0);
    // What the rollout of the mend changes.
    let deployment = "/apis/apps/v1/namespaces/argocd/deployments/argocd-server";
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    stage.cluster.server.patch(deployment, &restart).await.unwrap();
    stage.until_verdicts(&[(ARGOCD, "Healthy")], product).await;
    let stands = stage.cluster.diagnosis(ARGOCD).await;
    assert_eq!(stands["status"]["endpoints"]["text"], "2/2");
    until("the log says what is resolved", async || {
        let said = product.said("diagnosis changed");
        let last = said.last().cloned().unwrap_or_default();
        let resolved = last["resolved"].as_str().unwrap_or_default();
        let whole =
            last["verdict"] == "Healthy" && resolved.contains("HealthCheckRedirected") && resolved.contains("BackendUnhealthy");
        if whole { Ok(()) } else { Err(product.words()) }
    })
    .await;
}

async fn whose_class_changes_loses_its_diagnosis(stage: &Stage<'_>, product: &Product) {
    let server = &stage.cluster.server;
    let before = server.get(INGRESS).await.unwrap();
    // With nothing left on it that GKE's controller wrote, as it leaves an Ingress that goes to another class.
    let mut annotations: serde_json::Map<String, Value> =
        before["metadata"]["annotations"].as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect();
    annotations.insert("kubernetes.io/ingress.class".to_owned(), "nginx".into());
    let class = json!({"metadata": {"annotations": annotations, "finalizers": null}});
    server.patch(INGRESS, &class).await.unwrap();
    until("the diagnosis goes", async || match stage.cluster.diagnosis(ARGOCD).await {
        Value::Null => Ok(()),
        stands => Err(format!("{stands:#}\n{}", product.words())),
    })
    .await;
    until("its series are gone", async || {
        let metrics = product.get("/metrics").await.unwrap().1;
        let gone = product.said("IngressDiagnosis deleted").len() == 1 && !metrics.contains("name=\"argocd-server\"");
        if gone { Ok(()) } else { Err(format!("{metrics}\n{}", product.words())) }
    })
    .await;
    let mut annotations = before["metadata"]["annotations"].clone();
    annotations["kubernetes.io/ingress.class"] = before["metadata"]["annotations"]["kubernetes.io/ingress.class"].clone();
    let back = json!({"metadata": {"annotations": annotations, "finalizers": before["metadata"]["finalizers"]}});
    server.patch(INGRESS, &back).await.unwrap();
    stage.until_verdicts(&[(ARGOCD, "Healthy")], product).await;
}

async fn what_is_deleted_loses_its_diagnosis(stage: &Stage<'_>, product: &Product) {
    let ingress = stage.cluster.server.get(INGRESS).await.unwrap();
    stage.cluster.server.delete(&[ingress]).await.unwrap();
    until("the diagnosis goes with its Ingress", async || match stage.cluster.diagnosis(ARGOCD).await {
        Value::Null => Ok(()),
        stands => Err(format!("{stands:#}\n{}", product.words())),
    })
    .await;
}
