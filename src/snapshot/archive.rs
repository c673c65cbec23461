//! A snapshot folder in one file: a `.tar.gz` or `.tgz`.
//!
//! Enters: the path of an archive, or the files of a snapshot. Leaves: the files' texts, or the archive's bytes. Never: unpacks anything to
//! the disk, follows a link, or reads more than a bound.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};

use super::folder::{FILES, FolderError, Texts};

/// More than any cluster's snapshot: what is larger was not written by us.
const MOST_BYTES: u64 = 1 << 30;
/// So many entries are looked at.
const MOST_ENTRIES: usize = 1000;

/// Whether a path is named like an archive.
pub fn is_named(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
}

/// The name of an archive without its ending: the folder inside it.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let end = name.to_lowercase().rfind(".tar.gz").or_else(|| name.to_lowercase().rfind(".tgz")).unwrap_or(name.len());
    let stem = name.get(..end).unwrap_or_default();
    if stem.is_empty() { "snapshot".to_owned() } else { stem.to_owned() }
}

/// The snapshot's files in an archive: at its top, or in the one folder there.
pub(super) fn read(path: &Path) -> Result<Texts, FolderError> {
    let file = File::open(path).map_err(|error| FolderError::Read { path: path.to_owned(), error })?;
    unpack(path, BufReader::new(file), MOST_BYTES)
}

fn unpack(path: &Path, file: impl Read, most: u64) -> Result<Texts, FolderError> {
    let wrong = |message: String| FolderError::Archive { path: path.to_owned(), message };
    let broken = |error: io::Error| wrong(format!("cannot be unpacked: {error}"));
    let too_large = || wrong(format!("holds more than {} MiB: it is not a snapshot", most >> 20));
    // One byte more than the bound tells "too large" from "just fits".
    let mut archive = tar::Archive::new(MultiGzDecoder::new(file).take(most + 1));
    let mut texts = Texts::new();
    let mut folder = None;
    let mut unpacked = 0;
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(|error| if unpacked >= most { too_large() } else { broken(error) })?;
        if count == MOST_ENTRIES {
            return Err(wrong(format!("holds more than {MOST_ENTRIES} files: it is not a snapshot")));
        }
        unpacked = entry.raw_file_position().saturating_add(entry.size());
        if unpacked > most {
            return Err(too_large());
        }
        let inside = entry.path().map_err(broken)?.into_owned();
        let Some(parts) = parts(&inside) else {
            return Err(wrong(format!("holds {}: a path that leaves the archive", inside.display())));
        };
        let Some((name, above)) = parts.split_last() else { continue };
        let Some(name) = FILES.into_iter().find(|file| file == name) else { continue };
        if !entry.header().entry_type().is_file() || above.len() > 1 {
            continue;
        }
        if folder.get_or_insert_with(|| above.to_vec()) != above || texts.contains_key(name) {
            return Err(wrong(format!("holds more than one {name}: pack one snapshot alone")));
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(|error| FolderError::Read { path: path.join(&inside), error })?;
        texts.insert(name, text);
    }
    Ok(texts)
}

/// The names along a path; `None` for one that leads out of the archive.
fn parts(path: &Path) -> Option<Vec<String>> {
    let inside = path.components().filter(|part| *part != Component::CurDir);
    inside.map(|part| if let Component::Normal(name) = part { Some(name.to_str()?.to_owned()) } else { None }).collect()
}

/// Writes the files as an archive with one folder, always with the same bytes.
pub(super) fn write(folder: &str, texts: &Texts, to: &mut File) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzBuilder::new().mtime(0).write(io::BufWriter::new(to), Compression::default()));
    for (name, text) in texts {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, PathBuf::from(folder).join(name), text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused_before_it_is_held() {
        let mut packed = Vec::new();
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(&mut packed, Compression::fast()));
        let text = vec![b'#'; 5 << 20];
        for name in ["x.txt", "meta.yaml"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, name, &*text).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        let path = Path::new("big.tgz");
        assert_eq!(unpack(path, &*packed, 16 << 20).unwrap()["meta.yaml"].len(), text.len());
        for most in [4 << 20, 5 << 20, 7 << 20, 10 << 20] {
            let says = format!("big.tgz holds more than {} MiB: it is not a snapshot", most >> 20);
            assert_eq!(unpack(path, &*packed, most).unwrap_err().to_string(), says);
        }
        let half = unpack(path, &packed[..packed.len() / 2], 16 << 20).unwrap_err().to_string();
        assert!(
            half.starts_with("big.tgz cannot be unpacked: ") || half.starts_with("big.tgz/meta.yaml cannot be read: "),
            "{half}"
        );
    }

    #[test]
    fn the_folder_inside_has_the_name_of_the_archive() {
        for (path, name) in [("a/shop.tar.gz", "shop"), ("shop.TGZ", "shop"), (".tgz", "snapshot")] {
            assert!(is_named(Path::new(path)));
            assert_eq!(stem(Path::new(path)), name);
        }
    }
}
