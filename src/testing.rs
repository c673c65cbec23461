//! Worlds for the rules' own tests: a recorded folder in which a test changes what it is about.
//!
//! Enters: the name of a folder below `tests/scenarios`. Leaves: a [`World`], and the diagnosis of one of its targets.
//! Never: used outside of tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use serde_json::{Value, json};

use crate::diagnose::{Diagnosis, Found, diagnose};
use crate::snapshot::probe::ProbeAnswer;
use crate::snapshot::{Recording, Snapshot, Source, Unknown};
use crate::topology::{Fleet, Grace, TargetKind, TargetRef, Topology};

/// A recorded folder, as JSON that a test may change.
#[derive(Clone)]
pub struct World {
    recording: Recording,
    /// The objects.
    pub objects: Vec<Value>,
    /// What the Compute API said; null when it was not read.
    pub compute: Value,
    /// What the Container API said; null when it was not read.
    pub cluster: Value,
}

impl World {
    /// The folder of this name.
    pub fn recorded(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
        let mut recording = Recording::read(&folder).unwrap();
        Self {
            objects: std::mem::take(&mut recording.kubernetes),
            compute: json!(recording.compute.take()),
            cluster: json!(recording.cluster.take()),
            recording,
        }
    }

    fn is(object: &Value, kind: &str, namespace: &str, name: &str) -> bool {
        let at = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        at("/kind") == kind && at("/metadata/namespace") == namespace && at("/metadata/name") == name
    }

    /// An object.
    pub fn object(&mut self, kind: &str, namespace: &str, name: &str) -> &mut Value {
        let found = self.objects.iter_mut().find(|object| Self::is(object, kind, namespace, name));
        found.unwrap_or_else(|| panic!("no {kind} {namespace}/{name}"))
    }

    /// Takes an object out.
    pub fn remove(&mut self, kind: &str, namespace: &str, name: &str) {
        self.objects.retain(|object| !Self::is(object, kind, namespace, name));
    }

    /// Sets an annotation; null takes it away.
    pub fn annotate(&mut self, kind: &str, namespace: &str, name: &str, key: &str, value: impl Into<Value>) {
        let annotations = &mut self.object(kind, namespace, name)["metadata"]["annotations"];
        match (value.into(), annotations.as_object_mut()) {
            (Value::Null, Some(annotations)) => drop(annotations.remove(key)),
            (value, _) => annotations[key] = value,
        }
    }

    /// Takes the annotations, the address and the events away that the controller wrote on an Ingress.
    pub fn unprogram(&mut self, namespace: &str, name: &str) {
        let ingress = self.object("Ingress", namespace, name);
        ingress["status"] = json!({});
        if let Some(annotations) = ingress["metadata"]["annotations"].as_object_mut() {
            annotations.retain(|key, _| !key.starts_with("ingress.kubernetes.io/"));
        }
        self.objects.retain(|object| {
            object["kind"] != "Event" || object["involvedObject"]["kind"] != "Ingress" || object["involvedObject"]["name"] != name
        });
    }

    /// A warning of a controller, seen for half an hour up to now.
    pub fn warn(&mut self, kind: &str, namespace: &str, name: &str, reason: &str, message: &str) {
        let component = if kind == "Ingress" { "loadbalancer-controller" } else { "neg-controller" };
        let count = self.objects.len();
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message, "count": 7,
            "metadata": {"name": format!("{name}.{count}"), "namespace": namespace},
            "involvedObject": {"kind": kind, "namespace": namespace, "name": name},
            "source": {"component": component},
            "firstTimestamp": self.ago(30), "lastTimestamp": self.ago(0),
        });
        self.objects.push(event);
    }

    /// So many minutes before the snapshot.
    pub fn ago(&self, minutes: i64) -> String {
        (self.recording.taken_at - jiff::SignedDuration::from_mins(minutes)).to_string()
    }

    /// A Compute resource by its path.
    pub fn resource(&mut self, path: &str) -> &mut Value {
        &mut self.compute["resources"][path]
    }

    /// Takes out the Compute resources whose path contains this.
    pub fn remove_resources(&mut self, part: &str) {
        self.compute["resources"].as_object_mut().unwrap().retain(|path, _| !path.contains(part));
    }

    /// A kind was refused: `kubernetes`, `compute` or `container`, and the word for it.
    pub fn refuse(&mut self, source: &str, resource: &str) {
        let source = Source::parse(source).unwrap();
        self.recording.unreadable.push(Unknown::new(source, resource, "Forbidden", "no"));
    }

    /// Nothing was read from Compute and the Container API.
    pub fn without_google(&mut self) {
        self.compute = Value::Null;
        self.cluster = Value::Null;
    }

    /// Every pod that was asked said this.
    pub fn answered(mut self, change: impl Fn(&mut ProbeAnswer)) -> Self {
        self.recording.probes.iter_mut().flatten().for_each(change);
        self
    }

    /// The snapshot.
    pub fn snapshot(&self) -> Snapshot {
        let recording = Recording {
            kubernetes: self.objects.clone(),
            compute: serde_json::from_value(self.compute.clone()).unwrap(),
            cluster: serde_json::from_value(self.cluster.clone()).unwrap(),
            ..self.recording.clone()
        };
        let (snapshot, malformed) = recording.into_snapshot().unwrap();
        assert!(malformed.is_empty(), "{malformed:?}");
        snapshot
    }

    /// The diagnosis of an Ingress.
    pub fn ingress(&self, namespace: &str, name: &str) -> Diagnosis {
        self.diagnosis(TargetRef { kind: TargetKind::Ingress, namespace: namespace.into(), name: name.into() })
    }

    /// The diagnosis of a target.
    pub fn diagnosis(&self, target: TargetRef) -> Diagnosis {
        let snapshot = self.snapshot();
        let (fleet, grace) = (Fleet::of(&snapshot), Grace::default());
        let topology = Topology::of(&snapshot, &fleet, &grace, &target).unwrap_or_else(|| panic!("{target:?} is not diagnosed"));
        diagnose(&topology, &target, &[])
    }
}

