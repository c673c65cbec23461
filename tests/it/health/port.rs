//! Near misses and variants: fixed ports of the health check.

use super::*;

fn fixed(port: u16) -> Variant {
    let mut world = sick_cart();
    world.backend_config("shop", "cart", &json!({"port": port}));
    world.resource("healthChecks", CART_NEG)["httpHealthCheck"] =
        json!({"port": port, "portSpecification": "USE_FIXED_PORT", "requestPath": "/healthz"});
    let ports = &mut world.resource("firewalls", "k8s-fw-l7")["allowed"][0]["ports"];
    ports.as_array_mut().unwrap().push(port.to_string().into());
    world
}

#[test]
fn what_answers_is_served() {
    let mut world = fixed(9090);
    world.answers("shop", 9090, "/healthz", &json!({"status": 404, "latencyMs": 2}));
    assert_eq!(world.found(CART), "Broken HealthCheckRejected <BackendUnhealthy");
}

#[test]
fn silence_on_a_declared_port_is_the_applications() {
    let mut world = fixed(9090);
    for pod in world.all("Pod", "shop") {
        let ports = pod["spec"]["containers"][0]["ports"].as_array_mut().unwrap();
        ports.push(json!({"containerPort": 9090, "name": "admin"}));
    }
    world.answers("shop", 9090, "/healthz", &json!({"error": "ConnectionRefused"}));
    assert_eq!(world.found(CART), "Broken HealthCheckRefused <BackendUnhealthy");
}

#[test]
fn unasked_it_is_likely_at_most() {
    let diagnosis = fixed(9090).diagnose(CART);
    assert_eq!(diagnosis.findings[0].found.rule.code, "HealthCheckPortWrong");
    assert_eq!(diagnosis.findings[0].found.finding.confidence.as_str(), "Likely");
}

#[test]
fn pods_that_are_not_ready_tell_nothing_of_the_port() {
    let mut world = fixed(9090);
    for pod in world.all("Pod", "shop") {
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
                condition["status"] = "False".into();
            }
        }
    }
    assert_eq!(world.found(CART), "Broken PodsNotReady <BackendUnhealthy");
}

#[test]
fn left_behind_by_a_backend_config_it_has_drifted() {
    let mut world = fixed(9090);
    world.kubernetes.retain(|object| object["kind"] != "BackendConfig");
    world.one("Service", "shop")["metadata"]["annotations"].as_object_mut().unwrap().remove("cloud.google.com/backend-config");
    world.answers("shop", 9090, "/healthz", &json!({"error": "ConnectionRefused"}));
    assert_eq!(world.found(CART), "Broken HealthCheckDrift <HealthCheckPortWrong <BackendUnhealthy");
}

#[test]
fn the_node_port_of_another_service_may_be_meant() {
    let mut world = desk();
    world.health(DESK_BACKEND, |_, _| "UNHEALTHY");
    world.backend_config("legacy", "frontdesk", &json!({"port": 31234}));
    world.resource("healthChecks", DESK_BACKEND)["httpHealthCheck"] =
        json!({"port": 31234, "portSpecification": "USE_FIXED_PORT", "requestPath": "/status"});
    assert_eq!(world.found(DESK), "Broken HealthCheckPortWrong <BackendUnhealthy");
    let mut other = world.one("Service", "legacy").clone();
    other["metadata"]["name"] = "frontdesk-health".into();
    other["spec"]["ports"][0]["nodePort"] = 31234.into();
    world.kubernetes.push(other);
    assert_eq!(world.found(DESK), "Broken BackendUnhealthy");
}

#[test]
fn transparent_health_checks_ask_nobody_among_the_containers() {
    let mut world = sick_cart();
    world.one("Service", "shop")["metadata"]["annotations"]["networking.gke.io/transparent-health-checker"] =
        r#"{"enabled":true}"#.into();
    let check = world.resource("healthChecks", CART_NEG);
    check["httpHealthCheck"] = json!({"portSpecification": "USE_FIXED_PORT", "port": 7877, "requestPath": "/api/podhealth"});
    check["description"] = r#"{"k8sResource":"/namespaces/shop/services/cart","config":"TransparentHC"}"#.into();
    assert_eq!(world.found(CART), "Broken BackendUnhealthy");
}
