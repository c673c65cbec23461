//! A recording that is cut down, or made anonymous, is diagnosed as before.

use std::collections::{BTreeMap, BTreeSet};

use ingress_diagnosis::api::IngressDiagnosis;
use ingress_diagnosis::diagnose::Diagnosis;
use ingress_diagnosis::publish::status::{self, Context};
use ingress_diagnosis::snapshot::Recording;
use ingress_diagnosis::topology::TargetRef;
use serde_json::Value;

use crate::world;

/// What the controller would write of every target.
fn written(recording: &Recording) -> BTreeMap<TargetRef, IngressDiagnosis> {
    let (snapshot, _) = recording.snapshot().unwrap();
    let context = Context { now: recording.taken_at, generation: Some(1), docs: "docs" };
    let object = |diagnosis: &Diagnosis| status::object(diagnosis, &[], status::status(diagnosis, None, context));
    world::diagnoses(&snapshot).iter().map(|diagnosis| (diagnosis.target.clone(), object(diagnosis))).collect()
}

#[test]
fn a_target_alone_is_diagnosed_as_among_all_others() {
    let (mut targets, mut before, mut after) = (0, 0, 0);
    for folder in world::folders() {
        let name = world::name(&folder);
        let full = Recording::read(&folder).unwrap();
        let all = written(&full);
        let mut narrowed = BTreeMap::new();
        for target in all.keys() {
            let one = full.narrowed(std::slice::from_ref(target));
            assert!(written(&one).contains_key(target), "{name}: {target:?}");
            (targets, before, after) = (targets + 1, before + full.kubernetes.len(), after + one.kubernetes.len());
            narrowed.insert(format!("{target:?}"), one);
            narrowed.entry(format!("all of {}", target.namespace)).or_insert_with(|| full.narrowed_to(&target.namespace));
        }
        for (what, narrowed) in narrowed {
            for (target, diagnosis) in written(&narrowed) {
                let json = |diagnosis: &IngressDiagnosis| serde_json::to_string_pretty(diagnosis).unwrap();
                assert_eq!(json(&diagnosis), json(&all[&target]), "{name}: {what}: {target:?}");
            }
        }
    }
    eprintln!("{targets} targets, {before} objects cut down to {after}");
    assert!(after < before, "{after} of {before}");
}

#[test]
fn what_belongs_to_others_alone_is_cut_away() {
    let full =
        Recording::read(&world::folders().into_iter().find(|folder| world::name(folder) == "argocd-redirect").unwrap()).unwrap();
    let target = written(&full).into_keys().find(|target| &*target.namespace == "argocd").unwrap();
    let narrowed = full.narrowed(&[target]);
    let text =
        |recording: &Recording| format!("{:?} {:?}", recording.kubernetes, recording.compute.as_ref().unwrap().resources.keys());
    assert!(text(&full).contains("thumbs") && !text(&narrowed).contains("thumbs"));
    assert!(narrowed.kubernetes.iter().any(|object| object["kind"] == "Pod" && object["metadata"]["namespace"] == "argocd"));
    assert_eq!(narrowed.narrowed(&written(&narrowed).into_keys().collect::<Vec<_>>()), narrowed);
    let nobody = full.narrowed(&[]);
    assert!(!nobody.kubernetes.iter().any(|object: &Value| object["kind"] == "Ingress"));
}

/// A finding and what hangs below it, without names.
fn shape(diagnosis: &Diagnosis) -> String {
    let found = |found: &ingress_diagnosis::diagnose::Found| {
        format!(
            "{} {:?} {:?} on a backend: {}",
            found.rule.code,
            found.severity(),
            found.finding.confidence,
            found.backend.is_some()
        )
    };
    let mut roots: Vec<_> = diagnosis
        .findings
        .iter()
        .map(|root| {
            let mut symptoms: Vec<_> = root.symptoms.iter().map(found).collect();
            symptoms.sort();
            format!("{} <- {symptoms:?}", found(&root.found))
        })
        .collect();
    roots.sort();
    let mut inconclusive: Vec<_> = diagnosis.inconclusive.iter().map(|one| one.code).collect();
    inconclusive.dedup();
    format!("{} {:?} {:?} {roots:#?} {inconclusive:?}", diagnosis.verdict.as_str(), diagnosis.root_cause, diagnosis.endpoints)
}