/// The folder of this name, to be changed step by step; `place` is always `namespace/name`.
pub fn world(name: &str) -> World {
    World::recorded(name)
}

fn split(place: &str) -> (&str, &str) {
    place.split_once('/').unwrap()
}

impl World {
    /// Changes the object of this kind.
    pub fn edit(mut self, kind: &str, place: &str, change: impl FnOnce(&mut Value)) -> Self {
        let (namespace, name) = split(place);
        change(self.object(kind, namespace, name));
        self
    }

    /// Sets one annotation of an object.
    pub fn annotated(mut self, kind: &str, place: &str, key: &str, value: &str) -> Self {
        let (namespace, name) = split(place);
        self.annotate(kind, namespace, name, key, value);
        self
    }

    /// Adds an object.
    pub fn add(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    /// Adds a warning about an Ingress, seen up to now.
    pub fn warned(mut self, place: &str, reason: &str, message: &str) -> Self {
        let (namespace, name) = split(place);
        self.warn("Ingress", namespace, name, reason, message);
        self
    }

    /// Takes out the objects for which `drop` says yes.
    pub fn without(mut self, drop: impl Fn(&Value) -> bool) -> Self {
        self.objects.retain(|object| !drop(object));
        self
    }

    /// A kind of Kubernetes cannot be read, so none of its objects is there.
    pub fn unread(mut self, resource: &str) -> Self {
        self.refuse("kubernetes", resource);
        let plural = resource.split('.').next().unwrap().to_owned();
        self.without(|object| {
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            [format!("{kind}s"), format!("{kind}es"), kind.trim_end_matches('y').to_owned() + "ies"].contains(&plural)
        })
    }

    /// The diagnosis of an Ingress; `None` when it gets none.
    pub fn diagnosed(&self, place: &str) -> Option<Diagnosis> {
        let (namespace, name) = split(place);
        let target = TargetRef { kind: TargetKind::Ingress, namespace: namespace.into(), name: name.into() };
        let snapshot = self.snapshot();
        let (fleet, grace) = (Fleet::of(&snapshot), Grace::default());
        Some(diagnose(&Topology::of(&snapshot, &fleet, &grace, &target)?, &target, &[]))
    }

    /// The codes of everything that was found at an Ingress, each once, sorted.
    pub fn codes(&self, place: &str) -> Vec<&'static str> {
        let diagnosis = self.diagnosed(place).unwrap();
        let mut codes: Vec<_> = diagnosis.findings.iter().flat_map(|root| root.all()).map(|found| found.rule.code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// What was found at an Ingress under a code.
    pub fn found(&self, place: &str, code: &str) -> Vec<Found> {
        let diagnosis = self.diagnosed(place).unwrap();
        diagnosis.findings.iter().flat_map(|root| root.all()).filter(|found| found.rule.code == code).cloned().collect()
    }

    /// The codes that could not be answered at an Ingress.
    pub fn inconclusive(&self, place: &str) -> Vec<&'static str> {
        self.diagnosed(place).unwrap().inconclusive.iter().map(|one| one.code).collect()
    }
}

/// The codes of all findings, and the verdict.
pub fn codes(diagnosis: &Diagnosis) -> (&'static str, Vec<&'static str>) {
    let codes = diagnosis.findings.iter().flat_map(|root| root.all()).map(|found| found.rule.code);
    (diagnosis.verdict.as_str(), codes.collect())
}
