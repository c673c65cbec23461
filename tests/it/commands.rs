//! Every command that a finding or a page gives can be pasted.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use ingress_diagnosis::rules::CATALOGUE;
use serde_json::{Value, json};

use crate::world;

/// What a command may leave to its reader, because nobody else knows it: a free block of addresses, somebody's own backend service.
const LEFT_OPEN: [&str; 2] = ["RANGE", "BACKEND_SERVICE"];

/// Words in capitals that mean what they say.
const CONSTANTS: [&str; 14] = [
    "ACTIVE",
    "ADVANCED_DATAPATH",
    "ENABLED",
    "EOF",
    "GCE",
    "HTTP",
    "HTTP2",
    "HTTPS",
    "INGRESS",
    "RATE",
    "REGIONAL_MANAGED_PROXY",
    "SHARED_LOADBALANCER_VIP",
    "TCP",
    "UDP",
];

/// The commands in a line of advice: the line itself, or what stands behind a colon or in parentheses.
pub fn commands(fix: &str) -> Vec<&str> {
    const PROGRAMS: [&str; 3] = ["kubectl ", "gcloud ", "echo "];
    if PROGRAMS.iter().any(|program| fix.starts_with(program)) {
        return vec![fix];
    }
    let starts = PROGRAMS.iter().flat_map(|program| fix.match_indices(program)).map(|(at, _)| at);
    let starts: BTreeSet<usize> =
        starts.filter(|at| fix[..*at].ends_with([' ', '(']) && fix[..*at].trim_end().ends_with([':', '('])).collect();
    let command = |at: usize| {
        let rest = &fix[at..];
        let end = if fix[..at].ends_with('(') { rest.find(')') } else { rest.find("; ") };
        &rest[..end.unwrap_or(rest.len())]
    };
    starts.into_iter().map(command).collect()
}

/// The commands of all findings, by folder, each once in the order of the findings.
pub fn by_folder() -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for folder in world::folders() {
        let mut here: Vec<String> = Vec::new();
        for diagnosis in world::diagnoses(&world::snapshot(&folder)) {
            for found in diagnosis.findings.iter().flat_map(|root| root.all()) {
                for command in found.finding.fix.iter().flat_map(|fix| commands(fix)) {
                    if !here.iter().any(|known| known == command) {
                        here.push(command.to_owned());
                    }
                }
            }
        }
        all.insert(world::name(&folder), here);
    }
    all
}

/// The commands in the code blocks of the pages, by code.
pub fn of_pages() -> BTreeSet<(&'static str, String)> {
    let mut all = BTreeSet::new();
    for rule in CATALOGUE {
        let blocks = rule.doc.split("```").skip(1).step_by(2);
        let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("kubectl ") || line.starts_with("gcloud "));
        all.extend(lines.map(|line| (rule.code, line.to_owned())));
    }
    all
}

/// Whether a program is there; says so when it is not.
pub fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("version").arg("--client").output().is_ok();
    if !there {
        eprintln!("SKIPPED: there is no {program} here, so its commands were not tried");
    }
    there
}

/// A command's own words, and those of the commands whose output it takes in with `$(…)`.
fn taken_apart(command: &str) -> Vec<String> {
    match (command.find("$("), command.rfind(')')) {
        (Some(from), Some(to)) if from < to => {
            let outer = format!("{}123{}", &command[..from], &command[to + 1..]);
            vec![outer, command[from + 2..to].to_owned()]
        }
        _ => vec![command.split(" | ").next().unwrap().to_owned()],
    }
}

#[test]
fn every_gcloud_command_is_one() {
    if !is_there("gcloud") {
        return;
    }
    let start = std::time::Instant::now();
    let of_findings =
        by_folder().into_iter().flat_map(|(folder, commands)| commands.into_iter().map(move |command| (command, folder.clone())));
    // Values that a page leaves open stand for some that gcloud can read.
    let filled = |command: String| {
        command.replace("HOST_PROJECT", "my-project").replace("=PROJECT", "=my-project").replace("PORT", "8080")
    };
    let of_pages = of_pages().into_iter().map(|(code, command)| (filled(command), format!("the page of {code}")));
    let mut places = BTreeMap::new();
    for (command, place) in of_findings.chain(of_pages) {
        for part in taken_apart(&command).into_iter().filter(|part| part.starts_with("gcloud ")) {
            places.entry(part).or_insert_with(|| place.clone());
        }
    }
    let list: Vec<Value> =
        places.keys().enumerate().map(|(id, command)| json!({"command_string": command, "id": id.to_string()})).collect();
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), json!(list).to_string()).unwrap();
    let done =
        Command::new("gcloud").arg("meta").arg("lint-gcloud-commands").arg("--commands-file").arg(file.path()).output().unwrap();
    let said: Value =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    // A list, or a map by the ids that were given.
    let answers: Vec<&Value> =
        said.as_array().map_or_else(|| said.as_object().unwrap().values().collect(), |list| list.iter().collect());
    assert_eq!(answers.len(), places.len());
    let wrong: Vec<String> = answers
        .iter()
        .filter(|answer| answer["success"] != true)
        .map(|answer| format!("{}: {}", answer["command_string"], answer["error_message"]))
        .collect();
    eprintln!("{} gcloud commands, {} of them wrong, {:.0} s", places.len(), wrong.len(), start.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "{wrong:#?}\n{places:#?}");
}

#[test]
fn nothing_is_left_open_that_is_known() {
    let mut count = 0;
    for (folder, commands) in by_folder() {
        for command in commands {
            count += 1;
            assert!(!command.contains("PROJECT") && !command.contains("...") && !command.contains('…'), "{folder}: {command}");
            let marks = command.split('<').skip(1).filter(|rest| rest.starts_with(char::is_alphabetic) && rest.contains('>'));
            assert_eq!(marks.count(), 0, "{folder}: {command}");
            let capitals = command.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| {
                word.len() > 2
                    && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
                    && word.starts_with(char::is_alphabetic)
            });
            for word in capitals {
                assert!(CONSTANTS.contains(&word) || LEFT_OPEN.contains(&word), "{folder}: {word} in {command}");
            }
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn commands_are_found_in_sentences() {
    assert_eq!(commands("kubectl get nodes; ls"), ["kubectl get nodes; ls"]);
    assert_eq!(commands("read it: kubectl -n a get b; it says why"), ["kubectl -n a get b"]);
    assert_eq!(commands("first (gcloud x list), then: kubectl get y"), ["gcloud x list", "kubectl get y"]);
    assert!(commands("ask whoever runs kubectl here").is_empty());
    assert_eq!(taken_apart("gcloud a --b=\"c-$(gcloud d)@e\""), ["gcloud a --b=\"c-123@e\"", "gcloud d"]);
}
