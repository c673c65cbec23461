//! Distrust of ourselves: what must hold in every recorded world, however it is shuffled, blinded, thinned out or poisoned.

use std::collections::{BTreeMap, BTreeSet};

use ingress_diagnosis::diagnose::{Diagnosis, Verdict};
use ingress_diagnosis::publish::status::{self, Context};
use ingress_diagnosis::rules::Severity;
use ingress_diagnosis::snapshot::compute::COLLECTIONS;
use ingress_diagnosis::snapshot::{Kubernetes, Observed, Probes, Recording, Snapshot, Source, Unknown};

use crate::world;

/// Every kind of the Kubernetes API that a diagnosis reads.
const KINDS: [&str; 17] = [
    "ingresses",
    "ingressclasses",
    "services",
    "endpointslices",
    "pods",
    "events",
    "nodes",
    "networkpolicies",
    "leases",
    "deployments",
    "statefulsets",
    "backendconfigs",
    "frontendconfigs",
    "managedcertificates",
    "servicenetworkendpointgroups",
    "configmaps",
    "namespaces",
];

/// What a reader gets, byte for byte.
fn printed(diagnoses: &[Diagnosis], snapshot: &Snapshot) -> String {
    let context = Context { now: snapshot.meta.taken_at, generation: Some(1), docs: "" };
    let objects = diagnoses.iter().map(|diagnosis| status::object(diagnosis, &[], status::status(diagnosis, None, context)));
    serde_json::to_string_pretty(&objects.collect::<Vec<_>>()).unwrap()
}

fn codes(diagnosis: &Diagnosis) -> BTreeSet<(&'static str, Option<String>)> {
    diagnosis.findings.iter().flat_map(|root| root.all()).map(|found| (found.rule.code, found.backend.clone())).collect()
}

type Key = (String, String, &'static str);

fn by_target(diagnoses: &[Diagnosis]) -> BTreeMap<Key, &Diagnosis> {
    diagnoses
        .iter()
        .map(|one| ((one.target.namespace.to_string(), one.target.name.to_string(), one.target.kind.as_str()), one))
        .collect()
}

/// A small generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides.max(1)
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.roll(at + 1));
        }
    }
}

#[test]
fn the_order_of_objects_changes_nothing() {
    let mut dice = Dice(7);
    for folder in world::folders() {
        let raw = Recording::read(&folder).unwrap();
        let straight = world::decoded(&raw);
        let expected = printed(&world::diagnoses(&straight), &straight);
        for _ in 0..3 {
            let mut shuffled = raw.clone();
            dice.shuffle(&mut shuffled.kubernetes);
            for object in &mut shuffled.kubernetes {
                for pointer in ["/endpoints", "/status/conditions", "/spec/containers/0/ports"] {
                    if pointer != "/endpoints" && object["kind"] != "Pod" {
                        continue;
                    }
                    if let Some(list) = object.pointer_mut(pointer).and_then(serde_json::Value::as_array_mut) {
                        dice.shuffle(list);
                    }
                }
            }
            for list in shuffled.compute.iter_mut().flat_map(world::lists) {
                dice.shuffle(list);
            }
            let snapshot = world::decoded(&shuffled);
            assert_eq!(printed(&world::diagnoses(&snapshot), &snapshot), expected, "{}", world::name(&folder));
        }
    }
}

