//! Imports point one way, and what is pure stays pure.
//!
//! The sources are read as text, comments and strings left out, so that macros and paths in the middle of a line count too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ingress_diagnosis::rules::{CATALOGUE, page};

use crate::sources;

/// What each module may know of the others; what is not named here, `controller` and `cli`, sees everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("snapshot", &[]),
    ("topology", &["snapshot"]),
    ("rules", &["snapshot", "topology"]),
    ("diagnose", &["snapshot", "topology", "rules"]),
    ("capture", &["snapshot", "topology"]),
    ("api", &[]),
    ("collect", &["snapshot"]),
    ("publish", &["snapshot", "topology", "rules", "diagnose", "api", "collect"]),
    ("config", &["snapshot", "topology", "collect"]),
    ("leader", &["collect"]),
    ("server", &["snapshot", "collect", "publish"]),
    ("wanted", &["topology", "collect"]),
    ("oneshot", &["snapshot", "topology", "diagnose", "collect", "wanted"]),
];

const PURE: &[&str] = &["snapshot", "topology", "rules", "diagnose", "capture"];

/// What no pure module may name: I/O, the clock, chance, logging.
const IMPURE: [&[&str]; 18] = [
    &["tokio"],
    &["kube"],
    &["reqwest"],
    &["hyper"],
    &["tracing"],
    &["fastrand"],
    &["google_cloud_compute_v1"],
    &["google_cloud_auth"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "net", "TcpStream"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["Instant"],
    &["SystemTime"],
];

/// The only files of the pure modules that read and write: a snapshot's folder.
const FOLDER: [&str; 3] = ["src/snapshot/archive.rs", "src/snapshot/folder.rs", "src/snapshot/save.rs"];

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for source in Source::all() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(module, _)| *module == source.top()) else { continue };
        for path in &source.paths {
            let Some(used) = source.in_crate(path).and_then(|path| path.first().cloned()) else { continue };
            let module = used != source.top() && sources::root().join("src").join(format!("{used}.rs")).exists()
                || sources::root().join("src").join(&used).is_dir();
            if module && used != source.top() && !allowed.contains(&&*used) {
                wrong.push(format!("{} uses crate::{used}; {} may use {allowed:?} alone", source.name(), source.top()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "Dependencies point one way: snapshot ← topology ← rules ← diagnose ← publish, collect → snapshot.\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_module_is_in_the_picture() {
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(module, _)| *module).chain(["controller", "cli", "lib", "main"]).collect();
    let unknown: BTreeSet<String> =
        Source::all().iter().map(|source| source.top().to_owned()).filter(|top| !known.contains(&**top)).collect();
    assert!(unknown.is_empty(), "A new module says what it may know, in tests/it/architecture.rs: {unknown:?}");
}

#[test]
fn pure_modules_are_pure() {
    let mut wrong = Vec::new();
    for source in Source::all().iter().filter(|source| PURE.contains(&source.top())) {
        for path in &source.paths {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let hit = IMPURE.iter().find(|impure| path.windows(impure.len()).any(|window| window == **impure));
            let allowed = FOLDER.contains(&&*source.name()) && hit.is_some_and(|hit| **hit == ["std", "fs"]);
            if let Some(hit) = hit.filter(|_| !allowed) {
                wrong.push(format!("{} names {}", source.name(), hit.join("::")));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "Diagnosing does no I/O and cannot fail: snapshot, topology, rules and diagnose know no Tokio, no client, no clock (time is \
         takenAt) and no log.\n{}",
        wrong.join("\n")
    );
}

#[test]
fn rules_do_not_know_each_other() {
    let rules: BTreeSet<String> = CATALOGUE.iter().map(|rule| page::snake_case(rule.code)).collect();
    let mut wrong = Vec::new();
    for source in Source::all() {
        let [top, rule] = &*source.module else { continue };
        if top != "rules" || !rules.contains(rule) {
            continue;
        }
        for path in source.paths.iter().filter_map(|path| source.in_crate(path)) {
            if let [first, other, ..] = &*path
                && first == "rules"
                && other != rule
                && rules.contains(other)
            {
                wrong.push(format!("{} uses rules::{other}", source.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "Rules know each other by code in `explains` alone.\n{}", wrong.join("\n"));
}

/// A source file and the paths that it names.
struct Source {
    file: PathBuf,
    /// `["rules", "no_endpoints"]`
    module: Vec<String>,
    paths: Vec<Vec<String>>,
}

impl Source {
    fn all() -> Vec<Self> {
        let root = sources::root().join("src");
        let read = |file: PathBuf| {
            let text = std::fs::read_to_string(&file).unwrap();
            let text = without_tests(&text);
            let inside = file.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            Self { paths: paths(&tokens(text)), module, file }
        };
        let files = sources::rust_files(&root).into_iter();
        let files: Vec<Self> = files.filter(|file| !sources::is_for_tests(file)).map(read).collect();
        assert!(files.len() > 40, "the sources are where they are expected");
        files
    }

    fn name(&self) -> String {
        self.file.strip_prefix(sources::root()).unwrap().display().to_string()
    }

    fn top(&self) -> &str {
        &self.module[0]
    }

    /// A path of this crate from its root; `None` for another crate's.
    fn in_crate(&self, path: &[String]) -> Option<Vec<String>> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        match path.first()?.as_str() {
            "crate" | "ingress_diagnosis" => Some(path[1..].to_vec()),
            "super" => {
                let above = self.module.len().checked_sub(supers)?;
                Some(self.module[..above].iter().chain(&path[supers..]).cloned().collect())
            }
            _ => None,
        }
    }
}

/// A module of tests stands at the end of its file, and may use what it tests with.
fn without_tests(text: &str) -> &str {
    let mut from = 0;
    while let Some(at) = text[from..].find("#[cfg(test)]\n") {
        let rest = &text[from + at..];
        let item = rest.lines().find(|line| !line.starts_with("#[")).unwrap_or_default();
        if item.starts_with("mod ") && item.ends_with('{') {
            return &text[..from + at];
        }
        from += at + 1;
    }
    text
}

#[derive(Debug, PartialEq)]
enum Token {
    Name(String),
    Separator,
    Open,
    Close,
    Comma,
    Other,
}

/// Names and what joins them, without comments and the contents of strings and characters.
fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    let starts = |at: usize, with: &str| with.chars().enumerate().all(|(offset, c)| characters.get(at + offset) == Some(&c));
    while let Some(&c) = characters.get(at) {
        if starts(at, "//") {
            while characters.get(at).is_some_and(|c| *c != '\n') {
                at += 1;
            }
        } else if c == 'r' && (starts(at, "r\"") || starts(at, "r#\"")) {
            let end = if starts(at, "r\"") { "\"" } else { "\"#" };
            at += 1 + end.len();
            while at < characters.len() && !starts(at, end) {
                at += 1;
            }
            at += end.len();
        } else if c == '"' {
            at += 1;
            while characters.get(at).is_some_and(|c| *c != '"') {
                at += if characters[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' && characters.get(at + 2) == Some(&'\'') {
            at += 3;
        } else if starts(at, "'\\") {
            at += 3;
            while characters.get(at).is_some_and(|c| *c != '\'') {
                at += 1;
            }
            at += 1;
        } else if c.is_alphabetic() || c == '_' {
            let start = at;
            while characters.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                at += 1;
            }
            tokens.push(Token::Name(characters[start..at].iter().collect()));
        } else {
            at += 1;
            match c {
                ':' if characters.get(at) == Some(&':') => {
                    at += 1;
                    tokens.push(Token::Separator);
                }
                '{' => tokens.push(Token::Open),
                '}' => tokens.push(Token::Close),
                ',' => tokens.push(Token::Comma),
                c if c.is_whitespace() || c == '$' => {}
                _ => tokens.push(Token::Other),
            }
        }
    }
    tokens
}

/// Every `a::b::c`, and `a::{b, c::d}` taken apart.
fn paths(tokens: &[Token]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = path(tokens, at, &[], &mut found).max(at + 1);
    }
    found
}

/// Reads a path that begins at `at`, below `prefix`; says where it ends.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(Token::Name(name)) = tokens.get(at) {
        path.push(name.clone());
        at += 1;
        if tokens.get(at) != Some(&Token::Separator) {
            break;
        }
        at += 1;
        if tokens.get(at) == Some(&Token::Open) {
            at += 1;
            while at < tokens.len() && tokens[at] != Token::Close {
                at = self::path(tokens, at, &path, found).max(at + 1);
            }
            return at + 1;
        }
    }
    if path.len() > prefix.len() {
        found.push(path);
    }
    if tokens.get(at) == Some(&Token::Name("as".into())) {
        at += 2;
    }
    at
}

#[test]
fn paths_are_read() {
    let text = r##"//! crate::no
        use crate::a::{self, b::{c, d}, e as f};
        let s = "crate::no"; let r = r#"crate::no"#; let q = '"'; // crate::no
        fn f<'a>(x: &'a super::super::g::H) { crate::i!(j) }"##;
    let joined: BTreeSet<String> =
        paths(&tokens(text)).iter().filter(|path| path.len() > 1).map(|path| path.join("::")).collect();
    let expected = ["crate::a::b::c", "crate::a::b::d", "crate::a::e", "crate::a::self", "crate::i", "super::super::g::H"];
    assert_eq!(joined, expected.map(str::to_owned).into());
    let source = Source { file: Path::new("src/x/y.rs").into(), module: vec!["x".into(), "y".into()], paths: Vec::new() };
    assert_eq!(source.in_crate(&["super".into(), "super".into(), "g".into()]).unwrap(), ["g"]);
}
