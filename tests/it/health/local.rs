//! Near misses and variants: externalTrafficPolicy Local.

use super::*;

#[test]
fn that_no_node_passes_is_never_by_design() {
    let mut world = Variant::of("external-traffic-policy-local");
    world.health(DESK_BACKEND, |_, _| "UNHEALTHY");
    assert_eq!(world.found(DESK), "Broken BackendUnhealthy");
}

#[test]
fn with_the_policy_cluster_every_node_must_pass() {
    let mut world = Variant::of("external-traffic-policy-local");
    world.one("Service", "legacy")["spec"]["externalTrafficPolicy"] = "Cluster".into();
    assert_eq!(world.found(DESK), "Degraded BackendPartiallyUnhealthy");
}

#[test]
fn a_network_endpoint_group_knows_no_nodes() {
    let mut world = cart();
    world.one("Service", "shop")["spec"]["externalTrafficPolicy"] = "Local".into();
    world.health(CART_NEG, |_, node| if node.ends_with("j6tx") { "UNHEALTHY" } else { "HEALTHY" });
    assert_eq!(world.found(CART), "Degraded BackendPartiallyUnhealthy");
}

#[test]
fn a_pod_that_came_to_a_node_only_now_is_not_missed_yet() {
    let mut world = Variant::of("external-traffic-policy-local-pod-fails");
    assert_eq!(world.found(DESK), "Degraded BackendPartiallyUnhealthy");
    let ready = world.moment(-30);
    for pod in world.all("Pod", "legacy") {
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = ready.clone();
        }
    }
    assert_eq!(world.found(DESK), "Healthy ExternalTrafficPolicyLocal <BackendPartiallyUnhealthy");
}
