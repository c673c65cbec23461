//! A snapshot before it is decoded: what the servers said, verbatim.
//!
//! Enters: objects and resources as JSON, from a folder ([`super::folder`]) or from a live cluster. Leaves: a [`Snapshot`] and the
//! objects that were passed over. Never: reads or writes a file; drops a field that no rule reads, so that a later version can read it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compute::{ApiError, HealthStatus, NetworkEndpoint, normalise, short_name};
use super::fields;
use super::folder::{CLUSTER, COMPUTE, FolderError};
use super::kubernetes::Malformed;
use super::observed::{Observed, Source, Unknown};
use super::probe::ProbeAnswer;
use super::{Cluster, Compute, Kubernetes, Meta, Probes, Snapshot};

/// What a snapshot folder holds, verbatim.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recording {
    /// "Now" for every age in it.
    pub taken_at: Timestamp,
    /// Google Cloud project of the cluster; empty when it is not known.
    pub project: String,
    /// Name of the cluster; empty when it is not known.
    pub cluster_name: String,
    /// Region or zone of the cluster; empty when it is not known.
    pub cluster_location: String,
    /// What was asked for and refused.
    pub unreadable: Vec<Unknown>,
    /// Objects as the API server returned them, one by one.
    pub kubernetes: Vec<Value>,
    /// What the Compute API said; `None` when it was not read at all.
    pub compute: Option<RecordedCompute>,
    /// What the Container API said; `None` when it was not read at all.
    pub cluster: Option<Value>,
    /// What endpoints answered; `None` when they were not asked.
    pub probes: Option<Vec<ProbeAnswer>>,
}

/// What the Compute API said, as `compute.json` holds it: keys are paths below `/compute/v1/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedCompute {
    /// Resources as `get` returns them.
    pub resources: BTreeMap<String, Value>,
    /// `listNetworkEndpoints`, by group.
    pub endpoints: BTreeMap<String, Vec<Value>>,
    /// `getHealth`, by backend service, then group.
    pub health: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// What was refused, by collection, resource, or resource and method.
    pub errors: BTreeMap<String, ApiError>,
    /// `listInstances`, by group: links.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, Vec<String>>,
}

impl Recording {
    /// Decodes it. An object of Kubernetes that cannot be decoded is passed over and returned; a malformed answer of Google is an error.
    pub fn snapshot(&self) -> Result<(Snapshot, Vec<Malformed>), FolderError> {
        self.clone().into_snapshot()
    }

    /// The same, for whoever needs the recording no longer.
    pub fn into_snapshot(self) -> Result<(Snapshot, Vec<Malformed>), FolderError> {
        let (mut kubernetes, malformed) = kubernetes(self.kubernetes);
        let mut compute = match self.compute {
            Some(compute) => compute.decode(&self.project)?,
            None => Compute::default(),
        };
        let mut cluster = match self.cluster {
            Some(cluster) => Observed::Present(decode::<Cluster>(CLUSTER, || "the answer".into(), cluster)?),
            None => Observed::default(),
        };
        let mut probes = Probes::default();
        if let Some(answers) = self.probes {
            probes.asked = true;
            answers.into_iter().for_each(|answer| probes.insert(answer));
        }
        for why in self.unreadable {
            match why.source {
                Source::Kubernetes => {
                    kubernetes.mark_unread(&why.resource, &why.reason, &why.message);
                }
                Source::Compute => {
                    compute.unread.insert(why.resource.clone(), why);
                }
                Source::Container => cluster = Observed::Unknown(why),
                Source::Probe => probes = Probes::default(),
            }
        }
        let meta = Meta {
            taken_at: self.taken_at,
            project: self.project.into(),
            cluster_name: self.cluster_name.into(),
            cluster_location: self.cluster_location.into(),
        };
        Ok((Snapshot { meta, kubernetes, compute, cluster, probes }, malformed))
    }
}

