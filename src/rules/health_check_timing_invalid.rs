//! HealthCheckTimingInvalid: the timeout of the health check is longer than its interval, which Compute refuses.

use serde_json::json;

use super::text::{patch, quote};
use super::mend::backend_config;
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::kubernetes::{BackendConfig, Event};
use crate::snapshot::{Observed, Unknown};
use crate::topology::health_check::Chosen;
use crate::topology::{Backend, Role, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckTimingInvalid",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the health check's timeout is longer than its interval, which Compute refuses",
    doc: include_str!("health_check_timing_invalid.md"),
    explains: &["NoAddress", "BackendUnhealthy", "BackendPartiallyUnhealthy", "ReadinessGateBlocked", "ReadinessGateTimedOut"],
    check: Check::Backend(check),
};

/// A timeout above the interval, and where the two come from.
struct Timing<'a> {
    timeout: i64,
    interval: i64,
    config: Option<&'a BackendConfig>,
    chosen: Option<Chosen<'a>>,
}

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::Routed {
        return Ok(None);
    }
    let Some(_) = backend.service.clone().known()? else { return Ok(None) };
    let said = said(topology);
    let timing = match (timing(topology, backend, said.is_some()), said) {
        (Err(_), Some((event, text))) if topology.own_backends().count() == 1 => {
            return Ok(Some(
                Finding::likely(format!("Compute refuses the health check of {}: its timeout is longer than its interval", backend.name))
                    .evidence("Ingress event Sync", text)
                    .fix(format!("make timeoutSec at most checkIntervalSec in {}", backend_config::place(backend)))
                    .since(event.first),
            ));
        }
        (timing, _) => timing?,
    };
    let Some(timing) = timing else { return Ok(None) };
    let Timing { timeout, interval, config, chosen } = timing;
    let mut finding = Finding::certain(format!(
        "the health check of {} would have a timeout of {timeout} s and an interval of {interval} s: Compute refuses a timeout that is longer",
        backend.name
    ));
    let set = config.and_then(|config| Some((config, config.spec.health_check.as_ref()?)));
    if let Some((config, check)) = set {
        let word = |value: Option<i64>| value.map_or_else(|| "not set".to_owned(), |value| value.to_string());
        finding = finding.evidence(
            format!("BackendConfig {}/{} spec.healthCheck", backend.namespace, config.metadata.name),
            format!("timeoutSec {}, checkIntervalSec {}", word(check.timeout_sec), word(check.check_interval_sec)),
        );
    }
    if let Some(Chosen { pod, container, probe }) = chosen {
        finding = finding.evidence(
            format!("pod {} container {} readinessProbe", pod.key(), container.name),
            format!("timeoutSeconds {}, periodSeconds {}", probe.timeout(), probe.period()),
        );
    }
    if let Some((event, text)) = said {
        finding = finding.evidence("Ingress event Sync", text).since(event.first);
    }
    Ok(Some(match set {
        Some((config, _)) => finding.fix(patch(
            backend.namespace,
            "backendconfig",
            &config.metadata.name,
            &json!({"spec": {"healthCheck": {"checkIntervalSec": timeout, "timeoutSec": timeout}}}),
        )),
        None => {
            let both = json!({"checkIntervalSec": timeout, "timeoutSec": timeout});
            let finding = finding.fix(format!(
                "give the readinessProbe a periodSeconds of at least {timeout}, or a timeoutSeconds of at most {interval}, in the workload of Service {}",
                quote(backend.service_name)
            ));
            backend_config::set(topology, backend, &both).iter().fold(finding, |finding, step| finding.fix(step))
        }
    }))
}

/// What would be refused; an error when it cannot be known whether the health check is still to be made.
fn timing<'a>(topology: &Topology<'a>, backend: &Backend<'a>, said: bool) -> Result<Option<Timing<'a>>, Unknown> {
    let Some(config) = backend.named_config()? else { return Ok(None) };
    let set = config.and_then(|config| config.spec.health_check.clone()).unwrap_or_default();
    let refused = |timeout, interval, chosen| (timeout > interval).then_some(Timing { timeout, interval, config, chosen });
    // Both set: whatever there is, this is what the controller sends.
    if let (Some(timeout), Some(interval)) = (set.timeout_sec, set.check_interval_sec) {
        return Ok(refused(timeout, interval, None));
    }
    match &backend.health_check {
        // ingress-gce `pkg/healthchecks/healthchecks.go` (`mergeUserSettings`): what BackendConfig leaves open stays as it is.
        Observed::Present(live) if set.timeout_sec.or(set.check_interval_sec).is_some() => {
            Ok(refused(set.timeout_sec.unwrap_or(live.timeout_sec), set.check_interval_sec.unwrap_or(live.check_interval_sec), None))
        }
        Observed::Present(_) => Ok(None),
        unmade => {
            let Some(due) = backend.due_health_check(&backend.probed_pods(topology)?)? else { return Ok(None) };
            let timing = refused(due.derived.timeout_sec, due.derived.check_interval_sec, due.chosen);
            match unmade {
                Observed::Unknown(why) if timing.is_some() && !said => Err(why.clone()),
                _ => Ok(timing),
            }
        }
    }
}

/// The controller's own words, where they still stand (ingress-gce `pkg/sync/sync.go`; the field's name is Compute's).
fn said<'a>(topology: &Topology<'a>) -> Option<(&'a Event, &'a str)> {
    let errors = topology.sync_errors().unwrap_or_default();
    errors.into_iter().find(|(_, text)| {
        text.contains("error ensuring health check") && ["timeoutSec", "checkIntervalSec"].iter().any(|field| text.contains(field))
    })
}
