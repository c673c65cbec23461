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