impl Recording {
    /// The same without the fields, objects and resources that no rule reads. An object of Kubernetes that cannot be decoded stays one, with
    /// nothing but its name; what cannot be decoded of Google's is left out.
    pub fn known_fields(&self) -> Self {
        let known = |object: &Value| Kubernetes::known_fields(object).or_else(|| undecodable(object));
        let compute = self.compute.as_ref().map(RecordedCompute::known_fields);
        let cluster = self.cluster.as_ref().map(|cluster| fields::known::<Cluster>(cluster).unwrap_or_default());
        Self { kubernetes: self.kubernetes.iter().filter_map(known).collect(), compute, cluster, ..self.clone() }
    }
}

/// An object that cannot be decoded, with its name alone; `None` for one that can, or whose kind is not read.
fn undecodable(object: &Value) -> Option<Value> {
    let malformed = Kubernetes::default().insert_json(object.clone()).err()?;
    let metadata = serde_json::json!({"name": malformed.name, "namespace": malformed.namespace});
    Some(
        serde_json::json!({"apiVersion": object["apiVersion"], "kind": malformed.kind, "metadata": metadata, "spec": 0, "status": 0}),
    )
}

fn kubernetes(objects: Vec<Value>) -> (Kubernetes, Vec<Malformed>) {
    let mut kubernetes = Kubernetes::default();
    let mut malformed: Vec<_> = objects.into_iter().filter_map(|object| kubernetes.insert_json(object).err()).collect();
    malformed.sort();
    (kubernetes, malformed)
}

impl RecordedCompute {
    fn known_fields(&self) -> Self {
        let resource = |(path, resource): (&String, &Value)| Some((path.clone(), Compute::known_fields(path, resource)?));
        let endpoints = |(group, held): (&String, &Vec<Value>)| (group.clone(), known_all::<NetworkEndpoint>(held));
        let health = |(backend_service, groups): (&String, &BTreeMap<String, Vec<Value>>)| {
            let groups = groups.iter().map(|(group, held)| (group.clone(), known_all::<HealthStatus>(held)));
            (backend_service.clone(), groups.collect())
        };
        Self {
            resources: self.resources.iter().filter_map(resource).collect(),
            endpoints: self.endpoints.iter().map(endpoints).collect(),
            health: self.health.iter().map(health).collect(),
            ..self.clone()
        }
    }

    fn decode(self, project: &str) -> Result<Compute, FolderError> {
        let errors = self.errors.into_iter().map(|(path, error)| (path.into(), error)).collect();
        let mut compute = Compute { read: true, errors, ..Compute::default() };
        for (key, resource) in self.resources {
            compute.insert_json(&key, resource).map_err(|error| wrong(COMPUTE, format!("resources.{key:?}"), &error))?;
        }
        for (group, endpoints) in self.endpoints {
            let endpoints = decode_all(&format!("endpoints.{group:?}"), endpoints)?;
            compute.endpoints.insert(normalise(&group, project).into(), Arc::new(endpoints));
        }
        for (backend_service, groups) in self.health {
            let held = compute.health.entry(normalise(&backend_service, project).into()).or_default();
            for (group, health) in groups {
                let health = decode_all(&format!("health.{backend_service:?}.{group:?}"), health)?;
                held.insert(normalise(&group, project).into(), Arc::new(health));
            }
        }
        for (group, instances) in self.instances {
            let names = instances.iter().map(|link| short_name(link).into()).collect();
            compute.instances.insert(normalise(&group, project).into(), names);
        }
        Ok(compute)
    }
}

fn known_all<T: DeserializeOwned>(values: &[Value]) -> Vec<Value> {
    values.iter().filter_map(fields::known::<T>).collect()
}

fn decode_all<T: DeserializeOwned>(place: &str, values: Vec<Value>) -> Result<Vec<T>, FolderError> {
    values.into_iter().enumerate().map(|(at, value)| decode(COMPUTE, || format!("{place}[{at}]"), value)).collect()
}

fn decode<T: DeserializeOwned>(file: &str, place: impl Fn() -> String, value: Value) -> Result<T, FolderError> {
    serde_json::from_value(value).map_err(|error| wrong(file, place(), &error))
}

fn wrong(file: &str, place: String, error: &serde_json::Error) -> FolderError {
    FolderError::Value { path: PathBuf::from(file), place, message: error.to_string() }
}
