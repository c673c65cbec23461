//! DefaultBackendUnavailable: the add-on's own backend for unmatched requests is missing or has no ready pod.

use super::text::quote;
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::Observed;
use crate::snapshot::kubernetes::Pod;
use crate::topology::addon::DEPLOYMENT;
use crate::topology::{Backend, Class, Role, State, Topology, annotations};

/// The rule.
pub static RULE: Rule = Rule {
    code: "DefaultBackendUnavailable",
    section: Section::Specification,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the system default backend, which the Ingress relies on, is missing or has no ready pod",
    doc: include_str!("default_backend_unavailable.md"),
    explains: &["NoAddress", "BackendUnhealthy", "BackendPartiallyUnhealthy", "ReadinessGateBlocked", "ReadinessGateTimedOut"],
    check: Check::Backend(check),
};

/// What the controller says of it (ingress-gce `pkg/controller/translator/translator.go`).
const TEXT: &str = "failed to retrieve the system default backend service";

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if backend.role != Role::SystemDefault {
        return Ok(None);
    }
    let own = format!(
        "or set spec.defaultBackend to a Service of your own: kubectl -n {} edit ingress {}",
        quote(topology.namespace()),
        quote(topology.name())
    );
    let service = match &backend.service {
        Observed::Present(service) => *service,
        Observed::Absent => {
            return Ok(Some(
                Finding::certain("Service kube-system/default-http-backend is missing: an Ingress without spec.defaultBackend cannot be translated")
                    .evidence("Service kube-system/default-http-backend", "absent")
                    .fix("restore the add-on's Service: switch the HTTP load balancing add-on off and on again, or create it as the add-on does")
                    .fix(own),
            ));
        }
        // The Services cannot be read: the controller, which reads them, may have said it.
        Observed::Unknown(why) => {
            let errors = topology.translate_errors()?;
            let Some((event, error)) = errors.iter().rev().find(|(_, error)| error.starts_with(TEXT)) else { return Err(why.clone()) };
            return Ok(Some(
                Finding::certain("GKE cannot use Service kube-system/default-http-backend: an Ingress without spec.defaultBackend cannot be translated")
                    .evidence("Ingress event Translate", error)
                    .fix("restore the add-on's Service: of type NodePort, with a port 80 named http")
                    .fix(own)
                    .since(event.first),
            ));
        }
    };
    let bare = matches!(service.type_(), "ClusterIP" | "ExternalName") && backend.port.is_none_or(|port| port.node_port == 0);
    if bare && !annotations::wants_ingress_neg(service) && topology.class() == Some(Class::External) {
        return Ok(Some(
            Finding::certain(format!(
                "Service kube-system/default-http-backend is of type {} and no longer a NodePort: an Ingress without spec.defaultBackend cannot be translated",
                service.type_()
            ))
            .evidence("Service kube-system/default-http-backend spec.type", service.type_())
            .fix("kubectl -n kube-system patch service default-http-backend --type merge -p '{\"spec\":{\"type\":\"NodePort\"}}'")
            .fix(own),
        ));
    }
    if backend.port.is_none() {
        return Ok(Some(
            Finding::certain("Service kube-system/default-http-backend has lost its port \"http\": an Ingress without spec.defaultBackend cannot be translated")
                .evidence("Service kube-system/default-http-backend spec.ports", "no port named \"http\"")
                .fix("give the Service its port back: port 80, targetPort 8080, name http")
                .fix(own),
        ));
    }
    let pods = backend.pods.as_ref().map_err(Clone::clone)?;
    let live: Vec<_> = pods.iter().filter(|pod| !pod.finished()).collect();
    if live.iter().any(|pod| pod.serves()) || backend.count(State::Healthy) > 0 {
        return Ok(None);
    }
    // A pod that is starting may take its time, unless the load balancer has already given the backend up.
    let starting = |pod: &&&Pod| !topology.lasted(pod.metadata.creation_timestamp, topology.grace.rollout);
    if live.iter().any(starting) && backend.count(State::Unhealthy) == 0 {
        return Ok(None);
    }
    let mut finding = Finding::certain(
        "no pod of the system default backend is ready: requests that match no rule get 502 instead of 404",
    )
    .severity(Severity::Warning);
    if live.is_empty() {
        finding = finding.evidence("pods behind Service kube-system/default-http-backend", "none");
    }
    for pod in live {
        finding = finding.evidence(format!("pod {}", pod.key()), pod.trouble());
    }
    Ok(Some(
        finding
            .fix(format!("find out why its pods are not ready: kubectl -n kube-system describe pods -l k8s-app=glbc; its Deployment is {DEPLOYMENT}"))
            .fix(own),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::world;

    const CODE: &str = "DefaultBackendUnavailable";
    const TEXT: &str = "Translation failed: invalid ingress spec: failed to retrieve the system default backend service \"kube-system/default-http-backend\" with port \"&ServiceBackendPort{Name:http,Number:0,}\": could not find service \"kube-system/default-http-backend\"";

    #[test]
    fn where_services_are_unread_the_controller_is_believed() {
        let blind = world("healthy-neg").unread("services");
        assert!(!blind.codes("shop/cart").contains(&CODE));
        assert!(blind.inconclusive("shop/cart").contains(&CODE));
        assert!(blind.warned("shop/cart", "Translate", TEXT).codes("shop/cart").contains(&CODE));
        // What is there now was mended.
        assert!(world("healthy-neg").warned("shop/cart", "Translate", TEXT).codes("shop/cart").is_empty());
    }

    #[test]
    fn a_starting_pod_is_no_excuse_for_what_the_load_balancer_has_given_up() {
        let mut young = world("default-backend-pending");
        let now = young.ago(1);
        for object in young.objects.iter_mut().filter(|object| object["kind"] == "Pod" && object["metadata"]["namespace"] == "kube-system") {
            object["metadata"]["creationTimestamp"] = now.clone().into();
        }
        let diagnosis = young.diagnosed("shop/cart");
        assert_eq!(diagnosis.and_then(|diagnosis| diagnosis.root_cause), Some(CODE));
    }
}
