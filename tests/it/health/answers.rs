//! Near misses and variants: what pods answer.

use super::*;

#[test]
fn a_400_from_a_pod_that_speaks_the_same_scheme_is_no_mismatch() {
    let mut world = sick_cart();
    world.answers("shop", 8080, "/healthz", &json!({"status": 400, "latencyMs": 2}));
    assert_eq!(world.found(CART), "Broken HealthCheckRejected <BackendUnhealthy");
}

#[test]
fn a_backend_config_of_another_type_is_mended_there() {
    let mut world = sick_cart();
    world.backend_config("shop", "cart", &json!({"type": "HTTPS"}));
    let check = world.resource("healthChecks", CART_NEG);
    check["type"] = "HTTPS".into();
    check["httpsHealthCheck"] = check["httpHealthCheck"].take();
    world.answers("shop", 8080, "/healthz", &json!({"scheme": "HTTPS", "error": "Tls", "message": "wrong version number"}));
    assert_eq!(world.found(CART), "Broken BackendProtocolMismatch <BackendUnhealthy");
    let fix = world.diagnose(CART).findings[0].found.finding.fix.clone();
    assert!(fix[1].contains("patch backendconfig settings") && fix[1].contains(r#""type":"HTTP""#), "{fix:?}");
}

#[test]
fn a_pod_on_its_way_out_may_answer_what_it_likes() {
    let mut world = cart();
    let (deleted, ip) = (world.moment(-20), {
        let pod = world.one("Pod", "shop");
        pod["status"]["podIP"].as_str().unwrap().to_owned()
    });
    world.one("Pod", "shop")["metadata"]["deletionTimestamp"] = deleted;
    world.health(CART_NEG, |address, _| if address == ip { "UNHEALTHY" } else { "HEALTHY" });
    world.answers("shop", 8080, "/healthz", &json!({"status": 503, "latencyMs": 2}));
    assert_eq!(world.found(CART), "Healthy");
}

#[test]
fn the_ipv6_addresses_of_a_dual_stack_service_are_not_asked() {
    let mut world = sick_cart();
    let mut slice = world.one("EndpointSlice", "shop").clone();
    slice["metadata"]["name"] = "cart-v6".into();
    slice["addressType"] = "IPv6".into();
    for (at, endpoint) in slice["endpoints"].as_array_mut().unwrap().iter_mut().enumerate() {
        endpoint["addresses"] = json!([format!("fd20::{at}")]);
        let pod = format!("shop/{}", endpoint["targetRef"]["name"].as_str().unwrap());
        world.probes.push(
            json!({"pod": pod, "ip": format!("fd20::{at}"), "port": 8080, "path": "/healthz", "error": "ConnectionRefused"}),
        );
    }
    world.kubernetes.push(slice);
    world.answers("shop", 8080, "/healthz", &json!({"status": 404, "latencyMs": 2}));
    assert_eq!(world.found(CART), "Broken HealthCheckRejected <BackendUnhealthy");
}

#[test]
fn a_late_answer_came_through_any_policy() {
    let mut world = Variant::of("health-check-times-out");
    world.kubernetes.push(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "own", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]},
    }));
    assert_eq!(world.found(CART), "Broken HealthCheckTimesOut <BackendUnhealthy");
    world.unreadable("networkpolicies.networking.k8s.io");
    assert_eq!(world.found(CART), "Broken HealthCheckTimesOut <BackendUnhealthy");
}

#[test]
fn the_other_nodes_pods_are_not_asked_about_a_fixed_port() {
    let mut world = Variant::of("health-check-port-is-container-port");
    world.answers("legacy", 8080, "/status", &json!({"status": 200, "latencyMs": 2}));
    assert_eq!(world.found(DESK), "Broken HealthCheckPortWrong <BackendUnhealthy");
}

#[test]
fn a_400_over_tls_is_about_the_request() {
    let mut world = sick_cart();
    world.backend_config("shop", "cart", &json!({"type": "HTTPS"}));
    world.one("Service", "shop")["metadata"]["annotations"]["cloud.google.com/app-protocols"] = "{\"http\": \"HTTPS\"}".into();
    let check = world.resource("healthChecks", CART_NEG);
    check["type"] = "HTTPS".into();
    check["httpsHealthCheck"] = check["httpHealthCheck"].take();
    world.answers("shop", 8080, "/healthz", &json!({"scheme": "HTTPS", "status": 400, "latencyMs": 2}));
    let found = world.found(CART);
    assert!(found.contains("HealthCheckRejected") && !found.contains("BackendProtocolMismatch"), "{found}");
}

#[test]
fn the_probe_of_a_sidecar_says_nothing_of_the_serving_port() {
    let mut world = Variant::of("backend-protocol-mismatch");
    for pod in world.all("Pod", "shop") {
        let sidecar = json!({"name": "proxy", "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}}});
        pod["spec"]["containers"].as_array_mut().unwrap().insert(0, sidecar);
    }
    assert_eq!(world.found(CART), "Broken BackendProtocolMismatch <ReadinessProbeNotUsed <BackendUnhealthy");
    let message = world.diagnose(CART).findings[0].symptoms[0].finding.message.clone();
    assert!(message.contains("container \"cart\"") && message.contains("HTTPS"), "{message}");
}