/// One source of facts, made unreadable.
fn blind(snapshot: &mut Snapshot, source: &str) {
    let why = |source, resource: &str| Unknown::new(source, resource, "Forbidden", "refused by the test");
    if let Some(kind) = source.strip_prefix("kubernetes ") {
        // Nothing of the kind is seen, as when the right to list it is missing.
        let mut blinded = Kubernetes::default();
        std::mem::swap(&mut blinded, &mut snapshot.kubernetes);
        blinded.forget(kind);
        assert!(blinded.mark_unread(kind, "Forbidden", "refused by the test"), "{kind}");
        snapshot.kubernetes = blinded;
    } else if let Some(collection) = source.strip_prefix("compute ") {
        snapshot.compute.forget(collection);
        snapshot.compute.unread.insert(collection.into(), why(Source::Compute, collection));
    } else if source == "getHealth" {
        let services: Vec<_> = snapshot.compute.backend_services.iter().map(|(path, _)| path.to_owned()).collect();
        for path in services {
            let error = serde_json::from_str(r#"{"code": 403, "reason": "forbidden"}"#).unwrap();
            snapshot.compute.health.remove(&*path);
            snapshot.compute.errors.insert(format!("{path}/getHealth").into(), error);
        }
    } else if source == "listNetworkEndpoints" {
        let groups: Vec<_> = snapshot.compute.network_endpoint_groups.iter().map(|(path, _)| path.to_owned()).collect();
        for path in groups {
            let error = serde_json::from_str(r#"{"code": 403, "reason": "forbidden"}"#).unwrap();
            snapshot.compute.endpoints.remove(&*path);
            snapshot.compute.errors.insert(format!("{path}/listNetworkEndpoints").into(), error);
        }
    } else if source == "container" {
        snapshot.cluster = Observed::Unknown(why(Source::Container, "clusters"));
    } else if source == "probes" {
        snapshot.probes = Probes::default();
    } else {
        panic!("{source}");
    }
}

fn sources() -> Vec<String> {
    let kubernetes = KINDS.iter().map(|kind| format!("kubernetes {kind}"));
    let compute = COLLECTIONS.iter().map(|collection| format!("compute {collection}"));
    let others = ["getHealth", "listNetworkEndpoints", "container", "probes"].map(str::to_owned);
    kubernetes.chain(compute).chain(others).collect()
}

/// A verdict may not get worse by seeing less, except to Unknown.
fn worse(full: Verdict, blind: Verdict) -> bool {
    let rank = |verdict| match verdict {
        Verdict::Healthy | Verdict::Unknown => 0,
        Verdict::Progressing => 1,
        Verdict::Degraded => 2,
        Verdict::Broken => 3,
    };
    blind != Verdict::Unknown && rank(blind) > rank(full)
}

fn compare(world: &str, blinded: &str, full: &[Diagnosis], blind: &[Diagnosis], wrong: &mut BTreeSet<String>) {
    let full = by_target(full);
    for (key, diagnosis) in by_target(blind) {
        let Some(before) = full.get(&key) else {
            wrong.insert(format!("{world} without {blinded}: {key:?} is diagnosed"));
            continue;
        };
        for (code, backend) in codes(diagnosis).difference(&codes(before)) {
            let symptom =
                diagnosis.findings.iter().flat_map(|root| root.all()).any(|found| found.rule.code == *code && found.rule.symptom);
            if !symptom {
                wrong.insert(format!("{world} without {blinded}: {key:?} is accused of {code} {backend:?}"));
            }
        }
        if worse(before.verdict, diagnosis.verdict) {
            wrong.insert(format!(
                "{world} without {blinded}: {key:?} is {} instead of {}",
                diagnosis.verdict.as_str(),
                before.verdict.as_str()
            ));
        }
        if diagnosis.verdict == Verdict::Unknown && diagnosis.inconclusive.is_empty() {
            wrong.insert(format!("{world} without {blinded}: {key:?} is Unknown and does not say what it could not see"));
        }
    }
}

#[test]
fn what_was_not_seen_is_never_blamed() {
    let mut wrong = BTreeSet::new();
    let mut tried = 0;
    let sources = sources();
    // Every source alone in every world; every pair in one world of eight, or in all when asked for.
    let all = std::env::var_os("DISTRUST_ALL").is_some();
    for (number, folder) in world::folders().into_iter().enumerate() {
        let name = world::name(&folder);
        let snapshot = world::snapshot(&folder);
        let full = world::diagnoses(&snapshot);
        for (at, first) in sources.iter().enumerate() {
            let mut once = snapshot.clone();
            blind(&mut once, first);
            compare(&name, first, &full, &world::diagnoses(&once), &mut wrong);
            for (distance, second) in sources[at + 1..].iter().enumerate() {
                if !all && (at + distance + number) % 8 != 0 {
                    continue;
                }
                let mut twice = once.clone();
                blind(&mut twice, second);
                compare(&name, &format!("{first} and {second}"), &full, &world::diagnoses(&twice), &mut wrong);
                tried += 1;
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.iter().take(60).cloned().collect::<Vec<_>>().join("\n"));
    eprintln!("{tried} blinded worlds");
}

#[test]
fn a_blind_world_accuses_nobody_and_says_so() {
    for folder in world::folders() {
        let mut snapshot = world::snapshot(&folder);
        for source in sources() {
            if !matches!(&*source, "kubernetes ingresses" | "kubernetes services") {
                blind(&mut snapshot, &source);
            }
        }
        // The Services are known by name alone where they make the target.
        for diagnosis in world::diagnoses(&snapshot) {
            let healthy = diagnosis.verdict == Verdict::Healthy;
            assert!(!healthy || diagnosis.target.kind.as_str() == "Service", "{}: {:?}", world::name(&folder), diagnosis.target);
        }
    }
}

/// Shows the world without each of `all` in turn, and which one that is. `put` decodes one: halves are put in together, or every world
/// would be decoded from its beginning.
fn without_each<T>(snapshot: &Snapshot, all: &[T], put: &impl Fn(&mut Snapshot, &T), show: &mut impl FnMut(&Snapshot, &T)) {
    if let [one] = all {
        return show(snapshot, one);
    }
    let (first, second) = all.split_at(all.len() / 2);
    for (without, with) in [(first, second), (second, first)] {
        if without.is_empty() {
            continue;
        }
        let mut snapshot = snapshot.clone();
        with.iter().for_each(|one| put(&mut snapshot, one));
        without_each(&snapshot, without, put, show);
    }
}

/// The same for the objects of Kubernetes.
fn without_each_object(raw: &Recording, show: &mut impl FnMut(&Snapshot, &serde_json::Value)) {
    let rest = Recording { kubernetes: Vec::new(), ..raw.clone() };
    let put = |snapshot: &mut Snapshot, object: &serde_json::Value| drop(snapshot.kubernetes.insert_json(object.clone()));
    without_each(&world::decoded(&rest), &raw.kubernetes, &put, show);
}

#[test]
fn a_missing_object_never_breaks_anything() {
    let mut tried = 0;
    for folder in world::folders() {
        let mut raw = Recording::read(&folder).unwrap();
        without_each_object(&raw, &mut |snapshot, _| {
            let diagnoses = world::diagnoses(snapshot);
            assert!(printed(&diagnoses, snapshot).len() < 64 * 1024 * diagnoses.len().max(1));
            tried += 1;
        });
        let resources = raw.compute.as_mut().map(|compute| std::mem::take(&mut compute.resources));
        let resources: Vec<_> = resources.unwrap_or_default().into_iter().collect();
        let put = |snapshot: &mut Snapshot, (path, resource): &(String, serde_json::Value)| {
            snapshot.compute.insert_json(path, resource.clone()).unwrap();
        };
        without_each(&world::decoded(&raw), &resources, &put, &mut |snapshot, _| {
            printed(&world::diagnoses(snapshot), snapshot);
            tried += 1;
        });
    }
    eprintln!("{tried} thinned worlds");
}

/// Values that nobody expects.
fn hostile() -> Vec<serde_json::Value> {
    use serde_json::json;
    vec![
        json!(""),
        json!("x".repeat(1 << 20)),
        json!("ü\u{202e}\u{0}\u{7}\n\r\t🦀 '; rm -rf / #"),
        json!(-1),
        json!(i64::MAX),
        json!(1e300),
        json!(null),
        json!([]),
        json!({}),
        json!(true),
        json!("{\"a\": {\"b\": [1, 2"),
    ]
}

/// Every leaf of a value, as JSON pointers.
fn leaves(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, value)| leaves(value, &format!("{at}/{}", escape(key)), found))
        }
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(key, value)| leaves(value, &format!("{at}/{key}"), found))
        }
        _ => found.push(at.to_owned()),
    }
}

