//! StaticAddressUnusable: the reserved address that the Ingress names is not there, of the wrong kind, or taken.

use super::text::{annotate, project_flag, quote, reserve_address, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::snapshot::compute::Address;
use crate::snapshot::kubernetes::Event;
use crate::snapshot::{Observed, Unknown};
use crate::topology::address::{Complaint, Reservation, holder_name, scope_name};
use crate::topology::annotations::keys;
use crate::topology::{Class, Frontend, Topology};

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
    let said = topology.address_complaint(name);
    let finding = match &reservation.address {
        Observed::Absent => Some(absent(topology, &frontend, name, &reservation)),
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

fn both(topology: &Topology<'_>, global: &str, regional: &str) -> Finding {
    let (namespace, name) = (topology.namespace(), topology.name());
    let wrong = if topology.class().is_some_and(Class::regional) { keys::GLOBAL_STATIC_IP } else { keys::REGIONAL_STATIC_IP };
    Finding::certain("the Ingress names a global and a regional reserved address, and the controller refuses both together")
        .evidence(format!("Ingress {namespace}/{name} annotation {}", keys::GLOBAL_STATIC_IP), global)
        .evidence(format!("Ingress {namespace}/{name} annotation {}", keys::REGIONAL_STATIC_IP), regional)
        .fix("keep the one that fits the class")
        .fix(format!("kubectl -n {} annotate ingress {} {wrong}-", quote(namespace), quote(name)))
}

fn absent(topology: &Topology<'_>, frontend: &Frontend<'_>, name: &str, reservation: &Reservation<'_>) -> Finding {
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
    reserve(topology, finding, name, frontend, None)
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
        // The address is there, whatever the forwarding rules are.
        Err(_) if matches!(said, Some((_, _, Complaint::NotFound))) => frontend.protocols().collect(),
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
        (None, Some((_, _, Complaint::Refused))) => Finding::certain(format!(
            "reserved address {name:?} ({}) is refused by Compute: something else uses it, or it is of another kind than needed",
            address.address
        )),
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
        (Some((_, _, Complaint::Refused)), _) => {
            let finding = Finding::certain(format!(
                "reserved address {name:?} is refused by Compute: something else uses it, or it is of another kind than needed"
            ));
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
    let kind = match topology.class() {
        Some(Class::Internal) => "a regional internal address",
        Some(Class::RegionalExternal) => "a regional external address",
        _ => "a global external address",
    };
    let finding = finding.fix(match rename {
        Some(_) => format!("give this Ingress an address of its own: reserve {kind} and name it in the annotation"),
        None => format!("reserve {kind} of that name, or correct the annotation"),
    });
    let command = reserve_address(topology, name, frontend.protocols().count() > 1);
    let finding = command.into_iter().fold(finding, Finding::fix);
    rename
        .into_iter()
        .fold(finding, |finding, key| finding.fix(annotate(topology.namespace(), "ingress", topology.name(), key, name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, codes};
    use super::super::{Confidence, Severity};
    use super::*;

    const ADDRESS: &str = "projects/acme-prod/global/addresses/grafana-ip";

    fn claimed_twice() -> World {
        World::recorded("static-address-claimed-twice")
    }

    /// HTTP at the address belongs to one Ingress, HTTPS to another: a pattern from before redirects could be configured.
    #[test]
    fn one_address_serves_two_ingresses_on_two_ports() {
        let mut world = claimed_twice();
        world.unprogram("grafana", "grafana");
        world.annotate("Ingress", "grafana", "grafana", keys::ALLOW_HTTP, "false");
        world.object("Ingress", "grafana", "grafana")["spec"]["tls"] = json!([{"secretName": "tls"}]);
        let address = world.resource(ADDRESS)["address"].clone();
        world.object("Ingress", "grafana", "grafana")["status"] = json!({"loadBalancer": {"ingress": [{"ip": address.clone()}]}});
        *world.resource("projects/acme-prod/global/forwardingRules/k8s2-fs-mine") = json!({
            "name": "k8s2-fs-mine", "IPAddress": address, "portRange": "443-443", "description": r#"{"kubernetes.io/ingress-name": "grafana/grafana"}"#,
        });
        assert_eq!(codes(&world.ingress("grafana", "grafana")), ("Healthy", vec![]));
        // Before its rule is there: nobody is in its way.
        world.remove_resources("k8s2-fs-mine");
        assert!(!codes(&world.ingress("grafana", "grafana")).1.contains(&"StaticAddressUnusable"));
    }

    #[test]
    fn an_address_that_is_not_read_accuses_nobody_by_itself() {
        let mut world = claimed_twice();
        world.unprogram("grafana", "grafana");
        world.remove_resources("/addresses/");
        world.compute["errors"]["projects/acme-prod/global/addresses"] = json!({"code": 403, "reason": "forbidden"});
        world.annotate("Ingress", "mobile", "gateway", keys::GLOBAL_STATIC_IP, "another");
        let diagnosis = world.ingress("grafana", "grafana");
        assert_eq!(codes(&diagnosis).1, ["NoAddress"]);
        assert!(diagnosis.inconclusive.iter().any(|one| one.code == "StaticAddressUnusable"));
        // Another Ingress that names it has got an address.
        world.annotate("Ingress", "mobile", "gateway", keys::GLOBAL_STATIC_IP, "grafana-ip");
        let diagnosis = world.ingress("grafana", "grafana");
        assert_eq!(
            (diagnosis.root_cause, diagnosis.findings[0].found.finding.confidence),
            (Some("StaticAddressUnusable"), Confidence::Likely)
        );
    }

    #[test]
    fn without_compute_the_controller_is_believed() {
        let mut world = World::recorded("static-address-missing");
        world.without_google();
        let diagnosis = world.ingress("grafana", "grafana");
        assert_eq!(codes(&diagnosis), ("Broken", vec!["StaticAddressUnusable", "NoAddress"]));
        assert_eq!(diagnosis.findings[0].found.finding.confidence, Confidence::Certain);
        // A name that the Ingress no longer has is an old story.
        world.annotate("Ingress", "grafana", "grafana", keys::GLOBAL_STATIC_IP, "other-ip");
        assert_eq!(codes(&world.ingress("grafana", "grafana")).1, ["NoAddress"]);
    }

    #[test]
    fn the_class_decides_where_the_name_is_looked_up() {
        let mut world = World::recorded("static-address-missing");
        let regional = "projects/acme-prod/regions/us-central1/addresses/grafana-ip";
        *world.resource(regional) = json!({"name": "grafana-ip", "address": "10.1.2.3", "addressType": "INTERNAL"});
        let message = world.ingress("grafana", "grafana").findings[0].found.finding.message.clone();
        assert!(message.contains("region us-central1") && message.contains("global"), "{message}");
        // The key does not: a regional key on an external Ingress names a global address.
        let mut world = World::recorded("static-address-claimed-twice");
        world.annotate("Ingress", "mobile", "gateway", keys::GLOBAL_STATIC_IP, json!(null));
        world.annotate("Ingress", "mobile", "gateway", keys::REGIONAL_STATIC_IP, "grafana-ip");
        assert_eq!(codes(&world.ingress("mobile", "gateway")), ("Healthy", vec![]));
    }

    #[test]
    fn kinds_and_keys_that_do_not_fit() {
        let mut world = claimed_twice();
        world.resource(ADDRESS)["addressType"] = json!("INTERNAL");
        assert_eq!(world.ingress("mobile", "gateway").root_cause, Some("StaticAddressUnusable"));
        let mut world = claimed_twice();
        world.annotate("Ingress", "mobile", "gateway", keys::REGIONAL_STATIC_IP, "other");
        let diagnosis = world.ingress("mobile", "gateway");
        assert_eq!((diagnosis.verdict.as_str(), diagnosis.root_cause), ("Degraded", Some("StaticAddressUnusable")));
        assert_eq!(diagnosis.findings[0].found.severity(), Severity::Error);
    }

    #[test]
    fn an_address_of_its_own_rules_is_fine_whatever_was_said_before() {
        let mut world = claimed_twice();
        world.warn("Ingress", "mobile", "gateway", "Sync", "Error syncing to GCP: googleapi: Error 409: IP_IN_USE_BY_ANOTHER_RESOURCE - IP '1.2.3.4' is already being used by another resource.");
        assert!(codes(&world.ingress("mobile", "gateway")).1.is_empty());
    }
}
