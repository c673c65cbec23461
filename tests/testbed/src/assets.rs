//! The binaries of the Kubernetes API server and of etcd, and those of Prometheus.
//!
//! In: the environment. Out: executable files. Never builds twice at once, and never leaves a
//! half-made folder.
//!
//! Looked for in this order: `KUBEBUILDER_ASSETS` (the convention of controller tests) or
//! `PROMETHEUS_ASSETS`, the cache folder, and `go build` of the pinned Go module in
//! `assets/kubernetes` or `assets/prometheus`, which fills the cache folder.

mod module;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use module::{Binary, Module};

const KUBERNETES: Module = Module {
    name: "kubernetes",
    pinned: "k8s.io/kubernetes",
    variable: "KUBEBUILDER_ASSETS",
    minutes: "four",
    files: [
        ("go.mod", include_str!("../assets/kubernetes/go.mod")),
        ("go.sum", include_str!("../assets/kubernetes/go.sum")),
        ("tools.go", include_str!("../assets/kubernetes/tools.go")),
    ],
    binaries: [
        Binary { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver", flags: named },
        Binary { name: "etcd", package: "go.etcd.io/etcd/server/v3", flags: plain },
    ],
};

const PROMETHEUS: Module = Module {
    name: "prometheus",
    pinned: "github.com/prometheus/prometheus",
    variable: "PROMETHEUS_ASSETS",
    minutes: "two",
    files: [
        ("go.mod", include_str!("../assets/prometheus/go.mod")),
        ("go.sum", include_str!("../assets/prometheus/go.sum")),
        ("tools.go", include_str!("../assets/prometheus/tools.go")),
    ],
    binaries: [
        Binary { name: "prometheus", package: "github.com/prometheus/prometheus/cmd/prometheus", flags: undiscovering },
        Binary { name: "promtool", package: "github.com/prometheus/prometheus/cmd/promtool", flags: undiscovering },
    ],
};

/// Where the Kubernetes API server is.
#[derive(Clone, Debug)]
pub struct Assets {
    /// The Kubernetes API server.
    pub kube_apiserver: PathBuf,
    /// Its store.
    pub etcd: PathBuf,
}

impl Assets {
    /// Finds the binaries, or builds them once (about four minutes on two cores), with progress on
    /// standard error.
    ///
    /// # Errors
    /// When they are nowhere and cannot be built; the message says what to install.
    pub fn locate() -> Result<Self> {
        let [kube_apiserver, etcd] = KUBERNETES.locate(&environment, "go".as_ref())?;
        Ok(Self { kube_apiserver, etcd })
    }
}

/// Where Prometheus is.
#[derive(Clone, Debug)]
pub struct PrometheusAssets {
    /// The server.
    pub prometheus: PathBuf,
    /// What checks rules and metrics without a server.
    pub promtool: PathBuf,
}

impl PrometheusAssets {
    /// Finds the binaries, or builds them once (about two minutes on two cores), with progress on
    /// standard error.
    ///
    /// # Errors
    /// When they are nowhere and cannot be built; the message says what to install.
    pub fn locate() -> Result<Self> {
        let [prometheus, promtool] = PROMETHEUS.locate(&environment, "go".as_ref())?;
        Ok(Self { prometheus, promtool })
    }
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn plain(_: &str) -> Vec<String> {
    vec!["-ldflags=-s -w".to_owned()]
}

/// Without its version the API server calls itself by a text that clients cannot parse.
fn named(version: &str) -> Vec<String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    let package = "k8s.io/component-base/version";
    vec![format!("-ldflags=-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")]
}

/// Without the discovery of targets in clouds, which a test has none of; files and static targets remain.
fn undiscovering(_: &str) -> Vec<String> {
    ["-tags", "remove_all_sd", "-ldflags=-s -w"].map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_after_what_is_pinned() {
        for (module, begin) in [(KUBERNETES, "kubernetes-v1.36.3-"), (PROMETHEUS, "prometheus-v0.312.0-")] {
            let name = module.folder_name();
            assert!(name.starts_with(begin), "{name}");
            assert_eq!(name.len(), begin.len() + 12);
        }
        assert!(named("v1.36.3")[0].ends_with("gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"));
    }
}
