//! The annotations of Services and Ingresses, parsed as GKE's controllers parse them.
//!
//! Enters: the text of an annotation. Leaves: its meaning, or why it has none. Never: reports; that is the rules' work.
//! Source: ingress-gce `pkg/annotations`, `pkg/negannotation`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::snapshot::kubernetes::meta::or_default;
use crate::snapshot::kubernetes::{Ingress, Service};

/// Annotation keys.
pub mod keys {
    /// The class of an Ingress, the only thing that GKE reads.
    pub const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
    /// Switches HTTP off.
    pub const ALLOW_HTTP: &str = "kubernetes.io/ingress.allow-http";
    /// A reserved global address.
    pub const GLOBAL_STATIC_IP: &str = "kubernetes.io/ingress.global-static-ip-name";
    /// A reserved regional address.
    pub const REGIONAL_STATIC_IP: &str = "kubernetes.io/ingress.regional-static-ip-name";
    /// Existing certificates, comma-separated.
    pub const PRE_SHARED_CERT: &str = "ingress.gcp.kubernetes.io/pre-shared-cert";
    /// ManagedCertificates, comma-separated.
    pub const MANAGED_CERTIFICATES: &str = "networking.gke.io/managed-certificates";
    /// A FrontendConfig.
    pub const FRONTEND_CONFIG: &str = "networking.gke.io/v1beta1.FrontendConfig";
    /// Health by backend service, written by the controller after each successful sync.
    pub const BACKENDS: &str = "ingress.kubernetes.io/backends";
    /// Written by the controller.
    pub const URL_MAP: &str = "ingress.kubernetes.io/url-map";
    /// Written by the controller.
    pub const FORWARDING_RULE: &str = "ingress.kubernetes.io/forwarding-rule";
    /// Written by the controller.
    pub const HTTPS_FORWARDING_RULE: &str = "ingress.kubernetes.io/https-forwarding-rule";
    /// All that the controller writes on an Ingress (ingress-gce `pkg/annotations/ingress.go`).
    pub const WRITTEN: [&str; 9] = [
        BACKENDS,
        URL_MAP,
        "ingress.kubernetes.io/redirect-url-map",
        FORWARDING_RULE,
        "ingress.kubernetes.io/target-proxy",
        HTTPS_FORWARDING_RULE,
        "ingress.kubernetes.io/https-target-proxy",
        "ingress.kubernetes.io/static-ip",
        "ingress.kubernetes.io/ssl-cert",
    ];
    /// NEGs of a Service.
    pub const NEG: &str = "cloud.google.com/neg";
    /// Names of the NEGs, written by the controller.
    pub const NEG_STATUS: &str = "cloud.google.com/neg-status";
    /// BackendConfigs of a Service.
    pub const BACKEND_CONFIG: &str = "cloud.google.com/backend-config";
    /// The old key of the same.
    pub const BACKEND_CONFIG_BETA: &str = "beta.cloud.google.com/backend-config";
    /// Protocols of a Service's ports.
    pub const APP_PROTOCOLS: &str = "cloud.google.com/app-protocols";
    /// The old key of the same, which wins.
    pub const APP_PROTOCOLS_ALPHA: &str = "service.alpha.kubernetes.io/app-protocols";
    /// When something last changed the endpoints of a slice.
    pub const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
    /// Transparent health checks of a Service.
    pub const TRANSPARENT_HEALTH_CHECKER: &str = "networking.gke.io/transparent-health-checker";
}

/// `cloud.google.com/neg`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NegAnnotation {
    /// NEGs for the ports that a handled Ingress names.
    pub ingress: bool,
    /// Standalone NEGs, by Service port.
    pub exposed_ports: BTreeMap<i32, ExposedPort>,
}

/// A standalone NEG.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExposedPort {
    /// Its own name; the controller's scheme when empty.
    pub name: Box<str>,
}

/// The NEG annotation of a Service: `Ok(None)` when absent, the parser's words when it is not understood.
pub fn neg(service: &Service) -> Result<Option<NegAnnotation>, String> {
    match service.metadata.annotation(keys::NEG) {
        None => Ok(None),
        Some(text) => object(text).map(Some),
    }
}

