//! PathInvalid: a path that the controller, or Compute, refuses.

use super::text::{json_patch, quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::kubernetes::HttpPath;
use crate::topology::{Topology, events, routing};

/// The rule.
pub static RULE: Rule = Rule {
    code: "PathInvalid",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "a path has a star where its type allows none, or is empty where its type needs one",
    doc: include_str!("path_invalid.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// A path of the Ingress and where it stands.
struct Place<'a> {
    host: &'a str,
    path: &'a HttpPath,
    /// JSON pointer.
    pointer: String,
}

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    let places: Vec<_> = ingress
        .spec
        .rules
        .iter()
        .enumerate()
        .flat_map(|(at, rule)| {
            let paths = rule.http.iter().flat_map(|http| &http.paths).enumerate();
            paths.map(move |(path_at, path)| {
                let pointer = format!("/spec/rules/{at}/http/paths/{path_at}");
                Place { host: routing::host(rule), path, pointer }
            })
        })
        .collect();
    let wrong: Vec<_> = places.iter().filter(|place| wrong(place.path)).collect();
    if wrong.is_empty() { refused_by_compute(topology, &places) } else { Ok(Some(refused_by_controller(topology, &wrong))) }
}

/// What the controller refuses (ingress-gce `pkg/controller/translator/translator.go`): ImplementationSpecific paths are not looked at.
fn wrong(path: &HttpPath) -> bool {
    matches!(&*path.path_type, "Exact" | "Prefix") && (path.path.is_empty() || path.path.contains('*'))
}

fn refused_by_controller(topology: &Topology<'_>, wrong: &[&Place<'_>]) -> Finding {
    let shown = wrong.iter().map(|place| format!("{:?} of type {}", place.path.path, place.path.path_type));
    let mut finding = Finding::certain(format!(
        "GKE refuses the path {}: Exact and Prefix paths take no star and are not empty",
        some_of(shown, 3)
    ));
    for place in wrong {
        let saw = format!("{:?}, pathType {}, host {}", place.path.path, place.path.path_type, place.host);
        finding = finding.evidence(format!("Ingress {}", place.pointer), saw);
    }
    let errors = topology.translate_errors().unwrap_or_default();
    if let Some((event, error)) = errors.iter().rev().find(|(_, error)| error.starts_with("failed to validate")) {
        finding = finding.evidence("Ingress event Translate", error).since(event.first);
    }
    let steps: Vec<_> = wrong.iter().filter_map(|place| mend(place)).collect();
    if steps.len() == wrong.len() {
        finding
            .fix("a Prefix path without the star means the same; a star at the end after a slash needs pathType ImplementationSpecific")
            .fix(json_patch(topology.namespace(), "ingress", topology.name(), steps))
    } else {
        finding.fix("write the path without a star as Prefix or Exact; a star may stand only at the end, after a slash, and only with pathType ImplementationSpecific").fix(edit(topology))
    }
}

/// The change that keeps the meaning; `None` where a star stands elsewhere than at the end, after a slash.
fn mend(place: &Place<'_>) -> Option<serde_json::Value> {
    let path = &*place.path.path;
    let stem = path.strip_suffix("/*");
    if path.is_empty() || (&*place.path.path_type == "Prefix" && stem == Some("")) {
        return Some(serde_json::json!({"op": "replace", "path": format!("{}/path", place.pointer), "value": "/"}));
    }
    let stem = stem.filter(|stem| !stem.contains('*'))?;
    Some(if &*place.path.path_type == "Prefix" {
        serde_json::json!({"op": "replace", "path": format!("{}/path", place.pointer), "value": stem})
    } else {
        serde_json::json!({"op": "replace", "path": format!("{}/pathType", place.pointer), "value": "ImplementationSpecific"})
    })
}

