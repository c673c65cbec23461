//! The Compute and Container APIs, through Google's own SDK.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingress_diagnosis::collect::Urgency;
use ingress_diagnosis::snapshot::compute::{COLLECTIONS, HealthStatus, NetworkEndpoint, NetworkEndpointGroup};
use ingress_diagnosis::snapshot::{Compute, Observed, Snapshot, folder};
use ingress_diagnosis::topology::{Fleet, Grace, Topology};
use ingress_diagnosis::wanted::{self, Wanted};
use testbed::google::{Fault, FaultKind};
use testbed::world::ComputeError;
use testbed::{Google, World};

use super::{nobody, recorded, run, settings};

const NEG: &str = "k8s1-3fa1c9d2-shop-cart-80-ff305e07";
const SERVICE: &str = "projects/acme-prod/global/backendServices/k8s1-3fa1c9d2-shop-cart-80-ff305e07";

fn neg(zone: &str) -> String {
    format!("projects/acme-prod/zones/us-central1-{zone}/networkEndpointGroups/{NEG}")
}

fn shop() -> World {
    World::read(recorded("shop")).unwrap()
}

fn listed(snapshot: &Snapshot) -> bool {
    snapshot.compute.read && snapshot.compute.unread.is_empty()
}

fn sorted_endpoints(groups: &BTreeMap<Box<str>, Arc<Vec<NetworkEndpoint>>>) -> impl Debug + PartialEq {
    let mut all: Vec<(Box<str>, Vec<NetworkEndpoint>)> = Vec::new();
    for (group, endpoints) in groups {
        let mut endpoints = endpoints.to_vec();
        endpoints.sort_by_key(|one| (one.network_endpoint.ip_address.clone(), one.network_endpoint.port));
        all.push((group.clone(), endpoints));
    }
    all
}

fn tables(compute: &Compute) -> [String; 12] {
    [
        format!("{:#?}", compute.backend_services),
        format!("{:#?}", compute.health_checks),
        format!("{:#?}", compute.url_maps),
        format!("{:#?}", compute.target_http_proxies),
        format!("{:#?}", compute.target_https_proxies),
        format!("{:#?}", compute.forwarding_rules),
        format!("{:#?}", compute.addresses),
        format!("{:#?}", compute.ssl_certificates),
        format!("{:#?}", compute.firewalls),
        format!("{:#?}", compute.subnetworks),
        format!("{:#?}", compute.network_endpoint_groups),
        format!("{:#?}", compute.instance_groups),
    ]
}

