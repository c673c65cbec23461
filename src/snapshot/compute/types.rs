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
        impl super::Resource for $name {
            const COLLECTION: &'static str = $collection;
        }
    };
}

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
    /// A health check.
    HealthCheck, "healthChecks" {
        /// Who derived it from what.
        description: Box<str>,
        /// `HTTP`, `HTTPS`, `HTTP2`, `TCP`, …
        type_: Box<str> = "type",
        /// Seconds between two questions.
        check_interval_sec: i64,
        /// Seconds until a question counts as failed.
        timeout_sec: i64,
        /// Successes in a row.
        healthy_threshold: i64,
        /// Failures in a row.
        unhealthy_threshold: i64,
        /// The question, for type HTTP.
        http_health_check: Option<HttpCheck>,
        /// The question, for type HTTPS.
        https_health_check: Option<HttpCheck>,
        /// The question, for type HTTP2.
        http2_health_check: Option<HttpCheck>,
        /// The question, for type TCP.
        tcp_health_check: Option<ConnectionCheck>,
        /// The question, for type SSL.
        ssl_health_check: Option<ConnectionCheck>,
        /// The question, for type GRPC.
        grpc_health_check: Option<ConnectionCheck>,
        /// The question, for type GRPC_WITH_TLS.
        grpc_tls_health_check: Option<ConnectionCheck>,
        /// When it was made.
        creation_timestamp: Option<Timestamp>,
    }
}

/// The question of an HTTP health check.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCheck {
    /// Port, where the specification is fixed or absent.
    pub port: Option<i64>,
    /// `USE_FIXED_PORT`, `USE_NAMED_PORT`, `USE_SERVING_PORT`, or absent.
    #[serde(deserialize_with = "or_default")]
    pub port_specification: Box<str>,
    /// Path; `/` when empty.
    #[serde(deserialize_with = "or_default")]
    pub request_path: Box<str>,
    /// Host header; the endpoint's address when empty.
    #[serde(deserialize_with = "or_default")]
    pub host: Box<str>,
}

/// The question of a health check that does not speak HTTP/1 or plain HTTP/2: a connection, and for some types more.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionCheck {
    /// Port, where the specification is fixed or absent.
    pub port: Option<i64>,
    /// `USE_FIXED_PORT`, `USE_NAMED_PORT`, `USE_SERVING_PORT`, or absent.
    #[serde(deserialize_with = "or_default")]
    pub port_specification: Box<str>,
    /// Bytes that must come, for types TCP and SSL; empty: none.
    #[serde(deserialize_with = "or_default")]
    pub response: Box<str>,
}

/// The port that a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedPort<'a> {
    /// Its number, if the check has one.
    pub number: Option<i64>,
    /// `USE_FIXED_PORT`, `USE_NAMED_PORT`, `USE_SERVING_PORT`, or empty.
    pub specification: &'a str,
}

impl AskedPort<'_> {
    /// The number, where the check says that it asks no other.
    pub fn fixed(self) -> Option<i64> {
        self.number.filter(|_| self.specification == "USE_FIXED_PORT")
    }
}

impl HealthCheck {
    /// The question of a type that does not speak HTTP: whatever else it wants, it begins with a TCP connection.
    pub fn connection(&self) -> Option<&ConnectionCheck> {
        match &*self.type_ {
            "TCP" => self.tcp_health_check.as_ref(),
            "SSL" => self.ssl_health_check.as_ref(),
            "GRPC" => self.grpc_health_check.as_ref(),
            "GRPC_WITH_TLS" => self.grpc_tls_health_check.as_ref(),
            _ => None,
        }
    }

    /// A TCP connection is all that it wants.
    pub fn only_connects(&self) -> bool {
        &*self.type_ == "TCP" && self.connection().is_some_and(|check| check.response.is_empty())
    }

    /// The port that its type asks.
    pub fn asked_port(&self) -> Option<AskedPort<'_>> {
        let http = self.http().map(|http| AskedPort { number: http.port, specification: &http.port_specification });
        let other = || self.connection().map(|check| AskedPort { number: check.port, specification: &check.port_specification });
        http.or_else(other)
    }

    /// The HTTP question that its type asks; `None` for TCP and other types.
    pub fn http(&self) -> Option<&HttpCheck> {
        match &*self.type_ {
            "HTTP" => self.http_health_check.as_ref(),
            "HTTPS" => self.https_health_check.as_ref(),
            "HTTP2" => self.http2_health_check.as_ref(),
            _ => None,
        }
    }
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
