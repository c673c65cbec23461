//! Compute Engine resources, as far as a rule reads them. Field names are the REST API's.
//! Enters: JSON. Leaves: one struct per kind. Never: follows a link.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::snapshot::kubernetes::meta::or_default;

/// A link to another resource, in whatever form the API gave it: see [`super::normalise`].
pub type Link = Box<str>;

macro_rules! resource {
    ($(#[$doc:meta])* $name:ident, $collection:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty $(= $wire:literal)?),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            /// Name.
            #[serde(deserialize_with = "or_default")]
            pub name: Box<str>,
            /// The API's own link.
            #[serde(deserialize_with = "or_default")]
            pub self_link: Link,
            $($(#[$field_doc])* $(#[serde(rename = $wire)])? #[serde(deserialize_with = "or_default")] pub $field: $type,)*
        }
        impl crate::snapshot::compute::Resource for $name {
            const COLLECTION: &'static str = $collection;
        }
    };
}
pub(super) use resource;

resource! {
    /// A backend service: what the URL map sends requests to.
    BackendService, "backendServices" {
        /// JSON of the controller, with the Kubernetes Service.
        description: Box<str>,
        /// `HTTP`, `HTTPS`, `HTTP2`.
        protocol: Box<str>,
        /// The groups.
        backends: Vec<Backend>,
        /// Links; one at most.
        health_checks: Vec<Link>,
        /// `EXTERNAL`, `EXTERNAL_MANAGED`, `INTERNAL_MANAGED`.
        load_balancing_scheme: Box<str>,
        /// Seconds until the load balancer gives up on a request.
        timeout_sec: i64,
        /// When it was made.
        creation_timestamp: Option<Timestamp>,
    }
}

/// A group of endpoints of a backend service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backend {
    /// Link to a network endpoint group or an instance group.
    #[serde(deserialize_with = "or_default")]
    pub group: Link,
}

resource! {
    /// A URL map: which host and path leads to which backend service.
    UrlMap, "urlMaps" {
        /// Where everything else goes.
        default_service: Link,
        /// Hosts and their matcher.
        host_rules: Vec<HostRule>,
        /// The matchers.
        path_matchers: Vec<PathMatcher>,
        /// When it was made.
        creation_timestamp: Option<Timestamp>,
    }
}

/// Hosts and their matcher.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostRule {
    /// Hosts.
    #[serde(deserialize_with = "or_default")]
    pub hosts: Vec<Box<str>>,
    /// Name of the matcher.
    #[serde(deserialize_with = "or_default")]
    pub path_matcher: Box<str>,
}

/// Paths of some hosts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathMatcher {
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub name: Box<str>,
    /// Where every other path goes.
    #[serde(deserialize_with = "or_default")]
    pub default_service: Link,
    /// Paths and where they go.
    #[serde(deserialize_with = "or_default")]
    pub path_rules: Vec<PathRule>,
}

/// Paths and where they go.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PathRule {
    /// Paths.
    #[serde(deserialize_with = "or_default")]
    pub paths: Vec<Box<str>>,
    /// Where they go.
    #[serde(deserialize_with = "or_default")]
    pub service: Link,
}

resource! {
    /// The HTTP proxy of a load balancer.
    TargetHttpProxy, "targetHttpProxies" {
        /// JSON of the controller, with the Ingress.
        description: Box<str>,
        /// Link.
        url_map: Link,
    }
}

resource! {
    /// The HTTPS proxy of a load balancer.
    TargetHttpsProxy, "targetHttpsProxies" {
        /// JSON of the controller, with the Ingress.
        description: Box<str>,
        /// Link.
        url_map: Link,
        /// Links.
        ssl_certificates: Vec<Link>,
    }
}

resource! {
    /// A forwarding rule: an address and a port of a load balancer.
    ForwardingRule, "forwardingRules" {
        /// JSON of the controller, with the Ingress.
        description: Box<str>,
        /// The address.
        ip_address: Box<str> = "IPAddress",
        /// `80-80`.
        port_range: Box<str>,
        /// Link to the proxy.
        target: Link,
        /// `EXTERNAL`, …
        load_balancing_scheme: Box<str>,
        /// Link.
        network: Link,
        /// When it was made.
        creation_timestamp: Option<Timestamp>,
    }
}

resource! {
    /// A reserved address.
    Address, "addresses" {
        /// The address.
        address: Box<str>,
        /// `RESERVED`, `IN_USE`.
        status: Box<str>,
        /// Links of those who use it.
        users: Vec<Link>,
        /// `SHARED_LOADBALANCER_VIP`, `GCE_ENDPOINT`, …
        purpose: Box<str>,
        /// `EXTERNAL`, `INTERNAL`.
        address_type: Box<str>,
        /// When it was reserved.
        creation_timestamp: Option<Timestamp>,
    }
}

resource! {
    /// A certificate.
    SslCertificate, "sslCertificates" {
        /// `SELF_MANAGED`, `MANAGED`.
        type_: Box<str> = "type",
        /// How far Google is with it.
        managed: Option<ManagedSsl>,
        /// When it was made.
        creation_timestamp: Option<Timestamp>,
        /// When it expires.
        expire_time: Option<Timestamp>,
    }
}

