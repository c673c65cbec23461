//! ReadinessProbeNotUsed: the pods have a readinessProbe that the controller cannot use, so the health check asks the default path.

use super::text::quote;
use super::mend::backend_config;
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::topology::answers::Answered;
use crate::topology::health_check::{PassedOver, Unusable, choose, passed_over};
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "ReadinessProbeNotUsed",
    section: Section::Health,
    severity: Severity::Warning,
    symptom: false,
    unhandled: false,
    summary: "the readinessProbe cannot be used for the health check, which asks the default path instead",
    doc: include_str!("readiness_probe_not_used.md"),
    explains: &[
        "HealthCheckRejected",
        "HealthCheckRedirected",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed {
        return Ok(None);
    }
    let Some(port) = backend.port else { return Ok(None) };
    let mut pods = backend.pods.clone()?;
    pods.retain(|pod| !pod.finished());
    let unused = passed_over(&pods, port, &backend.protocol);
    // Of several containers the one that serves is meant; a sidecar's probe is beside the point.
    let target = port.target();
    let serves = |one: &&PassedOver<'_>| {
        one.container.number_of(&target).is_some_and(|number| one.container.ports.iter().any(|port| port.container_port == number))
    };
    let Some(first) = unused.iter().find(serves).or(unused.first()) else { return Ok(None) };
    if choose(&pods, port, &backend.protocol).is_some() {
        return Ok(None);
    }
    let Some(check) = backend.health_check.clone().known()? else { return Ok(None) };
    let default_path = check.http().is_some_and(|http| matches!(&*http.request_path, "" | "/") && http.host.is_empty());
    // Where the default path answers, the load balancer is content with it, and nothing is wrong; a pod that is not Ready has other
    // troubles than what the health check asks.
    let failing = backend.failing_questions();
    let (true, Some(question)) = (default_path, failing.first()) else { return Ok(None) };
    let answers = backend.failing_answers(topology).unwrap_or_default();
    if !answers.is_empty() && answers.iter().all(Answered::passes) {
        return Ok(None);
    }
    // A path that BackendConfig names is meant, whatever the probe asks.
    let Some(config) = backend.named_config()? else { return Ok(None) };
    if config.and_then(|config| config.spec.health_check.as_ref()).is_some_and(|check| check.request_path.is_some()) {
        return Ok(None);
    }
    let (why, mend) = explain(first, &backend.protocol);
    let (pod, container) = (first.pod.key(), &first.container.name);
    let finding = Finding::certain(format!("the readinessProbe of container {container:?} is not used for the health check, which asks / instead: {why}"))
        .evidence(format!("pod {pod} container {container} readinessProbe"), &why)
        .evidence(format!("health check {} requestPath", check.name), "/");
    // With the protocol mended, a probe of another scheme may count; any other still does not.
    let of_scheme = matches!(first.why, Unusable::Scheme { .. });
    let finding = if of_scheme { finding } else { finding.beside("BackendProtocolMismatch") };
    let finding = backend_config::ask_elsewhere(topology, backend, question).iter().fold(finding, |finding, step| finding.fix(step));
    Ok(Some(finding.fix(format!(
        "or {mend}; a mended probe counts only after all Ingresses that use this port of Service {} were deleted and made again",
        quote(backend.service_name)
    ))))
}

/// Why it is not used, and what would make it usable.
fn explain(unused: &PassedOver<'_>, protocol: &str) -> (String, String) {
    let container = &unused.container.name;
    match &unused.why {
        Unusable::Kind(kind) => (format!("it is of kind {kind}, and only httpGet counts"), "make it an httpGet probe of a path that answers 200 on the serving port".to_owned()),
        Unusable::Host => ("it sets httpGet.host".to_owned(), "drop httpGet.host from the probe".to_owned()),
        Unusable::Headers => ("it sends headers other than a single Host".to_owned(), "drop the extra headers from the probe".to_owned()),
        Unusable::Scheme { probe, wanted } => (
            format!("its scheme is {probe}, and the Service port's protocol {protocol} needs {wanted}"),
            format!("give the probe the scheme {wanted}, or correct cloud.google.com/app-protocols on the Service"),
        ),
        Unusable::Undeclared(target) => (
            format!("the container does not declare the Service's targetPort {target}"),
            format!("declare port {target} in ports of container {container}"),
        ),
        Unusable::OtherPort { probe, target } => (
            format!("it asks port {probe}, and the Service's targetPort is {target}"),
            format!("make the probe ask port {target}"),
        ),
    }
}
