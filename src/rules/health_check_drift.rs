//! HealthCheckDrift: the health check is not the one that the controller would make now, and the controller leaves it as it is.

use serde_json::{Map, Value};

use super::text::quote;
use super::{Answer, Check, Finding, Rule, Section, Severity, backend_config};
use crate::snapshot::Unknown;
use crate::snapshot::compute::{HealthCheck, short_name};
use crate::topology::health_check::Derived;
use crate::topology::health_settings::Due;
use crate::topology::{Backend, GroupKind, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckDrift",
    section: Section::Health,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "the health check keeps old settings: the readinessProbe or the BackendConfig they came from has changed",
    doc: include_str!("health_check_drift.md"),
    explains: &[
        "HealthCheckRejected",
        "HealthCheckRedirected",
        "HealthCheckTimesOut",
        "HealthCheckPortWrong",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

/// A field that differs.
struct Difference {
    /// Its name in a BackendConfig, which is the API's but for the port.
    field: &'static str,
    is: String,
    due: String,
    /// What a BackendConfig would have to say; `None` where it cannot.
    set: Option<Value>,
}

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed {
        return Ok(None);
    }
    let Some(live) = backend.health_check.clone().known()? else { return Ok(None) };
    if !made_by_controller(live, backend) {
        return Ok(None);
    }
    let pods = backend.probed_pods(topology)?;
    // Without any pod nothing says what the application wants.
    if pods.is_empty() {
        return Ok(None);
    }
    let Some(due) = backend.due_health_check(&pods)? else { return Ok(None) };
    let differences = differences(live, &due, backend);
    if differences.is_empty() {
        return Ok(None);
    }
    let list = |pick: fn(&Difference) -> &String| {
        differences.iter().map(|one| format!("{} {}", one.field, pick(one))).collect::<Vec<_>>().join(", ")
    };
    let source = match due.chosen {
        Some(chosen) => format!("the readinessProbe of pod {}", chosen.pod.metadata.name),
        None => "the defaults, for want of a readinessProbe that counts".to_owned(),
    };
    let mut finding = Finding::certain(format!(
        "the health check of {} still has {}; made now, it would have {} from {source}, but GKE keeps what a health check was made with",
        backend.name,
        list(|one| &one.is),
        list(|one| &one.due)
    ));
    for one in &differences {
        finding = finding.evidence(format!("health check {} {}", live.name, one.field), &one.is);
    }
    let from = due.chosen.map_or_else(
        || format!("readinessProbes of the pods of Service {}", backend.service_name),
        |chosen| format!("pod {} container {} readinessProbe", chosen.pod.key(), chosen.container.name),
    );
    finding = finding.evidence(from, list(|one| &one.due));
    Ok(Some(mend(topology, backend, live, &due, finding)?))
}

/// The controller's own health check: its name is the backend service's, and its description one of the controller's, other than that
/// of transparent health checks, which look at no probe.
fn made_by_controller(live: &HealthCheck, backend: &Backend<'_>) -> bool {
    // ingress-gce `pkg/translator/healthchecks.go` (texts), `pkg/utils/healthcheck/healthcheck.go` (JSON).
    let text = &*live.description;
    let described = text.starts_with("Default kubernetes L7 Loadbalancing health check")
        || text.starts_with("Kubernetes L7 health check generated with")
        || text.contains("\"k8sResource\"") && !text.contains("\"TransparentHC\"");
    described && backend.backend_service_path.as_deref().is_some_and(|path| short_name(path) == &*live.name)
}

/// What differs. The type is always brought into line, and what BackendConfig sets is with the next sync: neither can drift.
fn differences(live: &HealthCheck, due: &Due<'_>, backend: &Backend<'_>) -> Vec<Difference> {
    let Some(http) = live.http() else { return Vec::new() };
    let Derived { request_path, host, check_interval_sec, timeout_sec, healthy_threshold, unhealthy_threshold, .. } = &due.derived;
    let config = due.config.cloned().unwrap_or_default();
    let mut differences = Vec::new();
    let path = if http.request_path.is_empty() { "/" } else { &*http.request_path };
    if config.request_path.is_none() && path != &**request_path {
        let set = Some(Value::from(&**request_path));
        differences.push(Difference { field: "requestPath", is: path.to_owned(), due: request_path.to_string(), set });
    }
    if http.host != *host {
        let word = |host: &str| if host.is_empty() { "none".to_owned() } else { host.to_owned() };
        differences.push(Difference { field: "host", is: word(&http.host), due: word(host), set: None });
    }
    let numbers = [
        ("checkIntervalSec", live.check_interval_sec, *check_interval_sec, config.check_interval_sec),
        ("timeoutSec", live.timeout_sec, *timeout_sec, config.timeout_sec),
        ("healthyThreshold", live.healthy_threshold, *healthy_threshold, config.healthy_threshold),
        ("unhealthyThreshold", live.unhealthy_threshold, *unhealthy_threshold, config.unhealthy_threshold),
    ];
    for (field, is, due, set) in numbers {
        if set.is_none() && is != due && is != 0 {
            differences.push(Difference { field, is: is.to_string(), due: due.to_string(), set: Some(due.into()) });
        }
    }
    let fixed = http.port.filter(|_| &*http.port_specification == "USE_FIXED_PORT" && config.port.is_none());
    if let (Some(fixed), Some(port)) = (fixed, backend.port) {
        let (due, number) = match backend.kind {
            GroupKind::InstanceGroup => (format!("{} of the nodes", port.node_port), Some(i64::from(port.node_port))),
            GroupKind::Neg => ("of the endpoint".to_owned(), backend.endpoint_port()),
        };
        if number != Some(fixed) {
            differences.push(Difference { field: "port", is: fixed.to_string(), due, set: number.map(Value::from) });
        }
    }
    differences
}

/// What makes health check and application agree: the values of a pod that still runs, in a BackendConfig.
fn mend(
    topology: &Topology<'_>,
    backend: &Backend<'_>,
    live: &HealthCheck,
    due: &Due<'_>,
    mut finding: Finding,
) -> Result<Finding, Unknown> {
    let mut wanted = Some(due.clone());
    if let Some(chosen) = due.chosen
        && chosen.pod.finished()
    {
        let (namespace, name) = (quote(backend.namespace), quote(&chosen.pod.metadata.name));
        finding = finding.fix(format!(
            "delete the finished pod, whose readinessProbe counts as long as it is the oldest: kubectl -n {namespace} delete pod {name}"
        ));
        let mut running = backend.probed_pods(topology)?;
        running.retain(|pod| !pod.finished());
        wanted = backend.due_health_check(&running)?;
    }
    let differences = wanted.as_ref().map(|due| differences(live, due, backend)).unwrap_or_default();
    let mut fields: Map<String, Value> =
        differences.iter().filter_map(|one| Some((one.field.to_owned(), one.set.clone()?))).collect();
    // The kubelet takes a timeout above the period, Compute does not.
    let timeout = wanted.map(|due| due.derived).filter(|derived| derived.timeout_sec > derived.check_interval_sec);
    if let Some(derived) = timeout.filter(|_| fields.contains_key("timeoutSec") || fields.contains_key("checkIntervalSec")) {
        fields.insert("checkIntervalSec".to_owned(), derived.timeout_sec.into());
    }
    if !fields.is_empty() {
        finding = backend_config::set(topology, backend, &Value::Object(fields)).iter().fold(finding, |finding, step| finding.fix(step));
    }
    let again = "delete all Ingresses that use this Service port and make them again: the health check is then made anew";
    let or = if finding.fix.is_empty() { "" } else { "or " };
    Ok(finding.fix(format!("{or}{again}")))
}
