//! Which Ingresses GKE's controller handles, and as what kind of load balancer.
//!
//! Enters: an Ingress and what is known of IngressClasses. Leaves: its [`Class`]. Never: reads anything but the class annotation,
//! `spec.ingressClassName` and what the controller left on the object.
//! Source: ingress-gce `pkg/utils/utils.go` (`IsGCEIngress`): the annotation alone counts, and it is compared exactly.

use crate::snapshot::kubernetes::{Ingress, IngressClass, Kubernetes};

use super::annotations::keys;

/// The finalizers of GKE's Ingress controller, v1 and v2 naming.
pub const FINALIZERS: [&str; 2] = ["networking.gke.io/ingress-finalizer", "networking.gke.io/ingress-finalizer-V2"];

/// What GKE's controller makes of an Ingress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Global external load balancer: annotation `gce` or empty, or neither annotation nor `ingressClassName`.
    External,
    /// Regional internal load balancer: annotation `gce-internal`.
    Internal,
    /// Regional external load balancer: annotation `gce-regional-external`.
    RegionalExternal,
    /// Not handled, although somebody plainly meant GKE.
    Missed,
    /// Of another class, yet it still carries what GKE's controller left on it.
    Left,
    /// Of another class: none of our business.
    Foreign,
}

impl Class {
    /// GKE's controller makes a load balancer for it.
    pub fn handled(self) -> bool {
        matches!(self, Self::External | Self::Internal | Self::RegionalExternal)
    }

    /// It gets a diagnosis.
    pub fn diagnosed(self) -> bool {
        self != Self::Foreign
    }

    /// Its load balancer's resources are regional, and its backends are NEGs only.
    pub fn regional(self) -> bool {
        matches!(self, Self::Internal | Self::RegionalExternal)
    }

    /// The annotation's value for this class, as the controller wants it.
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Internal => "gce-internal",
            Self::RegionalExternal => "gce-regional-external",
            Self::External | Self::Missed | Self::Left | Self::Foreign => "gce",
        }
    }
}

/// The class of an Ingress.
pub fn class_of(ingress: &Ingress, kubernetes: &Kubernetes) -> Class {
    let annotation = ingress.metadata.annotation(keys::INGRESS_CLASS).unwrap_or_default();
    match (annotation, &ingress.spec.ingress_class_name) {
        ("gce", _) | ("", None) => return Class::External,
        ("gce-internal", _) => return Class::Internal,
        ("gce-regional-external", _) => return Class::RegionalExternal,
        _ => {}
    }
    let meant = class_value(ingress);
    if meant_for_gke(meant) && !served_by_others(meant, ingress, kubernetes) {
        return Class::Missed;
    }
    let left = carries_leftovers(ingress) && (has_finalizer(ingress) || !address_of_others(meant, ingress, kubernetes));
    if left { Class::Left } else { Class::Foreign }
}

/// The value that decides: the annotation's, or `spec.ingressClassName` where there is none.
fn class_value(ingress: &Ingress) -> &str {
    let annotation = ingress.metadata.annotation(keys::INGRESS_CLASS).unwrap_or_default();
    if annotation.is_empty() { ingress.spec.ingress_class_name.as_deref().unwrap_or_default() } else { annotation }
}

/// Another Ingress of the class, which GKE's controller has left nothing on, shows the same address: it is the new controller's.
fn address_of_others(class: &str, ingress: &Ingress, kubernetes: &Kubernetes) -> bool {
    let address = ingress.address();
    kubernetes.ingresses.iter().any(|other| {
        other.address() == address && class_value(other) == class && !std::ptr::eq(other, ingress) && !carries_leftovers(other)
    })
}

/// The class that somebody probably meant: `gce` for `GCE`, `gce-internal` for `gce_internal `.
pub fn meant_class(ingress: &Ingress) -> Class {
    let meant = simplified(class_value(ingress));
    if meant.contains("internal") {
        Class::Internal
    } else if meant.contains("regional") {
        Class::RegionalExternal
    } else {
        Class::External
    }
}

fn simplified(value: &str) -> String {
    value.trim_matches(|c: char| c.is_whitespace() || "\"'".contains(c)).to_ascii_lowercase().replace(['_', ' '], "-")
}

/// What stands in the name of a class that begins like GKE's and is another controller's: Multi Cluster Ingress, or one that runs on GKE.
const OTHERS: [&str; 8] = ["multi", "nginx", "traefik", "haproxy", "kong", "istio", "contour", "envoy"];

fn meant_for_gke(value: &str) -> bool {
    let value = simplified(value);
    (value.starts_with("gce") || value.starts_with("gke")) && !OTHERS.iter().any(|other| value.contains(other))
}

/// An IngressClass object says that another controller answers to this name, or another controller has already published an address.
fn served_by_others(class: &str, ingress: &Ingress, kubernetes: &Kubernetes) -> bool {
    let other = |class: &IngressClass| {
        let controller = class.spec.controller.to_ascii_lowercase();
        !controller.is_empty() && !["gce", "gke", "google"].iter().any(|word| controller.contains(word))
    };
    kubernetes.ingress_classes.get("", class).seen().is_some_and(other)
        || (ingress.address().is_some() && !carries_leftovers(ingress))
}

/// The address and an annotation that GKE's controller writes and never removes, or its finalizer.
pub fn carries_leftovers(ingress: &Ingress) -> bool {
    let annotated = [keys::URL_MAP, keys::FORWARDING_RULE, keys::HTTPS_FORWARDING_RULE, keys::BACKENDS]
        .iter()
        .any(|key| ingress.metadata.annotation(key).is_some());
    (annotated && ingress.address().is_some()) || has_finalizer(ingress)
}

/// Whether GKE's controller holds the object with a finalizer.
pub fn has_finalizer(ingress: &Ingress) -> bool {
    ingress.metadata.finalizers.iter().any(|finalizer| FINALIZERS.contains(&&**finalizer))
}
