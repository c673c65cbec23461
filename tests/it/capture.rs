//! A recording that is cut down, or made anonymous, is diagnosed as before.

use std::collections::BTreeMap;

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
