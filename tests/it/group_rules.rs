//! The rules about network endpoint groups, on recorded worlds with one thing changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use ingress_diagnosis::diagnose::Diagnosis;
use ingress_diagnosis::snapshot::Snapshot;
use ingress_diagnosis::snapshot::compute::NetworkEndpointGroup;
use ingress_diagnosis::snapshot::kubernetes::{EndpointSlice, Event, Kind, Node, Pod, ServiceNetworkEndpointGroup, Stored};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world;

const NEG: &str = "k8s1-3fa1c9d2-shop-cart-80-ff305e07";

fn diagnosis(snapshot: &Snapshot, name: &str) -> Diagnosis {
    world::diagnoses(snapshot).into_iter().find(|diagnosis| &*diagnosis.target.name == name).unwrap()
}

fn codes(snapshot: &Snapshot, name: &str) -> BTreeSet<&'static str> {
    let diagnosis = diagnosis(snapshot, name);
    diagnosis.findings.iter().flat_map(|root| root.all()).map(|found| found.rule.code).collect()
}

fn ago(snapshot: &Snapshot, minutes: i64) -> Timestamp {
    snapshot.meta.taken_at - SignedDuration::from_mins(minutes)
}

/// Changes one object.
fn change<K: Stored + Kind>(snapshot: &mut Snapshot, namespace: &str, name: &str, edit: impl FnOnce(&mut K)) {
    let mut object = K::collection(&mut snapshot.kubernetes).get(namespace, name).seen().unwrap().clone();
    edit(&mut object);
    snapshot.kubernetes.insert(object);
}

fn service_event(snapshot: &mut Snapshot, service: (&str, &str), kind: (&str, &str), message: &str, minutes: i64) {
    let (namespace, name) = service;
    let (type_, reason) = kind;
    let time = ago(snapshot, minutes).to_string();
    let event: Event = serde_json::from_value(json!({
        "metadata": {"name": format!("{name}.{reason}.{minutes}"), "namespace": namespace},
        "involvedObject": {"kind": "Service", "namespace": namespace, "name": name},
        "source": {"component": "neg-controller"}, "firstTimestamp": time, "lastTimestamp": time,
        "type": type_, "reason": reason, "message": message
    }))
    .unwrap();
    snapshot.kubernetes.insert(event);
}

fn group(zone: &str, name: &str) -> String {
    format!("projects/acme-prod/zones/us-central1-{zone}/networkEndpointGroups/{name}")
}

fn without_group(snapshot: &mut Snapshot, zone: &str, name: &str) {
    let path = group(zone, name);
    snapshot.compute.network_endpoint_groups.retain(|other| other != path);
    snapshot.compute.endpoints.remove(&*path);
}

#[test]
fn a_group_that_is_gone_in_one_zone() {
    let mut snapshot = world::named("healthy-neg");
    without_group(&mut snapshot, "c", NEG);
    assert!(codes(&snapshot, "cart").contains("NegNotCreated"));
    // Its zone's list was refused: nobody knows.
    let refused = json!({"code": 403, "reason": "forbidden", "message": "no"});
    let list = "projects/acme-prod/zones/us-central1-c/networkEndpointGroups";
    snapshot.compute.errors.insert(list.into(), serde_json::from_value(refused).unwrap());
    assert!(!codes(&snapshot, "cart").contains("NegNotCreated"));
}

#[test]
fn a_group_is_due_only_where_a_usable_node_has_been_for_a_while() {
    let node = "gke-prod-pool-1-d81a6f43-mw5h";
    let cases: [fn(&mut Node, Timestamp); 3] = [
        |node, _| {
            node.metadata.labels.insert("node.kubernetes.io/exclude-from-external-load-balancers".into(), "true".into());
        },
        |node, now| node.metadata.creation_timestamp = Some(now - SignedDuration::from_mins(2)),
        |node, _| {
            node.metadata.labels.insert("cloud.google.com/gke-node-pool-subnet".into(), "second".into());
        },
    ];
    for edit in cases {
        let mut snapshot = world::named("healthy-neg");
        without_group(&mut snapshot, "c", NEG);
        let now = snapshot.meta.taken_at;
        change::<Node>(&mut snapshot, "", node, |node| edit(node, now));
        assert!(!codes(&snapshot, "cart").contains("NegNotCreated"));
    }
}

#[test]
fn a_young_service_waits_for_its_groups() {
    let mut snapshot = world::named("healthy-neg");
    without_group(&mut snapshot, "c", NEG);
    let young = ago(&snapshot, 3);
    change::<ingress_diagnosis::snapshot::kubernetes::Service>(&mut snapshot, "shop", "cart", |service| {
        service.metadata.creation_timestamp = Some(young)
    });
    assert!(!codes(&snapshot, "cart").contains("NegNotCreated"));
}

