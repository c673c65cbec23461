//! What is written can be read again, and nothing half-written is left.

use std::path::{Path, PathBuf};
use std::process::Command;

use ingress_diagnosis::snapshot::folder::FolderError;
use ingress_diagnosis::snapshot::{Recording, Source, Unknown};
use serde_json::{Value, json};

use crate::world;

/// The order in which objects, probes and refusals are written.
fn in_order(mut recording: Recording) -> Recording {
    recording.kubernetes.sort_by_cached_key(|object| {
        let at = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        [at("/kind"), at("/metadata/namespace"), at("/metadata/name"), object.to_string()]
    });
    recording.unreadable.sort();
    recording.probes.iter_mut().for_each(|probes| probes.sort());
    recording
}

/// The files below a folder with their bytes.
fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.iter_mut().for_each(|(path, _)| *path = path.strip_prefix(folder).unwrap().to_owned());
    files.sort();
    files
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_folder_is_written_as_it_was_read() {
    let place = tempfile::tempdir().unwrap();
    for folder in world::folders() {
        let name = world::name(&folder);
        let read = Recording::read(&folder).unwrap();
        let at = |suffix: &str| place.path().join(format!("{name}{suffix}"));
        let mut shuffled = read.clone();
        shuffled.kubernetes.reverse();
        for (recording, suffix) in [(&read, ""), (&shuffled, "-shuffled"), (&read, ".tar.gz")] {
            recording.write(&at(suffix)).unwrap();
        }
        let read = in_order(read);
        for suffix in ["", ".tar.gz"] {
            assert_eq!(Recording::read(&at(suffix)).unwrap(), read, "{name}{suffix}");
        }
        assert_eq!(bytes(&at("")), bytes(&at("-shuffled")), "{name}: the bytes depend on nothing but what was seen");
    }
}

/// Strings that YAML reads as something else, or not at all, unless they are quoted as they must be.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "yes",
    "no",
    "on",
    "Off",
    "y",
    "n",
    "true",
    "null",
    "~",
    "007",
    "0o17",
    "0x1f",
    "1e3",
    ".5",
    "-.inf",
    ".nan",
    "1_000",
    "12:30:45",
    "2026-11-21",
    "2026-11-21T12:00:00Z",
    "<<",
    "=",
    "-",
    "- a",
    "? a",
    ": a",
    "a: b",
    "a #b",
    "#a",
    "&a",
    "*a",
    "!a",
    "!!str a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "'",
    "\"",
    "''",
    "it's",
    "\\",
    "\\n",
    "[",
    "]",
    "{",
    "}",
    ",",
    "[a]",
    "{a: b}",
    "---",
    "...",
    "--- a",
    "a\n",
    "a\n\n",
    "\na",
    "\n",
    "\n\n",
    "a\nb",
    " a\nb",
    "  a\n b\n",
    "a\n  b\n",
    "a\n---\nb",
    "a\n...\nb\n",
    "\ta\n\tb",
    "a\tb",
    "a \nb ",
    "a\r\nb",
    "a\rb",
    "a\u{85}b",
    "a\u{2028}b",
    "\u{feff}a",
    "a\u{0}b",
    "a\u{7}b",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{9f}",
    "\u{fffe}",
    "ü",
    "日本語\nと",
    "👩‍🚀",
    "\u{202e}abc",
    "{\n  \"a\": \"b\"\n}\n",
    "key: |\n  block\n",
    "a long line with many words that is longer than eighty characters, so that a writer may want to fold it somewhere",
    " a long line with many words that is longer than eighty characters, and that begins with a space, which folding loses  ",
    "a long line with many words that is longer than eighty characters, and then ends\nwith another line  \n\n and one more that is indented\n",
];

#[test]
fn hostile_strings_come_back() {
    let place = tempfile::tempdir().unwrap();
    let mut recording = Recording::read(&world::folders()[0]).unwrap();
    let mut strings: Vec<String> = HOSTILE.iter().map(|&text| text.to_owned()).collect();
    for one in HOSTILE {
        strings.extend(HOSTILE.iter().map(|other| format!("{one}{other}")));
        strings.extend(HOSTILE.iter().map(|other| format!("{one}\n{other}")));
    }
    let object = |(at, text): (usize, &String)| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{at:06}"), "namespace": "x", "annotations": {"text": text}},
            "data": {text: text}, "list": [text, [text], {text: [text]}], "numbers": [0, -1, 18446744073709551615u64, 1.5, 1e300, -0.1],
            "none": null, "empty": [{}, []],
        })
    };
    recording.kubernetes = strings.iter().enumerate().map(object).collect();
    recording.cluster_name = "yes".to_owned();
    recording.project = "007".to_owned();
    recording.unreadable =
        strings.iter().map(|text| Unknown::new(Source::Kubernetes, text.as_str(), text.as_str(), text.as_str())).collect();
    let recording = in_order(recording);
    recording.write(&place.path().join("a")).unwrap();
    let read = Recording::read(&place.path().join("a")).unwrap();
    for (read, written) in read.kubernetes.iter().zip(&recording.kubernetes) {
        assert_eq!(read, written);
    }
    assert_eq!(read, recording);
}

