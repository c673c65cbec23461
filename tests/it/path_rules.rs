//! The rules about the path from the load balancer to the pods, on recorded worlds with one thing changed.

use std::collections::BTreeSet;

use ingress_diagnosis::diagnose::Diagnosis;
use ingress_diagnosis::snapshot::kubernetes::NetworkPolicy;
use ingress_diagnosis::snapshot::{Observed, Snapshot};
use serde_json::{Value, json};

use crate::world;

const RULE: &str = "projects/acme-prod/global/firewalls/k8s-fw-l7--3fa1c9d27be40516";

fn diagnosis(snapshot: &Snapshot, name: &str) -> Diagnosis {
    world::diagnoses(snapshot).into_iter().find(|diagnosis| &*diagnosis.target.name == name).unwrap()
}

fn causes(diagnosis: &Diagnosis) -> BTreeSet<&'static str> {
    diagnosis.findings.iter().map(|root| root.found.rule.code).collect()
}

fn inconclusive(diagnosis: &Diagnosis, code: &str) -> bool {
    diagnosis.inconclusive.iter().any(|one| one.code == code)
}

fn fix(diagnosis: &Diagnosis, code: &str) -> String {
    let found = diagnosis.findings.iter().flat_map(|root| root.all()).find(|found| found.rule.code == code).unwrap();
    found.finding.fix.join("\n")
}

