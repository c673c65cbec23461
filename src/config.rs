//! The settings: `config/default.yaml`, a file laid over it key by key, `--set KEY=VALUE` over both.
//!
//! Enters: a path and assignments. Leaves: [`Config`], or one sentence that names the setting that is wrong.
//! Never: takes a setting that it does not know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::collect::{CredentialsMode, ProbeSettings, Settings};
use crate::snapshot::folder::{FolderError, yaml_documents};
use crate::topology::Grace;

/// Every setting with its default and its meaning.
pub const DEFAULT: &str = include_str!("../config/default.yaml");

/// Keys below which any key is allowed.
const OPEN: [&str; 1] = ["probe.connectTo"];

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Google Cloud project.
    pub project: String,
    /// The cluster.
    pub cluster: ClusterConfig,
    /// The Compute API.
    pub compute: ComputeConfig,
    /// The Container API.
    pub container: ContainerConfig,
    /// Which credentials Google's APIs get.
    pub credentials: Credentials,
    /// The in-cluster probe.
    pub probe: ProbeConfig,
    /// Where metrics and health are served.
    pub server: ServerConfig,
    /// Who writes.
    pub leader_election: LeaderElectionConfig,
    /// Events on the targets.
    pub events: EventsConfig,
    /// Where the pages of the rules are.
    pub docs: DocsConfig,
    /// The waiting times.
    pub grace: Grace,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Its name.
    pub name: String,
    /// Its region or zone.
    pub location: String,
}

/// The Compute API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComputeConfig {
    /// Where it is.
    pub endpoint: String,
    /// Requests within any minute.
    pub reads_per_minute: u32,
}

/// The Container API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerConfig {
    /// Where it is.
    pub endpoint: String,
}

/// Which credentials Google's APIs get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Credentials {
    /// Application default credentials or Workload Identity.
    Default,
    /// None, for stand-ins.
    Anonymous,
}

/// The in-cluster probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeConfig {
    /// Whether pods are asked.
    pub enabled: bool,
    /// Namespaces whose pods are not asked.
    pub exclude_namespaces: Vec<String>,
    /// Where connections to `IP:PORT` are made instead, as `HOST:PORT`.
    pub connect_to: BTreeMap<String, String>,
}

/// Where metrics and health are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port.
    pub listen: String,
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaderElectionConfig {
    /// False: this process writes, whoever else does.
    pub enabled: bool,
    /// Namespace of the Lease; empty: the pod's.
    pub namespace: String,
    /// Name of the Lease.
    pub lease_name: String,
}

/// Events on the targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    /// Whether they are written.
    pub enabled: bool,
}

/// Where the pages of the rules are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DocsConfig {
    /// Base of the links; empty: no links.
    pub base_url: String,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the settings file {path} cannot be read: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not YAML.
    #[error("the settings file is not understood: {0}")]
    Form(#[from] FolderError),
    /// A key that is not known.
    #[error("{place}: unknown setting {key:?}, the settings here are: {known}")]
    Unknown {
        /// The file, or `--set`.
        place: String,
        /// The key.
        key: String,
        /// What is known beside it.
        known: String,
    },
    /// A value of the wrong form.
    #[error("{place}: setting {key:?} {message}")]
    Value {
        /// The file, or `--set`.
        place: String,
        /// The key.
        key: String,
        /// What is wrong.
        message: String,
    },
}

impl Config {
    /// The defaults, the file over them, the assignments over both.
    pub fn load(file: Option<&Path>, assignments: &[String]) -> Result<Self, ConfigError> {
        let mut settings = defaults()?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
            for document in yaml_documents::<Value>(path, &text)? {
                overlay(&mut settings, document, "", &path.display().to_string())?;
            }
        }
        for assignment in assignments {
            let Some((key, value)) = assignment.split_once('=') else {
                let message = "has no value: write --set KEY=VALUE".to_owned();
                return Err(ConfigError::Value { place: "--set".into(), key: assignment.clone(), message });
            };
            let nested = nest(key, value, &settings);
            overlay(&mut settings, nested, "", "--set")?;
        }
        serde_json::from_value(settings).map_err(|error| ConfigError::Value {
            place: "the settings".into(),
            key: String::new(),
            message: error.to_string(),
        })
    }

    /// What the collector needs.
    pub fn collect(&self) -> Settings {
        Settings {
            project: self.project.clone(),
            cluster_name: self.cluster.name.clone(),
            cluster_location: self.cluster.location.clone(),
            namespace: None,
            compute_endpoint: self.compute.endpoint.clone(),
            reads_per_minute: self.compute.reads_per_minute,
            container_endpoint: self.container.endpoint.clone(),
            credentials: match self.credentials {
                Credentials::Default => CredentialsMode::Default,
                Credentials::Anonymous => CredentialsMode::Anonymous,
            },
            probe: ProbeSettings {
                enabled: self.probe.enabled,
                exclude_namespaces: self.probe.exclude_namespaces.clone(),
                connect_to: self.probe.connect_to.clone(),
            },
        }
    }
}

fn defaults() -> Result<Value, ConfigError> {
    Ok(yaml_documents::<Value>(Path::new("config/default.yaml"), DEFAULT)?.pop().unwrap_or_default())
}

