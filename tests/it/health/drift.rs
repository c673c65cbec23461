//! Near misses and variants: what the controller would derive now, and what it keeps.

use super::*;

#[test]
fn the_probe_of_the_oldest_pod_counts_even_when_it_has_finished() {
    let mut world = cart();
    finished_pod(&mut world, "shop", "/old");
    assert_eq!(world.found(CART), "Degraded HealthCheckDrift");
    let fix = world.diagnose(CART).findings[0].found.finding.fix.clone();
    assert!(fix[0].ends_with("kubectl -n shop delete pod evicted"), "{fix:?}");
    assert_eq!(fix.len(), 2, "the running pods and the health check agree: {fix:?}");
}

#[test]
fn a_finished_pod_that_agrees_with_the_health_check_hides_the_others() {
    let mut world = cart();
    finished_pod(&mut world, "shop", "/healthz");
    for pod in world.all("Pod", "shop").into_iter().filter(|pod| pod["metadata"]["name"] != "evicted") {
        probe_of(pod)["httpGet"]["path"] = "/new".into();
    }
    assert_eq!(world.found(CART), "Healthy");
}

#[test]
fn without_any_pod_nothing_is_known() {
    let mut world = cart();
    world.kubernetes.retain(|object| object["kind"] != "Pod" || object["metadata"]["namespace"] != "shop");
    world.one("EndpointSlice", "shop")["endpoints"] = json!([]);
    assert!(!world.found(CART).contains("HealthCheckDrift"));
}

#[test]
fn a_service_without_selector_takes_any_pod_of_the_namespace() {
    let mut world = cart();
    world.one("Service", "shop")["spec"]["selector"] = Value::Null;
    assert_eq!(world.found(CART), "Healthy");
    let mut stranger = world.one("Pod", "shop").clone();
    stranger["metadata"]["name"] = "stranger".into();
    stranger["metadata"]["labels"] = json!({"app": "stranger"});
    stranger["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    probe_of(&mut stranger)["httpGet"]["path"] = "/stranger".into();
    world.kubernetes.push(stranger);
    assert_eq!(world.found(CART), "Degraded HealthCheckDrift");
}

#[test]
fn somebody_elses_health_check_is_his_own() {
    for (field, value) in [("description", "made by terraform"), ("name", "my-check")] {
        let mut world = cart();
        let check = world.resource("healthChecks", CART_NEG);
        check["httpHealthCheck"]["requestPath"] = "/mine".into();
        check[field] = value.into();
        assert_eq!(world.found(CART), "Healthy", "{field}");
    }
}

#[test]
fn transparent_health_checks_look_at_no_probe() {
    let mut world = cart();
    let check = world.resource("healthChecks", CART_NEG);
    check["httpHealthCheck"] = json!({"port": 7877, "portSpecification": "USE_FIXED_PORT", "requestPath": "/api/podhealth"});
    check["description"] = "Kubernetes L7 transparent health check.".into();
    world.one("Service", "shop")["metadata"]["annotations"]["networking.gke.io/transparent-health-checker"] =
        "{\"enabled\": true}".into();
    assert_eq!(world.found(CART), "Healthy");
}

#[test]
fn what_backend_config_sets_is_meant() {
    let mut world = cart();
    world.resource("healthChecks", CART_NEG)["httpHealthCheck"]["requestPath"] = "/deep".into();
    world.backend_config("shop", "cart", &json!({"requestPath": "/deep"}));
    assert_eq!(world.found(CART), "Healthy");
    world.unreadable("backendconfigs.cloud.google.com");
    world.kubernetes.retain(|object| object["kind"] != "BackendConfig");
    let diagnosis = world.diagnose(CART);
    assert!(diagnosis.findings.is_empty());
    assert!(diagnosis.inconclusive.iter().any(|one| one.code == "HealthCheckDrift"));
}

#[test]
fn a_changed_host_header_drifts_and_no_backend_config_mends_it() {
    let mut world = cart();
    for pod in world.all("Pod", "shop") {
        probe_of(pod)["httpGet"]["httpHeaders"] = json!([{"name": "Host", "value": "cart.acme.example"}]);
    }
    let diagnosis = world.diagnose(CART);
    let finding = &diagnosis.findings[0].found;
    assert_eq!(finding.rule.code, "HealthCheckDrift");
    assert!(finding.finding.message.contains("host cart.acme.example"), "{}", finding.finding.message);
    assert!(finding.finding.fix[0].starts_with("delete all Ingresses"), "{:?}", finding.finding.fix);
}

#[test]
fn an_instance_group_asks_a_minute_more_seldom_than_the_kubelet() {
    let mut world = desk();
    assert_eq!(world.found(DESK), "Healthy");
    for pod in world.all("Pod", "legacy") {
        probe_of(pod)["periodSeconds"] = 30.into();
    }
    let message = world.diagnose(DESK).findings[0].found.finding.message.clone();
    assert!(message.contains("checkIntervalSec 65") && message.contains("checkIntervalSec 90"), "{message}");
}

#[test]
fn protocols_that_are_not_understood_derive_nothing() {
    let mut world = cart();
    world.one("Service", "shop")["metadata"]["annotations"]["cloud.google.com/app-protocols"] = "{\"http\": \"h2c\"}".into();
    for pod in world.all("Pod", "shop") {
        probe_of(pod)["httpGet"]["scheme"] = "HTTPS".into();
    }
    assert!(!world.found(CART).contains("HealthCheckDrift"));
}
