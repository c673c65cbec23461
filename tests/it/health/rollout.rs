//! Near misses and variants: what a rollout may look like.

use super::*;

#[test]
fn new_pods_and_what_old_ones_left_behind_are_an_ordinary_rollout() {
    let mut world = sick_cart();
    let ready = world.moment(-40);
    for pod in world.all("Pod", "shop") {
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = ready.clone();
        }
    }
    assert_eq!(world.found(CART), "Healthy");
    // One endpoint's pod is gone.
    world.one("EndpointSlice", "shop")["endpoints"].as_array_mut().unwrap().pop();
    let gone = world.all("Pod", "shop").len() - 1;
    let name = world.all("Pod", "shop")[gone]["metadata"]["name"].clone();
    world.kubernetes.retain(|object| object["kind"] != "Pod" || object["metadata"]["name"] != name);
    assert!(!world.found(CART).contains("BackendUnhealthy"));
}

#[test]
fn nodes_fail_until_the_pods_behind_them_are_there() {
    let mut world = desk();
    world.health(DESK_BACKEND, |_, _| "UNHEALTHY");
    assert_eq!(world.found(DESK), "Broken BackendUnhealthy");
    let ready = world.moment(-40);
    for pod in world.all("Pod", "legacy") {
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = ready.clone();
        }
    }
    assert_eq!(world.found(DESK), "Healthy");
}
