//! Ingress. Enters: JSON. Leaves: [`Ingress`]. Never: interprets classes or paths.

use jiff::Timestamp;
use serde::Deserialize;

use super::meta::{ObjectMeta, kind, or_default};

/// An Ingress, as far as a rule reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ingress {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: IngressSpec,
    /// What the controller published.
    pub status: IngressStatus,
}
kind!(Ingress, "Ingress", "networking.k8s.io", "v1", "ingresses");

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressSpec {
    /// Never read by GKE's controller.
    pub ingress_class_name: Option<Box<str>>,
    /// Where unmatched requests go; the system default backend when absent.
    pub default_backend: Option<IngressBackend>,
    /// TLS Secrets.
    #[serde(deserialize_with = "or_default")]
    pub tls: Vec<IngressTls>,
    /// Hosts and paths.
    #[serde(deserialize_with = "or_default")]
    pub rules: Vec<IngressRule>,
}

/// A TLS Secret for some hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressTls {
    /// Hosts of the certificate.
    #[serde(deserialize_with = "or_default")]
    pub hosts: Vec<Box<str>>,
    /// The Secret's name.
    #[serde(deserialize_with = "or_default")]
    pub secret_name: Box<str>,
}

/// The paths of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IngressRule {
    /// Host; empty means any.
    #[serde(deserialize_with = "or_default")]
    pub host: Box<str>,
    /// The paths; a rule without it is dropped by the controller.
    pub http: Option<HttpRule>,
}

/// A list of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HttpRule {
    /// The paths.
    #[serde(deserialize_with = "or_default")]
    pub paths: Vec<HttpPath>,
}

/// One path and where it leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPath {
    /// The path; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub path: Box<str>,
    /// `Exact`, `Prefix` or `ImplementationSpecific`.
    #[serde(deserialize_with = "or_default")]
    pub path_type: Box<str>,
    /// Where it leads.
    pub backend: IngressBackend,
}

/// A Service's port, or a resource (which GKE does not support).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IngressBackend {
    /// The Service.
    pub service: Option<ServiceBackend>,
    /// Another kind of resource.
    pub resource: Option<ResourceBackend>,
}

/// A Service by name, and one of its ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServiceBackend {
    /// Name of the Service, in the Ingress's namespace.
    pub name: Box<str>,
    /// The port.
    #[serde(deserialize_with = "or_default")]
    pub port: ServiceBackendPort,
}

/// A Service port by name or by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServiceBackendPort {
    /// By name, when not empty.
    #[serde(deserialize_with = "or_default")]
    pub name: Box<str>,
    /// By number, when not zero.
    pub number: i32,
}

/// A resource that is not a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceBackend {
    /// API group.
    #[serde(deserialize_with = "or_default")]
    pub api_group: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Name.
    pub name: Box<str>,
}

/// What the controller published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressStatus {
    /// The load balancer's addresses.
    #[serde(deserialize_with = "or_default")]
    pub load_balancer: LoadBalancerStatus,
}

/// The load balancer's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// One entry per address.
    #[serde(deserialize_with = "or_default")]
    pub ingress: Vec<LoadBalancerIngress>,
}

/// One address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LoadBalancerIngress {
    /// The address.
    #[serde(deserialize_with = "or_default")]
    pub ip: Box<str>,
    /// A host name, which other controllers publish.
    #[serde(deserialize_with = "or_default")]
    pub hostname: Box<str>,
}

impl Ingress {
    /// The first published address; `None` while there is none.
    pub fn address(&self) -> Option<&str> {
        self.status
            .load_balancer
            .ingress
            .iter()
            .map(|entry| if entry.ip.is_empty() { &*entry.hostname } else { &*entry.ip })
            .find(|address| !address.is_empty())
    }

    /// When it was created.
    pub fn created(&self) -> Option<Timestamp> {
        self.metadata.creation_timestamp
    }
}

/// An IngressClass: which controller answers to a name. GKE's own never reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IngressClass {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What it says.
    #[serde(deserialize_with = "or_default")]
    pub spec: IngressClassSpec,
}
kind!(IngressClass, "IngressClass", "networking.k8s.io", "v1", "ingressclasses");

/// The controller of a class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IngressClassSpec {
    /// `k8s.io/ingress-nginx`, …
    #[serde(deserialize_with = "or_default")]
    pub controller: Box<str>,
}
