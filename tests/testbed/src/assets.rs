//! The binaries of the Kubernetes API server and of etcd.
//!
//! In: the environment. Out: two executable files. Never builds twice at once, and never leaves a
//! half-made folder.
//!
//! Looked for in this order: `KUBEBUILDER_ASSETS` (the convention of controller tests), the cache
//! folder, and `go build` of the pinned Go module in `assets/kubernetes`, which fills the cache
//! folder.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

const MODULE: [(&str, &str); 3] = [
    ("go.mod", include_str!("../assets/kubernetes/go.mod")),
    ("go.sum", include_str!("../assets/kubernetes/go.sum")),
    ("tools.go", include_str!("../assets/kubernetes/tools.go")),
];
const KUBE_APISERVER: &str = "kube-apiserver";
const ETCD: &str = "etcd";

/// Where the binaries are.
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
        Self::locate_with(&|name| std::env::var_os(name).filter(|value| !value.is_empty()), OsStr::new("go"))
    }

    fn locate_with(environment: &dyn Fn(&str) -> Option<OsString>, go: &OsStr) -> Result<Self> {
        if let Some(folder) = environment("KUBEBUILDER_ASSETS") {
            let assets = Self::in_folder(Path::new(&folder));
            return match assets.missing() {
                None => Ok(assets),
                Some(path) => {
                    bail!("KUBEBUILDER_ASSETS names {}, but {} is not an executable file", folder.display(), path.display())
                }
            };
        }
        let folder = cache_root(environment)?.join(folder_name());
        let assets = Self::in_folder(&folder);
        if assets.missing().is_some() {
            build(&folder, go)?;
        }
        Ok(assets)
    }

    fn in_folder(folder: &Path) -> Self {
        Self { kube_apiserver: folder.join(KUBE_APISERVER), etcd: folder.join(ETCD) }
    }

    fn missing(&self) -> Option<&Path> {
        [&self.kube_apiserver, &self.etcd].into_iter().map(PathBuf::as_path).find(|path| !is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn cache_root(environment: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    if let Some(folder) = environment("INGRESS_DIAGNOSIS_ASSETS") {
        return Ok(folder.into());
    }
    let cache = match (environment("XDG_CACHE_HOME"), environment("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => bail!("no place to keep the API server's binaries: set INGRESS_DIAGNOSIS_ASSETS to a folder, or HOME"),
    };
    Ok(cache.join("ingress-diagnosis/assets"))
}

/// Another version, or another set of modules, is another folder.
fn folder_name() -> String {
    let mut hash = Sha256::new();
    for (name, content) in MODULE {
        hash.update(name);
        hash.update(content);
    }
    let digest: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("kubernetes-{}-{digest}", pinned_version("k8s.io/kubernetes"))
}

fn pinned_version(module: &str) -> &'static str {
    let go_mod = MODULE[0].1;
    go_mod
        .lines()
        .filter_map(|line| line.trim().strip_prefix(module))
        .map(str::trim)
        .find(|rest| rest.starts_with('v'))
        .unwrap_or("unknown")
}

fn build(folder: &Path, go: &OsStr) -> Result<()> {
    let root = folder.parent().context("the cache folder has no parent")?;
    std::fs::create_dir_all(root).with_context(|| format!("cannot make the folder {}", root.display()))?;
    let _lock = exclusive(&root.join(format!("{}.lock", folder_name())))?;
    if Assets::in_folder(folder).missing().is_none() {
        return Ok(()); // another process has just built them
    }
    let work = tempfile::Builder::new()
        .prefix("build-")
        .tempdir_in(root)
        .with_context(|| format!("cannot write to {}", root.display()))?;
    let module = work.path().join("module");
    let out = work.path().join("out");
    std::fs::create_dir_all(&module)?;
    std::fs::create_dir_all(&out)?;
    for (name, content) in MODULE {
        std::fs::write(module.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    let kubernetes = pinned_version("k8s.io/kubernetes");
    eprintln!(
        "building kube-apiserver {kubernetes} and etcd from their Go modules: once, about four minutes; kept in {}",
        folder.display()
    );
    go_build(go, &module, "go.etcd.io/etcd/server/v3", &out.join(ETCD), "-s -w")?;
    go_build(go, &module, "k8s.io/kubernetes/cmd/kube-apiserver", &out.join(KUBE_APISERVER), &version_flags(kubernetes))?;
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    std::fs::rename(&out, folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Without its version the server calls itself by a text that clients cannot parse.
fn version_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    let package = "k8s.io/component-base/version";
    format!("-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
}

fn go_build(go: &OsStr, module: &Path, package: &str, to: &Path, flags: &str) -> Result<()> {
    eprintln!("  go build {package}");
    let status = Command::new(go)
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=readonly")
        .args(["build", "-trimpath", &format!("-ldflags={flags}"), "-o"])
        .arg(to)
        .arg(package)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("go build {package} failed ({status}); its words are above"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "kube-apiserver and etcd are not here and cannot be built: install Go 1.26 or later (https://go.dev/dl), \
             or set KUBEBUILDER_ASSETS to a folder that holds both"
        ),
        Err(error) => Err(error).context("cannot run go"),
    }
}

fn exclusive(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("another process is building the API server's binaries: waiting for it");
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `go` that writes down that it was called and makes an executable file where `-o` says.
    fn fake_go(folder: &Path) -> PathBuf {
        let go = folder.join("go");
        let script = "#!/bin/sh\nset -e\necho called >> \"${0%/*}/calls\"\nsleep 0.2\ntest -f go.mod\n\
                      while [ \"$1\" != -o ]; do shift; done\necho binary > \"$2\"\nchmod +x \"$2\"\n";
        std::fs::write(&go, script).unwrap();
        std::fs::set_permissions(&go, PermissionsExt::from_mode(0o755)).unwrap();
        go
    }

    #[test]
    fn the_named_folder_comes_first_and_must_be_whole() {
        let folder = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "KUBEBUILDER_ASSETS").then(|| folder.path().as_os_str().to_owned());
        let error = Assets::locate_with(&environment, OsStr::new("/nonexistent/go")).unwrap_err().to_string();
        assert!(error.contains("kube-apiserver is not an executable file"), "{error}");
        for name in [KUBE_APISERVER, ETCD] {
            std::fs::write(folder.path().join(name), "").unwrap();
            std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let assets = Assets::locate_with(&environment, OsStr::new("/nonexistent/go")).unwrap();
        assert_eq!(assets.etcd, folder.path().join("etcd"));
    }

    #[test]
    fn without_go_it_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "INGRESS_DIAGNOSIS_ASSETS").then(|| folder.path().as_os_str().to_owned());
        let error = Assets::locate_with(&environment, OsStr::new("/nonexistent/go")).unwrap_err().to_string();
        assert!(error.contains("install Go 1.26"), "{error}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
    }

    #[test]
    fn several_at_once_build_once() {
        let folder = tempfile::tempdir().unwrap();
        let go = fake_go(folder.path());
        let cache = folder.path().join("cache");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let environment = |name: &str| (name == "INGRESS_DIAGNOSIS_ASSETS").then(|| cache.clone().into_os_string());
                    let assets = Assets::locate_with(&environment, go.as_os_str()).unwrap();
                    assert!(assets.missing().is_none());
                });
            }
        });
        let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(calls.lines().count(), 2, "one build of two binaries");
    }

    #[test]
    fn the_folder_is_named_after_what_is_pinned() {
        let name = folder_name();
        assert!(name.starts_with("kubernetes-v1.36.3-"), "{name}");
        assert_eq!(name.len(), "kubernetes-v1.36.3-".len() + 12);
        assert!(version_flags("v1.36.3").ends_with("gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"));
    }
}
