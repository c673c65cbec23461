//! Writes a recording: a folder, or an archive of one.
//!
//! Enters: a [`Recording`] and a path that does not exist, or an empty folder. Leaves: the whole snapshot at that path, always in the same
//! bytes. Never: writes over anything; leaves half a snapshot, whatever goes wrong on the way.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::archive;
use super::folder::{CLUSTER, COMPUTE, FILES, KUBERNETES, META, MetaCluster, MetaFile, PROBES, Texts, Unreadable};
use super::recording::Recording;

/// Why a recording could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The folder holds something.
    #[error("the folder {0} is not empty: name one that is empty or does not exist yet")]
    NotEmpty(PathBuf),
    /// A file is in the way.
    #[error("{0} exists already: name a folder or a .tar.gz that does not exist yet")]
    Exists(PathBuf),
    /// The folder above is not there.
    #[error("there is no folder {0} to write into: make it first")]
    NoParent(PathBuf),
    /// The system refused; nothing was left.
    #[error("{path} cannot be written, and nothing of it was left: {message}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Recording {
    /// Writes it to a folder, or to a `.tar.gz` or `.tgz` by its name.
    ///
    /// It is written beside its place and moved there when it is complete, so that nobody meets half of it: not when the disk is full, and
    /// not when the process is killed, which leaves a `NAME.partial-…` beside it at worst.
    pub fn write(&self, path: &Path) -> Result<(), SaveError> {
        let refused = |error: &dyn std::fmt::Display| SaveError::Write { path: path.to_owned(), message: error.to_string() };
        let texts = self.texts().map_err(|error| refused(&error))?;
        Self::check_place(path)?;
        if path.is_dir() {
            return self::fill(path, &texts);
        }
        let parent = parent(path);
        let prefix = format!("{}.partial-", path.file_name().unwrap_or_default().to_string_lossy());
        let done = if archive::is_named(path) { pack(&prefix, parent, path, &texts) } else { lay(&prefix, parent, path, &texts) };
        done.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty => SaveError::Exists(path.to_owned()),
            _ => refused(&reason(&error)),
        })
    }

    /// Says what is in the way of writing to this place, down to a file that is made there and goes at once.
    pub fn check_place(path: &Path) -> Result<(), SaveError> {
        let refused = |error: io::Error| SaveError::Write { path: path.to_owned(), message: reason(&error) };
        match fs::symlink_metadata(path) {
            Ok(_) if archive::is_named(path) || !path.is_dir() => Err(SaveError::Exists(path.to_owned())),
            Ok(_) if fs::read_dir(path).map_err(refused)?.next().is_some() => Err(SaveError::NotEmpty(path.to_owned())),
            Ok(_) => tempfile::Builder::new().prefix(".partial-").tempfile_in(path).map(drop).map_err(refused),
            Err(_) if !parent(path).is_dir() => Err(SaveError::NoParent(parent(path).to_owned())),
            Err(_) => tempfile::Builder::new().prefix(".partial-").tempfile_in(parent(path)).map(drop).map_err(refused),
        }
    }

    fn texts(&self) -> Result<Texts, serde_saphyr::ser_error::Error> {
        let mut texts = Texts::new();
        texts.insert(META, serde_saphyr::to_string(&self.meta_file())?);
        let mut objects: Vec<&Value> = self.kubernetes.iter().collect();
        objects.sort_by_cached_key(|object| place(object));
        texts.insert(KUBERNETES, serde_saphyr::to_string_multiple(&objects)?);
        let json = |value: Value| format!("{value:#}\n");
        if let Some(compute) = &self.compute {
            texts.insert(COMPUTE, json(serde_json::json!(compute)));
        }
        if let Some(cluster) = &self.cluster {
            texts.insert(CLUSTER, json(cluster.clone()));
        }
        if let Some(probes) = &self.probes {
            let mut probes: Vec<_> = probes.iter().collect();
            probes.sort();
            texts.insert(PROBES, serde_saphyr::to_string(&probes)?);
        }
        Ok(texts)
    }

    fn meta_file(&self) -> MetaFile {
        let mut unreadable = self.unreadable.clone();
        unreadable.sort();
        let unreadable = unreadable.into_iter().map(|why| Unreadable {
            source: why.source.as_str().into(),
            resource: why.resource,
            reason: why.reason,
            message: why.message,
        });
        MetaFile {
            taken_at: self.taken_at,
            project: self.project.clone(),
            cluster: MetaCluster { name: self.cluster_name.clone(), location: self.cluster_location.clone() },
            unreadable: unreadable.collect(),
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Kind, namespace and name, and the whole text for objects that have none of them.
fn place(object: &Value) -> [String; 4] {
    let at = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    [at("/kind"), at("/metadata/namespace"), at("/metadata/name"), object.to_string()]
}

/// A new folder, moved to its place when it is complete.
fn lay(prefix: &str, parent: &Path, path: &Path, texts: &Texts) -> io::Result<()> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
    write_files(folder.path(), texts)?;
    fs::rename(folder.path(), path)?;
    // It is not where it was made any more, so there is nothing to clear away.
    let _ = folder.keep();
    Ok(())
}

/// An archive, moved to its place when it is complete.
fn pack(prefix: &str, parent: &Path, path: &Path, texts: &Texts) -> io::Result<()> {
    // As any file that the user makes: what their umask leaves.
    let permissions = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().prefix(prefix).permissions(permissions).tempfile_in(parent)?;
    archive::write(&archive::stem(path), texts, file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(())
}

/// An empty folder that is there already, perhaps a volume that cannot be moved: the files are made in a folder inside it and moved out of
/// that, the one without which it is no snapshot last.
fn fill(path: &Path, texts: &Texts) -> Result<(), SaveError> {
    let refused = |error: io::Error| SaveError::Write { path: path.to_owned(), message: reason(&error) };
    let inside = tempfile::Builder::new().prefix(".partial-").tempdir_in(path).map_err(refused)?;
    write_files(inside.path(), texts).map_err(refused)?;
    let names = || FILES.iter().rev().filter(|name| texts.contains_key(*name));
    let moved = names().try_for_each(|name| fs::rename(inside.path().join(name), path.join(name)));
    moved.inspect_err(|_| names().for_each(|name| drop(fs::remove_file(path.join(name))))).map_err(refused)
}

fn write_files(folder: &Path, texts: &Texts) -> io::Result<()> {
    for (name, text) in texts {
        let mut file = File::create_new(folder.join(name))?;
        file.write_all(text.as_bytes())?;
        // A disk may say only now that it is full.
        file.sync_all()?;
    }
    Ok(())
}

/// What the system said, in words.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => error.to_string(),
    }
}
