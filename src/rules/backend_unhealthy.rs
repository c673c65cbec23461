//! BackendUnhealthy: a backend has endpoints, and none of them passes the health check.

use super::text::{self, counted, quote};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::kubernetes::Pod;
use crate::snapshot::probe::Scheme;
use crate::topology::questions::Question;
use crate::topology::{Backend, GroupKind, Role, State, Topology, annotations, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "BackendUnhealthy",
    section: Section::Health,
    severity: Severity::Error,
    symptom: true,
    unhandled: false,
    summary: "the load balancer finds no endpoint of the backend healthy",
    doc: include_str!("backend_unhealthy.md"),
    explains: &["ReadinessGateBlocked", "ReadinessGateTimedOut"],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if let Some(why) = backend.health_unread() {
        return accused_by_annotation(topology, backend).map_or(Err(why), |finding| Ok(Some(finding)));
    }
    if !backend.none_healthy() || within_rollout(topology, backend) {
        return Ok(None);
    }
    let total = backend.members_seen().count();
    let mut finding = Finding::certain(format!("the load balancer finds none of the {} of {} healthy", counted(total, "endpoint"), backend.name));
    for member in backend.unhealthy() {
        let behind = member.pod.map_or_else(|| member.node.to_string(), |pod| pod.key());
        finding = finding.evidence(format!("health of {} ({behind})", member.place()), "UNHEALTHY");
    }
    Ok(Some(closed(topology, backend, finding)))
}

/// Every pod behind the failing endpoints became ready only now, or is on its way out. An endpoint without a pod has been left behind,
/// where others have one; the nodes of an instance group fail and pass with the pods behind them.
fn within_rollout(topology: &Topology<'_>, backend: &Backend<'_>) -> bool {
    let grace = topology.grace.rollout;
    let coming = |pod: &Pod| !topology.lasted_when_read(backend, pod.serving_since(), grace);
    let leaving = |pod: &Pod| pod.terminating() && !topology.lasted_when_read(backend, pod.metadata.deletion_timestamp, grace);
    let pods: Vec<&Pod> = match backend.kind {
        GroupKind::Neg => backend.unhealthy().filter_map(|member| member.pod).collect(),
        GroupKind::InstanceGroup => backend.pods.as_deref().unwrap_or_default().iter().copied().filter(|pod| pod.serves()).collect(),
    };
    !pods.is_empty() && pods.into_iter().all(|pod| coming(pod) || leaving(pod))
}

/// The controller's own last word, where Compute tells nothing of the endpoints. It is written after each successful sync, at most 10 minutes apart:
/// beside a standing warning, or without a recent heartbeat, it may be old and accuses nobody.
fn accused_by_annotation(topology: &Topology<'_>, backend: &Backend<'_>) -> Option<Finding> {
    // The first health checks of a young load balancer are still to come.
    let ingress = topology.ingress().filter(|_| !topology.young())?;
    // Beside endpoints whose health was read, those that were not read may well pass.
    if backend.members_seen().any(|member| member.state != State::Unknown) {
        return None;
    }
    let name = backend.backend_service_path.as_deref()?.rsplit('/').next()?.to_owned();
    let states = annotations::backends(ingress);
    let state = states.get(&*name).filter(|state| matches!(&***state, "UNHEALTHY" | "TIMEOUT"))?;
    let heartbeat = topology.events.as_ref().ok()?.iter().filter(|event| events::is_heartbeat(event)).filter_map(|event| event.last).max()?;
    if topology.since(heartbeat) > topology.grace.heartbeat || !topology.warnings.as_ref().is_ok_and(Vec::is_empty) {
        return None;
    }
    let finding = Finding::likely(format!(
        "GKE's controller found no endpoint of {} healthy when it last synced; Compute, which would tell, could not be read",
        backend.name
    ))
    .evidence(format!("Ingress annotation {}", annotations::keys::BACKENDS), format!("{name}: {state}, written by a sync at most 20 minutes old"));
    Some(closed(topology, backend, finding))
}

const ASK: &str = "ask a pod what the health check asks, and look for anything but 200";

/// How to ask by hand what the health check asks.
fn asking(backend: &Backend<'_>, question: &Question<'_>, finding: Finding) -> Finding {
    let connects = question.scheme == Scheme::Tcp;
    let finding = finding.fix(if connects { "ask a pod for the connection that the health check makes" } else { ASK });
    let finding = finding.fix(text::ask(backend.namespace, question));
    if question.is_whole { finding } else { finding.fix(goes_on(backend)) }
}

/// What a health check wants once the connection stands.
fn goes_on(backend: &Backend<'_>) -> String {
    let kind = backend.health_check.as_ref().seen().map_or("", |check| &*check.type_);
    let wants = match kind {
        "GRPC" => "the service grpc.health.v1.Health must answer SERVING",
        "GRPC_WITH_TLS" => "the service grpc.health.v1.Health must answer SERVING, over TLS",
        "SSL" => "the application must take a TLS handshake",
        _ => "the application must send the response that the health check names",
    };
    format!("where the connection is made, look at what this health check wants then: {wants}")
}

fn closed(topology: &Topology<'_>, backend: &Backend<'_>, finding: Finding) -> Finding {
    let path = backend.backend_service_path.as_deref();
    let finding = match path.map(|path| path.rsplit('/').next().unwrap_or(path)) {
        Some(name) if !topology.project().is_empty() => {
            let scope = if topology.class().is_some_and(crate::topology::Class::regional) {
                format!("--region={}", quote(topology.region()))
            } else {
                "--global".to_owned()
            };
            finding.fix(format!("gcloud compute backend-services get-health {} {scope} --project={}", quote(name), quote(topology.project())))
        }
        _ => finding,
    };
    let finding = match backend.questions().first() {
        Some(question) => asking(backend, question, finding),
        None => finding.fix(ASK),
    };
    if backend.role == Role::SystemDefault { finding } else { finding.breaking() }
}
