//! Near misses and variants: a standalone group, whose health check is its user's own.

use super::*;

const LEDGER: &str = "payments/ledger";

fn sick_ledger() -> Variant {
    let mut world = Variant::of("standalone-neg-attached");
    world.health("ledger", |_, _| "UNHEALTHY");
    world
}

fn answered(answer: &Value) -> Variant {
    let mut world = sick_ledger();
    world.answers("payments", 8080, "/healthz", answer);
    world
}

#[test]
fn its_pods_are_asked_what_the_users_health_check_asks() {
    assert_eq!(sick_ledger().found(LEDGER), "Broken BackendUnhealthy");
    for (answer, code) in [
        (json!({"status": 302, "latencyMs": 2}), "HealthCheckRedirected"),
        (json!({"error": "ConnectionRefused"}), "HealthCheckRefused"),
        (json!({"status": 200, "latencyMs": 5100}), "HealthCheckTimesOut"),
        (json!({"error": "Protocol"}), "BackendProtocolMismatch"),
    ] {
        assert_eq!(answered(&answer).found(LEDGER), format!("Broken {code} <BackendUnhealthy"));
    }
}

#[test]
fn it_is_mended_at_the_users_health_check() {
    let slow = answered(&json!({"status": 200, "latencyMs": 5100}));
    let fix = slow.diagnose(LEDGER).findings[0].found.finding.fix.join("\n");
    assert!(fix.contains("gcloud compute health-checks update http payments-ledger-hc --global"), "{fix}");
    assert!(!fix.contains("BackendConfig"), "{fix}");
    let past = answered(&json!({"error": "Protocol"}));
    let fix = past.diagnose(LEDGER).findings[0].found.finding.fix.join("\n");
    assert!(fix.contains("gcloud compute backend-services update payments-ledger --global"), "{fix}");
    assert!(!fix.contains("app-protocols"), "{fix}");
}

#[test]
fn a_fixed_port_of_the_users_may_be_wrong() {
    let mut world = sick_ledger();
    let check = world.resource("healthChecks", "payments-ledger");
    check["httpHealthCheck"] = json!({"portSpecification": "USE_FIXED_PORT", "port": 9999, "requestPath": "/healthz"});
    world.answers("payments", 9999, "/healthz", &json!({"error": "ConnectionRefused"}));
    assert_eq!(world.found(LEDGER), "Broken HealthCheckPortWrong <BackendUnhealthy");
}

#[test]
fn health_that_the_list_does_not_tell_comes_from_the_backend_service() {
    let mut world = Variant::of("standalone-neg-attached");
    for endpoint in world.compute["endpoints"].as_object_mut().unwrap().values_mut().flat_map(|list| list.as_array_mut().unwrap())
    {
        endpoint.as_object_mut().unwrap().remove("healths");
    }
    assert_eq!(world.found(LEDGER), "Healthy");
}
