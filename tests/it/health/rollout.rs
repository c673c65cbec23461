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

#[test]
fn an_ipv6_address_is_the_same_however_it_is_written() {
    let mut world = sick_cart();
    let ready = world.moment(-40);
    for pod in world.all("Pod", "shop") {
        let at = pod["status"]["podIP"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
        pod["status"]["podIP"] = format!("fd20::{at}").into();
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = ready.clone();
        }
    }
    let slice = world.one("EndpointSlice", "shop");
    slice["addressType"] = "IPv6".into();
    for endpoint in slice["endpoints"].as_array_mut().unwrap() {
        let at = endpoint["addresses"][0].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
        endpoint["addresses"][0] = format!("fd20::{at}").into();
    }
    for (group, endpoints) in world.compute["endpoints"].as_object_mut().unwrap() {
        for endpoint in endpoints.as_array_mut().unwrap().iter_mut().filter(|_| group.contains(CART_NEG)) {
            let at = endpoint["networkEndpoint"]["ipAddress"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
            endpoint["networkEndpoint"]["ipAddress"] = "".into();
            endpoint["networkEndpoint"]["ipv6Address"] = format!("fd20:0:0:0:0:0:0:{at}").into();
        }
    }
    world.compute["health"] = json!({});
    assert_eq!(world.found(CART), "Healthy", "all pods became ready 40 s ago");
}
