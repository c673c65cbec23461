//! GKE's own custom resources. Enters: JSON with an open schema. Leaves: [`BackendConfig`], [`FrontendConfig`],
//! [`ManagedCertificate`], [`ServiceNetworkEndpointGroup`]. Never: fills in what the object does not say.

use jiff::Timestamp;
use serde::Deserialize;

use super::meta::{ObjectMeta, kind, or_default};
use super::pod::{Condition, Present};

/// Settings of a Service's backend service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BackendConfig {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: BackendConfigSpec,
}
kind!(BackendConfig, "BackendConfig", "cloud.google.com", "v1", "backendconfigs", checked = false);

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendConfigSpec {
    /// The health check.
    pub health_check: Option<HealthCheckConfig>,
    /// Identity-Aware Proxy.
    pub iap: Option<Iap>,
    /// Cloud CDN.
    pub cdn: Option<Switch>,
    /// Session affinity.
    pub session_affinity: Option<SessionAffinity>,
    /// Access log.
    pub logging: Option<Logging>,
}

/// A health check's fields; what is not set keeps the value that the probe or the default gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheckConfig {
    /// Seconds.
    pub check_interval_sec: Option<i64>,
    /// Seconds.
    pub timeout_sec: Option<i64>,
    /// Successes in a row.
    pub healthy_threshold: Option<i64>,
    /// Failures in a row.
    pub unhealthy_threshold: Option<i64>,
    /// `HTTP`, `HTTPS`, `HTTP2`.
    #[serde(rename = "type")]
    pub type_: Option<Box<str>>,
    /// A fixed port.
    pub port: Option<i64>,
    /// Path.
    pub request_path: Option<Box<str>>,
}

/// A feature's switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// On.
    #[serde(deserialize_with = "or_default")]
    pub enabled: bool,
}

/// Identity-Aware Proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iap {
    /// On.
    #[serde(deserialize_with = "or_default")]
    pub enabled: bool,
    /// Names a Secret with the OAuth client.
    pub oauthclient_credentials: Option<Present>,
}

/// Session affinity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionAffinity {
    /// `NONE`, `CLIENT_IP`, `GENERATED_COOKIE`.
    #[serde(deserialize_with = "or_default")]
    pub affinity_type: Box<str>,
    /// Seconds.
    pub affinity_cookie_ttl_sec: Option<i64>,
}

/// Access log.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Logging {
    /// On.
    pub enable: Option<bool>,
    /// Share of requests, 0 to 1.
    pub sample_rate: Option<f64>,
}

impl Eq for Logging {}

/// Settings of an Ingress's frontend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FrontendConfig {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: FrontendConfigSpec,
}
kind!(FrontendConfig, "FrontendConfig", "networking.gke.io", "v1beta1", "frontendconfigs", checked = false);

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendConfigSpec {
    /// Answer HTTP with a redirect to HTTPS.
    pub redirect_to_https: Option<Switch>,
    /// Name of an SSL policy.
    pub ssl_policy: Option<Box<str>>,
}

/// A Google-managed certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ManagedCertificate {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: ManagedCertificateSpec,
    /// How far it is.
    #[serde(deserialize_with = "or_default")]
    pub status: ManagedCertificateStatus,
}
kind!(ManagedCertificate, "ManagedCertificate", "networking.gke.io", "v1", "managedcertificates", checked = false);

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ManagedCertificateSpec {
    /// Names.
    #[serde(deserialize_with = "or_default")]
    pub domains: Vec<Box<str>>,
}

/// How far a certificate is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedCertificateStatus {
    /// Name of the SslCertificate.
    #[serde(deserialize_with = "or_default")]
    pub certificate_name: Box<str>,
    /// `Active`, `Provisioning`, `ProvisioningFailed`, `ProvisioningFailedPermanently`, `RenewalFailed`, or empty.
    #[serde(deserialize_with = "or_default")]
    pub certificate_status: Box<str>,
    /// Per domain.
    #[serde(deserialize_with = "or_default")]
    pub domain_status: Vec<DomainStatus>,
    /// When the certificate expires, as the controller writes it.
    #[serde(deserialize_with = "or_default")]
    pub expire_time: Box<str>,
}

/// How far a domain is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DomainStatus {
    /// Name.
    pub domain: Box<str>,
    /// `Active`, `Provisioning`, `FailedNotVisible`, `FailedCaaChecking`, `FailedCaaForbidden`, `FailedRateLimited`.
    pub status: Box<str>,
}

/// The label of a [`ServiceNetworkEndpointGroup`] that names its Service.
pub const SVC_NEG_SERVICE_LABEL: &str = "networking.gke.io/service-name";

/// What the NEG controller says of the NEGs of one Service port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServiceNetworkEndpointGroup {
    /// Metadata; the name is the NEG's.
    pub metadata: ObjectMeta,
    /// How far it is.
    #[serde(deserialize_with = "or_default")]
    pub status: SvcNegStatus,
}
kind!(
    ServiceNetworkEndpointGroup,
    "ServiceNetworkEndpointGroup",
    "networking.gke.io",
    "v1beta1",
    "servicenetworkendpointgroups",
    checked = false
);

/// How far the NEGs are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SvcNegStatus {
    /// `Initialized` and `Synced`.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// Moves with every attempt to sync.
    pub last_sync_time: Option<Timestamp>,
    /// One entry per zone.
    #[serde(deserialize_with = "or_default")]
    pub network_endpoint_groups: Vec<NegReference>,
}

/// A NEG of one zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NegReference {
    /// Its link.
    #[serde(deserialize_with = "or_default")]
    pub self_link: Box<str>,
    /// `ACTIVE` (also when empty), `INACTIVE`, `TO_BE_DELETED`.
    #[serde(deserialize_with = "or_default")]
    pub state: Box<str>,
}

impl ServiceNetworkEndpointGroup {
    /// A condition by type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| &*condition.type_ == type_)
    }

    /// The Service it belongs to.
    pub fn service(&self) -> Option<&str> {
        self.metadata.labels.get(SVC_NEG_SERVICE_LABEL).map(AsRef::as_ref)
    }
}
