//! NoUsableNodes: the controllers use none of the cluster's nodes, so the backend services have no backends.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::{Observed, Unknown};
use crate::topology::nodes::{EXCLUDING_LABELS, unusable};
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NoUsableNodes",
    section: Section::Groups,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the controllers use none of the cluster's nodes: the backend services have no backends",
    doc: include_str!("no_usable_nodes.md"),
    explains: &[
        "NegNotCreated",
        "NegSyncFailed",
        "NegAttachFailed",
        "NegEndpointDrift",
        "NegDegraded",
        "NegNotAttached",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let usable = topology.usable_nodes();
    if usable.as_ref().is_ok_and(|nodes| !nodes.is_empty()) {
        return Ok(None);
    }
    let bare = without_backends(topology)?;
    if bare.is_empty() {
        return Ok(None);
    }
    usable?;
    let nodes: Vec<_> = topology.snapshot.kubernetes.nodes.all()?.collect();
    let names = some_of(&bare, 3);
    let message = if nodes.is_empty() {
        format!("the cluster has no node: the load balancer has no group of endpoints for {names}")
    } else {
        format!(
            "GKE's controllers use none of the {} nodes: the load balancer has no group of endpoints for {names}",
            nodes.len()
        )
    };
    let mut finding = Finding::certain(message).evidence("backends without a group", &names);
    for node in &nodes {
        finding = finding.evidence(format!("node {}", node.metadata.name), unusable(node).unwrap_or_default());
    }
    let label = EXCLUDING_LABELS.iter().find(|label| nodes.iter().any(|node| node.metadata.labels.contains_key(**label)));
    let finding = match label {
        Some(label) => {
            let labelled =
                nodes.iter().filter(|node| node.metadata.labels.contains_key(*label)).map(|node| quote(&node.metadata.name));
            let labelled = labelled.take(5).collect::<Vec<_>>().join(" ");
            finding.fix(format!("take the label off the nodes, and off their node pool: kubectl label nodes {labelled} {label}-"))
        }
        None => finding.fix("bring nodes up that are Ready: look at the node pools, their quota and their errors"),
    };
    Ok(Some(finding.fix("kubectl get nodes --show-labels")))
}

/// The backends whose backend service has no group at all; of a standalone NEG those that have none in any zone.
fn without_backends(topology: &Topology<'_>) -> Result<Vec<String>, Unknown> {
    let bare = |backend: &&Backend<'_>| {
        let made =
            backend.role == Role::Standalone && backend.port.is_some() || matches!(backend.backend_service, Observed::Present(_));
        made && backend.groups.as_ref().is_ok_and(Vec::is_empty)
    };
    let names: Vec<_> = topology.backends.iter().filter(bare).map(|backend| backend.name.clone()).collect();
    let unread = topology.backends.iter().find_map(|backend| backend.groups.as_ref().err());
    match unread {
        Some(why) if names.is_empty() => Err(why.clone()),
        _ => Ok(names),
    }
}
