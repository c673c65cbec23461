//! What mends the errors of the NEG controller.
//!
//! Enters: the text of a condition or an event. Leaves: one sentence. Never: a sentence for a text that it does not know.
//! Source: ingress-gce `pkg/neg/types/sync_errors.go`, and the Compute API's errors that the controller wraps.

use crate::rules::text::quote;
use crate::topology::Backend;

/// A fragment of a text, and what mends it.
const ADVICE: [(&str, &str); 18] = [
    (
        "missing nodeName",
        "give every endpoint of the Service's EndpointSlices its nodeName: one without it blocks the whole group",
    ),
    ("non-existing node", "correct or delete the endpoint whose node does not exist: one such endpoint blocks the whole group"),
    ("PodCIDR not set", "the node has no podCIDR: network endpoint groups need a VPC-native cluster"),
    ("missing zone field", "the node has no usable spec.providerID: recreate the node"),
    ("missing pod field", "give every endpoint of a hand-written EndpointSlice a targetRef to its pod"),
    ("non-existing pod", "correct or delete the endpoint whose pod does not exist"),
    ("terminal pod", "delete the pod that has ended, so that its endpoint goes away"),
    (
        "does not match",
        "correct the hand-written EndpointSlice: an endpoint must have an address of its pod, inside the node's podCIDR",
    ),
    (
        "out of PodCIDR",
        "correct the hand-written EndpointSlice: an endpoint must have an address of its pod, inside the node's podCIDR",
    ),
    (
        "endpoint information for attach/detach operation is incorrect",
        "compare the addresses and nodes in the Service's EndpointSlices with its pods: Compute refuses an endpoint that is not on its node",
    ),
    ("counts from endpointData and endpointPodMap", "look for endpoints without a living pod in the Service's EndpointSlices"),
    ("QUOTA_EXCEEDED", "raise the quota that the text names, or delete network endpoint groups that nobody uses"),
    ("Quota '", "raise the quota that the text names, or delete network endpoint groups that nobody uses"),
    ("' permission for '", "give GKE's service agent its role roles/container.serviceAgent back"),
    ("conflicting description", "the group of that name belongs to somebody else: give this Service's group another name"),
    ("rateLimitExceeded", "the project's request rate at the Compute API is used up: the controller tries again by itself"),
    (
        "backendError",
        "Compute fails by itself: the controller tries again; when it lasts, look at the status page of Google Cloud and ask support",
    ),
    ("being used by", "take the group out of the backend service that still uses it"),
];

/// What mends an error, when its text is known.
pub fn advice(text: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(fragment, _)| text.contains(fragment)).map(|(_, advice)| *advice)
}

/// The commands that show how the NEG controller stands with a Service port.
pub fn look(backend: &Backend<'_>) -> String {
    let namespace = quote(backend.namespace);
    match &backend.neg_name {
        Some(neg) => format!("kubectl -n {namespace} describe servicenetworkendpointgroup {}", quote(neg)),
        None => format!("kubectl -n {namespace} describe service {}", quote(backend.service_name)),
    }
}

/// Makes the NEG controller look at the Service again: any change of it does.
pub fn touch(backend: &Backend<'_>) -> String {
    let (namespace, service) = (quote(backend.namespace), quote(backend.service_name));
    format!("kubectl -n {namespace} annotate service {service} --overwrite ingressdiagnosis.dev/retry=\"$(date +%s)\"")
}

/// The error inside a text: without the words that the controller puts before it.
pub fn bare(text: &str) -> &str {
    let text = text.split_once(" retry): ").map_or(text, |(_, error)| error);
    match text.strip_prefix("Failed to Attach ") {
        Some(rest) => rest.split_once("\"): ").map_or(text, |(_, error)| error),
        None => text,
    }
}
