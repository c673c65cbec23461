//! Near misses and variants of the rules of health, each a recorded world with one thing changed.

mod answers;
mod drift;
mod endpoints;
mod gate;
mod local;
mod port;
mod readiness_probe;
mod reads;
mod rollout;
mod standalone;
mod timing;

use serde_json::{Value, json};

use crate::variant::Variant;

const CART: &str = "shop/cart";
const DESK: &str = "legacy/frontdesk";
const CART_NEG: &str = "shop-cart";
const DESK_BACKEND: &str = "k8s-be-30119";

fn cart() -> Variant {
    Variant::of("healthy-neg")
}

/// The same, with every endpoint UNHEALTHY.
fn sick_cart() -> Variant {
    let mut world = cart();
    world.health(CART_NEG, |_, _| "UNHEALTHY");
    world
}

fn desk() -> Variant {
    Variant::of("healthy-instance-group")
}

fn probe_of(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]["readinessProbe"]
}

/// A pod like the first one, made long before it, that has ended.
fn finished_pod(world: &mut Variant, namespace: &str, path: &str) {
    let mut pod = world.one("Pod", namespace).clone();
    pod["metadata"]["name"] = "evicted".into();
    pod["metadata"]["uid"] = "f1f1f1f1-0000-4000-8000-000000000002".into();
    pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    pod["status"] = json!({"phase": "Failed", "reason": "Evicted", "podIP": "10.4.0.99"});
    probe_of(&mut pod)["httpGet"]["path"] = path.into();
    world.kubernetes.push(pod);
}
