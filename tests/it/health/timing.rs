//! Near misses and variants: timeouts and intervals.

use super::*;

#[test]
fn a_probe_alone_can_be_refused() {
    let mut world = Variant::of("health-check-timing-invalid");
    world.kubernetes.retain(|object| object["kind"] != "BackendConfig");
    world.one("Service", "shop")["metadata"]["annotations"].as_object_mut().unwrap().remove("cloud.google.com/backend-config");
    assert_eq!(world.found(CART), "Broken NoAddress", "a timeout of one second suits every interval");
    for pod in world.all("Pod", "shop") {
        probe_of(pod)["timeoutSeconds"] = 30.into();
    }
    assert_eq!(world.found(CART), "Broken HealthCheckTimingInvalid <NoAddress");
}

#[test]
fn a_changed_probe_does_not_reach_a_health_check_that_is_there() {
    let mut world = cart();
    for pod in world.all("Pod", "shop") {
        probe_of(pod)["timeoutSeconds"] = 30.into();
    }
    assert_eq!(world.found(CART), "Degraded HealthCheckDrift");
}

#[test]
fn a_refused_change_leaves_the_rest_serving() {
    let mut world = cart();
    world.backend_config("shop", "cart", &json!({"timeoutSec": 11}));
    assert_eq!(world.found(CART), "Degraded HealthCheckTimingInvalid", "the interval of the health check is 10 s");
}

#[test]
fn nothing_is_said_where_compute_is_not_read() {
    let mut world = Variant::of("compute-denied");
    for pod in world.all("Pod", "shop") {
        probe_of(pod)["timeoutSeconds"] = 30.into();
    }
    assert_eq!(world.found(CART), "Unknown");
    world.backend_config("shop", "cart", &json!({"timeoutSec": 11, "checkIntervalSec": 10}));
    assert_eq!(world.found(CART), "Degraded HealthCheckTimingInvalid");
}
