//! FrontendConfigNotFound: the Ingress names a FrontendConfig that is not in its namespace.

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::Observed;
use crate::topology::Topology;
use crate::topology::annotations::keys;

/// The rule.
pub static RULE: Rule = Rule {
    code: "FrontendConfigNotFound",
    section: Section::Frontend,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "the Ingress names a FrontendConfig that does not exist: its settings are not applied",
    doc: include_str!("frontend_config_not_found.md"),
    // The load balancer is programmed without it.
    explains: &[],
    check: Check::Target(check),
};

/// ingress-gce `pkg/controller/controller.go` (`toRuntimeInfo`).
const TEXT: &str = "no FrontendConfig for Ingress exists";

fn check(topology: &Topology<'_>) -> Answer {
    if topology.frontend().is_none() {
        return Ok(None);
    }
    let Some((config, observed)) = topology.frontend_config() else { return Ok(None) };
    let errors = topology.sync_errors();
    let said = errors.as_deref().unwrap_or_default().iter().rev().find(|(_, error)| error.contains(TEXT));
    let (namespace, name) = (topology.namespace(), topology.name());
    let finding = Finding::certain(format!(
        "FrontendConfig {config:?} does not exist in namespace {namespace:?}; the load balancer serves without its redirect or SSL policy"
    ))
    .evidence(format!("Ingress {namespace}/{name} annotation {}", keys::FRONTEND_CONFIG), config);
    let finding = match (observed, said) {
        (Observed::Present(_), _) => return Ok(None),
        (Observed::Absent, _) => finding.evidence(format!("FrontendConfig {namespace}/{config}"), "absent"),
        (Observed::Unknown(_), Some(_)) => finding,
        (Observed::Unknown(why), None) => return Err(why),
    };
    let finding = match said {
        Some((event, error)) => finding.evidence("Ingress event Sync", error).since(event.first),
        None => finding,
    };
    let elsewhere = topology.snapshot.kubernetes.frontend_configs.namespaces_with(config);
    let finding = if elsewhere.is_empty() {
        finding
    } else {
        finding.evidence(format!("FrontendConfigs named {config:?} in other namespaces"), some_of(elsewhere, 3))
    };
    let (namespace, name) = (quote(namespace), quote(name));
    Ok(Some(
        finding
            .fix(format!("create FrontendConfig {config} in namespace {}, correct the name in the annotation, or drop it", topology.namespace()))
            .fix(format!("kubectl -n {namespace} get frontendconfigs"))
            .fix(format!("kubectl -n {namespace} annotate ingress {name} {}-", keys::FRONTEND_CONFIG)),
    ))
}
