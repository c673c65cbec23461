//! What is read and what it may say: a time of grace ends when the facts were read, what Kubernetes has overtaken accuses nobody anew, GKE's
//! own last word decides who is read first, and only pods are asked.

use std::collections::BTreeSet;

use ingress_diagnosis::api::IngressDiagnosisStatus;
use ingress_diagnosis::collect::{Urgency, Want};
use ingress_diagnosis::diagnose::{Diagnosis, Root, Verdict, diagnose};
use ingress_diagnosis::publish::status::{Context, status};
use ingress_diagnosis::publish::text;
use ingress_diagnosis::rules::Confidence;
use ingress_diagnosis::snapshot::{Recording, Snapshot};
use ingress_diagnosis::topology::{Fleet, Grace, Topology};
use ingress_diagnosis::wanted::Wanted;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::world::{self, decoded, replaced};

/// The same world, in which the health of all groups was read so long before.
fn read_before(name: &str, age: SignedDuration) -> Snapshot {
    let mut snapshot = world::named(name);
    let at = snapshot.meta.taken_at - age;
    let compute = &mut snapshot.compute;
    let groups: Vec<Box<str>> = compute.network_endpoint_groups.iter().map(|(path, _)| path.into()).collect();
    compute.read_at.extend(groups.into_iter().map(|group| (group, at)));
    snapshot
}

fn codes(diagnoses: &[Diagnosis]) -> BTreeSet<&'static str> {
    diagnoses.iter().flat_map(|one| &one.findings).flat_map(Root::all).map(|found| found.rule.code).collect()
}

/// The status of a diagnosis, over the one that stands.
fn written(diagnosis: &Diagnosis, stands: Option<&IngressDiagnosisStatus>, now: Timestamp) -> IngressDiagnosisStatus {
    status(diagnosis, stands, Context { now, generation: Some(1), docs: "" })
}

#[test]
fn a_time_of_grace_does_not_pass_while_nobody_looks() {
    for (folder, code) in
        [("neg-endpoint-drift", "NegEndpointDrift"), ("backend-partially-unhealthy", "BackendPartiallyUnhealthy")]
    {
        let ages = [0, 60 * 24 * 3600];
        let [fresh, old] = ages.map(|age| codes(&world::diagnoses(&read_before(folder, SignedDuration::from_secs(age)))));
        assert!(fresh.contains(code), "{folder}: {fresh:?}");
        assert!(!old.contains(code), "{folder}: facts from before it began do not tell that it has lasted");
    }
}

#[test]
fn what_kubernetes_has_overtaken_may_only_be_said_again() {
    for folder in ["argocd-redirect", "backend-partially-unhealthy", "firewall-denied"] {
        let snapshot = world::named(folder);
        let (fleet, grace) = (Fleet::of(&snapshot), Grace::default());
        for target in &fleet.targets {
            let look = |outdated: bool, stands: BTreeSet<(String, Option<String>)>| {
                let mut topology = Topology::of(&snapshot, &fleet, &grace, target).unwrap();
                let all = (0..topology.backends.len()).filter(|_| outdated);
                topology.set_outdated(&all.collect());
                topology.stands = stands;
                diagnose(&topology, target, &[])
            };
            let fresh = look(false, BTreeSet::new());
            assert!(!fresh.withheld);
            let new = look(true, BTreeSet::new());
            assert_eq!(new.withheld, fresh.verdict != Verdict::Healthy, "{folder} {target:?}");
            assert!(codes(std::slice::from_ref(&new)).is_empty(), "{folder} {target:?}");
            let stood =
                fresh.findings.iter().flat_map(Root::all).map(|found| (found.rule.code.to_owned(), found.backend.clone()));
            let again = look(true, stood.collect());
            assert!(!again.withheld);
            assert_eq!(written(&again, None, snapshot.meta.taken_at), written(&fresh, None, snapshot.meta.taken_at), "{folder}");
        }
    }
}

#[test]
fn the_age_of_the_facts_is_told_and_no_reason_to_write() {
    let of = |age: i64| {
        let diagnoses = world::diagnoses(&read_before("argocd-redirect", SignedDuration::from_secs(age)));
        diagnoses.into_iter().find(|one| &*one.target.name == "argocd-server").unwrap()
    };
    let (young, old) = (of(60), of(390));
    let now = young.made_at;
    let stands = written(&old, None, now);
    assert_eq!(stands.compute_facts_at.as_ref().map(|time| now.duration_since(time.0)), Some(SignedDuration::from_secs(390)));
    assert_eq!(written(&young, Some(&stands), now), stands, "the same was read again");
    let before = IngressDiagnosisStatus { address: None, ..stands.clone() };
    assert_eq!(written(&young, Some(&before), now).compute_facts_at.unwrap().0, now - SignedDuration::from_secs(60));

    let told = |diagnosis: &Diagnosis| text::render(std::slice::from_ref(diagnosis), false);
    assert!(told(&old).contains("the health of its endpoints was read in Compute 6 min ago"), "{}", told(&old));
    assert!(!told(&young).contains("ago"), "{}", told(&young));
}

