//! Near misses and variants: probes that the controller passes over.

use super::*;

/// A TCP probe, and a health check with the defaults.
fn tcp() -> Variant {
    let mut world = sick_cart();
    for pod in world.all("Pod", "shop") {
        *probe_of(pod) = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 10});
    }
    let check = world.resource("healthChecks", CART_NEG);
    check["checkIntervalSec"] = 15.into();
    check["timeoutSec"] = 15.into();
    check["httpHealthCheck"]["requestPath"] = "/".into();
    check["description"] = "Default kubernetes L7 Loadbalancing health check for NEG.".into();
    world
}

#[test]
fn it_is_named_while_the_pods_are_ready() {
    assert_eq!(tcp().found(CART), "Broken ReadinessProbeNotUsed <BackendUnhealthy");
}

#[test]
fn a_path_in_a_backend_config_needs_no_probe() {
    let mut world = tcp();
    world.backend_config("shop", "cart", &json!({"requestPath": "/"}));
    assert_eq!(world.found(CART), "Broken BackendUnhealthy");
}

#[test]
fn a_finished_pods_probe_is_not_the_applications() {
    let mut world = tcp();
    finished_pod(&mut world, "shop", "/");
    for pod in world.all("Pod", "shop").into_iter().filter(|pod| pod["metadata"]["name"] != "evicted") {
        *probe_of(pod) = Value::Null;
    }
    probe_of(world.all("Pod", "shop").into_iter().find(|pod| pod["metadata"]["name"] == "evicted").unwrap())["httpGet"] =
        Value::Null;
    assert_eq!(world.found(CART), "Broken BackendUnhealthy");
}

#[test]
fn the_kubelets_path_is_proposed_where_only_the_port_was_not_declared() {
    let mut world = tcp();
    for pod in world.all("Pod", "shop") {
        *probe_of(pod) = json!({"httpGet": {"path": "/healthz", "port": 8080}});
        pod["spec"]["containers"][0]["ports"] = json!([]);
    }
    let diagnosis = world.diagnose(CART);
    assert_eq!(diagnosis.findings[0].found.rule.code, "ReadinessProbeNotUsed");
    let fix = &diagnosis.findings[0].found.finding.fix;
    assert!(fix[1].contains(r#"{"healthCheck":{"requestPath":"/healthz"}}"#), "{fix:?}");
}

#[test]
fn a_mended_protocol_makes_no_tcp_probe_count() {
    let mut world = tcp();
    world.answers("shop", 8080, "/", &json!({"error": "Protocol"}));
    assert_eq!(world.found(CART), "Broken BackendProtocolMismatch <BackendUnhealthy ReadinessProbeNotUsed");
    for pod in world.all("Pod", "shop") {
        *probe_of(pod) = json!({"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTPS"}});
    }
    assert_eq!(world.found(CART), "Broken BackendProtocolMismatch <ReadinessProbeNotUsed <BackendUnhealthy");
}