/// Kinds whose objects belong to one user; what is wrong with one of them is nobody else's matter.
const OWNED: [&str; 9] = [
    "Ingress",
    "Service",
    "EndpointSlice",
    "Pod",
    "NetworkPolicy",
    "BackendConfig",
    "FrontendConfig",
    "ManagedCertificate",
    "ServiceNetworkEndpointGroup",
];

#[test]
fn hostile_values_harm_nobody_else() {
    let mut tried = 0;
    let mut dice = Dice(11);
    let hostile = hostile();
    for folder in world::folders() {
        let raw = Recording::read(&folder).unwrap();
        let snapshot = world::decoded(&raw);
        let before = world::diagnoses(&snapshot);
        let told: Vec<_> = by_target(&before)
            .into_iter()
            .map(|(key, diagnosis)| (key, diagnosis, printed(std::slice::from_ref(diagnosis), &snapshot)))
            .collect();
        without_each_object(&raw, &mut |without, object| {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
            if !OWNED.contains(&object["kind"].as_str().unwrap_or_default()) || namespace == "kube-system" {
                return;
            }
            let mut places = Vec::new();
            leaves(object, "", &mut places);
            places.retain(|place| !matches!(&**place, "/kind" | "/apiVersion" | "/metadata/namespace" | "/metadata/name"));
            // Each object once or twice with each value: all pairs would take hours.
            for value in &hostile {
                let place = &places[dice.roll(places.len())];
                let (mut snapshot, mut poisoned) = (without.clone(), object.clone());
                *poisoned.pointer_mut(place).unwrap() = value.clone();
                // One that cannot be decoded is remembered as such.
                let _ = snapshot.kubernetes.insert_json(poisoned);
                let after = world::diagnoses(&snapshot);
                for diagnosis in &after {
                    let context = Context { now: snapshot.meta.taken_at, generation: None, docs: "" };
                    let size = serde_json::to_string(&status::status(diagnosis, None, context)).unwrap().len();
                    assert!(size < 64 * 1024, "{} {place}: {size} bytes", world::name(&folder));
                }
                let after = by_target(&after);
                // What an Ingress tells of the controller, or claims of an address, is its neighbours' matter by right.
                let witness = object["kind"] == "Ingress";
                let shared = |diagnosis: &Diagnosis| {
                    codes(diagnosis).iter().any(|(code, _)| matches!(*code, "IngressControllerStalled" | "StaticAddressUnusable"))
                };
                let lost = |key: &Key, diagnosis: &Diagnosis| {
                    witness && (shared(diagnosis) || after.get(key).is_some_and(|one| shared(one)))
                };
                let others = told.iter().filter(|(key, diagnosis, _)| key.0 != namespace && !lost(key, diagnosis));
                for (key, _, text) in others {
                    let same = after.get(key).is_some_and(|other| printed(std::slice::from_ref(*other), &snapshot) == *text);
                    assert!(same, "{}: {place} of {} {namespace} changes {key:?}", world::name(&folder), object["kind"]);
                }
                tried += 1;
            }
        });
        let Some(compute) = &raw.compute else { continue };
        let compute = serde_json::to_value(compute).unwrap();
        let mut places = Vec::new();
        leaves(&compute, "", &mut places);
        for value in &hostile {
            let place = &places[dice.roll(places.len())];
            let mut poisoned = compute.clone();
            *poisoned.pointer_mut(place).unwrap() = value.clone();
            // What is not even of the right form is refused when it is read.
            let poisoned =
                serde_json::from_value(poisoned).ok().map(|compute| Recording { compute: Some(compute), ..raw.clone() });
            if let Some((snapshot, _)) = poisoned.and_then(|poisoned| poisoned.snapshot().ok()) {
                let diagnoses = world::diagnoses(&snapshot);
                assert!(printed(&diagnoses, &snapshot).len() < 64 * 1024 * diagnoses.len().max(1), "{place}");
            }
            tried += 1;
        }
    }
    eprintln!("{tried} poisoned worlds");
}