fn rule(more: Value) -> Value {
    let mut rule = json!({
        "name": "k8s-fw-l7--3fa1c9d27be40516",
        "network": "https://www.googleapis.com/compute/v1/projects/acme-prod/global/networks/prod",
        "direction": "INGRESS",
        "sourceRanges": ["130.211.0.0/22", "35.191.0.0/16"],
        "targetTags": ["gke-prod-5e2b9c41-node"],
        "allowed": [{"IPProtocol": "tcp", "ports": ["8080", "30000-32767"]}]
    });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

/// The world without the rule, with this one instead.
fn with_rule(more: Value) -> Snapshot {
    let mut snapshot = world::named("firewall-rule-deleted");
    snapshot.compute.insert_json(RULE, rule(more)).unwrap();
    snapshot
}

const BLOCKED: &str = "HealthCheckFirewallBlocked";

#[test]
fn a_rule_that_lets_in_is_not_blamed() {
    for more in [
        json!({}),
        json!({"name": "own", "targetTags": [], "sourceRanges": ["0.0.0.0/0"], "allowed": [{"IPProtocol": "all"}]}),
        json!({"name": "own", "targetTags": ["web"], "priority": 1}),
        json!({"name": "own", "targetTags": [], "targetServiceAccounts": ["nodes@acme-prod.iam.gserviceaccount.com"]}),
    ] {
        let found = diagnosis(&with_rule(more.clone()), "catalog");
        assert!(!causes(&found).contains(BLOCKED), "{more}");
    }
}

#[test]
fn what_the_rule_lacks_is_named() {
    for (more, command) in [
        (json!({"disabled": true}), "update k8s-fw-l7--3fa1c9d27be40516 --project=acme-prod --no-disabled"),
        (
            json!({"allowed": [{"IPProtocol": "tcp", "ports": ["9000", "30000-32767"]}]}),
            "--allow=tcp:9000,tcp:30000-32767,tcp:8080 ",
        ),
        (json!({"sourceRanges": ["35.191.0.0/16"]}), "--source-ranges=35.191.0.0/16,130.211.0.0/22"),
        (json!({"targetTags": ["gke-old-00c0ffee-node"]}), "--target-tags=gke-prod-5e2b9c41-node"),
        (
            json!({"network": "projects/acme-prod/global/networks/other", "name": "own"}),
            "firewall-rules create k8s-fw-l7--3fa1c9d27be40516 ",
        ),
    ] {
        let found = diagnosis(&with_rule(more.clone()), "catalog");
        assert!(causes(&found).contains(BLOCKED), "{more}");
        let fix = fix(&found, BLOCKED);
        assert!(fix.contains(command), "{more}: {fix}");
    }
}

#[test]
fn unread_firewalls_accuse_nobody() {
    let mut snapshot = world::named("firewall-rule-deleted");
    let refused = json!({"code": 403, "reason": "forbidden", "message": "no"});
    snapshot.compute.errors.insert("projects/acme-prod/global/firewalls".into(), serde_json::from_value(refused).unwrap());
    let found = diagnosis(&snapshot, "catalog");
    assert!(!causes(&found).contains(BLOCKED) && inconclusive(&found, BLOCKED));

    // The host project of a Shared VPC was not asked at all.
    let mut snapshot = world::named("firewall-rule-deleted");
    let Observed::Present(cluster) = &mut snapshot.cluster else { panic!() };
    cluster.network_config.network = "projects/acme-net/global/networks/shared".into();
    let found = diagnosis(&snapshot, "catalog");
    assert!(!causes(&found).contains(BLOCKED) && inconclusive(&found, BLOCKED));
}

#[test]
fn a_healthy_endpoint_behind_the_same_rules_contradicts() {
    let mut snapshot = world::named("firewall-rule-deleted");
    for endpoints in snapshot.compute.endpoints.values_mut() {
        for endpoint in std::sync::Arc::make_mut(endpoints) {
            if endpoint.network_endpoint.port == 9000 {
                endpoint.healths[0].health_state = "HEALTHY".into();
            }
        }
    }
    assert!(!causes(&diagnosis(&snapshot, "catalog")).contains(BLOCKED));
}

#[test]
fn another_cause_stands_beside_it() {
    let mut snapshot = world::named("firewall-rule-deleted");
    let answers: Vec<_> = snapshot.probes.iter().cloned().collect();
    for mut answer in answers {
        answer.status = Some(404);
        snapshot.probes.insert(answer);
    }
    let found = diagnosis(&snapshot, "catalog");
    assert_eq!(found.root_cause, Some(BLOCKED));
    assert!(causes(&found).contains("HealthCheckRejected"));
}

#[test]
fn an_internal_load_balancer_needs_its_proxies_let_in() {
    let mut snapshot = world::named("healthy-internal");
    let path = RULE;
    snapshot.compute.insert_json(path, rule(json!({}))).unwrap();
    assert!(causes(&diagnosis(&snapshot, "builder")).is_empty(), "the endpoints are healthy");
    let (backend_service, groups) = snapshot.compute.health.iter_mut().find(|(path, _)| path.contains("-reports-")).unwrap();
    assert!(backend_service.contains("/regions/"));
    for statuses in groups.values_mut() {
        std::sync::Arc::make_mut(statuses).iter_mut().for_each(|status| status.health_state = "UNHEALTHY".into());
    }
    for (group, endpoints) in &mut snapshot.compute.endpoints {
        if group.contains("-reports-") {
            std::sync::Arc::make_mut(endpoints)
                .iter_mut()
                .for_each(|endpoint| endpoint.healths[0].health_state = "UNHEALTHY".into());
        }
    }
    let found = diagnosis(&snapshot, "builder");
    assert!(causes(&found).contains(BLOCKED));
    assert!(fix(&found, BLOCKED).contains("10.129.0.0/23"));
    snapshot
        .compute
        .insert_json(path, rule(json!({"sourceRanges": ["130.211.0.0/22", "35.191.0.0/16", "10.129.0.0/23"]})))
        .unwrap();
    assert!(!causes(&diagnosis(&snapshot, "builder")).contains(BLOCKED));
}

const POLICY: &str = "NetworkPolicyBlocksHealthChecks";

fn with_policy(ingress: Value) -> Snapshot {
    let mut snapshot = world::named("network-policy-blocks");
    let policy = json!({"metadata": {"name": "own", "namespace": "vault"}, "spec": {"podSelector": {}, "ingress": ingress}});
    snapshot.kubernetes.insert(serde_json::from_value::<NetworkPolicy>(policy).unwrap());
    snapshot
}

#[test]
fn policies_add_up() {
    let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
    for (ingress, blamed) in [
        (json!([{"from": [block("130.211.0.0/22"), block("35.191.0.0/16")], "ports": [{"port": 8080}]}]), false),
        (json!([{"from": [block("130.211.0.0/22"), block("35.191.0.0/17")]}, {"from": [block("35.191.128.0/17")]}]), false),
        (json!([{"ports": [{"port": 8080}]}]), false),
        (json!([{"from": [block("35.191.0.0/16")]}]), true),
        (json!([{"from": [block("130.211.0.0/22"), block("35.191.0.0/16")], "ports": [{"port": 9090}]}]), true),
        (json!([{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["35.191.0.0/16"]}}]}]), true),
    ] {
        let found = diagnosis(&with_policy(ingress.clone()), "secrets-ui");
        assert_eq!(causes(&found).contains(POLICY), blamed, "{ingress}");
    }
}

#[test]
fn policies_that_nobody_enforces_are_not_blamed() {
    let mut snapshot = world::named("network-policy-blocks");
    let Observed::Present(cluster) = &mut snapshot.cluster else { panic!() };
    cluster.network_config.datapath_provider = "LEGACY_DATAPATH".into();
    assert!(!causes(&diagnosis(&snapshot, "secrets-ui")).contains(POLICY));

    let mut snapshot = world::named("network-policy-blocks");
    assert!(snapshot.kubernetes.mark_unread("networkpolicies.networking.k8s.io", "Forbidden", ""));
    let found = diagnosis(&snapshot, "secrets-ui");
    assert!(!causes(&found).contains(POLICY) && inconclusive(&found, POLICY));
}

