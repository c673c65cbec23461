//! What a PromQL expression names: metrics and labels. Enough to know whether the code exports them; Prometheus itself judges the rest.

use std::collections::{BTreeMap, BTreeSet};

use ingress_diagnosis::publish::metrics::table::{Kind, TABLE};

/// Labels that a scraper or Prometheus adds, of which `le` is a histogram's own.
const ADDED: [&str; 4] = ["cluster", "job", "instance", "le"];

/// Metrics that are the scraper's.
const SCRAPERS: [&str; 1] = ["up"];

/// What the code exports: each series' name with its label names.
fn exported() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut exported = BTreeMap::new();
    for family in TABLE {
        let labels: BTreeSet<&str> = family.labels.iter().copied().collect();
        if family.kind == Kind::Histogram {
            for part in ["_bucket", "_sum", "_count"] {
                exported.insert(format!("{}{part}", family.name), labels.clone());
            }
        } else {
            exported.insert(family.name.to_owned(), labels);
        }
    }
    exported.extend(SCRAPERS.map(|name| (name.to_owned(), BTreeSet::new())));
    exported
}

/// What is wrong with the names in an expression; nothing when the code exports all of them.
pub fn strangers(expression: &str) -> Vec<String> {
    let exported = exported();
    let known: BTreeSet<&str> = exported.values().flatten().copied().chain(ADDED).collect();
    let text = without_strings(expression);
    let mut wrong = Vec::new();
    for (name, rest) in names(&text) {
        let ours = name.starts_with("ingress_diagnosis") || name.starts_with("process_") || SCRAPERS.contains(&name);
        let grouping = matches!(name, "by" | "without" | "on" | "ignoring" | "group_left" | "group_right");
        match exported.get(name) {
            Some(labels) => {
                let used = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
                let used = used.split(',').filter_map(|matcher| matcher.split(['=', '!', '~']).next()).map(str::trim);
                let odd = used.filter(|label| !label.is_empty() && !labels.contains(label) && !ADDED.contains(label));
                wrong.extend(odd.map(|label| format!("{name} has no label {label}")));
            }
            None if ours => wrong.push(format!("there is no metric {name}")),
            None if grouping => {
                let used = rest.trim_start().strip_prefix('(').and_then(|rest| rest.split(')').next()).unwrap_or_default();
                let odd = used.split(',').map(str::trim).filter(|label| !label.is_empty() && !known.contains(label));
                wrong.extend(odd.map(|label| format!("no metric has a label {label}")));
            }
            None => {}
        }
    }
    wrong
}

/// What stands in quotes is a value and not a name.
fn without_strings(text: &str) -> String {
    let mut left = String::new();
    let mut quote = None;
    let mut escaped = false;
    for c in text.chars() {
        match quote {
            Some(end) if c == end && !escaped => quote = None,
            Some(_) => escaped = c == '\\' && !escaped,
            None if matches!(c, '"' | '\'' | '`') => (quote, escaped) = (Some(c), false),
            None => left.push(c),
        }
    }
    left
}

/// Every word, with what follows it.
fn names(text: &str) -> Vec<(&str, &str)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(word) {
        let after = &rest[start..];
        let end = after.find(|c| !word(c)).unwrap_or(after.len());
        found.push((&after[..end], &after[end..]));
        rest = &after[end..];
    }
    found
}

#[test]
fn strangers_are_found() {
    let fine = r#"sum by (cluster, code) (rate(ingress_diagnosis_compute_requests_total{code!~"2..|by (x)",method="a\"{b="}[5m])) > 0 and on (job) up"#;
    assert_eq!(strangers(fine), Vec::<String>::new());
    let odd = r#"histogram_quantile(0.9, sum by (le, pot) (rate(ingress_diagnosis_reconcile_duration_seconds[5m]))) + ingress_diagnosis_leader{name="x"} or process_x"#;
    let said = [
        "no metric has a label pot",
        "there is no metric ingress_diagnosis_reconcile_duration_seconds",
        "ingress_diagnosis_leader has no label name",
        "there is no metric process_x",
    ];
    assert_eq!(strangers(odd), said);
}
