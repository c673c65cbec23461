//! Near misses and variants of the rules of health, each a recorded world with one thing changed.

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

mod drift {
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
        assert!(!world.found(CART).contains("Drift"));
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
        assert!(!world.found(CART).contains("Drift"));
    }
}

mod port {
    use super::*;

    fn fixed(port: u16) -> Variant {
        let mut world = sick_cart();
        world.backend_config("shop", "cart", &json!({"port": port}));
        world.resource("healthChecks", CART_NEG)["httpHealthCheck"] =
            json!({"port": port, "portSpecification": "USE_FIXED_PORT", "requestPath": "/healthz"});
        world
    }

    #[test]
    fn what_answers_is_served() {
        let mut world = fixed(9090);
        world.answers("shop", 9090, "/healthz", &json!({"status": 404, "latencyMs": 2}));
        assert_eq!(world.found(CART), "Broken HealthCheckRejected <BackendUnhealthy");
    }

    #[test]
    fn silence_on_a_declared_port_is_the_applications() {
        let mut world = fixed(9090);
        for pod in world.all("Pod", "shop") {
            let ports = pod["spec"]["containers"][0]["ports"].as_array_mut().unwrap();
            ports.push(json!({"containerPort": 9090, "name": "admin"}));
        }
        world.answers("shop", 9090, "/healthz", &json!({"error": "ConnectionRefused"}));
        assert_eq!(world.found(CART), "Broken HealthCheckRefused <BackendUnhealthy");
    }

    #[test]
    fn unasked_it_is_likely_at_most() {
        let diagnosis = fixed(9090).diagnose(CART);
        assert_eq!(diagnosis.findings[0].found.rule.code, "HealthCheckPortWrong");
        assert_eq!(diagnosis.findings[0].found.finding.confidence.as_str(), "Likely");
    }

    #[test]
    fn pods_that_are_not_ready_tell_nothing_of_the_port() {
        let mut world = fixed(9090);
        for pod in world.all("Pod", "shop") {
            for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
                if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
                    condition["status"] = "False".into();
                }
            }
        }
        assert_eq!(world.found(CART), "Broken PodsNotReady <BackendUnhealthy");
    }

    #[test]
    fn left_behind_by_a_backend_config_it_has_drifted() {
        let mut world = fixed(9090);
        world.kubernetes.retain(|object| object["kind"] != "BackendConfig");
        world.one("Service", "shop")["metadata"]["annotations"].as_object_mut().unwrap().remove("cloud.google.com/backend-config");
        world.answers("shop", 9090, "/healthz", &json!({"error": "ConnectionRefused"}));
        assert_eq!(world.found(CART), "Broken HealthCheckDrift <HealthCheckPortWrong <BackendUnhealthy");
    }

    #[test]
    fn the_node_port_of_another_service_may_be_meant() {
        let mut world = desk();
        world.health(DESK_BACKEND, |_, _| "UNHEALTHY");
        world.backend_config("legacy", "frontdesk", &json!({"port": 31234}));
        world.resource("healthChecks", DESK_BACKEND)["httpHealthCheck"] =
            json!({"port": 31234, "portSpecification": "USE_FIXED_PORT", "requestPath": "/status"});
        assert_eq!(world.found(DESK), "Broken HealthCheckPortWrong <BackendUnhealthy");
        let mut other = world.one("Service", "legacy").clone();
        other["metadata"]["name"] = "frontdesk-health".into();
        other["spec"]["ports"][0]["nodePort"] = 31234.into();
        world.kubernetes.push(other);
        assert_eq!(world.found(DESK), "Broken BackendUnhealthy");
    }
}

mod timing {
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
}

mod answers {
    use super::*;

    #[test]
    fn a_400_from_a_pod_that_speaks_the_same_scheme_is_no_mismatch() {
        let mut world = sick_cart();
        world.answers("shop", 8080, "/healthz", &json!({"status": 400, "latencyMs": 2}));
        assert_eq!(world.found(CART), "Broken HealthCheckRejected <BackendUnhealthy");
    }

