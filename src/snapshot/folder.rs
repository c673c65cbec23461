//! A snapshot as a folder: `meta.yaml`, `kubernetes.yaml`, `compute.json`, `cluster.json`, `probes.yaml`.
//!
//! Enters: the path of a folder. Leaves: a [`Snapshot`] and the objects that were passed over, or one sentence that says what is wrong
//! and where. Never: reads `expected.yaml`; never lets one malformed object stop the others.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::compute::{ApiError, HealthStatus, NetworkEndpoint, normalise, short_name};
use super::kubernetes::Malformed;
use super::observed::{Observed, Source, Unknown};
use super::probe::ProbeAnswer;
use super::{Cluster, Compute, Kubernetes, Meta, Probes, Snapshot};

/// Why a folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is no such folder.
    #[error("there is no folder {0}: name a folder that `capture` wrote")]
    NoFolder(PathBuf),
    /// A required file is absent.
    #[error("{0} is absent: a snapshot folder needs meta.yaml and kubernetes.yaml")]
    NoFile(PathBuf),
    /// A file could not be read.
    #[error("{path} cannot be read: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file does not have the right form.
    #[error("{path}:{line}:{column}: {message}")]
    Form {
        /// The file.
        path: PathBuf,
        /// One-based line.
        line: u64,
        /// One-based column.
        column: u64,
        /// What is wrong.
        message: String,
    },
    /// A value does not have the right form, and no line is known.
    #[error("{path}: {place}: {message}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// What is wrong.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MetaFile {
    taken_at: Timestamp,
    #[serde(default)]
    project: Box<str>,
    #[serde(default)]
    cluster: MetaCluster,
    #[serde(default)]
    unreadable: Vec<Unreadable>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MetaCluster {
    name: Box<str>,
    location: Box<str>,
}

#[derive(Deserialize)]
struct Unreadable {
    source: Box<str>,
    resource: Box<str>,
    #[serde(default)]
    reason: Box<str>,
    #[serde(default)]
    message: Box<str>,
}

#[derive(Deserialize)]
struct ComputeFile {
    #[serde(default)]
    resources: BTreeMap<Box<str>, serde_json::Value>,
    #[serde(default)]
    endpoints: BTreeMap<Box<str>, Vec<NetworkEndpoint>>,
    #[serde(default)]
    health: BTreeMap<Box<str>, BTreeMap<Box<str>, Vec<HealthStatus>>>,
    #[serde(default)]
    errors: BTreeMap<Box<str>, ApiError>,
    #[serde(default)]
    instances: BTreeMap<Box<str>, Vec<Box<str>>>,
}

/// Reads a folder.
pub fn load(folder: &Path) -> Result<(Snapshot, Vec<Malformed>), FolderError> {
    if !folder.is_dir() {
        return Err(FolderError::NoFolder(folder.to_owned()));
    }
    let meta_path = folder.join("meta.yaml");
    let meta: MetaFile = yaml_documents(&meta_path, &required(&meta_path)?)?.pop().ok_or_else(|| FolderError::Value {
        path: meta_path.clone(),
        place: "the file".into(),
        message: "it is empty, takenAt is needed".into(),
    })?;

    let path = folder.join("kubernetes.yaml");
    let (mut kubernetes, malformed) = kubernetes(yaml_documents(&path, &required(&path)?)?);

    let path = folder.join("compute.json");
    let mut compute = match optional(&path)? {
        Some(text) => compute(&path, json(&path, &text)?, &meta.project)?,
        None => Compute::default(),
    };

    let path = folder.join("cluster.json");
    let mut cluster = match optional(&path)? {
        Some(text) => Observed::Present(json::<Cluster>(&path, &text)?),
        None => Observed::default(),
    };

    let path = folder.join("probes.yaml");
    let mut probes = Probes::default();
    if let Some(text) = optional(&path)? {
        probes.asked = true;
        for answer in yaml_documents::<Vec<ProbeAnswer>>(&path, &text)?.into_iter().flatten() {
            probes.insert(answer);
        }
    }

    for entry in meta.unreadable {
        let source = Source::parse(&entry.source).ok_or_else(|| FolderError::Value {
            path: meta_path.clone(),
            place: "unreadable".into(),
            message: format!("unknown source {:?}: kubernetes, compute, container or probe", entry.source),
        })?;
        let why = Unknown { source, resource: entry.resource.clone(), reason: entry.reason, message: entry.message };
        match source {
            Source::Kubernetes => {
                kubernetes.mark_unread(&entry.resource, &why.reason, &why.message);
            }
            Source::Compute => {
                compute.unread.insert(entry.resource, why);
            }
            Source::Container => cluster = Observed::Unknown(why),
            Source::Probe => probes = Probes::default(),
        }
    }

    let meta = Meta {
        taken_at: meta.taken_at,
        project: meta.project,
        cluster_name: meta.cluster.name,
        cluster_location: meta.cluster.location,
    };
    Ok((Snapshot { meta, kubernetes, compute, cluster, probes }, malformed))
}

