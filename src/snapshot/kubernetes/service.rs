//! Service and EndpointSlice. Enters: JSON. Leaves: [`Service`] and [`EndpointSlice`]. Never: resolves a port or a pod.

use serde::Deserialize;

use super::meta::{ObjectMeta, Pairs, PortRef, kind, or_default};

/// A Service, as far as a rule reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: ServiceSpec,
}
kind!(Service, "Service", "", "v1", "services");

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP` (also when empty), `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub type_: Box<str>,
    /// Labels of the pods; empty when somebody else writes the slices.
    #[serde(deserialize_with = "or_default")]
    pub selector: Pairs,
    /// The ports.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<ServicePort>,
    /// `Cluster` or `Local`.
    #[serde(deserialize_with = "or_default")]
    pub external_traffic_policy: Box<str>,
    /// `IPv4`, `IPv6`.
    #[serde(deserialize_with = "or_default")]
    pub ip_families: Vec<Box<str>>,
}

/// A port of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Name; may be empty when it is the only port.
    #[serde(deserialize_with = "or_default")]
    pub name: Box<str>,
    /// The Service's own port.
    pub port: i32,
    /// The pods' port; the Service's own when absent.
    pub target_port: Option<PortRef>,
    /// The nodes' port; zero when there is none.
    pub node_port: i32,
    /// `TCP` (also when empty), `UDP`, …
    #[serde(deserialize_with = "or_default")]
    pub protocol: Box<str>,
}

impl ServicePort {
    /// The pods' port: `targetPort`, or the Service's own port where it is not set.
    pub fn target(&self) -> PortRef {
        match &self.target_port {
            Some(PortRef::Number(0)) | None => PortRef::Number(self.port),
            Some(port) => port.clone(),
        }
    }
}

impl Service {
    /// The type, with Kubernetes' default.
    pub fn type_(&self) -> &str {
        if self.spec.type_.is_empty() { "ClusterIP" } else { &self.spec.type_ }
    }
}

/// The label that ties a slice to its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Some endpoints of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: Box<str>,
    /// The endpoints.
    #[serde(deserialize_with = "or_default")]
    pub endpoints: Vec<Endpoint>,
    /// The ports that every endpoint of the slice serves.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<EndpointPort>,
}
kind!(EndpointSlice, "EndpointSlice", "discovery.k8s.io", "v1", "endpointslices");

impl EndpointSlice {
    /// The Service it belongs to.
    pub fn service(&self) -> Option<&str> {
        self.metadata.labels.get(SERVICE_NAME_LABEL).map(AsRef::as_ref)
    }
}

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Its addresses; the controller reads the first.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<Box<str>>,
    /// Whether it is ready.
    pub conditions: EndpointConditions,
    /// The node it runs on.
    pub node_name: Option<Box<str>>,
    /// The object behind it.
    pub target_ref: Option<TargetRef>,
    /// The node's zone.
    pub zone: Option<Box<str>>,
}

/// Whether an endpoint is ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Absent means ready.
    pub ready: Option<bool>,
    /// Absent means not terminating.
    pub terminating: Option<bool>,
}

/// The object behind an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    /// `Pod`.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// A port of a slice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The Service port's name.
    #[serde(deserialize_with = "or_default")]
    pub name: Box<str>,
    /// The number; absent means all ports.
    pub port: Option<i32>,
    /// `TCP`, …
    #[serde(deserialize_with = "or_default")]
    pub protocol: Box<str>,
}

impl Endpoint {
    /// Its node goes away or it is being shut down: the NEG controller leaves it out.
    pub fn terminating(&self) -> bool {
        self.conditions.terminating == Some(true)
    }

    /// Ready, as Kubernetes counts it.
    pub fn ready(&self) -> bool {
        self.conditions.ready != Some(false)
    }
}
