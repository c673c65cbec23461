//! Near misses and variants: the readiness gate.

use super::*;

const GATE: &str = "cloud.google.com/load-balancer-neg-ready";

/// The first pod waits at the gate since its containers became ready.
fn waiting(seconds: i64, message: &str) -> Variant {
    let mut world = cart();
    let (created, ready) = (world.moment(-seconds - 300), world.moment(-seconds));
    let pod = world.one("Pod", "shop");
    let ip = pod["status"]["podIP"].as_str().unwrap().to_owned();
    pod["metadata"]["creationTimestamp"] = created;
    for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
        match condition["type"].as_str().unwrap() {
            GATE => *condition = json!({"type": GATE, "status": "", "reason": "LoadBalancerNegNotReady", "message": message}),
            "ContainersReady" => condition["lastTransitionTime"] = ready.clone(),
            "Ready" => condition["status"] = "False".into(),
            _ => {}
        }
    }
    world.health(CART_NEG, |address, _| if address == ip { "UNHEALTHY" } else { "HEALTHY" });
    world
}

#[test]
fn a_rollout_takes_two_minutes_from_when_the_containers_are_ready() {
    let message = "Waiting for pod to become healthy in at least one of the NEG(s): [k8s1-3fa1c9d2-shop-cart-80-ff305e07]";
    assert_eq!(waiting(100, message).found(CART), "Healthy");
    assert_eq!(waiting(140, message).found(CART), "Degraded BackendPartiallyUnhealthy <ReadinessGateBlocked");
}

#[test]
fn the_gate_of_another_group_is_another_backends() {
    let message = "Waiting for pod to become healthy in at least one of the NEG(s): [k8s1-3fa1c9d2-shop-other-80-00000000]";
    assert_eq!(waiting(140, message).found(CART), "Degraded BackendPartiallyUnhealthy");
}

#[test]
fn a_gate_that_timed_out_before_a_healthy_endpoint_is_history() {
    let mut world = cart();
    for pod in world.all("Pod", "shop") {
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == GATE {
                condition["reason"] = "LoadBalancerNegTimeout".into();
            }
        }
    }
    assert_eq!(world.found(CART), "Healthy");
    world.health(CART_NEG, |_, _| "UNHEALTHY");
    assert_eq!(world.found(CART), "Broken BackendUnhealthy <ReadinessGateTimedOut");
}
