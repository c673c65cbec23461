//! IngressClassNotHandled: GKE reads the class annotation alone, exactly.

use super::text::patch;
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::annotations::keys;
use crate::topology::class::meant_class;
use crate::topology::{Class, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "IngressClassNotHandled",
    section: Section::Listening,
    severity: Severity::Error,
    symptom: false,
    unhandled: true,
    summary: "the Ingress names a GKE-like class in a way that GKE does not read",
    doc: include_str!("ingress_class_not_handled.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

fn check(topology: &Topology<'_>) -> Answer {
    let (Some(ingress), Some(Class::Missed)) = (topology.ingress(), topology.class()) else { return Ok(None) };
    if ingress.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let wanted = meant_class(ingress).annotation();
    let mut fields = serde_json::json!({"metadata": {"annotations": {keys::INGRESS_CLASS: wanted}}});
    let finding = match (ingress.metadata.annotation(keys::INGRESS_CLASS).filter(|value| !value.is_empty()), &ingress.spec.ingress_class_name) {
        (Some(annotation), _) => Finding::certain(format!(
            "the class annotation says {annotation:?}, which GKE does not know: it compares exactly with {wanted:?}"
        ))
        .evidence(format!("Ingress annotation {}", keys::INGRESS_CLASS), format!("{annotation:?}")),
        (None, name) => {
            let name = name.as_deref().unwrap_or_default();
            Finding::certain(format!(
                "spec.ingressClassName is {name:?} and the class annotation is absent: GKE ignores such an Ingress without a word"
            ))
            .evidence("Ingress spec.ingressClassName", format!("{name:?}"))
            .evidence(format!("Ingress annotation {}", keys::INGRESS_CLASS), "absent")
        }
    };
    if ingress.spec.ingress_class_name.is_some() {
        fields["spec"] = serde_json::json!({"ingressClassName": null});
    }
    let finding = finding
        .fix(format!("set the annotation {}: {wanted}, and drop spec.ingressClassName", keys::INGRESS_CLASS))
        .fix(patch(topology.namespace(), "ingress", topology.name(), &fields));
    Ok(Some(finding))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, world};

    fn of_class(annotation: Option<&str>, name: Option<&str>) -> World {
        let mut world = world("ingress-class-name-gce");
        let ingress = world.object("Ingress", "grafana", "grafana");
        ingress["metadata"]["annotations"] = annotation.map_or_else(|| json!({}), |class| json!({"kubernetes.io/ingress.class": class}));
        ingress["spec"]["ingressClassName"] = json!(name);
        world
    }

    #[test]
    fn near_misses_are_named() {
        for (annotation, name) in [
            (None, Some("gce")),
            (Some(""), Some("gce-internal")),
            (Some("GCE"), None),
            (Some("gce "), None),
            (Some("\"gce\""), None),
            (Some("gce_internal"), None),
            (Some("gce-internall"), None),
            (None, Some("gke-l7-global-external-managed")),
        ] {
            let codes = of_class(annotation, name).codes("grafana/grafana");
            assert_eq!(codes, ["IngressClassNotHandled", "NoAddress"], "{annotation:?} {name:?}");
        }
    }

    #[test]
    fn other_controllers_are_none_of_our_business() {
        for class in ["nginx", "gce-multi-cluster", "gke-nginx", "internal-gce"] {
            assert!(of_class(Some(class), None).diagnosed("grafana/grafana").is_none(), "{class}");
        }
        let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "gce-edge"}, "spec": {"controller": "example.com/edge"}});
        assert!(of_class(None, Some("gce-edge")).add(class).diagnosed("grafana/grafana").is_none());
    }
}
