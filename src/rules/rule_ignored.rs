//! RuleIgnored: a rule without paths, or an Ingress that says nothing.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::kubernetes::Ingress;
use crate::topology::{Topology, routing};

/// The rule.
pub static RULE: Rule = Rule {
    code: "RuleIgnored",
    section: Section::Specification,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "a rule of the Ingress has no paths and is passed over, or the Ingress has neither rules nor a default backend",
    doc: include_str!("rule_ignored.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(ingress) = topology.ingress() else { return Ok(None) };
    let instead = default_backend(ingress);
    let edit = format!("kubectl -n {} edit ingress {}", quote(topology.namespace()), quote(topology.name()));
    if ingress.spec.rules.is_empty() {
        return Ok(ingress.spec.default_backend.is_none().then(|| {
            Finding::certain(format!("the Ingress has neither rules nor a default backend: every request goes to {instead}"))
                .evidence("Ingress spec.rules", "empty")
                .evidence("Ingress spec.defaultBackend", "absent")
                .fix("add rules with paths, or a default backend")
                .fix(edit)
        }));
    }
    let ignored: Vec<_> = ingress
        .spec
        .rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.http.as_ref().is_none_or(|http| http.paths.is_empty()))
        .collect();
    if ignored.is_empty() {
        return Ok(None);
    }
    let hosts = some_of(ignored.iter().map(|(_, rule)| format!("{:?}", routing::host(rule))), 3);
    let mut finding = Finding::certain(format!(
        "the rule of host {hosts} has no paths and is passed over: requests that no other rule matches go to {instead}"
    ));
    for (at, rule) in ignored {
        finding = finding.evidence(format!("Ingress spec.rules[{at}], host {}", routing::host(rule)), "no http.paths");
    }
    Ok(Some(finding.fix("add paths to the rule, or drop it").fix(edit)))
}

/// Where requests go that no rule matches.
fn default_backend(ingress: &Ingress) -> String {
    match ingress.spec.default_backend.as_ref().and_then(|backend| backend.service.as_ref()) {
        Some(service) => format!("the default backend, Service {:?}", &*service.name),
        None => "the default backend, which answers 404".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, world};

    fn with(spec: serde_json::Value) -> World {
        world("healthy-neg").edit("Ingress", "shop/cart", |ingress| ingress["spec"] = spec)
    }

    #[test]
    fn neither_rules_nor_default_backend() {
        assert_eq!(with(serde_json::json!({})).codes("shop/cart"), ["RuleIgnored"]);
    }

    #[test]
    fn a_default_backend_alone_is_well() {
        let service = serde_json::json!({"name": "cart", "port": {"name": "http"}});
        assert!(with(serde_json::json!({"defaultBackend": {"service": service}})).codes("shop/cart").is_empty());
    }
}
