//! Reading scenario folders and their true answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ingress_diagnosis::diagnose::{Diagnosis, diagnose};
use ingress_diagnosis::snapshot::{RecordedCompute, Recording, Snapshot, folder};
use ingress_diagnosis::topology::{Fleet, Grace, TargetKind, Topology};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub story: String,
    #[serde(default)]
    pub ingresses: BTreeMap<String, Answer>,
    #[serde(default)]
    pub services: BTreeMap<String, Answer>,
    #[serde(default)]
    pub undiagnosed: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    pub verdict: String,
    pub root_cause: Option<String>,
    #[serde(default)]
    pub causes: BTreeSet<String>,
    #[serde(default)]
    pub symptoms: BTreeSet<String>,
    #[serde(default)]
    pub allowed: BTreeSet<String>,
}

/// Every folder below `tests/scenarios`, by name.
pub fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut folders: Vec<_> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

pub fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

pub fn expected(folder: &Path) -> Expected {
    let path = folder.join("expected.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    folder::yaml_documents(&path, &text).unwrap().pop().unwrap()
}

/// The snapshot of the scenario of this name.
pub fn named(name: &str) -> Snapshot {
    snapshot(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name))
}

pub fn snapshot(folder: &Path) -> Snapshot {
    let (snapshot, malformed) = folder::load(folder).unwrap();
    assert!(malformed.is_empty(), "{malformed:?}");
    snapshot
}

/// Diagnoses every target of a snapshot.
pub fn diagnoses(snapshot: &Snapshot) -> Vec<Diagnosis> {
    let fleet = Fleet::of(snapshot);
    let grace = Grace::default();
    fleet
        .targets
        .iter()
        .filter_map(|target| Topology::of(snapshot, &fleet, &grace, target).map(|topology| diagnose(&topology, target, &[])))
        .collect()
}

/// What differs between a diagnosis and the true answer, in words.
pub fn differences(expected: &Expected, diagnoses: &[Diagnosis]) -> Vec<String> {
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for diagnosis in diagnoses {
        let key = format!("{}/{}", diagnosis.target.namespace, diagnosis.target.name);
        let answers = match diagnosis.target.kind {
            TargetKind::Ingress => &expected.ingresses,
            TargetKind::Service => &expected.services,
        };
        seen.insert((diagnosis.target.kind, key.clone()));
        let Some(answer) = answers.get(&key) else {
            differences.push(format!("{key}: diagnosed, and should not be"));
            continue;
        };
        let mut differ = |what: &str, is: String, should: String| {
            if is != should {
                differences.push(format!("{key}: {what} is {is}, should be {should}"));
            }
        };
        differ("verdict", diagnosis.verdict.as_str().to_owned(), answer.verdict.clone());
        differ("rootCause", format!("{:?}", diagnosis.root_cause), format!("{:?}", answer.root_cause.as_deref()));
        let causes: BTreeSet<_> = diagnosis.findings.iter().map(|root| root.found.rule.code.to_owned()).collect();
        let symptoms: BTreeSet<_> =
            diagnosis.findings.iter().flat_map(|root| &root.symptoms).map(|found| found.rule.code.to_owned()).collect();
        for cause in answer.causes.difference(&causes) {
            differ("cause", "absent".into(), cause.clone());
        }
        for symptom in answer.symptoms.difference(&symptoms) {
            differ("symptom", "absent".into(), symptom.clone());
        }
        let known: BTreeSet<_> = answer.causes.iter().chain(&answer.symptoms).chain(&answer.allowed).cloned().collect();
        for code in causes.union(&symptoms).filter(|code| !known.contains(*code)) {
            differ("finding", code.clone(), "absent".into());
        }
    }
    let all = expected
        .ingresses
        .keys()
        .map(|key| (TargetKind::Ingress, key))
        .chain(expected.services.keys().map(|key| (TargetKind::Service, key)));
    for (kind, key) in all {
        if !seen.contains(&(kind, key.clone())) {
            differences.push(format!("{key}: not diagnosed"));
        }
    }
    for key in &expected.undiagnosed {
        if seen.contains(&(TargetKind::Ingress, key.clone())) {
            differences.push(format!("{key}: diagnosed, and should not be"));
        }
    }
    differences
}

/// The snapshot of a recording that a test may have changed; an object that cannot be decoded is remembered as such.
pub fn decoded(recording: &Recording) -> Snapshot {
    recording.snapshot().unwrap().0
}

/// The same with one word for another everywhere.
pub fn replaced(recording: &Recording, from: &str, to: &str) -> Recording {
    fn json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T, from: &str, to: &str) -> T {
        serde_json::from_str(&serde_json::to_string(value).unwrap().replace(from, to)).unwrap()
    }
    Recording {
        project: json(&recording.project, from, to),
        cluster_name: json(&recording.cluster_name, from, to),
        cluster_location: json(&recording.cluster_location, from, to),
        kubernetes: json(&recording.kubernetes, from, to),
        compute: json(&recording.compute, from, to),
        cluster: json(&recording.cluster, from, to),
        probes: json(&recording.probes, from, to),
        ..recording.clone()
    }
}

/// The lists of Compute's answers whose order means nothing.
pub fn lists(compute: &mut RecordedCompute) -> Vec<&mut Vec<serde_json::Value>> {
    let backends = compute.resources.values_mut().filter_map(|resource| resource.get_mut("backends")?.as_array_mut());
    backends.chain(compute.endpoints.values_mut()).chain(compute.health.values_mut().flat_map(BTreeMap::values_mut)).collect()
}

/// Text without the marks of colours.
pub fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