#[test]
fn behind_an_instance_group_the_nodes_may_be_let_in() {
    let sick = |ingress: Option<Value>| {
        let mut snapshot = world::named("healthy-instance-group");
        for (name, groups) in &mut snapshot.compute.health {
            for statuses in groups.values_mut().filter(|_| name.contains("k8s-be-30119")) {
                std::sync::Arc::make_mut(statuses).iter_mut().for_each(|status| status.health_state = "UNHEALTHY".into());
            }
        }
        if let Some(ingress) = ingress {
            let policy =
                json!({"metadata": {"name": "own", "namespace": "legacy"}, "spec": {"podSelector": {}, "ingress": ingress}});
            snapshot.kubernetes.insert(serde_json::from_value::<NetworkPolicy>(policy).unwrap());
        }
        causes(&diagnosis(&snapshot, "frontdesk"))
    };
    let from = |cidr: &str| Some(json!([{"from": [{"ipBlock": {"cidr": cidr}}]}]));
    assert_eq!(sick(None), BTreeSet::from(["BackendUnhealthy"]));
    assert_eq!(sick(Some(json!([{"from": [{"podSelector": {}}]}]))), BTreeSet::from([POLICY]));
    assert_eq!(sick(from("10.128.0.0/20")), BTreeSet::from(["BackendUnhealthy"]));
    assert_eq!(sick(from("0.0.0.0/0")), BTreeSet::from(["BackendUnhealthy"]));
}

#[test]
fn of_two_clusters_of_one_name_the_pods_addresses_tell_ours() {
    let mut snapshot = world::named("firewall-rule-deleted");
    let others = |name: &str, source: &str| {
        rule(
            json!({"name": name, "sourceRanges": [source], "targetTags": ["gke-prod-0badcafe-node"], "allowed": [{"IPProtocol": "tcp"}]}),
        )
    };
    for (name, source) in [("gke-prod-0badcafe-all", "10.64.0.0/14"), ("k8s-fw-l7--9999999999999999", "0.0.0.0/0")] {
        snapshot.compute.insert_json(&format!("projects/acme-prod/global/firewalls/{name}"), others(name, source)).unwrap();
    }
    assert!(causes(&diagnosis(&snapshot, "catalog")).contains(BLOCKED));
}

#[test]
fn an_endpoint_left_behind_on_another_port_is_not_the_firewalls() {
    let mut snapshot = world::named("healthy-neg");
    for (group, endpoints) in snapshot.compute.endpoints.iter_mut().filter(|(group, _)| group.contains("shop-cart")) {
        for endpoint in std::sync::Arc::make_mut(endpoints).iter_mut().filter(|_| group.contains("us-central1-b")) {
            endpoint.network_endpoint.port = 9090;
            endpoint.healths.iter_mut().for_each(|health| health.health_state = "UNHEALTHY".into());
        }
    }
    assert_eq!(causes(&diagnosis(&snapshot, "cart")), BTreeSet::from(["NegEndpointDrift"]));
}

const REQUIRED: &str = "FirewallChangeRequired";

#[test]
fn a_request_that_was_met_is_over() {
    let path = "projects/acme-net/global/firewalls/anything";
    let mut snapshot = world::named("firewall-change-required");
    let met = rule(json!({"name": "anything", "network": "projects/acme-net/global/networks/shared"}));
    snapshot.compute.insert_json(path, met.clone()).unwrap();
    let found = diagnosis(&snapshot, "catalog");
    assert!(!causes(&found).contains(REQUIRED) && !causes(&found).contains(BLOCKED));

    let mut partly = met;
    partly["sourceRanges"] = json!(["35.191.0.0/16"]);
    snapshot.compute.insert_json(path, partly).unwrap();
    let found = diagnosis(&snapshot, "catalog");
    assert_eq!(found.root_cause, Some(REQUIRED));
    assert!(fix(&found, REQUIRED).contains("--project=acme-net --network=shared --description='GCE L7 firewall rule'"));

    // The host project's rules cannot be read.
    let refused = json!({"code": 403, "reason": "forbidden", "message": "no"});
    let mut snapshot = world::named("firewall-change-required");
    snapshot.compute.firewalls.retain(|_| false);
    snapshot.compute.errors.insert("projects/acme-net/global/firewalls".into(), serde_json::from_value(refused).unwrap());
    let found = diagnosis(&snapshot, "catalog");
    assert!(!causes(&found).contains(REQUIRED) && inconclusive(&found, REQUIRED));
}