/// How far Google is with a managed certificate.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedSsl {
    /// `ACTIVE`, `PROVISIONING`, …
    #[serde(deserialize_with = "or_default")]
    pub status: Box<str>,
    /// Names.
    #[serde(deserialize_with = "or_default")]
    pub domains: Vec<Box<str>>,
    /// Per name.
    #[serde(deserialize_with = "or_default")]
    pub domain_status: BTreeMap<Box<str>, Box<str>>,
}

resource! {
    /// A VPC firewall rule.
    Firewall, "firewalls" {
        /// Link.
        network: Link,
        /// `INGRESS`, `EGRESS`.
        direction: Box<str>,
        /// Lower wins; 1000 when absent.
        priority: Option<i64>,
        /// Switched off.
        disabled: bool,
        /// Address blocks that it is about.
        source_ranges: Vec<Box<str>>,
        /// Tags of instances that it is about as sources.
        source_tags: Vec<Box<str>>,
        /// Accounts of instances that it is about as sources.
        source_service_accounts: Vec<Box<str>>,
        /// Address blocks of the instances.
        destination_ranges: Vec<Box<str>>,
        /// Tags of the instances it applies to; none means all.
        target_tags: Vec<Box<str>>,
        /// Accounts of the instances it applies to.
        target_service_accounts: Vec<Box<str>>,
        /// What it lets through.
        allowed: Vec<FirewallPorts>,
        /// What it stops.
        denied: Vec<FirewallPorts>,
    }
}

/// A protocol and some of its ports.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct FirewallPorts {
    /// `tcp`, `all`, a number, …
    #[serde(rename = "IPProtocol", deserialize_with = "or_default")]
    pub protocol: Box<str>,
    /// `8080`, `30000-32767`; none means all.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<Box<str>>,
}

resource! {
    /// A subnetwork.
    Subnetwork, "subnetworks" {
        /// `PRIVATE`, `REGIONAL_MANAGED_PROXY`, …
        purpose: Box<str>,
        /// `ACTIVE`, `BACKUP`, for proxy-only ones.
        role: Box<str>,
        /// `READY`, `DRAINING`.
        state: Box<str>,
        /// Link.
        network: Link,
        /// Link.
        region: Link,
        /// The block.
        ip_cidr_range: Box<str>,
    }
}

resource! {
    /// A network endpoint group of one zone.
    NetworkEndpointGroup, "networkEndpointGroups" {
        /// JSON of the controller, with the Service.
        description: Box<str>,
        /// How many endpoints.
        size: i64,
        /// Link.
        network: Link,
        /// Link.
        subnetwork: Link,
        /// `GCE_VM_IP_PORT`, …
        network_endpoint_type: Box<str>,
        /// When it was made.
        creation_timestamp: Option<Timestamp>,
    }
}

resource! {
    /// An instance group of one zone.
    InstanceGroup, "instanceGroups" {
        /// How many instances.
        size: i64,
        /// Names of ports.
        named_ports: Vec<NamedPort>,
    }
}

/// The name of a port of an instance group.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct NamedPort {
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub name: Box<str>,
    /// Number.
    pub port: i64,
}

/// An endpoint of a network endpoint group, as `listNetworkEndpoints` gives it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkEndpoint {
    /// The endpoint.
    pub network_endpoint: EndpointAddress,
    /// Its health, per backend service.
    #[serde(deserialize_with = "or_default")]
    pub healths: Vec<EndpointHealth>,
}

/// Address and port of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointAddress {
    /// IPv4 address.
    #[serde(deserialize_with = "or_default")]
    pub ip_address: Box<str>,
    /// IPv6 address.
    #[serde(deserialize_with = "or_default")]
    pub ipv6_address: Box<str>,
    /// Port.
    #[serde(deserialize_with = "or_default")]
    pub port: i64,
    /// Name of the node.
    #[serde(deserialize_with = "or_default")]
    pub instance: Box<str>,
}

/// What one backend service's health check says of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointHealth {
    /// The backend service.
    pub backend_service: Option<BackendServiceReference>,
    /// `HEALTHY`, `UNHEALTHY`, `DRAINING`, `UNKNOWN`, or empty.
    #[serde(deserialize_with = "or_default")]
    pub health_state: Box<str>,
    /// The same over IPv6.
    #[serde(deserialize_with = "or_default")]
    pub ipv6_health_state: Box<str>,
}

/// A link, wrapped as the API wraps it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendServiceReference {
    /// The link.
    #[serde(deserialize_with = "or_default")]
    pub backend_service: Link,
}

/// An entry of `getHealth`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthStatus {
    /// IPv4 address.
    #[serde(deserialize_with = "or_default")]
    pub ip_address: Box<str>,
    /// IPv6 address.
    #[serde(deserialize_with = "or_default")]
    pub ipv6_address: Box<str>,
    /// Port.
    #[serde(deserialize_with = "or_default")]
    pub port: i64,
    /// `HEALTHY`, `UNHEALTHY`, or others that the API does not document.
    #[serde(deserialize_with = "or_default")]
    pub health_state: Box<str>,
    /// The same over IPv6.
    #[serde(deserialize_with = "or_default")]
    pub ipv6_health_state: Box<str>,
    /// Link of the node.
    #[serde(deserialize_with = "or_default")]
    pub instance: Link,
}

/// A read that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ApiError {
    /// HTTP status.
    pub code: u16,
    /// `forbidden`, `rateLimitExceeded`, …
    #[serde(deserialize_with = "or_default")]
    pub reason: Box<str>,
    /// What the API said.
    #[serde(deserialize_with = "or_default")]
    pub message: Box<str>,
}
