//! The alerts: one source, checked by promtool, in the forms that operators apply.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testbed::PrometheusAssets;
use testbed::prometheus::promtool;

use crate::dashboards::Names;
use crate::sources;

const SOURCE: &str = "config/prometheus/alerts.yaml";

/// The text of the source.
pub fn text() -> String {
    std::fs::read_to_string(sources::root().join(SOURCE)).unwrap()
}

/// Every alerting rule.
pub fn rules() -> Vec<Value> {
    let document = testbed::world::objects(&text()).unwrap().remove(0);
    let groups = document["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
}

fn field<'a>(rule: &'a Value, path: &str) -> &'a str {
    rule.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let assets = PrometheusAssets::locate().unwrap();
    let folder = sources::root().join("config/prometheus");
    let words = promtool(&assets, &["check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"], &folder, "").unwrap();
    assert!(words.contains(&format!("{} rules found", rules().len())), "{words}");
    let tests = sources::files(&folder.join("tests"));
    let tests: Vec<&str> = tests.iter().map(|path| path.to_str().unwrap()).collect();
    promtool(&assets, &[&["test", "rules"], &*tests].concat(), &folder, "").unwrap();
}

#[test]
fn every_alert_is_tested_to_fire_and_to_be_silent() {
    let mut fires = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for path in sources::files(&sources::root().join("config/prometheus/tests")) {
        let document = testbed::world::objects(&std::fs::read_to_string(path).unwrap()).unwrap().remove(0);
        for test in document["tests"].as_array().unwrap() {
            for case in test["alert_rule_test"].as_array().unwrap() {
                let name = field(case, "/alertname").to_owned();
                if case["exp_alerts"].as_array().unwrap().is_empty() {
                    silent.insert(name)
                } else {
                    fires.insert(name)
                };
            }
        }
    }
    let alerts: BTreeSet<String> = rules().iter().map(|rule| field(rule, "/alert").to_owned()).collect();
    assert!(alerts.len() > 10);
    assert_eq!(fires, alerts, "config/prometheus/tests has a time at which each alert fires");
    assert_eq!(silent, alerts, "config/prometheus/tests has a time at which each alert does not fire");
}

#[test]
fn every_alert_says_what_whoever_is_woken_needs() {
    for rule in rules() {
        let alert = field(&rule, "/alert");
        assert!(matches!(field(&rule, "/labels/severity"), "critical" | "warning"), "{alert}");
        for path in ["/for", "/annotations/summary", "/annotations/description", "/annotations/runbook_url"] {
            assert!(!field(&rule, path).is_empty(), "{alert} has no {path}");
        }
        let templates = rule["annotations"].as_object().unwrap().values();
        let looked_up = templates.flat_map(|template| queries(template.as_str().unwrap()));
        for expression in looked_up.chain([field(&rule, "/expr").to_owned()]) {
            let mut unknown = Names::of(&expression).unknown();
            // The scraper's own.
            unknown.retain(|name| name != "metric up");
            assert!(unknown.is_empty(), "{alert} asks for what the program does not export: {unknown:?}");
        }
    }
}

/// What a template looks up, with values in the place of what is filled in.
fn queries(template: &str) -> Vec<String> {
    // The labels of a target, and what is asked about it, stand in two calls of printf.
    let texts: Vec<String> = template.split("printf \"").skip(1).map(text_of_go).collect();
    let selector = texts.iter().find(|text| text.starts_with('{')).cloned().unwrap_or_default();
    texts.iter().filter(|text| !text.starts_with('{')).map(|text| text.replace("%s", &selector)).collect()
}

/// The text of a Go string from after its first quote.
fn text_of_go(rest: &str) -> String {
    let mut text = String::new();
    let mut characters = rest.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.extend(characters.next()),
            '"' => break,
            c => text.push(c),
        }
    }
    text.replace("%q", "\"\"")
}

#[test]
fn the_page_of_the_alerts_has_each() {
    let page = std::fs::read_to_string(sources::root().join("docs/alerts.md")).unwrap();
    let sections: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let rules = rules();
    let alerts: BTreeSet<&str> = rules.iter().map(|rule| field(rule, "/alert")).collect();
    assert_eq!(sections, alerts);
    for rule in &rules {
        let anchor = field(rule, "/annotations/runbook_url").split_once('#').map(|(_, anchor)| anchor.to_owned());
        assert!(anchor.is_none_or(|anchor| anchor == field(rule, "/alert").to_lowercase()), "{rule}");
    }
}

#[test]
fn the_readme_lists_them() {
    let readme = std::fs::read_to_string(sources::root().join("README.md")).unwrap();
    for rule in rules() {
        let [alert, severity, after] = ["/alert", "/labels/severity", "/for"].map(|path| field(&rule, path));
        let row = format!("| `{alert}` | {severity} | {after} | ");
        assert!(readme.contains(&row), "README.md lacks {row}");
    }
}

#[test]
fn the_operators_forms_are_made_from_the_source() {
    let text = text();
    let rules = &text[text.find("groups:\n").unwrap()..];
    let indented: String =
        rules.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect();
    let made = |version: &str, kind: &str, namespace: &str, comment: &str| {
        format!(
            "# Made from {SOURCE}, where the comments stand as well. {comment}\napiVersion: {version}\nkind: {kind}\nmetadata:\n  \
             name: ingress-diagnosis\n{namespace}  labels:\n    app.kubernetes.io/name: ingress-diagnosis\nspec:\n{indented}"
        )
    };
    let own = "  namespace: ingress-diagnosis\n";
    let operator =
        made("monitoring.coreos.com/v1", "PrometheusRule", own, "The operator takes it only where its `ruleSelector` does.");
    sources::expect("manifests/components/prometheus-rule/prometheus-rule.yaml", &operator);
    let managed = made("monitoring.googleapis.com/v1", "ClusterRules", "", "Evaluated over the series of this cluster alone.");
    sources::expect("manifests/components/cluster-rules/cluster-rules.yaml", &managed);
}

/// Whichever of several alerts about one thing fires, exactly one of them is sent: inhibition knows each alert, and goes in no circle.
#[test]
fn inhibition_names_alerts_and_goes_one_way() {
    let text = std::fs::read_to_string(sources::root().join("config/prometheus/alertmanager-inhibit.yaml")).unwrap();
    let document = testbed::world::objects(&text).unwrap().remove(0);
    let alerts: BTreeSet<String> = rules().iter().map(|rule| field(rule, "/alert").to_owned()).collect();
    let names = |matchers: &Value| -> BTreeSet<String> {
        let text = matchers[0].as_str().unwrap();
        let list = text.split('=').nth(1).unwrap().trim_start_matches('~').trim().trim_matches('"');
        list.split('|').map(str::to_owned).collect()
    };
    let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in document["inhibit_rules"].as_array().unwrap() {
        let (sources, targets) = (names(&rule["source_matchers"]), names(&rule["target_matchers"]));
        assert!(sources.is_subset(&alerts) && targets.is_subset(&alerts), "{rule}");
        for source in sources {
            below.entry(source).or_default().extend(targets.clone());
        }
    }
    for (source, targets) in &below {
        for target in targets {
            assert!(!below.get(target).is_some_and(|back| back.contains(source)), "{source} and {target} silence each other");
        }
    }
    let of_ingresses =
        ["GkeIngressDeletionBlocked", "GkeIngressWithoutAddress", "GkeIngressBroken", "GkeIngressCertificateNotActive"];
    for (at, first) in of_ingresses.iter().enumerate() {
        assert!(of_ingresses[at + 1..].iter().all(|second| below[*first].contains(*second)), "of two one is sent: {below:#?}");
    }
}
