//! A snapshot as a folder or as an archive of one: `meta.yaml`, `kubernetes.yaml`, `compute.json`, `cluster.json`, `probes.yaml`.
//!
//! Enters: the path of a folder or of a `.tar.gz`. Leaves: a [`Recording`], or the [`Snapshot`] and the objects that were passed over, or
//! one sentence that says what is wrong and where. Never: reads `expected.yaml`; never lets one malformed object stop the others.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::archive;
use super::compute::{HealthStatus, NetworkEndpoint};
use super::kubernetes::Malformed;
use super::observed::{Source, Unknown};
use super::recording::{RecordedCompute, Recording};
use super::{Cluster, Snapshot};

pub(super) const META: &str = "meta.yaml";
pub(super) const KUBERNETES: &str = "kubernetes.yaml";
pub(super) const COMPUTE: &str = "compute.json";
pub(super) const CLUSTER: &str = "cluster.json";
pub(super) const PROBES: &str = "probes.yaml";

/// The files of a snapshot. The first is written last: without it, nobody takes the folder for a snapshot.
pub(super) const FILES: [&str; 5] = [META, KUBERNETES, COMPUTE, CLUSTER, PROBES];

/// The texts of the files that there are, by name.
pub(super) type Texts = BTreeMap<&'static str, String>;

/// Why a folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is no such folder.
    #[error("there is no folder {0}: name a folder that `capture` wrote")]
    NoFolder(PathBuf),
    /// There is no such archive.
    #[error("there is no archive {0}: name one that `capture` wrote")]
    NoArchive(PathBuf),
    /// There is a file, and its name is not an archive's.
    #[error("{0} is a file: name a folder that `capture` wrote, or its .tar.gz")]
    NotAFolder(PathBuf),
    /// An archive is not what it should be.
    #[error("{path} {message}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
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

/// `meta.yaml`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MetaFile {
    pub(super) taken_at: Timestamp,
    #[serde(default)]
    pub(super) project: String,
    #[serde(default)]
    pub(super) cluster: MetaCluster,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unreadable: Vec<Unreadable>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct MetaCluster {
    pub(super) name: String,
    pub(super) location: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Unreadable {
    pub(super) source: Box<str>,
    pub(super) resource: Box<str>,
    #[serde(default)]
    pub(super) reason: Box<str>,
    #[serde(default)]
    pub(super) message: Box<str>,
}

/// The lists of `compute.json` in the types that they are decoded into: who cannot be decoded is found with its line.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ComputeLists {
    #[serde(rename = "endpoints")]
    _endpoints: BTreeMap<String, Vec<NetworkEndpoint>>,
    #[serde(rename = "health")]
    _health: BTreeMap<String, BTreeMap<String, Vec<HealthStatus>>>,
}

/// Reads a folder, or a `.tar.gz` of one.
pub fn load(path: &Path) -> Result<(Snapshot, Vec<Malformed>), FolderError> {
    let texts = texts(path)?;
    parse(path, &texts)?.into_snapshot().map_err(|error| in_its_line(path, &texts, error))
}

impl Recording {
    /// Reads a folder, or a `.tar.gz` of one, as it stands.
    pub fn read(path: &Path) -> Result<Self, FolderError> {
        parse(path, &texts(path)?)
    }
}

/// The files of a folder or of an archive.
fn texts(path: &Path) -> Result<Texts, FolderError> {
    if path.is_file() {
        return if archive::is_named(path) { archive::read(path) } else { Err(FolderError::NotAFolder(path.to_owned())) };
    }
    if !path.is_dir() {
        let absent = if archive::is_named(path) { FolderError::NoArchive } else { FolderError::NoFolder };
        return Err(absent(path.to_owned()));
    }
    let mut texts = Texts::new();
    for name in FILES {
        let file = path.join(name);
        match fs::read_to_string(&file) {
            Ok(text) => {
                texts.insert(name, text);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(FolderError::Read { path: file, error }),
        }
    }
    Ok(texts)
}

fn parse(root: &Path, texts: &Texts) -> Result<Recording, FolderError> {
    let required = |name: &str| texts.get(name).ok_or_else(|| FolderError::NoFile(root.join(name)));
    let path = root.join(META);
    let meta: MetaFile = yaml_documents(&path, required(META)?)?.pop().ok_or_else(|| FolderError::Value {
        path: path.clone(),
        place: "the file".into(),
        message: "it is empty, takenAt is needed".into(),
    })?;
    let kubernetes = yaml_documents(&root.join(KUBERNETES), required(KUBERNETES)?)?;
    let compute = texts.get(COMPUTE).map(|text| json::<RecordedCompute>(&root.join(COMPUTE), text)).transpose()?;
    let cluster = texts.get(CLUSTER).map(|text| json::<Value>(&root.join(CLUSTER), text)).transpose()?;
    let probes = texts.get(PROBES).map(|text| yaml_documents(&root.join(PROBES), text)).transpose()?;
    let unreadable = meta.unreadable.into_iter().map(|entry| unreadable(&path, entry)).collect::<Result<_, _>>()?;
    Ok(Recording {
        taken_at: meta.taken_at,
        project: meta.project,
        cluster_name: meta.cluster.name,
        cluster_location: meta.cluster.location,
        unreadable,
        kubernetes: kubernetes.into_iter().flat_map(one_by_one).collect(),
        compute,
        cluster,
        probes: probes.map(|documents: Vec<Vec<_>>| documents.into_iter().flatten().collect()),
    })
}

fn unreadable(path: &Path, entry: Unreadable) -> Result<Unknown, FolderError> {
    let source = Source::parse(&entry.source).ok_or_else(|| FolderError::Value {
        path: path.to_owned(),
        place: "unreadable".into(),
        message: format!("unknown source {:?}: kubernetes, compute, container or probe", entry.source),
    })?;
    Ok(Unknown::new(source, entry.resource, entry.reason, entry.message))
}

/// The objects of a List, or the object itself.
fn one_by_one(document: Value) -> Vec<Value> {
    match document {
        Value::Object(mut list)
            if list.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
                && list.get("items").is_some_and(Value::is_array) =>
        {
            match list.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        other => vec![other],
    }
}

/// What could not be decoded, with the file's line where the text tells it.
fn in_its_line(root: &Path, texts: &Texts, error: FolderError) -> FolderError {
    let FolderError::Value { path, place, message } = error else { return error };
    let file = root.join(&path);
    let found = match (path.to_str(), path.to_str().and_then(|name| texts.get(name))) {
        (Some(CLUSTER), Some(text)) => json::<Cluster>(&file, text).err(),
        (Some(COMPUTE), Some(text)) => json::<ComputeLists>(&file, text).err(),
        _ => None,
    };
    found.unwrap_or(FolderError::Value { path: file, place, message })
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