#[test]
fn nothing_is_written_over_and_nothing_half_written_is_left() {
    let recording = Recording::read(&world::folders()[0]).unwrap();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let says = |path: &Path| recording.write(path).unwrap_err().to_string();
    std::fs::create_dir(at("empty")).unwrap();
    recording.write(&at("empty")).unwrap();
    assert_eq!(Recording::read(&at("empty")).unwrap(), in_order(recording.clone()));
    assert_eq!(
        says(&at("empty")),
        format!("the folder {} is not empty: name one that is empty or does not exist yet", at("empty").display())
    );
    for name in ["file", "file.tar.gz"] {
        std::fs::write(at(name), "mine").unwrap();
        assert_eq!(
            says(&at(name)),
            format!("{} exists already: name a folder or a .tar.gz that does not exist yet", at(name).display())
        );
        assert_eq!(std::fs::read_to_string(at(name)).unwrap(), "mine");
    }
    assert_eq!(says(&at("no/folder")), format!("there is no folder {} to write into: make it first", at("no").display()));
    assert!(
        says(Path::new("/proc/a")).starts_with("/proc/a cannot be written, and nothing of it was left: "),
        "{}",
        says(Path::new("/proc/a"))
    );
    assert!(says(Path::new("/proc/a.tgz")).starts_with("/proc/a.tgz cannot be written, and nothing of it was left: "));
    assert_eq!(names(place.path()), ["empty", "file", "file.tar.gz"]);
    assert_eq!(names(&at("empty")), ["cluster.json", "compute.json", "kubernetes.yaml", "meta.yaml"]);
}

/// Set in a child of [`a_disk_that_is_full_leaves_nothing`]: where it writes.
const CHILD: &str = "INGRESS_DIAGNOSIS_WRITES_TO";

/// No file may grow beyond a few kilobytes: the child is told so by the system in the middle of a write, as it is when a disk is full.
#[test]
fn a_disk_that_is_full_leaves_nothing() {
    let recording = Recording::read(&world::folders()[0]).unwrap();
    if let Some(path) = std::env::var_os(CHILD) {
        eprintln!("says: {}", recording.write(Path::new(&path)).unwrap_err());
        return;
    }
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("empty")).unwrap();
    for name in ["folder", "archive.tar.gz", "empty"] {
        let path = place.path().join(name);
        let child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "recording::a_disk_that_is_full_leaves_nothing", "--nocapture"])
            .env(CHILD, &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{said}");
        let says = format!("says: {} cannot be written, and nothing of it was left: File too large", path.display());
        assert!(said.contains(&says), "{said}");
        assert_eq!(names(place.path()), ["empty"]);
        assert!(names(&place.path().join("empty")).is_empty());
    }
}

/// An archive of these entries.
fn archive(path: &Path, entries: &[(&str, &str)]) {
    let file = std::fs::File::create(path).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    for (name, text) in entries {
        let mut header = tar::Header::new_gnu();
        // Past the checks of the library, as whoever wants to harm would.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
}

#[test]
fn archives_are_read_with_and_without_a_folder_and_hostile_ones_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar.gz");
    let (meta, none) = ("takenAt: 2026-11-02T14:20:11Z\nproject: p\n", "");
    for entries in [
        &[("meta.yaml", meta), ("kubernetes.yaml", none)][..],
        &[("./meta.yaml", meta), ("./kubernetes.yaml", none), ("./expected.yaml", "x")],
        &[("shop/meta.yaml", meta), ("shop/kubernetes.yaml", none), ("shop/deeper/still/meta.yaml", "x")],
    ] {
        archive(&path, entries);
        assert_eq!(Recording::read(&path).unwrap().project, "p");
    }
    let refused = |entries: &[(&str, &str)]| {
        archive(&path, entries);
        let said = Recording::read(&path).unwrap_err().to_string();
        let said = said.strip_prefix(path.to_str().unwrap()).unwrap_or_else(|| panic!("{said}")).to_owned();
        assert!(!said.contains('\n') && !said.ends_with('.'), "{said}");
        said
    };
    for path in ["../meta.yaml", "/meta.yaml", "a/../meta.yaml"] {
        assert_eq!(refused(&[(path, meta)]), format!(" holds {path}: a path that leaves the archive"));
    }
    let two = [("a/meta.yaml", meta), ("a/kubernetes.yaml", none), ("b/meta.yaml", meta)];
    assert_eq!(refused(&two), " holds more than one meta.yaml: pack one snapshot alone");
    assert_eq!(
        refused(&[("meta.yaml", meta)]),
        "/kubernetes.yaml is absent: a snapshot folder needs meta.yaml and kubernetes.yaml"
    );
    assert!(refused(&[("meta.yaml", "takenAt: soon"), ("kubernetes.yaml", none)]).starts_with("/meta.yaml:1:"));
    assert_eq!(refused(&vec![("x", ""); 1001]), " holds more than 1000 files: it is not a snapshot");

    std::fs::write(&path, "no archive").unwrap();
    assert!(Recording::read(&path).unwrap_err().to_string().contains(" cannot be unpacked: "));
    let file = place.path().join("meta.yaml");
    std::fs::write(&file, meta).unwrap();
    assert!(matches!(Recording::read(&file), Err(FolderError::NotAFolder(_))));
}
