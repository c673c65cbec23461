//! StaticAddressUnusable: the reserved address that the Ingress names is not there, of the wrong kind, or taken.

use super::text::{annotate, project_flag, quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::compute::Address;
use crate::snapshot::kubernetes::Event;
use crate::snapshot::{Observed, Unknown};
use crate::topology::address::{Reservation, holder_name, scope_name};
use crate::topology::annotations::keys;
use crate::topology::{Class, Frontend, Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "StaticAddressUnusable",
    section: Section::Frontend,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the reserved address that the Ingress names is absent, in another scope, of the wrong kind, or taken",
    doc: include_str!("static_address_unusable.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let Some(frontend) = topology.frontend() else { return Ok(None) };
    let Some((key, name)) = frontend.static_address else { return Ok(None) };
    let annotation = |key: &str| topology.meta().annotation(key).filter(|name| !name.is_empty());
    if let (Some(global), Some(regional)) = (annotation(keys::GLOBAL_STATIC_IP), annotation(keys::REGIONAL_STATIC_IP)) {
        return Ok(Some(both(topology, global, regional)));
    }
    let reservation = topology.reservation(name);
    let said = said(topology, name);
    let finding = match &reservation.address {
        Observed::Absent => Some(absent(topology, name, &reservation)),
        Observed::Present(address) => match wrong_kind(topology, &frontend, address) {
            Some(wrong) => {
                let finding = Finding::certain(format!("reserved address {name:?} {wrong}"));
                Some(reserve(topology, finding, &format!("{name}-2"), &frontend, Some(key)))
            }
            None => taken(topology, &frontend, key, name, address, said.as_ref())?,
        },
        Observed::Unknown(why) => Some(unseen(topology, &frontend, key, name, said.as_ref(), why)?),
    };
    let Some(finding) = finding else { return Ok(None) };
    let finding = finding.evidence(format!("Ingress {}/{} annotation {key}", topology.namespace(), topology.name()), name);
    Ok(Some(match said {
        Some((event, error, _)) => finding.evidence("Ingress event Sync", error).since(event.first),
        None => finding,
    }))
}

/// What the controller complains of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Complaint {
    /// It cannot read the address: missing, in another scope, or forbidden (ingress-gce gives one text for all of them).
    NotFound,
    /// Compute says that it is in use.
    InUse,
}

fn said<'a>(topology: &Topology<'a>, name: &str) -> Option<(&'a Event, &'a str, Complaint)> {
    let errors = topology.sync_errors().unwrap_or_default();
    errors.into_iter().rev().find_map(|(event, error)| {
        if let Some(named) = events::between(error, "static IP name ", " doesn't translate to an existing static IP") {
            return (named == name).then_some((event, error, Complaint::NotFound));
        }
        let in_use = error.contains("IP_IN_USE_BY_ANOTHER_RESOURCE")
            || error.contains("in-use and would result in a conflict")
            || error.contains("Invalid value for field 'resource.IPAddress'")
            // The same words are used of certificates and URL maps that somebody else holds.
            || (error.contains("is already being used") && error.contains("IP "));
        in_use.then_some((event, error, Complaint::InUse))
    })
}

fn both(topology: &Topology<'_>, global: &str, regional: &str) -> Finding {
    let (namespace, name) = (topology.namespace(), topology.name());
    let wrong = if topology.class().is_some_and(Class::regional) { keys::GLOBAL_STATIC_IP } else { keys::REGIONAL_STATIC_IP };
    Finding::certain("the Ingress names a global and a regional reserved address, and the controller refuses both together")
        .evidence(format!("Ingress {namespace}/{name} annotation {}", keys::GLOBAL_STATIC_IP), global)
        .evidence(format!("Ingress {namespace}/{name} annotation {}", keys::REGIONAL_STATIC_IP), regional)
        .fix("keep the one that fits the class")
        .fix(format!("kubectl -n {} annotate ingress {} {wrong}-", quote(namespace), quote(name)))
}

fn absent(topology: &Topology<'_>, name: &str, reservation: &Reservation<'_>) -> Finding {
    let scope = scope_name(&reservation.path);
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Finding::certain(format!("the annotation holds the address {name} itself, and has to name a reserved one"))
            .fix(format!("put the name of the reserved address into the annotation ({scope})"))
            .fix(format!("gcloud compute addresses list --filter=\"address={name}\"{}", project_flag(topology)));
    }
    let finding = if reservation.elsewhere.is_empty() {
        Finding::certain(format!("reserved address {name:?} does not exist ({scope})"))
    } else {
        let others = some_of(reservation.elsewhere.iter().map(|path| scope_name(path)), 3);
        Finding::certain(format!(
            "reserved address {name:?} is in the wrong scope: {others}, and the Ingress's class looks in {scope}"
        ))
    };
    let finding = finding.evidence(&reservation.path, "absent");
    let finding = reservation.elsewhere.iter().fold(finding, |finding, path| finding.evidence(*path, "present"));
    let frontend = topology.frontend();
    match frontend {
        Some(frontend) => reserve(topology, finding, name, &frontend, None),
        None => finding,
    }
}

/// What is wrong with the address for this class.
fn wrong_kind(topology: &Topology<'_>, frontend: &Frontend<'_>, address: &Address) -> Option<String> {
    let internal = topology.class() == Some(Class::Internal);
    match &*address.address_type {
        "INTERNAL" if !internal => return Some("is an internal one, and the Ingress's class needs an external one".into()),
        "EXTERNAL" if internal => return Some("is an external one, and the Ingress's class needs an internal one".into()),
        _ => {}
    }
    let shared = address.purpose.is_empty() || &*address.purpose == "SHARED_LOADBALANCER_VIP";
    let twice = internal && frontend.protocols().count() > 1;
    (twice && !shared).then(|| format!("has purpose {}, so HTTP and HTTPS cannot share it", address.purpose))
}