/// What comes over HTTP through the SDK, in pages of one, is what the folder holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_is_read() {
    let (expected, _) = folder::load(&recorded("shop")).unwrap();
    let google = Google::start(shop()).await.unwrap();
    google.set_page_cap(1);
    let running = run(nobody(), settings(&google.url()));
    running.until("lists", listed).await;
    running.want_all(Urgency::Young);
    let groups = expected.compute.endpoints.len();
    running.until("endpoints", |snapshot| snapshot.compute.endpoints.len() == groups).await;
    running.until("health", |snapshot| !snapshot.compute.health.is_empty()).await;
    running.until("the cluster", |snapshot| matches!(snapshot.cluster, Observed::Present(_))).await;

    let snapshot = running.world.read();
    for (seen, expected) in tables(&snapshot.compute).into_iter().zip(tables(&expected.compute)) {
        assert_eq!(seen, expected);
    }
    assert_eq!(
        format!("{:#?}", sorted_endpoints(&snapshot.compute.endpoints)),
        format!("{:#?}", sorted_endpoints(&expected.compute.endpoints))
    );
    for (service, groups) in &snapshot.compute.health {
        for (group, health) in groups {
            let states = |health: &[HealthStatus]| {
                let mut states: Vec<_> = health.iter().map(|one| (one.instance.clone(), one.health_state.clone())).collect();
                states.sort();
                states
            };
            let expected = expected.compute.health_of(service, group).unwrap_or_default();
            assert_eq!(states(health), states(expected), "{service} {group}");
        }
    }
    assert_eq!(snapshot.cluster, expected.cluster);
    assert!(snapshot.compute.errors.is_empty(), "{:?}", snapshot.compute.errors);
    drop(snapshot);

    let requests = google.requests();
    let compute = requests.iter().filter(|request| request.path.starts_with("/compute/"));
    assert!(compute.clone().all(|request| request.headers["user-agent"].contains("ingress-diagnosis/")));
    assert!(compute.clone().any(|request| request.body["healthStatus"] == "SHOW"));
    let counted: u64 = running.collector.compute.stats().requests.values().sum();
    assert!(counted <= compute.count() as u64 + 8, "every request is counted");
    assert!(running.world.read().compute.group_read_at(SERVICE, &neg("a")).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_or_out_of_reach_is_unknown_and_not_absent() {
    let mut world = shop();
    let compute = world.compute.as_mut().unwrap();
    let error = |code, reason: &str| ComputeError { code, reason: reason.to_owned(), message: "told so".to_owned() };
    compute.errors.insert("projects/acme-prod/zones/us-central1-a/networkEndpointGroups".to_owned(), error(503, "backendError"));
    compute.errors.insert("projects/acme-prod/global/firewalls".to_owned(), error(403, "forbidden"));
    compute.errors.insert(format!("{}/listNetworkEndpoints", neg("b")), error(403, "forbidden"));
    let google = Google::start(world).await.unwrap();
    let running = run(nobody(), settings(&google.url()));
    running.until("lists", |snapshot| snapshot.compute.unread.len() == 1).await;
    running.want_all(Urgency::Young);
    running
        .until("a refused group", |snapshot| {
            snapshot.compute.endpoints_of(&neg("b")).is_err_and(|why| &*why.reason == "forbidden")
        })
        .await;
    running.until("a group", |snapshot| snapshot.compute.endpoints_of(&neg("c")).is_ok()).await;

    let snapshot = running.world.read();
    let compute = &snapshot.compute;
    let why = compute.unread_kind("firewalls").unwrap();
    assert_eq!((&*why.reason, &*why.message), ("forbidden", "told so"));
    assert!(matches!(compute.get::<NetworkEndpointGroup>(&neg("a")), Observed::Unknown(_)));
    assert!(matches!(compute.get::<NetworkEndpointGroup>(&neg("b")), Observed::Present(_)));
    let other = "projects/acme-prod/zones/us-central1-b/networkEndpointGroups/none";
    assert!(compute.get::<NetworkEndpointGroup>(other).is_absent());
    assert!(compute.in_scope::<NetworkEndpointGroup>("projects/acme-prod/zones/us-central1-a/").is_err());
    assert!(compute.health_of(SERVICE, &neg("a")).is_err(), "nobody asked for it");
}

/// Nothing was read yet, so nothing is absent; and one read that hangs does not stop the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_list_that_hangs_does_not_stop_the_others() {
    let google = Google::start(shop()).await.unwrap();
    google.fault(Fault::new("aggregated/networkEndpointGroups", FaultKind::Hang));
    let running = run(nobody(), settings(&google.url()));
    assert!(matches!(running.world.read().compute.get::<NetworkEndpointGroup>(&neg("a")), Observed::Unknown(_)));
    running.until("the other lists", |snapshot| snapshot.compute.unread.len() == 1 && snapshot.compute.read).await;
    let why = |snapshot: &Snapshot| snapshot.compute.unread_kind("networkEndpointGroups").map(|why| why.reason);
    assert_eq!(why(&running.world.read()).as_deref(), Some("NotRead"));
    running.until("the timeout", |snapshot| why(snapshot).as_deref() == Some("Timeout")).await;
    google.clear_faults();
    running.until("the repair", listed).await;
}

/// Whatever goes wrong, it is mended without a trace once it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_is_survived() {
    let all = [
        (FaultKind::Garbage, "Malformed"),
        (FaultKind::CutBody, ""),
        (FaultKind::Server5xx, "backendError"),
        (FaultKind::Status429, "rateLimitExceeded"),
        (FaultKind::RateLimitExceeded403, ""),
        (FaultKind::RateLimitExceeded403Legacy, "rateLimitExceeded"),
    ];
    futures::future::join_all(all.map(|(kind, reason)| one_trouble(kind, reason))).await;
}

async fn one_trouble(kind: FaultKind, reason: &str) {
    let google = Google::start(shop()).await.unwrap();
    google.fault(Fault::new("aggregated/urlMaps", kind).times(1));
    let running = run(nobody(), settings(&google.url()));
    running
        .until("a reason", |snapshot| {
            let why = snapshot.compute.unread_kind("urlMaps");
            why.is_some_and(|why| &*why.reason != "NotRead" && (reason.is_empty() || &*why.reason == reason))
        })
        .await;
    running.until("the repair", listed).await;
    assert!(running.world.read().compute.errors.is_empty());
    let failures = running.collector.compute.stats().requests.into_iter().filter(|((_, code), _)| &**code != "200");
    assert_eq!(failures.map(|(_, count)| count).sum::<u64>(), 1, "{kind:?}");
}

/// A project that asks for fewer requests gets none for as long as it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_project_is_left_alone() {
    let google = Google::start(shop()).await.unwrap();
    google.fault(Fault::new("", FaultKind::RateLimitExceeded403));
    let running = run(nobody(), settings(&google.url()));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let asked = google.requests().iter().filter(|request| request.path.starts_with("/compute/")).count();
    assert!((1..=24).contains(&asked), "{asked} requests in 6 s to a project that refuses them all");
    let unread = running.world.read().compute.unread.clone();
    assert_eq!(unread.len(), COLLECTIONS.len());
    google.clear_faults();
    running.until("the repair", listed).await;
}

