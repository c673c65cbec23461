//! Near misses and variants: Services without pods.

use super::*;

/// No pod of the cart is left; its slice is empty.
fn empty() -> Variant {
    let mut world = cart();
    world.kubernetes.retain(|object| object["kind"] != "Pod" || object["metadata"]["namespace"] != "shop");
    world.one("EndpointSlice", "shop")["endpoints"] = json!([]);
    for (group, endpoints) in world.compute["endpoints"].as_object_mut().unwrap() {
        if group.contains(CART_NEG) {
            *endpoints = json!([]);
        }
    }
    world
}

#[test]
fn between_two_releases_there_may_be_no_pod() {
    let mut world = empty();
    assert_eq!(world.found(CART), "Broken NoEndpoints");
    let (now, mut leaving) = (world.moment(10), cart().one("Pod", "shop").clone());
    leaving["metadata"]["deletionTimestamp"] = now;
    let address = leaving["status"]["podIP"].clone();
    world.kubernetes.push(leaving);
    // The group is empty already: nobody is served, for however short a time.
    assert_eq!(world.found(CART), "Broken NoEndpoints");
    for (group, endpoints) in
        cart().compute["endpoints"].as_object().unwrap().iter().filter(|(group, _)| group.contains(CART_NEG))
    {
        let held = endpoints.as_array().unwrap().iter().filter(|endpoint| endpoint["networkEndpoint"]["ipAddress"] == address);
        world.compute["endpoints"][group] = held.cloned().collect();
    }
    world.health(CART_NEG, |_, _| "DRAINING");
    assert_eq!(world.found(CART), "Healthy");
    world.one("Deployment", "shop")["spec"]["replicas"] = 0.into();
    assert!(world.found(CART).contains("NoEndpoints"));
}

#[test]
fn endpoints_written_by_hand_serve_whatever_the_selector_says() {
    let mut world = cart();
    world.kubernetes.retain(|object| object["kind"] != "Pod" || object["metadata"]["namespace"] != "shop");
    world.one("EndpointSlice", "shop")["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "me".into();
    assert_eq!(world.found(CART), "Healthy");
}

#[test]
fn pods_that_start_do_not_excuse_one_that_never_did() {
    let mut world = sick_cart();
    let young = world.moment(-30);
    for (at, pod) in world.all("Pod", "shop").into_iter().enumerate() {
        if at > 0 {
            pod["metadata"]["creationTimestamp"] = young.clone();
        }
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
                condition["status"] = "False".into();
            }
        }
    }
    assert!(world.found(CART).starts_with("Broken PodsNotReady"), "{}", world.found(CART));
}
