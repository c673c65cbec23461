//! The repository keeps its own rules: the catalogue is whole, pages say something, generated files are what the program prints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use ingress_diagnosis::rules::{CATALOGUE, Rule, find, page};

use crate::{sources, world};

/// No file is longer.
const LONGEST: usize = 500;

/// Places and hosts that mean something on one machine alone. In two parts, so that this file does not hold them.
const FOREIGN: [(&str, &str); 5] = [("/wo", "rk/"), ("/ro", "ot/"), ("/tmp/", "wt"), ("../sha", "red"), ("proxy.gol", "ang.org")];

#[test]
fn the_catalogue_is_the_files() {
    let codes: Vec<String> = CATALOGUE.iter().map(|rule| page::snake_case(rule.code)).collect();
    assert!(codes.is_sorted_by(|a, b| a < b), "`catalogue!` in src/rules/mod.rs is sorted, each code once: {codes:?}");
    // What several rules share is declared as any module is.
    let text = std::fs::read_to_string(sources::root().join("src/rules/mod.rs")).unwrap();
    let shared = text.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let shared: BTreeSet<&str> = shared.chain(["mod"]).collect();
    for extension in ["rs", "md"] {
        let files: BTreeSet<String> = sources::files(&sources::root().join("src/rules"))
            .iter()
            .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("src/rules")))
            .filter(|path| path.extension().is_some_and(|own| own == extension))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| !shared.contains(&**name))
            .collect();
        let codes: BTreeSet<String> = codes.iter().cloned().collect();
        let odd: Vec<_> = codes.symmetric_difference(&files).collect();
        assert!(odd.is_empty(), "each rule of the catalogue is a pair src/rules/NAME.rs and NAME.md, and the reverse: {odd:?}");
    }
}

#[test]
fn codes_are_words_that_a_label_may_hold() {
    for rule in CATALOGUE {
        let plain =
            rule.code.starts_with(|c: char| c.is_ascii_uppercase()) && rule.code.chars().all(|c| c.is_ascii_alphanumeric());
        assert!(plain, "{}", rule.code);
        assert!(
            !rule.summary.is_empty() && !rule.summary.ends_with('.'),
            "{}: the summary is one line without a full stop",
            rule.code
        );
    }
}

#[test]
fn explains_resolves_and_has_no_cycle() {
    for rule in CATALOGUE {
        for code in rule.explains {
            assert!(find(code).is_some(), "{} explains {code}, which is no rule", rule.code);
            assert_ne!(*code, rule.code, "{code} explains itself");
        }
    }
    // Takes away what explains nothing that is left, until nothing is left.
    let mut left: BTreeMap<&str, &Rule> = CATALOGUE.iter().map(|rule| (rule.code, *rule)).collect();
    loop {
        let leaves: Vec<&str> = left
            .values()
            .filter(|rule| rule.explains.iter().all(|code| !left.contains_key(code)))
            .map(|rule| rule.code)
            .collect();
        if leaves.is_empty() {
            break;
        }
        left.retain(|code, _| !leaves.contains(code));
    }
    assert!(left.is_empty(), "`explains` goes in a circle among {:?}", left.keys());
}

#[test]
fn every_page_has_its_sections() {
    let mut wrong = Vec::new();
    for rule in CATALOGUE {
        let mut sections: Vec<(&str, usize)> = Vec::new();
        for line in rule.doc.lines() {
            match (line.strip_prefix("## "), sections.last_mut()) {
                (Some(heading), _) => sections.push((heading.trim(), 0)),
                (None, Some((_, words))) => *words += line.split_whitespace().count(),
                (None, None) => {}
            }
        }
        let headings: Vec<&str> = sections.iter().map(|(heading, _)| *heading).collect();
        if headings != page::SECTIONS {
            wrong.push(format!("{}: its sections are {headings:?}", rule.code));
        }
        for (heading, words) in sections.iter().filter(|(_, words)| *words < 4) {
            wrong.push(format!("{}: {heading:?} says nothing ({words} words)", rule.code));
        }
    }
    assert!(wrong.is_empty(), "every page has the sections {:?}, each with content\n{}", page::SECTIONS, wrong.join("\n"));
}