/// However much is wanted, no minute sees more than the budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_holds_on_the_wire() {
    let google = Google::start(shop()).await.unwrap();
    google.set_page_cap(1);
    let mut settings = settings(&google.url());
    settings.reads_per_minute = 20;
    let running = run(nobody(), settings);
    let start = Instant::now();
    let asked = || google.requests().iter().filter(|request| request.path.starts_with("/compute/")).count();
    // A window of the budget is a minute.
    while start.elapsed() < Duration::from_secs(12) || (asked() < 8 && start.elapsed() < Duration::from_secs(50)) {
        running.want_all(Urgency::Changed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let asked = asked();
    assert!((8..=20).contains(&asked), "{asked} requests");
    let counted: u64 = running.collector.compute.stats().requests.values().sum();
    assert!(counted <= asked as u64);
    assert_eq!(running.collector.compute.stats().budget, 20);
}

/// A process that is not active asks nothing; one that becomes so starts with a clean slate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_active_process_asks() {
    let google = Google::start(shop()).await.unwrap();
    let running = run(nobody(), settings(&google.url()));
    running.until("lists", listed).await;
    running.active.send_replace(false);
    // What was under way may still arrive.
    for _ in 0..10 {
        google.clear_requests();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if google.requests().is_empty() {
            break;
        }
    }
    running.want_all(Urgency::Changed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(google.requests().len(), 0);

    google.update(|world| world.compute.as_mut().unwrap().resources.retain(|path, _| !path.contains("urlMaps")));
    running.active.send_replace(true);
    running.until("new lists", |snapshot| listed(snapshot) && snapshot.compute.url_maps.is_empty()).await;
}

/// The network of a Shared VPC is in another project: its firewalls and subnetworks are read there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_project_is_read_as_well() {
    let mut world = shop();
    world.cluster.as_mut().unwrap()["networkConfig"]["network"] = "projects/host/global/networks/shared".into();
    let compute = world.compute.as_mut().unwrap();
    let rule = serde_json::json!({"name": "allow", "direction": "INGRESS"});
    compute.resources.insert("projects/host/global/firewalls/allow".to_owned(), rule);
    let error = ComputeError { code: 403, reason: "forbidden".to_owned(), message: "no".to_owned() };
    compute.errors.insert("projects/host/regions/us-central1/subnetworks".to_owned(), error);
    let google = Google::start(world).await.unwrap();
    let running = run(nobody(), settings(&google.url()));
    let firewall = "projects/host/global/firewalls/allow";
    running.until("the host's firewalls", |snapshot| snapshot.compute.firewalls.iter().any(|(path, _)| path == firewall)).await;
    let subnetworks = "projects/host/regions/us-central1/subnetworks";
    running.until("the host's refusal", |snapshot| snapshot.compute.errors.contains_key(subnetworks)).await;
    running.until("lists", listed).await;
}

/// A healthy backend costs one request per zone that it names beside the lists that all share, and no second opinion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_in_three_zones_costs_three_reads() {
    let google = Google::start(shop()).await.unwrap();
    let running = run(nobody(), settings(&google.url()));
    running.until("lists", listed).await;
    google.clear_requests();
    let (snapshot, _) = folder::load(&recorded("shop")).unwrap();
    let (fleet, grace) = (Fleet::of(&snapshot), Grace::default());
    let topologies = fleet.targets.iter().filter_map(|target| Topology::of(&snapshot, &fleet, &grace, target));
    let wanted: Vec<_> = topologies.map(|topology| Wanted::of(&topology)).collect();
    wanted::tell(wanted.iter(), &running.collector.compute, &running.collector.prober);
    let limit = Instant::now() + Duration::from_secs(60);
    while !running.collector.compute.caught_up() {
        assert!(Instant::now() < limit, "{}", running.state());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let requests = google.requests();
    let asked = |word: &str| requests.iter().filter(|request| request.path.contains(word)).collect::<Vec<_>>();
    let mut endpoints: Vec<_> = asked("listNetworkEndpoints").iter().map(|request| request.path.clone()).collect();
    endpoints.sort();
    endpoints.dedup();
    assert_eq!(endpoints.len(), 3, "{endpoints:?}");
    assert_eq!(asked("listNetworkEndpoints").len(), 3, "each group once");
    let confirmed = asked("getHealth").into_iter().filter(|request| request.body.to_string().contains("networkEndpointGroups"));
    assert_eq!(confirmed.count(), 0, "nothing fails, so nobody is asked twice");
}