fn shapes(recording: &Recording) -> BTreeMap<(String, String, String), String> {
    let (snapshot, malformed) = recording.snapshot().unwrap();
    assert!(malformed.is_empty(), "{malformed:?}");
    let place = |target: &TargetRef| (target.kind.as_str().to_owned(), target.namespace.to_string(), target.name.to_string());
    world::diagnoses(&snapshot).iter().map(|diagnosis| (place(&diagnosis.target), shape(diagnosis))).collect()
}

#[test]
fn an_anonymous_recording_is_diagnosed_as_before() {
    let place = tempfile::tempdir().unwrap();
    for folder in world::folders() {
        let name = world::name(&folder);
        let full = Recording::read(&folder).unwrap();
        let before = shapes(&full);
        let names: Vec<&str> = before.keys().flat_map(|(_, namespace, name)| [&**namespace, &**name]).collect();
        let (redacted, new) = full.redacted(&names);
        let renamed = before.keys().zip(new.chunks(2)).map(|((kind, ..), new)| (kind.clone(), new[0].clone(), new[1].clone()));
        let expected: BTreeMap<_, _> = renamed.zip(before.values().cloned()).collect();
        let after = shapes(&redacted);
        assert_eq!(expected.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{name}");
        for (target, shape) in &expected {
            assert_eq!(*shape, after[target], "{name}: {target:?}");
        }
        let mut again = full.clone();
        again.redact();
        assert_eq!(again, redacted, "{name}: the same every time");
        again.redact();
        assert_eq!(again, redacted, "{name}: what is anonymous stays as it is");
        redacted.write(&place.path().join(&name)).unwrap();
        assert_eq!(shapes(&Recording::read(&place.path().join(&name)).unwrap()), after, "{name}: written and read");
    }
}

/// Of images of known applications, of regions, and of what Kubernetes itself is made of.
const EVERYBODYS: [&str; 7] = ["argocd", "argoproj", "central1", "apps", "hostname", "internalip", "nginx"];

/// The words that may stay inside names, and those that may in messages.
fn vocabulary() -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let names = include_str!("../../src/capture/redact/vocabulary.rs").split("const NAMES: &str = \"").nth(1).unwrap();
    let names = names.split('"').next().unwrap().split_whitespace().collect();
    (names, include_str!("../../src/capture/redact/texts.txt").split_whitespace().collect())
}

/// What somebody chose: names, hosts, images, labels, identities.
fn chosen(recording: &Recording) -> BTreeSet<String> {
    fn collect(field: &str, value: &Value, chosen: &mut BTreeSet<String>) {
        const FIELDS: &[&str] = &[
            "name",
            "namespace",
            "uid",
            "host",
            "hosts",
            "domain",
            "domains",
            "image",
            "nodeName",
            "instance",
            "secretName",
            "network",
            "subnetwork",
            "targetTags",
            "tags",
            "hostname",
            "service-name",
            "providerID",
            "path",
            "requestPath",
            "holderIdentity",
            "labels",
            "matchLabels",
            "selector",
            "podCIDR",
            "podCIDRs",
            "ip",
            "podIP",
            "hostIP",
            "clusterIP",
            "ipAddress",
            "address",
            "addresses",
            "IPAddress",
            "ipCidrRange",
            "sourceRanges",
            "cidr",
        ];
        match value {
            Value::String(text) if FIELDS.contains(&field) => {
                chosen.insert(text.clone());
            }
            Value::Array(values) => values.iter().for_each(|value| collect(field, value, chosen)),
            Value::Object(map) => {
                let of_map = FIELDS.contains(&field) && map.values().all(Value::is_string);
                map.iter().for_each(|(key, value)| collect(if of_map { field } else { key }, value, chosen));
            }
            _ => {}
        }
    }
    let mut chosen = BTreeSet::from([recording.project.clone(), recording.cluster_name.clone()]);
    recording.kubernetes.iter().for_each(|object| collect("", object, &mut chosen));
    let compute = recording.compute.iter().flat_map(|compute| &compute.resources);
    for (path, resource) in compute {
        chosen.insert(path.rsplit('/').next().unwrap().to_owned());
        collect("", resource, &mut chosen);
    }
    recording.cluster.iter().for_each(|cluster| collect("", cluster, &mut chosen));
    chosen
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 3 && word.parse::<u32>().is_err())
        .map(str::to_lowercase)
}