/// A healthy world under other names, in another place, of another age.
#[test]
fn nothing_is_keyed_to_a_sample() {
    let changes: [(&str, &str); 8] = [
        ("us-central1", "europe-north2"),
        ("acme-prod", "other-project-17"),
        ("shop", "laden"),
        ("cart", "korb"),
        ("statuspage", "zustand"),
        ("10.4.", "10.200."),
        ("gke-prod", "gke-zwei"),
        ("\"prod\"", "\"zwei\""),
    ];
    for folder in world::folders().iter().filter(|folder| world::name(folder).starts_with("healthy")) {
        let raw = Recording::read(folder).unwrap();
        for (from, to) in changes {
            // Names of NEGs hold a hash of the Service's name: these are not renamed inside them.
            if matches!(from, "shop" | "cart" | "statuspage") {
                continue;
            }
            let renamed = world::replaced(&raw, from, to);
            for diagnosis in world::diagnoses(&world::decoded(&renamed)) {
                let wrong: Vec<_> = codes(&diagnosis).into_iter().collect();
                assert!(
                    wrong.is_empty() && diagnosis.verdict == Verdict::Healthy,
                    "{} with {to} for {from}: {wrong:?}",
                    world::name(folder)
                );
            }
        }
        for days in [1, 30, 400] {
            let mut aged = world::decoded(&raw);
            let now = aged.meta.taken_at + jiff::SignedDuration::from_hours(24 * days);
            aged.meta.taken_at = now;
            let leases: Vec<_> = aged.kubernetes.leases.iter().cloned().collect();
            for mut lease in leases {
                lease.spec.renew_time = Some(now);
                aged.kubernetes.insert(lease);
            }
            for diagnosis in world::diagnoses(&aged) {
                let errors = diagnosis
                    .findings
                    .iter()
                    .flat_map(|root| root.all())
                    .filter(|found| found.severity() != Severity::Info)
                    .count();
                assert_eq!(errors, 0, "{} {days} days later: {:?}", world::name(folder), codes(&diagnosis));
            }
        }
    }
}
