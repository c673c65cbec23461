//! ForeignFinalizer: somebody else's finalizer keeps an Ingress that GKE's controller has let go.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::class::has_finalizer;
use crate::topology::{Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ForeignFinalizer",
    section: Section::LifeCycle,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "the Ingress is being deleted, somebody else's finalizer alone holds it, and GKE makes its load balancer again",
    doc: include_str!("foreign_finalizer.md"),
    explains: &[],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    let Some(asked) = ingress.metadata.deletion_timestamp else { return Ok(None) };
    let holders = &ingress.metadata.finalizers;
    // Without a controller nobody makes anything again.
    if has_finalizer(ingress) || holders.is_empty() || matches!(topology.addon_off(), Ok(Some(_))) {
        return Ok(None);
    }
    let mut finding = Finding::certain(format!(
        "the Ingress is being deleted and only {} holds it: GKE's controller takes it for a living one and makes its load balancer again, with another address",
        some_of(holders.iter().map(|holder| format!("{holder:?}")), 3)
    ))
    .evidence("Ingress metadata.deletionTimestamp", asked.to_string())
    .evidence("Ingress metadata.finalizers", holders.join(", "));
    let made = topology
        .events
        .as_deref()
        .unwrap_or_default()
        .iter()
        .rev()
        .find(|event| events::is_ingress_success(event) && event.last.is_some_and(|last| last > asked));
    if let Some(event) = made {
        finding = finding.evidence("Ingress event after the request for deletion", &event.message);
    }
    let (namespace, name) = (quote(topology.namespace()), quote(topology.name()));
    let patch = quote(r#"{"metadata":{"finalizers":null}}"#);
    for holder in holders.iter().take(3) {
        finding = finding.fix(owner(holder));
    }
    Ok(Some(
        finding
            .fix(format!("if its owner is gone for good: kubectl -n {namespace} patch ingress {name} --type merge -p {patch}"))
            .since(Some(asked)),
    ))
}

/// Who takes a finalizer off, as far as its name tells.
fn owner(finalizer: &str) -> String {
    match finalizer {
        "foregroundDeletion" => {
            "foregroundDeletion: Kubernetes waits for the objects that the Ingress owns; delete those that hang".to_owned()
        }
        "orphan" => {
            "orphan: Kubernetes releases the objects that the Ingress owns, and takes this finalizer off by itself".to_owned()
        }
        _ if finalizer.contains("argoproj.io") => {
            format!("{finalizer}: let Argo CD finish its sync or its deletion of the application")
        }
        _ => {
            let owner = finalizer.split_once('/').map_or(finalizer, |(owner, _)| owner);
            format!(
                "{finalizer}: find out why the controller of {owner} does not take it off, and bring it back if it is not running"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::world;

    const CODE: &str = "ForeignFinalizer";

    #[test]
    fn not_while_ours_is_there() {
        let both = world("foreign-finalizer").edit("Ingress", "shop/cart", |ingress| {
            ingress["metadata"]["finalizers"] =
                serde_json::json!(["foregroundDeletion", "networking.gke.io/ingress-finalizer-V2"]);
        });
        assert!(!both.codes("shop/cart").contains(&CODE));
    }

    #[test]
    fn not_on_a_living_ingress() {
        let living = world("foreign-finalizer").edit("Ingress", "shop/cart", |ingress| {
            if let Some(metadata) = ingress["metadata"].as_object_mut() {
                metadata.remove("deletionTimestamp");
            }
        });
        assert!(living.codes("shop/cart").is_empty());
    }
}
