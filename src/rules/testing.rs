//! A recorded world, changed by hand, for the rules' own tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::diagnose::{Diagnosis, Found, Root, diagnose};
use crate::snapshot::kubernetes::Kubernetes;
use crate::snapshot::{Snapshot, folder};
use crate::topology::{Fleet, Grace, TargetKind, TargetRef, Topology};

/// A folder of `tests/scenarios`, its Kubernetes objects still as JSON.
#[derive(Clone)]
pub(super) struct World {
    objects: Vec<Value>,
    unread: Vec<String>,
    /// Everything but the Kubernetes objects.
    pub snapshot: Snapshot,
}

/// The folders that were read before: many tests start from the same one.
static READ: Mutex<BTreeMap<String, World>> = Mutex::new(BTreeMap::new());

/// Loads a folder of `tests/scenarios`.
pub(super) fn world(name: &str) -> World {
    READ.lock().unwrap().entry(name.to_owned()).or_insert_with(|| read(name)).clone()
}

fn read(name: &str) -> World {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
    let (snapshot, _) = folder::load(&root).unwrap();
    let path = root.join("kubernetes.yaml");
    let objects = folder::yaml_documents(&path, &std::fs::read_to_string(&path).unwrap()).unwrap();
    World { objects, unread: Vec::new(), snapshot }
}

fn is(object: &Value, kind: &str, place: &str) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    text("/kind") == kind && format!("{}/{}", text("/metadata/namespace"), text("/metadata/name")) == place
}

impl World {
    /// Changes the one object of this kind at `namespace/name`.
    pub fn edit(mut self, kind: &str, place: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut objects = self.objects.iter_mut().filter(|object| is(object, kind, place));
        change(objects.next().expect("the object is there"));
        self
    }

    /// Sets one annotation of an object.
    pub fn annotate(self, kind: &str, place: &str, key: &str, value: &str) -> Self {
        self.edit(kind, place, |object| object["metadata"]["annotations"][key] = value.into())
    }

    /// Adds an object.
    pub fn add(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    /// Adds a warning of the Ingress controller about an Ingress, last seen a minute ago.
    pub fn warn(self, place: &str, reason: &str, message: &str) -> Self {
        let (namespace, name) = place.split_once('/').unwrap();
        let at = self.snapshot.meta.taken_at - jiff::SignedDuration::from_mins(1);
        self.add(serde_json::json!({
            "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message,
            "metadata": {"namespace": namespace, "name": format!("{name}.{reason}")},
            "involvedObject": {"kind": "Ingress", "namespace": namespace, "name": name},
            "source": {"component": "loadbalancer-controller"}, "firstTimestamp": at, "lastTimestamp": at,
        }))
    }

    /// Takes out the objects for which `drop` says yes.
    pub fn without(mut self, drop: impl Fn(&Value) -> bool) -> Self {
        self.objects.retain(|object| !drop(object));
        self
    }

    /// A kind cannot be read, so none of its objects is there.
    pub fn unread(mut self, resource: &str) -> Self {
        let plural = resource.split('.').next().unwrap().to_owned();
        self.unread.push(resource.to_owned());
        self.without(|object| {
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            [format!("{kind}s"), format!("{kind}es"), kind.trim_end_matches('y').to_owned() + "ies"].contains(&plural)
        })
    }

    /// The diagnosis of an Ingress; `None` when it gets none.
    pub fn diagnosis(&self, place: &str) -> Option<Diagnosis> {
        let mut snapshot = self.snapshot.clone();
        snapshot.kubernetes = Kubernetes::default();
        for object in &self.objects {
            snapshot.kubernetes.insert_json(object.clone()).unwrap();
        }
        for resource in &self.unread {
            assert!(snapshot.kubernetes.mark_unread(resource, "Forbidden", ""), "{resource}");
        }
        let (namespace, name) = place.split_once('/').unwrap();
        let target = TargetRef { kind: TargetKind::Ingress, namespace: namespace.into(), name: name.into() };
        let (fleet, grace) = (Fleet::of(&snapshot), Grace::default());
        let topology = Topology::of(&snapshot, &fleet, &grace, &target)?;
        Some(diagnose(&topology, &target, &[]))
    }

    /// The codes of everything that was found at an Ingress, each once, sorted.
    pub fn codes(&self, place: &str) -> Vec<&'static str> {
        let diagnosis = self.diagnosis(place).expect("it gets a diagnosis");
        let mut codes: Vec<_> = diagnosis.findings.iter().flat_map(Root::all).map(|found| found.rule.code).collect();
        codes.sort();
        codes.dedup();
        codes
    }

    /// What was found at an Ingress under a code.
    pub fn found(&self, place: &str, code: &str) -> Vec<Found> {
        let diagnosis = self.diagnosis(place).expect("it gets a diagnosis");
        diagnosis.findings.iter().flat_map(Root::all).filter(|found| found.rule.code == code).cloned().collect()
    }

    /// The codes that could not be answered at an Ingress.
    pub fn inconclusive(&self, place: &str) -> Vec<&'static str> {
        let diagnosis = self.diagnosis(place).expect("it gets a diagnosis");
        diagnosis.inconclusive.iter().map(|one| one.code).collect()
    }
}