fn kubernetes(documents: Vec<serde_json::Value>) -> (Kubernetes, Vec<Malformed>) {
    let mut kubernetes = Kubernetes::default();
    let mut malformed = Vec::new();
    for document in documents {
        let objects = match document {
            serde_json::Value::Object(mut list)
                if list.get("kind").and_then(|kind| kind.as_str()).is_some_and(|kind| kind.ends_with("List"))
                    && list.get("items").is_some_and(serde_json::Value::is_array) =>
            {
                match list.remove("items") {
                    Some(serde_json::Value::Array(items)) => items,
                    _ => Vec::new(),
                }
            }
            other => vec![other],
        };
        for object in objects {
            malformed.extend(kubernetes.insert_json(object).err());
        }
    }
    malformed.sort_by(|a, b| (&a.kind, &a.namespace, &a.name).cmp(&(&b.kind, &b.namespace, &b.name)));
    (kubernetes, malformed)
}

fn compute(path: &Path, file: ComputeFile, project: &str) -> Result<Compute, FolderError> {
    let mut compute = Compute { read: true, errors: file.errors, ..Compute::default() };
    for (key, resource) in file.resources {
        compute.insert_json(&key, resource).map_err(|error| FolderError::Value {
            path: path.to_owned(),
            place: format!("resources.{key:?}"),
            message: error.to_string(),
        })?;
    }
    for (group, endpoints) in file.endpoints {
        compute.endpoints.insert(normalise(&group, project).into(), Arc::new(endpoints));
    }
    for (backend_service, groups) in file.health {
        let held = compute.health.entry(normalise(&backend_service, project).into()).or_default();
        for (group, health) in groups {
            held.insert(normalise(&group, project).into(), Arc::new(health));
        }
    }
    for (group, instances) in file.instances {
        let names = instances.iter().map(|link| short_name(link).into()).collect();
        compute.instances.insert(normalise(&group, project).into(), names);
    }
    Ok(compute)
}

fn required(path: &Path) -> Result<String, FolderError> {
    optional(path)?.ok_or_else(|| FolderError::NoFile(path.to_owned()))
}

fn optional(path: &Path) -> Result<Option<String>, FolderError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FolderError::Read { path: path.to_owned(), error }),
    }
}

/// Reads every document of a YAML file; the error names file and line.
pub fn yaml_documents<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>, FolderError> {
    let mut options = serde_saphyr::Options::default();
    // Our own files may be large; the parser's budget is made for untrusted input of a few kilobytes.
    options.budget = None;
    options.with_snippet = false;
    options.strict_booleans = true;
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        // The parser repeats the place in its text; the first line says what is wrong.
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        let message = message.split(" at line ").next().unwrap_or(message);
        FolderError::Form { path: path.to_owned(), line, column, message: message.to_owned() }
    })
}

fn json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FolderError> {
    serde_json::from_str(text).map_err(|error| FolderError::Form {
        path: path.to_owned(),
        line: error.line() as u64,
        column: error.column() as u64,
        message: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    })
}
