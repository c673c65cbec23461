//! Which routes of an Ingress reach the URL map.
//!
//! Enters: an Ingress. Leaves: its routes, each with whether it counts. Never: looks a Service up, or judges a path.
//! Source: ingress-gce `pkg/controller/translator/translator.go` (every rule is translated), `pkg/utils/gceurlmap.go`
//! (`PutPathRulesForHost`: a later rule of the same host replaces the earlier one, a later equal path wins).

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::kubernetes::{HttpPath, Ingress, IngressBackend, IngressRule};

/// A way from the frontend to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<'a> {
    /// `host/path`; the default backend's is `*`.
    pub place: String,
    /// Where it leads.
    pub backend: &'a IngressBackend,
    /// It stands in the URL map: no later rule of its host, and no later equal path, replaces it.
    pub counts: bool,
}

/// The host of a rule; the empty one and `*` are the same.
pub fn host(rule: &IngressRule) -> &str {
    if rule.host.is_empty() { "*" } else { &rule.host }
}

/// Every route of an Ingress, in the order of the specification.
pub fn routes(ingress: &Ingress) -> Vec<Route<'_>> {
    // A rule without `http` is passed over, so it replaces nothing.
    let rules: Vec<_> = ingress.spec.rules.iter().filter_map(|rule| Some((host(rule), rule.http.as_ref()?))).collect();
    let last: BTreeMap<&str, usize> = rules.iter().enumerate().map(|(at, (host, _))| (*host, at)).collect();
    let mut routes = Vec::new();
    for (at, (host, http)) in rules.into_iter().enumerate() {
        let first = routes.len();
        let mut later = BTreeSet::new();
        for path in http.paths.iter().rev() {
            let mut counts = false;
            for pattern in patterns(path) {
                counts |= later.insert(pattern);
            }
            let shown: &str = if path.path.is_empty() { "/*" } else { &path.path };
            let counts = counts && last.get(host) == Some(&at);
            routes.push(Route { place: format!("{host}{shown}"), backend: &path.backend, counts });
        }
        routes[first..].reverse();
    }
    let default = ingress.spec.default_backend.iter();
    routes.extend(default.map(|backend| Route { place: "*".to_owned(), backend, counts: true }));
    routes
}

/// The patterns that a path becomes in the URL map: a prefix covers itself and all below it.
fn patterns(path: &HttpPath) -> Vec<String> {
    match (&*path.path_type, &*path.path) {
        ("Prefix", "/") | (_, "") => vec!["/*".to_owned()],
        ("Prefix", prefix) => {
            let stem = prefix.strip_suffix('/').unwrap_or(prefix);
            vec![stem.to_owned(), format!("{stem}/*")]
        }
        (_, exact) => vec![exact.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of the routes, those that do not count in brackets.
    fn places(rules: serde_json::Value) -> Result<Vec<String>, serde_json::Error> {
        let ingress: Ingress = serde_json::from_value(serde_json::json!({"spec": {"rules": rules}}))?;
        let bracket = |route: Route<'_>| if route.counts { route.place } else { format!("[{}]", route.place) };
        Ok(routes(&ingress).into_iter().map(bracket).collect())
    }

    #[test]
    fn the_last_rule_of_a_host_counts() -> Result<(), serde_json::Error> {
        let path = |path: &str| serde_json::json!({"paths": [{"path": path, "pathType": "ImplementationSpecific"}]});
        let rules = serde_json::json!([
            {"host": "a.example", "http": path("/one")},
            {"host": "b.example", "http": path("/two")},
            {"host": "a.example", "http": path("/three")},
            {"host": "a.example"},
            {"http": path("/four")},
            {"host": "*", "http": path("")},
        ]);
        assert_eq!(places(rules)?, ["[a.example/one]", "b.example/two", "a.example/three", "[*/four]", "*/*"]);
        Ok(())
    }

    #[test]
    fn the_last_of_equal_paths_counts() -> Result<(), serde_json::Error> {
        let path = |path: &str, type_: &str| serde_json::json!({"path": path, "pathType": type_});
        let rules = serde_json::json!([{"host": "a.example", "http": {"paths": [
            path("/", "Prefix"), path("/x/", "Prefix"), path("/x/*", "ImplementationSpecific"), path("/y", "Prefix"),
            path("/y", "Prefix"), path("/*", "ImplementationSpecific"), path("/", "Exact"),
        ]}}]);
        assert_eq!(
            places(rules)?,
            ["[a.example/]", "a.example/x/", "a.example/x/*", "[a.example/y]", "a.example/y", "a.example/*", "a.example/"]
        );
        Ok(())
    }
}