#[test]
fn drift_within_the_grace_or_on_the_way_out_is_none() {
    let pod = "cart-rd4kxbw7d-zjbwm";
    let detach = |snapshot: &mut Snapshot| {
        let endpoints = snapshot.compute.endpoints.get_mut(&*group("a", NEG)).unwrap();
        Arc::make_mut(endpoints).retain(|endpoint| &*endpoint.network_endpoint.ip_address != "10.4.1.9");
    };
    let mut snapshot = world::named("healthy-neg");
    detach(&mut snapshot);
    assert!(codes(&snapshot, "cart").contains("NegEndpointDrift"));

    let just = ago(&snapshot, 1);
    let mut fresh = snapshot.clone();
    change::<Pod>(&mut fresh, "shop", pod, |pod| {
        let ready = pod.status.conditions.iter_mut().filter(|condition| matches!(&*condition.type_, "Ready" | "ContainersReady"));
        ready.for_each(|condition| condition.last_transition_time = Some(just));
    });
    assert!(!codes(&fresh, "cart").contains("NegEndpointDrift"));

    let mut leaving = snapshot.clone();
    change::<Pod>(&mut leaving, "shop", pod, |pod| pod.metadata.deletion_timestamp = Some(just));
    assert!(!codes(&leaving, "cart").contains("NegEndpointDrift"));

    let mut unread = snapshot;
    unread.compute.endpoints.remove(&*group("a", NEG));
    assert!(!codes(&unread, "cart").contains("NegEndpointDrift"));
}

#[test]
fn an_endpoint_that_just_left_the_slices_is_no_drift() {
    let mut snapshot = world::named("healthy-neg");
    let mut slice = snapshot.kubernetes.endpoint_slices.iter().find(|slice| slice.service() == Some("cart")).unwrap().clone();
    slice.endpoints.retain(|endpoint| &*endpoint.addresses[0] != "10.4.1.9");
    let mut changed = |minutes: i64| {
        let time = ago(&snapshot, minutes).to_string();
        slice.metadata.annotations.insert("endpoints.kubernetes.io/last-change-trigger-time".into(), time.into());
        snapshot.kubernetes.insert::<EndpointSlice>(slice.clone());
        codes(&snapshot, "cart").contains("NegEndpointDrift")
    };
    assert!(!changed(1));
    assert!(changed(20));
}

#[test]
fn an_ipv6_slice_is_no_drift() {
    let mut snapshot = world::named("healthy-neg");
    let mut slice = snapshot.kubernetes.endpoint_slices.iter().find(|slice| slice.service() == Some("cart")).unwrap().clone();
    slice.metadata.name = "cart-v6".into();
    slice.address_type = "IPv6".into();
    slice.endpoints.iter_mut().enumerate().for_each(|(at, endpoint)| endpoint.addresses = vec![format!("fd00::{at}").into()]);
    snapshot.kubernetes.insert(slice);
    assert!(codes(&snapshot, "cart").is_empty());
}

#[test]
fn a_failure_to_attach_ends_with_a_success_in_its_zone() {
    let attached = |zone: &str| {
        let mut snapshot = world::named("neg-attach-failed");
        let message = format!("Attach 2 network endpoint(s) (NEG \"{NEG}\" in zone \"us-central1-{zone}\")");
        service_event(&mut snapshot, ("shop", "cart"), ("Normal", "Attach"), &message, 1);
        codes(&snapshot, "cart").contains("NegAttachFailed")
    };
    assert!(attached("c"));
    assert!(!attached("a"));
}

#[test]
fn a_failure_to_attach_without_a_missing_endpoint_is_over() {
    let mut snapshot = world::named("healthy-neg");
    let message = format!(
        "Failed to Attach 2 network endpoint(s) (NEG \"{NEG}\" in zone \"us-central1-a\"): googleapi: Error 400: Invalid value., invalid"
    );
    service_event(&mut snapshot, ("shop", "cart"), ("Warning", "AttachFailed"), &message, 9);
    assert!(codes(&snapshot, "cart").is_empty());
}

#[test]
fn degraded_mode_ends_by_its_own_event_alone() {
    let key = "iot/collector-k8s1-3fa1c9d2-iot-collector-80-c164b347-http/80-8080-GCE_VM_IP_PORT-L7";
    let mut snapshot = world::named("neg-degraded");
    service_event(
        &mut snapshot,
        ("iot", "collector"),
        ("Normal", "ExitDegradedMode"),
        &format!("NEG {key} is no longer in degraded mode"),
        5,
    );
    assert!(!codes(&snapshot, "collector").contains("NegDegraded"));
}

#[test]
fn the_race_at_birth_and_a_synced_group_are_no_failure() {
    let mut snapshot = world::named("healthy-neg");
    let race = format!(
        "error processing service \"shop/cart\": failed to ensure svc neg cr shop/{NEG}/80 for port: \
         servicenetworkendpointgroups.networking.gke.io \"{NEG}\" already exists"
    );
    service_event(&mut snapshot, ("shop", "cart"), ("Warning", "ProcessServiceFailed"), &race, 1);
    let failed = format!("Failed to sync NEG \"{NEG}\" (will retry): endpoint corresponds to an non-existing node");
    service_event(&mut snapshot, ("shop", "cart"), ("Warning", "SyncNetworkEndpointGroupFailed"), &failed, 59);
    let now = snapshot.meta.taken_at;
    change::<ServiceNetworkEndpointGroup>(&mut snapshot, "shop", NEG, |neg| neg.status.last_sync_time = Some(now));
    assert!(codes(&snapshot, "cart").is_empty());

    let other = "error processing service \"shop/cart\": NEG is not supported for ipv6 only service";
    service_event(&mut snapshot, ("shop", "cart"), ("Warning", "ProcessServiceFailed"), other, 1);
    change::<ServiceNetworkEndpointGroup>(&mut snapshot, "shop", NEG, |neg| {
        neg.status.last_sync_time = Some(now - SignedDuration::from_mins(5))
    });
    assert!(codes(&snapshot, "cart").contains("NegSyncFailed"));
}