/// An address or a block that is not everybody's: not Google's health checks, not all private ones.
fn is_somebodys(text: &str) -> bool {
    let Ok(address) = text.split('/').next().unwrap().parse::<std::net::Ipv4Addr>() else { return false };
    let known = ["35.191.0.0/16", "130.211.0.0/22", "209.85.152.0/22", "209.85.204.0/22", "0.0.0.0/8"];
    let known = known.into_iter().any(|block| block.parse::<ipnet::Ipv4Net>().unwrap().contains(&address));
    !known && !["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].contains(&text)
}

#[test]
fn an_anonymous_recording_names_nobody() {
    let (names, texts) = vocabulary();
    let (mut looked_for, mut stayed) = (0, BTreeMap::<String, BTreeSet<String>>::new());
    for folder in world::folders() {
        let name = world::name(&folder);
        let full = Recording::read(&folder).unwrap();
        let (redacted, _) = full.redacted(&[]);
        let text = format!(
            "{} {} {} {:?} {} {:?} {:?}",
            redacted.project,
            redacted.cluster_name,
            redacted.cluster_location,
            redacted.unreadable,
            serde_json::json!([redacted.kubernetes, redacted.cluster, redacted.compute]),
            redacted.probes,
            redacted.compute.as_ref().map(|compute| &compute.errors),
        );
        let left: BTreeSet<String> = words(&text).collect();
        for (old, new) in full.known_fields().kubernetes.iter().zip(&redacted.kubernetes) {
            for place in ["/metadata/name", "/metadata/namespace", "/metadata/uid"] {
                let (old, new) = (old.pointer(place).and_then(Value::as_str), new.pointer(place).and_then(Value::as_str));
                let may_stay = old.is_none_or(|old| words(old).all(|word| names.contains(&*word) || word == "lock"));
                assert!(old != new || may_stay, "{name}: {old:?}");
            }
        }
        let chosen = chosen(&full);
        let (uids, chosen): (BTreeSet<_>, BTreeSet<_>) =
            chosen.into_iter().partition(|text| text.len() == 36 && text.matches('-').count() == 4);
        assert!(uids.iter().all(|uid| !text.contains(uid.as_str())), "{name}");
        for word in chosen.iter().flat_map(|text| words(text)) {
            looked_for += 1;
            if left.contains(&word) {
                stayed.entry(word).or_default().insert(name.clone());
            }
        }
        for address in chosen.iter().filter(|text| is_somebodys(text)) {
            let bounded = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_digit() && c != '.');
            let stands = text
                .match_indices(address.as_str())
                .any(|(at, _)| bounded(text[..at].chars().next_back()) && bounded(text[at + address.len()..].chars().next()));
            assert!(!stands, "{name}: {address}");
        }
    }
    eprintln!("{looked_for} words looked for");
    stayed.retain(|word, _| !EVERYBODYS.contains(&&**word) && !names.contains(&**word) && !texts.contains(&**word));
    assert!(stayed.is_empty(), "{stayed:?}");
}
