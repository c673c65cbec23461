//! StaleStatus: an Ingress that left GKE still shows GKE's address and annotations.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::annotations::keys;
use crate::topology::class::has_finalizer;
use crate::topology::{Class, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "StaleStatus",
    section: Section::LifeCycle,
    severity: Severity::Warning,
    symptom: false,
    unhandled: true,
    summary: "the Ingress is no longer of a class of GKE's, and GKE's address and annotations are still on it",
    doc: include_str!("stale_status.md"),
    explains: &[],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    if !matches!(topology.class(), Some(Class::Left | Class::Missed)) || ingress.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let Some(address) = ingress.address() else { return Ok(None) };
    let left: Vec<_> = keys::WRITTEN.into_iter().filter(|key| ingress.metadata.annotation(key).is_some()).collect();
    if left.is_empty() {
        return Ok(None);
    }
    let class = match (ingress.metadata.annotation(keys::INGRESS_CLASS), &ingress.spec.ingress_class_name) {
        (Some(class), _) if !class.is_empty() => class,
        (_, class) => class.as_deref().unwrap_or_default(),
    };
    let (namespace, name) = (quote(topology.namespace()), quote(topology.name()));
    let finding = Finding::certain(format!(
        "the Ingress is of class {class:?} now, and still shows the address {address} and the annotations of its former GKE load balancer"
    ))
    .evidence("Ingress status.loadBalancer.ingress", address)
    .evidence("Ingress annotations of GKE's controller", some_of(&left, 9));
    if has_finalizer(ingress) {
        return Ok(Some(
            finding
                .evidence("Ingress metadata.finalizers", "the finalizer of GKE's controller")
                .fix("GKE's controller has not finished deleting the load balancer: wait until its finalizer is gone, and mend what its GarbageCollection events name")
                .fix(format!("kubectl -n {namespace} describe ingress {name}")),
        ));
    }
    let clear = left.iter().map(|key| format!("{key}-")).collect::<Vec<_>>().join(" ");
    let patch = quote(r#"{"status":{"loadBalancer":{"ingress":null}}}"#);
    Ok(Some(
        finding
            .fix("point DNS at the load balancer that serves the Ingress now, then clear what is left")
            .fix(format!("kubectl -n {namespace} patch ingress {name} --subresource=status --type merge -p {patch}"))
            .fix(format!("kubectl -n {namespace} annotate ingress {name} {clear}")),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::world;

    #[test]
    fn a_gce_like_class_name_may_have_been_gce_before() {
        let missed = world("healthy-neg").edit("Ingress", "shop/cart", |ingress| {
            ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"] = "GCE".into();
            ingress["metadata"]["finalizers"] = serde_json::json!([]);
        });
        assert_eq!(missed.codes("shop/cart"), ["IngressClassNotHandled", "StaleStatus"]);
    }

    #[test]
    fn the_controller_may_still_be_at_work() {
        let held = world("stale-status").edit("Ingress", "forum/threads", |ingress| {
            ingress["metadata"]["finalizers"] = serde_json::json!(["networking.gke.io/ingress-finalizer-V2"]);
        });
        let found = held.found("forum/threads", "StaleStatus");
        assert!(found[0].finding.fix[0].contains("has not finished"));
    }

    #[test]
    fn an_address_alone_is_anybodys() {
        let plain = world("stale-status").edit("Ingress", "forum/threads", |ingress| {
            ingress["metadata"]["annotations"] = serde_json::json!({"kubernetes.io/ingress.class": "nginx"});
        });
        assert!(plain.diagnosed("forum/threads").is_none());
    }
}