#[test]
fn a_standalone_group_counts_zone_by_zone() {
    let detach = |zone: &str| {
        let mut snapshot = world::named("standalone-neg-attached");
        let path = "projects/acme-prod/global/backendServices/payments-ledger";
        let mut user = snapshot.compute.get::<ingress_diagnosis::snapshot::compute::BackendService>(path).seen().unwrap().clone();
        user.backends.retain(|backend| !backend.group.ends_with(&*group(zone, "ledger-neg")));
        snapshot.compute.backend_services.insert(path, user);
        let mut checked = snapshot.clone();
        snapshot
            .compute
            .endpoints
            .values_mut()
            .for_each(|endpoints| Arc::make_mut(endpoints).iter_mut().for_each(|endpoint| endpoint.healths.clear()));
        checked.compute.backend_services.retain(|other| other != path);
        (codes(&snapshot, "ledger").contains("NegNotAttached"), codes(&checked, "ledger").contains("NegNotAttached"))
    };
    // Whoever finds an endpoint healthy uses the group, read or not.
    assert_eq!(detach("b"), (true, false));
    assert_eq!(detach("c"), (false, false));
}

#[test]
fn a_gate_without_health_check_is_normal_for_the_first_pods() {
    let mut snapshot = world::named("standalone-neg-attached");
    let pods: Vec<Pod> = snapshot.kubernetes.pods.iter().filter(|pod| &*pod.metadata.namespace == "payments").cloned().collect();
    for mut pod in pods {
        for condition in pod.status.conditions.iter_mut().filter(|condition| condition.type_.contains("load-balancer")) {
            condition.reason = "LoadBalancerNegWithoutHealthCheck".into();
        }
        snapshot.kubernetes.insert(pod);
    }
    assert!(codes(&snapshot, "ledger").is_empty());
}

#[test]
fn unread_backend_services_attach_or_detach_nothing() {
    let mut snapshot = world::named("standalone-neg-not-attached");
    let refused = json!({"code": 403, "reason": "forbidden", "message": "no"});
    snapshot
        .compute
        .errors
        .insert("projects/acme-prod/regions/us-central1/backendServices".into(), serde_json::from_value(refused).unwrap());
    assert!(!codes(&snapshot, "ledger").contains("NegNotAttached"));
}

#[test]
fn a_name_that_another_service_labelled_is_taken() {
    let mut snapshot = world::named("standalone-neg-not-attached");
    change::<ServiceNetworkEndpointGroup>(&mut snapshot, "payments", "ledger-neg", |neg| {
        neg.metadata.labels.insert("networking.gke.io/service-name".into(), "journal".into());
    });
    assert!(codes(&snapshot, "ledger").contains("NegNameConflict"));
}

#[test]
fn a_node_is_enough_and_so_are_groups() {
    let node = "gke-prod-pool-1-d81a6f43-mw5h";
    let mut snapshot = world::named("no-usable-nodes");
    change::<Node>(&mut snapshot, "", node, |node| node.metadata.labels.clear());
    assert!(!codes(&snapshot, "cart").contains("NoUsableNodes"));

    let mut snapshot = world::named("healthy-neg");
    let nodes: Vec<Node> = snapshot.kubernetes.nodes.iter().cloned().collect();
    for mut node in nodes {
        node.status.conditions.clear();
        snapshot.kubernetes.insert(node);
    }
    assert!(codes(&snapshot, "cart").is_empty(), "the groups are there");
}

#[test]
fn port_names() {
    let renamed = |ports: Value| {
        let mut snapshot = world::named("endpoint-port-name-mismatch");
        change::<EndpointSlice>(&mut snapshot, "shop", "cart-manual", |slice| {
            slice.ports = serde_json::from_value(ports).unwrap()
        });
        codes(&snapshot, "cart").contains("EndpointPortNameMismatch")
    };
    assert!(renamed(json!([{"port": 8080}])));
    assert!(renamed(json!([])));
    assert!(!renamed(json!([{"name": "web", "port": 9090}, {"name": "http", "port": 8080}])));
}

#[test]
fn a_blind_world_accuses_no_group() {
    let mut snapshot = world::named("standalone-neg-not-attached");
    snapshot.compute = ingress_diagnosis::snapshot::Compute::default();
    assert!(codes(&snapshot, "ledger").is_empty());
    assert!(snapshot.compute.get::<NetworkEndpointGroup>(&group("a", "ledger-neg")).known().is_err());
}
