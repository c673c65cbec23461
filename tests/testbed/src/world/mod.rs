//! A snapshot's folder as raw JSON.
//!
//! In: a folder. Out: values, exactly as recorded. Never interprets them: that is the product's
//! part, and must not be done here in the same way, or a mistake in it would go unnoticed.

mod copies;
mod health;
mod load;
mod merge;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use load::KeepAlive;

/// Everything that a snapshot's folder holds.
#[derive(Clone, Debug)]
pub struct World {
    /// When and where it was taken.
    pub meta: Meta,
    /// Kubernetes objects; a `List` is taken apart.
    pub objects: Vec<Value>,
    /// `compute.json`; `None` when it was not read.
    pub compute: Option<Compute>,
    /// `cluster.json`; `None` when it was not read.
    pub cluster: Option<Value>,
    /// `probes.yaml`; `None` when nothing was probed.
    pub probes: Option<Vec<Probe>>,
}

/// `meta.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// "Now" in this world.
    pub taken_at: Timestamp,
    /// The project.
    pub project: String,
    /// The cluster.
    pub cluster: Cluster,
    /// What was asked for and refused.
    #[serde(default)]
    pub unreadable: Vec<Unreadable>,
}

/// A cluster's name and place.
#[derive(Clone, Debug, Deserialize)]
pub struct Cluster {
    /// Name.
    pub name: String,
    /// Region or zone.
    pub location: String,
}

/// A kind of resource that could not be read.
#[derive(Clone, Debug, Deserialize)]
pub struct Unreadable {
    /// `kubernetes`, `compute` or `container`.
    pub source: String,
    /// The resource, as its API calls it.
    pub resource: String,
    /// The API's reason.
    #[serde(default)]
    pub reason: String,
    /// The API's message.
    #[serde(default)]
    pub message: String,
}

/// `compute.json`; keys are paths below `/compute/v1/`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compute {
    /// Resources as `get` returns them.
    pub resources: BTreeMap<String, Value>,
    /// `listNetworkEndpoints` by group.
    pub endpoints: BTreeMap<String, Vec<Value>>,
    /// `getHealth` by backend service, then group.
    pub health: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// What was refused.
    pub errors: BTreeMap<String, ComputeError>,
    /// `listInstances` by instance group.
    pub instances: BTreeMap<String, Vec<Value>>,
}

/// An error that the Compute API gave.
#[derive(Clone, Debug, Deserialize)]
pub struct ComputeError {
    /// HTTP status.
    pub code: u16,
    /// The first of `errors[].reason`.
    #[serde(default)]
    pub reason: String,
    /// The message.
    #[serde(default)]
    pub message: String,
}

/// One answer of `probes.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// `NAMESPACE/NAME` of the pod.
    pub pod: String,
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// `HTTP`, `HTTPS` or `TCP`.
    pub scheme: String,
    /// The path.
    pub path: String,
    /// The Host header; empty means the address.
    pub host: String,
    /// The answer's status ...
    pub status: Option<u16>,
    /// ... its Location ...
    pub location: Option<String>,
    /// ... and how long it took.
    pub latency_ms: Option<u64>,
    /// Or what went wrong.
    pub error: Option<String>,
    /// In which words.
    pub message: Option<String>,
}

impl World {
    /// Reads a folder. `meta.yaml` and `kubernetes.yaml` must be there.
    ///
    /// # Errors
    /// When a file cannot be read or does not have the form it should have; the message names it.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let required = |name: &str| file(folder, name)?.with_context(|| format!("{} is missing", folder.join(name).display()));
        Ok(Self {
            meta: yaml(&required("meta.yaml")?).with_context(|| in_file(folder, "meta.yaml"))?,
            objects: objects(&required("kubernetes.yaml")?).with_context(|| in_file(folder, "kubernetes.yaml"))?,
            compute: json(folder, "compute.json")?,
            cluster: json(folder, "cluster.json")?,
            probes: match file(folder, "probes.yaml")? {
                Some(text) => Some(yaml(&text).with_context(|| in_file(folder, "probes.yaml"))?),
                None => None,
            },
        })
    }

    /// The objects of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The namespaces that have objects in this world, without those of the system.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<String> {
        let own = self.of_kind("Namespace").map(|namespace| &namespace["metadata"]["name"]);
        let of_objects = self.objects.iter().map(|object| &object["metadata"]["namespace"]);
        own.chain(of_objects).filter_map(Value::as_str).filter(|name| !is_system(name)).map(str::to_owned).collect()
    }
}

/// Namespaces that every cluster has, and that the API server itself makes.
fn is_system(namespace: &str) -> bool {
    matches!(namespace, "default" | "kube-system" | "kube-public" | "kube-node-lease")
}

/// All objects of a manifest: several documents, and `List`s taken apart.
///
/// # Errors
/// When it is not YAML.
pub fn objects(manifest: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(manifest, options())?;
    let mut objects = Vec::new();
    for mut document in documents {
        let is_list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match document.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if is_list => objects.extend(items),
            Some(items) => {
                document["items"] = items;
                objects.push(document);
            }
            None => objects.push(document),
        }
    }
    Ok(objects)
}

/// YAML 1.2, and no limit: what is read here is our own.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { budget: None, strict_booleans: true, leading_zero_numbers_as_strings: true }
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T> {
    Ok(serde_saphyr::from_str_with_options(text, options())?)
}

fn json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>> {
    let Some(text) = file(folder, name)? else {
        return Ok(None);
    };
    serde_json::from_str(&text).map(Some).with_context(|| in_file(folder, name))
}

fn file(folder: &Path, name: &str) -> Result<Option<String>> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn in_file(folder: &Path, name: &str) -> String {
    format!("{} is not as it should be", folder.join(name).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

    #[test]
    fn a_folder_is_read_as_it_is() {
        let world = World::read(data("shop")).unwrap();
        assert_eq!(world.meta.project, "acme-prod");
        assert!(world.of_kind("Ingress").count() >= 1);
        assert!(world.namespaces().contains("shop"));
        assert!(!world.namespaces().contains("kube-system"));
        let node = world.of_kind("Node").next().unwrap();
        assert_eq!(node["status"]["conditions"][0]["status"], "False", "a quoted word stays a text");
    }

    #[test]
    fn lists_are_taken_apart() {
        let text =
            "apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n- {kind: B}\n---\nkind: C\n---\n\n---\nkind: D\nitems: [x]\n";
        let kinds: Vec<String> =
            objects(text).unwrap().iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["A", "B", "C", "D"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(World::read(folder.path()).unwrap_err().to_string().ends_with("meta.yaml is missing"));
    }
}