/// `a.b=c` as nested maps. Below an open key the rest of the path is one key, dots and all.
fn nest(path: &str, value: &str, settings: &Value) -> Value {
    let open = OPEN.iter().find_map(|open| Some((*open, path.strip_prefix(open)?.strip_prefix('.')?)));
    let (parents, last) = match open {
        Some((open, last)) => (open, Some(last)),
        None => (path, None),
    };
    let present = settings.pointer(&format!("/{}", parents.replace('.', "/")));
    let scalar = match present {
        Some(Value::String(_)) => Value::String(value.to_owned()),
        _ if last.is_some() => Value::String(value.to_owned()),
        _ => yaml_documents::<Value>(Path::new("--set"), value)
            .ok()
            .and_then(|mut documents| documents.pop())
            .unwrap_or_else(|| Value::String(value.to_owned())),
    };
    let keys = parents.split('.').chain(last);
    keys.rev().fold(scalar, |value, key| Value::Object([(key.to_owned(), value)].into_iter().collect()))
}

fn overlay(settings: &mut Value, over: Value, path: &str, place: &str) -> Result<(), ConfigError> {
    let wrong = |message: String| ConfigError::Value { place: place.to_owned(), key: path.to_owned(), message };
    match (settings, over) {
        (Value::Object(settings), Value::Object(over)) => {
            for (key, value) in over {
                if OPEN.contains(&path) {
                    settings.insert(key, value);
                    continue;
                }
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let known = settings.keys().cloned().collect::<Vec<_>>().join(", ");
                let Some(present) = settings.get_mut(&key) else {
                    return Err(ConfigError::Unknown { place: place.to_owned(), key: path, known });
                };
                overlay(present, value, &path, place)?;
            }
            Ok(())
        }
        (Value::Object(_), Value::Null) => Ok(()),
        (Value::Object(_), other) => Err(wrong(format!("is a group of settings, not {other}"))),
        (present, value) => {
            let candidate = match (&*present, &value) {
                (Value::String(_), Value::Number(number)) => Value::String(number.to_string()),
                _ => value,
            };
            if std::mem::discriminant(present) != std::mem::discriminant(&candidate) {
                let wanted = match present {
                    Value::Bool(_) => "true or false",
                    Value::Number(_) => "a number",
                    Value::Array(_) => "a list",
                    _ => "a text",
                };
                return Err(wrong(format!("must be {wanted}, not {candidate}")));
            }
            check(path, &candidate).map_err(wrong)?;
            *present = candidate;
            Ok(())
        }
    }
}

/// Values that have a form of their own, so that the words name the setting.
fn check(path: &str, value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    match path {
        "credentials" if !matches!(text, "default" | "anonymous") => Err(format!("must be default or anonymous, not {text:?}")),
        "compute.readsPerMinute" if !value.as_u64().is_some_and(|reads| (1..=100_000).contains(&reads)) => {
            Err(format!("must be a whole number from 1 to 100000, not {value}"))
        }
        "probe.excludeNamespaces" if !value.as_array().is_some_and(|names| names.iter().all(Value::is_string)) => {
            Err(format!("must be a list of names, not {value}"))
        }
        "server.listen" if text.parse::<std::net::SocketAddr>().is_err() => Err(format!("must be ADDRESS:PORT, not {text:?}")),
        "compute.endpoint" | "container.endpoint" if !(text.starts_with("http://") || text.starts_with("https://")) => {
            Err(format!("must be an http:// or https:// address, not {text:?}"))
        }
        _ if path.starts_with("grace.") => match text.parse::<jiff::SignedDuration>() {
            Ok(duration) if !duration.is_negative() => Ok(()),
            _ => Err(format!("must be a time like 90s or 10m, not {text:?}")),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(assignments: &[&str]) -> Result<Config, ConfigError> {
        Config::load(None, &assignments.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_defaults_are_complete() {
        let config = set(&[]).unwrap();
        assert_eq!(config.compute.reads_per_minute, 150);
        assert_eq!(config.grace, Grace::default());
        assert_eq!(config.collect().compute_endpoint, Settings::default().compute_endpoint);
    }

    #[test]
    fn assignments_reach_every_depth() {
        let config = set(&[
            "compute.readsPerMinute=20",
            "project=123",
            "probe.connectTo.10.4.0.5:8080=127.0.0.1:9",
            "grace.rollout=90s",
            "probe.excludeNamespaces=[media, shop]",
        ])
        .unwrap();
        assert_eq!(config.collect().probe.exclude_namespaces, ["media", "shop"]);
        assert_eq!((config.compute.reads_per_minute, &*config.project), (20, "123"));
        assert_eq!(config.probe.connect_to["10.4.0.5:8080"], "127.0.0.1:9");
        assert_eq!(config.grace.rollout, jiff::SignedDuration::from_secs(90));
    }

    #[test]
    fn a_file_may_hold_keys_with_dots_below_an_open_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "probe: {connectTo: {\"10.4.0.5:8080\": \"127.0.0.1:9\"}}\n").unwrap();
        let config = Config::load(Some(file.path()), &[]).unwrap();
        assert_eq!(config.probe.connect_to["10.4.0.5:8080"], "127.0.0.1:9");
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        for (assignment, says) in [
            ("compute.reads=1", "--set: unknown setting \"compute.reads\", the settings here are: endpoint, readsPerMinute"),
            ("compute.readsPerMinute=many", "setting \"compute.readsPerMinute\" must be a number, not \"many\""),
            ("compute.readsPerMinute=0", "must be a whole number from 1 to 100000"),
            ("probe.enabled=maybe", "must be true or false"),
            ("probe.excludeNamespaces=media", "must be a list, not \"media\""),
            ("probe.excludeNamespaces=[1]", "must be a list of names, not [1]"),
            ("grace.rollout=soon", "must be a time like 90s or 10m"),
            ("project", "has no value: write --set KEY=VALUE"),
            ("cluster=x", "is a group of settings"),
            ("server.listen=8080", "must be ADDRESS:PORT"),
        ] {
            let error = set(&[assignment]).unwrap_err().to_string();
            assert!(error.contains(says), "{assignment}: {error}");
        }
    }
}