    #[test]
    fn a_backend_config_of_another_type_is_mended_there() {
        let mut world = sick_cart();
        world.backend_config("shop", "cart", &json!({"type": "HTTPS"}));
        let check = world.resource("healthChecks", CART_NEG);
        check["type"] = "HTTPS".into();
        check["httpsHealthCheck"] = check["httpHealthCheck"].take();
        world.answers("shop", 8080, "/healthz", &json!({"scheme": "HTTPS", "error": "Tls", "message": "wrong version number"}));
        assert_eq!(world.found(CART), "Broken BackendProtocolMismatch <BackendUnhealthy");
        let fix = world.diagnose(CART).findings[0].found.finding.fix.clone();
        assert!(fix[1].contains("patch backendconfig settings") && fix[1].contains(r#""type":"HTTP""#), "{fix:?}");
    }

    #[test]
    fn a_pod_on_its_way_out_may_answer_what_it_likes() {
        let mut world = cart();
        let (deleted, ip) = (world.moment(-20), {
            let pod = world.one("Pod", "shop");
            pod["status"]["podIP"].as_str().unwrap().to_owned()
        });
        world.one("Pod", "shop")["metadata"]["deletionTimestamp"] = deleted;
        world.health(CART_NEG, |address, _| if address == ip { "UNHEALTHY" } else { "HEALTHY" });
        world.answers("shop", 8080, "/healthz", &json!({"status": 503, "latencyMs": 2}));
        assert_eq!(world.found(CART), "Healthy");
    }

    #[test]
    fn the_ipv6_addresses_of_a_dual_stack_service_are_not_asked() {
        let mut world = sick_cart();
        let mut slice = world.one("EndpointSlice", "shop").clone();
        slice["metadata"]["name"] = "cart-v6".into();
        slice["addressType"] = "IPv6".into();
        for (at, endpoint) in slice["endpoints"].as_array_mut().unwrap().iter_mut().enumerate() {
            endpoint["addresses"] = json!([format!("fd20::{at}")]);
            let pod = format!("shop/{}", endpoint["targetRef"]["name"].as_str().unwrap());
            world.probes.push(json!({"pod": pod, "ip": format!("fd20::{at}"), "port": 8080, "path": "/healthz", "error": "ConnectionRefused"}));
        }
        world.kubernetes.push(slice);
        world.answers("shop", 8080, "/healthz", &json!({"status": 404, "latencyMs": 2}));
        assert_eq!(world.found(CART), "Broken HealthCheckRejected <BackendUnhealthy");
    }

    #[test]
    fn a_late_answer_came_through_any_policy() {
        let mut world = Variant::of("health-check-times-out");
        world.kubernetes.push(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "own", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]},
        }));
        assert_eq!(world.found(CART), "Broken HealthCheckTimesOut <BackendUnhealthy");
        world.unreadable("networkpolicies.networking.k8s.io");
        assert_eq!(world.found(CART), "Broken HealthCheckTimesOut <BackendUnhealthy");
    }

    #[test]
    fn the_other_nodes_pods_are_not_asked_about_a_fixed_port() {
        let mut world = Variant::of("health-check-port-is-container-port");
        world.answers("legacy", 8080, "/status", &json!({"status": 200, "latencyMs": 2}));
        assert_eq!(world.found(DESK), "Broken HealthCheckPortWrong <BackendUnhealthy");
    }
}

mod readiness_probe {
    use super::*;

    /// A TCP probe, and a health check with the defaults.
    fn tcp() -> Variant {
        let mut world = sick_cart();
        for pod in world.all("Pod", "shop") {
            *probe_of(pod) = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 10});
        }
        let check = world.resource("healthChecks", CART_NEG);
        check["checkIntervalSec"] = 15.into();
        check["timeoutSec"] = 15.into();
        check["httpHealthCheck"]["requestPath"] = "/".into();
        check["description"] = "Default kubernetes L7 Loadbalancing health check for NEG.".into();
        world
    }

    #[test]
    fn it_is_named_while_the_pods_are_ready() {
        assert_eq!(tcp().found(CART), "Broken ReadinessProbeNotUsed <BackendUnhealthy");
    }

    #[test]
    fn a_path_in_a_backend_config_needs_no_probe() {
        let mut world = tcp();
        world.backend_config("shop", "cart", &json!({"requestPath": "/"}));
        assert_eq!(world.found(CART), "Broken BackendUnhealthy");
    }

    #[test]
    fn a_finished_pods_probe_is_not_the_applications() {
        let mut world = tcp();
        finished_pod(&mut world, "shop", "/");
        for pod in world.all("Pod", "shop").into_iter().filter(|pod| pod["metadata"]["name"] != "evicted") {
            *probe_of(pod) = Value::Null;
        }
        probe_of(world.all("Pod", "shop").into_iter().find(|pod| pod["metadata"]["name"] == "evicted").unwrap())["httpGet"] =
            Value::Null;
        assert_eq!(world.found(CART), "Broken BackendUnhealthy");
    }

    #[test]
    fn the_kubelets_path_is_proposed_where_only_the_port_was_not_declared() {
        let mut world = tcp();
        for pod in world.all("Pod", "shop") {
            *probe_of(pod) = json!({"httpGet": {"path": "/healthz", "port": 8080}});
            pod["spec"]["containers"][0]["ports"] = json!([]);
        }
        let diagnosis = world.diagnose(CART);
        assert_eq!(diagnosis.findings[0].found.rule.code, "ReadinessProbeNotUsed");
        let fix = &diagnosis.findings[0].found.finding.fix;
        assert!(fix[1].contains(r#"{"healthCheck":{"requestPath":"/healthz"}}"#), "{fix:?}");
    }
}

mod gate {
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
}

mod rollout {
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
}

mod endpoints {
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
        world.kubernetes.push(leaving);
        assert!(!world.found(CART).contains("NoEndpoints"));
        world.one("Deployment", "shop")["spec"]["replicas"] = 0.into();
        assert_eq!(world.found(CART), "Broken NoEndpoints");
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
}

mod local {
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
}
