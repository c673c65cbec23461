//! DuplicateHost: the same host stands in several rules, and only the last one counts.

use std::collections::BTreeMap;

use serde_json::json;

use super::text::{json_patch, quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::kubernetes::{HttpPath, Ingress};
use crate::topology::{Topology, routing};

/// The rule.
pub static RULE: Rule = Rule {
    code: "DuplicateHost",
    section: Section::Specification,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "the same host stands in several rules of the Ingress: only the last one counts",
    doc: include_str!("duplicate_host.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// The longest command that a finding holds whole.
const COMMAND_LIMIT: usize = 1000;

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    let mut rules: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, rule) in ingress.spec.rules.iter().enumerate() {
        // A rule without paths is passed over before it could replace another: RuleIgnored.
        if rule.http.is_some() {
            rules.entry(routing::host(rule)).or_default().push(at);
        }
    }
    rules.retain(|_, at| at.len() > 1);
    if rules.is_empty() {
        return Ok(None);
    }
    let hosts = some_of(rules.iter().map(|(host, at)| format!("{host:?} stands in {} rules", at.len())), 3);
    let lost: Vec<_> = rules.values().flat_map(|at| lost(ingress, at)).collect();
    let effect = if lost.is_empty() {
        "which has all that the others have".to_owned()
    } else {
        format!("so {} is not served as it says", some_of(lost.iter().map(|path| shown(path)), 3))
    };
    let mut finding = Finding::certain(format!("host {hosts}: only the last one counts, {effect}"));
    for (host, at) in &rules {
        for at in at {
            let paths = paths(ingress, *at).iter().map(shown);
            finding = finding.evidence(format!("Ingress spec.rules[{at}], host {host}"), some_of(paths, 5));
        }
    }
    let merge = json_patch(topology.namespace(), "ingress", topology.name(), merged(ingress, &rules));
    finding = finding.fix("put all paths of a host into one rule");
    Ok(Some(if merge.len() <= COMMAND_LIMIT {
        finding.fix(merge)
    } else {
        finding.fix(format!("kubectl -n {} edit ingress {}", quote(topology.namespace()), quote(topology.name())))
    }))
}

fn paths(ingress: &Ingress, rule: usize) -> &[HttpPath] {
    ingress.spec.rules.get(rule).and_then(|rule| rule.http.as_ref()).map_or(&[], |http| &http.paths)
}

fn shown(path: &HttpPath) -> String {
    if path.path.is_empty() { "/*".to_owned() } else { path.path.to_string() }
}

/// The paths of the earlier rules that the last one does not have in the same form.
fn lost<'a>(ingress: &'a Ingress, rules: &[usize]) -> Vec<&'a HttpPath> {
    let Some((last, earlier)) = rules.split_last() else { return Vec::new() };
    let kept = paths(ingress, *last);
    earlier.iter().flat_map(|rule| paths(ingress, *rule)).filter(|path| !kept.contains(path)).collect()
}

/// Steps of a JSON patch: what is missing goes into the last rule of its host, the earlier rules go away.
fn merged(ingress: &Ingress, rules: &BTreeMap<&str, Vec<usize>>) -> Vec<serde_json::Value> {
    let mut steps = Vec::new();
    for at in rules.values() {
        let Some(last) = at.last() else { continue };
        let has =
            |path: &HttpPath| paths(ingress, *last).iter().any(|kept| kept.path == path.path && kept.path_type == path.path_type);
        for path in lost(ingress, at).into_iter().filter(|path| !has(path)) {
            steps.push(json!({"op": "add", "path": format!("/spec/rules/{last}/http/paths/-"), "value": written(path)}));
        }
    }
    let mut earlier: Vec<_> = rules.values().filter_map(|at| at.split_last()).flat_map(|(_, earlier)| earlier).collect();
    earlier.sort();
    steps.extend(earlier.into_iter().rev().map(|at| json!({"op": "remove", "path": format!("/spec/rules/{at}")})));
    steps
}

/// A path as the API wants it.
fn written(path: &HttpPath) -> serde_json::Value {
    let type_ = if path.path_type.is_empty() { "ImplementationSpecific" } else { &path.path_type };
    let backend = match (&path.backend.service, &path.backend.resource) {
        (Some(service), _) if service.port.name.is_empty() => {
            json!({"service": {"name": service.name, "port": {"number": service.port.number}}})
        }
        (Some(service), _) => json!({"service": {"name": service.name, "port": {"name": service.port.name}}}),
        (None, Some(other)) => json!({"resource": {"apiGroup": other.api_group, "kind": other.kind, "name": other.name}}),
        (None, None) => json!({}),
    };
    let mut value = json!({"pathType": type_, "backend": backend});
    if !path.path.is_empty() {
        value["path"] = json!(path.path);
    }
    value
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, world};
    use super::*;
    use crate::diagnose::Verdict;

    fn rule(host: &str, path: &str, service: &str) -> serde_json::Value {
        let backend = json!({"service": {"name": service, "port": {"number": 80}}});
        let mut rule = json!({"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}});
        if !host.is_empty() {
            rule["host"] = host.into();
        }
        rule
    }

    fn with(rules: serde_json::Value) -> World {
        world("healthy-neg").edit("Ingress", "shop/cart", |ingress| ingress["spec"]["rules"] = rules)
    }

    #[test]
    fn no_host_and_the_star_are_the_same() {
        let found = with(json!([rule("", "/a", "cart"), rule("*", "/b", "cart")])).found("shop/cart", "DuplicateHost");
        assert!(found[0].finding.message.contains("\"*\""));
    }

    #[test]
    fn other_hosts_and_rules_without_paths_are_not_duplicates() {
        let rules = json!([rule("a.example", "/", "cart"), rule("*.a.example", "/", "cart"), {"host": "a.example"}]);
        assert_eq!(with(rules).codes("shop/cart"), ["RuleIgnored"]);
    }

    #[test]
    fn replaced_rules_are_still_checked_but_serve_nobody() {
        let twice = with(json!([rule("a.example", "/old", "gone"), rule("a.example", "/", "cart")]));
        assert_eq!(twice.codes("shop/cart"), ["DuplicateHost", "ServiceNotFound"]);
        // A Service that only a replaced rule names has no backend service, and its health is nobody's concern.
        let idle = twice.add(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "gone"},
            "spec": {"type": "NodePort", "selector": {"app": "gone"}, "ports": [{"port": 80, "nodePort": 30555}]},
        }));
        let diagnosis = idle.diagnosed("shop/cart");
        assert_eq!(idle.codes("shop/cart"), ["DuplicateHost"]);
        assert_eq!(diagnosis.map(|diagnosis| (diagnosis.verdict, diagnosis.endpoints.total())), Some((Verdict::Degraded, 3)));
    }

    #[test]
    fn the_mend_keeps_every_path_once() {
        let found = with(json!([rule("a.example", "/a", "x"), rule("a.example", "/", "y"), rule("a.example", "/", "cart")]))
            .found("shop/cart", "DuplicateHost");
        let mend = &found[0].finding.fix[1];
        assert_eq!(mend.matches(r#""op":"add""#).count(), 1, "{mend}");
        assert!(mend.ends_with(r#"{"op":"remove","path":"/spec/rules/1"},{"op":"remove","path":"/spec/rules/0"}]'"#), "{mend}");
    }
}
