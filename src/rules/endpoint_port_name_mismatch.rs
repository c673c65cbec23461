//! EndpointPortNameMismatch: no EndpointSlice has a port of the Service port's name, so the group stays empty without a word.

use std::collections::BTreeSet;

use serde_json::json;

use super::text::{quote, some_of};
use super::{Answer, Check, Finding, Rule, Section, Severity};
use crate::snapshot::kubernetes::{EndpointSlice, PortRef};
use crate::topology::backend::SliceEndpoint;
use crate::topology::{Backend, GroupKind, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "EndpointPortNameMismatch",
    section: Section::Groups,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "no EndpointSlice has a port of the Service port's name: the network endpoint group stays empty",
    doc: include_str!("endpoint_port_name_mismatch.md"),
    explains: &[
        "NegEndpointDrift",
        "BackendUnhealthy",
        "BackendPartiallyUnhealthy",
        "ReadinessGateBlocked",
        "ReadinessGateTimedOut",
    ],
    check: Check::Backend(check),
};

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    let Some(port) = backend.port.filter(|_| backend.kind == GroupKind::Neg) else { return Ok(None) };
    let endpoints = backend.endpoints.as_ref().map_err(Clone::clone)?;
    // The controller reads IPv4 slices; endpoints on their way out count for nothing.
    let live: Vec<_> =
        endpoints.iter().filter(|slot| &*slot.slice.address_type == "IPv4" && !slot.endpoint.terminating()).collect();
    let fresh =
        |slot: &&&SliceEndpoint<'_>| !topology.lasted(slot.slice.metadata.creation_timestamp, topology.grace.endpoint_drift);
    if live.is_empty() || live.iter().any(|slot| named(slot.slice, &port.name)) || live.iter().any(|slot| fresh(&slot)) {
        return Ok(None);
    }
    let empty = match backend.negs(topology) {
        Ok(negs) if negs.iter().all(|neg| neg.endpoints.is_ok()) => {
            Some(negs.iter().all(|neg| neg.endpoints.as_ref().is_ok_and(|list| list.is_empty())))
        }
        _ => None,
    };
    if empty == Some(false) {
        return Ok(None);
    }
    let mut slices: Vec<&EndpointSlice> = live.iter().map(|slot| slot.slice).collect();
    slices.dedup_by_key(|slice| &slice.metadata.name);
    let has: BTreeSet<String> = slices.iter().flat_map(|slice| &slice.ports).map(|port| format!("{:?}", port.name)).collect();
    let (namespace, service) = (backend.namespace, backend.service_name);
    let wrong = if has.is_empty() { "name no port at all".to_owned() } else { format!("name it {}", some_of(&has, 3)) };
    let message = format!(
        "port {} of Service {service:?} is named {:?}, but its EndpointSlices {wrong}: the network endpoint group stays empty",
        port.port, port.name
    );
    let mut finding = if empty == Some(true) { Finding::certain(message) } else { Finding::likely(message) };
    finding = finding.evidence(format!("Service {namespace}/{service} port {} name", port.port), format!("{:?}", &*port.name));
    for slice in &slices {
        let ports: Vec<_> = slice.ports.iter().map(|port| format!("{:?}", port.name)).collect();
        finding = finding.evidence(
            format!("EndpointSlice {namespace}/{} ports", slice.metadata.name),
            if ports.is_empty() { "none".to_owned() } else { ports.join(", ") },
        );
    }
    if empty == Some(true) {
        finding =
            finding.evidence(format!("network endpoint group {}", backend.neg_name.as_deref().unwrap_or_default()), "empty");
    }
    Ok(Some(match port.target() {
        PortRef::Name(target) if has.is_empty() => finding.fix(format!("declare a port named {target} in a container of the pods: the Service's targetPort names it")),
        _ => finding.fix(rename(backend, &slices, &port.name)).fix("a slice that another controller writes has to be corrected there; or give the Service port the name that the slices have"),
    }))
}

fn named(slice: &EndpointSlice, name: &str) -> bool {
    slice.ports.iter().any(|port| *port.name == *name && port.port.is_some())
}

/// Gives the first slice's first port the Service port's name.
fn rename(backend: &Backend<'_>, slices: &[&EndpointSlice], name: &str) -> String {
    let Some(slice) = slices.first().filter(|slice| !slice.ports.is_empty()) else {
        return format!("give the EndpointSlices of Service {} a port named {name:?}", backend.service_name);
    };
    let change = json!([{"op": "add", "path": "/ports/0/name", "value": name}]);
    format!(
        "kubectl -n {} patch endpointslice {} --type json -p {}",
        quote(backend.namespace),
        quote(&slice.metadata.name),
        quote(&change.to_string())
    )
}
