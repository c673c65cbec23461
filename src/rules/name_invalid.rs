//! NameInvalid: the Ingress's name cannot become the name of a load balancer.

use super::text::quote;
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::kubernetes::Ingress;
use crate::topology::Topology;
use crate::topology::annotations::keys;
use crate::topology::class::{FINALIZERS, has_finalizer};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NameInvalid",
    section: Section::Listening,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the Ingress's name cannot become the name of a load balancer: it has a dot",
    doc: include_str!("name_invalid.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// What the controller says of such a name (ingress-gce `pkg/loadbalancers/l7s.go`).
const TEXT: &str = "must comply with RFC1035";

fn check(topology: &Topology<'_>) -> Answer {
    // One that is being deleted needs no name any more.
    let Some(ingress) = topology.ingress().filter(|ingress| ingress.metadata.deletion_timestamp.is_none()) else { return Ok(None) };
    let name = topology.name();
    let errors = topology.sync_errors().unwrap_or_default();
    let said = errors.iter().rev().find(|(_, error)| error.contains(TEXT));
    // Every part of a load balancer's name but this one is made by the controller, or is a DNS label.
    if said.is_none() && !refused(ingress) {
        return Ok(None);
    }
    let mut finding = Finding::certain(format!(
        "the name {name:?} has a dot, and GKE cannot make a load balancer's name of it: Compute allows letters, digits and dashes"
    ))
    .evidence("Ingress metadata.name", name);
    if let Some((event, error)) = said {
        finding = finding.evidence("Ingress event Sync", error).since(event.first);
    }
    let (namespace, better) = (quote(topology.namespace()), name.replace('.', "-"));
    Ok(Some(
        finding
            .fix(format!("make the same Ingress under a name without dots, such as {better}, and delete this one: an Ingress cannot be renamed"))
            .fix(format!("kubectl -n {namespace} get ingress {} -o yaml > ingress.yaml", quote(name)))
            .fix("in ingress.yaml change metadata.name and drop uid, resourceVersion, creationTimestamp, finalizers and status; then: kubectl apply -f ingress.yaml")
            .fix(format!("kubectl -n {namespace} delete ingress {}", quote(name))),
    ))
}

/// A dot, under the v2 names, and no load balancer that was made all the same.
fn refused(ingress: &Ingress) -> bool {
    let old_names = has_finalizer(ingress) && !ingress.metadata.finalizers.iter().any(|finalizer| **finalizer == *FINALIZERS[1]);
    ingress.metadata.name.contains('.') && !old_names && ingress.metadata.annotation(keys::URL_MAP).is_none()
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, world};
    use super::*;

    const CODE: &str = "NameInvalid";

    fn without_events() -> World {
        world("name-invalid").without(|object| object["kind"] == "Event" && object["involvedObject"]["name"] == "player.v2")
    }

    #[test]
    fn a_dot_is_enough() {
        assert_eq!(without_events().found("media/player.v2", CODE).len(), 1);
        assert_eq!(without_events().unread("events").found("media/player.v2", CODE).len(), 1);
    }

    #[test]
    fn not_once_it_is_being_deleted() {
        let mut going = world("name-invalid");
        let asked = going.ago(2);
        going.object("Ingress", "media", "player.v2")["metadata"]["deletionTimestamp"] = asked.into();
        assert!(going.codes("media/player.v2").is_empty());
    }

    #[test]
    fn not_under_the_old_names() {
        let old = without_events().edit("Ingress", "media/player.v2", |ingress| {
            ingress["metadata"]["finalizers"] = serde_json::json!([FINALIZERS[0]]);
        });
        assert!(old.found("media/player.v2", CODE).is_empty());
    }

    #[test]
    fn not_where_the_load_balancer_was_made() {
        let made = without_events().edit("Ingress", "media/player.v2", |ingress| {
            ingress["metadata"]["annotations"] = serde_json::json!({keys::URL_MAP: "k8s2-um-x"});
        });
        assert!(made.found("media/player.v2", CODE).is_empty());
    }
}
