//! What `kubectl describe` shows: Events on the targets themselves.

use serde_json::{Value, json};
use testbed::pods::Reply;

use super::cluster::{Cluster, manifest};
use super::leadership::until_leading;
use super::product::Product;
use super::rights::{replace, until_allowed};
use super::stage::Stage;
use super::{OWN, until};

const ARGOCD: &str = "argocd/argocd-server";
const BOTH: [(&str, &str); 2] = [(ARGOCD, "Broken"), ("media/thumbs", "Healthy")];
const REDIRECTED: &str = "Warning HealthCheckRedirected";
const REJECTED: &str = "Warning HealthCheckRejected";

/// The events that the program has written on an object, in their order; found as `kubectl describe` finds them.
async fn on(cluster: &Cluster, object: &Value) -> Vec<Value> {
    let of = |field: &str| object["metadata"][field].as_str().unwrap();
    let about =
        [("kind", object["kind"].as_str().unwrap()), ("name", of("name")), ("namespace", of("namespace")), ("uid", of("uid"))];
    let selector: Vec<String> = about.iter().map(|(field, value)| format!("involvedObject.{field}%3D{value}")).collect();
    let path = format!("/api/v1/namespaces/{}/events?fieldSelector={}", of("namespace"), selector.join("%2C"));
    let events = cluster.server.get(&path).await.unwrap()["items"].as_array().cloned().unwrap_or_default();
    let mut ours: Vec<Value> = events.into_iter().filter(|event| event["source"]["component"] == OWN).collect();
    ours.sort_by_key(|event| event["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap());
    ours
}

/// Type and reason of each.
fn told(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| format!("{} {}", event["type"].as_str().unwrap(), event["reason"].as_str().unwrap())).collect()
}

async fn until_told(cluster: &Cluster, object: &Value, wanted: &[&str], product: &Product) -> Vec<Value> {
    until(&format!("the events are {wanted:?}"), async || {
        let events = on(cluster, object).await;
        if told(&events) == wanted { Ok(events) } else { Err(format!("{:?}\n{}", told(&events), product.words())) }
    })
    .await
}

async fn ingress(cluster: &Cluster, namespace: &str, name: &str) -> Value {
    cluster.server.get(&format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/{name}")).await.unwrap()
}

/// How often the program has asked for an event to be made.
fn asked(cluster: &Cluster) -> usize {
    let ours = |request: &Value| {
        request["objectRef"]["resource"] == "events" && request["verb"] == "create" && request["user"]["username"] != "admin"
    };
    cluster.server.audit().unwrap().iter().filter(|request| ours(request)).count()
}

async fn answer(stage: &Stage<'_>, status: u16) {
    for probe in stage.world.probes.iter().flatten().filter(|probe| probe.pod.starts_with("argocd/")) {
        stage.pods.set(&probe.ip, probe.port, Reply::status(status)).unwrap();
    }
    // What makes somebody ask anew.
    let deployment = "/apis/apps/v1/namespaces/argocd/deployments/argocd-server";
    let restart =
        json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": status.to_string()}}}}});
    stage.cluster.server.patch(deployment, &restart).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_the_root_cause_is_said_once_on_the_ingress() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "argocd-redirect").await;
    let first = stage.run("it-0").await;
    stage.until_verdicts(&BOTH, &first).await;
    let argocd = ingress(&cluster, "argocd", "argocd-server").await;

    let said = until_told(&cluster, &argocd, &[REDIRECTED], &first).await;
    let message = said[0]["message"].as_str().unwrap();
    assert!(message.starts_with("the pods answer the health check on /healthz with 307"), "{message}");
    assert!(message.contains("; mend: kubectl -n argocd patch configmap argocd-cmd-params-cm"), "{message}");
    println!("{} {}: {message}", said[0]["type"], said[0]["reason"]);
    let writes = cluster.writes();
    first.look_again().await;
    assert_eq!(cluster.writes(), writes, "what was said is no reason to write the same status again");
    assert_eq!((asked(&cluster), on(&cluster, &argocd).await), (1, said.clone()), "it is said once");

    // Started again, it finds it said.
    first.signal("KILL");
    drop(first);
    let second = stage.run("it-1").await;
    second.diagnosed().await;
    second.look_again().await;
    assert_eq!(on(&cluster, &argocd).await, said);

    // Killed between the status and the event: whoever comes next says it, as the one before would have.
    second.signal("KILL");
    drop(second);
    let path = format!("/api/v1/namespaces/argocd/events/{}", said[0]["metadata"]["name"].as_str().unwrap());
    cluster.server.request("DELETE", &path, None).await.unwrap();
    let third = stage.run("it-2").await;
    let again = until_told(&cluster, &argocd, &[REDIRECTED], &third).await;
    let same = |event: &Value| [event["metadata"]["name"].clone(), event["message"].clone(), event["lastTimestamp"].clone()];
    assert_eq!(same(&again[0]), same(&said[0]));

    // Another one leads: it repeats nothing and says what is new.
    let token = cluster.server.service_account_token(OWN, OWN).await.unwrap();
    let fourth = Product::start(&cluster.server, &token, &stage.settings(), "it-3").await;
    fourth.ready().await;
    until_leading(&fourth, false).await;
    third.signal("KILL");
    drop(third);
    until_leading(&fourth, true).await;
    fourth.diagnosed().await;
    fourth.look_again().await;
    assert_eq!(on(&cluster, &argocd).await, again);
    answer(&stage, 404).await;
    until_told(&cluster, &argocd, &[REDIRECTED, REJECTED], &fourth).await;

    answer(&stage, 200).await;
    assert!(stage.google.update(|world| world.set_health("argocd-server", "HEALTHY")) > 0);
    let all = until_told(&cluster, &argocd, &[REDIRECTED, REJECTED, "Normal Resolved"], &fourth).await;
    let gone = all[2]["message"].as_str().unwrap();
    assert!(
        gone.starts_with("HealthCheckRejected has gone; serves at ") && gone.ends_with(", 2 of 2 endpoints healthy"),
        "{gone}"
    );
    fourth.look_again().await;
    assert_eq!(on(&cluster, &argocd).await, all);
    let thumbs = ingress(&cluster, "media", "thumbs").await;
    assert_eq!(told(&on(&cluster, &thumbs).await), Vec::<String>::new(), "a healthy one is silent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_can_be_switched_off_and_keep_no_status_waiting() {
    let cluster = Cluster::start().await;
    let stage = Stage::open(&cluster, "standalone-neg-not-attached").await;
    let service = cluster.server.get("/api/v1/namespaces/payments/services/ledger").await.unwrap();
    let diagnosis = "payments/service.ledger";
    let mut off = stage.settings();
    off["events"] = json!({"enabled": false});
    let product = Product::start(&cluster.server, &cluster.token, &off, "it-0").await;
    stage.until_verdicts(&[(diagnosis, "Degraded")], &product).await;
    product.look_again().await;
    assert_eq!((asked(&cluster), &cluster.diagnosis(diagnosis).await["status"]["lastEvent"]), (0, &Value::Null));
    product.terminate().await;

    // Not allowed to: the status is written all the same, and once is enough to say so.
    let role = testbed::world::objects(&manifest("cluster-role")).unwrap().remove(0);
    let mut narrow = role.clone();
    narrow["rules"].as_array_mut().unwrap().retain(|rule| rule["resources"] != json!(["events"]));
    replace(&cluster, narrow).await;
    until_allowed(&cluster, "create", "", "events", false).await;
    let product = stage.run("it-1").await;
    until("the status remembers what is to be said", async || {
        let stands = cluster.diagnosis(diagnosis).await;
        let said = &stands["status"]["lastEvent"];
        if said["rootCause"] == "NegNotAttached" { Ok(()) } else { Err(format!("{stands:#}\n{}", product.words())) }
    })
    .await;
    until("it says what it may not do", async || match product.said("Events are not written").len() {
        0 => Err(product.words()),
        _ => Ok(()),
    })
    .await;
    product.look_again().await;
    assert_eq!(product.said("Events are not written").len(), 1, "{}", product.words());
    product.terminate().await;

    replace(&cluster, role).await;
    until_allowed(&cluster, "create", "", "events", true).await;
    let long = hostile();
    cluster.server.put(std::slice::from_ref(&long)).await.unwrap();
    let product = stage.run("it-2").await;
    until_told(&cluster, &service, &["Warning NegNotAttached"], &product).await;
    let said = until_told(&cluster, &long, &["Warning ServiceNotFound"], &product).await;
    let message = said[0]["message"].as_str().unwrap();
    assert!(message.len() <= 1024 && message.contains('…'), "{} bytes: {message}", message.len());
}

/// An Ingress whose names are as long as they get, and longer than the API server lets in.
fn hostile() -> Value {
    let name = "i".repeat(253);
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "payments", "name": name, "uid": "5f0c6d0a-93c7-4d0e-8e55-0c9c1a7a1d11",
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"defaultBackend": {"service": {"name": "ü\"'`$(x)".repeat(200), "port": {"number": 80}}}}})
}