/// Somebody else sits where this Ingress has to listen.
fn taken(
    topology: &Topology<'_>,
    frontend: &Frontend<'_>,
    key: &'static str,
    name: &str,
    address: &Address,
    said: Option<&(&Event, &str, Complaint)>,
) -> Answer {
    let missing = match topology.protocols_missing_at(&address.address, frontend) {
        Ok(missing) if missing.is_empty() => return Ok(None),
        Ok(missing) => missing,
        Err(why) => return unseen(topology, frontend, key, name, said, &why).map(Some),
    };
    let holders = topology.holders(address, &missing);
    let rivals = topology.rivals(name, &missing);
    // Who has published this very address holds it, even where its forwarding rule was not seen.
    let published = rivals.iter().find(|(_, has)| *has == Some(&*address.address));
    let by = holders
        .first()
        .map(|holder| holder.ingress.as_ref().map_or_else(|| holder_name(&holder.path), |ingress| format!("Ingress {ingress}")))
        .or_else(|| published.map(|(rival, _)| format!("Ingress {rival}")));
    let finding = match (by, said) {
        (Some(by), _) => Finding::certain(format!("reserved address {name:?} ({}) is used by {by}", address.address)),
        (None, Some((_, _, Complaint::InUse))) => {
            Finding::certain(format!("reserved address {name:?} ({}) is in use by something else", address.address))
        }
        // The controller asked after it was reserved, and still does not see it.
        (None, Some((event, _, Complaint::NotFound))) if matches!((address.creation_timestamp, event.last), (Some(made), Some(last)) if made < last) =>
        {
            return Ok(Some(
                Finding::possible(format!(
                    "reserved address {name:?} exists, and the controller cannot read it: its permission may be missing"
                ))
                .evidence("addresses", format!("{name} {}", address.address))
                .fix("see whether GKE's service agent still has roles/container.serviceAgent in the project"),
            ));
        }
        (None, _) => return Ok(None),
    };
    let finding = holders.iter().take(3).fold(finding, |finding, holder| {
        finding.evidence(
            &holder.path,
            holder.ingress.as_ref().map_or_else(|| "at this address".to_owned(), |ingress| format!("of Ingress {ingress}")),
        )
    });
    let finding = rivals
        .iter()
        .take(2)
        .fold(finding, |finding, (rival, _)| finding.evidence(format!("Ingress {rival}"), "names the same address"));
    Ok(Some(reserve(topology, finding, &format!("{name}-2"), frontend, Some(key))))
}

/// Compute was not read: the controller's word, or another Ingress that has got the same address, decides.
fn unseen(
    topology: &Topology<'_>,
    frontend: &Frontend<'_>,
    key: &'static str,
    name: &str,
    said: Option<&(&Event, &str, Complaint)>,
    why: &Unknown,
) -> Result<Finding, Unknown> {
    let rivals = topology.rivals(name, &frontend.protocols().collect::<Vec<_>>());
    let rival = rivals.iter().find(|(_, has)| has.is_some());
    let own = topology.ingress().and_then(|ingress| ingress.address());
    Ok(match (said, rival) {
        (Some((_, _, Complaint::NotFound)), _) => {
            let finding = Finding::certain(format!(
                "the controller finds no reserved address {name:?} in the scope of the Ingress's class"
            ));
            reserve(topology, finding, name, frontend, None)
        }
        (Some((_, _, Complaint::InUse)), _) => {
            let finding = Finding::certain(format!("reserved address {name:?} is in use by something else"));
            reserve(topology, finding, &format!("{name}-2"), frontend, Some(key))
        }
        (None, Some((rival, _))) if own.is_none() && !topology.young() => {
            let finding = Finding::likely(format!("reserved address {name:?} is used by Ingress {rival}, which names it too"))
                .evidence(format!("Ingress {rival}"), "names the same address, and has published one");
            reserve(topology, finding, &format!("{name}-2"), frontend, Some(key))
        }
        _ => return Err(why.clone()),
    })
}

/// How to get a usable address, and, where it has another name, how to give it to the Ingress.
fn reserve(topology: &Topology<'_>, finding: Finding, name: &str, frontend: &Frontend<'_>, rename: Option<&str>) -> Finding {
    let project = project_flag(topology);
    let region = quote(topology.region());
    let address = quote(name);
    let command = match topology.class() {
        Some(Class::Internal) => topology.subnetwork().map(|subnetwork| {
            let purpose = if frontend.protocols().count() > 1 { " --purpose=SHARED_LOADBALANCER_VIP" } else { "" };
            format!(
                "gcloud compute addresses create {address} --region={region} --subnet={}{purpose}{project}",
                quote(subnetwork)
            )
        }),
        Some(Class::RegionalExternal) => Some(format!("gcloud compute addresses create {address} --region={region}{project}")),
        _ => Some(format!("gcloud compute addresses create {address} --global{project}")),
    };
    let kind = match topology.class() {
        Some(Class::Internal) => "a regional internal address",
        Some(Class::RegionalExternal) => "a regional external address",
        _ => "a global external address",
    };
    let finding = finding.fix(match rename {
        Some(_) => format!("give this Ingress an address of its own: reserve {kind} and name it in the annotation"),
        None => format!("reserve {kind} of that name, or correct the annotation"),
    });
    let finding = match command {
        Some(command) => finding.fix(command),
        None => finding,
    };
    match rename {
        Some(key) => finding.fix(annotate(topology.namespace(), "ingress", topology.name(), key, name)),
        None => finding,
    }
}
