//! NoAddress: the Ingress has no address past the time that a load balancer may take.

use super::text::quote;
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::{Class, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "NoAddress",
    section: Section::LifeCycle,
    severity: Severity::Error,
    symptom: true,
    unhandled: true,
    summary: "the Ingress has no address past the time that a load balancer may take",
    doc: include_str!("no_address.md"),
    explains: &[],
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    let waits = ingress.address().is_none() && !topology.young();
    if !waits || ingress.metadata.deletion_timestamp.is_some() || topology.class() == Some(Class::Left) {
        return Ok(None);
    }
    let since = topology.first_sync();
    Ok(Some(
        Finding::certain(match since {
            Some(since) => format!("the Ingress has no address, although it is there since {since}"),
            None => "the Ingress has no address".to_owned(),
        })
            .evidence("Ingress status.loadBalancer.ingress", "empty")
            .fix(format!("kubectl -n {} describe ingress {}", quote(topology.namespace()), quote(topology.name())))
            .since(since)
            .breaking(),
    ))
}
