//! Near misses and variants: health that was read in part.

use super::*;

const GROUP_B: &str = "projects/acme-prod/zones/us-central1-b/networkEndpointGroups/k8s1-3fa1c9d2-shop-cart-80-ff305e07";
const BACKEND: &str = "projects/acme-prod/global/backendServices/k8s1-3fa1c9d2-shop-cart-80-ff305e07";

/// Nobody may list or see network endpoint groups; what backend services say of their health may be read.
fn without_groups(mut world: Variant) -> Variant {
    world.compute["resources"].as_object_mut().unwrap().retain(|path, _| !path.contains("/networkEndpointGroups/"));
    world.compute["endpoints"] = json!({});
    let refused =
        json!({"code": 403, "reason": "forbidden", "message": "Required 'compute.networkEndpointGroups.list' permission"});
    for zone in ["a", "b", "c"] {
        world.compute["errors"][format!("projects/acme-prod/zones/us-central1-{zone}/networkEndpointGroups")] = refused.clone();
    }
    world
}

/// The endpoints of one zone could not be read, by neither method.
fn without_zone_b(mut world: Variant) -> Variant {
    world.compute["endpoints"].as_object_mut().unwrap().remove(GROUP_B).unwrap();
    world.compute["health"][BACKEND].as_object_mut().unwrap().remove(GROUP_B).unwrap();
    let refused = json!({"code": 429, "reason": "rateLimitExceeded", "message": "later"});
    world.compute["errors"] =
        json!({(format!("{GROUP_B}/listNetworkEndpoints")): refused, (format!("{BACKEND}/getHealth")): refused});
    world
}

#[test]
fn who_may_not_list_endpoints_is_told_their_health() {
    assert_eq!(without_groups(cart()).found(CART), "Healthy");
    assert_eq!(without_groups(sick_cart()).found(CART), "Broken BackendUnhealthy");
    let mut answered = without_groups(sick_cart());
    answered.answers("shop", 8080, "/healthz", &json!({"status": 404, "latencyMs": 2}));
    assert_eq!(answered.found(CART), "Broken HealthCheckRejected <BackendUnhealthy");
}

#[test]
fn a_group_of_which_nothing_was_said_is_not_empty() {
    let mut world = without_groups(cart());
    for entries in world.compute["health"][BACKEND].as_object_mut().unwrap().values_mut() {
        *entries = json!([]);
    }
    assert_eq!(world.found(CART), "Unknown");
}

#[test]
fn a_zone_that_was_not_read_decides_nothing_beside_a_healthy_endpoint() {
    assert_eq!(without_zone_b(cart()).found(CART), "Healthy");
}

#[test]
fn where_nothing_read_is_healthy_only_a_certain_cause_accuses() {
    let mut world = without_zone_b(sick_cart());
    assert_eq!(world.found(CART), "Unknown");
    // The controller's own word is for those who could read nothing.
    world.all("Ingress", "shop")[0]["metadata"]["annotations"]["ingress.kubernetes.io/backends"] =
        "{\"k8s1-3fa1c9d2-shop-cart-80-ff305e07\":\"UNHEALTHY\"}".into();
    assert_eq!(world.found(CART), "Unknown");
    world.answers("shop", 8080, "/healthz", &json!({"status": 404, "latencyMs": 2}));
    assert_eq!(world.found(CART), "Degraded HealthCheckRejected");
}

#[test]
fn a_group_for_a_service_elsewhere_has_no_health() {
    let mut world = sick_cart();
    let group = "projects/acme-prod/regions/us-central1/networkEndpointGroups/run";
    world.compute["resources"][group] = json!({"name": "run", "networkEndpointType": "SERVERLESS"});
    let backends = world.resource("backendServices", CART_NEG)["backends"].as_array_mut().unwrap();
    backends.push(json!({"group": format!("https://www.googleapis.com/compute/v1/{group}")}));
    assert_eq!(world.found(CART), "Broken BackendUnhealthy");
}
