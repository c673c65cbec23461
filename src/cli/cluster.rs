//! Which cluster is meant: flags as kubectl has them.
//!
//! Enters: flags, the kubeconfig, the service account of a pod. Leaves: how to reach the API server, and the namespace. Never: asks it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::collect::with_sources;

/// Whoever waits at a prompt is told sooner that nobody answers.
const CONNECT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct ClusterArgs {
    /// The kubeconfig, in the place of KUBECONFIG and ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context, in the place of its current one
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// The namespace, in the place of the context's
    #[arg(short, long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(super) all_namespaces: bool,
}

/// A cluster that is meant.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) kube: kube::Config,
    /// The context's name; `None` in a pod.
    pub(super) context: Option<String>,
}

/// Why no cluster is meant.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClusterError {
    #[error(
        "there is no kubeconfig and this is no pod: name one with --kubeconfig, make one with `gcloud container clusters get-credentials`, \
         or name a snapshot folder, which is written with a /"
    )]
    Nothing,
    #[error("the kubeconfig {path} cannot be read: {why}")]
    Read { path: String, why: String },
    #[error("there is no context {name:?} in the kubeconfig {path}, it has {known}")]
    NoContext { name: String, path: String, known: String },
    #[error("the kubeconfig {path} has no current context: name one with --context, it has {known}")]
    NoCurrent { path: String, known: String },
    #[error("the context {name:?} of the kubeconfig {path} cannot be used: {why}")]
    Context { name: String, path: String, why: String },
    #[error("this pod's service account cannot be used: {0}")]
    Pod(String),
}

impl ClusterArgs {
    /// Finds the cluster as kubectl does: the flag, KUBECONFIG, ~/.kube/config, else the pod's own.
    pub(super) async fn find(&self) -> Result<Cluster, ClusterError> {
        let (kubeconfig, path) = match &self.kubeconfig {
            Some(path) => (Kubeconfig::read_from(path), path.display().to_string()),
            None if is_there() => (Kubeconfig::read(), named()),
            None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && self.context.is_none() => {
                let kube = kube::Config::incluster().map_err(|error| ClusterError::Pod(error.to_string()))?;
                return Ok(Cluster { kube, context: None });
            }
            None => return Err(ClusterError::Nothing),
        };
        let kubeconfig = kubeconfig.map_err(|error| ClusterError::Read { path: path.clone(), why: words(&error) })?;
        let known = known(&kubeconfig);
        let current = kubeconfig.current_context.clone().filter(|name| !name.is_empty());
        let Some(name) = self.context.clone().or(current) else { return Err(ClusterError::NoCurrent { path, known }) };
        if !kubeconfig.contexts.iter().any(|context| context.name == name) {
            return Err(ClusterError::NoContext { name, path, known });
        }
        let options = KubeConfigOptions { context: Some(name.clone()), ..KubeConfigOptions::default() };
        match kube::Config::from_custom_kubeconfig(kubeconfig, &options).await {
            Ok(mut kube) => {
                kube.connect_timeout = Some(CONNECT);
                Ok(Cluster { kube, context: Some(name) })
            }
            Err(error) => Err(ClusterError::Context { name, path, why: words(&error) }),
        }
    }

    /// The namespace that is meant; `None`: all.
    pub(super) fn namespace(&self, cluster: &Cluster) -> Option<String> {
        if self.all_namespaces {
            return None;
        }
        Some(self.namespace.clone().unwrap_or_else(|| cluster.kube.default_namespace.clone()))
    }
}

/// Whether there is a kubeconfig in one of its usual places. An empty variable counts as none.
fn is_there() -> bool {
    let variable = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    variable.is_some() || usual().is_some_and(|path| path.exists())
}

fn usual() -> Option<PathBuf> {
    Some(std::env::home_dir()?.join(".kube/config"))
}

fn named() -> String {
    let variable = std::env::var("KUBECONFIG").ok().filter(|value| !value.is_empty());
    variable.or_else(|| Some(usual()?.display().to_string())).unwrap_or_default()
}

fn known(kubeconfig: &Kubeconfig) -> String {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|context| &*context.name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// One line, without the path, which is said already.
fn words(error: &KubeconfigError) -> String {
    let text = match error {
        KubeconfigError::ReadConfig(why, _) => why.to_string(),
        KubeconfigError::Parse(why) => why.to_string(),
        error => with_sources(error),
    };
    text.lines().next().unwrap_or_default().to_owned()
}
