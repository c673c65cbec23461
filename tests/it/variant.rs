//! A recorded world with one thing changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use ingress_diagnosis::diagnose::Diagnosis;
use ingress_diagnosis::snapshot::{Recording, Source, Unknown};
use serde_json::{Value, json};

use crate::world;

/// The folders that were read already.
static READ: Mutex<BTreeMap<String, Variant>> = Mutex::new(BTreeMap::new());

/// A recording, as JSON that a test may change. What the Container API said is left out.
#[derive(Clone)]
pub struct Variant {
    recording: Recording,
    pub kubernetes: Vec<Value>,
    pub compute: Value,
    pub probes: Vec<Value>,
}

impl Variant {
    /// A folder of `tests/scenarios`.
    pub fn of(name: &str) -> Self {
        READ.lock().unwrap().entry(name.to_owned()).or_insert_with(|| Self::read(name)).clone()
    }

    fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
        let mut recording = Recording { cluster: None, ..Recording::read(&folder).unwrap() };
        let probes = recording.probes.take().unwrap_or_default();
        Self {
            kubernetes: std::mem::take(&mut recording.kubernetes),
            compute: json!(recording.compute.take().unwrap()),
            probes: probes.iter().map(|probe| json!(probe)).collect(),
            recording,
        }
    }

    /// The objects of a kind in a namespace, by name.
    pub fn all(&mut self, kind: &str, namespace: &str) -> Vec<&mut Value> {
        let mut all: Vec<_> = self
            .kubernetes
            .iter_mut()
            .filter(|object| object["kind"] == kind && object["metadata"]["namespace"].as_str().unwrap_or_default() == namespace)
            .collect();
        all.sort_by_key(|object| object["metadata"]["name"].to_string());
        all
    }

    /// The first object of a kind in a namespace.
    pub fn one(&mut self, kind: &str, namespace: &str) -> &mut Value {
        self.all(kind, namespace).into_iter().next().unwrap()
    }

    /// The resources of a collection whose path holds `word`.
    pub fn resources(&mut self, collection: &str, word: &str) -> Vec<&mut Value> {
        let collection = format!("/{collection}/");
        let resources = self.compute["resources"].as_object_mut().unwrap();
        resources
            .iter_mut()
            .filter(|(path, _)| path.contains(&collection) && path.contains(word))
            .map(|(_, value)| value)
            .collect()
    }

    /// The only such resource.
    pub fn resource(&mut self, collection: &str, word: &str) -> &mut Value {
        let mut resources = self.resources(collection, word);
        assert_eq!(resources.len(), 1, "{collection} {word}");
        resources.pop().unwrap()
    }

    /// Gives every endpoint whose group or backend service holds `word` the state that `state` gives for its address and node.
    pub fn health(&mut self, word: &str, state: impl Fn(&str, &str) -> &'static str) {
        for (group, endpoints) in self.compute["endpoints"].as_object_mut().unwrap() {
            for endpoint in endpoints.as_array_mut().unwrap().iter_mut().filter(|_| group.contains(word)) {
                let (address, node) =
                    (endpoint["networkEndpoint"]["ipAddress"].clone(), endpoint["networkEndpoint"]["instance"].clone());
                for health in endpoint["healths"].as_array_mut().unwrap() {
                    health["healthState"] = state(address.as_str().unwrap(), node.as_str().unwrap()).into();
                }
            }
        }
        for (backend_service, groups) in self.compute["health"].as_object_mut().unwrap() {
            let entries = groups.as_object_mut().unwrap().values_mut().flat_map(|entries| entries.as_array_mut().unwrap());
            for entry in entries.filter(|_| backend_service.contains(word)) {
                let (address, node) = (entry["ipAddress"].clone(), entry["instance"].clone());
                entry["healthState"] =
                    state(address.as_str().unwrap(), node.as_str().unwrap().rsplit('/').next().unwrap()).into();
            }
        }
    }

    /// Every running pod of a namespace answers the same.
    pub fn answers(&mut self, namespace: &str, port: u16, path: &str, answer: &Value) {
        let pods: Vec<_> = self.all("Pod", namespace).into_iter().map(|pod| pod.clone()).collect();
        for pod in pods.iter().filter(|pod| pod["status"]["phase"] == "Running") {
            let name = format!("{namespace}/{}", pod["metadata"]["name"].as_str().unwrap());
            let mut probe =
                json!({"pod": name, "ip": pod["status"]["podIP"], "port": port, "scheme": "HTTP", "path": path, "host": ""});
            probe.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
            self.probes.push(probe);
        }
    }

    /// A BackendConfig of a Service.
    pub fn backend_config(&mut self, namespace: &str, service: &str, health_check: &Value) {
        let config = json!({
            "apiVersion": "cloud.google.com/v1", "kind": "BackendConfig",
            "metadata": {"name": "settings", "namespace": namespace, "uid": "f1f1f1f1-0000-4000-8000-000000000001"},
            "spec": {"healthCheck": health_check},
        });
        self.kubernetes.push(config);
        let named = self.all("Service", namespace).into_iter().find(|object| object["metadata"]["name"] == service).unwrap();
        named["metadata"]["annotations"]["cloud.google.com/backend-config"] = json!({"default": "settings"}).to_string().into();
    }

    /// A kind of Kubernetes objects that cannot be read.
    pub fn unreadable(&mut self, resource: &str) {
        self.recording.unreadable.push(Unknown::new(Source::Kubernetes, resource, "Forbidden", "forbidden"));
    }

    /// The moment of the snapshot, moved by seconds.
    pub fn moment(&self, seconds: i64) -> Value {
        (self.recording.taken_at + jiff::SignedDuration::from_secs(seconds)).to_string().into()
    }

    /// The diagnosis of a target `namespace/name`.
    pub fn diagnose(&self, target: &str) -> Diagnosis {
        let recording = Recording {
            kubernetes: self.kubernetes.clone(),
            compute: Some(serde_json::from_value(self.compute.clone()).unwrap()),
            probes: Some(self.probes.iter().map(|probe| serde_json::from_value(probe.clone()).unwrap()).collect()),
            ..self.recording.clone()
        };
        let (snapshot, malformed) = recording.snapshot().unwrap();
        assert!(malformed.is_empty(), "{malformed:?}");
        let is = |diagnosis: &Diagnosis| format!("{}/{}", diagnosis.target.namespace, diagnosis.target.name) == target;
        world::diagnoses(&snapshot).into_iter().find(is).unwrap()
    }

    /// The verdict, and every code in the order of the diagnosis: causes first, what hangs below them after a `<`.
    pub fn found(&self, target: &str) -> String {
        let diagnosis = self.diagnose(target);
        let mut words = vec![diagnosis.verdict.as_str().to_owned()];
        for root in &diagnosis.findings {
            words.push(root.found.rule.code.to_owned());
            words.extend(root.symptoms.iter().map(|found| format!("<{}", found.rule.code)));
        }
        words.join(" ")
    }
}
