//! ResourceBackendUnsupported: a backend is a resource other than a Service.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::Topology;

/// The rule.
pub static RULE: Rule = Rule {
    code: "ResourceBackendUnsupported",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "a backend of the Ingress is a resource other than a Service, which GKE does not support",
    doc: include_str!("resource_backend_unsupported.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let routes = topology.routes();
    let resources: Vec<_> = routes.iter().filter_map(|route| Some((route, route.backend.resource.as_ref()?))).collect();
    if resources.is_empty() {
        return Ok(None);
    }
    let places = some_of(
        resources.iter().map(|(route, resource)| format!("{:?} to {} {:?}", route.place, resource.kind, resource.name)),
        3,
    );
    let mut finding =
        Finding::certain(format!("the Ingress routes {places}, and GKE routes to Services alone: it refuses the whole Ingress"));
    for (route, resource) in &resources {
        let group = if resource.api_group.is_empty() { "core" } else { &resource.api_group };
        finding = finding.evidence(
            format!("Ingress backend of {}", route.place),
            format!("resource {group} {} {}", resource.kind, resource.name),
        );
    }
    let errors = topology.translate_errors().unwrap_or_default();
    if let Some((event, error)) = errors.iter().rev().find(|(_, error)| error.contains("Ingress Backend is not a service")) {
        finding = finding.evidence("Ingress event Translate", error).since(event.first);
    }
    Ok(Some(
        finding
            .fix("name a Service in place of each resource; a bucket is served by a Service whose pods fetch from it, or by a load balancer of your own")
            .fix(format!("kubectl -n {} edit ingress {}", quote(topology.namespace()), quote(topology.name()))),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::world;

    #[test]
    fn the_default_backend_counts_too() {
        let bucket = world("healthy-neg").edit("Ingress", "shop/cart", |ingress| {
            let resource = serde_json::json!({"kind": "StorageBucket", "name": "assets"});
            ingress["spec"]["defaultBackend"] = serde_json::json!({"resource": resource});
        });
        assert_eq!(bucket.codes("shop/cart"), ["ResourceBackendUnsupported"]);
    }
}
