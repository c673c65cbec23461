//! A Go module of ours and the two binaries that are built from it.
//!
//! In: what is pinned, the environment. Out: the paths of executable files. Never builds twice at
//! once, and never leaves a half-made folder.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// What is built, and from what.
pub(super) struct Module {
    /// Begins the name of its folder in the cache.
    pub(super) name: &'static str,
    /// The module whose version is the folder's.
    pub(super) pinned: &'static str,
    /// The environment variable that names a folder with the binaries.
    pub(super) variable: &'static str,
    /// How long the build takes.
    pub(super) minutes: &'static str,
    pub(super) files: [(&'static str, &'static str); 3],
    pub(super) binaries: [Binary; 2],
}

/// One binary.
pub(super) struct Binary {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    /// Arguments of `go build`, given the pinned version.
    pub(super) flags: fn(&str) -> Vec<String>,
}

/// A lookup of an environment variable.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Module {
    /// Finds the binaries, or builds them.
    pub(super) fn locate(&self, environment: Environment<'_>, go: &OsStr) -> Result<[PathBuf; 2]> {
        if let Some(folder) = environment(self.variable) {
            let paths = self.in_folder(Path::new(&folder));
            return match missing(&paths) {
                None => Ok(paths),
                Some(path) => {
                    bail!("{} names {}, but {} is not an executable file", self.variable, folder.display(), path.display())
                }
            };
        }
        let folder = cache_root(environment)?.join(self.folder_name());
        let paths = self.in_folder(&folder);
        if missing(&paths).is_some() {
            self.build(&folder, go)?;
        }
        Ok(paths)
    }

    /// Another version, or another set of modules, is another folder.
    pub(super) fn folder_name(&self) -> String {
        let mut hash = Sha256::new();
        for (name, content) in self.files {
            hash.update(name);
            hash.update(content);
        }
        let digest: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{digest}", self.name, self.version())
    }

    fn version(&self) -> &'static str {
        let lines = self.files[0].1.lines().map(|line| line.trim_start_matches("require ").trim());
        lines
            .filter_map(|line| line.strip_prefix(self.pinned))
            .filter_map(|rest| rest.split_whitespace().next())
            .find(|version| version.starts_with('v'))
            .unwrap_or("unknown")
    }

    fn in_folder(&self, folder: &Path) -> [PathBuf; 2] {
        self.binaries.each_ref().map(|binary| folder.join(binary.name))
    }

    /// `kube-apiserver and etcd`.
    fn names(&self) -> String {
        self.binaries.each_ref().map(|binary| binary.name).join(" and ")
    }

    fn build(&self, folder: &Path, go: &OsStr) -> Result<()> {
        let root = folder.parent().context("the cache folder has no parent")?;
        std::fs::create_dir_all(root).with_context(|| format!("cannot make the folder {}", root.display()))?;
        let _lock = self.exclusive(&root.join(format!("{}.lock", self.folder_name())))?;
        if missing(&self.in_folder(folder)).is_none() {
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
        for (name, content) in self.files {
            std::fs::write(module.join(name), content).with_context(|| format!("cannot write {name}"))?;
        }
        eprintln!(
            "building {} ({} {}) from their Go modules: once, about {} minutes; kept in {}",
            self.names(),
            self.pinned,
            self.version(),
            self.minutes,
            folder.display()
        );
        for binary in &self.binaries {
            self.go_build(go, &module, binary, &out.join(binary.name))?;
        }
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot replace {}", folder.display()))?;
        }
        std::fs::rename(&out, folder).with_context(|| format!("cannot make {}", folder.display()))
    }

    fn go_build(&self, go: &OsStr, module: &Path, binary: &Binary, to: &Path) -> Result<()> {
        let package = binary.package;
        eprintln!("  go build {package}");
        let status = Command::new(go)
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=readonly")
            .args(["build", "-trimpath"])
            .args((binary.flags)(self.version()))
            .arg("-o")
            .arg(to)
            .arg(package)
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!("go build {package} failed ({status}); its words are above"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "{} are not here and cannot be built: install Go 1.26 or later (https://go.dev/dl), or set {} to a folder \
                 that holds both",
                self.names(),
                self.variable
            ),
            Err(error) => Err(error).context("cannot run go"),
        }
    }

    fn exclusive(&self, path: &Path) -> Result<File> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            eprintln!("another process is building {}: waiting for it", self.names());
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}

fn missing(paths: &[PathBuf]) -> Option<&Path> {
    paths.iter().map(PathBuf::as_path).find(|path| !is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn cache_root(environment: Environment<'_>) -> Result<PathBuf> {
    if let Some(folder) = environment("INGRESS_DIAGNOSIS_ASSETS") {
        return Ok(folder.into());
    }
    let cache = match (environment("XDG_CACHE_HOME"), environment("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => bail!("no place to keep what is built: set INGRESS_DIAGNOSIS_ASSETS to a folder, or HOME"),
    };
    Ok(cache.join("ingress-diagnosis/assets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: Module = Module {
        name: "two",
        pinned: "example.dev/two",
        variable: "TWO_ASSETS",
        minutes: "no",
        files: [("go.mod", "module own\n\nrequire example.dev/two v1.2.3 // indirect\n"), ("go.sum", ""), ("tools.go", "")],
        binaries: [
            Binary { name: "one", package: "example.dev/two/one", flags: |_| Vec::new() },
            Binary { name: "other", package: "example.dev/two/other", flags: |version| vec![format!("-X={version}")] },
        ],
    };

    /// A `go` that writes down how it was called and makes an executable file where `-o` says.
    fn fake_go(folder: &Path) -> PathBuf {
        let go = folder.join("go");
        let script = "#!/bin/sh\nset -e\necho \"$*\" >> \"${0%/*}/calls\"\nsleep 0.2\ntest -f go.mod\n\
                      while [ \"$1\" != -o ]; do shift; done\necho binary > \"$2\"\nchmod +x \"$2\"\n";
        std::fs::write(&go, script).unwrap();
        std::fs::set_permissions(&go, PermissionsExt::from_mode(0o755)).unwrap();
        go
    }

    #[test]
    fn the_named_folder_comes_first_and_must_be_whole() {
        let folder = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "TWO_ASSETS").then(|| folder.path().as_os_str().to_owned());
        let error = MODULE.locate(&environment, OsStr::new("/nonexistent/go")).unwrap_err().to_string();
        assert!(error.contains("one is not an executable file"), "{error}");
        for name in ["one", "other"] {
            std::fs::write(folder.path().join(name), "").unwrap();
            std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let paths = MODULE.locate(&environment, OsStr::new("/nonexistent/go")).unwrap();
        assert_eq!(paths[1], folder.path().join("other"));
    }

    #[test]
    fn without_go_it_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "INGRESS_DIAGNOSIS_ASSETS").then(|| folder.path().as_os_str().to_owned());
        let error = MODULE.locate(&environment, OsStr::new("/nonexistent/go")).unwrap_err().to_string();
        assert!(error.contains("install Go 1.26") && error.contains("TWO_ASSETS"), "{error}");
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
                    let paths = MODULE.locate(&environment, go.as_os_str()).unwrap();
                    assert!(missing(&paths).is_none());
                });
            }
        });
        let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(calls.lines().count(), 2, "one build of two binaries");
        assert!(calls.contains("build -trimpath -X=v1.2.3 -o"), "{calls}");
    }
}