/// Compute refuses a path that the controller handed on: `Invalid value for field 'resource.pathMatchers[0].pathRules[1].paths[0]': '/a*'`.
fn refused_by_compute(topology: &Topology<'_>, places: &[Place<'_>]) -> Answer {
    let free = |place: &Place<'_>| !matches!(&*place.path.path_type, "Exact" | "Prefix") && !place.path.path.is_empty();
    if !places.iter().any(free) {
        return Ok(None);
    }
    // A path that any URL map takes was not refused; do not ask for events on its account.
    let errors = topology.sync_errors();
    if errors.is_err() && !places.iter().any(|place| free(place) && odd(&place.path.path)) {
        return Ok(None);
    }
    let errors = errors?;
    let refused = errors.iter().rev().find_map(|(event, error)| {
        let field = events::between(error, "'resource.pathMatchers", "'")?;
        let named = events::between(error, "': '", "'");
        (field.contains("].paths")).then_some((event, error, named))
    });
    let Some((event, error, named)) = refused else { return Ok(None) };
    // The live Ingress may not have the path any more.
    let still = |place: &&Place<'_>| free(place) && named.is_none_or(|named| *place.path.path == *named);
    let Some(place) = places.iter().find(still) else { return Ok(None) };
    let path = named.unwrap_or(&place.path.path);
    Ok(Some(
        Finding::certain(format!(
            "Compute refuses the path {path:?}: a path starts with a slash, and a star may stand only at its end, after a slash"
        ))
        .evidence("Ingress event Sync", error)
        .evidence(format!("Ingress {}", place.pointer), format!("{:?}, host {}", place.path.path, place.host))
        .since(event.first)
        .fix("correct the path: /* at its end covers all below it")
        .fix(edit(topology)),
    ))
}

/// A path that no URL map takes.
fn odd(path: &str) -> bool {
    !path.starts_with('/') || path.strip_suffix("/*").unwrap_or(path).contains('*')
}

fn edit(topology: &Topology<'_>) -> String {
    format!("kubectl -n {} edit ingress {}", quote(topology.namespace()), quote(topology.name()))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, world};

    const CODE: &str = "PathInvalid";

    fn with(type_: &str, path: &str) -> World {
        world("healthy-neg").edit("Ingress", "shop/cart", |ingress| {
            let entry = &mut ingress["spec"]["rules"][0]["http"]["paths"][0];
            entry["pathType"] = type_.into();
            entry["path"] = path.into();
        })
    }

    #[test]
    fn stars_and_empty_paths_by_type() {
        for (type_, path, step) in [
            ("Prefix", "/*", r#""path":"/spec/rules/0/http/paths/0/path","value":"/"}"#),
            ("Prefix", "/a/*", r#""value":"/a"}"#),
            ("Exact", "/a/*", r#""path":"/spec/rules/0/http/paths/0/pathType","value":"ImplementationSpecific"}"#),
            ("Prefix", "", r#""value":"/"}"#),
            ("Exact", "/a*b", "kubectl -n shop edit ingress cart"),
        ] {
            let found = with(type_, path).found("shop/cart", CODE);
            assert!(found[0].finding.fix[1].contains(step), "{type_} {path}: {:?}", found[0].finding.fix);
        }
        for (type_, path) in
            [("Prefix", "/"), ("Exact", "/a"), ("ImplementationSpecific", "/a/*"), ("ImplementationSpecific", "")]
        {
            assert!(with(type_, path).codes("shop/cart").is_empty(), "{type_} {path}");
        }
    }

    #[test]
    fn what_compute_refuses() {
        let text = "Error syncing to GCP: error running load balancer syncing routine: loadbalancer x does not exist: UpdateURLMap: googleapi: Error 400: Invalid value for field 'resource.pathMatchers[0].pathRules[0].paths[0]': '/a*'. Paths may have a wildcard only at the end, invalid";
        let refused = || with("ImplementationSpecific", "/a*").warned("shop/cart", "Sync", text);
        assert_eq!(refused().found("shop/cart", CODE).len(), 1);
        assert!(refused().unread("events").inconclusive("shop/cart").contains(&CODE));
        // Corrected since.
        assert!(with("ImplementationSpecific", "/a/*").warned("shop/cart", "Sync", text).found("shop/cart", CODE).is_empty());
        assert!(!with("ImplementationSpecific", "/a/*").unread("events").inconclusive("shop/cart").contains(&CODE));
    }
}
