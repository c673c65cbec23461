//! The custom resource `IngressDiagnosis`: the published contract.
//!
//! Enters: nothing. Leaves: the types of `ingressdiagnosis.dev/v1alpha1` and their CustomResourceDefinition.
//! Never: changes a field's meaning; a new meaning is a new field.

// Each `printcolumn` is a column of its own.
#![allow(clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an `IngressDiagnosis` is about, and what its owner has accepted.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ingressdiagnosis.dev",
    version = "v1alpha1",
    kind = "IngressDiagnosis",
    doc = "Why an Ingress (or a Service with a standalone NEG) is stuck or unhealthy, and what mends it",
    plural = "ingressdiagnoses",
    singular = "ingressdiagnosis",
    shortname = "ingdiag",
    shortname = "igd",
    namespaced,
    status = "IngressDiagnosisStatus",
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict"),
    printcolumn(name = "Endpoints", type_ = "string", json_path = ".status.endpoints.text"),
    printcolumn(name = "Root Cause", type_ = "string", json_path = ".status.rootCause"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address", priority = 1),
    printcolumn(name = "Summary", type_ = "string", json_path = ".status.summary", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct IngressDiagnosisSpec {
    /// The object that the diagnosis is about; it never changes.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "targetRef cannot be changed"}]))]
    pub target_ref: TargetRef,
    /// Codes that the owner has accepted: their findings are still shown, but not counted and not alerted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub acknowledge: Vec<String>,
}

/// A reference to an Ingress or a Service in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// `networking.k8s.io/v1` or `v1`.
    #[schemars(length(min = 1, max = 64))]
    pub api_version: String,
    /// `Ingress` or `Service`.
    #[schemars(extend("enum" = ["Ingress", "Service"]))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How it stands with the target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressDiagnosisStatus {
    /// `Healthy`, `Progressing`, `Degraded`, `Broken` or `Unknown`, by the effect on traffic.
    #[schemars(extend("enum" = ["Healthy", "Progressing", "Degraded", "Broken", "Unknown"]))]
    pub verdict: String,
    /// Since when the verdict stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Code of the one reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<String>,
    /// One sentence: what is wrong and what mends it.
    pub summary: String,
    /// The published address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Endpoints of the target's own backends.
    pub endpoints: Endpoints,
    /// When the oldest health of an endpoint that this rests on had been read in Compute, at the time of writing. Reading the same again
    /// changes nothing here: a status is written only when something else in it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_facts_at: Option<Time>,
    /// The causes by rank, each with what follows from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What the load balancer has for each backend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
    /// Questions that could not be answered, and what kept the answer back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inconclusive: Vec<Inconclusive>,
    /// How much was cut from the lists above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omitted: Option<Omitted>,
    /// The last event that was written on the target, so that it is said once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<LastEvent>,
    /// `Diagnosed` and `Healthy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// An event on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastEvent {
    /// `Warning`: the root cause appeared or changed. `Normal`: it has gone, or was acknowledged.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["Warning", "Normal"]))]
    pub type_: String,
    /// Code of the root cause.
    pub root_cause: String,
    /// When.
    pub time: Time,
}

/// Healthy endpoints and all endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Endpoints {
    /// Endpoints that pass the health check.
    pub healthy: u32,
    /// All endpoints.
    pub total: u32,
    /// Both, as `kubectl get` prints them: `0/2`.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Finding {
    /// The contract's code.
    pub code: String,
    /// `Error`, `Warning` or `Info`.
    #[schemars(extend("enum" = ["Error", "Warning", "Info"]))]
    pub severity: String,
    /// `Certain`, `Likely` or `Possible`.
    #[schemars(extend("enum" = ["Certain", "Likely", "Possible"]))]
    pub confidence: String,
    /// The backend it is about; absent when it is about the whole target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What was seen, and where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// What mends it: sentences, and commands that can be pasted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
    /// When it was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Time>,
    /// The page about the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc_url: Option<String>,
    /// The owner has accepted it: it does not count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub acknowledged: bool,
    /// What follows from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symptoms: Vec<Symptom>,
}

/// What follows from a cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Symptom {
    /// The contract's code.
    pub code: String,
    /// `Error`, `Warning` or `Info`.
    #[schemars(extend("enum" = ["Error", "Warning", "Info"]))]
    pub severity: String,
    /// `Certain`, `Likely` or `Possible`.
    #[schemars(extend("enum" = ["Certain", "Likely", "Possible"]))]
    pub confidence: String,
    /// The backend it is about; absent when it is about the whole target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What was seen, and where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// What mends it, where the cause's own mend does not do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
    /// When it was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Time>,
    /// The page about the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc_url: Option<String>,
    /// The owner has accepted it: it does not count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub acknowledged: bool,
}

/// What was seen, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Evidence {
    /// The object and field, the event, the probe.
    pub from: String,
    /// The value, or the text.
    pub saw: String,
}

/// What the load balancer has for one backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Backend {
    /// `namespace/name` of the Service.
    pub service: String,
    /// The port as the Ingress spells it.
    pub port: String,
    /// Name of the backend service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_service: Option<String>,
    /// The health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// The groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

/// A health check in a few words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// `HTTP`, `HTTPS`, `HTTP2`, …
    #[serde(rename = "type")]
    pub type_: String,
    /// Path.
    pub path: String,
    /// Port; absent when the endpoint's own is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// Seconds between two questions.
    pub interval: i64,
    /// Seconds until a question counts as failed.
    pub timeout: i64,
}

/// One group of endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// Endpoints that pass; absent when they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<u32>,
    /// Endpoints that fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<u32>,
    /// Endpoints without a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<u32>,
}

/// A question that could not be answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Inconclusive {
    /// The code whose question it is.
    pub code: String,
    /// One word.
    pub reason: String,
    /// What could not be read, and why.
    pub message: String,
}

/// How much was cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Omitted {
    /// Findings, nested ones included.
    pub findings: u32,
    /// Backends.
    pub backends: u32,
    /// Groups of backends that are listed.
    pub groups: u32,
    /// Questions that could not be answered.
    pub inconclusive: u32,
}

/// The CustomResourceDefinition, as `crds/` holds it.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = IngressDiagnosis::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|validation| validation.open_api_v3_schema.as_mut()) {
            without_defaults(schema);
        }
    }
    crd
}

/// What serde takes for an absent field is our own affair: as the API server's default, an empty text would be stored, and refused where
/// it is none of the words that the field allows.
fn without_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    schema.properties.iter_mut().flat_map(BTreeMap::values_mut).for_each(without_defaults);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => without_defaults(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(without_defaults),
        None => {}
    }
}