fn recorded(name: &str) -> Recording {
    Recording::read(&world::folders().into_iter().find(|folder| world::name(folder) == name).unwrap()).unwrap()
}

fn wanted(snapshot: &Snapshot) -> Vec<Wanted> {
    let (fleet, grace) = (Fleet::of(snapshot), Grace::default());
    fleet.targets.iter().filter_map(|target| Topology::of(snapshot, &fleet, &grace, target)).map(|one| Wanted::of(&one)).collect()
}

/// For whoever may not read Compute the annotation accuses, and says how old it is; it acquits nobody.
#[test]
fn gkes_own_last_word_accuses_and_never_acquits() {
    let accused = decoded(&replaced(&recorded("compute-denied"), r#"ff305e07\":\"HEALTHY"#, r#"ff305e07\":\"UNHEALTHY"#));
    for diagnosis in world::diagnoses(&accused) {
        let found: Vec<_> = diagnosis.findings.iter().map(|root| (root.found.rule.code, root.found.finding.confidence)).collect();
        if &*diagnosis.target.name == "cart" {
            assert_eq!(found, [("BackendUnhealthy", Confidence::Likely)]);
            let evidence = &diagnosis.findings[0].found.finding.evidence[0];
            assert!(evidence.saw.ends_with("UNHEALTHY, written by a sync at most 20 minutes old"), "{}", evidence.saw);
        } else {
            assert_eq!((diagnosis.verdict, found), (Verdict::Unknown, Vec::new()), "{:?}", diagnosis.target);
        }
    }
}

#[test]
fn whom_gke_calls_unhealthy_is_read_first() {
    let urgencies = |snapshot: &Snapshot| -> BTreeSet<Urgency> {
        wanted(snapshot).iter().flat_map(|wanted| &wanted.groups).map(|want: &Want| want.urgency).collect()
    };
    let healthy = recorded("healthy-neg");
    assert_eq!(urgencies(&decoded(&healthy)), [Urgency::Settled].into());
    let accused = decoded(&replaced(&healthy, r#"\":\"HEALTHY"#, r#"\":\"UNHEALTHY"#));
    assert_eq!(urgencies(&accused), [Urgency::Accused].into(), "by the annotation");
    assert!(urgencies(&world::named("readiness-gate-timed-out")).contains(&Urgency::Accused), "by a gate");
}

/// Whatever users write into their objects, only a pod is asked, at its own address.
#[test]
fn nobody_but_a_pod_is_asked() {
    let changed = |change: &dyn Fn(&mut Value), cluster: Option<&str>| {
        let mut world = recorded("argocd-redirect");
        world.kubernetes.iter_mut().for_each(change);
        if let Some(cidr) = cluster {
            world.cluster.as_mut().unwrap()["servicesIpv4Cidr"] = cidr.into();
        }
        wanted(&decoded(&world)).iter().map(|wanted| wanted.questions.len()).sum::<usize>()
    };
    let pods = |change: &'static dyn Fn(&mut Value)| {
        move |object: &mut Value| {
            if object["kind"] == "Pod" {
                change(object);
            }
        }
    };
    assert_eq!(changed(&|_| {}, None), 2);
    assert_eq!(changed(&|_| {}, Some("34.118.224.0/20")), 2);
    assert_eq!(changed(&|_| {}, Some("10.4.0.0/16")), 0, "these are addresses of Services");
    let elsewhere = pods(&|pod| {
        pod["status"]["podIP"] = "10.99.0.1".into();
        pod["status"]["podIPs"] = serde_json::json!([{"ip": "10.99.0.1"}]);
    });
    assert_eq!(changed(&elsewhere, None), 0, "the EndpointSlice alone says that a pod is there");
    let node = pods(&|pod| pod["status"]["hostIP"] = pod["status"]["podIP"].clone());
    assert_eq!(changed(&node, None), 0, "that is a node");
    let on_host = pods(&|pod| {
        pod["status"]["hostIP"] = pod["status"]["podIP"].clone();
        pod["spec"]["hostNetwork"] = true.into();
    });
    assert_eq!(changed(&on_host, None), 2);
    let nodes = |object: &mut Value| {
        if object["kind"] == "Node" {
            object["status"]["addresses"] = serde_json::json!([{"type": "InternalIP", "address": "10.4.0.11"}]);
        }
    };
    assert_eq!(changed(&nodes, None), 1, "one of the two has the address of a node");
}
