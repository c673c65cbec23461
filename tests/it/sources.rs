//! The files of the repository.

use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder, sorted, without what cargo and git keep for themselves.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let own = !["target", ".git"].iter().any(|name| path.file_name().is_some_and(|own| own == *name));
            if path.is_dir() && own {
                folders.push(path);
            } else if path.is_file() && own {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// `tests.rs` and `testing.rs` are compiled for tests alone.
pub fn is_for_tests(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem == "testing")
}

/// Compares a generated text with its file; `UPDATE_EXPECT=1` writes it.
pub fn expect(file: &str, generated: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "{file} is out of date: run UPDATE_EXPECT=1 cargo test --test it, and read the diff");
}