/// Reads a JSON object as Go does: `null` changes nothing, and a list is none.
fn object<T: Default + DeserializeOwned>(text: &str) -> Result<T, String> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Null) => Ok(T::default()),
        Ok(serde_json::Value::Array(_)) => Err("a list in place of an object".to_owned()),
        Ok(value) => serde_json::from_value(value).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the Service asks for NEGs behind Ingresses; an annotation that is not understood counts as "no", as for the controller.
pub fn wants_ingress_neg(service: &Service) -> bool {
    matches!(neg(service), Ok(Some(NegAnnotation { ingress: true, .. })))
}

/// The NEG annotation with `ingress` switched on and everything else as it is.
pub fn neg_with_ingress(present: Option<&str>) -> String {
    let mut value: serde_json::Value = present.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if !value.is_object() {
        value = serde_json::json!({});
    }
    value["ingress"] = true.into();
    value.to_string()
}

/// `cloud.google.com/neg-status`: names of the NEGs by Service port, and their zones. It proves intent, not existence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NegStatus {
    /// Names by Service port.
    pub network_endpoint_groups: BTreeMap<Box<str>, Box<str>>,
    /// Zones with nodes.
    pub zones: Vec<Box<str>>,
}

/// The NEG status of a Service; empty when absent or not understood.
pub fn neg_status(service: &Service) -> NegStatus {
    service.metadata.annotation(keys::NEG_STATUS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// An annotation's key, and its meaning or the parser's words.
pub type Parsed<T> = (&'static str, Result<T, String>);

/// Application protocols by port name.
pub type AppProtocols = BTreeMap<Box<str>, Box<str>>;

/// Application protocols of a Service, with the key they stand under; the alpha key wins.
pub fn app_protocols(service: &Service) -> Option<Parsed<AppProtocols>> {
    [keys::APP_PROTOCOLS_ALPHA, keys::APP_PROTOCOLS].into_iter().find_map(|key| {
        let text = service.metadata.annotation(key)?;
        Some((key, object(text)))
    })
}

/// `cloud.google.com/backend-config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BackendConfigAnnotation {
    /// For every port that `ports` does not name. Go's decoder, which the controller uses, takes keys in any case.
    #[serde(alias = "Default", deserialize_with = "or_default")]
    pub default: Box<str>,
    /// By port name or number.
    #[serde(alias = "Ports", deserialize_with = "or_default")]
    pub ports: BTreeMap<Box<str>, Box<str>>,
}

impl BackendConfigAnnotation {
    /// The BackendConfig of a port: by name, then by number, then the default.
    pub fn for_port(&self, name: &str, number: i32) -> Option<&str> {
        let by_name = if name.is_empty() { None } else { self.ports.get(name) };
        by_name
            .or_else(|| self.ports.get(&*number.to_string()))
            .map(AsRef::as_ref)
            .or_else(|| (!self.default.is_empty()).then_some(&*self.default))
    }
}

/// The BackendConfig annotation of a Service, with its key; the GA key wins.
pub fn backend_config(service: &Service) -> Option<Parsed<BackendConfigAnnotation>> {
    [keys::BACKEND_CONFIG, keys::BACKEND_CONFIG_BETA]
        .into_iter()
        .find_map(|key| Some((key, object(service.metadata.annotation(key)?))))
}

/// `ingress.kubernetes.io/backends`: the last state that the controller saw, by backend service. Empty when absent or not understood.
pub fn backends(ingress: &Ingress) -> BTreeMap<Box<str>, Box<str>> {
    ingress.metadata.annotation(keys::BACKENDS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Names in a comma-separated annotation.
pub fn list<'a>(ingress: &'a Ingress, key: &str) -> Vec<&'a str> {
    let text = ingress.metadata.annotation(key).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// Whether HTTP is on; a value that is not understood counts as "on", as for the controller.
pub fn http_allowed(ingress: &Ingress) -> bool {
    !matches!(ingress.metadata.annotation(keys::ALLOW_HTTP), Some("0" | "f" | "F" | "false" | "FALSE" | "False"))
}

/// Whether a Service opted in to transparent health checks.
pub fn transparent_health_checks(service: &Service) -> bool {
    #[derive(Deserialize)]
    struct Switch {
        enabled: bool,
    }
    service
        .metadata
        .annotation(keys::TRANSPARENT_HEALTH_CHECKER)
        .and_then(|text| serde_json::from_str::<Switch>(text).ok())
        .is_some_and(|switch| switch.enabled)
}