/// Whoever reads a page at night wants something to type, to see that it is so and to mend it.
#[test]
fn every_page_says_what_to_type() {
    let mut wrong = Vec::new();
    for rule in CATALOGUE {
        for wanted in ["How to confirm", "How to mend"] {
            let section = rule.doc.split("\n## ").find_map(|section| section.strip_prefix(wanted)).unwrap();
            let typed = section.lines().skip_while(|line| !line.starts_with("```")).nth(1);
            if typed.is_none_or(|line| line.trim().is_empty()) {
                wrong.push(format!("{}: nothing to type below {wanted:?}", rule.code));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_rule_is_a_root_cause_somewhere() {
    let mut caused = BTreeSet::new();
    for folder in world::folders() {
        let expected = world::expected(&folder);
        for answer in expected.ingresses.values().chain(expected.services.values()) {
            caused.extend(answer.root_cause.clone());
            // What is by design leaves an Ingress Healthy, and such a one has no root cause.
            if answer.verdict == "Healthy" {
                caused.extend(answer.causes.clone());
            }
            // A symptom may always have its cause beside it.
            caused.extend(answer.symptoms.iter().filter(|code| find(code).is_some_and(|rule| rule.symptom)).cloned());
        }
    }
    let missing: Vec<_> = CATALOGUE.iter().map(|rule| rule.code).filter(|code| !caused.contains(*code)).collect();
    assert!(
        missing.is_empty(),
        "every rule has a folder in tests/scenarios in which it is the root cause; without one: {missing:?}"
    );
}

#[test]
fn files_are_short_and_open_with_their_purpose() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "xtask", "benches"] {
        let folder = sources::root().join(folder);
        for path in if folder.is_dir() { sources::rust_files(&folder) } else { Vec::new() } {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            if lines > LONGEST {
                wrong.push(format!("{}: {lines} lines, more than {LONGEST}", path.display()));
            }
            if !text.starts_with("//!") && !sources::is_for_tests(&path) {
                wrong.push(format!("{}: does not open with what it is for (//!)", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn nothing_points_to_one_machine() {
    let mut wrong = Vec::new();
    for path in sources::files(sources::root()) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for word in FOREIGN.map(|(a, b)| format!("{a}{b}")) {
            if let Some(line) = text.lines().position(|line| line.contains(&word)) {
                wrong.push(format!("{}:{}: {word}", path.display(), line + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_crd_is_what_the_program_prints() {
    sources::expect("crds/ingressdiagnoses.yaml", &printed("crd"));
}

#[test]
fn the_table_of_rules_is_the_catalogue() {
    let table = page::table().replace("](", "](../src/rules/");
    let text = format!(
        "# Rules\n\nGenerated from the catalogue. `ingress-diagnosis explain CODE` prints a page; each code below links to it.\n\n{table}"
    );
    sources::expect("docs/rules.md", &text);
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let readme = std::fs::read_to_string(sources::root().join("README.md")).unwrap();
    let shown = show(&readme);
    assert!(shown.contains("<!-- printed: "), "the README shows what the program prints");
    sources::expect("README.md", &shown);
}

/// A name that leads nowhere is worse than none.
#[test]
fn the_invariants_name_tests_that_exist() {
    let text = std::fs::read_to_string(sources::root().join("ARCHITECTURE.md")).unwrap();
    let table = text.split("## Invariants").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: BTreeSet<&str> = table.split('`').filter_map(|word| Some(word.split_once("::")?.1)).collect();
    assert!(named.len() > 10);
    let mut left = named;
    for path in ["src", "tests/it"].iter().flat_map(|folder| sources::rust_files(&sources::root().join(folder))) {
        let text = std::fs::read_to_string(path).unwrap();
        left.retain(|test| !text.contains(&format!("fn {test}(")));
    }
    assert!(left.is_empty(), "ARCHITECTURE.md names tests that are not there: {left:?}");
}

/// Fills the block of code below each `<!-- printed: ARGUMENTS -->` and each `<!-- file: PATH -->`.
fn show(markdown: &str) -> String {
    let mut shown = String::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        shown.push_str(line);
        shown.push('\n');
        let marker = |kind: &str| line.strip_prefix(&format!("<!-- {kind}: "))?.strip_suffix(" -->").map(str::to_owned);
        let (before, text) = match (marker("printed"), marker("file")) {
            (Some(arguments), _) => (format!("$ ingress-diagnosis {arguments}\n"), printed(&arguments)),
            (_, Some(file)) => (String::new(), std::fs::read_to_string(sources::root().join(file)).unwrap()),
            _ => continue,
        };
        let fence = lines.next().unwrap_or_default();
        assert!(fence.starts_with("```"), "a block of code follows {line}");
        lines.by_ref().find(|line| *line == "```");
        shown.push_str(&format!("{fence}\n{before}{}\n```\n", text.trim_end()));
    }
    shown
}

/// What the program prints, in the root of the repository.
fn printed(arguments: &str) -> String {
    let output = Command::new(Path::new(env!("CARGO_BIN_EXE_ingress-diagnosis")))
        .args(arguments.split_whitespace())
        .env("NO_COLOR", "1")
        .current_dir(sources::root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty() && output.status.code().is_some_and(|code| code < 2), "{arguments}: {said}");
    String::from_utf8(output.stdout).unwrap()
}
